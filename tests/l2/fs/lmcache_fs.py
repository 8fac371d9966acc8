"""The other side of interop.rs: stores or loads objects with LMCache's own `fs` adapter.

`python lmcache_fs.py store|load BASE` reads a JSON list of [model, kv_rank, group, hash, salt, seed, size] from its
standard input, and prints the list of what came of each: true where the object was stored or loaded with its bytes.
"""

import json
import sys
import time

from lmcache.v1.distributed.api import ObjectKey
from lmcache.v1.distributed.l2_adapters.fs_l2_adapter import FSL2Adapter, FSL2AdapterConfig


class Buffer:
    def __init__(self, data):
        self.byte_array = memoryview(data)


def payload(seed, size):
    return bytearray((seed * 31 + i * 7 + i // 256) & 0xFF for i in range(size))


def main():
    action, base = sys.argv[1:]
    rows = json.load(sys.stdin)
    keys = [
        ObjectKey(chunk_hash=bytes.fromhex(h), model_name=m, kv_rank=r, object_group_id=g, cache_salt=s)
        for m, r, g, h, s, _, _ in rows
    ]
    adapter = FSL2Adapter(FSL2AdapterConfig(base_path=base))
    expected = [payload(seed, size) for *_, seed, size in rows]
    if action == "store":
        task = adapter.submit_store_task(keys, [Buffer(data) for data in expected])
        while not (done := adapter.pop_completed_store_tasks()):
            time.sleep(0.01)
        result = [done[task].is_successful()] * len(rows)
    else:
        found = [bytearray(len(data)) for data in expected]
        task = adapter.submit_load_task(keys, [Buffer(data) for data in found])
        while (bits := adapter.query_load_result(task)) is None:
            time.sleep(0.01)
        result = [bits.test(i) and found[i] == expected[i] for i in range(len(rows))]
    adapter.close()
    print(json.dumps(result))


main()
