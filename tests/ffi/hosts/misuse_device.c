/* Everything that can be done wrong with a device, its streams, its caches and transfers, each with a code and none with a crash. */
#include "check.h"
#include <pthread.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONFIG "{\"l1_size_gb\": 0.0625, \"eviction_policy\": \"LRU\"}"
#define SECOND 1000000000ull
#define MINUTE (60 * SECOND)

/* Two layers of K and V, in blocks of 4 tokens of 2 heads of 4 elements of 2 bytes. */
enum { LAYERS = 2, BLOCKS = 16, BLOCK_TOKENS = 4, ROW_BYTES = 16, OBJECT_TOKENS = 8, KEYS = 3 };
#define BLOCK_BYTES (2 * BLOCK_TOKENS * ROW_BYTES)
#define TENSOR_BYTES (BLOCKS * BLOCK_BYTES)
#define OBJECT_BYTES (2 * LAYERS * OBJECT_TOKENS * ROW_BYTES)

static lmcache_scope *scope;
static lmcache_layout *layout;
static uint8_t hashes[64][32];
static const int64_t table[] = {3, 1, 14, 15, 9, 2};

static lmcache_device *device_of(void) {
    lmcache_host_device_options options = LMCACHE_HOST_DEVICE_OPTIONS_INIT;
    options.memory_bytes = LAYERS * TENSOR_BYTES;
    lmcache_device *device = NULL;
    OK(lmcache_device_open_host(&options, &device));
    return device;
}

static lmcache_device_stream *stream_of(lmcache_device *device) {
    lmcache_device_stream *stream = NULL;
    OK(lmcache_device_stream_open(device, &stream));
    return stream;
}

static lmcache_paged_layout_options cache_options(const lmcache_device_tensor *tensors) {
    lmcache_paged_layout_options options = LMCACHE_PAGED_LAYOUT_OPTIONS_INIT;
    OK(lmcache_kv_format_from_name("NL_X_NB_TWO_BS_NH_HS", &options.format));
    options.layers = LAYERS;
    options.blocks = BLOCKS;
    options.block_tokens = BLOCK_TOKENS;
    options.heads = 2;
    options.head_size = 4;
    options.element_bytes = 2;
    options.tensors = tensors;
    options.tensor_count = LAYERS;
    return options;
}

static lmcache_paged_layout *cache_of(void) {
    const lmcache_device_tensor tensors[LAYERS] = {{0, TENSOR_BYTES}, {TENSOR_BYTES, TENSOR_BYTES}};
    lmcache_paged_layout_options options = cache_options(tensors);
    lmcache_paged_layout *cache = NULL;
    OK(lmcache_paged_layout_new(&options, &cache));
    return cache;
}

static lmcache_storage *storage_of(const char *json) {
    lmcache_storage_options options = LMCACHE_STORAGE_OPTIONS_INIT;
    options.config_json = json;
    lmcache_storage *storage = NULL;
    OK(lmcache_storage_new(&options, &storage));
    return storage;
}

static lmcache_key_list keys_of(size_t first, size_t count) {
    lmcache_key_list keys = {hashes[first], count, 32, scope, NULL};
    return keys;
}

static lmcache_paged_part part_of(lmcache_paged_layout *cache) {
    lmcache_paged_part part = {cache, table, 2 * KEYS, OBJECT_TOKENS, 0};
    return part;
}

static lmcache_prefetch *locked(lmcache_storage *storage, const lmcache_key_list *keys) {
    lmcache_prefetch_row row = {*keys, layout, -1, 0, 0};
    lmcache_prefetch_spec spec = {&row, 1, 1, LMCACHE_FETCH_PREFIX, LMCACHE_LOCK, 0, 0};
    lmcache_prefetch *prefetch = NULL;
    OK(lmcache_storage_submit_prefetch(storage, &spec, NULL, &prefetch));
    lmcache_prefetch_result result = LMCACHE_PREFETCH_RESULT_INIT;
    OK(lmcache_prefetch_wait(prefetch, UINT64_MAX, &result));
    CHECK(result.hit_cells == keys->count);
    return prefetch;
}

/* What most suites work with. */
static lmcache_device *device;
static lmcache_device_stream *stream;
static lmcache_paged_layout *cache;
static lmcache_storage *storage;

static void begin(void) {
    device = device_of();
    stream = stream_of(device);
    cache = cache_of();
    storage = storage_of(CONFIG);
}

static void end(void) {
    OK(lmcache_storage_free(storage));
    OK(lmcache_paged_layout_free(cache));
    OK(lmcache_device_stream_free(stream));
    OK(lmcache_device_free(device));
}

static lmcache_transfer *store(size_t first, size_t count) {
    lmcache_key_list keys = keys_of(first, count);
    lmcache_paged_part part = part_of(cache);
    lmcache_transfer *transfer = NULL;
    OK(lmcache_storage_store_from_device(storage, &keys, layout, &part, 1, LMCACHE_NO_NULL_BLOCK, stream, &transfer));
    return transfer;
}

static void nulls(void) {
    begin();
    lmcache_host_device_options host = LMCACHE_HOST_DEVICE_OPTIONS_INIT;
    lmcache_device *none = NULL;
    STATUS(lmcache_device_open_host(NULL, &none), LMCACHE_STATUS_NULL_POINTER);
    host.memory_bytes = 8;
    STATUS(lmcache_device_open_host(&host, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_device_open_cuda(0, NULL), LMCACHE_STATUS_NULL_POINTER);
    uint8_t *data = NULL;
    uint64_t bytes = 0;
    STATUS(lmcache_device_get_memory(NULL, &data, &bytes), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_device_get_memory(device, NULL, &bytes), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_device_get_memory(device, &data, NULL), LMCACHE_STATUS_NULL_POINTER);
    lmcache_device_stream *no_stream = NULL;
    STATUS(lmcache_device_stream_open(NULL, &no_stream), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_device_stream_open(device, NULL), LMCACHE_STATUS_NULL_POINTER);
    lmcache_device_memory *no_memory = NULL;
    const uint8_t handle[LMCACHE_IPC_HANDLE_BYTES] = {0};
    lmcache_device_tensor tensor;
    STATUS(lmcache_device_adopt(NULL, 8, 8, &no_memory), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_device_adopt(device, 8, 8, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_device_open_ipc(NULL, handle, 0, 8, &no_memory), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_device_open_ipc(device, NULL, 0, 8, &no_memory), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_device_open_ipc(device, handle, 0, 8, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_device_memory_get_tensor(NULL, &tensor), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_device_stream_wait_for_engine(NULL, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_device_stream_let_engine_wait(NULL, NULL), LMCACHE_STATUS_NULL_POINTER);
    OK(lmcache_device_memory_free(NULL));
    /* What only a GPU has. */
    STATUS(lmcache_device_adopt(device, 8, 8, &no_memory), LMCACHE_STATUS_UNSUPPORTED);
    STATUS(lmcache_device_open_ipc(device, handle, 0, 8, &no_memory), LMCACHE_STATUS_UNSUPPORTED);
    STATUS(lmcache_device_stream_wait_for_engine(stream, NULL), LMCACHE_STATUS_UNSUPPORTED);
    STATUS(lmcache_device_stream_let_engine_wait(stream, NULL), LMCACHE_STATUS_UNSUPPORTED);
    lmcache_storage_options pinned = LMCACHE_STORAGE_OPTIONS_INIT;
    lmcache_storage *no_storage = NULL;
    pinned.config_json = CONFIG;
    pinned.pinned_by = device;
    STATUS(lmcache_storage_new(&pinned, &no_storage), LMCACHE_STATUS_UNSUPPORTED);
    pinned.pinned_by = (lmcache_device *)stream;
    STATUS(lmcache_storage_new(&pinned, &no_storage), LMCACHE_STATUS_INVALID_HANDLE);
    CHECK(no_memory == NULL && no_storage == NULL);
    /* A host whose header has no such field. */
    pinned.struct_size = offsetof(lmcache_storage_options, pinned_by);
    OK(lmcache_storage_new(&pinned, &no_storage));
    OK(lmcache_storage_free(no_storage));
    const lmcache_device_tensor tensors[LAYERS] = {{0, TENSOR_BYTES}, {TENSOR_BYTES, TENSOR_BYTES}};
    lmcache_paged_layout_options options = cache_options(tensors);
    lmcache_paged_layout *no_cache = NULL;
    STATUS(lmcache_paged_layout_new(NULL, &no_cache), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_paged_layout_new(&options, NULL), LMCACHE_STATUS_NULL_POINTER);
    options.tensors = NULL;
    STATUS(lmcache_paged_layout_new(&options, &no_cache), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_paged_layout_object_bytes(NULL, 8, &bytes), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_paged_layout_object_bytes(cache, 8, NULL), LMCACHE_STATUS_NULL_POINTER);
    uint32_t number;
    STATUS(lmcache_kv_format_from_name(NULL, &number), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_kv_format_from_name("NL_X_NB_BS_HS", NULL), LMCACHE_STATUS_NULL_POINTER);

    lmcache_key_list keys = keys_of(0, KEYS);
    lmcache_paged_part part = part_of(cache), without = part;
    without.layout = NULL;
    lmcache_transfer *transfer = NULL;
    const int64_t no_null = LMCACHE_NO_NULL_BLOCK;
    STATUS(lmcache_storage_store_from_device(NULL, &keys, layout, &part, 1, no_null, stream, &transfer), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_store_from_device(storage, NULL, layout, &part, 1, no_null, stream, &transfer), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_store_from_device(storage, &keys, NULL, &part, 1, no_null, stream, &transfer), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_store_from_device(storage, &keys, layout, NULL, 1, no_null, stream, &transfer), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_store_from_device(storage, &keys, layout, &without, 1, no_null, stream, &transfer), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_store_from_device(storage, &keys, layout, &part, 1, no_null, NULL, &transfer), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_store_from_device(storage, &keys, layout, &part, 1, no_null, stream, NULL), LMCACHE_STATUS_NULL_POINTER);
    without = part;
    without.block_ids = NULL;
    STATUS(lmcache_storage_store_from_device(storage, &keys, layout, &without, 1, no_null, stream, &transfer), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_retrieve_to_device(NULL, &keys, NULL, &part, 1, stream, &transfer), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_retrieve_to_device(storage, NULL, NULL, &part, 1, stream, &transfer), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_retrieve_to_device(storage, &keys, NULL, NULL, 1, stream, &transfer), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_retrieve_to_device(storage, &keys, NULL, &part, 1, NULL, &transfer), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_storage_retrieve_to_device(storage, &keys, NULL, &part, 1, stream, NULL), LMCACHE_STATUS_NULL_POINTER);
    CHECK(transfer == NULL);
    lmcache_storage_usage usage = LMCACHE_STORAGE_USAGE_INIT;
    OK(lmcache_storage_get_usage(storage, &usage));
    CHECK(usage.l1_used_bytes == 0);

    lmcache_transfer_result result = LMCACHE_TRANSFER_RESULT_INIT;
    STATUS(lmcache_transfer_query(NULL, &result), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_transfer_wait(NULL, 0, &result), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_transfer_get_outcomes(NULL, &number, 1), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_transfer_on_done(NULL, NULL, NULL), LMCACHE_STATUS_NULL_POINTER);
    transfer = store(0, KEYS);
    STATUS(lmcache_transfer_on_done(transfer, NULL, NULL), LMCACHE_STATUS_NULL_POINTER);
    OK(lmcache_transfer_wait(transfer, UINT64_MAX, NULL));
    OK(lmcache_transfer_query(transfer, NULL));
    STATUS(lmcache_transfer_get_outcomes(transfer, NULL, KEYS), LMCACHE_STATUS_NULL_POINTER);
    OK(lmcache_transfer_free(transfer));
    OK(lmcache_transfer_free(NULL));
    OK(lmcache_device_free(NULL));
    OK(lmcache_device_stream_free(NULL));
    OK(lmcache_paged_layout_free(NULL));
    end();
}

static void handles(void) {
    begin();
    lmcache_transfer *transfer = store(0, KEYS), *more = NULL;
    OK(lmcache_transfer_wait(transfer, UINT64_MAX, NULL));
    OK(lmcache_transfer_free(transfer));
    STATUS(lmcache_transfer_free(transfer), LMCACHE_STATUS_INVALID_HANDLE);
    STATUS(lmcache_transfer_query(transfer, NULL), LMCACHE_STATUS_INVALID_HANDLE);
    STATUS(lmcache_transfer_wait(transfer, UINT64_MAX, NULL), LMCACHE_STATUS_INVALID_HANDLE);
    STATUS(lmcache_transfer_query((lmcache_transfer *)0x1234567890, NULL), LMCACHE_STATUS_INVALID_HANDLE);
    lmcache_key_list keys = keys_of(0, KEYS);
    lmcache_paged_part part = part_of((lmcache_paged_layout *)layout);
    STATUS(lmcache_storage_store_from_device(storage, &keys, layout, &part, 1, -1, stream, &more), LMCACHE_STATUS_INVALID_HANDLE);
    part = part_of(cache);
    STATUS(lmcache_storage_store_from_device(storage, &keys, layout, &part, 1, -1, (lmcache_device_stream *)device, &more),
           LMCACHE_STATUS_INVALID_HANDLE);
    STATUS(lmcache_storage_store_from_device(storage, &keys, (lmcache_layout *)cache, &part, 1, -1, stream, &more),
           LMCACHE_STATUS_INVALID_HANDLE);
    lmcache_device_stream *gone = stream_of(device);
    OK(lmcache_device_stream_free(gone));
    STATUS(lmcache_storage_store_from_device(storage, &keys, layout, &part, 1, -1, gone, &more), LMCACHE_STATUS_INVALID_HANDLE);
    STATUS(lmcache_storage_retrieve_to_device(storage, &keys, NULL, &part, 1, gone, &more), LMCACHE_STATUS_INVALID_HANDLE);
    CHECK(more == NULL);
    /* Streams outlive their device, and do nothing then. */
    lmcache_device *lost = device_of();
    lmcache_device_stream *last = stream_of(lost);
    OK(lmcache_device_free(lost));
    STATUS(lmcache_device_free(lost), LMCACHE_STATUS_INVALID_HANDLE);
    STATUS(lmcache_device_stream_open(lost, &gone), LMCACHE_STATUS_INVALID_HANDLE);
    keys = keys_of(8, KEYS);
    OK(lmcache_storage_store_from_device(storage, &keys, layout, &part, 1, -1, last, &more));
    lmcache_transfer_result result = LMCACHE_TRANSFER_RESULT_INIT;
    STATUS(lmcache_transfer_wait(more, UINT64_MAX, &result), LMCACHE_STATUS_CLOSED);
    CHECK(result.status == LMCACHE_STATUS_CLOSED && result.key_count == KEYS && result.failed_keys == KEYS && result.bytes == 0);
    char why[256];
    lmcache_last_error(why, sizeof why);
    CHECK(strstr(why, "the device was closed") != NULL);
    OK(lmcache_transfer_free(more));
    OK(lmcache_device_stream_free(last));
    /* A transfer outlives all that it came from. */
    transfer = store(20, KEYS);
    end();
    lmcache_status status = lmcache_transfer_wait(transfer, MINUTE, &result);
    CHECK(status == LMCACHE_STATUS_OK || status == LMCACHE_STATUS_CLOSED);
    OK(lmcache_transfer_free(transfer));
}

static void numbers(void) {
    begin();
    lmcache_host_device_options host = LMCACHE_HOST_DEVICE_OPTIONS_INIT;
    lmcache_device *none = NULL;
    static uint64_t words[16];
    STATUS(lmcache_device_open_host(&host, &none), LMCACHE_STATUS_OUT_OF_MEMORY);
    host.memory_bytes = UINT64_MAX;
    STATUS(lmcache_device_open_host(&host, &none), LMCACHE_STATUS_OUT_OF_MEMORY);
    host.memory = (uint8_t *)words;
    STATUS(lmcache_device_open_host(&host, &none), LMCACHE_STATUS_INVALID_ARGUMENT);
    host.memory_bytes = 0;
    STATUS(lmcache_device_open_host(&host, &none), LMCACHE_STATUS_INVALID_ARGUMENT);
    host.memory_bytes = 9;
    STATUS(lmcache_device_open_host(&host, &none), LMCACHE_STATUS_INVALID_ARGUMENT);
    host.memory_bytes = 8;
    host.memory = (uint8_t *)words + 4;
    STATUS(lmcache_device_open_host(&host, &none), LMCACHE_STATUS_INVALID_ARGUMENT);
    host.memory = (uint8_t *)words;
    host.reserved = 1;
    STATUS(lmcache_device_open_host(&host, &none), LMCACHE_STATUS_INVALID_ARGUMENT);
    host.reserved = 0;
    host.struct_size = 12;
    STATUS(lmcache_device_open_host(&host, &none), LMCACHE_STATUS_INVALID_ARGUMENT);
    CHECK(none == NULL);

    uint32_t number;
    STATUS(lmcache_kv_format_from_name("nothing", &number), LMCACHE_STATUS_INVALID_ARGUMENT);
    OK(lmcache_kv_format_from_name("NL_X_NB_BS_NH_HS", &number));
    CHECK(number == 18);
    const lmcache_device_tensor good[LAYERS] = {{0, TENSOR_BYTES}, {TENSOR_BYTES, TENSOR_BYTES}};
    const lmcache_device_tensor shorter[LAYERS] = {{0, TENSOR_BYTES}, {TENSOR_BYTES, TENSOR_BYTES - 1}};
    const lmcache_device_tensor past[LAYERS] = {{0, TENSOR_BYTES}, {UINT64_MAX, TENSOR_BYTES}};
    lmcache_paged_layout *no_cache = NULL;
    for (int wrong = 0; wrong < 12; wrong++) {
        lmcache_paged_layout_options options = cache_options(good);
        switch (wrong) {
        case 0: options.format = 19; break;
        case 1: options.layers = 0; break;
        case 2: options.layers = UINT64_MAX; break;
        case 3: options.blocks = UINT64_MAX; break;
        case 4: options.block_tokens = 0; break;
        case 5: options.heads = 1 << 20; break;
        case 6: options.head_size = UINT64_MAX / 2; break;
        case 7: options.element_bytes = 3; break;
        case 8: options.tensors = shorter; break;
        case 9: options.tensors = past; break;
        case 10: options.tensor_count = 1; break;
        default: options.tensor_count = (size_t)-1; break;
        }
        STATUS(lmcache_paged_layout_new(&options, &no_cache), LMCACHE_STATUS_INVALID_ARGUMENT);
    }
    CHECK(no_cache == NULL);
    uint64_t bytes = 0;
    OK(lmcache_paged_layout_object_bytes(cache, OBJECT_TOKENS, &bytes));
    CHECK(bytes == OBJECT_BYTES);
    STATUS(lmcache_paged_layout_object_bytes(cache, UINT64_MAX, &bytes), LMCACHE_STATUS_INVALID_ARGUMENT);

    lmcache_key_list keys = keys_of(0, KEYS), twice = {(const uint8_t[64]){0}, 2, 32, scope, NULL};
    const int64_t beyond[] = {3, 1, 14, 16, 9, 2}, below[] = {3, 1, 14, -2, 9, 2};
    lmcache_transfer *transfer = NULL;
    lmcache_paged_part two[2];
    for (int wrong = 0; wrong < 9; wrong++) {
        lmcache_paged_part part = part_of(cache);
        const lmcache_key_list *list = &keys;
        size_t count = 1;
        switch (wrong) {
        case 0: part.block_count = 5; break;
        case 1: part.block_count = (size_t)-1; break;
        case 2: part.block_ids = beyond; break;
        case 3: part.block_ids = below; break;
        case 4: part.object_tokens = 6; break;
        case 5: part.object_tokens = 4; break;
        case 6: part.skip_prefix_blocks = 1; break;
        case 7: list = &twice; break;
        default: count = 2; break;
        }
        two[0] = two[1] = part;
        STATUS(lmcache_storage_store_from_device(storage, list, layout, two, count, -1, stream, &transfer), LMCACHE_STATUS_INVALID_ARGUMENT);
    }
    lmcache_paged_part part = part_of(cache);
    STATUS(lmcache_storage_store_from_device(storage, &keys, layout, &part, 0, -1, stream, &transfer), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_storage_store_from_device(storage, &keys, layout, &part, (size_t)-1, -1, stream, &transfer), LMCACHE_STATUS_INVALID_ARGUMENT);
    CHECK(transfer == NULL);
    transfer = store(0, KEYS);
    lmcache_transfer_result result = LMCACHE_TRANSFER_RESULT_INIT;
    result.struct_size = 3;
    STATUS(lmcache_transfer_wait(transfer, UINT64_MAX, &result), LMCACHE_STATUS_INVALID_ARGUMENT);
    result.struct_size = sizeof result;
    OK(lmcache_transfer_wait(transfer, UINT64_MAX, &result));
    uint32_t outcomes[KEYS];
    STATUS(lmcache_transfer_get_outcomes(transfer, outcomes, KEYS - 1), LMCACHE_STATUS_INVALID_ARGUMENT);
    OK(lmcache_transfer_free(transfer));

    /* A retrieve that cannot be leaves the locks as they are; one of what is not there says so. */
    lmcache_prefetch *prefetch = locked(storage, &keys);
    part.skip_prefix_blocks = 7;
    STATUS(lmcache_storage_retrieve_to_device(storage, &keys, NULL, &part, 1, stream, &transfer), LMCACHE_STATUS_INVALID_ARGUMENT);
    OK(lmcache_storage_finish_read(storage, &keys, 1, NULL, outcomes, KEYS));
    CHECK(outcomes[0] == LMCACHE_KEY_SUCCESS && outcomes[KEYS - 1] == LMCACHE_KEY_SUCCESS);
    part.skip_prefix_blocks = 0;
    const uint32_t strange[KEYS] = {0, 1, 0};
    STATUS(lmcache_storage_retrieve_to_device(storage, &keys, strange, &part, 1, stream, &transfer), LMCACHE_STATUS_INVALID_ARGUMENT);
    OK(lmcache_storage_retrieve_to_device(storage, &keys, NULL, &part, 1, stream, &transfer));
    STATUS(lmcache_transfer_query(transfer, &result), LMCACHE_STATUS_INVALID_ARGUMENT);
    OK(lmcache_transfer_get_outcomes(transfer, outcomes, KEYS));
    CHECK(outcomes[0] == LMCACHE_TRANSFER_NOT_READABLE && result.failed_keys == KEYS);
    OK(lmcache_transfer_free(transfer));
    OK(lmcache_prefetch_free(prefetch));
    end();
}

static void cuda(void) {
    lmcache_device *none = NULL;
    lmcache_status status = lmcache_device_open_cuda(1u << 30, &none);
    char why[512], hint[512];
    lmcache_last_error(why, sizeof why);
    lmcache_last_error_hint(hint, sizeof hint);
    /* The tests run where there is a driver, and where there is none. */
    CHECK(status == LMCACHE_STATUS_NO_DEVICE || status == LMCACHE_STATUS_UNSUPPORTED || status == LMCACHE_STATUS_INVALID_ARGUMENT);
    CHECK(none == NULL && why[0] != 0 && hint[0] != 0);
}

struct told {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int times;
    lmcache_transfer *transfer;
    lmcache_status statuses[5];
};

static void tell(void *user_data) {
    struct told *told = (struct told *)user_data;
    told->statuses[0] = lmcache_transfer_wait(told->transfer, UINT64_MAX, NULL);
    told->statuses[1] = lmcache_storage_free(storage);
    told->statuses[2] = lmcache_device_free(device);
    told->statuses[3] = lmcache_transfer_free(told->transfer);
    told->statuses[4] = lmcache_transfer_query(told->transfer, NULL);
    pthread_mutex_lock(&told->lock);
    told->times++;
    pthread_cond_signal(&told->changed);
    pthread_mutex_unlock(&told->lock);
}

static void callbacks(void) {
    begin();
    struct told told = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, store(0, KEYS), {0}};
    OK(lmcache_transfer_on_done(told.transfer, tell, &told));
    pthread_mutex_lock(&told.lock);
    while (told.times == 0)
        pthread_cond_wait(&told.changed, &told.lock);
    pthread_mutex_unlock(&told.lock);
    OK(told.statuses[0]);
    STATUS(told.statuses[1], LMCACHE_STATUS_BUSY);
    STATUS(told.statuses[2], LMCACHE_STATUS_BUSY);
    /* At once, on this thread. */
    OK(lmcache_transfer_on_done(told.transfer, tell, &told));
    CHECK(told.times == 2);
    STATUS(told.statuses[3], LMCACHE_STATUS_BUSY);
    OK(told.statuses[4]);
    OK(lmcache_transfer_free(told.transfer));
    end();
}

static void *waits(void *of) {
    lmcache_transfer_result result = LMCACHE_TRANSFER_RESULT_INIT;
    lmcache_status status = lmcache_transfer_wait((lmcache_transfer *)of, MINUTE, &result);
    CHECK(status == LMCACHE_STATUS_OK || status == LMCACHE_STATUS_INVALID_HANDLE);
    return NULL;
}

static void *stores(void *of) {
    for (int round = 0; round < 30; round++) {
        lmcache_transfer *transfer = store((size_t)of * 8, KEYS);
        lmcache_status status = lmcache_transfer_wait(transfer, MINUTE, NULL);
        CHECK(status == LMCACHE_STATUS_OK);
        OK(lmcache_transfer_free(transfer));
        lmcache_key_list keys = keys_of((size_t)of * 8, KEYS);
        OK(lmcache_storage_delete(storage, &keys, 1, NULL, NULL));
    }
    return NULL;
}

static void races(void) {
    begin();
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, stores, (void *)i) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    /* Several wait for one transfer, which is freed meanwhile. */
    for (int round = 0; round < 20; round++) {
        lmcache_transfer *transfer = store(40, KEYS);
        for (int i = 0; i < 4; i++)
            CHECK(pthread_create(&threads[i], NULL, waits, transfer) == 0);
        OK(lmcache_transfer_free(transfer));
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
    }
    OK(lmcache_storage_memcheck(storage));
    end();
}

static void forks(void) {
    begin();
    lmcache_transfer *transfer = store(0, KEYS);
    OK(lmcache_transfer_wait(transfer, UINT64_MAX, NULL));
    pid_t child = fork();
    if (child == 0) {
        STATUS(lmcache_transfer_query(transfer, NULL), LMCACHE_STATUS_INVALID_HANDLE);
        lmcache_device_stream *inherited = NULL;
        STATUS(lmcache_device_stream_open(device, &inherited), LMCACHE_STATUS_INVALID_HANDLE);
        STATUS(lmcache_device_free(device), LMCACHE_STATUS_INVALID_HANDLE);
        lmcache_device *own = device_of();
        OK(lmcache_device_free(own));
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    OK(lmcache_transfer_free(transfer));
    end();
}

/* With no handle left nothing is begun: what was prefetched stays locked, and the pages stay as they were. */
static void limits(void) {
    begin();
    lmcache_key_list keys = keys_of(0, KEYS);
    lmcache_paged_part part = part_of(cache);
    lmcache_transfer *first = store(0, KEYS);
    lmcache_transfer_result result = LMCACHE_TRANSFER_RESULT_INIT;
    OK(lmcache_transfer_wait(first, MINUTE, &result));
    CHECK(result.moved_keys == KEYS);
    lmcache_prefetch *prefetch = locked(storage, &keys);
    uint8_t *pages = NULL;
    uint64_t bytes = 0;
    OK(lmcache_device_get_memory(device, &pages, &bytes));
    memset(pages, 0xee, bytes);
    lmcache_scope **scopes = (lmcache_scope **)calloc(1 << 17, sizeof *scopes);
    CHECK(scopes);
    size_t count = 0;
    while (lmcache_scope_new("m", 0, 0, NULL, &scopes[count]) == LMCACHE_STATUS_OK)
        count++;
    lmcache_transfer *none = NULL;
    STATUS(lmcache_storage_retrieve_to_device(storage, &keys, NULL, &part, 1, stream, &none), LMCACHE_STATUS_TOO_MANY);
    lmcache_key_list others = keys_of(KEYS, KEYS);
    STATUS(lmcache_storage_store_from_device(storage, &others, layout, &part, 1, LMCACHE_NO_NULL_BLOCK, stream, &none), LMCACHE_STATUS_TOO_MANY);
    CHECK(none == NULL);
    while (count > 0)
        OK(lmcache_scope_free(scopes[--count]));
    free(scopes);
    /* A stream does its work in order, so this one would come behind the retrieve. */
    lmcache_transfer *second = store(KEYS, KEYS);
    OK(lmcache_transfer_wait(second, MINUTE, &result));
    CHECK(result.moved_keys == KEYS);
    for (uint64_t i = 0; i < bytes; i++)
        CHECK(pages[i] == 0xee);
    lmcache_transfer *third = NULL;
    OK(lmcache_storage_retrieve_to_device(storage, &keys, NULL, &part, 1, stream, &third));
    OK(lmcache_transfer_wait(third, MINUTE, &result));
    CHECK(result.moved_keys == KEYS);
    OK(lmcache_transfer_free(first));
    OK(lmcache_transfer_free(second));
    OK(lmcache_transfer_free(third));
    OK(lmcache_prefetch_free(prefetch));
    end();
}

int main(int count, char **words) {
    const struct {
        const char *name;
        void (*run)(void);
    } suites[] = {{"nulls", nulls},   {"handles", handles},     {"numbers", numbers}, {"cuda", cuda},
                  {"callbacks", callbacks}, {"races", races}, {"limits", limits}, {"forks", forks}};
    for (size_t i = 0; i < sizeof hashes / sizeof hashes[0]; i++)
        hashes[i][0] = (uint8_t)(i + 1);
    OK(lmcache_scope_new("org/model", 0, 0, NULL, &scope));
    const uint64_t shape[] = {2, LAYERS, OBJECT_TOKENS, ROW_BYTES / 2};
    lmcache_tensor tensor = {shape, 4, "torch.bfloat16"};
    OK(lmcache_layout_new(&tensor, 1, &layout));
    for (size_t i = 0; i < sizeof suites / sizeof suites[0]; i++) {
        int is_asked_for = count == 1;
        for (int word = 1; word < count; word++)
            is_asked_for |= strcmp(words[word], suites[i].name) == 0;
        if (!is_asked_for)
            continue;
        suites[i].run();
        printf("%s\n", suites[i].name);
        fflush(stdout);
    }
    OK(lmcache_layout_free(layout));
    OK(lmcache_scope_free(scope));
    return 0;
}
