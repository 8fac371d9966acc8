/* A handle of each kind, given to a function of each other kind: each is refused. The word is a native trace. */
#include "check.h"

#define STORAGE "{\"l1_size_gb\": 0.0625, \"eviction_policy\": \"LRU\"}"

enum { SCOPE, LAYOUT, RECORDER, PRODUCER, STORAGE_MANAGER, PREFETCH, READER, REPLAY, DEVICE, DEVICE_STREAM, PAGED_LAYOUT, TRANSFER, KINDS };

static const char *const names[KINDS] = {"scope",    "layout", "recorder", "producer", "storage manager", "prefetch",
                                         "reader", "replay", "device", "device stream", "paged layout", "transfer"};
static void *handles[KINDS];
static uint8_t hashes[32];

static lmcache_status store(lmcache_paged_layout *cache, lmcache_device_stream *stream, lmcache_transfer **out) {
    static const int64_t block = 0;
    lmcache_key_list keys = {hashes, 1, 32, (lmcache_scope *)handles[SCOPE], NULL};
    lmcache_paged_part part = {cache, &block, 1, 1, 0};
    return lmcache_storage_store_from_device((lmcache_storage *)handles[STORAGE_MANAGER], &keys, (lmcache_layout *)handles[LAYOUT], &part, 1,
                                             LMCACHE_NO_NULL_BLOCK, stream, out);
}

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
    lmcache_host_device_options device = LMCACHE_HOST_DEVICE_OPTIONS_INIT;
    device.memory_bytes = 64;
    OK(lmcache_device_open_host(&device, (lmcache_device **)&handles[DEVICE]));
    OK(lmcache_device_stream_open((lmcache_device *)handles[DEVICE], (lmcache_device_stream **)&handles[DEVICE_STREAM]));
    lmcache_device_tensor of_device = {0, 64};
    lmcache_paged_layout_options paged = LMCACHE_PAGED_LAYOUT_OPTIONS_INIT;
    paged.format = 3;
    paged.layers = paged.blocks = paged.block_tokens = paged.heads = paged.element_bytes = 1;
    paged.head_size = 64;
    paged.tensors = &of_device;
    paged.tensor_count = 1;
    OK(lmcache_paged_layout_new(&paged, (lmcache_paged_layout **)&handles[PAGED_LAYOUT]));
    OK(store((lmcache_paged_layout *)handles[PAGED_LAYOUT], (lmcache_device_stream *)handles[DEVICE_STREAM],
             (lmcache_transfer **)&handles[TRANSFER]));
}

/* A call that looks at what is behind a handle of `kind`. */
static lmcache_status use(int kind, void *handle) {
    lmcache_key_list keys = {hashes, 1, 32, (lmcache_scope *)handles[SCOPE], NULL};
    uint64_t bytes;
    lmcache_storage_usage usage = LMCACHE_STORAGE_USAGE_INIT;
    lmcache_record record = LMCACHE_RECORD_INIT;
    lmcache_device_stream *stream = NULL;
    lmcache_transfer *transfer = NULL;
    lmcache_status status;
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
    case DEVICE:
        status = lmcache_device_stream_open((lmcache_device *)handle, &stream);
        OK(lmcache_device_stream_free(stream));
        return status;
    case DEVICE_STREAM:
        status = store((lmcache_paged_layout *)handles[PAGED_LAYOUT], (lmcache_device_stream *)handle, &transfer);
        OK(lmcache_transfer_free(transfer));
        return status;
    case PAGED_LAYOUT:
        return lmcache_paged_layout_object_bytes((lmcache_paged_layout *)handle, 1, &bytes);
    case TRANSFER:
        return lmcache_transfer_wait((lmcache_transfer *)handle, UINT64_C(60000000000), NULL);
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
    case DEVICE:
        return lmcache_device_free((lmcache_device *)handle);
    case DEVICE_STREAM:
        return lmcache_device_stream_free((lmcache_device_stream *)handle);
    case PAGED_LAYOUT:
        return lmcache_paged_layout_free((lmcache_paged_layout *)handle);
    case TRANSFER:
        return lmcache_transfer_free((lmcache_transfer *)handle);
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
