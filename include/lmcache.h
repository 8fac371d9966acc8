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

#if UINTPTR_MAX != UINT64_MAX
#error "liblmcache is for 64-bit systems"
#endif

/** The version of the package that this header is of; `lmcache_version` is that of the library. */
#define LMCACHE_VERSION_MAJOR 0
#define LMCACHE_VERSION_MINOR 1
#define LMCACHE_VERSION_PATCH 0
#define LMCACHE_VERSION_STRING "0.1.0"

/** A struct that may grow, with its size and zeroes, which are the defaults: to declare one with, or to set one anew. */
#ifdef __cplusplus
#define LMCACHE_INIT(type) ([] { type made{}; made.struct_size = sizeof(type); return made; }())
#else
#define LMCACHE_INIT(type) ((type){.struct_size = sizeof(type)})
#endif
#define LMCACHE_RECORDER_OPTIONS_INIT LMCACHE_INIT(lmcache_recorder_options)
#define LMCACHE_RECORDER_STATS_INIT LMCACHE_INIT(lmcache_recorder_stats)
#define LMCACHE_COMPLETION_INIT LMCACHE_INIT(lmcache_completion)
#define LMCACHE_STORAGE_OPTIONS_INIT LMCACHE_INIT(lmcache_storage_options)
#define LMCACHE_STORAGE_USAGE_INIT LMCACHE_INIT(lmcache_storage_usage)
#define LMCACHE_PREFETCH_RESULT_INIT LMCACHE_INIT(lmcache_prefetch_result)
#define LMCACHE_L2_ADAPTER_TABLE_INIT LMCACHE_INIT(lmcache_l2_adapter_table)
#define LMCACHE_HOST_DEVICE_OPTIONS_INIT LMCACHE_INIT(lmcache_host_device_options)
#define LMCACHE_PAGED_LAYOUT_OPTIONS_INIT LMCACHE_INIT(lmcache_paged_layout_options)
#define LMCACHE_TRANSFER_RESULT_INIT LMCACHE_INIT(lmcache_transfer_result)
#define LMCACHE_RECORD_INIT LMCACHE_INIT(lmcache_record)
#define LMCACHE_TRACE_HEADER_INIT LMCACHE_INIT(lmcache_trace_header)
#define LMCACHE_READER_STATS_INIT LMCACHE_INIT(lmcache_reader_stats)
#define LMCACHE_DAMAGE_INIT LMCACHE_INIT(lmcache_damage)
#define LMCACHE_REPLAY_OPTIONS_INIT LMCACHE_INIT(lmcache_replay_options)
#define LMCACHE_REPLAY_RESULTS_INIT LMCACHE_INIT(lmcache_replay_results)
#define LMCACHE_CONVERT_OPTIONS_INIT LMCACHE_INIT(lmcache_convert_options)
#define LMCACHE_CONVERSION_INIT LMCACHE_INIT(lmcache_conversion)
#define LMCACHE_REPAIR_REPORT_INIT LMCACHE_INIT(lmcache_repair_report)
#define LMCACHE_VERIFY_REPORT_INIT LMCACHE_INIT(lmcache_verify_report)

/**
 * The major version of the C ABI. It goes up whenever a host compiled against an older header could misread what a newer library does;
 * the shared library is called by it.
 */
#define LMCACHE_ABI_MAJOR 1

/**
 * The minor version of the C ABI. It goes up whenever something is added: a function, a status, the end of a struct.
 */
#define LMCACHE_ABI_MINOR 0

/**
 * Both in one number.
 */
#define LMCACHE_ABI_VERSION ((LMCACHE_ABI_MAJOR << 16) | LMCACHE_ABI_MINOR)

/**
 * Bytes of a struct that may grow, at most, in every version that will be.
 */
#define LMCACHE_MAX_STRUCT_BYTES 4096

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
 * Keys of a prefetch, of all its rows together, at most: each row has its own, also where their lists are one.
 */
#define LMCACHE_MAX_PREFETCH_KEYS 4194304

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
 * Tensors of a paged cache, at most: K and V of each layer.
 */
#define LMCACHE_MAX_DEVICE_TENSORS 8192

/**
 * Bytes of a handle by which a process exports memory of a device: `sizeof(cudaIpcMemHandle_t)`.
 */
#define LMCACHE_IPC_HANDLE_BYTES 64

/**
 * Blocks of a table, at most.
 */
#define LMCACHE_MAX_BLOCKS 16777216

/**
 * An engine without a block that stands for nothing.
 */
#define LMCACHE_NO_NULL_BLOCK -1

/**
 * What became of a key of a transfer: it was moved. A stored one can be read now.
 */
#define LMCACHE_TRANSFER_MOVED 0

/**
 * It was not stored: it is there already, or somebody else is writing it.
 */
#define LMCACHE_TRANSFER_ALREADY_THERE 1

/**
 * It was not stored: all its blocks are the null block.
 */
#define LMCACHE_TRANSFER_NULL_BLOCKS 2

/**
 * It was not stored: L1 has no room for what the call had to store.
 */
#define LMCACHE_TRANSFER_OUT_OF_MEMORY 3

/**
 * It was not retrieved: it is not there, or nobody holds a read lock on it.
 */
#define LMCACHE_TRANSFER_NOT_READABLE 4

/**
 * It was moved, but is not stored: it was deleted meanwhile, or its reservation ran out.
 */
#define LMCACHE_TRANSFER_LOST 5

/**
 * It was not moved, or not wholly: the transfer failed, and says why.
 */
#define LMCACHE_TRANSFER_FAILED 6

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
 * As recorded.
 */
#define LMCACHE_PACE_RECORDED 0

/**
 * `pace_value` times as fast.
 */
#define LMCACHE_PACE_SPEED 1

/**
 * `pace_value` records a second, evenly.
 */
#define LMCACHE_PACE_RATE 2

/**
 * Each call as soon as the one before it is over.
 */
#define LMCACHE_PACE_ASAP 3

/**
 * The clock alone at the recorded pace, else causal.
 */
#define LMCACHE_ORDER_DEFAULT 0

/**
 * The clock alone, as LMCache: real threads and real races.
 */
#define LMCACHE_ORDER_RECORDED 1

/**
 * What every call before it left: the same hits, misses and evictions at any pace, with any number of workers.
 */
#define LMCACHE_ORDER_CAUSAL 2

/**
 * Traces lie beside each other as the wall clocks of their recorders have it.
 */
#define LMCACHE_ALIGN_WALL 0

/**
 * All begin at once.
 */
#define LMCACHE_ALIGN_START 1

/**
 * LMCache's behaviour, its known defects included, so that the answers are those of the recorded server.
 */
#define LMCACHE_COMPAT_LMCACHE 0

/**
 * Ours, which differs in those defects only.
 */
#define LMCACHE_COMPAT_NATIVE 1

/**
 * L2 adapters begin empty, in places of their own, and what they are given is removed at the end.
 */
#define LMCACHE_NAMESPACE_FRESH 0

/**
 * They begin empty, and what they are given stays.
 */
#define LMCACHE_NAMESPACE_FRESH_KEPT 1

/**
 * They have what they hold, as those of a server, and what they are given stays.
 */
#define LMCACHE_NAMESPACE_KEEP 2

/**
 * L2 adapters of a replay, at most.
 */
#define LMCACHE_MAX_L2_ADAPTERS 64

/**
 * The form that the input does not have: native of an LMCache file, LMCache's of a native one.
 */
#define LMCACHE_CONVERT_TO_OTHER 0

/**
 * A native file. Of an LMCache file nothing is lost: the way back gives the same bytes.
 */
#define LMCACHE_CONVERT_TO_NATIVE 1

/**
 * LMCache's file, for LMCache's tools. What it has no words for is counted.
 */
#define LMCACHE_CONVERT_TO_LMCACHE 2

/**
 * A compact native file: each distinct key once.
 */
#define LMCACHE_CONVERT_TO_COMPACT 3

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
   * There is no device that can be used: no driver, one that does not work, or one that shows no device.
   */
  LMCACHE_STATUS_NO_DEVICE = -18,
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
 * A device: memory in which an engine's cache lies, and streams that move bytes between it and L1. Any number of threads may use it
 * at once.
 */
typedef struct lmcache_device lmcache_device;

/**
 * Memory of a GPU that its device was told of: a tensor of this process or of another. Any number of threads may use it at once.
 */
typedef struct lmcache_device_memory lmcache_device_memory;

/**
 * A stream of a device: transfers on it happen one after the other, those of two streams at the same time. Any number of threads may
 * use it at once.
 */
typedef struct lmcache_device_stream lmcache_device_stream;

/**
 * How an object lies in memory: the shape and type of each of its tensors. It never changes; any number of threads may use it at
 * once.
 */
typedef struct lmcache_layout lmcache_layout;

/**
 * An engine's paged cache: its layout, its sizes, and where its tensors are. It never changes; any number of threads may use it at once.
 */
typedef struct lmcache_paged_layout lmcache_paged_layout;

/**
 * A prefetch that was submitted. One thread at a time may use it, whichever; a second one gets BUSY.
 */
typedef struct lmcache_prefetch lmcache_prefetch;

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
 * A replay: its traces, open, and how it is to go. One thread at a time may use it, whichever; any may cancel it.
 */
typedef struct lmcache_replay lmcache_replay;

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
 * A store from a device or a retrieve to one, under way or over. Any number of threads may use it at once.
 */
typedef struct lmcache_transfer lmcache_transfer;

/**
 * Told a sentence: a warning of something that no call returned. Called on threads of the library and of the host; on several at once, if
 * several have something to say. `text` ends in NUL and is borrowed for the time of the call. It must return. `lmcache_set_log_callback` is
 * BUSY in it, and so is what waits for threads of the library, as in every callback: `lmcache_recorder_close` and
 * `lmcache_recorder_flush` among them. What it makes the library say is said to nobody.
 */
typedef void (*lmcache_log_callback)(const char *text, void *user_data);

/**
 * One tensor of a layout.
 */
typedef struct lmcache_tensor {
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
 * `reason` ends in NUL and is borrowed for the time of the call. It must return. What waits for threads of the library is BUSY in it, as in
 * every callback: `lmcache_recorder_close` and `lmcache_recorder_flush` among them, of whichever recorder.
 */
typedef void (*lmcache_stop_callback)(const char *reason, void *user_data);

/**
 * How to record. `LMCACHE_RECORDER_OPTIONS_INIT` has the defaults, which are zero; `path` has to be set.
 */
typedef struct lmcache_recorder_options {
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
   * Bytes of each thread's ring, a power of two from 4 KiB to 1 GiB; 0 for 1 MiB.
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
 * What a recording has done so far. Calls and losses are right once it is flushed or closed: every call that was attempted while recording
 * was on, and has returned, is in one of them. It begins with its size; `LMCACHE_RECORDER_STATS_INIT` sets it.
 */
typedef struct lmcache_recorder_stats {
  /**
   * `sizeof(lmcache_recorder_stats)`.
   */
  uint32_t struct_size;
  /**
   * Nothing; 0.
   */
  uint32_t reserved;
  /**
   * Calls that are in the files.
   */
  uint64_t calls;
  /**
   * Calls that were attempted and are not. The file says which and where, but for those that came while it was closed.
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
   * Completions that are not: they found the ring full, the recording had stopped, or was being closed.
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
typedef struct lmcache_key_list {
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
  const struct lmcache_scope *scope;
  /**
   * NULL, or `count` scopes.
   */
  const struct lmcache_scope *const *scopes;
} lmcache_key_list;

/**
 * A recorded call, so that what became of it can be recorded too. Its fields mean nothing to a host. All of them are 0 for a call that was
 * DROPPED.
 */
typedef struct lmcache_call_id {
  /**
   * Which call of which thread.
   */
  uint64_t number;
  /**
   * Which kind.
   */
  uint32_t kind;
  /**
   * Nothing; 0.
   */
  uint32_t reserved;
} lmcache_call_id;

/**
 * One row of a prefetch: the keys of one object group and rank, chunk after chunk.
 */
typedef struct lmcache_prefetch_row {
  /**
   * Its keys.
   */
  struct lmcache_key_list keys;
  /**
   * The layout of their objects.
   */
  const struct lmcache_layout *layout;
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
typedef struct lmcache_prefetch_spec {
  /**
   * The rows.
   */
  const struct lmcache_prefetch_row *rows;
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
 * What became of a call. It begins with its size; `LMCACHE_COMPLETION_INIT` sets it.
 */
typedef struct lmcache_completion {
  /**
   * `sizeof(lmcache_completion)`.
   */
  uint32_t struct_size;
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
   * How long the call took.
   */
  uint64_t duration_ns;
  /**
   * From the call to the moment its data was there; LMCACHE_NOT_KNOWN_NS, or 0, if that is not known.
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
typedef struct lmcache_storage_options {
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
  /**
   * NULL, or a GPU that L1 is pinned by, so that it copies at full speed; the GPU stays open as long as the storage manager is. Of a device
   * that is no GPU it is UNSUPPORTED.
   */
  const struct lmcache_device *pinned_by;
} lmcache_storage_options;

/**
 * The buffer of a key that was reserved.
 */
typedef struct lmcache_write_buffer {
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
typedef struct lmcache_read_buffer {
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
 * What a prefetch found, in numbers. It begins with its size; `LMCACHE_PREFETCH_RESULT_INIT` sets it.
 */
typedef struct lmcache_prefetch_result {
  /**
   * `sizeof(lmcache_prefetch_result)`.
   */
  uint32_t struct_size;
  /**
   * Rows of the prefetch.
   */
  uint32_t row_count;
  /**
   * Columns: the keys of each row.
   */
  uint32_t column_count;
  /**
   * Nothing; 0.
   */
  uint32_t reserved;
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
} lmcache_prefetch_result;

/**
 * Told once that a prefetch is done: on a thread of the storage manager, which serves no other prefetch meanwhile, so it has to be short;
 * or, if it is done already, on the thread that asks to be told, before that call returns. It may call the library, up to 4 calls
 * deep; to wait for a prefetch, to free this one or its storage manager, and to close any is BUSY. It must return.
 */
typedef void (*lmcache_prefetch_callback)(void *user_data);

/**
 * How full the tiers are. It begins with its size; `LMCACHE_STORAGE_USAGE_INIT` sets it.
 */
typedef struct lmcache_storage_usage {
  /**
   * `sizeof(lmcache_storage_usage)`.
   */
  uint32_t struct_size;
  /**
   * L2 adapters.
   */
  uint32_t l2_adapter_count;
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
typedef struct lmcache_l2_adapter_table {
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
   * Called once, last of all, on any thread: nothing is called with `user_data` afterwards. It has returned when the call does that ended the
   * adapter: `lmcache_storage_delete_l2_adapter`, `lmcache_storage_close` or `lmcache_storage_free`. May be NULL.
   */
  lmcache_l2_close_function close;
  /**
   * Says why something failed. May be NULL.
   */
  lmcache_l2_last_error_function last_error;
} lmcache_l2_adapter_table;

/**
 * What a device in the memory of the host is made of. `LMCACHE_HOST_DEVICE_OPTIONS_INIT` sets the size; the rest is 0.
 */
typedef struct lmcache_host_device_options {
  /**
   * `sizeof(lmcache_host_device_options)`.
   */
  uint32_t struct_size;
  /**
   * Nothing; 0.
   */
  uint32_t reserved;
  /**
   * Memory of the host's, in which its caches lie, aligned to 8 bytes; it has to stay until `lmcache_device_free` has returned. NULL
   * is memory that the library takes.
   */
  uint8_t *memory;
  /**
   * How many bytes there are, or are to be: a multiple of 8.
   */
  uint64_t memory_bytes;
} lmcache_host_device_options;

/**
 * A tensor of a paged cache, in the memory of a device.
 */
typedef struct lmcache_device_tensor {
  /**
   * From the beginning of the device's memory, in bytes.
   */
  uint64_t offset;
  /**
   * Its bytes.
   */
  uint64_t len_bytes;
} lmcache_device_tensor;

/**
 * What a paged cache is: LMCache's PageBufferShapeDesc with its layout and its tensors. docs/device.md has the layouts, and the order of their
 * tensors. `LMCACHE_PAGED_LAYOUT_OPTIONS_INIT` sets the size; the rest is 0.
 */
typedef struct lmcache_paged_layout_options {
  /**
   * `sizeof(lmcache_paged_layout_options)`.
   */
  uint32_t struct_size;
  /**
   * The layout, by the number that LMCache's EngineKVFormat has for it; `lmcache_kv_format_from_name` finds it.
   */
  uint32_t format;
  /**
   * NL.
   */
  uint64_t layers;
  /**
   * NB, of each layer.
   */
  uint64_t blocks;
  /**
   * BS: tokens of a block.
   */
  uint64_t block_tokens;
  /**
   * NH: heads of a row; 1 where it is a latent.
   */
  uint64_t heads;
  /**
   * HS: elements of a head, of K and V together where they are packed.
   */
  uint64_t head_size;
  /**
   * Bytes of an element: 1, 2, 4 or 8.
   */
  uint64_t element_bytes;
  /**
   * How many elements lie between the starts of two blocks; 0 if there is nothing between them.
   */
  uint64_t block_stride_elements;
  /**
   * The tensors, in the order of the layout's name.
   */
  const struct lmcache_device_tensor *tensors;
  /**
   * How many there are; at most LMCACHE_MAX_DEVICE_TENSORS.
   */
  size_t tensor_count;
} lmcache_paged_layout_options;

/**
 * The pages of one kind of layers: their cache, and which blocks are which object. Borrowed for the time of the call.
 */
typedef struct lmcache_paged_part {
  /**
   * The cache.
   */
  const struct lmcache_paged_layout *layout;
  /**
   * The block table: the blocks of the first key, those of the second, and so on.
   */
  const int64_t *block_ids;
  /**
   * How many there are, at least as many as the keys need; what is behind is not looked at. At most LMCACHE_MAX_BLOCKS.
   */
  size_t block_count;
  /**
   * How many tokens of an object this part holds: LMCache's chunk size, a multiple of the tokens of a block.
   */
  uint64_t object_tokens;
  /**
   * How many places of the table a retrieve leaves alone, from the first on; 0 of a store.
   */
  uint64_t skip_prefix_blocks;
} lmcache_paged_part;

/**
 * How a transfer ended. It begins with its size; `LMCACHE_TRANSFER_RESULT_INIT` sets it.
 */
typedef struct lmcache_transfer_result {
  /**
   * `sizeof(lmcache_transfer_result)`.
   */
  uint32_t struct_size;
  /**
   * LMCACHE_STATUS_OK, or the status of the error.
   */
  int32_t status;
  /**
   * Keys of the call.
   */
  uint64_t key_count;
  /**
   * Those that were moved.
   */
  uint64_t moved_keys;
  /**
   * Those that were left alone: there already, or of null blocks alone.
   */
  uint64_t spared_keys;
  /**
   * All others.
   */
  uint64_t failed_keys;
  /**
   * Bytes that were moved; 0 if the transfer failed.
   */
  uint64_t bytes;
} lmcache_transfer_result;

/**
 * Told once that a transfer is over: on a thread of the storage manager, which finishes no other transfer meanwhile, so it has to be short;
 * on one of the device, if the storage manager was closed before; or, if it is over already, on the thread that asks to be told, before that call
 * returns. It may call the library, up to 4 calls deep; to wait for a transfer, and to free its storage manager or a device, is BUSY. It must
 * return.
 */
typedef void (*lmcache_transfer_callback)(void *user_data);

/**
 * What a trace file says about itself. It begins with its size; `LMCACHE_TRACE_HEADER_INIT` sets it. Strings end in NUL and are valid until
 * the reader is freed; what the file does not have is "" or 0, numbers that it does not tell are LMCACHE_NOT_KNOWN.
 */
typedef struct lmcache_trace_header {
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
typedef struct lmcache_recorded_scope {
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
typedef struct lmcache_recorded_key {
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
  const struct lmcache_recorded_scope *scope;
} lmcache_recorded_key;

/**
 * A layout, as it was recorded; its tensors can be passed to `lmcache_layout_new`. Addresses are as those of scopes.
 */
typedef struct lmcache_recorded_layout {
  /**
   * Its tensors.
   */
  const struct lmcache_tensor *tensors;
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
typedef struct lmcache_recorded_row {
  /**
   * Its keys.
   */
  const struct lmcache_recorded_key *keys;
  /**
   * How many.
   */
  size_t key_count;
  /**
   * The layout of their objects.
   */
  const struct lmcache_recorded_layout *layout;
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
typedef struct lmcache_record {
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
  const struct lmcache_recorded_key *keys;
  /**
   * How many.
   */
  size_t key_count;
  /**
   * Of LMCACHE_RECORD_RESERVE_WRITE: the layout of each object.
   */
  const struct lmcache_recorded_layout *layout;
  /**
   * Of LMCACHE_RECORD_FINISH_READ: how many locks are released on each key.
   */
  int64_t read_locks;
  /**
   * Of LMCACHE_RECORD_SUBMIT_PREFETCH: the rows.
   */
  const struct lmcache_recorded_row *rows;
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
   * Of a completion: what became of the call; of other records NULL.
   */
  const struct lmcache_completion *completion;
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
typedef struct lmcache_reader_stats {
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
typedef struct lmcache_damage {
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

/**
 * How far a replay is. Its fields are added at the end: a host sees those that its header has.
 */
typedef struct lmcache_replay_progress {
  /**
   * Bytes of what the library knows of this struct.
   */
  uint32_t struct_size;
  /**
   * 1 at the last call, when the replay is over.
   */
  uint32_t is_over;
  /**
   * Records that were carried out: replayed, failed or skipped.
   */
  uint64_t records;
  /**
   * How many there will be, as far as that is known.
   */
  uint64_t total_records;
  /**
   * Of those that were carried out: calls that failed.
   */
  uint64_t failed;
  /**
   * Of those that were carried out: records that hold no call that can be made.
   */
  uint64_t skipped;
  /**
   * Since the replay began.
   */
  uint64_t elapsed_ns;
  /**
   * How long it takes altogether; LMCACHE_NOT_KNOWN at LMCACHE_PACE_ASAP, and at a rate for a part of a trace.
   */
  uint64_t expected_ns;
  /**
   * How late a call began, of those so far.
   */
  uint64_t max_lag_ns;
  /**
   * Chunks of the prompts of the prefetches that were answered.
   */
  uint64_t answered_chunks;
  /**
   * Of those, the chunks that could be served.
   */
  uint64_t served_chunks;
  /**
   * Keys that prefetches found in L1.
   */
  uint64_t l1_hit_keys;
  /**
   * Keys that prefetches got from L2.
   */
  uint64_t l2_hit_keys;
  /**
   * Objects that were evicted from L1.
   */
  uint64_t evicted_keys;
  /**
   * Bytes of L1 in use.
   */
  uint64_t l1_used_bytes;
  /**
   * Bytes that L1 has.
   */
  uint64_t l1_total_bytes;
  /**
   * Bytes of L2 in use; LMCACHE_NOT_KNOWN if there is no adapter.
   */
  uint64_t l2_used_bytes;
} lmcache_replay_progress;

/**
 * Told how far a replay is, on the thread that called `lmcache_replay_run`, when it begins, at the asked interval, and when it is over, also if it failed. `progress` is
 * borrowed for the time of the call. It returns 0 to go on; any other number cancels the replay. It may call `lmcache_replay_cancel`; other calls on this
 * replay are BUSY. While it runs, calls are made all the same.
 */
typedef uint32_t (*lmcache_progress_callback)(const struct lmcache_replay_progress *progress, void *user_data);

/**
 * How to replay. `LMCACHE_REPLAY_OPTIONS_INIT` has the defaults, which are zero; the paths, and `config_json` or `l1_size_bytes`, have to
 * be set.
 */
typedef struct lmcache_replay_options {
  /**
   * `sizeof(lmcache_replay_options)`.
   */
  uint32_t struct_size;
  /**
   * LMCACHE_READ_BUFFERED or LMCACHE_READ_MAPPED.
   */
  uint32_t read_mode;
  /**
   * The traces, of level "storage": one, or one of each node, which are replayed at once on one clock.
   */
  const char *const *paths;
  /**
   * How many; at most 256.
   */
  size_t path_count;
  /**
   * How fast: LMCACHE_PACE_*.
   */
  uint32_t pace;
  /**
   * What a call waits for, besides its time: LMCACHE_ORDER_*.
   */
  uint32_t order;
  /**
   * For LMCACHE_PACE_SPEED from 1e-6 to 1e6, for LMCACHE_PACE_RATE from 1e-6 to 1e9.
   */
  double pace_value;
  /**
   * Threads that make the calls, at most 256; 0 for as many as suit the machine. In causal order they take turns.
   */
  uint32_t workers;
  /**
   * 1 to sleep until a call is due instead of spinning through the last moments: little CPU, and calls some tens of us late.
   */
  uint32_t low_cpu;
  /**
   * Leave out what was made before so many seconds from the start.
   */
  double from_s;
  /**
   * Leave out what was made from so many seconds on; 0 for nothing.
   */
  double to_s;
  /**
   * Replay so many times, one after the other, with the same keys; 0 is 1.
   */
  uint32_t loops;
  /**
   * Replay so many copies at once, each with a salt of its own; 0 is 1.
   */
  uint32_t tenants;
  /**
   * Where several traces lie beside each other: LMCACHE_ALIGN_*.
   */
  uint32_t alignment;
  /**
   * Whose behaviour counts where LMCache's is a known defect: LMCACHE_COMPAT_*. The default is LMCache's, and that of a storage manager
   * (`config_json`) is ours.
   */
  uint32_t compat;
  /**
   * The whole configuration of the storage manager, as that of `lmcache_storage_options`: for a replay of what an engine recorded, its
   * own. NULL for what the other fields say; else `compat`, `l1_size_bytes`, `eviction_policy` and `l2_adapters` are not set.
   */
  const char *config_json;
  /**
   * Bytes of L1. Memory that no call writes is never touched, so it may be more than the machine has.
   */
  uint64_t l1_size_bytes;
  /**
   * Which objects leave L1 first: "LRU", "noop", ...; NULL is LRU.
   */
  const char *eviction_policy;
  /**
   * L2 adapters as LMCache's JSON, for instance {"type":"fs","base_path":"/data/kv"}; may be NULL.
   */
  const char *const *l2_adapters;
  /**
   * How many; at most LMCACHE_MAX_L2_ADAPTERS.
   */
  size_t l2_adapter_count;
  /**
   * What the adapters find, and what becomes of what they are given: LMCACHE_NAMESPACE_*.
   */
  uint32_t l2_namespace;
  /**
   * Nothing; 0.
   */
  uint32_t reserved;
  /**
   * How often `on_progress` is called; 0 for once a second. It is called at most a hundred times a second.
   */
  uint64_t progress_interval_ns;
  /**
   * Told how far it is; may be NULL.
   */
  lmcache_progress_callback on_progress;
  /**
   * What it gets back.
   */
  void *on_progress_user_data;
} lmcache_replay_options;

/**
 * What a replay found. It begins with its size. A key that is asked for twice counts twice.
 */
typedef struct lmcache_replay_results {
  /**
   * `sizeof(lmcache_replay_results)`.
   */
  uint32_t struct_size;
  /**
   * 1 if it was cancelled before all was done.
   */
  uint32_t is_cancelled;
  /**
   * Calls that were made and succeeded.
   */
  uint64_t records_replayed;
  /**
   * Calls that were made and failed.
   */
  uint64_t records_failed;
  /**
   * Records that hold no call that can be made.
   */
  uint64_t records_skipped;
  /**
   * Records that the options left out.
   */
  uint64_t records_left_out;
  /**
   * From the start of the schedule to the end of the last call.
   */
  uint64_t duration_ns;
  /**
   * How late calls began: half of them so late at most,
   */
  uint64_t lag_p50_ns;
  /**
   * 99 of 100,
   */
  uint64_t lag_p99_ns;
  /**
   * 999 of 1000,
   */
  uint64_t lag_p999_ns;
  /**
   * all of them.
   */
  uint64_t lag_max_ns;
  /**
   * Calls that were more than 1 ms late.
   */
  uint64_t late_calls;
  /**
   * Chunks of the prompts of all prefetches.
   */
  uint64_t requested_chunks;
  /**
   * Of those, the chunks that all rows together can serve.
   */
  uint64_t served_chunks;
  /**
   * Cells of all prefetches: rows times columns.
   */
  uint64_t requested_keys;
  /**
   * Of those, the hits,
   */
  uint64_t hit_keys;
  /**
   * those that were in L1 already, and
   */
  uint64_t l1_hit_keys;
  /**
   * those that came from L2.
   */
  uint64_t l2_hit_keys;
  /**
   * Prefetches whose result was not there when the replay ended.
   */
  uint64_t unresolved_prefetches;
  /**
   * Objects that eviction removed from L1.
   */
  uint64_t evicted_keys;
  /**
   * Objects in L1 that were locked for reading when the replay ended, which cannot be evicted.
   */
  uint64_t locked_at_end;
  /**
   * Reads that got nothing: at least one key could not be read.
   */
  uint64_t reads_found_nothing;
  /**
   * Keys of writes that were reserved,
   */
  uint64_t keys_reserved;
  /**
   * that were there already or are being written, and
   */
  uint64_t keys_not_writable;
  /**
   * for which there was no memory.
   */
  uint64_t keys_out_of_memory;
  /**
   * Objects that could not be stored to L2, or found a full queue.
   */
  uint64_t l2_lost_keys;
  /**
   * In causal order: how often L2 was not done in time, so that the replay cannot be repeated exactly.
   */
  uint64_t unsettled_calls;
  /**
   * What is known to be missing in the traces: calls that their recorders lost, and calls in damaged chunks.
   */
  uint64_t missing_calls;
  /**
   * 1 if every byte of the traces was a record, and no call is known to be missing.
   */
  uint32_t is_trace_complete;
  /**
   * Nothing; 0.
   */
  uint32_t reserved;
} lmcache_replay_results;

/**
 * How to convert. Zero is always the default.
 */
typedef struct lmcache_convert_options {
  /**
   * `sizeof(lmcache_convert_options)`.
   */
  uint32_t struct_size;
  /**
   * LMCACHE_READ_BUFFERED or LMCACHE_READ_MAPPED.
   */
  uint32_t read_mode;
  /**
   * LMCACHE_CONVERT_TO_*.
   */
  uint32_t form;
  /**
   * To LMCache's form: 1 to leave out the tenants of keys, as LMCache's recorder does.
   */
  uint32_t omits_salts;
  /**
   * To LMCache's form: 1 to write no record where the recorder lost calls.
   */
  uint32_t omits_losses;
  /**
   * To LMCache's form: 1 to write a record for each completion, too.
   */
  uint32_t with_completions;
} lmcache_convert_options;

/**
 * What a conversion read and wrote. It begins with its size.
 */
typedef struct lmcache_conversion {
  /**
   * `sizeof(lmcache_conversion)`.
   */
  uint32_t struct_size;
  /**
   * 1 if the input holds frames that are no records, is damaged, was cut short, or was not closed.
   */
  uint32_t is_incomplete;
  /**
   * Calls of the six operations.
   */
  uint64_t calls;
  /**
   * Records of LMCache's that were kept as they stand in its file.
   */
  uint64_t foreign_calls;
  /**
   * Calls that a host defined.
   */
  uint64_t host_calls;
  /**
   * Completions.
   */
  uint64_t completions;
  /**
   * Calls that the recorder lost.
   */
  uint64_t lost_calls;
  /**
   * Distinct keys; LMCACHE_NOT_KNOWN unless the output is compact.
   */
  uint64_t distinct_keys;
  /**
   * Frames that are no records; kept in native files.
   */
  uint64_t undecodable_frames;
  /**
   * Bytes of a frame that is cut short at the end; kept likewise.
   */
  uint64_t cut_bytes;
  /**
   * Chunks that are damaged; they are not in the output.
   */
  uint64_t damaged_chunks;
  /**
   * Bytes where chunks should be.
   */
  uint64_t gap_bytes;
  /**
   * Records of kinds, and calls with layouts, that this library does not know; they are not in the output.
   */
  uint64_t unknown_records;
  /**
   * To LMCache's form: calls whose thread and number are gone,
   */
  uint64_t unexpressed_threads;
  /**
   * completions that were not written,
   */
  uint64_t unexpressed_completions;
  /**
   * losses that were not written,
   */
  uint64_t unexpressed_losses;
  /**
   * and keys whose salt was not written.
   */
  uint64_t unexpressed_salts;
  /**
   * Bytes of the input.
   */
  uint64_t input_bytes;
  /**
   * Bytes of the output.
   */
  uint64_t output_bytes;
} lmcache_conversion;

/**
 * What a repair copied, and what it could not. It begins with its size.
 */
typedef struct lmcache_repair_report {
  /**
   * `sizeof(lmcache_repair_report)`.
   */
  uint32_t struct_size;
  /**
   * 1 if the original was closed by its recorder.
   */
  uint32_t was_closed;
  /**
   * Chunks in the copy,
   */
  uint64_t chunks;
  /**
   * records in it,
   */
  uint64_t records;
  /**
   * and calls.
   */
  uint64_t calls;
  /**
   * Calls that the recorder lost, as the original says itself.
   */
  uint64_t lost_calls;
  /**
   * Places of the original that are not in the copy; 0 if all that a checksum covers is.
   */
  uint64_t holes;
  /**
   * Bytes in them.
   */
  uint64_t missing_bytes;
  /**
   * Calls in them, at least.
   */
  uint64_t missing_calls;
  /**
   * Bytes of the copy.
   */
  uint64_t output_bytes;
} lmcache_repair_report;

/**
 * Told of a finding within `lmcache_verify`, on the thread that called it: its kind in a word, its place in the file (LMCACHE_NOT_KNOWN if it has none), and a
 * sentence. Both texts end in NUL and are borrowed for the time of the call. Of each kind the first 16 are told. It may call the library, as any callback.
 */
typedef void (*lmcache_finding_callback)(const char *kind,
                                         uint64_t offset,
                                         const char *sentence,
                                         void *user_data);

/**
 * What a close look at a trace found. It begins with its size.
 */
typedef struct lmcache_verify_report {
  /**
   * `sizeof(lmcache_verify_report)`.
   */
  uint32_t struct_size;
  /**
   * 1 if the file was closed by its recorder; LMCache's do not tell.
   */
  uint32_t is_closed;
  /**
   * How many things were found that are not as they should be.
   */
  uint64_t findings;
  /**
   * Bytes of the file.
   */
  uint64_t file_bytes;
  /**
   * Chunks in it,
   */
  uint64_t chunks;
  /**
   * and those that are as they should be.
   */
  uint64_t good_chunks;
  /**
   * Records.
   */
  uint64_t records;
  /**
   * Calls.
   */
  uint64_t calls;
  /**
   * Completions.
   */
  uint64_t completions;
  /**
   * Calls that the recorder lost.
   */
  uint64_t lost_calls;
  /**
   * Records that came late.
   */
  uint64_t late_records;
  /**
   * Threads.
   */
  uint64_t threads;
} lmcache_verify_report;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The ABI version of the library that was loaded, as LMCACHE_ABI_VERSION. Any thread may call this at any time.
 */
uint32_t lmcache_abi_version(void);

/**
 * Whether this library has all that the header has with which the host was compiled: pass LMCACHE_ABI_VERSION, and go on if it is OK.
 * UNSUPPORTED_VERSION if the major version is another, or the library's minor version is older. Any thread may call this at any time.
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
 * Copies the sentence of the calling thread's last error into `buffer`, with its NUL, cut to `length` bytes between two characters of UTF-8,
 * and returns how long it is without the NUL: at most 4096 bytes, which is all that is kept of a longer one. With `length` 0 nothing is
 * written and `buffer` may be NULL. Empty if there was no error.
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
 * NULL ends that; when this returns, no call of a callback that was set before is under way. Without one nothing is said anywhere. A
 * child of `fork` has none until it sets one.
 *
 * The caller promises:
 * `callback` may be called from any thread with `user_data`, and from several at once, until this is called again.
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
                                 struct lmcache_scope **out);

/**
 * Gives a scope back; recordings and caches that know it keep it. NULL is fine.
 */
lmcache_status lmcache_scope_free(struct lmcache_scope *scope);

/**
 * Makes a layout of `count` tensors; at most LMCACHE_MAX_TENSORS. What they point to is copied.
 *
 * The caller promises:
 * `tensors` points to `count` tensors, each with as many dimensions as it says, and a name that ends in NUL; `out` points to room
 * for a handle.
 */
lmcache_status lmcache_layout_new(const struct lmcache_tensor *tensors,
                                  size_t count,
                                  struct lmcache_layout **out);

/**
 * How many bytes an object of this layout takes, alignment not included.
 *
 * The caller promises:
 * `out` points to room for a number.
 */
lmcache_status lmcache_layout_size_bytes(const struct lmcache_layout *layout, uint64_t *out);

/**
 * Gives a layout back. NULL is fine.
 */
lmcache_status lmcache_layout_free(struct lmcache_layout *layout);

/**
 * Opens a recording and starts its writer's thread.
 *
 * The caller promises:
 * `options` points to options whose strings end in NUL and whose callback may be called from another thread with its data, until the
 * recorder and all its producers are freed; `out` points to room for a handle.
 */
lmcache_status lmcache_recorder_open(const struct lmcache_recorder_options *options,
                                     struct lmcache_recorder **out);

/**
 * The gate of a recorder: 1 while calls are recorded, else 0. The pointer is valid for as long as the process; when the recorder is
 * gone, and in a child of `fork`, the number is 0. See `lmcache_is_recording`.
 *
 * The caller promises:
 * `out` points to room for a pointer.
 */
lmcache_status lmcache_recorder_gate(const struct lmcache_recorder *recorder,
                                     const uint32_t **out);

/**
 * Switches recording on (1) or off (0). A recording that has stopped by itself stays off; one that was closed is CLOSED.
 */
lmcache_status lmcache_recorder_set_enabled(const struct lmcache_recorder *recorder,
                                            uint32_t is_enabled);

/**
 * Waits until everything that was recorded before is in the file, where a killed process does not lose it. After
 * `lmcache_recorder_close` it is there already. Within a callback it is BUSY.
 */
lmcache_status lmcache_recorder_flush(const struct lmcache_recorder *recorder);

/**
 * What the recording has done so far; losses among it.
 *
 * The caller promises:
 * `out` points to numbers whose `struct_size` is set, and has that many bytes.
 */
lmcache_status lmcache_recorder_get_stats(const struct lmcache_recorder *recorder,
                                          struct lmcache_recorder_stats *out);

/**
 * Stops recording, writes what is in the rings, closes the file with its index and syncs it. Closing twice does no harm: whoever comes
 * second waits, too, until the file is closed. Producers may be freed before or after; calls on them are dropped from now on. A call that
 * another thread is making meanwhile can be OK and still come too late for the file: it is one of `lost` then. Within a callback this is
 * BUSY.
 */
lmcache_status lmcache_recorder_close(const struct lmcache_recorder *recorder);

/**
 * Gives a recorder back; one that was not closed is closed, and what goes wrong then is not told. A storage manager that records to it
 * keeps it open (`lmcache_storage_record`), producers do not. Within a callback this does not wait until it is closed. NULL is fine.
 */
lmcache_status lmcache_recorder_free(struct lmcache_recorder *recorder);

/**
 * Makes what the calling thread records with. It lives on its own: the recorder may be closed and freed before it, and then calls are
 * dropped. A thread that ends without having freed it has it freed then. CLOSED if the recorder was closed.
 *
 * The caller promises:
 * `out` points to room for a handle.
 */
lmcache_status lmcache_producer_new(const struct lmcache_recorder *recorder,
                                    struct lmcache_producer **out);

/**
 * Gives a producer back; by its own thread, at the latest in a destructor of `pthread_key_create`. What it recorded is written. NULL is
 * fine.
 */
lmcache_status lmcache_producer_free(struct lmcache_producer *producer);

/**
 * Records `reserve_write`: the keys are about to be written, each an object of this layout. `call` may be NULL.
 *
 * The caller promises:
 * `keys` points to a list whose pointers are what their fields say; `call` is NULL or points to room for a number.
 */
lmcache_status lmcache_producer_reserve_write(struct lmcache_producer *producer,
                                              const struct lmcache_key_list *keys,
                                              const struct lmcache_layout *layout,
                                              struct lmcache_call_id *call);

/**
 * Records `finish_write`: what was reserved is readable now. `call` may be NULL.
 *
 * The caller promises:
 * `keys` points to a list whose pointers are what their fields say; `call` is NULL or points to room for a number.
 */
lmcache_status lmcache_producer_finish_write(struct lmcache_producer *producer,
                                             const struct lmcache_key_list *keys,
                                             struct lmcache_call_id *call);

/**
 * Records that a reader enters: `read_prefetched_results`. `call` may be NULL.
 *
 * The caller promises:
 * As for `lmcache_producer_finish_write`.
 */
lmcache_status lmcache_producer_read_enter(struct lmcache_producer *producer,
                                           const struct lmcache_key_list *keys,
                                           struct lmcache_call_id *call);

/**
 * Records that a reader leaves. `call` may be NULL.
 *
 * The caller promises:
 * As for `lmcache_producer_finish_write`.
 */
lmcache_status lmcache_producer_read_exit(struct lmcache_producer *producer,
                                          const struct lmcache_key_list *keys,
                                          struct lmcache_call_id *call);

/**
 * Records `finish_read_prefetched`: so many read locks on each key are released. `call` may be NULL.
 *
 * The caller promises:
 * As for `lmcache_producer_finish_write`.
 */
lmcache_status lmcache_producer_finish_read(struct lmcache_producer *producer,
                                            const struct lmcache_key_list *keys,
                                            int64_t read_locks,
                                            struct lmcache_call_id *call);

/**
 * Records `submit_prefetch_task`. `request_id` is the engine's name for the request; it may be NULL, and so may `call`.
 *
 * The caller promises:
 * `spec` points to a spec whose pointers are what their fields say; `request_id` is NULL or ends in NUL; `call` is NULL or points to
 * room for a number.
 */
lmcache_status lmcache_producer_submit_prefetch(struct lmcache_producer *producer,
                                                const struct lmcache_prefetch_spec *spec,
                                                const char *request_id,
                                                struct lmcache_call_id *call);

/**
 * Records a call of the host's own: a name, and at most LMCACHE_MAX_HOST_CALL_BYTES bytes that mean something to it. `call` may be
 * NULL.
 *
 * The caller promises:
 * `name` ends in NUL; `bytes` points to `length` bytes; `call` is NULL or points to room for a number.
 */
lmcache_status lmcache_producer_host_call(struct lmcache_producer *producer,
                                          const char *name,
                                          const uint8_t *bytes,
                                          size_t length,
                                          struct lmcache_call_id *call);

/**
 * Records what became of a call, which another thread of the same recording may have recorded. DROPPED if recording is off, if the ring is
 * full (`lost_completions` of the recorder counts that), or if the call itself was DROPPED.
 *
 * The caller promises:
 * `completion` points to a completion whose `struct_size` is set, and has that many bytes.
 */
lmcache_status lmcache_producer_complete(struct lmcache_producer *producer,
                                         struct lmcache_call_id call,
                                         const struct lmcache_completion *completion);

/**
 * Makes a storage manager and starts its threads. What in the configuration is hardly meant is told to the log callback, and
 * later memory of L1 that cannot be pinned. Memory of L1 is reserved, and taken when it is first written, unless it is pinned.
 *
 * The caller promises:
 * `options` points to options whose strings end in NUL; `out` points to room for a handle.
 */
lmcache_status lmcache_storage_new(const struct lmcache_storage_options *options,
                                   struct lmcache_storage **out);

/**
 * Records every call on this storage manager from now on, while `recorder` is on: the six that LMCache records, each with what became of
 * it. Only one recorder can be attached, and stays; CLOSED if it was closed. A host that attaches one does not record these calls itself. Close the recorder
 * after the storage manager; one that is freed without that is closed when the storage manager and its prefetches are freed.
 */
lmcache_status lmcache_storage_record(const struct lmcache_storage *storage,
                                      const struct lmcache_recorder *recorder);

/**
 * Ends everything: prefetches under way end with a miss, stores under way are not waited for (`lmcache_storage_flush_stores` does
 * that), threads stop, adapters close (the `close` of a table has returned when this does), objects are dropped. Calls that would add something are CLOSED from then on; others find
 * nothing. Closing twice does no harm. Within a callback it is BUSY, since it waits for the threads that callbacks come from.
 *
 * The memory behind buffers stays mapped until the handle and all its prefetches are freed.
 */
lmcache_status lmcache_storage_close(const struct lmcache_storage *storage);

/**
 * Gives a storage manager back, and closes it before as `lmcache_storage_close` does: when this returns, no thread of it is there any more,
 * and no function of an L2 table is called. What goes wrong in that is told to the log callback. No buffer may be used from then on. Its
 * prefetches are to be freed, too, before or after. NULL is fine.
 *
 * Within a callback it is BUSY, since it waits for the threads that callbacks come from. Calls of other threads on it end as on one that
 * is closed.
 */
lmcache_status lmcache_storage_free(struct lmcache_storage *storage);

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
lmcache_status lmcache_storage_reserve_write(const struct lmcache_storage *storage,
                                             const struct lmcache_key_list *keys,
                                             const struct lmcache_layout *layout,
                                             uint32_t mode,
                                             struct lmcache_write_buffer *buffers,
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
lmcache_status lmcache_storage_finish_write(const struct lmcache_storage *storage,
                                            const struct lmcache_key_list *keys,
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
lmcache_status lmcache_storage_read_enter(const struct lmcache_storage *storage,
                                          const struct lmcache_key_list *keys,
                                          const uint32_t *l1_managers,
                                          struct lmcache_read_buffer *buffers,
                                          size_t buffer_count);

/**
 * Ends a read that `lmcache_storage_read_enter` began, with the same keys and `l1_managers`. `failed` is 1 if the reader could not use
 * what it got: then one lock is released on each key; else the caller releases them with `lmcache_storage_finish_read`, when
 * its device is done.
 *
 * The caller promises:
 * `keys` points to a list whose pointers are what their fields say; `l1_managers` is NULL or points to as many numbers.
 */
lmcache_status lmcache_storage_read_exit(const struct lmcache_storage *storage,
                                         const struct lmcache_key_list *keys,
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
lmcache_status lmcache_storage_finish_read(const struct lmcache_storage *storage,
                                           const struct lmcache_key_list *keys,
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
lmcache_status lmcache_storage_unsafe_read(const struct lmcache_storage *storage,
                                           const struct lmcache_key_list *keys,
                                           const uint32_t *l1_managers,
                                           struct lmcache_read_buffer *buffers,
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
lmcache_status lmcache_storage_submit_prefetch(const struct lmcache_storage *storage,
                                               const struct lmcache_prefetch_spec *spec,
                                               const char *request_id,
                                               struct lmcache_prefetch **out);

/**
 * Submits another prefetch by a handle that is there, which spares making and freeing one. What the handle stood for before is given up
 * as by `lmcache_prefetch_free`.
 *
 * The caller promises:
 * `spec` points to a spec whose pointers are what their fields say; `request_id` is NULL or ends in NUL.
 */
lmcache_status lmcache_prefetch_resubmit(struct lmcache_prefetch *prefetch,
                                         const struct lmcache_prefetch_spec *spec,
                                         const char *request_id);

/**
 * Asks whether a prefetch is done, and gives the numbers of its result: PENDING while it is not. Once it was OK, the locks on the hits
 * are the caller's, who releases them by `lmcache_storage_finish_read`; it can be asked again. `out` may be NULL.
 *
 * The caller promises:
 * `out` is NULL or points to a result whose `struct_size` is set, and has that many bytes.
 */
lmcache_status lmcache_prefetch_query(struct lmcache_prefetch *prefetch,
                                      struct lmcache_prefetch_result *out);

/**
 * The same, after at most `timeout_ns`: PENDING if it is not done by then. UINT64_MAX waits for as long as it takes; how long that can
 * be is in the configuration (`prefetch_timeout_ms`). Within a callback it is BUSY, unless the prefetch is done or `timeout_ns` is 0. A prefetch that another thread
 * frees meanwhile is waited for all the same.
 *
 * The caller promises:
 * `out` is NULL or points to a result whose `struct_size` is set, and has that many bytes.
 */
lmcache_status lmcache_prefetch_wait(struct lmcache_prefetch *prefetch,
                                     uint64_t timeout_ns,
                                     struct lmcache_prefetch_result *out);

/**
 * Has `callback` be told once when the prefetch is done: also if it is given up, if it is freed, or if the storage manager is closed before.
 * It can be asked for several times; each is told.
 *
 * The caller promises:
 * `callback` may be called once with `user_data` from any thread.
 */
lmcache_status lmcache_prefetch_on_done(struct lmcache_prefetch *prefetch,
                                        lmcache_prefetch_callback callback,
                                        void *user_data);

/**
 * Adds 1 to an eventfd once when the prefetch is done, for who waits for many things at once; see `lmcache_prefetch_on_done`. The
 * descriptor is duplicated: the caller keeps its own. It has to be EFD_NONBLOCK, so that a full one holds nothing up; what is no eventfd, or
 * waits, is INVALID_ARGUMENT.
 */
lmcache_status lmcache_prefetch_signal_on_done(struct lmcache_prefetch *prefetch,
                                               int eventfd);

/**
 * The cells of row `row` (from 0) that `which` (one of LMCACHE_CELLS_*) is about: `cells` gets a 1 or a 0 for each column, and `set`
 * how many are 1; either may be NULL, `cells` with `cell_count` 0. MISS, and nothing is written, if it is LMCACHE_CELLS_FOUND of a prefetch
 * that does not know. The result must have been asked for.
 *
 * The caller promises:
 * `cells` points to room for `cell_count` bytes; `set` is NULL or points to room for a number.
 */
lmcache_status lmcache_prefetch_get_row(struct lmcache_prefetch *prefetch,
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
lmcache_status lmcache_prefetch_get_row_l1_managers(struct lmcache_prefetch *prefetch,
                                                    size_t row,
                                                    uint32_t *l1_managers,
                                                    size_t count);

/**
 * Gives a prefetch back; NULL is fine. One whose result nobody has asked for is given up: what it has locked is released. A result that
 * was asked for stays the caller's, with its locks.
 */
lmcache_status lmcache_prefetch_free(struct lmcache_prefetch *prefetch);

/**
 * Which of the keys are in L1 and can be prefetched from there: `is_resident` gets a 1 or a 0 for each. It takes no lock, so another thread can have
 * evicted them by the time that this returns; what is in L2 is not looked at. To look up and hold, prefetch.
 *
 * The caller promises:
 * `keys` points to a list whose pointers are what their fields say; `is_resident` points to room for `count` bytes.
 */
lmcache_status lmcache_storage_contains(const struct lmcache_storage *storage,
                                        const struct lmcache_key_list *keys,
                                        uint8_t *is_resident,
                                        size_t count);

/**
 * Counts the keys as used, so that they are evicted later.
 *
 * The caller promises:
 * `keys` points to a list whose pointers are what their fields say.
 */
lmcache_status lmcache_storage_touch(const struct lmcache_storage *storage,
                                     const struct lmcache_key_list *keys);

/**
 * Deletes the keys from every L1, and from no L2. `deleted` gets how many went, `locked` how many stayed because they are being read or
 * written; either may be NULL. With `force` 1 those go, too, and their buffers can be other objects' from then on.
 *
 * The caller promises:
 * `keys` points to a list whose pointers are what their fields say; `deleted` and `locked` are NULL or point to room for a number.
 */
lmcache_status lmcache_storage_delete(const struct lmcache_storage *storage,
                                      const struct lmcache_key_list *keys,
                                      uint32_t force,
                                      size_t *deleted,
                                      size_t *locked);

/**
 * Deletes everything that is not locked from L1; with `force` 1, everything, and then buffers can be other objects' from then on.
 */
lmcache_status lmcache_storage_clear(const struct lmcache_storage *storage,
                                     uint32_t force);

/**
 * Makes one eviction pass over every L1 and every L2 adapter now, on this thread; the storage manager's own threads do it by themselves
 * about once a second. Within a callback it is BUSY, since that may come from such a pass.
 */
lmcache_status lmcache_storage_evict(const struct lmcache_storage *storage);

/**
 * Waits until everything that was written is stored in L2, or given up: at most `timeout_ns`, and then it is TIMEOUT. Within a callback it is
 * BUSY.
 */
lmcache_status lmcache_storage_flush_stores(const struct lmcache_storage *storage,
                                            uint64_t timeout_ns);

/**
 * How many bytes a `cache_salt` may have, for the policy IsolatedLRU; one that had a quota gets this one instead.
 *
 * The caller promises:
 * `cache_salt` ends in NUL.
 */
lmcache_status lmcache_storage_set_quota(const struct lmcache_storage *storage,
                                         const char *cache_salt,
                                         uint64_t limit_bytes);

/**
 * Takes the quota of a `cache_salt` back; NOT_FOUND if it has none.
 *
 * The caller promises:
 * `cache_salt` ends in NUL.
 */
lmcache_status lmcache_storage_delete_quota(const struct lmcache_storage *storage, const char *cache_salt);

/**
 * How full the tiers are.
 *
 * The caller promises:
 * `out` points to numbers whose `struct_size` is set, and has that many bytes.
 */
lmcache_status lmcache_storage_get_usage(const struct lmcache_storage *storage,
                                         struct lmcache_storage_usage *out);

/**
 * Whether the allocators' books are right: CORRUPT if they are not, which is a defect, or a host that wrote past a buffer of shared memory.
 */
lmcache_status lmcache_storage_memcheck(const struct lmcache_storage *storage);

/**
 * Copies LMCache's status tree into `buffer` as JSON, with its NUL, cut to `length` bytes; `needed` gets how long it is without the NUL, and
 * may be NULL. With `length` 0 nothing is copied and `buffer` may be NULL. It can be longer the next time. Nothing in it waits.
 *
 * The caller promises:
 * `buffer` points to room for `length` bytes; `needed` is NULL or points to room for a number.
 */
lmcache_status lmcache_storage_status_json(const struct lmcache_storage *storage,
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
lmcache_status lmcache_storage_metrics_text(const struct lmcache_storage *storage,
                                            char *buffer,
                                            size_t length,
                                            size_t *needed);

/**
 * The same, of the configuration, as LMCache's recorder writes it: what `storage_config_json` of `lmcache_recorder_options` is meant for.
 *
 * The caller promises:
 * As for `lmcache_storage_status_json`.
 */
lmcache_status lmcache_storage_config_json(const struct lmcache_storage *storage,
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
lmcache_status lmcache_storage_add_l2_adapter(const struct lmcache_storage *storage,
                                              const char *config_json,
                                              uint32_t *out);

/**
 * Adds an L2 adapter of the host's own. `config_json` has what every adapter can have (`affinity_tag`, `shared`, `eviction`, `serde`), and
 * `max_capacity_gb`, for instance {"type": "plugin", "library_path": "a name", "max_capacity_gb": 8}: it is an object of type "plugin", of which
 * no library is loaded. NULL for the defaults. The table is copied. `out` gets the number, and may be NULL. Within a callback it is BUSY.
 *
 * If it is OK, the storage manager has the table, and ends with its `close`. If it fails, whyever, `user_data` stays the host's: `close` is not
 * called, and when this returns no function is called any more.
 *
 * The caller promises:
 * `table` points to a table whose strings end in NUL, and whose functions may be called from any thread with its `user_data` until
 * `lmcache_storage_delete_l2_adapter` of the adapter, or `lmcache_storage_close` or `lmcache_storage_free` of the storage manager, has
 * returned OK; `config_json` is NULL or ends in NUL; `out` is NULL or points to room for a number.
 */
lmcache_status lmcache_storage_add_l2_table(const struct lmcache_storage *storage,
                                            const struct lmcache_l2_adapter_table *table,
                                            const char *config_json,
                                            uint32_t *out);

/**
 * Removes an L2 adapter: it gets no more tasks, those under way are finished, and it is closed. NOT_FOUND if there is none of that number.
 * TIMEOUT if its tasks take longer than `timeout_ns`: it gets no new ones from then on, and this can be called again. Within a callback it is
 * BUSY.
 */
lmcache_status lmcache_storage_delete_l2_adapter(const struct lmcache_storage *storage,
                                                 uint32_t l2_adapter,
                                                 uint64_t timeout_ns);

/**
 * Opens a device in the memory of this process: for engines on CPUs, and for tests. A thread of its own moves the bytes.
 *
 * The caller promises:
 * `options` points to options, whose memory, if there is some, stays until `lmcache_device_free` has returned; `out` points to room for
 * a handle.
 */
lmcache_status lmcache_device_open_host(const struct lmcache_host_device_options *options,
                                        struct lmcache_device **out);

/**
 * Opens the CUDA device of that number, from 0, through its primary context, which it shares with the engine. NO_DEVICE if there is no
 * driver, one that does not work, or no device that does, and the hint says what to do; INVALID_ARGUMENT if there are, and none has the number. UNSUPPORTED of a library that was built
 * without CUDA, where there is a device.
 *
 * The caller promises:
 * `out` points to room for a handle.
 */
lmcache_status lmcache_device_open_cuda(uint32_t ordinal,
                                        struct lmcache_device **out);

/**
 * Where the memory of a device in the memory of the host begins, and how many bytes it has. Offsets of tensors count from there. It is
 * valid until the device is freed. UNSUPPORTED of any other device.
 *
 * The caller promises:
 * `data` and `bytes` point to room for a value each.
 */
lmcache_status lmcache_device_get_memory(const struct lmcache_device *device,
                                         uint8_t **data,
                                         uint64_t *bytes);

/**
 * Gives a device back; NULL is fine. What is under way on the streams of one in the memory of the host fails, as CLOSED, and when this returns, no byte
 * of that memory is touched any more. Transfers of a GPU go on: wait for them before the engine's tensors go. Within a callback it is BUSY, since it waits for the device.
 */
lmcache_status lmcache_device_free(struct lmcache_device *device);

/**
 * Opens a stream of a device. CLOSED or IO if the device is gone.
 *
 * The caller promises:
 * `out` points to room for a handle.
 */
lmcache_status lmcache_device_stream_open(const struct lmcache_device *device,
                                          struct lmcache_device_stream **out);

/**
 * Gives a stream back, before or after its device; NULL is fine. What was submitted to it goes on.
 */
lmcache_status lmcache_device_stream_free(struct lmcache_device_stream *stream);

/**
 * The number of a layout, by the name that LMCache's EngineKVFormat has for it, for instance "NL_X_TWO_NB_BS_NH_HS".
 *
 * The caller promises:
 * `name` ends in NUL; `out` points to room for a number.
 */
lmcache_status lmcache_kv_format_from_name(const char *name,
                                           uint32_t *out);

/**
 * Makes a paged layout. INVALID_ARGUMENT if sizes do not belong to the layout, or a tensor is missing, too many, or too short.
 * What the options point to is copied.
 *
 * The caller promises:
 * `options` points to options with as many tensors as they say; `out` points to room for a handle.
 */
lmcache_status lmcache_paged_layout_new(const struct lmcache_paged_layout_options *options,
                                        struct lmcache_paged_layout **out);

/**
 * The bytes that an object of `tokens` tokens has of this cache: what a tensor of its `lmcache_layout` has to come to.
 *
 * The caller promises:
 * `bytes` points to room for a number.
 */
lmcache_status lmcache_paged_layout_object_bytes(const struct lmcache_paged_layout *layout,
                                                 uint64_t tokens,
                                                 uint64_t *bytes);

/**
 * Gives a paged layout back; transfers that are under way do without. NULL is fine.
 */
lmcache_status lmcache_paged_layout_free(struct lmcache_paged_layout *layout);

/**
 * Tells a GPU of a tensor of the engine's in this process: `address` is its device pointer. INVALID_ARGUMENT if the driver has it for memory of
 * the host or of another device; UNSUPPORTED of a device that is no GPU.
 *
 * The caller promises:
 * The tensor stays until the memory was given back and all transfers are over that use it; `out` points to room for a handle.
 */
lmcache_status lmcache_device_adopt(const struct lmcache_device *device,
                                    uint64_t address,
                                    uint64_t len_bytes,
                                    struct lmcache_device_memory **out);

/**
 * Tells a GPU of a tensor of another process, which exported the allocation that it is in (`cudaIpcGetMemHandle`): `offset` says where
 * in the allocation it begins. It stays mapped until the memory was given back. UNSUPPORTED of a device that is no GPU.
 *
 * The caller promises:
 * `handle` points to LMCACHE_IPC_HANDLE_BYTES bytes; `out` points to room for a handle.
 */
lmcache_status lmcache_device_open_ipc(const struct lmcache_device *device,
                                       const uint8_t *handle,
                                       uint64_t offset,
                                       uint64_t len_bytes,
                                       struct lmcache_device_memory **out);

/**
 * Where the memory lies, as a tensor of a paged cache: on a GPU, offsets are addresses of this process.
 *
 * The caller promises:
 * `out` points to room for a tensor.
 */
lmcache_status lmcache_device_memory_get_tensor(const struct lmcache_device_memory *memory,
                                                struct lmcache_device_tensor *out);

/**
 * Gives memory back; NULL is fine. Transfers that are under way hold it until they are over; later ones are refused.
 */
lmcache_status lmcache_device_memory_free(struct lmcache_device_memory *memory);

/**
 * Lets what is submitted from now on wait for all that the engine gave to its own stream so far: before a store, so that the pages are
 * written when they are read. `engine_stream` is a `cudaStream_t`; NULL is the legacy default stream: a host that is built with a default stream of
 * each thread passes `cudaStreamPerThread`, on that thread. UNSUPPORTED of a device that is no GPU.
 *
 * The caller promises:
 * `engine_stream` is a stream that exists, of the same GPU.
 */
lmcache_status lmcache_device_stream_wait_for_engine(const struct lmcache_device_stream *stream,
                                                     void *engine_stream);

/**
 * Lets what the engine gives to its own stream from now on wait for all that was submitted so far: after a retrieve, so that the pages are
 * there when they are read. Whether they are, the transfer alone tells. UNSUPPORTED of a device that is no GPU.
 *
 * The caller promises:
 * As for `lmcache_device_stream_wait_for_engine`.
 */
lmcache_status lmcache_device_stream_let_engine_wait(const struct lmcache_device_stream *stream,
                                                     void *engine_stream);

/**
 * The name of what became of a key of a transfer, for instance "ALREADY_THERE", and "UNKNOWN" for a number that is none: static, never
 * NULL, not to be freed. Any thread may call this at any time.
 */
const char *lmcache_transfer_outcome_name(uint32_t outcome);

/**
 * Stores the objects of `keys` from the pages of an engine: reserves those that are not there yet, gathers them on `stream` behind all that
 * was submitted to it, and makes them readable when the last byte has come, as LMCache's server does. It does not wait: `out` is
 * a transfer, to be asked, waited for or told of, and freed. `layout` is what each object is: a tensor for each part, of as many bytes.
 * `null_block` is the block that the engine names where it has nothing, or LMCACHE_NO_NULL_BLOCK: an object of nothing else is not
 * stored.
 *
 * INVALID_ARGUMENT if the pages do not fit the objects or name blocks that do not exist, or a key is named twice; CLOSED. Nothing
 * is reserved then. What goes wrong on the device, the transfer tells. The pages must not change before it is over.
 *
 * The caller promises:
 * `keys` points to a list whose pointers are what their fields say; `parts` points to `part_count` parts, likewise; `out` points to room
 * for a handle.
 */
lmcache_status lmcache_storage_store_from_device(const struct lmcache_storage *storage,
                                                 const struct lmcache_key_list *keys,
                                                 const struct lmcache_layout *layout,
                                                 const struct lmcache_paged_part *parts,
                                                 size_t part_count,
                                                 int64_t null_block,
                                                 const struct lmcache_device_stream *stream,
                                                 struct lmcache_transfer **out);

/**
 * Retrieves the objects of `keys`, which a prefetch has found and locked, into the pages of an engine: scatters them on `stream` behind
 * all that was submitted to it, and releases one lock on each key when the last byte has gone, or when it is clear that it will
 * not. It does not wait: `out` is a transfer. If one of the keys cannot be read, nothing is moved. `l1_managers` are those that the prefetch gave,
 * and may be NULL where there is one L1 manager.
 *
 * INVALID_ARGUMENT if the pages do not fit the objects or name blocks that do not exist; CLOSED. The locks are still the caller's
 * then. What goes wrong on the device, the transfer tells. The pages must not be used before it is over.
 *
 * The caller promises:
 * `keys` points to a list whose pointers are what their fields say; `l1_managers` is NULL or points to as many numbers; `parts` points to
 * `part_count` parts whose pointers are what their fields say; `out` points to room for a handle.
 */
lmcache_status lmcache_storage_retrieve_to_device(const struct lmcache_storage *storage,
                                                  const struct lmcache_key_list *keys,
                                                  const uint32_t *l1_managers,
                                                  const struct lmcache_paged_part *parts,
                                                  size_t part_count,
                                                  const struct lmcache_device_stream *stream,
                                                  struct lmcache_transfer **out);

/**
 * Asks how a transfer ended: PENDING while it has not. OK if the device did what it had to, and else the status of what went wrong, with its
 * sentence; `out`, which may be NULL, has the numbers in both cases. It can be asked again.
 *
 * The caller promises:
 * `out` is NULL or points to a result whose `struct_size` is set, and has that many bytes.
 */
lmcache_status lmcache_transfer_query(const struct lmcache_transfer *transfer,
                                      struct lmcache_transfer_result *out);

/**
 * The same, after at most `timeout_ns`: PENDING if it is not over by then. UINT64_MAX waits for as long as it takes. Within a callback it is
 * BUSY, unless the transfer is over or `timeout_ns` is 0.
 *
 * The caller promises:
 * `out` is NULL or points to a result whose `struct_size` is set, and has that many bytes.
 */
lmcache_status lmcache_transfer_wait(const struct lmcache_transfer *transfer,
                                     uint64_t timeout_ns,
                                     struct lmcache_transfer_result *out);

/**
 * What became of each key, in the order of the call: one of LMCACHE_TRANSFER_*. PENDING, and nothing is written, while it is not over.
 *
 * The caller promises:
 * `outcomes` points to room for `outcome_count` numbers.
 */
lmcache_status lmcache_transfer_get_outcomes(const struct lmcache_transfer *transfer,
                                             uint32_t *outcomes,
                                             size_t outcome_count);

/**
 * Has `callback` be told once when the transfer is over, also if it is freed before. It can be asked for several times; each is told.
 *
 * The caller promises:
 * `callback` may be called once with `user_data` from any thread.
 */
lmcache_status lmcache_transfer_on_done(const struct lmcache_transfer *transfer,
                                        lmcache_transfer_callback callback,
                                        void *user_data);

/**
 * Gives a transfer back; NULL is fine. One that is under way goes on.
 */
lmcache_status lmcache_transfer_free(struct lmcache_transfer *transfer);

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
                                   struct lmcache_reader **out);

/**
 * Opens a trace that is in memory; the bytes are copied.
 *
 * The caller promises:
 * `bytes` points to `length` bytes; `out` points to room for a handle.
 */
lmcache_status lmcache_reader_open_bytes(const uint8_t *bytes, size_t length, struct lmcache_reader **out);

/**
 * What the file says about itself. Costs nothing: the header was read when the file was opened.
 *
 * The caller promises:
 * `out` points to a header whose `struct_size` is set, and has that many bytes.
 */
lmcache_status lmcache_reader_get_header(struct lmcache_reader *reader, struct lmcache_trace_header *out);

/**
 * The next record, or END, which leaves `out` as it is. Records come in the order of the file. Of a native file nothing is copied or allocated;
 * calls of LMCache's files are given as LMCache 0.5.6 would have recorded them, whatever release did. What is damaged is stepped over and
 * counted.
 *
 * The caller promises:
 * `out` points to a record whose `struct_size` is set, and has that many bytes.
 */
lmcache_status lmcache_reader_next(struct lmcache_reader *reader,
                                   struct lmcache_record *out);

/**
 * Goes back to the first record; what was counted begins anew.
 */
lmcache_status lmcache_reader_rewind(struct lmcache_reader *reader);

/**
 * Goes to the call that so many calls come before in the file, which the next `lmcache_reader_next` gives; if that one cannot be read, to the
 * first after it that can. END if there is none: then the reader stands at the end. A native file has the numbers in its chunks, and one chunk is
 * walked; an LMCache file is walked from its beginning.
 */
lmcache_status lmcache_reader_seek_call(struct lmcache_reader *reader,
                                        uint64_t number);

/**
 * Goes to the first call, in the order of the file, that was made `t_mono_s` seconds after the recording began or later. END if there is none:
 * then the reader stands at the end. In a native file it is looked for from the first chunk on that can hold it, by the chunks' times; a record
 * that came late may stand before. An LMCache file is walked from its beginning.
 */
lmcache_status lmcache_reader_seek_time(struct lmcache_reader *reader,
                                        double t_mono_s);

/**
 * What was met since the reader was opened, rewound or sent to another place.
 *
 * The caller promises:
 * `out` points to numbers whose `struct_size` is set, and has that many bytes.
 */
lmcache_status lmcache_reader_get_stats(struct lmcache_reader *reader, struct lmcache_reader_stats *out);

/**
 * One of the damages that were met since then, from 0 in the order of the walk; END if there are not so many. The first
 * LMCACHE_MAX_KEPT_DAMAGES are kept.
 *
 * The caller promises:
 * `out` points to a damage whose `struct_size` is set, and has that many bytes.
 */
lmcache_status lmcache_reader_get_damage(struct lmcache_reader *reader,
                                         size_t position,
                                         struct lmcache_damage *out);

/**
 * Gives a reader back, and with it everything that was borrowed from it. NULL is fine.
 */
lmcache_status lmcache_reader_free(struct lmcache_reader *reader);

/**
 * Makes a replay: looks at the options, copies them, and opens the traces, so that what is wrong is found before the first call. The storage
 * manager is made by `lmcache_replay_run`.
 *
 * The caller promises:
 * `options` points to options whose pointers are what their fields say, and whose callback may be called with its data by
 * `lmcache_replay_run`; `out` points to room for a handle; with LMCACHE_READ_MAPPED nobody shortens the files or changes bytes in them
 * before the replay is freed.
 */
lmcache_status lmcache_replay_new(const struct lmcache_replay_options *options,
                                  struct lmcache_replay **out);

/**
 * Replays, and returns when all is done or the replay was cancelled, which is OK and stands in the results. Calls that fail are no error: they are
 * counted. It starts threads of its own: a decoder, the workers, and those of the storage manager; the calling thread tells the progress. It may
 * be run again, with a new storage manager. With one worker, the calling thread keeps off one CPU for the time of the run.
 */
lmcache_status lmcache_replay_run(struct lmcache_replay *replay);

/**
 * Cancels a replay, from any thread, or from its own callback: it ends before its next call, at the latest 50 ms from now. Not before a run:
 * then that ends at once, and so does any run after.
 */
lmcache_status lmcache_replay_cancel(const struct lmcache_replay *replay);

/**
 * What the last run found; PENDING if there was none, or it failed.
 *
 * The caller promises:
 * `out` points to results whose `struct_size` is set, and has that many bytes.
 */
lmcache_status lmcache_replay_get_results(struct lmcache_replay *replay, struct lmcache_replay_results *out);

/**
 * The same as a JSON object, with what was measured of each operation: names and meanings are those of `lmcache-trace replay --format json`, of which it has
 * the part that needs no recording and no telemetry. PENDING as above. The text ends in NUL, and is valid until the next run, or until the replay is freed.
 * `length`, which may be NULL, gets its bytes without the NUL.
 *
 * The caller promises:
 * `out` points to room for a pointer; `length` is NULL or points to room for a number.
 */
lmcache_status lmcache_replay_get_json(struct lmcache_replay *replay,
                                       const char **out,
                                       size_t *length);

/**
 * Gives a replay back, with what was borrowed from it. NULL is fine. BUSY from its own callback; while another thread runs it, the run
 * goes on to its end, so cancel it before.
 */
lmcache_status lmcache_replay_free(struct lmcache_replay *replay);

/**
 * Writes the trace `input` to `output` in another form. The output is written beside and moved to its place once it is whole and on the disk, so that
 * whatever was there is replaced or as it was. `options` may be NULL, which is the defaults, and so may `report`. Takes as long as it takes to read the
 * input once or twice. Any thread may call this at any time.
 *
 * The caller promises:
 * The paths end in NUL; `options` is NULL or points to options whose `struct_size` is set; `report` likewise; with LMCACHE_READ_MAPPED
 * nobody shortens the input or changes bytes in it meanwhile.
 */
lmcache_status lmcache_convert(const char *input,
                               const char *output,
                               const struct lmcache_convert_options *options,
                               struct lmcache_conversion *report);

/**
 * Copies what is left of a native trace that was not closed or is damaged: a sealed file, whose facts say what it is without. What was committed is copied
 * byte for byte. The output is written as by `lmcache_convert`; `report` may be NULL. Any thread may call this at any time.
 *
 * The caller promises:
 * The paths end in NUL; `report` is NULL or points to a report whose `struct_size` is set, and has that many bytes.
 */
lmcache_status lmcache_repair(const char *input,
                              const char *output,
                              struct lmcache_repair_report *report);

/**
 * Looks at every byte of a trace that a checksum covers, and at every frame of an LMCache file. What it finds is no error: the status is OK, and
 * `findings` says how many things are not as they should be, a trace that was not closed and calls that were lost among them. `on_finding`
 * and `report` may be NULL. Any thread may call this at any time.
 *
 * The caller promises:
 * `path` ends in NUL; `on_finding` may be called with `user_data` within this call; `report` is NULL or points to a report whose
 * `struct_size` is set, and has that many bytes.
 */
lmcache_status lmcache_verify(const char *path,
                              lmcache_finding_callback on_finding,
                              void *user_data,
                              struct lmcache_verify_report *report);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* LMCACHE_H */
