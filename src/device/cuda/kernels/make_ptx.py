#!/usr/bin/env python3
"""Makes move_runs.ptx from move_runs.cu, without a GPU and without a toolkit.

NVIDIA's compiler is taken from PyPI: NVRTC of CUDA 12.0, because the oldest driver that is taken reads no newer PTX, and ptxas, which
assembles the result for several GPUs, as the driver will, to prove that it can. Usage: make_ptx.py [--check]; with --check nothing is
written, and the exit status says whether the file is what would be written.
"""

import ctypes
import hashlib
import pathlib
import subprocess
import sys
import tempfile
import zipfile

NVRTC = "nvidia-cuda-nvrtc-cu12==12.0.140"
NVCC = "nvidia-cuda-nvcc-cu12==12.9.86"
ARCHITECTURE = b"--gpu-architecture=compute_70"
ASSEMBLED_FOR = ["sm_70", "sm_80", "sm_90", "sm_100"]
FOLDER = pathlib.Path(__file__).resolve().parent


def fetch(package, folder):
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, package], check=True)
    name = package.split("==")[0].replace("-", "_")
    (wheel,) = pathlib.Path(folder).glob(f"{name}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)


def compile_ptx(source, library):
    nvrtc = ctypes.CDLL(str(library))

    def call(name, *arguments):
        code = getattr(nvrtc, name)(*arguments)
        if code != 0:
            size = ctypes.c_size_t()
            nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
            log = ctypes.create_string_buffer(size.value)
            nvrtc.nvrtcGetProgramLog(program, log)
            sys.exit(f"{name} failed with code {code}: {log.value.decode()}")

    program = ctypes.c_void_p()
    call("nvrtcCreateProgram", ctypes.byref(program), source, b"move_runs.cu", 0, None, None)
    options = (ctypes.c_char_p * 1)(ARCHITECTURE)
    call("nvrtcCompileProgram", program, len(options), options)
    size = ctypes.c_size_t()
    call("nvrtcGetPTXSize", program, ctypes.byref(size))
    ptx = ctypes.create_string_buffer(size.value)
    call("nvrtcGetPTX", program, ptx)
    return ptx.value.decode("ascii")


def assemble(ptx, ptxas, folder):
    path = pathlib.Path(folder) / "move_runs.ptx"
    path.write_text(ptx)
    ptxas.chmod(0o755)
    for gpu in ASSEMBLED_FOR:
        output = pathlib.Path(folder) / f"{gpu}.cubin"
        subprocess.run([ptxas, f"--gpu-name={gpu}", "-o", output, path], check=True)
        print(f"assembled for {gpu}: {output.stat().st_size} bytes")


def main():
    source = (FOLDER / "move_runs.cu").read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        for package in (NVRTC, NVCC):
            fetch(package, folder)
        root = pathlib.Path(folder) / "nvidia"
        ptx = compile_ptx(source, root / "cuda_nvrtc/lib/libnvrtc.so.12")
        digest = hashlib.sha256(source).hexdigest()
        ptx = f"// made by make_ptx.py with {NVRTC}\n// sha256 of move_runs.cu: {digest}\n{ptx.strip()}\n"
        assemble(ptx, root / "cuda_nvcc/bin/ptxas", folder)
    path = FOLDER / "move_runs.ptx"
    if "--check" in sys.argv[1:]:
        sys.exit(0 if path.exists() and path.read_text() == ptx else f"{path.name} is not what {path.stem}.cu comes to")
    path.write_text(ptx)


if __name__ == "__main__":
    main()
