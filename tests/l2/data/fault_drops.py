"""Writes fault_drops.json: which positions of a load LMCache 0.5.6's FaultInjectL2Adapter drops.

Run with the real LMCache installed: python fault_drops.py > fault_drops.json
"""

import json
import random

from lmcache.v1.distributed.api import ObjectKey
from lmcache.v1.distributed.l2_adapters.fault_inject_l2_adapter import FaultInjectL2Adapter as Adapter

random.seed(18)
MODELS = ["m", "org/model", "mod\u00e8le-\u6a21", "", "a b:c"]
SALTS = ["", "tenant", "s\u00e9l", "1:2"]


def key():
    return ObjectKey(
        chunk_hash=random.randbytes(random.choice([0, 4, 32, 40])),
        model_name=random.choice(MODELS),
        kv_rank=random.choice([0, 1, -5, 0x08050401, 1 << 40]),
        object_group_id=random.choice([0, 1, 18]),
        cache_salt=random.choice(SALTS),
    )


def case(number):
    adapter = Adapter.__new__(Adapter)
    count = random.choice([0, 1, 2, 3, 4, 7, 8, 16, 33, 100])
    adapter._rate = random.choice([0.0, 1e-7, 0.01, 0.1, 0.29, 0.3, 0.5, 0.57, 0.999999, 1.0])
    adapter._seed = random.choice([0, 1, -1, 42, 1 << 60, -(1 << 62)])
    adapter._gap_indices = frozenset(random.sample(range(120), random.choice([0, 0, 1, 3])))
    ratios = [0.0, 1.0, 0.5, 0.25, 0.75, 0.1, 0.9, 1 / 3, 0.49999999, random.random()]
    adapter._gap_tail_ratios = tuple(random.sample(ratios, random.choice([0, 0, 1, 2, 4])))
    keys = [key() for _ in range(count)]
    return {
        "rate": adapter._rate,
        "seed": adapter._seed,
        "gap_indices": sorted(adapter._gap_indices),
        "gap_tail_ratios": list(adapter._gap_tail_ratios),
        "keys": [[k.chunk_hash.hex(), k.model_name, k.kv_rank, k.object_group_id, k.cache_salt] for k in keys],
        "dropped": adapter._drop_positions(keys),
    }


cases = [json.dumps(case(number), ensure_ascii=True, separators=(",", ":")) for number in range(120)]
print("[" + ",\n".join(cases) + "]")
