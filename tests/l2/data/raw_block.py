"""Writes raw_block.json: a device as the real LMCache 0.5.6 leaves it when it is killed, and what it finds there.

Run with the real LMCache installed: python raw_block.py > raw_block.json
The native module that opens devices is not in LMCache's wheel; a plain file stands in for it here.
"""

import json
import os
import sys
import tempfile
import types


class RawBlockDevice:
    def __init__(self, path, **_):
        self.fd = os.open(path, os.O_RDWR)

    def size_bytes(self):
        return os.fstat(self.fd).st_size

    def pwrite_from_buffer(self, offset, buffer, payload_len, total_len):
        data = bytes(buffer)[:payload_len]
        os.pwrite(self.fd, data + bytes(total_len - len(data)), offset)

    def pread_into(self, offset, buffer, payload_len, total_len):
        memoryview(buffer).cast("B")[:payload_len] = os.pread(self.fd, total_len, offset)[:payload_len]

    def close(self):
        os.close(self.fd)

    def worker_error(self):
        return None

    def fixed_buffer_status(self):
        return False, 0


module = types.ModuleType("lmcache_rust_raw_block_io")
module.RawBlockDevice = RawBlockDevice
sys.modules["lmcache_rust_raw_block_io"] = module

import torch  # noqa: E402
from lmcache.v1.distributed.api import ObjectKey  # noqa: E402
from lmcache.v1.memory_management import MemoryFormat  # noqa: E402
from lmcache.v1.storage_backend.raw_block.core import RawBlockCore, RawBlockCoreConfig  # noqa: E402
from lmcache.v1.storage_backend.raw_block.key_codec import encode_object_key  # noqa: E402

SLOTS, SLOT, META = 10, 16384, 65536
PATH = "device"


def config(odirect):
    return RawBlockCoreConfig(
        device_path=PATH, capacity_bytes=0, block_align=4096, header_bytes=4096, slot_bytes=SLOT,
        use_odirect=odirect, enable_zero_copy=False, meta_total_bytes=META, meta_magic=b"LMCIDX01",
        meta_version=1, meta_checkpoint_interval_sec=60, meta_idle_quiet_ms=100, meta_enable_periodic=False,
        meta_verify_on_load=True,
    )


def key(number):
    models = ["m", "org/mod\u00e8l e", "\u6a21%~_.-", "", "a"]
    salts = ["", "tenant", "s\u00e9l \u6a21", "1:2", "\U0001f600"]
    ranks = [0, 0x08050401, -5, 1 << 40, 0xFFFFFFFF]
    return ObjectKey(bytes(range(number, number + 4 * (number % 3))), models[number % 5], ranks[number % 5],
                     number * 7, salts[number % 5])


def obj(number, size):
    dtypes = [torch.bfloat16, torch.float16, torch.uint8, torch.float8_e4m3fn, torch.uint16]
    data = bytes((number * 31 + i * 7 + i // 256) % 256 for i in range(size))
    metadata = types.SimpleNamespace(shape=torch.Size([2, number, size]), dtype=dtypes[number % 5],
                                     cached_positions=None, fmt=MemoryFormat.KV_2LTD)
    return types.SimpleNamespace(byte_array=data, metadata=metadata)


SIZES = {0: 100, 1: 4096, 2: 12288, 3: 5000, 4: 1, 5: 777, 6: 8192, 7: 4097}


def put(core, number):
    spec = encode_object_key(key(number))
    result = core.put_many([spec], [obj(number, SIZES[number])])
    assert result.results == [True]


def image():
    """The stretches of the device that are not zeros, as [offset, hex]."""
    with open(PATH, "rb") as file:
        data = file.read()
    stretches = []
    for at in range(0, len(data), 64):
        block = data[at : at + 64].rstrip(b"\0")
        if block:
            if stretches and stretches[-1][0] + len(stretches[-1][1]) == at:
                stretches[-1][1] += block
            else:
                stretches.append([at, bytearray(block)])
    return [[at, content.hex()] for at, content in stretches]


def case(odirect):
    with open(PATH, "wb") as file:
        file.truncate(META + SLOTS * SLOT + 100)
    core = RawBlockCore(config(odirect), key_namespace="object")
    for number in range(5):
        put(core, number)
    encoded = [encode_object_key(key(number)).encoded for number in range(8)]
    core.delete_many([encoded[1], encoded[3]])
    put(core, 5)
    core.checkpoint_now()
    put(core, 6)
    core.checkpoint_now()
    checkpointed = image()
    core.delete_many([encoded[0]])
    put(core, 7)
    crashed = image()
    core.close = lambda: None
    again = RawBlockCore(config(odirect), key_namespace="object")
    found = {k: [e.offset, e.size] for k, e in again._index.items()}
    status = again.report_status()
    return {
        "odirect": odirect, "device_bytes": os.path.getsize(PATH), "checkpointed": checkpointed, "crashed": crashed, "found": found,
        "free": list(again._free_slots), "next_slot": status["next_slot"], "seq": status["metadata_seq"],
        "max_slots": status["max_slots"],
        "keys": [[key(n).chunk_hash.hex(), key(n).model_name, key(n).kv_rank, key(n).object_group_id,
                  key(n).cache_salt, encoded[n], str(encode_object_key(key(n)).slot_identity)] for n in range(8)],
        "sizes": [SIZES[n] for n in range(8)],
        "status_keys": list(status),
    }


os.chdir(tempfile.mkdtemp())
print(json.dumps([case(False), case(True)], ensure_ascii=True, separators=(",", ":")))
