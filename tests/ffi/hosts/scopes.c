/* A scope for each request, far more of them than a producer keeps the numbers of; every second one goes with its request. */
#include "check.h"

#define REQUESTS 2500
#define ROUNDS 2

static lmcache_scope *scopes[REQUESTS];

static lmcache_scope *scope_of(unsigned request) {
    char salt[16];
    snprintf(salt, sizeof salt, "tenant-%u", request);
    lmcache_scope *scope = NULL;
    OK(lmcache_scope_new("org/model", 0, 0, salt, &scope));
    return scope;
}

/* A storage manager takes no recorder that is closed, and another one then. */
static void attached(lmcache_recorder *closed) {
    lmcache_storage_options options = LMCACHE_STORAGE_OPTIONS_INIT;
    options.config_json = "{\"l1_size_gb\": 0.001, \"eviction_policy\": \"LRU\"}";
    lmcache_storage *storage = NULL;
    OK(lmcache_storage_new(&options, &storage));
    STATUS(lmcache_storage_record(storage, closed), LMCACHE_STATUS_CLOSED);
    lmcache_recorder_options open = LMCACHE_RECORDER_OPTIONS_INIT;
    open.path = "open.lct";
    lmcache_recorder *recorder = NULL;
    OK(lmcache_recorder_open(&open, &recorder));
    OK(lmcache_storage_record(storage, recorder));
    STATUS(lmcache_storage_record(storage, recorder), LMCACHE_STATUS_INVALID_ARGUMENT);
    OK(lmcache_storage_free(storage));
    OK(lmcache_recorder_free(recorder));
}

/* A thread keeps the scope of its last call: not past its end, and not for the one that comes in its place. */
static void forgotten(lmcache_producer *producer) {
    lmcache_storage_options options = LMCACHE_STORAGE_OPTIONS_INIT;
    options.config_json = "{\"l1_size_gb\": 0.001, \"eviction_policy\": \"LRU\"}";
    lmcache_storage *storage = NULL;
    OK(lmcache_storage_new(&options, &storage));
    uint64_t shape[] = {64};
    lmcache_tensor tensor = {shape, 1, "torch.uint8"};
    lmcache_layout *layout = NULL;
    OK(lmcache_layout_new(&tensor, 1, &layout));
    uint8_t hash[32] = {1}, is_resident = 9;
    lmcache_key_list keys = {hash, 1, 32, scope_of(1), NULL};
    lmcache_write_buffer buffer;
    OK(lmcache_storage_reserve_write(storage, &keys, layout, LMCACHE_WRITE_NEW, &buffer, 1));
    OK(lmcache_storage_finish_write(storage, &keys, NULL, NULL, 0));
    OK(lmcache_storage_contains(storage, &keys, &is_resident, 1));
    CHECK(is_resident == 1);
    OK(lmcache_producer_reserve_write(producer, &keys, layout, NULL));
    OK(lmcache_scope_free((lmcache_scope *)keys.scope));
    STATUS(lmcache_storage_contains(storage, &keys, &is_resident, 1), LMCACHE_STATUS_INVALID_HANDLE);
    STATUS(lmcache_producer_reserve_write(producer, &keys, layout, NULL), LMCACHE_STATUS_INVALID_HANDLE);
    keys.scope = scope_of(2);
    OK(lmcache_storage_contains(storage, &keys, &is_resident, 1));
    CHECK(is_resident == 0);
    OK(lmcache_scope_free((lmcache_scope *)keys.scope));
    OK(lmcache_layout_free(layout));
    OK(lmcache_storage_free(storage));
}

int main(void) {
    lmcache_recorder_options options = LMCACHE_RECORDER_OPTIONS_INIT;
    options.path = "scopes.lct";
    options.full_policy = 1; /* waits for the writer */
    lmcache_recorder *recorder = NULL;
    OK(lmcache_recorder_open(&options, &recorder));
    lmcache_producer *producer = NULL;
    OK(lmcache_producer_new(recorder, &producer));
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned request = 0; request < REQUESTS; request++) {
            if (!scopes[request]) {
                scopes[request] = scope_of(request);
            }
            uint8_t hash[32] = {0};
            memcpy(hash, &request, sizeof request);
            lmcache_key_list keys = {hash, 1, 32, scopes[request], NULL};
            OK(lmcache_producer_finish_write(producer, &keys, NULL));
            if (request % 2) {
                OK(lmcache_scope_free(scopes[request]));
                scopes[request] = NULL;
            }
        }
    }
    uint8_t hash[32] = {0};
    lmcache_scope *freed = scope_of(0);
    OK(lmcache_scope_free(freed));
    lmcache_key_list keys = {hash, 1, 32, freed, NULL};
    STATUS(lmcache_producer_finish_write(producer, &keys, NULL), LMCACHE_STATUS_INVALID_HANDLE);
    forgotten(producer);
    OK(lmcache_producer_free(producer));
    OK(lmcache_recorder_close(recorder));
    attached(recorder);
    OK(lmcache_recorder_free(recorder));
    options.storage_config_json = "{not json";
    STATUS(lmcache_recorder_open(&options, &recorder), LMCACHE_STATUS_INVALID_ARGUMENT);

    lmcache_reader *reader = NULL;
    OK(lmcache_reader_open("scopes.lct", LMCACHE_READ_MAPPED, &reader));
    for (unsigned call = 0; call < ROUNDS * REQUESTS; call++) {
        lmcache_record record = LMCACHE_RECORD_INIT;
        OK(lmcache_reader_next(reader, &record));
        unsigned request = 0;
        memcpy(&request, record.keys[0].hash, sizeof request);
        CHECK(record.key_count == 1 && request == call % REQUESTS);
        char salt[16];
        snprintf(salt, sizeof salt, "tenant-%u", request);
        CHECK(strcmp(record.keys[0].scope->cache_salt, salt) == 0);
    }
    OK(lmcache_reader_free(reader));
    printf("%u calls\n", ROUNDS * REQUESTS);
    return 0;
}
