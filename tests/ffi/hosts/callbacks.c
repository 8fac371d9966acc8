/* Functions of the host, from the first call to the last: who owns them, who waits for them, and how deep they go. */
#include "check.h"
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#define SMALL "{\"l1_size_gb\": 0.0625, \"eviction_policy\": \"LRU\"}"
#define SECOND 1000000000ull

static const char *damaged, *trace;
static lmcache_scope *scope;
static lmcache_layout *layout;
static uint8_t hash[32] = {1};

static lmcache_storage *new_storage(void) {
    lmcache_storage_options options = LMCACHE_STORAGE_OPTIONS_INIT;
    options.config_json = SMALL;
    lmcache_storage *storage = NULL;
    OK(lmcache_storage_new(&options, &storage));
    return storage;
}

static void write_key(lmcache_storage *storage) {
    lmcache_key_list keys = {hash, 1, 32, scope, NULL};
    lmcache_write_buffer buffer;
    OK(lmcache_storage_reserve_write(storage, &keys, layout, LMCACHE_WRITE_NEW, &buffer, 1));
    OK(lmcache_storage_finish_write(storage, &keys, NULL, NULL, 0));
}

/* A store of the host's whose puts take their time. */
typedef struct {
    volatile int puts, running, closed, is_gone;
    unsigned put_us;
} store;

static int32_t put(void *user_data, const lmcache_l2_object *objects, size_t count, int32_t *answers) {
    store *self = (store *)user_data;
    (void)objects;
    __atomic_add_fetch(&self->running, 1, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&self->puts, 1, __ATOMIC_SEQ_CST);
    usleep(self->put_us);
    CHECK(!self->is_gone && !self->closed);
    for (size_t i = 0; i < count; i++)
        answers[i] = LMCACHE_L2_PUT_WRITTEN;
    __atomic_sub_fetch(&self->running, 1, __ATOMIC_SEQ_CST);
    return 0;
}

static int32_t get(void *user_data, const lmcache_l2_object *objects, size_t count, int32_t *answers) {
    (void)user_data, (void)objects;
    for (size_t i = 0; i < count; i++)
        answers[i] = LMCACHE_L2_GET_MISS;
    return 0;
}

static int32_t exists(void *user_data, const lmcache_l2_key *keys, const uint64_t *sizes_bytes, size_t count, int32_t *answers) {
    (void)user_data, (void)keys, (void)sizes_bytes;
    for (size_t i = 0; i < count; i++)
        answers[i] = LMCACHE_L2_GET_MISS;
    return 0;
}

static int32_t drop(void *user_data, const lmcache_l2_key *keys, size_t count, int32_t *answers) {
    (void)user_data, (void)keys;
    for (size_t i = 0; i < count; i++)
        answers[i] = LMCACHE_L2_REMOVE_ABSENT;
    return 0;
}

static void close_store(void *user_data) {
    store *self = (store *)user_data;
    CHECK(self->running == 0 && !self->is_gone);
    self->closed++;
}

static lmcache_l2_adapter_table table_of(store *self) {
    lmcache_l2_adapter_table table = LMCACHE_L2_ADAPTER_TABLE_INIT;
    table.put = put;
    table.get = get;
    table.exists = exists;
    table.remove = drop;
    table.close = close_store;
    table.user_data = self;
    return table;
}

/* A table is the storage manager's from the moment that adding it was OK, and the host's if it was not. */
static void owned(void) {
    store self = {0, 0, 0, 0, 0};
    lmcache_l2_adapter_table table = table_of(&self);
    lmcache_storage *storage = new_storage();
    uint32_t id = 0;
    STATUS(lmcache_storage_add_l2_table(storage, &table, "{", &id), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_storage_add_l2_table(storage, &table, "{\"type\": \"fs\", \"base_path\": \"x\"}", &id), LMCACHE_STATUS_INVALID_ARGUMENT);
    const char *elsewhere = "{\"type\": \"plugin\", \"library_path\": \"x\", \"affinity_tag\": \"elsewhere\"}";
    STATUS(lmcache_storage_add_l2_table(storage, &table, elsewhere, &id), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_storage_add_l2_table(NULL, &table, NULL, &id), LMCACHE_STATUS_NULL_POINTER);
    CHECK(self.closed == 0);
    OK(lmcache_storage_add_l2_table(storage, &table, NULL, &id));
    OK(lmcache_storage_delete_l2_adapter(storage, id, 10 * SECOND));
    CHECK(self.closed == 1);
    self.closed = 0;
    OK(lmcache_storage_add_l2_table(storage, &table, NULL, NULL));
    OK(lmcache_storage_close(storage));
    CHECK(self.closed == 1);
    self.closed = 0;
    STATUS(lmcache_storage_add_l2_table(storage, &table, NULL, &id), LMCACHE_STATUS_CLOSED);
    OK(lmcache_storage_free(storage));
    STATUS(lmcache_storage_add_l2_table(storage, &table, NULL, &id), LMCACHE_STATUS_INVALID_HANDLE);
    CHECK(self.closed == 0);
}

static void *free_it(void *storage) {
    OK(lmcache_storage_free((lmcache_storage *)storage));
    return NULL;
}

/* Freeing waits for the functions of tables, with a `close` and without; a prefetch that outlives it changes nothing. */
static void waits(void) {
    for (int has_close = 0; has_close < 2; has_close++) {
        store self = {0, 0, 0, 0, 300 * 1000};
        lmcache_l2_adapter_table table = table_of(&self);
        if (!has_close)
            table.close = NULL;
        lmcache_storage *storage = new_storage();
        OK(lmcache_storage_add_l2_table(storage, &table, NULL, NULL));
        lmcache_prefetch_row row = {{hash, 1, 32, scope, NULL}, layout, -1, 0, 0};
        lmcache_prefetch_spec spec = {&row, 1, 1, LMCACHE_FETCH_PREFIX, LMCACHE_LOCK, 0, 0};
        lmcache_prefetch *prefetch = NULL;
        OK(lmcache_storage_submit_prefetch(storage, &spec, NULL, &prefetch));
        OK(lmcache_prefetch_wait(prefetch, UINT64_MAX, NULL));
        write_key(storage);
        while (!self.puts)
            usleep(1000);
        OK(lmcache_storage_free(storage));
        CHECK(self.running == 0 && self.closed == has_close);
        self.is_gone = 1;
        OK(lmcache_prefetch_free(prefetch));
        CHECK(self.closed == has_close);
    }
    /* Calls of another thread go on until it is gone. */
    store self = {0, 0, 0, 0, 200 * 1000};
    lmcache_l2_adapter_table table = table_of(&self);
    lmcache_storage *storage = new_storage();
    OK(lmcache_storage_add_l2_table(storage, &table, NULL, NULL));
    write_key(storage);
    while (!self.puts)
        usleep(1000);
    pthread_t other;
    CHECK(pthread_create(&other, NULL, free_it, storage) == 0);
    while (self.running && lmcache_storage_clear(storage, 0) == LMCACHE_STATUS_OK)
        usleep(1000);
    CHECK(pthread_join(other, NULL) == 0);
    CHECK(self.running == 0 && self.closed == 1);
}

static lmcache_storage *open_storage;
static unsigned depth, deepest, told;

/* What waits for threads waits for none within a callback, whichever it is. */
static void nothing_waits(void) {
    told++;
    STATUS(lmcache_storage_close(open_storage), LMCACHE_STATUS_BUSY);
    STATUS(lmcache_storage_free(open_storage), LMCACHE_STATUS_BUSY);
    STATUS(lmcache_storage_evict(open_storage), LMCACHE_STATUS_BUSY);
    STATUS(lmcache_storage_flush_stores(open_storage, 0), LMCACHE_STATUS_BUSY);
    OK(lmcache_storage_clear(open_storage, 0));
}

static void finding(const char *kind, uint64_t offset, const char *sentence, void *user_data) {
    CHECK(kind[0] && sentence[0] && offset > 0);
    if (!user_data) {
        nothing_waits();
        return;
    }
    if (++depth > deepest)
        deepest = depth;
    lmcache_status status = lmcache_verify(damaged, finding, user_data, NULL);
    CHECK(status == LMCACHE_STATUS_OK || (status == LMCACHE_STATUS_TOO_MANY && depth == 4));
    /* Without a callback nothing goes deeper. */
    OK(lmcache_verify(damaged, NULL, NULL, NULL));
    depth--;
}

static void findings(void) {
    OK(lmcache_verify(damaged, finding, NULL, NULL));
    CHECK(told > 0);
    OK(lmcache_verify(damaged, finding, &depth, NULL));
    CHECK(deepest == 4);
}

static uint32_t progress(const lmcache_replay_progress *seen, void *user_data);

static lmcache_status replay(void *user_data) {
    lmcache_replay_options options = LMCACHE_REPLAY_OPTIONS_INIT;
    options.paths = &trace;
    options.path_count = 1;
    options.pace = LMCACHE_PACE_ASAP;
    options.l1_size_bytes = 1 << 26;
    options.on_progress = progress;
    options.on_progress_user_data = user_data;
    lmcache_replay *made = NULL;
    OK(lmcache_replay_new(&options, &made));
    lmcache_status status = lmcache_replay_run(made);
    OK(lmcache_replay_free(made));
    return status;
}

static uint32_t progress(const lmcache_replay_progress *seen, void *user_data) {
    if (seen->is_over)
        return 0;
    if (!user_data) {
        nothing_waits();
        return 0;
    }
    if (++depth > deepest)
        deepest = depth;
    lmcache_status status = replay(user_data);
    CHECK(status == LMCACHE_STATUS_OK || (status == LMCACHE_STATUS_TOO_MANY && depth == 4));
    depth--;
    return 1;
}

static void progresses(void) {
    told = depth = deepest = 0;
    OK(replay(NULL));
    CHECK(told > 0);
    OK(replay(&depth));
    CHECK(deepest == 4);
}

static volatile int has_stopped;

static void stopped(const char *reason, void *user_data) {
    (void)user_data;
    CHECK(reason[0]);
    nothing_waits();
    has_stopped = 1;
}

static void stops(void) {
    lmcache_recorder_options options = LMCACHE_RECORDER_OPTIONS_INIT;
    options.path = "stops.lct";
    options.on_stop = stopped;
    lmcache_recorder *recorder = NULL;
    OK(lmcache_recorder_open(&options, &recorder));
    CHECK(unlink("stops.lct") == 0);
    while (!has_stopped)
        usleep(1000);
    OK(lmcache_recorder_free(recorder));
}

static void say(const char *text, void *user_data) {
    (void)user_data;
    CHECK(text[0]);
    nothing_waits();
}

static void logs(void) {
    told = 0;
    lmcache_storage_options options = LMCACHE_STORAGE_OPTIONS_INIT;
    options.config_json = "{\"l1_size_gb\": 0.0625, \"eviction_policy\": \"LRU\", \"l2_adapter\": [{\"type\": \"mock\", \"max_size_gb\": 1, "
                          "\"mock_bandwidth_gb\": 1, \"eviction\": {\"eviction_policy\": \"IsolatedLRU\"}}]}";
    OK(lmcache_set_log_callback(say, NULL));
    lmcache_storage *storage = NULL;
    OK(lmcache_storage_new(&options, &storage));
    OK(lmcache_storage_free(storage));
    OK(lmcache_set_log_callback(NULL, NULL));
    CHECK(told > 0);
}

int main(int count, char **words) {
    CHECK(count >= 3);
    damaged = words[1], trace = words[2];
    OK(lmcache_scope_new("m", 0, 0, NULL, &scope));
    const uint64_t shape[] = {64};
    lmcache_tensor tensor = {shape, 1, "torch.uint8"};
    OK(lmcache_layout_new(&tensor, 1, &layout));
    struct {
        const char *name;
        void (*run)(void);
    } suites[] = {
        {"owned", owned}, {"waits", waits}, {"findings", findings}, {"progresses", progresses}, {"stops", stops}, {"logs", logs},
    };
    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++) {
        if (count > 3 && strcmp(words[3], suites[i].name) != 0)
            continue;
        open_storage = new_storage();
        suites[i].run();
        OK(lmcache_storage_free(open_storage));
        printf("%s\n", suites[i].name);
    }
    OK(lmcache_scope_free(scope));
    OK(lmcache_layout_free(layout));
    return 0;
}
