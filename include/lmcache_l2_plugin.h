/* A store behind L1 in a shared library: the table that a plugin exports. See docs/l2.md.
 *
 *     const lmcache_l2_plugin *lmcache_l2_plugin_table(void);
 *
 * A host that links liblmcache needs no library of its own for that: `lmcache_l2_adapter_table` of lmcache.h has the same functions but
 * `open`, with the same answers, for `lmcache_storage_add_l2_table`.
 *
 * Every function but `last_error` is required. All but `open` and `close` are called from several threads at once, with
 * parts of tasks, and wait for their I/O. They return 0 if each object has its answer, anything else if the whole call
 * failed. What they are handed is there during the call only. No exception may leave them.
 */
#ifndef LMCACHE_L2_PLUGIN_H
#define LMCACHE_L2_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LMCACHE_L2_PLUGIN_ABI_VERSION 1u

/* Answers to an object. A negative one says that this object failed. */
#define LMCACHE_L2_PUT_WRITTEN 0
#define LMCACHE_L2_PUT_PRESENT 1
#define LMCACHE_L2_PUT_NO_ROOM 2
#define LMCACHE_L2_GET_MISS 0 /* not there, or smaller than asked for; exists too */
#define LMCACHE_L2_GET_HIT 1
#define LMCACHE_L2_REMOVE_ABSENT 0
#define LMCACHE_L2_REMOVE_GONE 1

typedef struct lmcache_l2_key {
    const uint8_t *chunk_hash;
    size_t chunk_hash_bytes;
    const char *model_name; /* UTF-8, not terminated; cache_salt too */
    size_t model_name_bytes;
    const char *cache_salt;
    size_t cache_salt_bytes;
    int64_t kv_rank;
    uint32_t object_group_id;
    uint32_t reserved;
} lmcache_l2_key;

typedef struct lmcache_l2_object {
    lmcache_l2_key key;
    void *data; /* put: read it. get: fill all of it, or answer MISS */
    size_t data_bytes;
} lmcache_l2_object;

typedef struct lmcache_l2_plugin {
    size_t struct_bytes; /* sizeof(lmcache_l2_plugin) */
    uint32_t abi_version; /* LMCACHE_L2_PLUGIN_ABI_VERSION */
    uint32_t reserved; /* 0 */
    const char *name; /* terminated, or NULL */
    int32_t (*open)(const char *params_json, size_t params_bytes, void **handle);
    void (*close)(void *handle);
    int32_t (*put)(void *handle, const lmcache_l2_object *objects, size_t count, int32_t *answers);
    int32_t (*get)(void *handle, const lmcache_l2_object *objects, size_t count, int32_t *answers);
    int32_t (*exists)(void *handle, const lmcache_l2_key *keys, const uint64_t *sizes_bytes, size_t count,
                      int32_t *answers);
    int32_t (*remove)(void *handle, const lmcache_l2_key *keys, size_t count, int32_t *answers);
    /* At most `capacity` bytes of the calling thread's last error; returns how many. NULL handle: of `open`. */
    size_t (*last_error)(void *handle, char *text, size_t capacity);
} lmcache_l2_plugin;

/* What a plugin exports. lmcache.h includes this file for its types, and no host has this function: a plugin that includes lmcache.h
 * defines LMCACHE_L2_PLUGIN before. */
#if !defined(LMCACHE_H) || defined(LMCACHE_L2_PLUGIN)
const lmcache_l2_plugin *lmcache_l2_plugin_table(void);
#endif

#ifdef __cplusplus
}
#endif

#endif
