/* Replays traces: with progress, cancelled from its callback and from another thread, as a struct and as JSON. */
#include "check.h"
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

static lmcache_replay_options options_of(const char *const *paths, size_t count) {
    lmcache_replay_options options = LMCACHE_REPLAY_OPTIONS_INIT;
    options.paths = paths;
    options.path_count = count;
    options.l1_size_bytes = UINT64_C(1) << 28;
    options.pace = LMCACHE_PACE_ASAP;
    return options;
}

typedef struct {
    pthread_t thread;
    unsigned calls;
    unsigned overs;
    uint64_t records;
    lmcache_replay *replay;
    unsigned cancels_at;
} watcher;

static uint32_t watch(const lmcache_replay_progress *progress, void *user_data) {
    watcher *watching = (watcher *)user_data;
    CHECK(pthread_equal(watching->thread, pthread_self()));
    CHECK(progress->struct_size >= sizeof *progress && progress->records >= watching->records);
    CHECK(progress->records <= progress->total_records && progress->l1_used_bytes <= progress->l1_total_bytes);
    CHECK(progress->served_chunks <= progress->answered_chunks);
    watching->records = progress->records;
    watching->calls++;
    watching->overs += progress->is_over;
    if (watching->replay) {
        /* Its own handle is busy, and may be cancelled. */
        STATUS(lmcache_replay_free(watching->replay), LMCACHE_STATUS_BUSY);
        STATUS(lmcache_replay_run(watching->replay), LMCACHE_STATUS_BUSY);
        lmcache_replay_results results = LMCACHE_REPLAY_RESULTS_INIT;
        STATUS(lmcache_replay_get_results(watching->replay, &results), LMCACHE_STATUS_BUSY);
    }
    return watching->calls == watching->cancels_at;
}

/* The results as the test reads them. */
static void print(lmcache_replay *replay) {
    lmcache_replay_results results = LMCACHE_REPLAY_RESULTS_INIT;
    OK(lmcache_replay_get_results(replay, &results));
    CHECK(results.struct_size == sizeof results && results.duration_ns > 0 && results.lag_p50_ns <= results.lag_max_ns);
    printf("%llu %llu %llu %llu %llu %llu %llu %llu %llu\n", (unsigned long long)results.records_replayed,
           (unsigned long long)results.records_failed, (unsigned long long)results.records_skipped,
           (unsigned long long)results.requested_chunks, (unsigned long long)results.served_chunks,
           (unsigned long long)results.requested_keys, (unsigned long long)results.hit_keys,
           (unsigned long long)results.evicted_keys, (unsigned long long)results.reads_found_nothing);
    const char *json = NULL;
    size_t length = 0;
    OK(lmcache_replay_get_json(replay, &json, &length));
    CHECK(strlen(json) == length);
    OK(lmcache_replay_get_json(replay, &json, NULL));
    printf("%s\n", json);
}

static void play(const char *const *paths, size_t count) {
    lmcache_replay_options options = options_of(paths, count);
    watcher watching = {pthread_self(), 0, 0, 0, NULL, 0};
    options.on_progress = watch;
    options.on_progress_user_data = &watching;
    options.progress_interval_ns = 1;
    lmcache_replay *replay = NULL;
    OK(lmcache_replay_new(&options, &replay));
    lmcache_replay_results results = LMCACHE_REPLAY_RESULTS_INIT;
    STATUS(lmcache_replay_get_results(replay, &results), LMCACHE_STATUS_PENDING);
    watching.replay = replay;
    OK(lmcache_replay_run(replay));
    CHECK(watching.calls >= 2 && watching.overs == 1 && watching.records > 0);
    print(replay);
    /* Once more: in causal order the same. */
    watching.records = 0;
    lmcache_replay_results again = LMCACHE_REPLAY_RESULTS_INIT;
    OK(lmcache_replay_get_results(replay, &results));
    OK(lmcache_replay_run(replay));
    OK(lmcache_replay_get_results(replay, &again));
    CHECK(again.hit_keys == results.hit_keys && again.records_replayed == results.records_replayed);
    CHECK(again.evicted_keys == results.evicted_keys && again.is_cancelled == 0);
    OK(lmcache_replay_free(replay));
}

static volatile int is_running;

static uint32_t tell_running(const lmcache_replay_progress *progress, void *user_data) {
    (void)user_data;
    is_running = !progress->is_over;
    return 0;
}

static void *cancel_soon(void *replay) {
    while (!is_running)
        usleep(1000);
    lmcache_replay_results results = LMCACHE_REPLAY_RESULTS_INIT;
    STATUS(lmcache_replay_get_results((lmcache_replay *)replay, &results), LMCACHE_STATUS_BUSY);
    STATUS(lmcache_replay_run((lmcache_replay *)replay), LMCACHE_STATUS_BUSY);
    OK(lmcache_replay_cancel((const lmcache_replay *)replay));
    return NULL;
}

static void cancelled(const char *const *paths, size_t count) {
    /* So slow that only a cancel ends it. */
    lmcache_replay_options options = options_of(paths, count);
    options.pace = LMCACHE_PACE_RATE;
    options.pace_value = 0.01;
    options.low_cpu = 1;
    options.on_progress = tell_running;
    lmcache_replay *replay = NULL;
    OK(lmcache_replay_new(&options, &replay));
    pthread_t other;
    CHECK(pthread_create(&other, NULL, cancel_soon, replay) == 0);
    OK(lmcache_replay_run(replay));
    CHECK(pthread_join(other, NULL) == 0);
    lmcache_replay_results results = LMCACHE_REPLAY_RESULTS_INIT;
    OK(lmcache_replay_get_results(replay, &results));
    CHECK(results.is_cancelled == 1 && results.records_replayed < 10);
    /* It stays cancelled. */
    OK(lmcache_replay_run(replay));
    OK(lmcache_replay_get_results(replay, &results));
    CHECK(results.is_cancelled == 1 && results.records_replayed == 0);
    OK(lmcache_replay_free(replay));
    /* By its callback. */
    watcher watching = {pthread_self(), 0, 0, 0, NULL, 2};
    options.on_progress = watch;
    options.on_progress_user_data = &watching;
    options.progress_interval_ns = 20 * 1000 * 1000;
    OK(lmcache_replay_new(&options, &replay));
    OK(lmcache_replay_run(replay));
    OK(lmcache_replay_get_results(replay, &results));
    CHECK(results.is_cancelled == 1 && watching.calls >= 3 && watching.overs == 1);
    OK(lmcache_replay_free(replay));
}

static struct rlimit before;
static unsigned begins, ends;
static int has_room;

/* Leaves no room for the stack of another thread, from the beginning of the run to its end. */
static uint32_t narrow(const lmcache_replay_progress *progress, void *user_data) {
    (void)user_data;
    begins += !progress->is_over;
    ends += progress->is_over;
    struct rlimit limit = before;
    if (!progress->is_over && !has_room) {
        unsigned long long pages = 0;
        FILE *statm = fopen("/proc/self/statm", "r");
        CHECK(statm && fscanf(statm, "%llu", &pages) == 1);
        fclose(statm);
        limit.rlim_cur = pages * (rlim_t)sysconf(_SC_PAGESIZE) + (128u << 20);
    }
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    return 0;
}

/* The system grants no threads: that is an error, the host hears that it is over, and can run it again. */
static void refused(const char *const *paths, size_t count) {
    CHECK(getrlimit(RLIMIT_AS, &before) == 0);
    lmcache_replay_options options = options_of(paths, count);
    options.on_progress = narrow;
    lmcache_replay *replay = NULL;
    OK(lmcache_replay_new(&options, &replay));
    STATUS(lmcache_replay_run(replay), LMCACHE_STATUS_IO);
    char why[256];
    lmcache_last_error(why, sizeof why);
    CHECK(strstr(why, "cannot start a replay thread"));
    CHECK(begins == 1 && ends == 1);
    lmcache_replay_results results = LMCACHE_REPLAY_RESULTS_INIT;
    STATUS(lmcache_replay_get_results(replay, &results), LMCACHE_STATUS_PENDING);
    /* The same one again, with room: it was not cancelled. */
    has_room = 1;
    OK(lmcache_replay_run(replay));
    OK(lmcache_replay_get_results(replay, &results));
    CHECK(results.is_cancelled == 0 && results.records_replayed > 0 && ends == 2);
    OK(lmcache_replay_free(replay));
}

/* The whole configuration in place of its parts: the same answers where it says the same, and not both. */
static void configured(const char *const *paths, size_t count) {
    lmcache_replay_options options = options_of(paths, count);
    options.config_json = "{\"l1_size_gb\": 0.25, \"eviction_policy\": \"LRU\", \"compat\": \"lmcache\"}";
    lmcache_replay *replay = NULL;
    STATUS(lmcache_replay_new(&options, &replay), LMCACHE_STATUS_INVALID_ARGUMENT);
    char why[256];
    lmcache_last_error(why, sizeof why);
    CHECK(strstr(why, "config_json is the whole configuration"));
    options.l1_size_bytes = 0;
    OK(lmcache_replay_new(&options, &replay));
    OK(lmcache_replay_run(replay));
    print(replay);
    OK(lmcache_replay_free(replay));
    options.config_json = "{\"l1_size_gb\": 0.25, \"eviction_policy\": \"LRU\", \"l3\": 1}";
    STATUS(lmcache_replay_new(&options, &replay), LMCACHE_STATUS_INVALID_ARGUMENT);
    options.config_json = NULL;
    STATUS(lmcache_replay_new(&options, &replay), LMCACHE_STATUS_INVALID_ARGUMENT);
}

int main(int count, char **words) {
    if (count >= 3 && strcmp(words[1], "refused") == 0) {
        /* Stacks that a narrow limit has no room for; read once, before the first thread. */
        setenv("RUST_MIN_STACK", "536870912", 1);
        refused((const char *const *)&words[2], (size_t)count - 2);
        return 0;
    }
    CHECK(count >= 3);
    const char *const *paths = (const char *const *)&words[2];
    if (strcmp(words[1], "play") == 0)
        play(paths, (size_t)count - 2);
    else if (strcmp(words[1], "configured") == 0)
        configured(paths, (size_t)count - 2);
    else
        cancelled(paths, (size_t)count - 2);
    return 0;
}
