"""LMCache's replay beside ours, as fast as both go: calls a second, in turn.

Run it with the Python of an environment that has LMCache 0.5.6, on unpacked traces, each with the size of its L1 in GB:

    LMCACHE_TRACK_USAGE=false LMCACHE_DISABLE_BANNER=1 python lmcache_replay.py ../../target/release/lmcache-trace \\
        mooncake_conv_30k.lct 0.1229 rate_5000.lct 1

LMCache's replay has no pace but the recorded one, so both get a copy of the trace of which every record is due at 0.
"""

import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

import msgspec

ROUNDS = 3


def due_at_once(source, copy):
    data, position = source.read_bytes(), 0
    with copy.open("wb") as out:
        while position < len(data):
            (length,) = struct.unpack_from(">I", data, position)
            frame = msgspec.msgpack.decode(data[position + 4 : position + 4 + length])
            position += 4 + length
            if frame.get("type") == "record":
                frame["t_mono"] = 0.0
            packed = msgspec.msgpack.encode(frame)
            out.write(struct.pack(">I", len(packed)) + packed)


def calls_per_s(command, trace, l1_gb, folder):
    flags = ["--l1-size-gb", l1_gb, "--eviction-policy", "LRU", "--output-dir", folder, "--json"]
    subprocess.run([*command, str(trace), *flags], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    summary = json.loads((pathlib.Path(folder) / "trace_replay_summary.json").read_text())
    return sum(op["count"] for op in summary["ops"].values()) / summary["duration_s"]


def main():
    ours, *pairs = sys.argv[1:]
    lmcache = os.path.join(os.path.dirname(sys.executable), "lmcache")
    commands = {
        "LMCache": [lmcache, "trace", "replay", "--disable-observability"],
        "ours": [ours, "replay", "--asap", "--compat", "lmcache"],
    }
    with tempfile.TemporaryDirectory() as folder:
        for trace, l1_gb in zip(pairs[::2], pairs[1::2]):
            copy = pathlib.Path(folder) / "copy.lct"
            due_at_once(pathlib.Path(trace), copy)
            rates = {name: [] for name in commands}
            for _ in range(ROUNDS):
                for name, command in commands.items():
                    rates[name].append(calls_per_s(command, copy, l1_gb, folder))
            for name, values in rates.items():
                print(f"{trace} {name:8} calls/s: {' '.join(f'{value:,.0f}' for value in values)}")
            times = sorted(mine / theirs for mine, theirs in zip(rates["ours"], rates["LMCache"]))
            print(f"{trace} times: {times[0]:.0f} to {times[-1]:.0f}, median {times[len(times) // 2]:.0f}")


if __name__ == "__main__":
    main()
