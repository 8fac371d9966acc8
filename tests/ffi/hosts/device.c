/* An engine in C that has its cache in memory of its own: stores three chunks, wipes its pages, retrieves the chunks into other blocks, and compares. */
#include "check.h"

enum { LAYERS = 2, BLOCKS = 16, BLOCK_BYTES = 128, TENSOR_BYTES = BLOCKS * BLOCK_BYTES, KEYS = 3 };

static uint64_t memory[LAYERS * TENSOR_BYTES / 8];

int main(void) {
    OK(lmcache_check_abi(LMCACHE_ABI_VERSION));
    lmcache_storage_options options = LMCACHE_STORAGE_OPTIONS_INIT;
    options.config_json = "{\"l1_size_gb\": 0.0625, \"eviction_policy\": \"LRU\"}";
    lmcache_storage *storage = NULL;
    OK(lmcache_storage_new(&options, &storage));

    lmcache_host_device_options host = LMCACHE_HOST_DEVICE_OPTIONS_INIT;
    host.memory = (uint8_t *)memory;
    host.memory_bytes = sizeof memory;
    lmcache_device *device = NULL;
    OK(lmcache_device_open_host(&host, &device));
    uint8_t *pages = NULL;
    uint64_t bytes = 0;
    OK(lmcache_device_get_memory(device, &pages, &bytes));
    CHECK(pages == (uint8_t *)memory && bytes == sizeof memory);
    lmcache_device_stream *stream = NULL;
    OK(lmcache_device_stream_open(device, &stream));

    /* A tensor a layer: [block, K or V, token, head, content] of [16, 2, 4, 2, 4] elements of 2 bytes. */
    const lmcache_device_tensor tensors[LAYERS] = {{0, TENSOR_BYTES}, {TENSOR_BYTES, TENSOR_BYTES}};
    lmcache_paged_layout_options paged = LMCACHE_PAGED_LAYOUT_OPTIONS_INIT;
    OK(lmcache_kv_format_from_name("NL_X_NB_TWO_BS_NH_HS", &paged.format));
    paged.layers = LAYERS;
    paged.blocks = BLOCKS;
    paged.block_tokens = 4;
    paged.heads = 2;
    paged.head_size = 4;
    paged.element_bytes = 2;
    paged.tensors = tensors;
    paged.tensor_count = LAYERS;
    lmcache_paged_layout *cache = NULL;
    OK(lmcache_paged_layout_new(&paged, &cache));

    lmcache_scope *scope = NULL;
    OK(lmcache_scope_new("org/model", 0, 0, NULL, &scope));
    const uint64_t shape[] = {2, LAYERS, 8, 8};
    lmcache_tensor tensor = {shape, 4, "torch.bfloat16"};
    lmcache_layout *layout = NULL;
    OK(lmcache_layout_new(&tensor, 1, &layout));
    uint8_t hashes[KEYS][32] = {{1}, {2}, {3}};
    lmcache_key_list keys = {hashes[0], KEYS, 32, scope, NULL};

    for (size_t i = 0; i < sizeof memory; i++)
        pages[i] = (uint8_t)(i * 31 + i / 251);
    static uint8_t before[sizeof memory];
    memcpy(before, pages, sizeof before);
    const int64_t from[] = {3, 1, 14, 15, 9, 2}, to[] = {8, 4, 0, 5, 12, 7};
    lmcache_paged_part part = {cache, from, 6, 8, 0};
    lmcache_transfer *store = NULL;
    OK(lmcache_storage_store_from_device(storage, &keys, layout, &part, 1, LMCACHE_NO_NULL_BLOCK, stream, &store));
    lmcache_transfer_result result = LMCACHE_TRANSFER_RESULT_INIT;
    OK(lmcache_transfer_wait(store, UINT64_MAX, &result));
    CHECK(result.moved_keys == KEYS && result.bytes == KEYS * 2 * LAYERS * BLOCK_BYTES);
    OK(lmcache_transfer_free(store));

    memset(pages, 0, sizeof memory);
    lmcache_prefetch_row row = {keys, layout, -1, 0, 0};
    lmcache_prefetch_spec spec = {&row, 1, 1, LMCACHE_FETCH_PREFIX, LMCACHE_LOCK, 0, 0};
    lmcache_prefetch *prefetch = NULL;
    OK(lmcache_storage_submit_prefetch(storage, &spec, "request-1", &prefetch));
    lmcache_prefetch_result found = LMCACHE_PREFETCH_RESULT_INIT;
    OK(lmcache_prefetch_wait(prefetch, UINT64_MAX, &found));
    CHECK(found.hit_cells == KEYS);
    part.block_ids = to;
    part.skip_prefix_blocks = 1;
    lmcache_transfer *retrieve = NULL;
    OK(lmcache_storage_retrieve_to_device(storage, &keys, NULL, &part, 1, stream, &retrieve));
    OK(lmcache_transfer_wait(retrieve, UINT64_MAX, &result));
    uint32_t outcomes[KEYS];
    OK(lmcache_transfer_get_outcomes(retrieve, outcomes, KEYS));
    for (int i = 0; i < KEYS; i++)
        CHECK(strcmp(lmcache_transfer_outcome_name(outcomes[i]), "MOVED") == 0);
    for (int layer = 0; layer < LAYERS; layer++)
        for (int i = 0; i < 6; i++) {
            const uint8_t *was = before + layer * TENSOR_BYTES + from[i] * BLOCK_BYTES;
            const uint8_t *is = pages + layer * TENSOR_BYTES + to[i] * BLOCK_BYTES;
            CHECK(i == 0 ? is[0] == 0 && is[BLOCK_BYTES - 1] == 0 : memcmp(was, is, BLOCK_BYTES) == 0);
        }
    OK(lmcache_transfer_free(retrieve));
    OK(lmcache_prefetch_free(prefetch));
    OK(lmcache_storage_free(storage));
    OK(lmcache_device_stream_free(stream));
    OK(lmcache_device_free(device));
    OK(lmcache_paged_layout_free(cache));
    OK(lmcache_layout_free(layout));
    OK(lmcache_scope_free(scope));
    printf("stored and retrieved %d chunks\n", KEYS);
    return 0;
}
