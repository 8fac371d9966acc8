/* An engine in C whose cache is in the memory of a GPU: stores two chunks behind its own stream, wipes its pages, and retrieves the chunks into other
 * blocks. The driver is whatever libcuda.so the loader finds. */
#include "check.h"
#include <dlfcn.h>

enum { BLOCKS = 8, BLOCK_BYTES = 128, TENSOR_BYTES = BLOCKS * BLOCK_BYTES };

static int (*retain)(void **context, int device);
static int (*push)(void *context);
static int (*allocate)(uintptr_t *address, size_t bytes);
static int (*to_device)(uintptr_t to, const void *from, size_t bytes);
static int (*to_host)(void *to, uintptr_t from, size_t bytes);

static void find(void *driver, const char *name, void *function) {
    void *found = dlsym(driver, name);
    CHECK(found != NULL);
    memcpy(function, &found, sizeof found);
}

int main(void) {
    lmcache_device *device = NULL, *none = NULL;
    OK(lmcache_device_open_cuda(0, &device));
    STATUS(lmcache_device_open_cuda(1000, &none), LMCACHE_STATUS_INVALID_ARGUMENT);
    void *driver = dlopen("libcuda.so", RTLD_NOW);
    CHECK(driver != NULL);
    find(driver, "cuDevicePrimaryCtxRetain", (void *)&retain);
    find(driver, "cuCtxPushCurrent_v2", (void *)&push);
    find(driver, "cuMemAlloc_v2", (void *)&allocate);
    find(driver, "cuMemcpyHtoD_v2", (void *)&to_device);
    find(driver, "cuMemcpyDtoH_v2", (void *)&to_host);
    void *context = NULL;
    uintptr_t address = 0;
    CHECK(retain(&context, 0) == 0 && push(context) == 0 && allocate(&address, TENSOR_BYTES) == 0);

    /* A tensor of the engine's. */
    lmcache_device_memory *memory = NULL, *other = NULL;
    static uint8_t on_host[TENSOR_BYTES];
    STATUS(lmcache_device_adopt(device, (uint64_t)(uintptr_t)on_host, TENSOR_BYTES, &other), LMCACHE_STATUS_INVALID_ARGUMENT);
    const uint8_t no_handle[LMCACHE_IPC_HANDLE_BYTES] = {0};
    CHECK(lmcache_device_open_ipc(device, no_handle, 0, 8, &other) < 0 && other == NULL);
    OK(lmcache_device_adopt(device, address, TENSOR_BYTES, &memory));
    lmcache_device_tensor tensor;
    OK(lmcache_device_memory_get_tensor(memory, &tensor));
    CHECK(tensor.offset == address && tensor.len_bytes == TENSOR_BYTES);
    uint8_t *data;
    uint64_t bytes;
    STATUS(lmcache_device_get_memory(device, &data, &bytes), LMCACHE_STATUS_UNSUPPORTED);
    lmcache_device_stream *stream = NULL;
    OK(lmcache_device_stream_open(device, &stream));

    lmcache_paged_layout_options paged = LMCACHE_PAGED_LAYOUT_OPTIONS_INIT;
    OK(lmcache_kv_format_from_name("NL_X_NB_TWO_BS_NH_HS", &paged.format));
    paged.layers = 1;
    paged.blocks = BLOCKS;
    paged.block_tokens = 4;
    paged.heads = 2;
    paged.head_size = 4;
    paged.element_bytes = 2;
    paged.tensors = &tensor;
    paged.tensor_count = 1;
    lmcache_paged_layout *cache = NULL;
    OK(lmcache_paged_layout_new(&paged, &cache));

    lmcache_storage_options options = LMCACHE_STORAGE_OPTIONS_INIT;
    options.config_json = "{\"l1_size_gb\": 0.0625, \"eviction_policy\": \"LRU\"}";
    options.pinned_by = device;
    lmcache_storage *storage = NULL;
    OK(lmcache_storage_new(&options, &storage));
    lmcache_scope *scope = NULL;
    OK(lmcache_scope_new("org/model", 0, 0, NULL, &scope));
    const uint64_t shape[] = {2, 1, 8, 8};
    lmcache_tensor part_of_object = {shape, 4, "torch.bfloat16"};
    lmcache_layout *layout = NULL;
    OK(lmcache_layout_new(&part_of_object, 1, &layout));
    uint8_t hashes[2][32] = {{1}, {2}};
    lmcache_key_list keys = {hashes[0], 2, 32, scope, NULL};

    for (size_t i = 0; i < TENSOR_BYTES; i++)
        on_host[i] = (uint8_t)(i * 31 + i / 251);
    CHECK(to_device(address, on_host, TENSOR_BYTES) == 0);
    const int64_t from[] = {3, 1, 6, 0}, to[] = {5, 2, 7, 4};
    lmcache_paged_part part = {cache, from, 4, 8, 0};
    lmcache_transfer *transfer = NULL;
    OK(lmcache_device_stream_wait_for_engine(stream, NULL));
    OK(lmcache_storage_store_from_device(storage, &keys, layout, &part, 1, LMCACHE_NO_NULL_BLOCK, stream, &transfer));
    lmcache_transfer_result result = LMCACHE_TRANSFER_RESULT_INIT;
    OK(lmcache_transfer_wait(transfer, UINT64_MAX, &result));
    CHECK(result.moved_keys == 2 && result.bytes == 4 * BLOCK_BYTES);
    OK(lmcache_transfer_free(transfer));

    static uint8_t after[TENSOR_BYTES];
    CHECK(to_device(address, after, TENSOR_BYTES) == 0);
    lmcache_prefetch_row row = {keys, layout, -1, 0, 0};
    lmcache_prefetch_spec spec = {&row, 1, 1, LMCACHE_FETCH_PREFIX, LMCACHE_LOCK, 0, 0};
    lmcache_prefetch *prefetch = NULL;
    OK(lmcache_storage_submit_prefetch(storage, &spec, NULL, &prefetch));
    OK(lmcache_prefetch_wait(prefetch, UINT64_MAX, NULL));
    part.block_ids = to;
    OK(lmcache_storage_retrieve_to_device(storage, &keys, NULL, &part, 1, stream, &transfer));
    OK(lmcache_device_stream_let_engine_wait(stream, NULL));
    OK(lmcache_transfer_wait(transfer, UINT64_MAX, NULL));
    CHECK(to_host(after, address, TENSOR_BYTES) == 0);
    for (int i = 0; i < 4; i++)
        CHECK(memcmp(on_host + from[i] * BLOCK_BYTES, after + to[i] * BLOCK_BYTES, BLOCK_BYTES) == 0);
    OK(lmcache_transfer_free(transfer));
    OK(lmcache_prefetch_free(prefetch));

    /* Memory that was given back is used no more. */
    OK(lmcache_device_memory_free(memory));
    OK(lmcache_storage_clear(storage, 1));
    OK(lmcache_storage_store_from_device(storage, &keys, layout, &part, 1, LMCACHE_NO_NULL_BLOCK, stream, &transfer));
    CHECK(lmcache_transfer_wait(transfer, UINT64_MAX, &result) < 0 && result.failed_keys == 2);
    OK(lmcache_transfer_free(transfer));
    OK(lmcache_storage_free(storage));
    OK(lmcache_device_stream_free(stream));
    OK(lmcache_device_free(device));
    OK(lmcache_paged_layout_free(cache));
    OK(lmcache_layout_free(layout));
    OK(lmcache_scope_free(scope));
    printf("stored and retrieved\n");
    return 0;
}
