// What device.c does, through the layer for C++17, with what goes wrong in between.
#include "check.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;

constexpr std::size_t kLayers = 2, kBlocks = 16, kBlockBytes = 128, kTensorBytes = kBlocks * kBlockBytes, kKeys = 3;

lmcache::paged_layout cache_of(lmcache::span<const lmcache_device_tensor> tensors) {
    lmcache::paged_layout_options options;
    options.format = value_of(lmcache::kv_format("NL_X_NB_TWO_BS_NH_HS"));
    options.layers = kLayers;
    options.blocks = kBlocks;
    options.block_tokens = 4;
    options.heads = 2;
    options.head_size = 4;
    options.element_bytes = 2;
    options.tensors = tensors.data();
    options.tensor_count = tensors.size();
    lmcache::paged_layout cache;
    OK(lmcache::paged_layout::make(cache, options));
    return cache;
}

void stores_and_retrieves() {
    lmcache::storage storage;
    OK(lmcache::storage::make(storage, lmcache::storage_options(R"({"l1_size_gb": 0.0625, "eviction_policy": "LRU"})")));
    lmcache::device device;
    OK(lmcache::device::open_host(device, kLayers * kTensorBytes));
    const lmcache::span<std::uint8_t> pages = value_of(device.memory());
    CHECK(pages.size() == kLayers * kTensorBytes);
    lmcache::device_stream stream;
    OK(lmcache::device_stream::open(stream, device));
    const std::array<lmcache_device_tensor, kLayers> tensors = {{{0, kTensorBytes}, {kTensorBytes, kTensorBytes}}};
    const lmcache::paged_layout cache = cache_of(tensors);
    CHECK(value_of(cache.object_bytes(8)) == 2 * kLayers * kBlockBytes);

    lmcache::scope scope;
    OK(lmcache::scope::make(scope, "org/model"));
    const lmcache::tensor tensor = {{2, kLayers, 8, 8}, "torch.bfloat16"};
    lmcache::layout layout;
    OK(lmcache::layout::make(layout, {&tensor, 1}));
    std::array<lmcache::hash, kKeys> hashes{};
    for (std::size_t i = 0; i < kKeys; i++)
        hashes[i][0] = static_cast<std::uint8_t>(i + 1);
    const lmcache_key_list keys = lmcache::keys(hashes, scope);

    for (std::size_t i = 0; i < pages.size(); i++)
        pages[i] = static_cast<std::uint8_t>(i * 31 + i / 251);
    const std::vector<std::uint8_t> before(pages.begin(), pages.end());
    const std::array<std::int64_t, 6> from = {3, 1, 14, 15, 9, 2}, to = {8, 4, 0, 5, 12, 7};
    const std::array<lmcache_paged_part, 1> stored = {lmcache::paged_part(cache, from, 8)};
    lmcache::transfer transfer;
    OK(lmcache::transfer::store(transfer, storage, keys, layout, stored, stream));
    std::atomic<int> told{0};
    OK(transfer.on_done([&told] { told++; }));
    lmcache::transfer_result result;
    OK(transfer.wait(&result));
    CHECK(result.moved_keys == kKeys && result.bytes == kKeys * 2 * kLayers * kBlockBytes);
    while (told == 0)
        std::this_thread::sleep_for(1ms);

    // All of it is there.
    OK(lmcache::transfer::store(transfer, storage, keys, layout, stored, stream));
    OK(transfer.wait_for(60s, &result));
    std::array<std::uint32_t, kKeys> outcomes{};
    OK(transfer.get_outcomes(outcomes));
    CHECK(result.spared_keys == kKeys && outcomes[2] == LMCACHE_TRANSFER_ALREADY_THERE);

    std::memset(pages.data(), 0, pages.size());
    const lmcache_prefetch_row row = lmcache::prefetch_row(keys, layout);
    lmcache::prefetch prefetch;
    OK(lmcache::prefetch::submit(prefetch, storage, lmcache::prefetch_spec(row)));
    OK(prefetch.wait());
    const std::array<lmcache_paged_part, 1> retrieved = {lmcache::paged_part(cache, to, 8, 1)};
    OK(lmcache::transfer::retrieve(transfer, storage, keys, retrieved, stream));
    OK(transfer.wait(&result));
    for (std::size_t layer = 0; layer < kLayers; layer++)
        for (std::size_t i = 1; i < to.size(); i++) {
            const std::size_t was = layer * kTensorBytes + static_cast<std::size_t>(from[i]) * kBlockBytes;
            const std::size_t is = layer * kTensorBytes + static_cast<std::size_t>(to[i]) * kBlockBytes;
            CHECK(std::memcmp(&before[was], &pages[is], kBlockBytes) == 0);
        }

    // What is not locked any more.
    OK(lmcache::transfer::retrieve(transfer, storage, keys, retrieved, stream));
    fails(LMCACHE_STATUS_INVALID_ARGUMENT, [&] { return transfer.wait(); });
    const std::array<std::uint32_t, 2> too_few{};
    fails(LMCACHE_STATUS_INVALID_ARGUMENT,
          [&] { return lmcache::transfer::retrieve(transfer, storage, keys, retrieved, stream, too_few); });
    device.reset();
    fails(LMCACHE_STATUS_NULL_POINTER, [&] { return device.memory(); });
    lmcache::transfer late;
    OK(storage.clear());
    OK(lmcache::transfer::store(late, storage, keys, layout, stored, stream));
    fails(LMCACHE_STATUS_CLOSED, [&] { return late.wait(); });
}

} // namespace

int main() {
    stores_and_retrieves();
    lmcache::device device;
    fails(LMCACHE_STATUS_OUT_OF_MEMORY, [&] { return lmcache::device::open_host(device, 0); });
    return 0;
}
