/* What lets library and hosts grow apart: versions, structs that are longer and shorter, what is reserved; and the bounds of what a call takes. */
#include "check.h"
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static lmcache_scope *scope;
static lmcache_layout *layout;

static lmcache_storage *new_storage(void) {
    lmcache_storage_options options = LMCACHE_STORAGE_OPTIONS_INIT;
    options.config_json = "{\"l1_size_gb\": 0.0625, \"eviction_policy\": \"LRU\"}";
    lmcache_storage *storage = NULL;
    OK(lmcache_storage_new(&options, &storage));
    return storage;
}

/* A host goes with a library of its own major version whose minor one is not older. */
static void versions(void) {
    CHECK(LMCACHE_ABI_VERSION == (LMCACHE_ABI_MAJOR << 16 | LMCACHE_ABI_MINOR));
    CHECK(lmcache_abi_version() == LMCACHE_ABI_VERSION);
    for (uint32_t minor = 0; minor <= LMCACHE_ABI_MINOR; minor++)
        OK(lmcache_check_abi(LMCACHE_ABI_MAJOR << 16 | minor));
    STATUS(lmcache_check_abi(LMCACHE_ABI_VERSION + 1), LMCACHE_STATUS_UNSUPPORTED_VERSION);
    STATUS(lmcache_check_abi((LMCACHE_ABI_MAJOR + 1) << 16), LMCACHE_STATUS_UNSUPPORTED_VERSION);
    STATUS(lmcache_check_abi((LMCACHE_ABI_MAJOR - 1) << 16 | LMCACHE_ABI_MINOR), LMCACHE_STATUS_UNSUPPORTED_VERSION);
    STATUS(lmcache_check_abi(LMCACHE_ABI_MAJOR), LMCACHE_STATUS_UNSUPPORTED_VERSION);
    char text[64];
    snprintf(text, sizeof text, "%d.%d.%d", LMCACHE_VERSION_MAJOR, LMCACHE_VERSION_MINOR, LMCACHE_VERSION_PATCH);
    CHECK(strcmp(lmcache_version(), LMCACHE_VERSION_STRING) == 0);
    CHECK(strncmp(LMCACHE_VERSION_STRING, text, strlen(text)) == 0);
}

/* Of a host whose header is newer, with room for what the library does not know. */
typedef struct {
    lmcache_storage_options options;
    uint64_t unknown[2];
} longer_options;

typedef struct {
    lmcache_storage_usage usage;
    uint64_t unknown[2];
} longer_usage;

typedef struct {
    lmcache_storage_options options;
    uint8_t unknown[LMCACHE_MAX_STRUCT_BYTES];
} far_too_long;

static void sizes(void) {
    longer_options given = {LMCACHE_STORAGE_OPTIONS_INIT, {0, 0}};
    given.options.struct_size = sizeof given;
    given.options.config_json = "{\"l1_size_gb\": 0.0625, \"eviction_policy\": \"LRU\"}";
    lmcache_storage *storage = NULL;
    OK(lmcache_storage_new(&given.options, &storage));
    OK(lmcache_storage_free(storage));
    storage = NULL;
    /* What is asked for and not known is refused, and not passed over. */
    for (int i = 0; i < 2; i++) {
        given.unknown[i] = 1;
        STATUS(lmcache_storage_new(&given.options, &storage), LMCACHE_STATUS_UNSUPPORTED_VERSION);
        given.unknown[i] = 0;
    }
    static far_too_long lengthy;
    lengthy.options = given.options;
    lengthy.options.struct_size = LMCACHE_MAX_STRUCT_BYTES;
    OK(lmcache_storage_new(&lengthy.options, &storage));
    lengthy.options.struct_size = LMCACHE_MAX_STRUCT_BYTES + 8;
    lmcache_storage *none = NULL;
    STATUS(lmcache_storage_new(&lengthy.options, &none), LMCACHE_STATUS_INVALID_ARGUMENT);
    CHECK(none == NULL);

    longer_usage seen = {LMCACHE_STORAGE_USAGE_INIT, {7, 7}};
    seen.usage.struct_size = sizeof seen;
    OK(lmcache_storage_get_usage(storage, &seen.usage));
    CHECK(seen.usage.struct_size == sizeof seen && seen.usage.l1_total_bytes > 0);
    CHECK(seen.unknown[0] == 0 && seen.unknown[1] == 0);
    const uint32_t wrong[] = {0, 1, 4, sizeof seen.usage - 1, sizeof seen.usage - 8, sizeof seen.usage + 1, LMCACHE_MAX_STRUCT_BYTES + 8, UINT32_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        seen.usage.struct_size = wrong[i];
        STATUS(lmcache_storage_get_usage(storage, &seen.usage), LMCACHE_STATUS_INVALID_ARGUMENT);
    }
    OK(lmcache_storage_free(storage));
    /* Set anew, not only when they are declared. */
    seen.usage = LMCACHE_STORAGE_USAGE_INIT;
    CHECK(seen.usage.struct_size == sizeof seen.usage && seen.usage.l1_total_bytes == 0);
}

static lmcache_recorder *new_recorder(void) {
    lmcache_recorder_options options = LMCACHE_RECORDER_OPTIONS_INIT;
    options.path = "interface.lct";
    lmcache_recorder *recorder = NULL;
    OK(lmcache_recorder_open(&options, &recorder));
    return recorder;
}

/* What is kept for later must be 0, or later it could mean nothing. */
static void reserved(void) {
    lmcache_storage *storage = new_storage();
    lmcache_recorder *recorder = new_recorder();
    lmcache_producer *producer = NULL;
    OK(lmcache_producer_new(recorder, &producer));
    uint8_t hash[32] = {1};
    lmcache_prefetch_row row = {{hash, 1, 32, scope, NULL}, layout, -1, 0, 0};
    lmcache_prefetch_spec spec = {&row, 1, 1, LMCACHE_FETCH_PREFIX, LMCACHE_LOCK, 0, 0};
    lmcache_prefetch *prefetch = NULL;
    lmcache_call_id call;
    spec.reserved = 1;
    STATUS(lmcache_storage_submit_prefetch(storage, &spec, NULL, &prefetch), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_producer_submit_prefetch(producer, &spec, NULL, &call), LMCACHE_STATUS_INVALID_ARGUMENT);
    spec.reserved = 0;
    row.reserved = 1;
    STATUS(lmcache_storage_submit_prefetch(storage, &spec, NULL, &prefetch), LMCACHE_STATUS_INVALID_ARGUMENT);
    row.reserved = 0;
    CHECK(prefetch == NULL);
    OK(lmcache_producer_submit_prefetch(producer, &spec, NULL, &call));
    lmcache_completion completion = LMCACHE_COMPLETION_INIT;
    completion.outcome = LMCACHE_OUTCOME_DONE;
    call.reserved = 1;
    STATUS(lmcache_producer_complete(producer, call, &completion), LMCACHE_STATUS_INVALID_ARGUMENT);
    call.reserved = 0;
    OK(lmcache_producer_complete(producer, call, &completion));
    completion.struct_size = 8;
    STATUS(lmcache_producer_complete(producer, call, &completion), LMCACHE_STATUS_INVALID_ARGUMENT);
    const char *path = "interface.lct";
    lmcache_replay_options options = LMCACHE_REPLAY_OPTIONS_INIT;
    options.paths = &path;
    options.path_count = 1;
    options.l1_size_bytes = 1 << 26;
    options.reserved = 1;
    lmcache_replay *replay = NULL;
    STATUS(lmcache_replay_new(&options, &replay), LMCACHE_STATUS_INVALID_ARGUMENT);
    CHECK(replay == NULL);
    OK(lmcache_producer_free(producer));
    OK(lmcache_recorder_free(recorder));
    OK(lmcache_storage_free(storage));
}

/* Many rows over one list: what is small here would be large there. */
static void rows(void) {
    enum { AT_THE_LIMIT = LMCACHE_MAX_PREFETCH_KEYS / LMCACHE_MAX_KEYS };
    lmcache_recorder *recorder = new_recorder();
    lmcache_storage *storage = new_storage();
    lmcache_producer *producer = NULL;
    OK(lmcache_producer_new(recorder, &producer));
    uint8_t *hashes = (uint8_t *)calloc(LMCACHE_MAX_KEYS, 32);
    lmcache_prefetch_row *many = (lmcache_prefetch_row *)calloc(LMCACHE_MAX_ROWS, sizeof *many);
    CHECK(hashes && many);
    for (size_t i = 0; i < LMCACHE_MAX_ROWS; i++) {
        lmcache_prefetch_row row = {{hashes, LMCACHE_MAX_KEYS, 32, scope, NULL}, layout, -1, 0, 0};
        many[i] = row;
    }
    lmcache_prefetch_spec spec = {many, LMCACHE_MAX_ROWS, 1, LMCACHE_FETCH_PREFIX, LMCACHE_LOCK, 0, 0};
    lmcache_prefetch *prefetch = NULL;
    STATUS(lmcache_producer_submit_prefetch(producer, &spec, NULL, NULL), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_storage_submit_prefetch(storage, &spec, NULL, &prefetch), LMCACHE_STATUS_INVALID_ARGUMENT);
    CHECK(prefetch == NULL);
    /* One key more than there can be, and as many. */
    spec.row_count = AT_THE_LIMIT + 1;
    many[AT_THE_LIMIT].keys.count = 1;
    STATUS(lmcache_producer_submit_prefetch(producer, &spec, NULL, NULL), LMCACHE_STATUS_INVALID_ARGUMENT);
    spec.row_count = AT_THE_LIMIT;
    STATUS(lmcache_producer_submit_prefetch(producer, &spec, NULL, NULL), LMCACHE_STATUS_DROPPED);
    spec.row_count = LMCACHE_MAX_ROWS + 1;
    STATUS(lmcache_producer_submit_prefetch(producer, &spec, NULL, NULL), LMCACHE_STATUS_INVALID_ARGUMENT);
    free(many);
    free(hashes);
    OK(lmcache_producer_free(producer));
    OK(lmcache_storage_free(storage));
    OK(lmcache_recorder_free(recorder));
}

/* A million L1 managers where there is one. */
static void owners(void) {
    lmcache_storage *storage = new_storage();
    uint8_t *hashes = (uint8_t *)calloc(LMCACHE_MAX_KEYS, 32);
    uint32_t *l1_managers = (uint32_t *)calloc(LMCACHE_MAX_KEYS, sizeof *l1_managers);
    CHECK(hashes && l1_managers);
    for (uint32_t i = 0; i < LMCACHE_MAX_KEYS; i++)
        l1_managers[i] = i;
    lmcache_key_list keys = {hashes, LMCACHE_MAX_KEYS, 32, scope, NULL};
    clock_t begun = clock();
    STATUS(lmcache_storage_finish_write(storage, &keys, l1_managers, NULL, 0), LMCACHE_STATUS_INVALID_ARGUMENT);
    /* Each would look through all keys: minutes. */
    CHECK(clock() - begun < 10 * CLOCKS_PER_SEC);
    free(hashes);
    free(l1_managers);
    OK(lmcache_storage_free(storage));
}

/* A defect of the library is a status, and the handle that met it is of no use but to be freed. */
static void panics(void) {
    lmcache_storage_options options = LMCACHE_STORAGE_OPTIONS_INIT;
    options.config_json = "{\"l1_size_gb\": 0.0625, \"eviction_policy\": \"LRU\", \"l2_adapter\": [{\"type\": \"fault_inject\", "
                          "\"status_panics\": true, \"inner\": {\"type\": \"mock\", \"max_size_gb\": 1, \"mock_bandwidth_gb\": 1}}]}";
    lmcache_storage *storage = NULL;
    OK(lmcache_storage_new(&options, &storage));
    OK(lmcache_storage_memcheck(storage));
    size_t needed = 7;
    STATUS(lmcache_storage_status_json(storage, NULL, 0, &needed), LMCACHE_STATUS_PANIC);
    char why[256];
    lmcache_last_error(why, sizeof why);
    CHECK(strstr(why, "fault_inject panics") && needed == 7);
    STATUS(lmcache_storage_status_json(storage, NULL, 0, &needed), LMCACHE_STATUS_POISONED);
    STATUS(lmcache_storage_memcheck(storage), LMCACHE_STATUS_POISONED);
    STATUS(lmcache_storage_close(storage), LMCACHE_STATUS_POISONED);
    lmcache_last_error(why, sizeof why);
    CHECK(strstr(why, "panicked before"));
    OK(lmcache_storage_free(storage));
    STATUS(lmcache_storage_memcheck(storage), LMCACHE_STATUS_INVALID_HANDLE);
    /* Others are as they were. */
    storage = new_storage();
    OK(lmcache_storage_status_json(storage, NULL, 0, &needed));
    CHECK(needed > 100);
    OK(lmcache_storage_free(storage));
}

/* What cannot be had is a status. */
static void memory(void) {
    lmcache_recorder *recorder = new_recorder();
    lmcache_producer *producer = NULL;
    OK(lmcache_producer_new(recorder, &producer));
    uint8_t *hashes = (uint8_t *)calloc(LMCACHE_MAX_KEYS, 32);
    CHECK(hashes);
    lmcache_prefetch_row many[4];
    for (size_t i = 0; i < 4; i++) {
        lmcache_prefetch_row row = {{hashes, LMCACHE_MAX_KEYS, 32, scope, NULL}, layout, -1, 0, 0};
        many[i] = row;
    }
    lmcache_prefetch_spec spec = {many, 4, 1, LMCACHE_FETCH_PREFIX, LMCACHE_LOCK, 0, 0};
    unsigned long long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    CHECK(statm && fscanf(statm, "%llu", &pages) == 1);
    fclose(statm);
    struct rlimit before, narrow;
    CHECK(getrlimit(RLIMIT_AS, &before) == 0);
    narrow = before;
    /* Room for some rows of 48 MiB, and not for all. */
    narrow.rlim_cur = pages * (rlim_t)sysconf(_SC_PAGESIZE) + (80u << 20);
    CHECK(setrlimit(RLIMIT_AS, &narrow) == 0);
    lmcache_status ended = lmcache_producer_submit_prefetch(producer, &spec, NULL, NULL);
    CHECK(setrlimit(RLIMIT_AS, &before) == 0);
    STATUS(ended, LMCACHE_STATUS_OUT_OF_MEMORY);
    spec.row_count = 1;
    many[0].keys.count = 1;
    OK(lmcache_producer_submit_prefetch(producer, &spec, NULL, NULL));
    free(hashes);
    OK(lmcache_producer_free(producer));
    OK(lmcache_recorder_free(recorder));
}

int main(int count, char **words) {
    OK(lmcache_scope_new("m", 0, 0, NULL, &scope));
    const uint64_t shape[] = {64};
    lmcache_tensor tensor = {shape, 1, "torch.uint8"};
    OK(lmcache_layout_new(&tensor, 1, &layout));
    struct {
        const char *name;
        void (*run)(void);
    } suites[] = {
        {"versions", versions}, {"sizes", sizes}, {"reserved", reserved}, {"rows", rows}, {"owners", owners}, {"panics", panics}, {"memory", memory},
    };
    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++) {
        if (count > 1 && strcmp(words[1], suites[i].name) != 0)
            continue;
        suites[i].run();
        printf("%s\n", suites[i].name);
    }
    OK(lmcache_scope_free(scope));
    OK(lmcache_layout_free(layout));
    return 0;
}
