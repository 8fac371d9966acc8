/* A handle of each kind, given to a function of each other kind: each is refused. The word is a native trace. */
#include "check.h"

#define STORAGE "{\"l1_size_gb\": 0.0625, \"eviction_policy\": \"LRU\"}"

enum { SCOPE, LAYOUT, RECORDER, PRODUCER, STORAGE_MANAGER, PREFETCH, READER, REPLAY, KINDS };

static const char *const names[KINDS] = {"scope",    "layout", "recorder", "producer", "storage manager", "prefetch",
                                         "reader", "replay"};
static void *handles[KINDS];
static uint8_t hashes[32];

static void make(const char *trace) {
    OK(lmcache_scope_new("m", 0, 0, NULL, (lmcache_scope **)&handles[SCOPE]));
    const uint64_t shape[] = {64};
    lmcache_tensor tensor = {shape, 1, "torch.uint8"};
    OK(lmcache_layout_new(&tensor, 1, (lmcache_layout **)&handles[LAYOUT]));
    lmcache_recorder_options recorder = LMCACHE_RECORDER_OPTIONS_INIT;
    recorder.path = "kinds.lct";
    OK(lmcache_recorder_open(&recorder, (lmcache_recorder **)&handles[RECORDER]));
    OK(lmcache_producer_new((lmcache_recorder *)handles[RECORDER], (lmcache_producer **)&handles[PRODUCER]));
    lmcache_storage_options storage = LMCACHE_STORAGE_OPTIONS_INIT;
    storage.config_json = STORAGE;
    OK(lmcache_storage_new(&storage, (lmcache_storage **)&handles[STORAGE_MANAGER]));
    lmcache_key_list keys = {hashes, 1, 32, (lmcache_scope *)handles[SCOPE], NULL};
    lmcache_prefetch_row row = {keys, (lmcache_layout *)handles[LAYOUT], -1, 0, 0};
    lmcache_prefetch_spec spec = {&row, 1, 1, LMCACHE_FETCH_PREFIX, LMCACHE_LOCK, 0, 0};
    OK(lmcache_storage_submit_prefetch((lmcache_storage *)handles[STORAGE_MANAGER], &spec, NULL,
                                       (lmcache_prefetch **)&handles[PREFETCH]));
    OK(lmcache_reader_open(trace, LMCACHE_READ_BUFFERED, (lmcache_reader **)&handles[READER]));
    lmcache_replay_options replay = LMCACHE_REPLAY_OPTIONS_INIT;
    replay.paths = &trace;
    replay.path_count = 1;
    replay.l1_size_bytes = UINT64_C(1) << 26;
    OK(lmcache_replay_new(&replay, (lmcache_replay **)&handles[REPLAY]));
}

/* A call that looks at what is behind a handle of `kind`. */
static lmcache_status use(int kind, void *handle) {
    lmcache_key_list keys = {hashes, 1, 32, (lmcache_scope *)handles[SCOPE], NULL};
    uint64_t bytes;
    lmcache_storage_usage usage = LMCACHE_STORAGE_USAGE_INIT;
    lmcache_record record = LMCACHE_RECORD_INIT;
    switch (kind) {
    case SCOPE:
        keys.scope = (lmcache_scope *)handle;
        return lmcache_producer_finish_write((lmcache_producer *)handles[PRODUCER], &keys, NULL);
    case LAYOUT:
        return lmcache_layout_size_bytes((lmcache_layout *)handle, &bytes);
    case RECORDER:
        return lmcache_recorder_flush((lmcache_recorder *)handle);
    case PRODUCER:
        return lmcache_producer_finish_write((lmcache_producer *)handle, &keys, NULL);
    case STORAGE_MANAGER:
        return lmcache_storage_get_usage((lmcache_storage *)handle, &usage);
    case PREFETCH:
        return lmcache_prefetch_wait((lmcache_prefetch *)handle, UINT64_C(1000000000), NULL);
    case READER:
        return lmcache_reader_next((lmcache_reader *)handle, &record);
    default:
        return lmcache_replay_cancel((lmcache_replay *)handle);
    }
}

static lmcache_status give_back(int kind, void *handle) {
    switch (kind) {
    case SCOPE:
        return lmcache_scope_free((lmcache_scope *)handle);
    case LAYOUT:
        return lmcache_layout_free((lmcache_layout *)handle);
    case RECORDER:
        return lmcache_recorder_free((lmcache_recorder *)handle);
    case PRODUCER:
        return lmcache_producer_free((lmcache_producer *)handle);
    case STORAGE_MANAGER:
        return lmcache_storage_free((lmcache_storage *)handle);
    case PREFETCH:
        return lmcache_prefetch_free((lmcache_prefetch *)handle);
    case READER:
        return lmcache_reader_free((lmcache_reader *)handle);
    default:
        return lmcache_replay_free((lmcache_replay *)handle);
    }
}

static void expect(lmcache_status status, int is_right, const char *what, int kind, int other) {
    if (is_right ? status < 0 : status != LMCACHE_STATUS_INVALID_HANDLE) {
        fprintf(stderr, "%s a %s as a %s: %s\n", what, names[other], names[kind], lmcache_status_name(status));
        exit(1);
    }
}

int main(int count, char **words) {
    CHECK(count == 2);
    make(words[1]);
    int refusals = 0;
    for (int kind = 0; kind < KINDS; kind++)
        for (int other = 0; other < KINDS; other++) {
            expect(use(kind, handles[other]), kind == other, "use", kind, other);
            if (kind == other)
                continue;
            expect(give_back(kind, handles[other]), 0, "free", kind, other);
            refusals += 2;
        }
    for (int kind = KINDS - 1; kind >= 0; kind--)
        OK(give_back(kind, handles[kind]));
    printf("%d refusals\n", refusals);
    return 0;
}
