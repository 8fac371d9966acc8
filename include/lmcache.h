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
 * Told a sentence: a warning of something that no call returned. Called on threads of the library, one call at a time. `text` ends in
 * NUL and is borrowed for the time of the call. It must return, and must not call `lmcache_set_log_callback`.
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

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* LMCACHE_H */
