"""Records from Python through ctypes: calls of 16 keys, and says how long one takes.

    record.py LIBRARY TRACE [CALLS]
"""

import ctypes
import sys
import time


class KeyList(ctypes.Structure):
    _fields_ = [
        ("hashes", ctypes.c_void_p),
        ("count", ctypes.c_size_t),
        ("hash_bytes", ctypes.c_size_t),
        ("scope", ctypes.c_void_p),
        ("scopes", ctypes.c_void_p),
    ]


class RecorderOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("full_policy", ctypes.c_uint32),
        ("path", ctypes.c_char_p),
        ("node", ctypes.c_char_p),
        ("storage_config_json", ctypes.c_char_p),
        ("ring_bytes", ctypes.c_uint64),
        ("max_file_bytes", ctypes.c_uint64),
        ("max_file_age_ns", ctypes.c_uint64),
        ("max_total_bytes", ctypes.c_uint64),
        ("sync_interval_ns", ctypes.c_uint64),
        ("poll_interval_ns", ctypes.c_uint64),
        ("starts_disabled", ctypes.c_uint32),
        ("interning", ctypes.c_uint32),
        ("on_stop", ctypes.c_void_p),
        ("on_stop_user_data", ctypes.c_void_p),
    ]


class RecorderStats(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("reserved", ctypes.c_uint32)] + [
        (name, ctypes.c_uint64)
        for name in (
            "calls lost late completions lost_completions file_bytes files deleted_files threads".split()
        )
    ]


def main() -> None:
    library, trace = sys.argv[1:3]
    calls = int(sys.argv[3]) if len(sys.argv) > 3 else 1000
    # PyDLL keeps Python's lock during a call: to give it up and take it again costs more than to record.
    lmcache = ctypes.PyDLL(library)
    lmcache.lmcache_status_name.restype = ctypes.c_char_p

    def check(status: int) -> None:
        if status != 0:
            why = ctypes.create_string_buffer(512)
            lmcache.lmcache_last_error(why, ctypes.c_size_t(512))
            raise RuntimeError(f"{lmcache.lmcache_status_name(status).decode()}: {why.value.decode()}")

    check(lmcache.lmcache_check_abi(1 << 16))
    scope = ctypes.c_void_p()
    check(
        lmcache.lmcache_scope_new(
            b"org/model", ctypes.c_int64(0x01000100), ctypes.c_uint32(0), None, ctypes.byref(scope)
        )
    )
    options = RecorderOptions(struct_size=ctypes.sizeof(RecorderOptions), path=trace.encode(), full_policy=1)
    recorder = ctypes.c_void_p()
    check(lmcache.lmcache_recorder_open(ctypes.byref(options), ctypes.byref(recorder)))
    producer = ctypes.c_void_p()
    check(lmcache.lmcache_producer_new(recorder, ctypes.byref(producer)))

    hashes = b"".join(number.to_bytes(32, "little") for number in range(1, 17))
    buffer = ctypes.create_string_buffer(hashes, len(hashes))
    keys = KeyList(ctypes.addressof(buffer), 16, 32, scope, None)
    keys_at = ctypes.byref(keys)
    finish_write = lmcache.lmcache_producer_finish_write
    finish_write.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    finish_write.restype = ctypes.c_int
    number = producer.value

    begun = time.perf_counter_ns()
    for _ in range(calls):
        if finish_write(number, keys_at, None):
            raise RuntimeError("a call was not recorded")
    call_ns = (time.perf_counter_ns() - begun) / calls

    check(lmcache.lmcache_producer_free(producer))
    check(lmcache.lmcache_recorder_close(recorder))
    stats = RecorderStats(struct_size=ctypes.sizeof(RecorderStats))
    check(lmcache.lmcache_recorder_get_stats(recorder, ctypes.byref(stats)))
    check(lmcache.lmcache_recorder_free(recorder))
    check(lmcache.lmcache_scope_free(scope))
    print(f"{stats.calls} calls, {stats.lost} lost")
    print(f"{call_ns:.0f} ns a call of 16 keys", file=sys.stderr)


main()
