/* Everything that can be done wrong with a storage manager, each with a code and none with a crash. */
#include "check.h"
#include <math.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define SMALL "{\"l1_size_gb\": 0.0625, \"eviction_policy\": \"LRU\"}"
#define SECOND 1000000000ull

static lmcache_scope *scope;
static lmcache_layout *layout;
static uint8_t hashes[4][32];

static lmcache_storage *storage_of(const char *json) {
    lmcache_storage_options options = LMCACHE_STORAGE_OPTIONS_INIT;
    options.config_json = json;
    lmcache_storage *storage = NULL;
    OK(lmcache_storage_new(&options, &storage));
    return storage;
}

static lmcache_key_list keys_of(size_t count) {
    lmcache_key_list keys = {hashes[0], count, 32, scope, NULL};
    return keys;
}

static lmcache_prefetch_spec spec_of(lmcache_prefetch_row *row, size_t count) {
    lmcache_prefetch_row made = {keys_of(count), layout, -1, 0, 0};
    *row = made;
    lmcache_prefetch_spec spec = {row, 1, 1, LMCACHE_FETCH_PREFIX, LMCACHE_LOCK, 0, 0};
    return spec;
}

static void write_keys(lmcache_storage *storage, size_t count) {
    lmcache_key_list keys = keys_of(count);
    lmcache_write_buffer buffers[4];
    OK(lmcache_storage_reserve_write(storage, &keys, layout, LMCACHE_WRITE_NEW, buffers, 4));
    for (size_t i = 0; i < count; i++) {
        CHECK(buffers[i].outcome == LMCACHE_KEY_SUCCESS && buffers[i].size_bytes == 64);
        memset(buffers[i].data, (int)i + 1, 64);
    }
    OK(lmcache_storage_finish_write(storage, &keys, NULL, NULL, 0));
}

static lmcache_prefetch *prefetch_of(lmcache_storage *storage, size_t count) {
    lmcache_prefetch_row row;
    lmcache_prefetch_spec spec = spec_of(&row, count);
    lmcache_prefetch *prefetch = NULL;
    OK(lmcache_storage_submit_prefetch(storage, &spec, "request", &prefetch));
    return prefetch;
}

static void nulls(void) {
    lmcache_storage *storage = NULL;
    lmcache_storage_options options = LMCACHE_STORAGE_OPTIONS_INIT;
    STATUS(lmcache_storage_new(NULL, &storage), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_new(&options, &storage), LMCACHE_STATUS_NULL_POINTER);
    options.config_json = SMALL;
    STATUS(lmcache_storage_new(&options, NULL), LMCACHE_STATUS_NULL_POINTER);
    CHECK(storage == NULL);
    storage = storage_of(SMALL);
    lmcache_key_list keys = keys_of(1), none = {NULL, 0, 32, NULL, NULL};
    lmcache_write_buffer written;
    lmcache_read_buffer read;
    uint8_t byte;
    STATUS(lmcache_storage_reserve_write(NULL, &keys, layout, 0, &written, 1), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_reserve_write(storage, NULL, layout, 0, &written, 1), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_reserve_write(storage, &keys, NULL, 0, &written, 1), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_reserve_write(storage, &keys, layout, 0, NULL, 1), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_finish_write(NULL, &keys, NULL, NULL, 0), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_finish_write(storage, NULL, NULL, NULL, 0), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_finish_write(storage, &keys, NULL, NULL, 1), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_read_enter(NULL, &keys, NULL, &read, 1), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_read_enter(storage, NULL, NULL, &read, 1), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_read_enter(storage, &keys, NULL, NULL, 1), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_unsafe_read(storage, &keys, NULL, NULL, 1), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_read_exit(NULL, &keys, NULL, 0), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_read_exit(storage, NULL, NULL, 0), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_finish_read(NULL, &keys, 1, NULL, NULL, 0), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_finish_read(storage, NULL, 1, NULL, NULL, 0), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_contains(storage, &keys, NULL, 1), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_contains(NULL, &keys, &byte, 1), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_touch(storage, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_delete(storage, NULL, 0, NULL, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_clear(NULL, 0), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_evict(NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_flush_stores(NULL, 0), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_set_quota(storage, NULL, 1), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_delete_quota(storage, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_get_usage(storage, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_memcheck(NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_status_json(storage, NULL, 1, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_status_json(NULL, NULL, 0, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_metrics_text(NULL, NULL, 0, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_config_json(NULL, NULL, 0, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_record(storage, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_record(NULL, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_add_l2_adapter(storage, NULL, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_add_l2_table(storage, NULL, NULL, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_delete_l2_adapter(NULL, 0, 0), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_close(NULL), LMCACHE_STATUS_NULL_POINTER);
    lmcache_prefetch_row row;
    lmcache_prefetch_spec spec = spec_of(&row, 1);
    lmcache_prefetch *prefetch = NULL;
    STATUS(lmcache_storage_submit_prefetch(NULL, &spec, NULL, &prefetch), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_submit_prefetch(storage, NULL, NULL, &prefetch), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_submit_prefetch(storage, &spec, NULL, NULL), LMCACHE_STATUS_NULL_POINTER);
    row.layout = NULL;
    STATUS(lmcache_storage_submit_prefetch(storage, &spec, NULL, &prefetch), LMCACHE_STATUS_NULL_POINTER);
    row.layout = layout;
    OK(lmcache_storage_submit_prefetch(storage, &spec, NULL, &prefetch));
    STATUS(lmcache_prefetch_query(NULL, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_prefetch_wait(NULL, 0, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_prefetch_resubmit(NULL, &spec, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_prefetch_resubmit(prefetch, NULL, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_prefetch_on_done(prefetch, NULL, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_prefetch_get_row(NULL, 0, 0, NULL, 0, NULL), LMCACHE_STATUS_NULL_POINTER);
    OK(lmcache_prefetch_wait(prefetch, UINT64_MAX, NULL));
    STATUS(lmcache_prefetch_get_row(prefetch, 0, 0, NULL, 1, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_prefetch_get_row_l1_managers(prefetch, 0, NULL, 1), LMCACHE_STATUS_NULL_POINTER);
    OK(lmcache_prefetch_get_row(prefetch, 0, 0, NULL, 0, NULL));
    OK(lmcache_prefetch_free(prefetch));
    /* Lists of nothing. */
    OK(lmcache_storage_reserve_write(storage, &none, layout, 0, NULL, 0));
    OK(lmcache_storage_finish_write(storage, &none, NULL, NULL, 0));
    OK(lmcache_storage_read_enter(storage, &none, NULL, NULL, 0));
    OK(lmcache_storage_read_exit(storage, &none, NULL, 0));
    OK(lmcache_storage_finish_read(storage, &none, 1, NULL, NULL, 0));
    OK(lmcache_storage_contains(storage, &none, NULL, 0));
    OK(lmcache_storage_free(NULL));
    OK(lmcache_prefetch_free(NULL));
    OK(lmcache_storage_free(storage));
}

static void handles(void) {
    lmcache_storage *storage = storage_of(SMALL);
    lmcache_key_list keys = keys_of(1);
    lmcache_prefetch *prefetch = prefetch_of(storage, 1);
    STATUS(lmcache_storage_touch((lmcache_storage *)prefetch, &keys), LMCACHE_STATUS_INVALID_HANDLE);
    STATUS(lmcache_storage_free((lmcache_storage *)scope), LMCACHE_STATUS_INVALID_HANDLE);
    STATUS(lmcache_prefetch_query((lmcache_prefetch *)storage, NULL), LMCACHE_STATUS_INVALID_HANDLE);
    STATUS(lmcache_prefetch_free((lmcache_prefetch *)layout), LMCACHE_STATUS_INVALID_HANDLE);
    STATUS(lmcache_storage_record(storage, (lmcache_recorder *)storage), LMCACHE_STATUS_INVALID_HANDLE);
    STATUS(lmcache_storage_close((lmcache_storage *)&keys), LMCACHE_STATUS_INVALID_HANDLE);
    for (uintptr_t number = 1; number < 2048; number++) {
        lmcache_storage *made_up = (lmcache_storage *)(number << 5 | 16);
        CHECK(made_up == storage || lmcache_storage_touch(made_up, &keys) == LMCACHE_STATUS_INVALID_HANDLE);
    }
    keys.scope = (lmcache_scope *)storage;
    STATUS(lmcache_storage_touch(storage, &keys), LMCACHE_STATUS_INVALID_HANDLE);
    keys.scope = scope;
    /* Freed, and freed again; a prefetch outlives its storage manager. */
    OK(lmcache_storage_free(storage));
    STATUS(lmcache_storage_free(storage), LMCACHE_STATUS_INVALID_HANDLE);
    STATUS(lmcache_storage_touch(storage, &keys), LMCACHE_STATUS_INVALID_HANDLE);
    lmcache_prefetch_row row;
    lmcache_prefetch_spec spec = spec_of(&row, 1);
    OK(lmcache_prefetch_wait(prefetch, UINT64_MAX, NULL));
    STATUS(lmcache_prefetch_resubmit(prefetch, &spec, NULL), LMCACHE_STATUS_CLOSED);
    OK(lmcache_prefetch_free(prefetch));
    STATUS(lmcache_prefetch_free(prefetch), LMCACHE_STATUS_INVALID_HANDLE);
    STATUS(lmcache_prefetch_query(prefetch, NULL), LMCACHE_STATUS_INVALID_HANDLE);
    /* Closed, twice. */
    storage = storage_of(SMALL);
    write_keys(storage, 2);
    prefetch = prefetch_of(storage, 2);
    OK(lmcache_storage_close(storage));
    OK(lmcache_storage_close(storage));
    keys = keys_of(2);
    lmcache_write_buffer buffers[2];
    lmcache_read_buffer read[2];
    STATUS(lmcache_storage_reserve_write(storage, &keys, layout, 0, buffers, 2), LMCACHE_STATUS_CLOSED);
    STATUS(lmcache_storage_finish_write(storage, &keys, NULL, NULL, 0), LMCACHE_STATUS_CLOSED);
    STATUS(lmcache_storage_submit_prefetch(storage, &spec, NULL, &prefetch), LMCACHE_STATUS_CLOSED);
    STATUS(lmcache_storage_add_l2_adapter(storage, "{\"type\": \"fs\", \"base_path\": \"x\"}", NULL), LMCACHE_STATUS_CLOSED);
    STATUS(lmcache_storage_read_enter(storage, &keys, NULL, read, 2), LMCACHE_STATUS_MISS);
    CHECK(read[0].data == NULL && read[0].outcome == LMCACHE_KEY_NOT_EXIST);
    OK(lmcache_prefetch_free(prefetch));
    OK(lmcache_storage_free(storage));
}

static void refuse_config(const char *json, int32_t expected, const char *word) {
    lmcache_storage_options options = LMCACHE_STORAGE_OPTIONS_INIT;
    options.config_json = json;
    lmcache_storage *storage = NULL;
    STATUS(lmcache_storage_new(&options, &storage), expected);
    char why[512];
    lmcache_last_error(why, sizeof why);
    if (!strstr(why, word)) {
        fprintf(stderr, "%s: %s\n", json, why);
        exit(1);
    }
    CHECK(storage == NULL);
}

static void numbers(void) {
    refuse_config("", LMCACHE_STATUS_INVALID_ARGUMENT, "JSON");
    refuse_config("[]", LMCACHE_STATUS_INVALID_ARGUMENT, "JSON");
    refuse_config("{}", LMCACHE_STATUS_INVALID_ARGUMENT, "l1_size_gb");
    refuse_config("{\"l1_size_gb\": 1, \"eviction_policy\": \"best\"}", LMCACHE_STATUS_INVALID_ARGUMENT, "best");
    refuse_config("{\"l1_size_gb\": 1e9, \"eviction_policy\": \"LRU\"}", LMCACHE_STATUS_INVALID_ARGUMENT, "GiB");
    refuse_config("{\"l1_size_gb\": 1, \"typo\": 1}", LMCACHE_STATUS_INVALID_ARGUMENT, "typo");
    refuse_config("\xff", LMCACHE_STATUS_INVALID_ARGUMENT, "UTF-8");
    lmcache_storage_options options = LMCACHE_STORAGE_OPTIONS_INIT;
    lmcache_storage *storage = NULL;
    options.config_json = SMALL;
    const uint32_t sizes[] = {0, 1, sizeof options - 1, sizeof options + 1, UINT32_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        options.struct_size = sizes[i];
        STATUS(lmcache_storage_new(&options, &storage), LMCACHE_STATUS_INVALID_ARGUMENT);
    }
    options.struct_size = sizeof options;
    options.with_metrics = 2;
    STATUS(lmcache_storage_new(&options, &storage), LMCACHE_STATUS_INVALID_ARGUMENT);
    options.with_metrics = 1;
    const double rates[] = {-1, 1.5, (double)NAN};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        options.metrics_sample_rate = rates[i];
        STATUS(lmcache_storage_new(&options, &storage), LMCACHE_STATUS_INVALID_ARGUMENT);
    }
    storage = storage_of(SMALL);
    lmcache_key_list keys = keys_of(4);
    lmcache_write_buffer buffers[4];
    lmcache_read_buffer read[4];
    uint32_t outcomes[4], owners[4] = {0, 0, 0, 77};
    uint8_t bytes[4];
    STATUS(lmcache_storage_reserve_write(storage, &keys, layout, 3, buffers, 4), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_storage_reserve_write(storage, &keys, layout, 0, buffers, 3), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_storage_finish_write(storage, &keys, NULL, outcomes, 3), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_storage_finish_write(storage, &keys, owners, outcomes, 4), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_storage_read_enter(storage, &keys, NULL, read, 0), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_storage_read_enter(storage, &keys, owners, read, 4), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_storage_read_exit(storage, &keys, NULL, 2), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_storage_finish_read(storage, &keys, 1, NULL, outcomes, 3), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_storage_contains(storage, &keys, bytes, 3), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_storage_delete(storage, &keys, 2, NULL, NULL), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_storage_clear(storage, UINT32_MAX), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_storage_delete_l2_adapter(storage, 0, 0), LMCACHE_STATUS_NOT_FOUND);
    STATUS(lmcache_storage_delete_quota(storage, "nobody"), LMCACHE_STATUS_NOT_FOUND);
    STATUS(lmcache_storage_add_l2_adapter(storage, "{\"type\": \"tape\"}", NULL), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_storage_metrics_text(storage, NULL, 0, NULL), LMCACHE_STATUS_UNSUPPORTED);
    keys.count = LMCACHE_MAX_KEYS + 1;
    STATUS(lmcache_storage_touch(storage, &keys), LMCACHE_STATUS_INVALID_ARGUMENT);
    keys.count = SIZE_MAX;
    STATUS(lmcache_storage_finish_write(storage, &keys, NULL, NULL, 0), LMCACHE_STATUS_INVALID_ARGUMENT);
    /* Requests that LMCache would not build. */
    lmcache_prefetch_row row;
    lmcache_prefetch_spec spec = spec_of(&row, 2);
    lmcache_prefetch *prefetch = NULL;
    row.sliding_window_size = 0;
    STATUS(lmcache_storage_submit_prefetch(storage, &spec, NULL, &prefetch), LMCACHE_STATUS_INVALID_ARGUMENT);
    row.sliding_window_size = -1;
    spec.num_kv_readers = 0;
    STATUS(lmcache_storage_submit_prefetch(storage, &spec, NULL, &prefetch), LMCACHE_STATUS_INVALID_ARGUMENT);
    spec.num_kv_readers = 1;
    spec.row_count = 0;
    STATUS(lmcache_storage_submit_prefetch(storage, &spec, NULL, &prefetch), LMCACHE_STATUS_INVALID_ARGUMENT);
    spec.row_count = 1;
    STATUS(lmcache_storage_submit_prefetch(storage, &spec, "\xc0", &prefetch), LMCACHE_STATUS_INVALID_ARGUMENT);
    CHECK(prefetch == NULL);
    OK(lmcache_storage_submit_prefetch(storage, &spec, NULL, &prefetch));
    STATUS(lmcache_prefetch_get_row(prefetch, 0, 0, bytes, 4, NULL), LMCACHE_STATUS_INVALID_ARGUMENT);
    lmcache_prefetch_result result = LMCACHE_PREFETCH_RESULT_INIT;
    OK(lmcache_prefetch_wait(prefetch, SECOND, &result));
    CHECK(result.requested_cells == 2 && result.hit_cells == 0 && result.row_count == 1 && result.column_count == 2);
    STATUS(lmcache_prefetch_get_row(prefetch, 1, 0, bytes, 4, NULL), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_prefetch_get_row(prefetch, 0, 4, bytes, 4, NULL), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_prefetch_get_row(prefetch, 0, 0, bytes, 1, NULL), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_prefetch_get_row(prefetch, 0, LMCACHE_CELLS_FOUND, bytes, 4, NULL), LMCACHE_STATUS_MISS);
    STATUS(lmcache_prefetch_get_row_l1_managers(prefetch, SIZE_MAX, outcomes, 4), LMCACHE_STATUS_INVALID_ARGUMENT);
    int blocking = eventfd(0, 0), ends[2];
    CHECK(blocking >= 0 && pipe(ends) == 0);
    STATUS(lmcache_prefetch_signal_on_done(prefetch, -1), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_prefetch_signal_on_done(prefetch, 9999), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_prefetch_signal_on_done(prefetch, blocking), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_prefetch_signal_on_done(prefetch, ends[1]), LMCACHE_STATUS_INVALID_ARGUMENT);
    close(blocking);
    close(ends[0]);
    close(ends[1]);
    OK(lmcache_prefetch_free(prefetch));
    /* Texts are cut to what fits. */
    char cut[8];
    size_t needed = 0;
    OK(lmcache_storage_status_json(storage, NULL, 0, &needed));
    CHECK(needed > 100);
    OK(lmcache_storage_status_json(storage, cut, sizeof cut, &needed));
    CHECK(strlen(cut) == 7 && cut[0] == '{');
    OK(lmcache_storage_free(storage));
}

/* Two L1 managers, of which the first is full soon: every call says which one it means, rightly and wrongly. */
static void several(void) {
    lmcache_storage *storage = storage_of("{\"eviction_policy\": \"noop\", \"l1_manager\": ["
                                          "{\"type\": \"DRAM\", \"tag\": \"a\", \"size_gb\": 0.000003814697265625},"
                                          "{\"type\": \"DRAM\", \"tag\": \"b\", \"size_gb\": 0.0009765625}]}");
    lmcache_key_list first = keys_of(1), keys = keys_of(4), rest = keys_of(3);
    rest.hashes = hashes[1];
    lmcache_write_buffer buffers[4];
    lmcache_read_buffer read[4];
    uint32_t owners[4] = {0, 0, 0, 0}, outcomes[4];
    /* One object of 64 bytes takes 4096, and "a" has room for that alone. */
    OK(lmcache_storage_reserve_write(storage, &first, layout, LMCACHE_WRITE_NEW, buffers, 4));
    CHECK(buffers[0].outcome == LMCACHE_KEY_SUCCESS && buffers[0].l1_manager == 0);
    memset(buffers[0].data, 1, 64);
    OK(lmcache_storage_reserve_write(storage, &rest, layout, LMCACHE_WRITE_NEW, buffers + 1, 3));
    for (int i = 1; i < 4; i++) {
        CHECK(buffers[i].outcome == LMCACHE_KEY_SUCCESS && buffers[i].l1_manager == 1);
        memset(buffers[i].data, i + 1, 64);
        owners[i] = 1;
    }
    STATUS(lmcache_storage_finish_write(storage, &keys, NULL, outcomes, 4), LMCACHE_STATUS_INVALID_ARGUMENT);
    owners[3] = 2;
    STATUS(lmcache_storage_finish_write(storage, &keys, owners, outcomes, 4), LMCACHE_STATUS_INVALID_ARGUMENT);
    owners[3] = 1;
    OK(lmcache_storage_finish_write(storage, &keys, owners, outcomes, 4));
    for (int i = 0; i < 4; i++)
        CHECK(outcomes[i] == LMCACHE_KEY_SUCCESS);
    uint8_t there[4];
    OK(lmcache_storage_contains(storage, &keys, there, 4));
    CHECK(there[0] && there[1] && there[2] && there[3]);
    lmcache_prefetch *prefetch = prefetch_of(storage, 4);
    OK(lmcache_prefetch_wait(prefetch, SECOND, NULL));
    uint32_t told[4];
    OK(lmcache_prefetch_get_row_l1_managers(prefetch, 0, told, 4));
    CHECK(memcmp(told, owners, sizeof told) == 0);
    OK(lmcache_storage_read_enter(storage, &keys, told, read, 4));
    for (int i = 0; i < 4; i++)
        CHECK(read[i].l1_manager == owners[i] && read[i].data[63] == i + 1);
    /* A reader that fails gives its locks back. */
    OK(lmcache_storage_read_exit(storage, &keys, told, 1));
    OK(lmcache_storage_finish_read(storage, &keys, 1, told, outcomes, 4));
    CHECK(outcomes[0] != LMCACHE_KEY_SUCCESS && outcomes[3] != LMCACHE_KEY_SUCCESS);
    size_t deleted = 0;
    OK(lmcache_storage_delete(storage, &keys, 0, &deleted, NULL));
    CHECK(deleted == 4);
    OK(lmcache_prefetch_free(prefetch));
    OK(lmcache_storage_free(storage));
}

/* Calls in the wrong order, or too late. */
static void states(void) {
    lmcache_storage *storage = storage_of(SMALL);
    lmcache_key_list keys = keys_of(2);
    lmcache_write_buffer buffers[2];
    lmcache_read_buffer read[2];
    uint32_t outcomes[2];
    OK(lmcache_storage_finish_write(storage, &keys, NULL, outcomes, 2));
    CHECK(outcomes[0] == LMCACHE_KEY_NOT_EXIST && outcomes[1] == LMCACHE_KEY_NOT_EXIST);
    STATUS(lmcache_storage_read_enter(storage, &keys, NULL, read, 2), LMCACHE_STATUS_MISS);
    OK(lmcache_storage_read_exit(storage, &keys, NULL, 1));
    OK(lmcache_storage_finish_read(storage, &keys, INT64_MAX, NULL, outcomes, 2));
    CHECK(outcomes[0] == LMCACHE_KEY_NOT_EXIST);
    write_keys(storage, 2);
    OK(lmcache_storage_reserve_write(storage, &keys, layout, LMCACHE_WRITE_NEW, buffers, 2));
    CHECK(buffers[0].outcome == LMCACHE_KEY_NOT_WRITABLE && buffers[0].data == NULL && buffers[0].size_bytes == 0);
    STATUS(lmcache_storage_read_enter(storage, &keys, NULL, read, 2), LMCACHE_STATUS_MISS);
    CHECK(read[1].outcome == LMCACHE_KEY_NOT_READABLE && read[1].data == NULL);
    lmcache_prefetch *prefetch = prefetch_of(storage, 2);
    OK(lmcache_prefetch_wait(prefetch, SECOND, NULL));
    OK(lmcache_storage_read_enter(storage, &keys, NULL, read, 2));
    CHECK(read[1].size_bytes == 64 && read[1].data[63] == 2);
    size_t deleted = 9, locked = 9;
    OK(lmcache_storage_delete(storage, &keys, 0, &deleted, &locked));
    CHECK(deleted == 0 && locked == 2);
    OK(lmcache_storage_read_exit(storage, &keys, NULL, 0));
    OK(lmcache_storage_finish_read(storage, &keys, 1, NULL, outcomes, 2));
    CHECK(outcomes[0] == LMCACHE_KEY_SUCCESS);
    OK(lmcache_storage_finish_read(storage, &keys, 1, NULL, outcomes, 2));
    CHECK(outcomes[0] != LMCACHE_KEY_SUCCESS);
    OK(lmcache_prefetch_free(prefetch));
    OK(lmcache_storage_memcheck(storage));
    OK(lmcache_storage_free(storage));
    /* A reservation that runs out at once, and a prefetch that nobody asks for. */
    storage = storage_of("{\"l1_size_gb\": 0.0625, \"eviction_policy\": \"LRU\", \"l1_write_ttl_seconds\": 0}");
    OK(lmcache_storage_reserve_write(storage, &keys, layout, LMCACHE_WRITE_NEW, buffers, 2));
    CHECK(buffers[0].outcome == LMCACHE_KEY_SUCCESS);
    usleep(2000);
    OK(lmcache_storage_finish_write(storage, &keys, NULL, outcomes, 2));
    CHECK(outcomes[0] == LMCACHE_KEY_IN_WRONG_STATE);
    OK(lmcache_storage_clear(storage, 1));
    OK(lmcache_storage_free(storage));
    storage = storage_of(SMALL);
    write_keys(storage, 2);
    prefetch = prefetch_of(storage, 2);
    OK(lmcache_prefetch_free(prefetch));
    OK(lmcache_storage_delete(storage, &keys, 0, &deleted, &locked));
    CHECK(deleted == 2 && locked == 0);
    /* More than there is. */
    const uint64_t shape[] = {1u << 27};
    lmcache_tensor tensor = {shape, 1, "torch.uint8"};
    lmcache_layout *large = NULL;
    OK(lmcache_layout_new(&tensor, 1, &large));
    OK(lmcache_storage_reserve_write(storage, &keys, large, LMCACHE_WRITE_NEW, buffers, 2));
    CHECK(buffers[0].outcome == LMCACHE_KEY_OUT_OF_MEMORY && buffers[1].outcome == LMCACHE_KEY_OUT_OF_MEMORY);
    OK(lmcache_layout_free(large));
    OK(lmcache_storage_free(storage));
}

struct watched {
    lmcache_storage *storage;
    lmcache_prefetch *prefetch;
    int depth;
    volatile int calls;
};

static void wrong_callback(void *user_data) {
    struct watched *watched = (struct watched *)user_data;
    STATUS(lmcache_prefetch_free(watched->prefetch), LMCACHE_STATUS_BUSY);
    STATUS(lmcache_storage_close(watched->storage), LMCACHE_STATUS_BUSY);
    STATUS(lmcache_storage_flush_stores(watched->storage, SECOND), LMCACHE_STATUS_BUSY);
    STATUS(lmcache_storage_delete_l2_adapter(watched->storage, 0, 0), LMCACHE_STATUS_BUSY);
    STATUS(lmcache_storage_add_l2_adapter(watched->storage, "{\"type\": \"fs\", \"base_path\": \"x\"}", NULL), LMCACHE_STATUS_BUSY);
    STATUS(lmcache_storage_evict(watched->storage), LMCACHE_STATUS_BUSY);
    lmcache_prefetch_row row;
    lmcache_prefetch_spec spec = spec_of(&row, 3);
    lmcache_prefetch *other = NULL;
    OK(lmcache_storage_submit_prefetch(watched->storage, &spec, NULL, &other));
    int32_t status = lmcache_prefetch_wait(other, SECOND, NULL);
    CHECK(status == LMCACHE_STATUS_OK || status == LMCACHE_STATUS_BUSY);
    OK(lmcache_prefetch_free(other));
    lmcache_key_list keys = keys_of(4);
    uint8_t there[4];
    OK(lmcache_storage_contains(watched->storage, &keys, there, 4));
    __atomic_add_fetch(&watched->calls, 1, __ATOMIC_SEQ_CST);
}

static void from_its_thread(void *user_data) {
    struct watched *watched = (struct watched *)user_data;
    STATUS(lmcache_storage_free(watched->storage), LMCACHE_STATUS_BUSY);
    wrong_callback(user_data);
}

/* Callbacks within callbacks: at least four. */
static void deeper(void *user_data) {
    struct watched *watched = (struct watched *)user_data;
    if (++watched->depth < 4)
        OK(lmcache_prefetch_on_done(watched->prefetch, deeper, watched));
    lmcache_prefetch_result result = LMCACHE_PREFETCH_RESULT_INIT;
    OK(lmcache_prefetch_query(watched->prefetch, &result));
    CHECK(result.hit_cells == 2);
    watched->calls++;
}

static void endlessly(void *user_data) {
    struct watched *watched = (struct watched *)user_data;
    watched->calls++;
    int32_t status = lmcache_prefetch_on_done(watched->prefetch, endlessly, watched);
    CHECK(status == LMCACHE_STATUS_OK || status == LMCACHE_STATUS_TOO_MANY);
}

static void count_call(void *user_data) {
    __atomic_add_fetch(&((struct watched *)user_data)->calls, 1, __ATOMIC_SEQ_CST);
}

/* A mock that takes its time, so that callbacks come from the thread of the storage manager. */
#define SLOW \
    "{\"l1_size_gb\": 0.0625, \"eviction_policy\": \"LRU\", \"l2_adapter\": [{\"type\": \"mock\", \"max_size_gb\": 1, " \
    "\"mock_bandwidth_gb\": 1, \"latency_ms\": 20}]}"

static void callbacks(void) {
    lmcache_storage *storage = storage_of(SLOW);
    write_keys(storage, 2);
    struct watched watched = {storage, prefetch_of(storage, 2), 0, 0};
    OK(lmcache_prefetch_wait(watched.prefetch, SECOND, NULL));
    OK(lmcache_prefetch_on_done(watched.prefetch, wrong_callback, &watched));
    CHECK(watched.calls == 1);
    OK(lmcache_prefetch_on_done(watched.prefetch, deeper, &watched));
    CHECK(watched.calls == 5);
    watched.calls = 0;
    OK(lmcache_prefetch_on_done(watched.prefetch, endlessly, &watched));
    CHECK(watched.calls == 4);
    OK(lmcache_prefetch_free(watched.prefetch));
    /* On the thread of the storage manager. */
    watched.calls = 0;
    watched.prefetch = prefetch_of(storage, 4);
    OK(lmcache_prefetch_on_done(watched.prefetch, from_its_thread, &watched));
    OK(lmcache_prefetch_wait(watched.prefetch, 10 * SECOND, NULL));
    while (!watched.calls)
        usleep(100);
    OK(lmcache_prefetch_free(watched.prefetch));
    /* One that is freed is told all the same, and so is one whose storage manager goes. */
    watched.calls = 0;
    watched.prefetch = prefetch_of(storage, 4);
    OK(lmcache_prefetch_on_done(watched.prefetch, count_call, &watched));
    OK(lmcache_prefetch_free(watched.prefetch));
    watched.prefetch = prefetch_of(storage, 4);
    OK(lmcache_prefetch_on_done(watched.prefetch, count_call, &watched));
    OK(lmcache_storage_free(storage));
    while (__atomic_load_n(&watched.calls, __ATOMIC_SEQ_CST) < 2)
        usleep(100);
    OK(lmcache_prefetch_wait(watched.prefetch, 10 * SECOND, NULL));
    OK(lmcache_prefetch_free(watched.prefetch));
}

static volatile int is_held, is_let_go;

static void hold(void *user_data) {
    (void)user_data;
    is_held = 1;
    while (!is_let_go)
        usleep(100);
}

static volatile int is_freed;

static void *free_storage(void *storage) {
    OK(lmcache_storage_free((lmcache_storage *)storage));
    is_freed = 1;
    return NULL;
}

/* A storage manager is freed while its own thread is in a function of the host: whoever frees it waits for that. */
static void freed_in_callback(void) {
    lmcache_storage *storage = storage_of(SLOW);
    lmcache_prefetch *prefetch = prefetch_of(storage, 4);
    OK(lmcache_prefetch_on_done(prefetch, hold, NULL));
    while (!is_held)
        usleep(100);
    pthread_t other;
    CHECK(pthread_create(&other, NULL, free_storage, storage) == 0);
    usleep(50 * 1000);
    CHECK(!is_freed);
    is_let_go = 1;
    CHECK(pthread_join(other, NULL) == 0 && is_freed);
    STATUS(lmcache_storage_clear(storage, 0), LMCACHE_STATUS_INVALID_HANDLE);
    OK(lmcache_prefetch_free(prefetch));
}

static int sentences;
static lmcache_storage *of_log;

static void wrong_log(const char *text, void *user_data) {
    CHECK(text[0]);
    sentences++;
    STATUS(lmcache_set_log_callback(NULL, NULL), LMCACHE_STATUS_BUSY);
    /* What is hardly meant in it is said to nobody. */
    if (!of_log)
        of_log = storage_of((const char *)user_data);
    STATUS(lmcache_storage_free(of_log), LMCACHE_STATUS_BUSY);
}

static void count_unpinned(const char *text, void *count) {
    CHECK(strstr(text, "L1 _default: ") == text && strstr(text, " cannot be pinned, and are used unpinned: "));
    ++*(int *)count;
}

/* More than any machine has is used unpinned, and said once. */
static void pins(void) {
    int count = 0;
    OK(lmcache_set_log_callback(count_unpinned, &count));
    lmcache_storage *storage = storage_of("{\"l1_size_gb\": 4096, \"eviction_policy\": \"LRU\", \"l1_pin\": \"mlock\"}");
    CHECK(count == 1);
    OK(lmcache_set_log_callback(NULL, NULL));
    size_t needed = 0;
    OK(lmcache_storage_status_json(storage, NULL, 0, &needed));
    char *json = malloc(needed + 1);
    CHECK(json);
    OK(lmcache_storage_status_json(storage, json, needed + 1, NULL));
    CHECK(strstr(json, "\"memory_registration\":\"degraded\",\"memory_registered_bytes\":0,"));
    CHECK(strstr(json, "\"memory_registration_failure\":\"there is not enough free memory"));
    free(json);
    OK(lmcache_storage_free(storage));
}

/* A callback for the log that calls what makes the library say something. */
static void logs(void) {
    const char *odd = "{\"l1_size_gb\": 0.0625, \"eviction_policy\": \"LRU\", \"l2_adapter\": [{\"type\": \"mock\", \"max_size_gb\": 1, "
                      "\"mock_bandwidth_gb\": 1, \"eviction\": {\"eviction_policy\": \"IsolatedLRU\"}}]}";
    OK(lmcache_set_log_callback(wrong_log, (void *)odd));
    OK(lmcache_storage_free(storage_of(odd)));
    CHECK(sentences > 0);
    OK(lmcache_set_log_callback(NULL, NULL));
    OK(lmcache_storage_free(of_log));
}

static volatile int answer, closed, fails;

static int32_t objects_of(void *user_data, const lmcache_l2_object *objects, size_t count, int32_t *answers) {
    (void)objects;
    STATUS(lmcache_storage_free(*(lmcache_storage **)user_data), LMCACHE_STATUS_BUSY);
    STATUS(lmcache_storage_close(*(lmcache_storage **)user_data), LMCACHE_STATUS_BUSY);
    for (size_t i = 0; i < count; i++)
        answers[i] = answer;
    return fails;
}

static int32_t exists_of(void *user_data, const lmcache_l2_key *keys, const uint64_t *sizes_bytes, size_t count, int32_t *answers) {
    (void)user_data, (void)keys, (void)sizes_bytes;
    for (size_t i = 0; i < count; i++)
        answers[i] = answer == 12345 ? LMCACHE_L2_GET_HIT : answer;
    return fails;
}

static int32_t remove_of(void *user_data, const lmcache_l2_key *keys, size_t count, int32_t *answers) {
    (void)user_data, (void)keys, (void)count, (void)answers;
    return 0;
}

static size_t no_words(void *user_data, char *text, size_t capacity) {
    (void)user_data;
    memset(text, 0xff, capacity);
    return SIZE_MAX;
}

static void count_close(void *user_data) {
    (void)user_data;
    closed++;
}

static void tables(void) {
    lmcache_storage *storage = storage_of(SMALL);
    lmcache_l2_adapter_table table = LMCACHE_L2_ADAPTER_TABLE_INIT;
    uint32_t id = 9;
    STATUS(lmcache_storage_add_l2_table(storage, &table, NULL, &id), LMCACHE_STATUS_NULL_POINTER);
    table.put = table.get = objects_of;
    table.exists = exists_of;
    STATUS(lmcache_storage_add_l2_table(storage, &table, NULL, &id), LMCACHE_STATUS_NULL_POINTER);
    table.remove = remove_of;
    table.close = count_close;
    table.last_error = no_words;
    table.user_data = &storage;
    table.struct_size = 7;
    STATUS(lmcache_storage_add_l2_table(storage, &table, NULL, &id), LMCACHE_STATUS_INVALID_ARGUMENT);
    table.struct_size = sizeof table;
    table.workers = LMCACHE_MAX_L2_WORKERS + 1;
    STATUS(lmcache_storage_add_l2_table(storage, &table, NULL, &id), LMCACHE_STATUS_INVALID_ARGUMENT);
    table.workers = 2;
    STATUS(lmcache_storage_add_l2_table(storage, &table, "{\"type\": \"fs\", \"base_path\": \"x\"}", &id), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_storage_add_l2_table(storage, &table, "{", &id), LMCACHE_STATUS_INVALID_ARGUMENT);
    CHECK(closed == 0 && id == 9);
    /* No L1 has that tag, which is found out before the adapter is made. */
    const char *elsewhere = "{\"type\": \"plugin\", \"library_path\": \"x\", \"affinity_tag\": \"elsewhere\"}";
    STATUS(lmcache_storage_add_l2_table(storage, &table, elsewhere, &id), LMCACHE_STATUS_INVALID_ARGUMENT);
    CHECK(closed == 0);
    const int answers[] = {LMCACHE_L2_PUT_WRITTEN, LMCACHE_L2_PUT_NO_ROOM, 12345, -1, INT32_MIN};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        for (fails = 0; fails < 2; fails++) {
            answer = answers[i];
            OK(lmcache_storage_add_l2_table(storage, &table, NULL, &id));
            write_keys(storage, 2);
            lmcache_storage_flush_stores(storage, SECOND / 2);
            OK(lmcache_storage_clear(storage, 1));
            lmcache_prefetch *prefetch = prefetch_of(storage, 2);
            lmcache_prefetch_result result = LMCACHE_PREFETCH_RESULT_INIT;
            OK(lmcache_prefetch_wait(prefetch, 10 * SECOND, &result));
            CHECK(result.hit_cells == 0);
            OK(lmcache_prefetch_free(prefetch));
            OK(lmcache_storage_delete_l2_adapter(storage, id, 10 * SECOND));
            OK(lmcache_storage_clear(storage, 1));
        }
    }
    OK(lmcache_storage_add_l2_table(storage, &table, NULL, NULL));
    OK(lmcache_storage_close(storage));
    OK(lmcache_storage_free(storage));
    CHECK(closed == 1 + 2 * (int)(sizeof answers / sizeof *answers));
}

/* Frees what other threads are using, over and over: each call is served or refused. */
static lmcache_storage *volatile shared;
static volatile int is_over;

static int is_served_or_refused(int32_t status) {
    return status == LMCACHE_STATUS_OK || status == LMCACHE_STATUS_INVALID_HANDLE || status == LMCACHE_STATUS_CLOSED ||
           status == LMCACHE_STATUS_MISS || status == LMCACHE_STATUS_PENDING;
}

static void *use_shared(void *nothing) {
    lmcache_key_list keys = keys_of(4);
    while (!is_over) {
        lmcache_write_buffer buffers[4];
        lmcache_read_buffer read[4];
        lmcache_prefetch_row row;
        lmcache_prefetch_spec spec = spec_of(&row, 4);
        lmcache_prefetch *prefetch = NULL;
        CHECK(is_served_or_refused(lmcache_storage_reserve_write(shared, &keys, layout, 0, buffers, 4)));
        CHECK(is_served_or_refused(lmcache_storage_finish_write(shared, &keys, NULL, NULL, 0)));
        CHECK(is_served_or_refused(lmcache_storage_submit_prefetch(shared, &spec, NULL, &prefetch)));
        if (prefetch) {
            CHECK(is_served_or_refused(lmcache_prefetch_wait(prefetch, SECOND, NULL)));
            CHECK(is_served_or_refused(lmcache_storage_read_enter(shared, &keys, NULL, read, 4)));
            CHECK(is_served_or_refused(lmcache_storage_finish_read(shared, &keys, 1, NULL, NULL, 0)));
            OK(lmcache_prefetch_free(prefetch));
        }
    }
    return nothing;
}

static void races(void) {
    shared = storage_of(SMALL);
    pthread_t others[3];
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&others[i], NULL, use_shared, NULL) == 0);
    for (int round = 0; round < 50; round++) {
        lmcache_storage *before = shared;
        shared = storage_of(SMALL);
        if (round % 2)
            OK(lmcache_storage_close(before));
        OK(lmcache_storage_free(before));
    }
    is_over = 1;
    for (int i = 0; i < 3; i++)
        CHECK(pthread_join(others[i], NULL) == 0);
    OK(lmcache_storage_free(shared));
}

/* A child of fork has none of its parent's storage managers, and may make its own. */
static void forks(void) {
    lmcache_storage *storage = storage_of(SMALL);
    write_keys(storage, 2);
    lmcache_prefetch *prefetch = prefetch_of(storage, 2);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        lmcache_key_list keys = keys_of(2);
        keys.count = 0;
        STATUS(lmcache_storage_touch(storage, &keys), LMCACHE_STATUS_INVALID_HANDLE);
        STATUS(lmcache_prefetch_query(prefetch, NULL), LMCACHE_STATUS_INVALID_HANDLE);
        STATUS(lmcache_storage_free(storage), LMCACHE_STATUS_INVALID_HANDLE);
        OK(lmcache_scope_new("m", 0, 0, NULL, &scope));
        const uint64_t shape[] = {64};
        lmcache_tensor tensor = {shape, 1, "torch.uint8"};
        OK(lmcache_layout_new(&tensor, 1, &layout));
        lmcache_storage *own = storage_of(SMALL);
        write_keys(own, 2);
        OK(lmcache_storage_free(own));
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    OK(lmcache_prefetch_wait(prefetch, SECOND, NULL));
    OK(lmcache_prefetch_free(prefetch));
    OK(lmcache_storage_free(storage));
}

static int is_wanted(const char *name, int count, char **names) {
    for (int i = 1; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return 1;
    return count < 2;
}

int main(int count, char **names) {
    for (int i = 0; i < 4; i++)
        hashes[i][0] = (uint8_t)(i + 1);
    OK(lmcache_scope_new("m", 0, 0, NULL, &scope));
    const uint64_t shape[] = {64};
    lmcache_tensor tensor = {shape, 1, "torch.uint8"};
    OK(lmcache_layout_new(&tensor, 1, &layout));
    struct {
        const char *name;
        void (*run)(void);
    } suites[] = {
        {"nulls", nulls},         {"handles", handles},     {"numbers", numbers}, {"states", states},
        {"several", several},        {"callbacks", callbacks}, {"freed", freed_in_callback}, {"logs", logs},
        {"pins", pins},
        {"tables", tables},   {"races", races},
        {"forks", forks},
    };
    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++) {
        if (!is_wanted(suites[i].name, count, names))
            continue;
        suites[i].run();
        printf("%s\n", suites[i].name);
    }
    OK(lmcache_scope_free(scope));
    OK(lmcache_layout_free(layout));
    return 0;
}
