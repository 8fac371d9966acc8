/* Everything that can be done wrong, each with a code and none with a crash. */
#include "check.h"
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static lmcache_scope *scope_of(const char *name) {
    lmcache_scope *scope = NULL;
    OK(lmcache_scope_new(name, 0, 0, NULL, &scope));
    return scope;
}

static lmcache_recorder *recorder_of(const char *path) {
    lmcache_recorder_options options = LMCACHE_RECORDER_OPTIONS_INIT;
    options.path = path;
    lmcache_recorder *recorder = NULL;
    OK(lmcache_recorder_open(&options, &recorder));
    return recorder;
}

static uint8_t hashes[64];

static lmcache_key_list keys_of(const lmcache_scope *scope) {
    lmcache_key_list keys = {hashes, 2, 32, scope, NULL};
    return keys;
}

static void nulls(void) {
    lmcache_scope *scope = scope_of("m");
    lmcache_recorder *recorder = recorder_of("nulls.lct");
    lmcache_producer *producer = NULL;
    OK(lmcache_producer_new(recorder, &producer));
    lmcache_key_list keys = keys_of(scope);
    STATUS(lmcache_scope_new(NULL, 0, 0, NULL, &scope), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_scope_new("m", 0, 0, NULL, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_layout_new(NULL, 1, NULL), LMCACHE_STATUS_NULL_POINTER);
    lmcache_layout *layout = NULL;
    STATUS(lmcache_layout_new(NULL, 1, &layout), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_layout_size_bytes(NULL, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_recorder_open(NULL, &recorder), LMCACHE_STATUS_NULL_POINTER);
    lmcache_recorder_options options = LMCACHE_RECORDER_OPTIONS_INIT;
    STATUS(lmcache_recorder_open(&options, &recorder), LMCACHE_STATUS_NULL_POINTER);
    options.path = "x.lct";
    STATUS(lmcache_recorder_open(&options, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_recorder_gate(NULL, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_recorder_flush(NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_recorder_close(NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_recorder_set_enabled(NULL, 1), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_recorder_get_stats(recorder, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_producer_new(NULL, &producer), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_producer_new(recorder, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_producer_finish_write(NULL, &keys, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_producer_finish_write(producer, NULL, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_producer_reserve_write(producer, &keys, NULL, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_producer_submit_prefetch(producer, NULL, NULL, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_producer_host_call(producer, NULL, NULL, 0, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_producer_host_call(producer, "x", NULL, 1, NULL), LMCACHE_STATUS_NULL_POINTER);
    OK(lmcache_producer_host_call(producer, "x", NULL, 0, NULL));
    keys.scope = NULL;
    STATUS(lmcache_producer_finish_write(producer, &keys, NULL), LMCACHE_STATUS_NULL_POINTER);
    keys = keys_of(scope);
    keys.hashes = NULL;
    STATUS(lmcache_producer_finish_write(producer, &keys, NULL), LMCACHE_STATUS_NULL_POINTER);
    keys.count = 0;
    OK(lmcache_producer_finish_write(producer, &keys, NULL));
    lmcache_call_id call = {0, 0, 0};
    STATUS(lmcache_producer_complete(producer, call, NULL), LMCACHE_STATUS_NULL_POINTER);
    CHECK(lmcache_last_error(NULL, 0) > 0);
    OK(lmcache_scope_free(NULL));
    OK(lmcache_layout_free(NULL));
    OK(lmcache_recorder_free(NULL));
    OK(lmcache_producer_free(NULL));
    OK(lmcache_producer_free(producer));
    OK(lmcache_recorder_free(recorder));
    OK(lmcache_scope_free(scope));
}

static void handles(void) {
    lmcache_scope *scope = scope_of("m");
    lmcache_recorder *recorder = recorder_of("handles.lct");
    lmcache_producer *producer = NULL;
    OK(lmcache_producer_new(recorder, &producer));
    lmcache_key_list keys = keys_of(scope);
    OK(lmcache_producer_finish_write(producer, &keys, NULL));
    /* Of another kind. */
    keys.scope = (const lmcache_scope *)recorder;
    STATUS(lmcache_producer_finish_write(producer, &keys, NULL), LMCACHE_STATUS_INVALID_HANDLE);
    STATUS(lmcache_recorder_flush((const lmcache_recorder *)scope), LMCACHE_STATUS_INVALID_HANDLE);
    STATUS(lmcache_recorder_free((lmcache_recorder *)producer), LMCACHE_STATUS_INVALID_HANDLE);
    STATUS(lmcache_producer_finish_write((lmcache_producer *)recorder, &keys, NULL), LMCACHE_STATUS_INVALID_HANDLE);
    /* Made up: addresses of ours, and all small numbers. */
    STATUS(lmcache_recorder_flush((const lmcache_recorder *)&keys), LMCACHE_STATUS_INVALID_HANDLE);
    for (uintptr_t number = 1; number < 2048; number++) {
        const lmcache_recorder *made_up = (const lmcache_recorder *)(number << 3 | 7);
        CHECK(made_up == recorder || lmcache_recorder_flush(made_up) == LMCACHE_STATUS_INVALID_HANDLE);
    }
    STATUS(lmcache_recorder_flush((const lmcache_recorder *)UINTPTR_MAX), LMCACHE_STATUS_INVALID_HANDLE);
    /* Freed, and freed again. */
    keys.scope = scope;
    OK(lmcache_scope_free(scope));
    STATUS(lmcache_scope_free(scope), LMCACHE_STATUS_INVALID_HANDLE);
    STATUS(lmcache_producer_finish_write(producer, &keys, NULL), LMCACHE_STATUS_INVALID_HANDLE);
    OK(lmcache_recorder_free(recorder));
    STATUS(lmcache_recorder_flush(recorder), LMCACHE_STATUS_INVALID_HANDLE);
    STATUS(lmcache_recorder_free(recorder), LMCACHE_STATUS_INVALID_HANDLE);
    /* A producer outlives its recorder, and drops. */
    lmcache_scope *other = scope_of("m");
    CHECK(other != scope);
    keys.scope = other;
    STATUS(lmcache_producer_finish_write(producer, &keys, NULL), LMCACHE_STATUS_DROPPED);
    OK(lmcache_producer_free(producer));
    STATUS(lmcache_producer_finish_write(producer, &keys, NULL), LMCACHE_STATUS_INVALID_HANDLE);
    OK(lmcache_scope_free(other));
}

static void numbers(void) {
    lmcache_scope *scope = NULL;
    STATUS(lmcache_scope_new("\xff\xfe", 0, 0, NULL, &scope), LMCACHE_STATUS_INVALID_ARGUMENT);
    CHECK(scope == NULL);
    scope = scope_of("m");
    lmcache_layout *layout = NULL;
    uint64_t shape[] = {UINT64_MAX, UINT64_MAX};
    lmcache_tensor tensor = {shape, 2, "torch.bfloat16"};
    STATUS(lmcache_layout_new(&tensor, 1, &layout), LMCACHE_STATUS_INVALID_ARGUMENT);
    tensor.dimensions = SIZE_MAX;
    STATUS(lmcache_layout_new(&tensor, 1, &layout), LMCACHE_STATUS_INVALID_ARGUMENT);
    tensor.dimensions = 0;
    tensor.dtype = "float";
    STATUS(lmcache_layout_new(&tensor, 1, &layout), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_layout_new(&tensor, SIZE_MAX, &layout), LMCACHE_STATUS_INVALID_ARGUMENT);

    lmcache_recorder_options options = LMCACHE_RECORDER_OPTIONS_INIT;
    lmcache_recorder *recorder = NULL;
    options.path = "numbers.lct";
    options.struct_size = 0;
    STATUS(lmcache_recorder_open(&options, &recorder), LMCACHE_STATUS_INVALID_ARGUMENT);
    options.struct_size = UINT32_MAX;
    STATUS(lmcache_recorder_open(&options, &recorder), LMCACHE_STATUS_INVALID_ARGUMENT);
    options.struct_size = sizeof options;
    options.full_policy = 2;
    STATUS(lmcache_recorder_open(&options, &recorder), LMCACHE_STATUS_INVALID_ARGUMENT);
    options.full_policy = 0;
    options.ring_bytes = 12345;
    STATUS(lmcache_recorder_open(&options, &recorder), LMCACHE_STATUS_INVALID_ARGUMENT);
    options.ring_bytes = UINT64_MAX;
    STATUS(lmcache_recorder_open(&options, &recorder), LMCACHE_STATUS_INVALID_ARGUMENT);
    options.ring_bytes = 0;
    options.path = "no such folder/x.lct";
    STATUS(lmcache_recorder_open(&options, &recorder), LMCACHE_STATUS_NOT_FOUND);
    char why[256];
    size_t length = lmcache_last_error(why, sizeof why);
    CHECK(length == strlen(why) && strstr(why, "no such folder/x.lct"));
    char cut[8];
    CHECK(lmcache_last_error(cut, sizeof cut) == length && strlen(cut) == 7);
    CHECK(recorder == NULL);

    recorder = recorder_of("numbers.lct");
    STATUS(lmcache_recorder_set_enabled(recorder, 2), LMCACHE_STATUS_INVALID_ARGUMENT);
    lmcache_producer *producer = NULL;
    OK(lmcache_producer_new(recorder, &producer));
    lmcache_key_list keys = keys_of(scope);
    keys.count = SIZE_MAX;
    STATUS(lmcache_producer_finish_write(producer, &keys, NULL), LMCACHE_STATUS_INVALID_ARGUMENT);
    keys.count = LMCACHE_MAX_KEYS + 1;
    STATUS(lmcache_producer_read_enter(producer, &keys, NULL), LMCACHE_STATUS_INVALID_ARGUMENT);
    keys.count = 1;
    keys.hash_bytes = 0;
    STATUS(lmcache_producer_read_exit(producer, &keys, NULL), LMCACHE_STATUS_INVALID_ARGUMENT);
    keys.hash_bytes = LMCACHE_MAX_HASH_BYTES + 1;
    STATUS(lmcache_producer_finish_read(producer, &keys, 1, NULL), LMCACHE_STATUS_INVALID_ARGUMENT);
    keys.hash_bytes = 7;
    OK(lmcache_producer_finish_read(producer, &keys, 1, NULL));
    OK(lmcache_producer_finish_read(producer, &keys, INT64_MAX, NULL));
    lmcache_call_id call = {0, 99, 0};
    lmcache_completion completion = {sizeof completion, LMCACHE_OUTCOME_DONE, 0, 0, 0, LMCACHE_NOT_KNOWN_NS, 0};
    STATUS(lmcache_producer_complete(producer, call, &completion), LMCACHE_STATUS_INVALID_ARGUMENT);
    OK(lmcache_producer_finish_write(producer, &keys, &call));
    completion.outcome = 0;
    STATUS(lmcache_producer_complete(producer, call, &completion), LMCACHE_STATUS_INVALID_ARGUMENT);
    lmcache_prefetch_spec spec = {NULL, 0, 1, 7, 0, 0, 0};
    STATUS(lmcache_producer_submit_prefetch(producer, &spec, NULL, NULL), LMCACHE_STATUS_INVALID_ARGUMENT);
    spec.fetching_policy = 0;
    spec.lock_mode = 7;
    STATUS(lmcache_producer_submit_prefetch(producer, &spec, NULL, NULL), LMCACHE_STATUS_INVALID_ARGUMENT);
    spec.lock_mode = 0;
    spec.row_count = SIZE_MAX;
    STATUS(lmcache_producer_submit_prefetch(producer, &spec, NULL, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_check_abi(LMCACHE_ABI_VERSION + 1), LMCACHE_STATUS_UNSUPPORTED_VERSION);
    CHECK(strcmp(lmcache_status_name(12345), "UNKNOWN") == 0);
    OK(lmcache_producer_free(producer));
    OK(lmcache_recorder_free(recorder));
    OK(lmcache_scope_free(scope));
}

static lmcache_producer *of_main;

static void *use_of_main(void *scope) {
    lmcache_key_list keys = keys_of((const lmcache_scope *)scope);
    STATUS(lmcache_producer_finish_write(of_main, &keys, NULL), LMCACHE_STATUS_WRONG_THREAD);
    STATUS(lmcache_producer_free(of_main), LMCACHE_STATUS_WRONG_THREAD);
    return NULL;
}

static void threads(void) {
    lmcache_scope *scope = scope_of("m");
    lmcache_recorder *recorder = recorder_of("threads.lct");
    OK(lmcache_producer_new(recorder, &of_main));
    pthread_t other;
    CHECK(pthread_create(&other, NULL, use_of_main, scope) == 0);
    CHECK(pthread_join(other, NULL) == 0);
    OK(lmcache_producer_free(of_main));
    OK(lmcache_recorder_free(recorder));
    OK(lmcache_scope_free(scope));
}

/* Frees what another thread is using, over and over: each call is served or refused. */
static lmcache_scope *volatile shared;
static volatile int is_over;

static void *use_shared(void *recorder) {
    lmcache_producer *producer = NULL;
    OK(lmcache_producer_new((const lmcache_recorder *)recorder, &producer));
    while (!is_over) {
        lmcache_key_list keys = keys_of(shared);
        keys.hash_bytes = 16;
        lmcache_status status = lmcache_producer_finish_write(producer, &keys, NULL);
        CHECK(status == LMCACHE_STATUS_OK || status == LMCACHE_STATUS_DROPPED || status == LMCACHE_STATUS_INVALID_HANDLE);
    }
    OK(lmcache_producer_free(producer));
    return NULL;
}

static void races(void) {
    lmcache_recorder *recorder = recorder_of("races.lct");
    shared = scope_of("m");
    pthread_t others[3];
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&others[i], NULL, use_shared, recorder) == 0);
    for (int round = 0; round < 2000; round++) {
        lmcache_scope *before = shared;
        shared = scope_of("m");
        OK(lmcache_scope_free(before));
    }
    is_over = 1;
    for (int i = 0; i < 3; i++)
        CHECK(pthread_join(others[i], NULL) == 0);
    OK(lmcache_scope_free(shared));
    OK(lmcache_recorder_free(recorder));
}

static void limits(void) {
    size_t count = 0;
    lmcache_scope **scopes = (lmcache_scope **)calloc(1 << 17, sizeof *scopes);
    CHECK(scopes);
    while (count < 1 << 17 && lmcache_scope_new("m", 0, 0, NULL, &scopes[count]) == LMCACHE_STATUS_OK)
        count++;
    CHECK(count == 65536);
    STATUS(lmcache_scope_new("m", 0, 0, NULL, &scopes[count]), LMCACHE_STATUS_TOO_MANY);
    OK(lmcache_scope_free(scopes[--count]));
    OK(lmcache_scope_new("m", 0, 0, NULL, &scopes[count++]));
    while (count > 0)
        OK(lmcache_scope_free(scopes[--count]));
    free(scopes);
}

/* A child of fork has none of its parent's handles, and may make its own. */
static void forks(void) {
    lmcache_scope *scope = scope_of("m");
    lmcache_recorder *recorder = recorder_of("forks.lct");
    lmcache_producer *producer = NULL;
    OK(lmcache_producer_new(recorder, &producer));
    lmcache_key_list keys = keys_of(scope);
    OK(lmcache_producer_finish_write(producer, &keys, NULL));
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        STATUS(lmcache_producer_finish_write(producer, &keys, NULL), LMCACHE_STATUS_INVALID_HANDLE);
        STATUS(lmcache_recorder_close(recorder), LMCACHE_STATUS_INVALID_HANDLE);
        STATUS(lmcache_recorder_free(recorder), LMCACHE_STATUS_INVALID_HANDLE);
        lmcache_scope *own = scope_of("m");
        lmcache_recorder *child_recorder = recorder_of("child.lct");
        OK(lmcache_producer_new(child_recorder, &producer));
        keys.scope = own;
        OK(lmcache_producer_finish_write(producer, &keys, NULL));
        OK(lmcache_producer_free(producer));
        OK(lmcache_recorder_close(child_recorder));
        lmcache_recorder_stats stats = LMCACHE_RECORDER_STATS_INIT;
        OK(lmcache_recorder_get_stats(child_recorder, &stats));
        CHECK(stats.calls == 1);
        OK(lmcache_recorder_free(child_recorder));
        OK(lmcache_scope_free(own));
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    OK(lmcache_producer_finish_write(producer, &keys, NULL));
    OK(lmcache_producer_free(producer));
    OK(lmcache_recorder_close(recorder));
    lmcache_recorder_stats stats = LMCACHE_RECORDER_STATS_INIT;
    OK(lmcache_recorder_get_stats(recorder, &stats));
    CHECK(stats.calls == 2 && stats.lost == 0);
    OK(lmcache_recorder_free(recorder));
    OK(lmcache_scope_free(scope));
}

int main(int count, char **names) {
    const char *only = count > 1 ? names[1] : "";
    struct {
        const char *name;
        void (*run)(void);
    } suites[] = {
        {"nulls", nulls}, {"handles", handles}, {"numbers", numbers}, {"threads", threads},
        {"races", races}, {"limits", limits},   {"forks", forks},
    };
    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++) {
        if (*only && strcmp(only, suites[i].name) != 0)
            continue;
        suites[i].run();
        printf("%s\n", suites[i].name);
    }
    return 0;
}
