/* The C interface of liblmcache. SPDX-License-Identifier: Apache-2.0
 *
 * Made by cbindgen from src/ffi; do not edit. `LMCACHE_BLESS=1 cargo test --test header` makes it anew.
 * Needs C99 or C++11. Every rule of the interface is in the comment of the function that it is about. */

#ifndef LMCACHE_H
#define LMCACHE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include "lmcache_l2_plugin.h"

/**
 * Whether calls are recorded at the moment, from `lmcache_recorder_gate`: one load, for hosts that want to spare themselves more.
 */
static inline int lmcache_is_recording(const volatile uint32_t *gate) { return *gate != 0; }

/** A struct that may grow, with its size and zeroes, which are the defaults. */
#ifdef __cplusplus
#define LMCACHE_INIT(type) ([] { type made{}; made.struct_size = sizeof(type); return made; }())
#else
#define LMCACHE_INIT(type) {.struct_size = sizeof(type)}
#endif
#define LMCACHE_RECORDER_OPTIONS_INIT LMCACHE_INIT(lmcache_recorder_options)
#define LMCACHE_STORAGE_OPTIONS_INIT LMCACHE_INIT(lmcache_storage_options)
#define LMCACHE_L2_ADAPTER_TABLE_INIT LMCACHE_INIT(lmcache_l2_adapter_table)

/**
 * The version of the C ABI that this library speaks. It goes up whenever a host compiled against an older
 * header could misread what a newer library does.
 */
#define LMCACHE_ABI_VERSION 1

/**
 * Keys of a list, at most.
 */
#define LMCACHE_MAX_KEYS 1048576

/**
 * Bytes of a hash, at most.
 */
#define LMCACHE_MAX_HASH_BYTES 4096

/**
 * Tensors of a layout, and dimensions of a tensor, at most.
 */
#define LMCACHE_MAX_TENSORS 1024

/**
 * Rows of a prefetch, at most.
 */
#define LMCACHE_MAX_ROWS 4096

/**
 * The longest prefix that every row can serve, given its window.
 */
#define LMCACHE_FETCH_PREFIX 0

/**
 * Every column that all rows have.
 */
#define LMCACHE_FETCH_FULL 1

/**
 * Hits stay locked for reading until their readers finish.
 */
#define LMCACHE_LOCK 0

/**
 * Nothing stays locked: the prefetch only warms L1.
 */
#define LMCACHE_NO_LOCK 1

/**
 * Bytes of a call of the host's own, at most.
 */
#define LMCACHE_MAX_HOST_CALL_BYTES (1 << 24)

/**
 * How a recorded call ended: it did all that it was asked for.
 */
#define LMCACHE_OUTCOME_DONE 1

/**
 * It did some of it.
 */
#define LMCACHE_OUTCOME_PARTLY 2

/**
 * It did none of it.
 */
#define LMCACHE_OUTCOME_FAILED 3

/**
 * It returned an error, or raised.
 */
#define LMCACHE_OUTCOME_RAISED 4

/**
 * When the data of a call was there, if that is not known.
 */
#define LMCACHE_NOT_KNOWN_NS 18446744073709551615ull

/**
 * What happened to a key, by LMCache's numbers: it was done.
 */
#define LMCACHE_KEY_SUCCESS 1

/**
 * There is no such object; for readers this includes one that is being written.
 */
#define LMCACHE_KEY_NOT_EXIST 2

/**
 * The object is there, but nobody holds a read lock on it.
 */
#define LMCACHE_KEY_NOT_READABLE 3

/**
 * The object is there already, or is being written.
 */
#define LMCACHE_KEY_NOT_WRITABLE 4

/**
 * The lock that the call ends is not held, or has expired.
 */
#define LMCACHE_KEY_IN_WRONG_STATE 5

/**
 * Somebody reads or writes the object.
 */
#define LMCACHE_KEY_IS_LOCKED 6

/**
 * Not all objects of the call fit.
 */
#define LMCACHE_KEY_OUT_OF_MEMORY 7

/**
 * Reserves keys that are not there yet: what LMCache 0.5.6 does.
 */
#define LMCACHE_WRITE_NEW 0

/**
 * Reserves keys that are there, with their buffers as they are.
 */
#define LMCACHE_WRITE_UPDATE 1

/**
 * Reserves either.
 */
#define LMCACHE_WRITE_ALL 2

/**
 * The cells of a row that are in L1 and, unless the prefetch asked for no locks, locked for its readers.
 */
#define LMCACHE_CELLS_HIT 0

/**
 * Those of them that L1 had.
 */
#define LMCACHE_CELLS_L1_HIT 1

/**
 * Those of them that came from L2.
 */
#define LMCACHE_CELLS_L2_HIT 2

/**
 * What was there when the prefetch was planned, hit or not; known for LMCACHE_FETCH_FULL only.
 */
#define LMCACHE_CELLS_FOUND 3

/**
 * The L1 manager of a cell that is no hit, or not locked.
 */
#define LMCACHE_NO_L1_MANAGER 4294967295

/**
 * Threads that may call a table, at most.
 */
#define LMCACHE_MAX_L2_WORKERS 1024

/**
 * How a call ended: 0 is success, above it are outcomes that are no errors, below it are errors, of which
 * `lmcache_last_error` has the sentence. Numbers never change their meaning; one that a host does not know counts by its sign.
 */
enum lmcache_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * It did what it was asked to.
   */
  LMCACHE_STATUS_OK = 0,
  /**
   * There is nothing more.
   */
  LMCACHE_STATUS_END = 1,
  /**
   * The result is not there yet.
   */
  LMCACHE_STATUS_PENDING = 2,
  /**
   * The call was not recorded: recording is off, the ring was full, or the call was too large. Counted where it was attempted.
   */
  LMCACHE_STATUS_DROPPED = 3,
  /**
   * There was nothing, or not all of it, and so nothing was given.
   */
  LMCACHE_STATUS_MISS = 4,
  /**
   * What was passed can never be right.
   */
  LMCACHE_STATUS_INVALID_ARGUMENT = -1,
  /**
   * A pointer that must not be NULL is.
   */
  LMCACHE_STATUS_NULL_POINTER = -2,
  /**
   * No handle, one of another kind, or one that was freed.
   */
  LMCACHE_STATUS_INVALID_HANDLE = -3,
  /**
   * The handle belongs to another thread.
   */
  LMCACHE_STATUS_WRONG_THREAD = -4,
  /**
   * The handle is in use: by another thread, or by the call that this one came from.
   */
  LMCACHE_STATUS_BUSY = -5,
  /**
   * A call on this handle panicked; only freeing it works.
   */
  LMCACHE_STATUS_POISONED = -6,
  /**
   * The handle was closed.
   */
  LMCACHE_STATUS_CLOSED = -7,
  /**
   * The system refused something.
   */
  LMCACHE_STATUS_IO = -8,
  /**
   * A file or a key is not there.
   */
  LMCACHE_STATUS_NOT_FOUND = -9,
  /**
   * Bytes are not what they claim to be.
   */
  LMCACHE_STATUS_CORRUPT = -10,
  /**
   * Bytes end before what they promise.
   */
  LMCACHE_STATUS_TRUNCATED = -11,
  /**
   * A version of a format or of this interface that is not spoken.
   */
  LMCACHE_STATUS_UNSUPPORTED_VERSION = -12,
  /**
   * This build does not have it.
   */
  LMCACHE_STATUS_UNSUPPORTED = -13,
  /**
   * Memory could not be had.
   */
  LMCACHE_STATUS_OUT_OF_MEMORY = -14,
  /**
   * A policy of the storage manager cannot work as it was asked to.
   */
  LMCACHE_STATUS_POLICY = -15,
  /**
   * It took longer than it was given.
   */
  LMCACHE_STATUS_TIMEOUT = -16,
  /**
   * A limit of this interface: handles, or calls within callbacks.
   */
  LMCACHE_STATUS_TOO_MANY = -17,
  /**
   * A defect of the library; the handle is poisoned.
   */
  LMCACHE_STATUS_PANIC = -128,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum lmcache_status lmcache_status;
#else
typedef int32_t lmcache_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How an object lies in memory: the shape and type of each of its tensors. It never changes; any number of threads may use it at
 * once.
 */
typedef struct lmcache_layout lmcache_layout;

/**
 * A prefetch that was submitted. One thread at a time may use it, whichever; a second one gets BUSY.
 */
typedef struct lmcache_prefetch lmcache_prefetch;

/**
 * What a thread records with. It belongs to the thread that made it.
 */
typedef struct lmcache_producer lmcache_producer;

/**
 * A recording. Any number of threads may use it at once.
 */
typedef struct lmcache_recorder lmcache_recorder;

/**
 * What the keys of a prompt have in common: model, rank, object group and tenant. It never changes; any number of threads may
 * use it at once.
 */
typedef struct lmcache_scope lmcache_scope;

/**
 * A storage manager: LMCache's, with its L1, its L2 adapters and its threads. Any number of threads may use it at once.
 */
typedef struct lmcache_storage lmcache_storage;

/**
 * Told a sentence: a warning of something that no call returned. Called on threads of the library, one call at a time. `text` ends in
 * NUL and is borrowed for the time of the call. It must return. `lmcache_set_log_callback` is BUSY in it, and what it makes the library
 * say is said to nobody.
 */
typedef void (*lmcache_log_callback)(const char *text, void *user_data);

/**
 * One tensor of a layout.
 */
typedef struct {
  /**
   * Its dimensions.
   */
  const uint64_t *shape;
  /**
   * How many there are.
   */
  size_t dimensions;
  /**
   * The name of its type in torch, for instance "torch.bfloat16".
   */
  const char *dtype;
} lmcache_tensor;

/**
 * Told once if a recording stops by itself, on the recorder's own thread: the disk is full, a limit is reached, the folder is gone.
 * `reason` ends in NUL and is borrowed for the time of the call. It must return, and may call anything but
 * `lmcache_recorder_close` and `lmcache_recorder_free` on this recorder, which wait for that thread.
 */
typedef void (*lmcache_stop_callback)(const char *reason, void *user_data);

/**
 * How to record. `LMCACHE_RECORDER_OPTIONS_INIT` has the defaults, which are zero; `path` has to be set.
 */
typedef struct {
  /**
   * `sizeof(lmcache_recorder_options)`.
   */
  uint32_t struct_size;
  /**
   * What a call does whose thread's ring is full: 0 it is dropped and counted, 1 it waits for the writer.
   */
  uint32_t full_policy;
  /**
   * The file, which is overwritten; files that follow it are `name.000001.lct` and so on.
   */
  const char *path;
  /**
   * What the operator calls this node, for the file; may be NULL.
   */
  const char *node;
  /**
   * LMCache's configuration of the storage manager as JSON, for the file; may be NULL. Its SHA-256 goes with it.
   */
  const char *storage_config_json;
  /**
   * Bytes of each thread's ring, a power of two from 64 KiB to 1 GiB; 0 for 1 MiB.
   */
  uint64_t ring_bytes;
  /**
   * A file of this length is followed by another; 0 for never.
   */
  uint64_t max_file_bytes;
  /**
   * So is a file of this age; 0 for never.
   */
  uint64_t max_file_age_ns;
  /**
   * The oldest files are deleted before all of them together are longer; 0 for never, else at least 4 MiB.
   */
  uint64_t max_total_bytes;
  /**
   * What was recorded is on the disk within about this time, so that a power cut loses no more; 0 leaves that to the kernel.
   */
  uint64_t sync_interval_ns;
  /**
   * How long the writer sleeps when the rings are empty; 0 for 100 us.
   */
  uint64_t poll_interval_ns;
  /**
   * 1 to begin with the gate shut, until `lmcache_recorder_set_enabled`.
   */
  uint32_t starts_disabled;
  /**
   * Whether a list of keys that stands in the file already is named instead of repeated: 0 when the writer has time, 1 always, 2
   * never.
   */
  uint32_t interning;
  /**
   * Told if the recording stops by itself; may be NULL. Beside it the log callback is told.
   */
  lmcache_stop_callback on_stop;
  /**
   * What it gets back.
   */
  void *on_stop_user_data;
} lmcache_recorder_options;

/**
 * What a recording has done so far. Calls and losses are right once it is flushed or closed.
 */
typedef struct {
  /**
   * Calls that are in the files.
   */
  uint64_t calls;
  /**
   * Calls that were attempted and are not; the file says which and where.
   */
  uint64_t lost;
  /**
   * Calls that came late: after later ones had been written.
   */
  uint64_t late;
  /**
   * Completions in the files.
   */
  uint64_t completions;
  /**
   * Completions that found the ring full.
   */
  uint64_t lost_completions;
  /**
   * Bytes of all files, those that were deleted since included.
   */
  uint64_t file_bytes;
  /**
   * Files, those included.
   */
  uint64_t files;
  /**
   * Files that were deleted to keep to the bound.
   */
  uint64_t deleted_files;
  /**
   * Threads that have recorded.
   */
  uint64_t threads;
} lmcache_recorder_stats;

/**
 * A list of keys: `count` hashes of `hash_bytes` each, one after the other, and the scope that they have in common; or, if
 * `scopes` is not NULL, one scope for each, and `scope` is not looked at. Borrowed for the time of the call.
 */
typedef struct {
  /**
   * The hashes.
   */
  const uint8_t *hashes;
  /**
   * How many there are; at most LMCACHE_MAX_KEYS.
   */
  size_t count;
  /**
   * Bytes of each; 1 to LMCACHE_MAX_HASH_BYTES. LMCache's have 32.
   */
  size_t hash_bytes;
  /**
   * The scope of all keys.
   */
  const lmcache_scope *scope;
  /**
   * NULL, or `count` scopes.
   */
  const lmcache_scope *const *scopes;
} lmcache_key_list;

/**
 * A recorded call, so that what became of it can be recorded too. Its fields mean nothing to a host.
 */
typedef struct {
  /**
   * Which call of which thread.
   */
  uint64_t number;
  /**
   * Which kind.
   */
  uint32_t kind;
  /**
   * Nothing.
   */
  uint32_t reserved;
} lmcache_call_id;

/**
 * One row of a prefetch: the keys of one object group and rank, chunk after chunk.
 */
typedef struct {
  /**
   * Its keys.
   */
  lmcache_key_list keys;
  /**
   * The layout of their objects.
   */
  const lmcache_layout *layout;
  /**
   * How many of the last chunks are needed; -1 for all.
   */
  int64_t sliding_window_size;
  /**
   * The object group.
   */
  uint32_t object_group_id;
  /**
   * Nothing; 0.
   */
  uint32_t reserved;
} lmcache_prefetch_row;

/**
 * What a prefetch asks for: rows of keys, all of one length.
 */
typedef struct {
  /**
   * The rows.
   */
  const lmcache_prefetch_row *rows;
  /**
   * How many; at most LMCACHE_MAX_ROWS.
   */
  size_t row_count;
  /**
   * How many readers will each release one lock.
   */
  int64_t num_kv_readers;
  /**
   * LMCACHE_FETCH_PREFIX or LMCACHE_FETCH_FULL.
   */
  uint32_t fetching_policy;
  /**
   * LMCACHE_LOCK or LMCACHE_NO_LOCK.
   */
  uint32_t lock_mode;
  /**
   * 1 to look in L1 only.
   */
  uint32_t skip_l2;
  /**
   * Nothing; 0.
   */
  uint32_t reserved;
} lmcache_prefetch_spec;

/**
 * What became of a call.
 */
typedef struct {
  /**
   * One of LMCACHE_OUTCOME_*.
   */
  uint32_t outcome;
  /**
   * Keys that were asked for.
   */
  uint32_t requested_keys;
  /**
   * Keys that were reserved, found, read or released.
   */
  uint32_t hit_keys;
  /**
   * Nothing; 0.
   */
  uint32_t reserved;
  /**
   * How long the call took.
   */
  uint64_t duration_ns;
  /**
   * From the call to the moment its data was there; LMCACHE_NOT_KNOWN_NS if that is not known.
   */
  uint64_t data_ready_ns;
  /**
   * Bytes of the objects of those keys.
   */
  uint64_t bytes;
} lmcache_completion;

/**
 * What a storage manager is made of. `LMCACHE_STORAGE_OPTIONS_INIT` has the defaults, which are zero; `config_json` has to be set.
 */
typedef struct {
  /**
   * `sizeof(lmcache_storage_options)`.
   */
  uint32_t struct_size;
  /**
   * 1 to count what happens, for `lmcache_storage_metrics_text`; it costs every call a little.
   */
  uint32_t with_metrics;
  /**
   * The configuration as one JSON object: the flags of docs/configuration.md by their names, without "--" and with "_" for "-", for
   * instance {"l1_size_gb": 4, "eviction_policy": "LRU", "l2_adapter": [{"type": "fs", "base_path": "/data/kv"}]}.
   */
  const char *config_json;
  /**
   * The share of the objects whose life is measured, above 0 and at most 1; 0 for 0.01.
   */
  double metrics_sample_rate;
} lmcache_storage_options;

/**
 * The buffer of a key that was reserved.
 */
typedef struct {
  /**
   * Where the object is written to; NULL if the key was not reserved.
   */
  uint8_t *data;
  /**
   * Bytes of the object, as its layout has it; 0 if it was not reserved.
   */
  uint64_t size_bytes;
  /**
   * One of LMCACHE_KEY_*.
   */
  uint32_t outcome;
  /**
   * Which L1 manager it lies in: 0 where there is one.
   */
  uint32_t l1_manager;
} lmcache_write_buffer;

/**
 * The bytes of an object in L1. They must not be written.
 */
typedef struct {
  /**
   * Where it lies; NULL if the key cannot be read.
   */
  const uint8_t *data;
  /**
   * Its bytes; 0 if it cannot be read.
   */
  uint64_t size_bytes;
  /**
   * One of LMCACHE_KEY_*.
   */
  uint32_t outcome;
  /**
   * Which L1 manager it lies in: 0 where there is one.
   */
  uint32_t l1_manager;
} lmcache_read_buffer;

/**
 * What a prefetch found, in numbers.
 */
typedef struct {
  /**
   * Cells that were asked for: rows times columns.
   */
  uint64_t requested_cells;
  /**
   * Those that are in L1 now and, unless the prefetch asked for no locks, locked for its readers.
   */
  uint64_t hit_cells;
  /**
   * Those of them that L1 had.
   */
  uint64_t l1_hit_cells;
  /**
   * Those of them that came from L2.
   */
  uint64_t l2_hit_cells;
  /**
   * From the call to the moment the data was there.
   */
  uint64_t duration_ns;
  /**
   * Rows of the prefetch.
   */
  uint32_t row_count;
  /**
   * Columns: the keys of each row.
   */
  uint32_t column_count;
} lmcache_prefetch_result;

/**
 * Told once that a prefetch is done: on a thread of the storage manager, which serves no other prefetch meanwhile, so it has to be short;
 * or, if it is done already, on the thread that asks to be told, before that call returns. It may call the library, up to 4 calls
 * deep; to wait for a prefetch, to free this one or its storage manager, and to close any is BUSY. It must return.
 */
typedef void (*lmcache_prefetch_callback)(void *user_data);

/**
 * How full the tiers are.
 */
typedef struct {
  /**
   * Bytes of all L1s that are in use.
   */
  uint64_t l1_used_bytes;
  /**
   * Bytes of all L1s.
   */
  uint64_t l1_total_bytes;
  /**
   * Bytes in all L2 adapters; 0 if there is none.
   */
  uint64_t l2_used_bytes;
  /**
   * L2 adapters.
   */
  uint64_t l2_adapter_count;
} lmcache_storage_usage;

/**
 * Writes objects, or fills their buffers: an answer for each, of lmcache_l2_plugin.h.
 */
typedef int32_t (*lmcache_l2_objects_function)(void *user_data,
                                               const lmcache_l2_object *objects,
                                               size_t count,
                                               int32_t *answers);

/**
 * Looks keys up, each of which has to have at least so many bytes: an answer for each.
 */
typedef int32_t (*lmcache_l2_exists_function)(void *user_data,
                                              const lmcache_l2_key *keys,
                                              const uint64_t *sizes_bytes,
                                              size_t count,
                                              int32_t *answers);

/**
 * Removes objects: an answer for each key.
 */
typedef int32_t (*lmcache_l2_keys_function)(void *user_data,
                                            const lmcache_l2_key *keys,
                                            size_t count,
                                            int32_t *answers);

/**
 * Lets go of a store.
 */
typedef void (*lmcache_l2_close_function)(void *user_data);

/**
 * Writes at most `capacity` bytes of the calling thread's last error, and returns how many.
 */
typedef size_t (*lmcache_l2_last_error_function)(void *user_data, char *text, size_t capacity);

/**
 * A store behind L1, of the host's own: the functions of a plugin (lmcache_l2_plugin.h has their answers), without a library around
 * them. They are called on threads that the storage manager starts for them, several at once, each with parts of tasks, and wait for their
 * I/O there. Each returns 0 if every object has its answer, anything else if the whole call failed. What they are handed is there during the
 * call only. They may call the library, up to 4 calls deep, but not close or free the storage manager, nor add or remove adapters, evict, or wait for
 * prefetches or stores: that is BUSY. No exception may leave them. An answer that lmcache_l2_plugin.h does not have is an error of that object.
 *
 * `LMCACHE_L2_ADAPTER_TABLE_INIT` sets the size; `put`, `get`, `exists` and `remove` have to be set.
 */
typedef struct {
  /**
   * `sizeof(lmcache_l2_adapter_table)`.
   */
  uint32_t struct_size;
  /**
   * How many threads call the functions, at most LMCACHE_MAX_L2_WORKERS; 0 for 4.
   */
  uint32_t workers;
  /**
   * What the store is called in the status; may be NULL.
   */
  const char *name;
  /**
   * What the functions get back.
   */
  void *user_data;
  /**
   * Writes objects: answers are LMCACHE_L2_PUT_*.
   */
  lmcache_l2_objects_function put;
  /**
   * Fills the buffers of objects: answers are LMCACHE_L2_GET_*.
   */
  lmcache_l2_objects_function get;
  /**
   * Looks keys up: answers are LMCACHE_L2_GET_*.
   */
  lmcache_l2_exists_function exists;
  /**
   * Removes objects: answers are LMCACHE_L2_REMOVE_*.
   */
  lmcache_l2_keys_function remove;
  /**
   * Called once, last of all, on any thread: nothing is called with `user_data` afterwards. May be NULL.
   */
  lmcache_l2_close_function close;
  /**
   * Says why something failed. May be NULL.
   */
  lmcache_l2_last_error_function last_error;
} lmcache_l2_adapter_table;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The ABI version of the library that was loaded. Any thread may call this at any time.
 */
uint32_t lmcache_abi_version(void);

/**
 * Whether this library and the header that the host was compiled with fit: pass LMCACHE_ABI_VERSION, and go on if it is OK. Any thread
 * may call this at any time.
 */
lmcache_status lmcache_check_abi(uint32_t abi_version);

/**
 * The version of the library as text, for instance "0.1.0": static, never NULL, not to be freed. Any thread
 * may call this at any time.
 */
const char *lmcache_version(void);

/**
 * The name of a status, for instance "INVALID_HANDLE", and "UNKNOWN" for a number that is none: static, never NULL, not to be
 * freed. Any thread may call this at any time.
 */
const char *lmcache_status_name(int32_t status);

/**
 * Copies the sentence of the calling thread's last error into `buffer`, with its NUL, cut to `length` bytes, and returns how long
 * it is without the NUL. With `length` 0 nothing is written and `buffer` may be NULL. Empty if there was no error.
 *
 * The caller promises:
 * `buffer` points to `length` bytes that may be written.
 */
size_t lmcache_last_error(char *buffer,
                          size_t length);

/**
 * Like `lmcache_last_error`, but what to do about it; empty if nobody knows.
 *
 * The caller promises:
 * `buffer` points to `length` bytes that may be written.
 */
size_t lmcache_last_error_hint(char *buffer, size_t length);

/**
 * Has `callback` be told what the library has to say by itself, for instance that a recording stopped because the disk is full.
 * NULL ends that; when this returns, no call of the callback before is under way. Without one nothing is said anywhere.
 *
 * The caller promises:
 * `callback` may be called from any thread with `user_data`, until this is called again.
 */
lmcache_status lmcache_set_log_callback(lmcache_log_callback callback,
                                        void *user_data);

/**
 * Makes a scope. `cache_salt` may be NULL, which is the salt ""; it has at most 128 characters. Both strings are copied.
 *
 * The caller promises:
 * The strings end in NUL; `out` points to room for a handle.
 */
lmcache_status lmcache_scope_new(const char *model_name,
                                 int64_t kv_rank,
                                 uint32_t object_group_id,
                                 const char *cache_salt,
                                 lmcache_scope **out);

/**
 * Gives a scope back; recordings and caches that know it keep it. NULL is fine.
 */
lmcache_status lmcache_scope_free(lmcache_scope *scope);

/**
 * Makes a layout of `count` tensors; at most LMCACHE_MAX_TENSORS. What they point to is copied.
 *
 * The caller promises:
 * `tensors` points to `count` tensors, each with as many dimensions as it says, and a name that ends in NUL; `out` points to room
 * for a handle.
 */
lmcache_status lmcache_layout_new(const lmcache_tensor *tensors,
                                  size_t count,
                                  lmcache_layout **out);

/**
 * How many bytes an object of this layout takes, alignment not included.
 *
 * The caller promises:
 * `out` points to room for a number.
 */
lmcache_status lmcache_layout_size_bytes(const lmcache_layout *layout, uint64_t *out);

/**
 * Gives a layout back. NULL is fine.
 */
lmcache_status lmcache_layout_free(lmcache_layout *layout);

/**
 * Opens a recording and starts its writer's thread.
 *
 * The caller promises:
 * `options` points to options whose strings end in NUL and whose callback may be called from another thread with its data, until the
 * recorder and all its producers are freed; `out` points to room for a handle.
 */
lmcache_status lmcache_recorder_open(const lmcache_recorder_options *options,
                                     lmcache_recorder **out);

/**
 * The gate of a recorder: 1 while calls are recorded, else 0. The pointer is valid for as long as the process; when the recorder is
 * gone the number is 0. See `lmcache_is_recording`.
 *
 * The caller promises:
 * `out` points to room for a pointer.
 */
lmcache_status lmcache_recorder_gate(const lmcache_recorder *recorder,
                                     const uint32_t **out);

/**
 * Switches recording on (1) or off (0). A recording that has stopped by itself stays off.
 */
lmcache_status lmcache_recorder_set_enabled(const lmcache_recorder *recorder, uint32_t is_enabled);

/**
 * Waits until everything that was recorded before is in the file, where a killed process does not lose it.
 */
lmcache_status lmcache_recorder_flush(const lmcache_recorder *recorder);

/**
 * What the recording has done so far; losses among it.
 *
 * The caller promises:
 * `out` points to room for the numbers.
 */
lmcache_status lmcache_recorder_get_stats(const lmcache_recorder *recorder, lmcache_recorder_stats *out);

/**
 * Stops recording, writes what is in the rings, closes the file with its index and syncs it. Closing twice does no harm. Producers may be
 * freed before or after; calls on them are dropped from now on.
 */
lmcache_status lmcache_recorder_close(const lmcache_recorder *recorder);

/**
 * Gives a recorder back; one that was not closed is closed, and what goes wrong then is not told. NULL is fine.
 */
lmcache_status lmcache_recorder_free(lmcache_recorder *recorder);

/**
 * Makes what the calling thread records with. It lives on its own: the recorder may be freed before it, and then calls are dropped.
 *
 * The caller promises:
 * `out` points to room for a handle.
 */
lmcache_status lmcache_producer_new(const lmcache_recorder *recorder,
                                    lmcache_producer **out);

/**
 * Gives a producer back; by its own thread. What it recorded is written. NULL is fine.
 */
lmcache_status lmcache_producer_free(lmcache_producer *producer);

/**
 * Records `reserve_write`: the keys are about to be written, each an object of this layout. `call` may be NULL.
 *
 * The caller promises:
 * `keys` points to a list whose pointers are what their fields say; `call` is NULL or points to room for a number.
 */
lmcache_status lmcache_producer_reserve_write(lmcache_producer *producer,
                                              const lmcache_key_list *keys,
                                              const lmcache_layout *layout,
                                              lmcache_call_id *call);

/**
 * Records `finish_write`: what was reserved is readable now. `call` may be NULL.
 *
 * The caller promises:
 * `keys` points to a list whose pointers are what their fields say; `call` is NULL or points to room for a number.
 */
lmcache_status lmcache_producer_finish_write(lmcache_producer *producer,
                                             const lmcache_key_list *keys,
                                             lmcache_call_id *call);

/**
 * Records that a reader enters: `read_prefetched_results`. `call` may be NULL.
 *
 * The caller promises:
 * As for `lmcache_producer_finish_write`.
 */
lmcache_status lmcache_producer_read_enter(lmcache_producer *producer,
                                           const lmcache_key_list *keys,
                                           lmcache_call_id *call);

/**
 * Records that a reader leaves. `call` may be NULL.
 *
 * The caller promises:
 * As for `lmcache_producer_finish_write`.
 */
lmcache_status lmcache_producer_read_exit(lmcache_producer *producer,
                                          const lmcache_key_list *keys,
                                          lmcache_call_id *call);

/**
 * Records `finish_read_prefetched`: so many read locks on each key are released. `call` may be NULL.
 *
 * The caller promises:
 * As for `lmcache_producer_finish_write`.
 */
lmcache_status lmcache_producer_finish_read(lmcache_producer *producer,
                                            const lmcache_key_list *keys,
                                            int64_t read_locks,
                                            lmcache_call_id *call);

/**
 * Records `submit_prefetch_task`. `request_id` is the engine's name for the request; it may be NULL, and so may `call`.
 *
 * The caller promises:
 * `spec` points to a spec whose pointers are what their fields say; `request_id` is NULL or ends in NUL; `call` is NULL or points to
 * room for a number.
 */
lmcache_status lmcache_producer_submit_prefetch(lmcache_producer *producer,
                                                const lmcache_prefetch_spec *spec,
                                                const char *request_id,
                                                lmcache_call_id *call);

/**
 * Records a call of the host's own: a name, and at most LMCACHE_MAX_HOST_CALL_BYTES bytes that mean something to it. `call` may be
 * NULL.
 *
 * The caller promises:
 * `name` ends in NUL; `bytes` points to `length` bytes; `call` is NULL or points to room for a number.
 */
lmcache_status lmcache_producer_host_call(lmcache_producer *producer,
                                          const char *name,
                                          const uint8_t *bytes,
                                          size_t length,
                                          lmcache_call_id *call);

/**
 * Records what became of a call, which another thread may have recorded.
 *
 * The caller promises:
 * `completion` points to a completion.
 */
lmcache_status lmcache_producer_complete(lmcache_producer *producer,
                                         lmcache_call_id call,
                                         const lmcache_completion *completion);

/**
 * Makes a storage manager and starts its threads. What in the configuration is hardly meant is told to the log callback. Memory of L1 is
 * reserved, and taken when it is first written.
 *
 * The caller promises:
 * `options` points to options whose strings end in NUL; `out` points to room for a handle.
 */
lmcache_status lmcache_storage_new(const lmcache_storage_options *options,
                                   lmcache_storage **out);

/**
 * Records every call on this storage manager from now on, while `recorder` is on: the six that LMCache records, each with what became of
 * it. Only one recorder can be attached, and stays. A host that attaches one does not record these calls itself. Close the recorder
 * after the storage manager; one that is freed without that is closed when the storage manager and its prefetches are freed.
 */
lmcache_status lmcache_storage_record(const lmcache_storage *storage,
                                      const lmcache_recorder *recorder);

/**
 * Ends everything: prefetches under way end with a miss, stores under way are not waited for (`lmcache_storage_flush_stores` does
 * that), threads stop, adapters close, objects are dropped. Calls that would add something are CLOSED from then on; others find
 * nothing. Closing twice does no harm. Within a callback it is BUSY, since it waits for the threads that callbacks come from.
 *
 * The memory behind buffers stays mapped until the handle and all its prefetches are freed.
 */
lmcache_status lmcache_storage_close(const lmcache_storage *storage);

/**
 * Gives a storage manager back; one that was not closed is closed, and what goes wrong then is told to the log callback. No buffer
 * may be used from then on. Its prefetches are to be freed, too, before or after. NULL is fine.
 *
 * Within a callback that came from this storage manager it is BUSY. While other threads are in calls on it, or in its callbacks, the last of them
 * closes it.
 */
lmcache_status lmcache_storage_free(lmcache_storage *storage);

/**
 * LMCache's name of what happened to a key, for instance "KEY_IS_LOCKED", and "UNKNOWN" for a number that is none: static, never NULL,
 * not to be freed. Any thread may call this at any time.
 */
const char *lmcache_key_outcome_name(uint32_t outcome);

/**
 * Reserves a buffer for each key that is neither stored nor being written, as `mode` has it (LMCACHE_WRITE_*). `buffers` gets one value
 * for each key, in their order; `buffer_count` says how many there is room for. OK says that the call was served, and `outcome`
 * what became of each key: buffers of one call are given together, so if one finds no room, none does, and LMCache's
 * engines go on without storing. A key that is named twice has one buffer.
 *
 * Buffers are memory of L1, aligned as the configuration says. They are the caller's until `lmcache_storage_finish_write`, or until
 * the reservation expires (`l1_write_ttl_seconds`, 600 if nothing is said): after that they can be another object's, and must not be
 * written. So a caller that is late finds out from `finish_write`, and must have written before it was late.
 *
 * The caller promises:
 * `keys` points to a list whose pointers are what their fields say; `buffers` points to room for `buffer_count` values.
 */
lmcache_status lmcache_storage_reserve_write(const lmcache_storage *storage,
                                             const lmcache_key_list *keys,
                                             const lmcache_layout *layout,
                                             uint32_t mode,
                                             lmcache_write_buffer *buffers,
                                             size_t buffer_count);

/**
 * Makes what was reserved and written readable, and has it stored to L2 in the background. `l1_managers` may be NULL where there is one
 * L1 manager; else it has for each key where it was reserved. `outcomes` gets one of LMCACHE_KEY_* for each key:
 * LMCACHE_KEY_NOT_EXIST if it was not reserved, LMCACHE_KEY_IN_WRONG_STATE if its reservation had expired, and then what was written is
 * lost. With `outcome_count` 0 it may be NULL. OK says that the call was served.
 *
 * The caller promises:
 * `keys` points to a list whose pointers are what their fields say; `l1_managers` is NULL or points to as many numbers; `outcomes`
 * points to room for `outcome_count` values.
 */
lmcache_status lmcache_storage_finish_write(const lmcache_storage *storage,
                                            const lmcache_key_list *keys,
                                            const uint32_t *l1_managers,
                                            uint32_t *outcomes,
                                            size_t outcome_count);

/**
 * Begins to read what a prefetch has locked; it takes no lock itself. `l1_managers` are those that the prefetch gave, and may be NULL where
 * there is one L1 manager; else each key is looked for. `buffers` gets one value for each key, in their order.
 *
 * If all keys can be read it is OK, and the caller calls `lmcache_storage_read_exit` with the same keys when it has read. If not, it
 * is MISS: no buffer is given, `outcome` says which key is at fault, one lock is released on each key that could be
 * read, and there is nothing to exit.
 *
 * Buffers are valid while the locks are held that the prefetch took: until `lmcache_storage_finish_read` has released the last, and
 * at most `l1_read_ttl_seconds` (300 if nothing is said) after a lock was last taken. After that they can be another object's.
 *
 * The caller promises:
 * `keys` points to a list whose pointers are what their fields say; `l1_managers` is NULL or points to as many numbers; `buffers` points
 * to room for `buffer_count` values.
 */
lmcache_status lmcache_storage_read_enter(const lmcache_storage *storage,
                                          const lmcache_key_list *keys,
                                          const uint32_t *l1_managers,
                                          lmcache_read_buffer *buffers,
                                          size_t buffer_count);

/**
 * Ends a read that `lmcache_storage_read_enter` began, with the same keys and `l1_managers`. `failed` is 1 if the reader could not use
 * what it got: then one lock is released on each key; else the caller releases them with `lmcache_storage_finish_read`, when
 * its device is done.
 *
 * The caller promises:
 * `keys` points to a list whose pointers are what their fields say; `l1_managers` is NULL or points to as many numbers.
 */
lmcache_status lmcache_storage_read_exit(const lmcache_storage *storage,
                                         const lmcache_key_list *keys,
                                         const uint32_t *l1_managers,
                                         uint32_t failed);

/**
 * Releases `read_locks` locks (1 to 128; others count as the nearest of them) on each key: those that the prefetch took for its readers.
 * `outcomes` gets one of LMCACHE_KEY_* for each key; with `outcome_count` 0 it may be NULL.
 *
 * The caller promises:
 * `keys` points to a list whose pointers are what their fields say; `l1_managers` is NULL or points to as many numbers; `outcomes`
 * points to room for `outcome_count` values.
 */
lmcache_status lmcache_storage_finish_read(const lmcache_storage *storage,
                                           const lmcache_key_list *keys,
                                           int64_t read_locks,
                                           const uint32_t *l1_managers,
                                           uint32_t *outcomes,
                                           size_t outcome_count);

/**
 * Looks at what is read-locked already, for instance by a prefetch of another process's part, without beginning a read. OK says that the
 * call was served, and `outcome` what became of each key. The buffers are valid as those of `lmcache_storage_read_enter`.
 *
 * The caller promises:
 * As for `lmcache_storage_read_enter`.
 */
lmcache_status lmcache_storage_unsafe_read(const lmcache_storage *storage,
                                           const lmcache_key_list *keys,
                                           const uint32_t *l1_managers,
                                           lmcache_read_buffer *buffers,
                                           size_t buffer_count);

/**
 * Looks keys up, locks the hits of L1, loads from L2 what L1 has not, and locks that, too. What LMCache's PrefetchTaskSpec refuses is
 * INVALID_ARGUMENT: no rows, rows of different lengths, a window of 0 or below -1, less than one reader. `request_id` is the engine's
 * name for the request; it may be NULL. The prefetch may outlive the storage manager.
 *
 * The caller promises:
 * `spec` points to a spec whose pointers are what their fields say; `request_id` is NULL or ends in NUL; `out` points to room for a
 * handle.
 */
lmcache_status lmcache_storage_submit_prefetch(const lmcache_storage *storage,
                                               const lmcache_prefetch_spec *spec,
                                               const char *request_id,
                                               lmcache_prefetch **out);

/**
 * Submits another prefetch by a handle that is there, which spares making and freeing one. What the handle stood for before is given up
 * as by `lmcache_prefetch_free`.
 *
 * The caller promises:
 * `spec` points to a spec whose pointers are what their fields say; `request_id` is NULL or ends in NUL.
 */
lmcache_status lmcache_prefetch_resubmit(lmcache_prefetch *prefetch,
                                         const lmcache_prefetch_spec *spec,
                                         const char *request_id);

/**
 * Asks whether a prefetch is done, and gives the numbers of its result: PENDING while it is not. Once it was OK, the locks on the hits
 * are the caller's, who releases them by `lmcache_storage_finish_read`; it can be asked again. `out` may be NULL.
 *
 * The caller promises:
 * `out` is NULL or points to room for a result.
 */
lmcache_status lmcache_prefetch_query(lmcache_prefetch *prefetch,
                                      lmcache_prefetch_result *out);

/**
 * The same, after at most `timeout_ns`: PENDING if it is not done by then. UINT64_MAX waits for as long as it takes; how long that can
 * be is in the configuration (`prefetch_timeout_ms`). Within a callback it is BUSY, unless `timeout_ns` is 0. A prefetch that another thread
 * frees meanwhile is waited for all the same.
 *
 * The caller promises:
 * `out` is NULL or points to room for a result.
 */
lmcache_status lmcache_prefetch_wait(lmcache_prefetch *prefetch,
                                     uint64_t timeout_ns,
                                     lmcache_prefetch_result *out);

/**
 * Has `callback` be told once when the prefetch is done: also if it is given up, if it is freed, or if the storage manager is closed before.
 * It can be asked for several times; each is told.
 *
 * The caller promises:
 * `callback` may be called once with `user_data` from any thread.
 */
lmcache_status lmcache_prefetch_on_done(lmcache_prefetch *prefetch,
                                        lmcache_prefetch_callback callback,
                                        void *user_data);

/**
 * Adds 1 to an eventfd once when the prefetch is done, for who waits for many things at once; see `lmcache_prefetch_on_done`. The
 * descriptor is duplicated: the caller keeps its own. It has to be EFD_NONBLOCK, so that a full one holds nothing up; what is no eventfd, or
 * waits, is INVALID_ARGUMENT.
 */
lmcache_status lmcache_prefetch_signal_on_done(lmcache_prefetch *prefetch,
                                               int eventfd);

/**
 * The cells of row `row` (from 0) that `which` (one of LMCACHE_CELLS_*) is about: `cells` gets a 1 or a 0 for each column, and `set`
 * how many are 1; either may be NULL, `cells` with `cell_count` 0. MISS, and nothing is written, if it is LMCACHE_CELLS_FOUND of a prefetch
 * that does not know. The result must have been asked for.
 *
 * The caller promises:
 * `cells` points to room for `cell_count` bytes; `set` is NULL or points to room for a number.
 */
lmcache_status lmcache_prefetch_get_row(lmcache_prefetch *prefetch,
                                        size_t row,
                                        uint32_t which,
                                        uint8_t *cells,
                                        size_t cell_count,
                                        size_t *set);

/**
 * Which L1 manager holds each hit of row `row` and its locks, for the calls that read and release them; LMCACHE_NO_L1_MANAGER for what
 * is no hit. The result must have been asked for. Of use where there are several L1 managers; otherwise each hit is in 0.
 *
 * The caller promises:
 * `l1_managers` points to room for `count` numbers.
 */
lmcache_status lmcache_prefetch_get_row_l1_managers(lmcache_prefetch *prefetch,
                                                    size_t row,
                                                    uint32_t *l1_managers,
                                                    size_t count);

/**
 * Gives a prefetch back; NULL is fine. One whose result nobody has asked for is given up: what it has locked is released. A result that
 * was asked for stays the caller's, with its locks.
 */
lmcache_status lmcache_prefetch_free(lmcache_prefetch *prefetch);

/**
 * Which of the keys are in L1 and can be prefetched from there: `is_resident` gets a 1 or a 0 for each. It takes no lock, so another thread can have
 * evicted them by the time that this returns; what is in L2 is not looked at. To look up and hold, prefetch.
 *
 * The caller promises:
 * `keys` points to a list whose pointers are what their fields say; `is_resident` points to room for `count` bytes.
 */
lmcache_status lmcache_storage_contains(const lmcache_storage *storage,
                                        const lmcache_key_list *keys,
                                        uint8_t *is_resident,
                                        size_t count);

/**
 * Counts the keys as used, so that they are evicted later.
 *
 * The caller promises:
 * `keys` points to a list whose pointers are what their fields say.
 */
lmcache_status lmcache_storage_touch(const lmcache_storage *storage, const lmcache_key_list *keys);

/**
 * Deletes the keys from every L1, and from no L2. `deleted` gets how many went, `locked` how many stayed because they are being read or
 * written; either may be NULL. With `force` 1 those go, too, and their buffers can be other objects' from then on.
 *
 * The caller promises:
 * `keys` points to a list whose pointers are what their fields say; `deleted` and `locked` are NULL or point to room for a number.
 */
lmcache_status lmcache_storage_delete(const lmcache_storage *storage,
                                      const lmcache_key_list *keys,
                                      uint32_t force,
                                      size_t *deleted,
                                      size_t *locked);

/**
 * Deletes everything that is not locked from L1; with `force` 1, everything, and then buffers can be other objects' from then on.
 */
lmcache_status lmcache_storage_clear(const lmcache_storage *storage,
                                     uint32_t force);

/**
 * Makes one eviction pass over every L1 and every L2 adapter now, on this thread; the storage manager's own threads do it by themselves
 * about once a second. Within a callback it is BUSY, since that may come from such a pass.
 */
lmcache_status lmcache_storage_evict(const lmcache_storage *storage);

/**
 * Waits until everything that was written is stored in L2, or given up: at most `timeout_ns`, and then it is TIMEOUT. Within a callback it is
 * BUSY.
 */
lmcache_status lmcache_storage_flush_stores(const lmcache_storage *storage,
                                            uint64_t timeout_ns);

/**
 * How many bytes a `cache_salt` may have, for the policy IsolatedLRU; one that had a quota gets this one instead.
 *
 * The caller promises:
 * `cache_salt` ends in NUL.
 */
lmcache_status lmcache_storage_set_quota(const lmcache_storage *storage,
                                         const char *cache_salt,
                                         uint64_t limit_bytes);

/**
 * Takes the quota of a `cache_salt` back; NOT_FOUND if it has none.
 *
 * The caller promises:
 * `cache_salt` ends in NUL.
 */
lmcache_status lmcache_storage_delete_quota(const lmcache_storage *storage, const char *cache_salt);

/**
 * How full the tiers are.
 *
 * The caller promises:
 * `out` points to room for the numbers.
 */
lmcache_status lmcache_storage_get_usage(const lmcache_storage *storage, lmcache_storage_usage *out);

/**
 * Whether the allocators' books are right: CORRUPT if they are not, which is a defect, or a host that wrote past a buffer of shared memory.
 */
lmcache_status lmcache_storage_memcheck(const lmcache_storage *storage);

/**
 * Copies LMCache's status tree into `buffer` as JSON, with its NUL, cut to `length` bytes; `needed` gets how long it is without the NUL, and
 * may be NULL. With `length` 0 nothing is copied and `buffer` may be NULL. It can be longer the next time. Nothing in it waits.
 *
 * The caller promises:
 * `buffer` points to room for `length` bytes; `needed` is NULL or points to room for a number.
 */
lmcache_status lmcache_storage_status_json(const lmcache_storage *storage,
                                           char *buffer,
                                           size_t length,
                                           size_t *needed);

/**
 * The same, of the metrics, by LMCache's names, in the text format of Prometheus (OpenMetrics 1.0). UNSUPPORTED if the storage manager was made
 * without `with_metrics`.
 *
 * The caller promises:
 * As for `lmcache_storage_status_json`.
 */
lmcache_status lmcache_storage_metrics_text(const lmcache_storage *storage,
                                            char *buffer,
                                            size_t length,
                                            size_t *needed);

/**
 * The same, of the configuration, as LMCache's recorder writes it: what `storage_config_json` of `lmcache_recorder_options` is meant for.
 *
 * The caller promises:
 * As for `lmcache_storage_status_json`.
 */
lmcache_status lmcache_storage_config_json(const lmcache_storage *storage,
                                           char *buffer,
                                           size_t length,
                                           size_t *needed);

/**
 * Adds an L2 adapter: what is written and looked up from now on goes to it, too. `config_json` is an object of `l2_adapter` in the
 * configuration. `out` gets its number, and may be NULL. Within a callback it is BUSY.
 *
 * The caller promises:
 * `config_json` ends in NUL; `out` is NULL or points to room for a number.
 */
lmcache_status lmcache_storage_add_l2_adapter(const lmcache_storage *storage,
                                              const char *config_json,
                                              uint32_t *out);

/**
 * Adds an L2 adapter of the host's own. `config_json` has what every adapter can have (`affinity_tag`, `shared`, `eviction`, `serde`), and
 * `max_capacity_gb`, for instance {"type": "plugin", "library_path": "a name", "max_capacity_gb": 8}: it is an object of type "plugin", of which
 * no library is loaded. NULL for the defaults. The table is copied. `out` gets the number, and may be NULL. Within a callback it is BUSY.
 *
 * If it fails, `close` is called before it returns if the table itself was in order, and never if it was not; `lmcache_last_error` says
 * which.
 *
 * The caller promises:
 * `table` points to a table whose strings end in NUL, and whose functions may be called from any thread with its `user_data` until
 * `close` has returned, or, without one, until the storage manager was closed; `config_json` is NULL or ends in NUL; `out` is NULL or
 * points to room for a number.
 */
lmcache_status lmcache_storage_add_l2_table(const lmcache_storage *storage,
                                            const lmcache_l2_adapter_table *table,
                                            const char *config_json,
                                            uint32_t *out);

/**
 * Removes an L2 adapter: it gets no more tasks, those under way are finished, and it is closed. NOT_FOUND if there is none of that number.
 * TIMEOUT if its tasks take longer than `timeout_ns`: it gets no new ones from then on, and this can be called again. Within a callback it is
 * BUSY.
 */
lmcache_status lmcache_storage_delete_l2_adapter(const lmcache_storage *storage,
                                                 uint32_t l2_adapter,
                                                 uint64_t timeout_ns);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* LMCACHE_H */
