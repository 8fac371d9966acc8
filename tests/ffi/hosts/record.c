/* Records from four threads, as an engine does, and says what it recorded. */
#include "check.h"
#include <pthread.h>

#define THREADS 4
#define PROMPTS 100
#define CHUNKS 16

static lmcache_recorder *recorder;
static lmcache_scope *scope;
static lmcache_layout *layout;
static int stops;

static void stopped(const char *reason, void *user_data) {
    (void)reason;
    ++*(int *)user_data;
}

static void hashes_of(unsigned prompt, uint8_t (*hashes)[32]) {
    memset(hashes, 0, CHUNKS * 32);
    for (unsigned chunk = 0; chunk < CHUNKS; chunk++) {
        uint64_t name = (uint64_t)prompt * CHUNKS + chunk + 1;
        memcpy(hashes[chunk], &name, sizeof name);
    }
}

static void *work(void *first) {
    lmcache_producer *producer = NULL;
    OK(lmcache_producer_new(recorder, &producer));
    const uint32_t *gate = NULL;
    OK(lmcache_recorder_gate(recorder, &gate));
    for (unsigned prompt = *(unsigned *)first; prompt < *(unsigned *)first + PROMPTS; prompt++) {
        uint8_t hashes[CHUNKS][32];
        hashes_of(prompt, hashes);
        lmcache_key_list keys = {hashes[0], CHUNKS, 32, scope, NULL};
        CHECK(lmcache_is_recording(gate));
        OK(lmcache_producer_reserve_write(producer, &keys, layout, NULL));
        OK(lmcache_producer_finish_write(producer, &keys, NULL));

        lmcache_prefetch_row row = {keys, layout, -1, 0, 0};
        lmcache_prefetch_spec spec = {&row, 1, 1, LMCACHE_FETCH_PREFIX, LMCACHE_LOCK, 0, 0};
        lmcache_call_id call = {0, 0, 0};
        OK(lmcache_producer_submit_prefetch(producer, &spec, "request", &call));
        lmcache_completion done = {sizeof done, LMCACHE_OUTCOME_DONE, CHUNKS, CHUNKS, 1000, 2000, CHUNKS * 64};
        OK(lmcache_producer_complete(producer, call, &done));

        OK(lmcache_producer_read_enter(producer, &keys, &call));
        OK(lmcache_producer_read_exit(producer, &keys, NULL));
        OK(lmcache_producer_finish_read(producer, &keys, 1, NULL));
        OK(lmcache_producer_host_call(producer, "engine.prompt_done", (const uint8_t *)&prompt, sizeof prompt, NULL));
    }
    OK(lmcache_producer_free(producer));
    return NULL;
}

int main(void) {
    OK(lmcache_check_abi(LMCACHE_ABI_VERSION));
    OK(lmcache_scope_new("org/model", 0x01000100, 0, "tenant", &scope));
    uint64_t shape[] = {2, 16};
    lmcache_tensor tensor = {shape, 2, "torch.bfloat16"};
    OK(lmcache_layout_new(&tensor, 1, &layout));
    uint64_t bytes = 0;
    OK(lmcache_layout_size_bytes(layout, &bytes));
    CHECK(bytes == 64);

    lmcache_recorder_options options = LMCACHE_RECORDER_OPTIONS_INIT;
    options.path = "engine.lct";
    options.node = "node-7";
    options.storage_config_json = "{\"chunk_size\": 256}";
    options.full_policy = 1;
    options.on_stop = stopped;
    options.on_stop_user_data = &stops;
    OK(lmcache_recorder_open(&options, &recorder));

    pthread_t threads[THREADS];
    unsigned first[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        first[i] = i * PROMPTS;
        CHECK(pthread_create(&threads[i], NULL, work, &first[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);

    OK(lmcache_recorder_flush(recorder));
    OK(lmcache_recorder_close(recorder));
    OK(lmcache_recorder_close(recorder));
    lmcache_recorder_stats stats = LMCACHE_RECORDER_STATS_INIT;
    OK(lmcache_recorder_get_stats(recorder, &stats));
    CHECK(stats.calls == THREADS * PROMPTS * 7 && stats.lost == 0 && stats.threads == THREADS);
    CHECK(stats.completions == THREADS * PROMPTS && stops == 0);

    const uint32_t *gate = NULL;
    OK(lmcache_recorder_gate(recorder, &gate));
    CHECK(!lmcache_is_recording(gate));
    OK(lmcache_recorder_free(recorder));
    CHECK(!lmcache_is_recording(gate));
    OK(lmcache_scope_free(scope));
    OK(lmcache_layout_free(layout));
    printf("%llu calls\n", (unsigned long long)stats.calls);
    return 0;
}
