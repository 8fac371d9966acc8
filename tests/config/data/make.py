"""Asks the real LMCache 0.5.6 what it takes and refuses, and writes the tables of this folder.

Run it in an environment where `lmcache`, `torch`, `awscrt` and `boto3` import, on a machine without CUDA.
"""

import argparse
import hashlib
import json
import logging
import pathlib

logging.disable(logging.CRITICAL)

from lmcache.v1.distributed.config import add_storage_manager_args, parse_args_to_config
from lmcache.v1.distributed.l2_adapters.config import parse_args_to_l2_adapters_config
from lmcache.v1.mp_observability.trace.recorder import safe_storage_config_dict

FOLDER = pathlib.Path(__file__).parent
PARSER = add_storage_manager_args(argparse.ArgumentParser(exit_on_error=False))

ADAPTER_VALUES = [
    "absent", "null", "true", "false", "0", "1", "-1", "8192", "0.5", "1.5", "1e300", "18446744073709551616",
    '"x"', '""', '"1"', "[]", "[1]", "{}", '{"type":"mock"}',
]  # fmt: skip
MOCK = {"type": "mock", "max_size_gb": 1, "mock_bandwidth_gb": 1}
ADAPTERS = {
    "mock": (MOCK, "affinity_tag shared eviction persist_enabled serde max_size_gb mock_bandwidth_gb"),
    "fs": ({"base_path": "/x"}, "base_path relative_tmp_dir read_ahead_size use_odirect"),
    "fs_native": (
        {"base_path": "/x"},
        "base_path relative_tmp_dir read_ahead_size use_odirect num_workers max_capacity_gb",
    ),
    "raw_block": (
        {"device_path": "/x", "slot_bytes": 8192},
        "device_path slot_bytes capacity_bytes use_odirect block_align header_bytes meta_total_bytes meta_magic "
        "meta_version meta_checkpoint_interval_sec meta_idle_quiet_ms meta_enable_periodic load_checkpoint_on_init "
        "meta_verify_on_load enable_zero_copy io_engine use_iouring use_uring iouring_queue_depth use_uring_cmd "
        "max_data_transfer_size fdp_enabled fdp_placement_ids fdp_data_placement_policy fdp_slot_reuse_policy "
        "meta_checkpoint_placement_id num_store_workers num_lookup_workers num_load_workers persist_enabled "
        "per_tp_device_paths",
    ),
    "resp": ({"host": "h", "port": 1}, "host port num_workers username password max_capacity_gb"),
    "s3": (
        {"s3_endpoint": "b.h", "s3_region": "r"},
        "s3_endpoint s3_region s3_num_io_threads s3_prefer_http2 s3_enable_s3express disable_tls "
        "aws_access_key_id aws_secret_access_key max_capacity_gb",
    ),
    "fault_inject": ({"inner": MOCK}, "inner rate seed gap_indices gap_tail_ratios"),
}

L1_VALUES = [
    "absent", "null", "true", "false", "0", "1", "-1", "4096", "3000", "0.5", "1.5", "1e300", "18446744073709551616",
    '"x"', '""', '" "', '"1"', '"_default"', "[]", "{}", '{"eviction_policy":"ARC"}', '{"eviction_policy":"MRU"}',
    '{"trigger_watermark":1,"eviction_ratio":0}', '{"trigger_watermark":1.01}', '{"eviction_ratio":true}',
    '{"eviction_ratio":-0.1}', '{"extra_logging_enabled":true}',
]  # fmt: skip
L1_COMMON = "type tag size_gb align_bytes eviction read_ttl_seconds write_ttl_seconds "
L1_BACKENDS = {
    "DRAM": ({}, L1_COMMON + "use_lazy init_size_gb shm_name use_hugepages path"),
    "DEVDAX": ({"path": "/dev/dax0.0"}, L1_COMMON + "path use_lazy shm_name"),
    "GDS": ({"path": "/nvme"}, L1_COMMON + "path backend direct_io use_lazy"),
}


def outcome(call):
    """1: taken; 0: ValueError; x: another exception."""
    try:
        call()
        return "1"
    except ValueError:
        return "0"
    except Exception:
        return "x"


def changed(values, name, value):
    values = dict(values)
    values.pop(name, None)
    return values if value == "absent" else {**values, name: json.loads(value)}


def adapter(values):
    parse_args_to_l2_adapters_config(argparse.Namespace(l2_adapter=[json.dumps(values)]))


def config(args):
    return parse_args_to_config(PARSER.parse_args(args))


def write_adapter_values():
    lines = [
        "# What LMCache 0.5.6 says of one key of an adapter with one value: 1 accepted, 0 ValueError, x another exception.",
        "# type key outcome of each value: " + " ".join(ADAPTER_VALUES),
    ]
    for kind, (least, keys) in ADAPTERS.items():
        least = {**least, "type": kind}
        for key in keys.split():
            row = [outcome(lambda: adapter(changed(least, key, value))) for value in ADAPTER_VALUES]
            lines.append(f"{kind} {key} {''.join(row)}")
    for key in ["eviction_policy", "trigger_watermark", "eviction_ratio"]:
        settings = [changed({"eviction_policy": "LRU"}, key, value) for value in ADAPTER_VALUES]
        row = [outcome(lambda: adapter({**MOCK, "eviction": setting})) for setting in settings]
        lines.append(f"eviction {key} {''.join(row)}")
    (FOLDER / "adapter_values.txt").write_text("\n".join(lines) + "\n")


def write_l1_values():
    lines = [
        "# What LMCache 0.5.6 says of one field of a tagged L1 with one value, on a machine that cannot pin memory, "
        "under --eviction-policy LRU: 1 accepted, 0 ValueError, x another exception.",
        "# type field outcome of each value: " + "|".join(L1_VALUES),
    ]
    for backend, (own, fields) in L1_BACKENDS.items():
        least = {"type": backend, "tag": "t", "size_gb": 0.5, **own}
        for field in fields.split():
            objects = [json.dumps(changed(least, field, value)) for value in L1_VALUES]
            row = [outcome(lambda: config(["--eviction-policy", "LRU", "--l1-manager", text])) for text in objects]
            lines.append(f"{backend} {field} {''.join(row)}")
    (FOLDER / "l1_values.txt").write_text("\n".join(lines) + "\n")


def dram(tag, **fields):
    return json.dumps({"type": "DRAM", "tag": tag, "size_gb": 0.25, **fields})


def fs(tag):
    return json.dumps({"type": "fs", "base_path": "/kv", "affinity_tag": tag})


def case(l1, l2=(), **flags):
    """One whole configuration, with its digest, or with its error."""
    args = [word for name, value in flags.items() for word in ("--" + name.replace("_", "-"), str(value))]
    args += [word for text in l1 for word in ("--l1-manager", text)]
    args += [word for text in l2 for word in ("--l2-adapter", text)]
    found = {"l1": list(l1), "l2": list(l2), "flags": flags}
    try:
        text = json.dumps(safe_storage_config_dict(config(args)), sort_keys=True)
        # With adapters there is an address in it.
        return found if l2 else {**found, "digest": hashlib.sha256(text.encode()).hexdigest()}
    except ValueError as error:
        return {**found, "error": f"ValueError: {error}"}


def cases():
    lru = {"eviction_policy": "LRU"}
    noop = {"eviction_policy": "noop"}
    own = {"eviction_policy": "ARC", "trigger_watermark": 1, "eviction_ratio": 0.25}
    plain, default, kv = dram("a"), dram("_default"), '{"type":"fs","base_path":"/kv"}'
    gds = json.dumps({"type": "GDS", "tag": "g", "size_gb": 1, "path": "/n"})
    yield case([plain], **lru)
    yield case([plain, dram("b")], **lru)
    three = [dram("a", size_gb=1, align_bytes=512), dram("b", eviction=own, read_ttl_seconds=5)]
    three.append(dram("_default", write_ttl_seconds=1))
    yield case(three, eviction_policy="IsolatedLRU", eviction_ratio=0.5, eviction_trigger_watermark=0.9)
    yield case([dram("a", eviction=noop), dram("b", eviction=noop)])
    yield case([dram("a", eviction=noop), dram("b")])
    yield case([plain])
    yield case([plain, plain], **lru)
    yield case([plain, dram(" a")], **lru)
    for names in ["pq", "pp"]:
        shared = [dram(tag, use_lazy=False, shm_name=name) for tag, name in zip("ab", names)]
        yield case(shared, **lru)
    yield case([dram("a", use_lazy=True, shm_name="p")], **lru)
    policies = {"l2_store_policy": "skip_l1", "l2_prefetch_policy": "retain", "l2_prefetch_max_in_flight": 1}
    ttls = {"l1_read_ttl_seconds": 7, "l1_write_ttl_seconds": 8}
    eager = dram("a", use_lazy=False, init_size_gb=0.1)
    yield case([eager], **lru, **ttls, **policies, periodic_notifier_interval_ms=2)
    yield case([plain], **lru, eviction_ratio=1.5)
    yield case([dram("\u00fc\u4e2d\U0001f600")], **lru)
    yield case([plain], [kv], **lru)
    yield case([default], [kv], **lru)
    yield case([plain, default], [kv, fs("a")], **lru)
    yield case([plain, dram("b")], [fs("a"), fs("c")], **lru)
    yield case([plain], [fs(" ")], **lru)
    for second in ["{", "[]", "{}", '{"type":"redis"}', '{"type":"fs"}']:
        yield case([default], [kv, second], **lru)
    yield case([plain, gds], **lru)
    yield case([gds, gds.replace('"g"', '"h"')], **lru)
    yield case([plain, gds], [fs("g")], **lru)


write_adapter_values()
write_l1_values()
(FOLDER / "whole.jsonl").write_text("".join(json.dumps(found) + "\n" for found in cases()))
