/* What can be done wrong with recorders and producers, and with threads, forks and callbacks beside them: each with a code, and none with
 * a crash, a call that never returns, or a count that is not right. */
#include "check.h"
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static lmcache_scope *scope;
static uint8_t hashes[1024][32];

static lmcache_key_list keys_of(size_t count) {
    lmcache_key_list keys = {hashes[0], count, 32, scope, NULL};
    return keys;
}

static lmcache_recorder *open_as(lmcache_recorder_options *options, const char *path) {
    options->path = path;
    lmcache_recorder *recorder = NULL;
    OK(lmcache_recorder_open(options, &recorder));
    return recorder;
}

static lmcache_recorder *recorder_of(const char *path) {
    lmcache_recorder_options options = LMCACHE_RECORDER_OPTIONS_INIT;
    return open_as(&options, path);
}

static lmcache_producer *producer_of(lmcache_recorder *recorder) {
    lmcache_producer *producer = NULL;
    OK(lmcache_producer_new(recorder, &producer));
    return producer;
}

static void record(lmcache_producer *producer) {
    lmcache_key_list keys = keys_of(1);
    OK(lmcache_producer_finish_write(producer, &keys, NULL));
}

static lmcache_recorder_stats stats_of(lmcache_recorder *recorder) {
    lmcache_recorder_stats stats = LMCACHE_RECORDER_STATS_INIT;
    OK(lmcache_recorder_get_stats(recorder, &stats));
    return stats;
}

static uint32_t ending_of(const char *path) {
    lmcache_reader *reader = NULL;
    OK(lmcache_reader_open(path, LMCACHE_READ_BUFFERED, &reader));
    lmcache_trace_header header = LMCACHE_TRACE_HEADER_INIT;
    OK(lmcache_reader_get_header(reader, &header));
    uint32_t ending = header.ending;
    OK(lmcache_reader_free(reader));
    return ending;
}

static void pause_ms(unsigned ms) { usleep(ms * 1000); }

static void start(pthread_t *thread, void *(*run)(void *), void *with) { CHECK(pthread_create(thread, NULL, run, with) == 0); }

static void join(pthread_t thread) { CHECK(pthread_join(thread, NULL) == 0); }

/* Waits until `*what` is `wanted`; ten seconds are for ever. */
static void wait_for(volatile int *what, int wanted) {
    for (int i = 0; i < 10000 && *what != wanted; i++)
        pause_ms(1);
    CHECK(*what == wanted);
}

/* Two recordings stop. The log callback of each waits for that of the other, and does what would wait for the other's thread. */
static lmcache_recorder *stopping[2];
static lmcache_recorder *thrown_away;
static volatile int said, has_left, is_telling;

static void log_of_stops(const char *text, void *user_data) {
    CHECK(strlen(text) > 0 && user_data == &said);
    __sync_fetch_and_add(&said, 1);
    wait_for(&said, 2);
    for (int i = 0; i < 2; i++) {
        STATUS(lmcache_recorder_close(stopping[i]), LMCACHE_STATUS_BUSY);
        STATUS(lmcache_recorder_flush(stopping[i]), LMCACHE_STATUS_BUSY);
        stats_of(stopping[i]);
    }
    char hint[256];
    CHECK(lmcache_last_error_hint(hint, sizeof hint) > 0 && strstr(hint, "return"));
    STATUS(lmcache_set_log_callback(NULL, NULL), LMCACHE_STATUS_BUSY);
    /* It is closed on a thread of its own. */
    lmcache_recorder *mine = __sync_lock_test_and_set(&thrown_away, NULL);
    if (mine)
        OK(lmcache_recorder_free(mine));
    is_telling = 1;
    pause_ms(200);
    __sync_fetch_and_add(&has_left, 1);
}

static void stopped(const char *reason, void *user_data) {
    CHECK(strlen(reason) > 0);
    for (int i = 0; i < 2; i++) {
        STATUS(lmcache_recorder_close(stopping[i]), LMCACHE_STATUS_BUSY);
        STATUS(lmcache_recorder_flush(stopping[i]), LMCACHE_STATUS_BUSY);
    }
    __sync_fetch_and_add((int *)user_data, 1);
}

static void callbacks(void) {
    int stops = 0;
    lmcache_recorder_options options = LMCACHE_RECORDER_OPTIONS_INIT;
    options.on_stop = stopped;
    options.on_stop_user_data = &stops;
    OK(lmcache_set_log_callback(log_of_stops, (void *)&said));
    stopping[0] = open_as(&options, "stops-0.lct");
    stopping[1] = open_as(&options, "stops-1.lct");
    thrown_away = recorder_of("thrown_away.lct");
    CHECK(unlink("stops-0.lct") == 0 && unlink("stops-1.lct") == 0);
    wait_for(&is_telling, 1);
    OK(lmcache_set_log_callback(NULL, NULL));
    CHECK(has_left == 2);
    for (int i = 0; i < 2; i++) {
        STATUS(lmcache_recorder_close(stopping[i]), LMCACHE_STATUS_NOT_FOUND);
        OK(lmcache_recorder_free(stopping[i]));
    }
    CHECK(stops == 2);
    for (int i = 0; i < 10000 && ending_of("thrown_away.lct") != LMCACHE_ENDING_CLOSED; i++)
        pause_ms(1);
    CHECK(ending_of("thrown_away.lct") == LMCACHE_ENDING_CLOSED);
}

/* Whoever closes second waits as long. */
static void *close_it(void *recorder) {
    OK(lmcache_recorder_close((lmcache_recorder *)recorder));
    CHECK(ending_of("closes.lct") == LMCACHE_ENDING_CLOSED);
    return NULL;
}

static void closes(void) {
    lmcache_recorder_options options = LMCACHE_RECORDER_OPTIONS_INIT;
    options.ring_bytes = 1 << 26;
    options.poll_interval_ns = 200000000;
    lmcache_recorder *recorder = open_as(&options, "closes.lct");
    lmcache_producer *producer = producer_of(recorder);
    lmcache_key_list keys = keys_of(1024);
    for (int i = 0; i < 1000; i++)
        OK(lmcache_producer_finish_write(producer, &keys, NULL));
    pthread_t first;
    start(&first, close_it, recorder);
    pause_ms(20);
    close_it(recorder);
    CHECK(stats_of(recorder).calls == 1000);
    join(first);
    /* What can be done with one that is closed. */
    lmcache_producer *late = NULL;
    STATUS(lmcache_producer_new(recorder, &late), LMCACHE_STATUS_CLOSED);
    STATUS(lmcache_recorder_set_enabled(recorder, 1), LMCACHE_STATUS_CLOSED);
    OK(lmcache_recorder_set_enabled(recorder, 0));
    OK(lmcache_recorder_flush(recorder));
    OK(lmcache_recorder_close(recorder));
    STATUS(lmcache_producer_finish_write(producer, &keys, NULL), LMCACHE_STATUS_DROPPED);
    CHECK(stats_of(recorder).calls == 1000 && stats_of(recorder).lost == 0);
    OK(lmcache_producer_free(producer));
    OK(lmcache_recorder_free(recorder));
}

/* Every call that was OK is in the file, or counted. */
static volatile int is_over;

static void *record_on(void *recorder) {
    uint64_t *oks = (uint64_t *)calloc(1, sizeof *oks);
    CHECK(oks);
    lmcache_producer *producer = NULL;
    lmcache_key_list keys = keys_of(1);
    /* It may be closed by now. */
    if (lmcache_producer_new((lmcache_recorder *)recorder, &producer) == LMCACHE_STATUS_CLOSED)
        return oks;
    CHECK(producer);
    while (!is_over) {
        int32_t status = lmcache_producer_finish_write(producer, &keys, NULL);
        CHECK(status >= 0);
        *oks += status == LMCACHE_STATUS_OK;
    }
    OK(lmcache_producer_free(producer));
    return oks;
}

static void losses(void) {
    for (unsigned round = 0; round < 60; round++) {
        is_over = 0;
        lmcache_recorder_options options = LMCACHE_RECORDER_OPTIONS_INIT;
        options.ring_bytes = 1 << 22;
        lmcache_recorder *recorder = open_as(&options, "losses.lct");
        pthread_t threads[4];
        for (int i = 0; i < 4; i++)
            start(&threads[i], record_on, recorder);
        usleep(2000 + round * 37);
        OK(lmcache_recorder_close(recorder));
        is_over = 1;
        uint64_t oks = 0;
        for (int i = 0; i < 4; i++) {
            void *own = NULL;
            CHECK(pthread_join(threads[i], &own) == 0);
            oks += *(uint64_t *)own;
            free(own);
        }
        lmcache_recorder_stats stats = stats_of(recorder);
        /* Rings that were full have lost calls that were not OK. */
        CHECK(stats.calls <= oks && stats.calls + stats.lost >= oks);
        OK(lmcache_recorder_free(recorder));
    }
}

/* A completion is of a call that there is. */
static void completions(void) {
    lmcache_recorder_options options = LMCACHE_RECORDER_OPTIONS_INIT;
    options.ring_bytes = 1 << 16;
    lmcache_recorder *recorder = open_as(&options, "completions.lct");
    lmcache_producer *producer = producer_of(recorder);
    lmcache_key_list keys = keys_of(1);
    lmcache_completion done = {sizeof done, LMCACHE_OUTCOME_DONE, 1, 1, 10, LMCACHE_NOT_KNOWN_NS, 5};
    lmcache_call_id call = {0, 0, 0}, dropped = {7, 7, 7};
    OK(lmcache_producer_finish_write(producer, &keys, &call));
    CHECK(call.number != 0 && call.kind != 0);
    OK(lmcache_producer_complete(producer, call, &done));
    /* One that was dropped, since it is too large, has no number, and not that of the call before. */
    static uint8_t large[1 << 20];
    dropped = call;
    STATUS(lmcache_producer_host_call(producer, "x", large, sizeof large, &dropped), LMCACHE_STATUS_DROPPED);
    CHECK(dropped.number == 0 && dropped.kind == 0 && dropped.reserved == 0);
    STATUS(lmcache_producer_complete(producer, dropped, &done), LMCACHE_STATUS_DROPPED);
    /* Made up. */
    lmcache_call_id made_up = {UINT64_MAX, call.kind, 0};
    STATUS(lmcache_producer_complete(producer, made_up, &done), LMCACHE_STATUS_INVALID_ARGUMENT);
    made_up.number = 1;
    STATUS(lmcache_producer_complete(producer, made_up, &done), LMCACHE_STATUS_INVALID_ARGUMENT);
    OK(lmcache_recorder_set_enabled(recorder, 0));
    dropped = call;
    STATUS(lmcache_producer_finish_write(producer, &keys, &dropped), LMCACHE_STATUS_DROPPED);
    CHECK(dropped.number == 0 && dropped.kind == 0);
    STATUS(lmcache_producer_complete(producer, call, &done), LMCACHE_STATUS_DROPPED);
    OK(lmcache_recorder_set_enabled(recorder, 1));
    uint64_t written = 1, refused = 0;
    for (int i = 0; i < 1000000 && refused == 0; i++) {
        int32_t status = lmcache_producer_complete(producer, call, &done);
        CHECK(status == LMCACHE_STATUS_OK || status == LMCACHE_STATUS_DROPPED);
        ++*(status == LMCACHE_STATUS_OK ? &written : &refused);
    }
    OK(lmcache_recorder_close(recorder));
    lmcache_recorder_stats stats = stats_of(recorder);
    CHECK(refused > 0 && stats.completions == written && stats.lost_completions == refused);
    CHECK(stats.calls == 1 && stats.lost == 1);
    OK(lmcache_producer_free(producer));
    OK(lmcache_recorder_free(recorder));
}

/* A producer goes with its thread, whatever the next thread on the same stack tries. */
static lmcache_producer *left_behind;
static volatile int freed_by_keys;
static pthread_key_t key;

static void *leave_behind(void *recorder) {
    left_behind = producer_of((lmcache_recorder *)recorder);
    record(left_behind);
    return NULL;
}

static void *take_over(void *unused) {
    lmcache_key_list keys = keys_of(1);
    STATUS(lmcache_producer_finish_write(left_behind, &keys, NULL), LMCACHE_STATUS_INVALID_HANDLE);
    STATUS(lmcache_producer_free(left_behind), LMCACHE_STATUS_INVALID_HANDLE);
    return unused;
}

static void free_by_key(void *producer) {
    record((lmcache_producer *)producer);
    OK(lmcache_producer_free((lmcache_producer *)producer));
    freed_by_keys++;
}

static void *use_key(void *recorder) {
    CHECK(pthread_setspecific(key, producer_of((lmcache_recorder *)recorder)) == 0);
    return NULL;
}

/* Its last call is its first, when its thread-locals are gone. */
static void *use_key_late(void *producer) {
    CHECK(pthread_setspecific(key, producer) == 0);
    return NULL;
}

static void free_scope_by_key(void *handle) {
    OK(lmcache_scope_free((lmcache_scope *)handle));
    freed_by_keys++;
}

static void close_by_key(void *recorder) {
    lmcache_producer *producer = producer_of((lmcache_recorder *)recorder);
    record(producer);
    OK(lmcache_producer_free(producer));
    OK(lmcache_recorder_flush((lmcache_recorder *)recorder));
    OK(lmcache_recorder_close((lmcache_recorder *)recorder));
    OK(lmcache_recorder_free((lmcache_recorder *)recorder));
    freed_by_keys++;
}

static void *record_and_close_late(void *recorder) {
    leave_behind(recorder);
    CHECK(pthread_setspecific(key, recorder) == 0);
    return NULL;
}

static void ends(void) {
    lmcache_recorder *recorder = recorder_of("ends.lct");
    pthread_t thread;
    for (int i = 0; i < 20; i++) {
        start(&thread, leave_behind, recorder);
        join(thread);
        start(&thread, take_over, NULL);
        join(thread);
        take_over(NULL);
    }
    CHECK(pthread_key_create(&key, free_by_key) == 0);
    for (int i = 0; i < 20; i++) {
        start(&thread, use_key, recorder);
        join(thread);
    }
    CHECK(freed_by_keys == 20 && pthread_key_delete(key) == 0);
    CHECK(pthread_key_create(&key, free_scope_by_key) == 0);
    for (int i = 0; i < 20; i++) {
        lmcache_scope *other = NULL;
        OK(lmcache_scope_new("m", 0, 0, NULL, &other));
        start(&thread, use_key_late, other);
        join(thread);
    }
    CHECK(freed_by_keys == 40 && pthread_key_delete(key) == 0);
    CHECK(pthread_key_create(&key, close_by_key) == 0);
    start(&thread, record_and_close_late, recorder_of("closed_late.lct"));
    join(thread);
    CHECK(freed_by_keys == 41 && pthread_key_delete(key) == 0);
    CHECK(ending_of("closed_late.lct") == LMCACHE_ENDING_CLOSED);
    OK(lmcache_recorder_close(recorder));
    lmcache_recorder_stats stats = stats_of(recorder);
    CHECK(stats.calls == 40 && stats.lost == 0 && stats.threads == 40);
    OK(lmcache_recorder_free(recorder));
}

/* A child of fork, while another thread is in the log callback: nothing in it waits for what is not there. */
static volatile int is_in_log, may_leave;

static void stay_in_log(const char *text, void *user_data) {
    (void)text, (void)user_data;
    is_in_log = 1;
    wait_for(&may_leave, 1);
}

static void count_logs(const char *text, void *user_data) {
    (void)text;
    ++*(volatile int *)user_data;
}

static pid_t child_in_log = -1;

static void fork_in_log(const char *text, void *user_data) {
    (void)text, (void)user_data;
    child_in_log = fork();
    if (child_in_log == 0) {
        alarm(20);
        lmcache_recorder *own = recorder_of("child_in_log.lct");
        OK(lmcache_recorder_flush(own));
        OK(lmcache_set_log_callback(NULL, NULL));
        OK(lmcache_recorder_close(own));
        OK(lmcache_recorder_free(own));
        _exit(0);
    }
}

static void expect_success(pid_t child) {
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void forks(void) {
    OK(lmcache_set_log_callback(stay_in_log, NULL));
    lmcache_recorder *stops = recorder_of("forks_stop.lct");
    lmcache_recorder *recorder = recorder_of("forks.lct");
    const uint32_t *gate = NULL;
    OK(lmcache_recorder_gate(recorder, &gate));
    CHECK(lmcache_is_recording(gate));
    CHECK(unlink("forks_stop.lct") == 0);
    wait_for(&is_in_log, 1);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(20);
        CHECK(!lmcache_is_recording(gate));
        volatile int logs = 0;
        OK(lmcache_set_log_callback(count_logs, (void *)&logs));
        lmcache_recorder *own = recorder_of("child.lct");
        const uint32_t *own_gate = NULL;
        OK(lmcache_recorder_gate(own, &own_gate));
        CHECK(lmcache_is_recording(own_gate) && !lmcache_is_recording(gate));
        CHECK(unlink("child.lct") == 0);
        wait_for(&logs, 1);
        CHECK(!lmcache_is_recording(own_gate));
        STATUS(lmcache_recorder_close(own), LMCACHE_STATUS_NOT_FOUND);
        OK(lmcache_set_log_callback(NULL, NULL));
        OK(lmcache_recorder_free(own));
        _exit(0);
    }
    expect_success(child);
    CHECK(lmcache_is_recording(gate));
    may_leave = 1;
    OK(lmcache_set_log_callback(fork_in_log, NULL));
    lmcache_recorder *forks_in = recorder_of("forks_in.lct");
    CHECK(unlink("forks_in.lct") == 0);
    for (int i = 0; i < 10000 && child_in_log < 0; i++)
        pause_ms(1);
    CHECK(child_in_log > 0);
    expect_success(child_in_log);
    OK(lmcache_set_log_callback(NULL, NULL));
    OK(lmcache_recorder_free(forks_in));
    OK(lmcache_recorder_free(stops));
    OK(lmcache_recorder_free(recorder));
}

/* What is not aligned is not said to be NULL. */
static void alignments(void) {
    lmcache_recorder *recorder = recorder_of("alignments.lct");
    lmcache_producer *producer = producer_of(recorder);
    static uint64_t bytes[32];
    char why[256];
    STATUS(lmcache_producer_finish_write(producer, (const lmcache_key_list *)(uintptr_t)((uintptr_t)bytes + 1), NULL),
           LMCACHE_STATUS_INVALID_ARGUMENT);
    CHECK(lmcache_last_error(why, sizeof why) > 0 && strstr(why, "not aligned to 8 bytes"));
    STATUS(lmcache_producer_submit_prefetch(producer, (const lmcache_prefetch_spec *)(uintptr_t)((uintptr_t)bytes + 4), NULL, NULL),
           LMCACHE_STATUS_INVALID_ARGUMENT);
    CHECK(lmcache_last_error(why, sizeof why) > 0 && strstr(why, "not aligned to 8 bytes"));
    lmcache_call_id call = {0, 0, 0};
    STATUS(lmcache_producer_complete(producer, call, (const lmcache_completion *)(uintptr_t)((uintptr_t)bytes + 2)),
           LMCACHE_STATUS_INVALID_ARGUMENT);
    CHECK(lmcache_last_error(why, sizeof why) > 0 && strstr(why, "not aligned to 8 bytes"));
    OK(lmcache_producer_free(producer));
    OK(lmcache_recorder_free(recorder));
}

/* What to do is said where something can be done. */
static lmcache_producer *not_yours;

static void *use_anothers(void *unused) {
    lmcache_key_list keys = keys_of(1);
    STATUS(lmcache_producer_finish_write(not_yours, &keys, NULL), LMCACHE_STATUS_WRONG_THREAD);
    CHECK(lmcache_last_error_hint(NULL, 0) > 0);
    return unused;
}

static void hints(void) {
    lmcache_recorder *recorder = recorder_of("hints.lct");
    not_yours = producer_of(recorder);
    pthread_t thread;
    start(&thread, use_anothers, NULL);
    join(thread);
    size_t count = 0;
    static lmcache_scope *scopes[1 << 16];
    while (lmcache_scope_new("m", 0, 0, NULL, &scopes[count]) == LMCACHE_STATUS_OK)
        count++;
    CHECK(count > 0 && lmcache_last_error_hint(NULL, 0) > 0);
    while (count > 0)
        OK(lmcache_scope_free(scopes[--count]));
    OK(lmcache_producer_free(not_yours));
    OK(lmcache_recorder_free(recorder));
}

/* A thread that is cancelled within a call goes on to its end, and is cancelled then. */
static void *open_and_close(void *unused) {
    for (;;) {
        lmcache_recorder *recorder = recorder_of("cancels.lct");
        lmcache_producer *producer = producer_of(recorder);
        record(producer);
        OK(lmcache_producer_free(producer));
        OK(lmcache_recorder_flush(recorder));
        OK(lmcache_recorder_close(recorder));
        OK(lmcache_recorder_free(recorder));
        /* Here it may be. */
        pthread_testcancel();
    }
    return unused;
}

static void cancels(void) {
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        start(&thread, open_and_close, NULL);
        pause_ms(3 + i % 5);
        CHECK(pthread_cancel(thread) == 0);
        void *ended = NULL;
        CHECK(pthread_join(thread, &ended) == 0 && ended == PTHREAD_CANCELED);
    }
}

int main(int count, char **names) {
    OK(lmcache_scope_new("m", 0, 0, NULL, &scope));
    struct {
        const char *name;
        void (*run)(void);
    } suites[] = {
        {"callbacks", callbacks}, {"closes", closes},         {"losses", losses}, {"completions", completions}, {"ends", ends},
        {"forks", forks},         {"alignments", alignments}, {"hints", hints},   {"cancels", cancels},
    };
    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++) {
        if (count > 1 && strcmp(names[1], suites[i].name) != 0)
            continue;
        suites[i].run();
        printf("%s\n", suites[i].name);
        fflush(stdout);
    }
    OK(lmcache_scope_free(scope));
    return 0;
}
