/* A store in a table in memory, as a plugin: for tests. What it does wrong, its parameters say. */
#include "lmcache_l2_plugin.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct entry {
    struct entry *next;
    size_t name_bytes, data_bytes;
    char *name, *data;
} entry;

typedef struct store {
    pthread_mutex_t lock;
    entry *entries;
    int wrong_answer, no_answer, fails, fails_objects;
} store;

static _Thread_local const char *last = "";

static int says(const char *params, size_t bytes, const char *word)
{
    size_t len = strlen(word);
    for (size_t at = 0; at + len <= bytes; at++)
        if (!memcmp(params + at, word, len))
            return 1;
    return 0;
}

static int32_t store_open(const char *params, size_t bytes, void **handle)
{
    if (says(params, bytes, "refuse")) {
        last = "it was told to refuse";
        return 7;
    }
    if (says(params, bytes, "no_handle"))
        return 0;
    store *s = calloc(1, sizeof *s);
    if (!s)
        return 1;
    pthread_mutex_init(&s->lock, NULL);
    s->wrong_answer = says(params, bytes, "wrong_answer");
    s->no_answer = says(params, bytes, "no_answer");
    s->fails = says(params, bytes, "call_fails");
    s->fails_objects = says(params, bytes, "object_fails");
    *handle = s;
    return 0;
}

static void drop(entry *e)
{
    free(e->name);
    free(e->data);
    free(e);
}

static void store_close(void *handle)
{
    store *s = handle;
    while (s->entries) {
        entry *e = s->entries;
        s->entries = e->next;
        drop(e);
    }
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* All fields of a key, with their lengths between them. */
static char *name_of(const lmcache_l2_key *key, size_t *bytes)
{
    size_t parts[3] = {key->chunk_hash_bytes, key->model_name_bytes, key->cache_salt_bytes};
    const void *texts[3] = {key->chunk_hash, key->model_name, key->cache_salt};
    *bytes = sizeof parts + parts[0] + parts[1] + parts[2] + 12;
    char *name = malloc(*bytes), *at = name;
    memcpy(at, parts, sizeof parts);
    at += sizeof parts;
    for (int i = 0; i < 3; i++) {
        if (parts[i])
            memcpy(at, texts[i], parts[i]);
        at += parts[i];
    }
    memcpy(at, &key->kv_rank, 8);
    memcpy(at + 8, &key->object_group_id, 4);
    return name;
}

static entry **find(store *s, const lmcache_l2_key *key)
{
    size_t bytes;
    char *name = name_of(key, &bytes);
    entry **at = &s->entries;
    while (*at && ((*at)->name_bytes != bytes || memcmp((*at)->name, name, bytes)))
        at = &(*at)->next;
    free(name);
    return at;
}

static int spoiled(store *s, size_t count, int32_t *answers, int32_t *code)
{
    *code = 0;
    if (s->fails) {
        last = "the disk is on fire";
        *code = 5;
        return 1;
    }
    if (s->no_answer)
        return 1;
    if (!s->wrong_answer && !s->fails_objects)
        return 0;
    last = "this object is cursed";
    for (size_t i = 0; i < count; i++)
        answers[i] = s->wrong_answer ? 99 : -3;
    return 1;
}

static int32_t store_put(void *handle, const lmcache_l2_object *objects, size_t count, int32_t *answers)
{
    store *s = handle;
    int32_t code;
    if (spoiled(s, count, answers, &code))
        return code;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < count; i++) {
        if (*find(s, &objects[i].key)) {
            answers[i] = LMCACHE_L2_PUT_PRESENT;
            continue;
        }
        entry *e = calloc(1, sizeof *e);
        e->name = name_of(&objects[i].key, &e->name_bytes);
        e->data_bytes = objects[i].data_bytes;
        e->data = malloc(e->data_bytes ? e->data_bytes : 1);
        memcpy(e->data, objects[i].data, e->data_bytes);
        e->next = s->entries;
        s->entries = e;
        answers[i] = LMCACHE_L2_PUT_WRITTEN;
    }
    pthread_mutex_unlock(&s->lock);
    return 0;
}

static int32_t store_get(void *handle, const lmcache_l2_object *objects, size_t count, int32_t *answers)
{
    store *s = handle;
    int32_t code;
    if (spoiled(s, count, answers, &code))
        return code;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < count; i++) {
        entry *e = *find(s, &objects[i].key);
        answers[i] = e && e->data_bytes == objects[i].data_bytes;
        if (answers[i] == LMCACHE_L2_GET_HIT)
            memcpy(objects[i].data, e->data, e->data_bytes);
    }
    pthread_mutex_unlock(&s->lock);
    return 0;
}

static int32_t store_exists(void *handle, const lmcache_l2_key *keys, const uint64_t *sizes_bytes, size_t count,
                            int32_t *answers)
{
    store *s = handle;
    int32_t code;
    if (spoiled(s, count, answers, &code))
        return code;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < count; i++) {
        entry *e = *find(s, &keys[i]);
        answers[i] = e && e->data_bytes >= sizes_bytes[i];
    }
    pthread_mutex_unlock(&s->lock);
    return 0;
}

static int32_t store_remove(void *handle, const lmcache_l2_key *keys, size_t count, int32_t *answers)
{
    store *s = handle;
    int32_t code;
    if (spoiled(s, count, answers, &code))
        return code;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < count; i++) {
        entry **at = find(s, &keys[i]), *e = *at;
        answers[i] = e ? LMCACHE_L2_REMOVE_GONE : LMCACHE_L2_REMOVE_ABSENT;
        if (e) {
            *at = e->next;
            drop(e);
        }
    }
    pthread_mutex_unlock(&s->lock);
    return 0;
}

static size_t store_last_error(void *handle, char *text, size_t capacity)
{
    (void)handle;
    size_t bytes = strlen(last);
    bytes = bytes < capacity ? bytes : capacity;
    memcpy(text, last, bytes);
    return bytes;
}

#ifndef STRUCT_BYTES
#define STRUCT_BYTES sizeof(lmcache_l2_plugin)
#endif
#ifndef RESERVED
#define RESERVED 0
#endif
#ifndef ABI_VERSION
#define ABI_VERSION LMCACHE_L2_PLUGIN_ABI_VERSION
#endif
#ifndef PUT
#define PUT store_put
#endif

static const lmcache_l2_plugin table = {
    STRUCT_BYTES, ABI_VERSION, RESERVED, "table in memory", store_open, store_close, PUT, store_get, store_exists,
    store_remove, store_last_error,
};

#ifndef NO_ENTRY
const lmcache_l2_plugin *lmcache_l2_plugin_table(void)
{
#ifdef NULL_TABLE
    return NULL;
#else
    return &table;
#endif
}
#endif
