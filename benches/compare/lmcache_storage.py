"""LMCache's storage manager by the rows of `storage.rs`: nanoseconds a key, one thread, 16 keys a call.

Run it with the Python of an environment that has LMCache 0.5.6 (and the torch that it asks for), beside
`cargo bench --bench storage -- "LRU"` on the same machine:

    LMCACHE_TRACK_USAGE=false LMCACHE_DISABLE_BANNER=1 python lmcache_storage.py

As there, 100,000 other objects are resident, of one page each, since the bytes are not looked at.
"""

import argparse
import os
import statistics
import time

import torch
from lmcache.v1.distributed.api import GroupedObjectKeys, MemoryLayoutDesc, ObjectKey, PrefetchTaskSpec
from lmcache.v1.distributed.config import add_storage_manager_args, parse_args_to_config
from lmcache.v1.distributed.storage_manager import StorageManager

BATCH = 16
RESIDENT = 100_000
CALLS = 500
ROUNDS = 9


def key(number):
    chunk_hash = (number * 0x9E3779B97F4A7C15 % 2**64).to_bytes(8, "little") + bytes(24)
    return ObjectKey(chunk_hash=chunk_hash, model_name="model", kv_rank=0x01000100, object_group_id=0, cache_salt="")


def manager():
    flags = ["--l1-size-gb", "1", "--no-l1-use-lazy", "--eviction-policy", "LRU"]
    arguments = add_storage_manager_args(argparse.ArgumentParser()).parse_args(flags)
    arguments.shm_name = ""
    return StorageManager(parse_args_to_config(arguments))


def write(storage, keys, layout):
    spent = 0
    for _ in range(CALLS):
        start = time.monotonic_ns()
        storage.reserve_write(keys, layout)
        storage.finish_write(keys)
        spent += time.monotonic_ns() - start
        storage.delete_l1_keys(keys, False)
    return spent


def read(storage, keys, layout):
    spec = PrefetchTaskSpec(key_groups=[GroupedObjectKeys(keys=keys, object_group_id=0, layout_desc=layout)])
    start = time.monotonic_ns()
    for _ in range(CALLS):
        handle = storage.submit_prefetch_task(spec)
        while storage.query_prefetch_status(handle) is None:
            pass
        with storage.read_prefetched_results(keys) as objects:
            assert len(objects) == BATCH
        storage.finish_read_prefetched(keys, 1)
    return time.monotonic_ns() - start


def main():
    storage = manager()
    layout = MemoryLayoutDesc(shapes=[torch.Size([2048])], dtypes=[torch.bfloat16])
    keys = [key(number) for number in range(RESIDENT + BATCH)]
    for first in range(0, RESIDENT, 1000):
        batch = keys[first : first + 1000]
        assert len(storage.reserve_write(batch, layout)) == len(batch)
        storage.finish_write(batch)
    rows = {
        "reserve + finish write": lambda: write(storage, keys[RESIDENT:], layout),
        "prefetch + read + finish": lambda: read(storage, keys[:BATCH], layout),
    }
    spent = {name: [] for name in rows}
    for _ in range(ROUNDS):
        for name, row in rows.items():
            spent[name].append(row() / (CALLS * BATCH))
    for name, rounds in spent.items():
        print(f"LMCache {name:<30} {statistics.median(rounds[1:]):>10.1f} ns/key", flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
