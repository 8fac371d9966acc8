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
#define LMCACHE_RECORD_INIT LMCACHE_INIT(lmcache_record)
#define LMCACHE_TRACE_HEADER_INIT LMCACHE_INIT(lmcache_trace_header)
#define LMCACHE_READER_STATS_INIT LMCACHE_INIT(lmcache_reader_stats)
#define LMCACHE_DAMAGE_INIT LMCACHE_INIT(lmcache_damage)

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
 * `finish_read_prefetched`: read locks are released.
 */
#define LMCACHE_RECORD_FINISH_READ 1

/**
 * `finish_write`: what was reserved is readable.
 */
#define LMCACHE_RECORD_FINISH_WRITE 2

/**
 * `read_prefetched_results` is entered.
 */
#define LMCACHE_RECORD_READ_ENTER 3

/**
 * `read_prefetched_results` is left.
 */
#define LMCACHE_RECORD_READ_EXIT 4

/**
 * `reserve_write`: objects are about to be written.
 */
#define LMCACHE_RECORD_RESERVE_WRITE 5

/**
 * `submit_prefetch_task`: objects are looked up in all tiers.
 */
#define LMCACHE_RECORD_SUBMIT_PREFETCH 6

/**
 * What became of a call.
 */
#define LMCACHE_RECORD_COMPLETION 16

/**
 * A call that the host of the recorder defined.
 */
#define LMCACHE_RECORD_HOST_CALL 17

/**
 * A record of LMCache that is none of the six calls, or whose arguments are of no known release.
 */
#define LMCACHE_RECORD_FOREIGN_CALL 18

/**
 * Calls that are not in the file: the recorder lost them.
 */
#define LMCACHE_RECORD_LOSS 48

/**
 * A call whose keys are more than LMCACHE_MAX_RECORD_KEYS, which no recorder writes: the record has none of them.
 */
#define LMCACHE_RECORD_TOO_LARGE 255

/**
 * Keys of a record, of all its rows together, at most.
 */
#define LMCACHE_MAX_RECORD_KEYS 4194304

/**
 * A number that the file does not tell.
 */
#define LMCACHE_NOT_KNOWN 18446744073709551615ull

/**
 * One of LMCache's files.
 */
#define LMCACHE_FORMAT_LMCACHE 1

/**
 * A native file.
 */
#define LMCACHE_FORMAT_NATIVE 2

/**
 * The file does not tell whether it was closed: LMCache's never do.
 */
#define LMCACHE_ENDING_NOT_TOLD 0

/**
 * The recorder closed the file.
 */
#define LMCACHE_ENDING_CLOSED 1

/**
 * It did not: the file is being written, its recorder was killed, or its end was cut off.
 */
#define LMCACHE_ENDING_UNFINISHED 2

/**
 * A chunk of a native file whose checksums are wrong, or that holds what no recorder writes.
 */
#define LMCACHE_DAMAGE_CHUNK 1

/**
 * Bytes of a native file where a chunk should be and none is.
 */
#define LMCACHE_DAMAGE_GAP 2

/**
 * A frame of LMCache's that is no record.
 */
#define LMCACHE_DAMAGE_FRAME 3

/**
 * The end of an LMCache file is cut off.
 */
#define LMCACHE_DAMAGE_CUT 4

/**
 * Damages that are kept one by one; what comes after them is counted.
 */
#define LMCACHE_MAX_KEPT_DAMAGES 1024

/**
 * Reads the whole file into memory first. Always safe.
 */
#define LMCACHE_READ_BUFFERED 0

/**
 * Maps the file and reads it in place: nobody may shorten it, or change bytes that are in it, while it is open. A recorder that appends to it
 * is fine.
 */
#define LMCACHE_READ_MAPPED 1

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
 * An open trace, LMCache's or native, and a place in it. One thread at a time may use it, whichever.
 */
typedef struct lmcache_reader lmcache_reader;

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

/**
 * What a trace file says about itself. It begins with its size; `LMCACHE_TRACE_HEADER_INIT` sets it. Strings end in NUL and are valid until
 * the reader is freed; what the file does not have is "" or 0, numbers that it does not tell are LMCACHE_NOT_KNOWN.
 */
typedef struct {
  /**
   * `sizeof(lmcache_trace_header)`.
   */
  uint32_t struct_size;
  /**
   * LMCACHE_FORMAT_LMCACHE or LMCACHE_FORMAT_NATIVE.
   */
  uint32_t format;
  /**
   * LMCACHE_ENDING_*.
   */
  uint32_t ending;
  /**
   * 1 if each distinct key is in the file once: a compact file.
   */
  uint32_t is_compact;
  /**
   * LMCache's level: "storage" or "events".
   */
  const char *level;
  /**
   * What the operator calls the node.
   */
  const char *node;
  /**
   * The name of the recording machine.
   */
  const char *host;
  /**
   * The name of the recording process.
   */
  const char *process;
  /**
   * Name and version of the library that wrote the file.
   */
  const char *writer;
  /**
   * LMCache's configuration of the storage manager as JSON.
   */
  const char *storage_config_json;
  /**
   * Its SHA-256 in hexadecimal.
   */
  const char *storage_config_digest;
  /**
   * When the recording began: `CLOCK_REALTIME` in seconds, as LMCache counts them. Comes from the file: may be NaN.
   */
  double t_wall_start_s;
  /**
   * The same moment on `CLOCK_MONOTONIC` of the recording host.
   */
  double t_mono_start_s;
  /**
   * The same moment on both clocks in nanoseconds; LMCACHE_NOT_KNOWN in LMCache's files.
   */
  uint64_t wall_start_ns;
  /**
   * See `wall_start_ns`.
   */
  uint64_t mono_start_ns;
  /**
   * The same in all files of a recording.
   */
  uint64_t recording_id;
  /**
   * Which file of the recording this is, from 0.
   */
  uint32_t file_number;
  /**
   * The number of the recording process.
   */
  uint32_t process_id;
  /**
   * Bytes of the file.
   */
  uint64_t file_bytes;
  /**
   * Calls in the file. This and the numbers below are known of native files that were closed.
   */
  uint64_t calls;
  /**
   * Calls that the recorder lost: they were attempted and are not in the file.
   */
  uint64_t lost_calls;
  /**
   * Completions in the file.
   */
  uint64_t completions;
  /**
   * Keys that the calls name, each as often as it is named.
   */
  uint64_t keys;
  /**
   * The time of the earliest call, on the clock of `mono_start_ns`,
   */
  uint64_t first_ns;
  /**
   * and of the latest one.
   */
  uint64_t last_ns;
} lmcache_trace_header;

/**
 * What the keys of a prompt have in common, as it was recorded. Of one reader, equal scopes have the same address, which stays valid until
 * the reader is freed, so that a host can keep by it what it made of the scope.
 */
typedef struct {
  /**
   * The model; ends in NUL.
   */
  const char *model_name;
  /**
   * Bytes of the model's name without its NUL: a file can have names with a NUL within.
   */
  size_t model_name_length;
  /**
   * The tenant; "" if none was recorded, as LMCache does. Ends in NUL.
   */
  const char *cache_salt;
  /**
   * Its bytes without its NUL.
   */
  size_t cache_salt_length;
  /**
   * The rank.
   */
  int64_t kv_rank;
  /**
   * The group of layers.
   */
  uint32_t object_group_id;
  /**
   * Nothing; 0.
   */
  uint32_t reserved;
} lmcache_recorded_scope;

/**
 * A key, as it was recorded.
 */
typedef struct {
  /**
   * Its hash. In a native file this is its place in the file.
   */
  const uint8_t *hash;
  /**
   * Bytes of the hash; LMCache's have 32.
   */
  size_t hash_bytes;
  /**
   * Its scope.
   */
  const lmcache_recorded_scope *scope;
} lmcache_recorded_key;

/**
 * A layout, as it was recorded; its tensors can be passed to `lmcache_layout_new`. Addresses are as those of scopes.
 */
typedef struct {
  /**
   * Its tensors.
   */
  const lmcache_tensor *tensors;
  /**
   * How many.
   */
  size_t tensor_count;
  /**
   * Bytes of an object; LMCACHE_NOT_KNOWN if torch has no such type, or they are more than 64 bits count.
   */
  uint64_t size_bytes;
} lmcache_recorded_layout;

/**
 * One row of a recorded prefetch.
 */
typedef struct {
  /**
   * Its keys.
   */
  const lmcache_recorded_key *keys;
  /**
   * How many.
   */
  size_t key_count;
  /**
   * The layout of their objects.
   */
  const lmcache_recorded_layout *layout;
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
} lmcache_recorded_row;

/**
 * A record. It begins with its size; `LMCACHE_RECORD_INIT` sets it. Everything that it points to, scopes and layouts aside, is valid until
 * the next call on the reader. What a kind of record does not have is 0 and NULL.
 */
typedef struct {
  /**
   * `sizeof(lmcache_record)`.
   */
  uint32_t struct_size;
  /**
   * One of LMCACHE_RECORD_*; numbers are added, so step over what you do not know.
   */
  uint32_t kind;
  /**
   * How many calls come before it in the file. Calls are the six, host calls and foreign calls.
   */
  uint64_t number;
  /**
   * Where it stands in the file.
   */
  uint64_t offset;
  /**
   * `CLOCK_MONOTONIC` of the recording host; LMCACHE_NOT_KNOWN if no reading of a clock leads to the seconds in an LMCache file.
   */
  uint64_t t_ns;
  /**
   * Seconds since the recording began, as LMCache counts them. Comes from the file: may be NaN.
   */
  double t_mono_s;
  /**
   * Seconds since the epoch, likewise.
   */
  double t_wall_s;
  /**
   * Number of the thread in the recording, from 1; 0 if the file does not tell, as LMCache's.
   */
  uint32_t thread;
  /**
   * How many calls the thread had attempted before, modulo 2^32.
   */
  uint32_t sequence;
  /**
   * 1 if it was written after records that were made later.
   */
  uint32_t is_late;
  /**
   * Of LMCACHE_RECORD_RESERVE_WRITE: 0 takes new keys, 1 (before LMCache 0.5.6) keys that are there, 2 either.
   */
  uint32_t write_mode;
  /**
   * The keys of a call; those of a prefetch are in its rows.
   */
  const lmcache_recorded_key *keys;
  /**
   * How many.
   */
  size_t key_count;
  /**
   * Of LMCACHE_RECORD_RESERVE_WRITE: the layout of each object.
   */
  const lmcache_recorded_layout *layout;
  /**
   * Of LMCACHE_RECORD_FINISH_READ: how many locks are released on each key.
   */
  int64_t read_locks;
  /**
   * Of LMCACHE_RECORD_SUBMIT_PREFETCH: the rows.
   */
  const lmcache_recorded_row *rows;
  /**
   * How many.
   */
  size_t row_count;
  /**
   * Of a prefetch: how many readers will each release one lock.
   */
  int64_t num_kv_readers;
  /**
   * Of a prefetch: LMCACHE_FETCH_PREFIX or LMCACHE_FETCH_FULL.
   */
  uint32_t fetching_policy;
  /**
   * Of a prefetch: LMCACHE_LOCK or LMCACHE_NO_LOCK.
   */
  uint32_t lock_mode;
  /**
   * Of a prefetch: 1 if it looked in L1 only.
   */
  uint32_t skip_l2;
  /**
   * Of LMCACHE_RECORD_COMPLETION: the kind of its call.
   */
  uint32_t call_kind;
  /**
   * The name of a call: the qualified name in LMCache, or what the host called it. Ends in NUL.
   */
  const char *name;
  /**
   * Its bytes without the NUL.
   */
  size_t name_length;
  /**
   * Of a prefetch: the engine's name for the request, "" if it gave none. Ends in NUL.
   */
  const char *request_id;
  /**
   * Its bytes without the NUL.
   */
  size_t request_id_length;
  /**
   * Of a host call: its bytes. Of a foreign call: LMCache's record, a msgpack map.
   */
  const uint8_t *bytes;
  /**
   * How many.
   */
  size_t byte_count;
  /**
   * Of a completion: which thread made the call,
   */
  uint32_t call_thread;
  /**
   * and which of its calls that was: `thread` and `sequence` of its record.
   */
  uint32_t call_sequence;
  /**
   * Of a completion: what became of the call.
   */
  lmcache_completion completion;
  /**
   * Of LMCACHE_RECORD_LOSS: how many calls of `thread` are not in the file,
   */
  uint64_t lost_calls;
  /**
   * and between which times they were made: after `lost_from_ns`, 0 if nothing of the thread comes before,
   */
  uint64_t lost_from_ns;
  /**
   * and before `lost_until_ns`, both on the clock of `t_ns`.
   */
  uint64_t lost_until_ns;
  /**
   * The `sequence` that the first of them has.
   */
  uint32_t lost_first_sequence;
  /**
   * Why: 1 the thread's ring was full, 2 a call was too large for the ring, 3 the file could not be written.
   */
  uint32_t lost_reason;
} lmcache_record;

/**
 * What a walk has met since the reader was opened, rewound or sent to another place. It begins with its size.
 */
typedef struct {
  /**
   * `sizeof(lmcache_reader_stats)`.
   */
  uint32_t struct_size;
  /**
   * Nothing; 0.
   */
  uint32_t reserved;
  /**
   * Records that `lmcache_reader_next` gave.
   */
  uint64_t records;
  /**
   * Of those, calls.
   */
  uint64_t calls;
  /**
   * Of those records, losses; and
   */
  uint64_t losses;
  /**
   * the calls that they say are not in the file.
   */
  uint64_t lost_calls;
  /**
   * Chunks that could not be read.
   */
  uint64_t damaged_chunks;
  /**
   * Calls in them, as they say themselves.
   */
  uint64_t damaged_calls;
  /**
   * Bytes where chunks should be.
   */
  uint64_t gap_bytes;
  /**
   * Frames of LMCache's that are no records.
   */
  uint64_t undecodable_frames;
  /**
   * Ends of LMCache files that are cut off: 0 or 1.
   */
  uint64_t cut_ends;
  /**
   * Records and chunks of kinds that this library does not know, which were stepped over.
   */
  uint64_t unknown;
} lmcache_reader_stats;

/**
 * Something that could not be read. It begins with its size.
 */
typedef struct {
  /**
   * `sizeof(lmcache_damage)`.
   */
  uint32_t struct_size;
  /**
   * One of LMCACHE_DAMAGE_*.
   */
  uint32_t kind;
  /**
   * Where it begins in the file.
   */
  uint64_t offset;
  /**
   * Its bytes, as far as the file can tell; else 0.
   */
  uint64_t bytes;
  /**
   * Of a chunk: the calls in it, as it says itself.
   */
  uint64_t calls;
  /**
   * What is wrong. Ends in NUL; valid until the next call on the reader.
   */
  const char *reason;
} lmcache_damage;

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
 * Opens a trace of either kind; "-" is the standard input. `read_mode` is LMCACHE_READ_BUFFERED or LMCACHE_READ_MAPPED. A file that is being
 * written is read to where it is now. CORRUPT, TRUNCATED and UNSUPPORTED_VERSION are about its header, and in a compact file about its
 * table of keys; whatever else is damaged is stepped over, see `lmcache_reader_get_stats`.
 *
 * The caller promises:
 * `path` ends in NUL; `out` points to room for a handle; with LMCACHE_READ_MAPPED nobody shortens the file or changes bytes in it
 * before the reader is freed.
 */
lmcache_status lmcache_reader_open(const char *path,
                                   uint32_t read_mode,
                                   lmcache_reader **out);

/**
 * Opens a trace that is in memory; the bytes are copied.
 *
 * The caller promises:
 * `bytes` points to `length` bytes; `out` points to room for a handle.
 */
lmcache_status lmcache_reader_open_bytes(const uint8_t *bytes, size_t length, lmcache_reader **out);

/**
 * What the file says about itself. Costs nothing: the header was read when the file was opened.
 *
 * The caller promises:
 * `out` points to a header whose `struct_size` is set, and has that many bytes.
 */
lmcache_status lmcache_reader_get_header(lmcache_reader *reader, lmcache_trace_header *out);

/**
 * The next record, or END, which leaves `out` as it is. Records come in the order of the file. Of a native file nothing is copied or allocated;
 * calls of LMCache's files are given as LMCache 0.5.6 would have recorded them, whatever release did. What is damaged is stepped over and
 * counted.
 *
 * The caller promises:
 * `out` points to a record whose `struct_size` is set, and has that many bytes.
 */
lmcache_status lmcache_reader_next(lmcache_reader *reader,
                                   lmcache_record *out);

/**
 * Goes back to the first record; what was counted begins anew.
 */
lmcache_status lmcache_reader_rewind(lmcache_reader *reader);

/**
 * Goes to the call that so many calls come before in the file, which the next `lmcache_reader_next` gives; if that one cannot be read, to the
 * first after it that can. END if there is none: then the reader stands at the end. A native file has the numbers in its chunks, and one chunk is
 * walked; an LMCache file is walked from its beginning.
 */
lmcache_status lmcache_reader_seek_call(lmcache_reader *reader,
                                        uint64_t number);

/**
 * Goes to the first call, in the order of the file, that was made `t_mono_s` seconds after the recording began or later. END if there is none:
 * then the reader stands at the end. In a native file it is looked for from the first chunk on that can hold it, by the chunks' times; a record
 * that came late may stand before. An LMCache file is walked from its beginning.
 */
lmcache_status lmcache_reader_seek_time(lmcache_reader *reader,
                                        double t_mono_s);

/**
 * What was met since the reader was opened, rewound or sent to another place.
 *
 * The caller promises:
 * `out` points to numbers whose `struct_size` is set, and has that many bytes.
 */
lmcache_status lmcache_reader_get_stats(lmcache_reader *reader, lmcache_reader_stats *out);

/**
 * One of the damages that were met since then, from 0 in the order of the walk; END if there are not so many. The first
 * LMCACHE_MAX_KEPT_DAMAGES are kept.
 *
 * The caller promises:
 * `out` points to a damage whose `struct_size` is set, and has that many bytes.
 */
lmcache_status lmcache_reader_get_damage(lmcache_reader *reader,
                                         size_t position,
                                         lmcache_damage *out);

/**
 * Gives a reader back, and with it everything that was borrowed from it. NULL is fine.
 */
lmcache_status lmcache_reader_free(lmcache_reader *reader);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* LMCACHE_H */
