/* Devices, engines' caches in them, and transfers between them and L1. SPDX-License-Identifier: Apache-2.0 */
#ifndef LMCACHE_DEVICE_HPP
#define LMCACHE_DEVICE_HPP

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

#include <lmcache/keys.hpp>
#include <lmcache/storage.hpp>

namespace lmcache {
inline namespace LMCACHE_INLINE_NAMESPACE {

/* A device. Any number of threads may use it at once. What is under way on the streams of one in memory of the host fails when it is destroyed,
 * and goes on on a GPU; not in a callback. */
class device : public owned<lmcache_device, lmcache_device_free> {
  public:
    /* In memory that the library takes. */
    static lmcache_status open_host(device &out, std::uint64_t bytes) { return open(out, nullptr, bytes); }
    /* In memory of the program's, aligned to 8 bytes, which outlives the device. */
    static lmcache_status open_host(device &out, span<std::uint8_t> memory) { return open(out, memory.data(), memory.size()); }
    /* LMCACHE_STATUS_NO_DEVICE if there is none of that number. */
    static lmcache_status open_cuda(device &out, std::uint32_t ordinal = 0) {
        return check(lmcache_device_open_cuda(ordinal, out.out()));
    }

    /* All of it, of a device in the memory of the host. Of a GPU, see `device_memory`. */
    result<span<std::uint8_t>> memory() const {
        std::uint8_t *data = nullptr;
        std::uint64_t bytes = 0;
        const lmcache_status status = lmcache_device_get_memory(get(), &data, &bytes);
        return detail::given(status, span<std::uint8_t>(data, static_cast<std::size_t>(bytes)));
    }

  private:
    static lmcache_status open(device &out, std::uint8_t *memory, std::uint64_t bytes) {
        sized<lmcache_host_device_options> options;
        options.memory = memory;
        options.memory_bytes = bytes;
        return check(lmcache_device_open_host(&options, out.out()));
    }
};

/* A tensor in the memory of a GPU, which transfers may use for as long as this is there. */
class device_memory : public owned<lmcache_device_memory, lmcache_device_memory_free> {
  public:
    /* Of the engine's, in this process: it has to stay until this is gone and all transfers are over that use it. */
    static lmcache_status adopt(device_memory &out, const device &of, std::uint64_t address, std::uint64_t bytes) {
        return check(lmcache_device_adopt(of.get(), address, bytes, out.out()));
    }
    /* Of another process, which exported it by a cudaIpcMemHandle_t. */
    static lmcache_status open_ipc(device_memory &out, const device &of, const std::array<std::uint8_t, LMCACHE_IPC_HANDLE_BYTES> &handle,
                                   std::uint64_t offset, std::uint64_t bytes) {
        return check(lmcache_device_open_ipc(of.get(), handle.data(), offset, bytes, out.out()));
    }

    /* For a paged layout. */
    result<lmcache_device_tensor> tensor() const {
        lmcache_device_tensor tensor{};
        const lmcache_status status = lmcache_device_memory_get_tensor(get(), &tensor);
        return detail::given(status, tensor);
    }
};

/* A stream of a device. Any number of threads may use it at once; it may outlive its device. */
class device_stream : public owned<lmcache_device_stream, lmcache_device_stream_free> {
  public:
    static lmcache_status open(device_stream &out, const device &of) {
        return check(lmcache_device_stream_open(of.get(), out.out()));
    }

    device_stream() noexcept = default;
#ifndef LMCACHE_NO_EXCEPTIONS
    explicit device_stream(const device &of) { open(*this, of); }
#endif

    /* Lets what is submitted from now on wait for what the engine gave to its own stream, a cudaStream_t. */
    lmcache_status wait_for_engine(void *engine_stream) const {
        return check(lmcache_device_stream_wait_for_engine(get(), engine_stream));
    }
    /* Lets what the engine gives to its own stream from now on wait for what was submitted. */
    lmcache_status let_engine_wait(void *engine_stream) const {
        return check(lmcache_device_stream_let_engine_wait(get(), engine_stream));
    }
};

/* What a paged cache is; `tensors` are borrowed until it is made. */
using paged_layout_options = sized<lmcache_paged_layout_options>;

/* The number of a layout, by LMCache's name of it. */
inline result<std::uint32_t> kv_format(cstring_view name) {
    std::uint32_t number = 0;
    const lmcache_status status = lmcache_kv_format_from_name(name.c_str(), &number);
    return detail::given(status, number);
}

/* An engine's paged cache. It never changes; any number of threads may use it at once. */
class paged_layout : public owned<lmcache_paged_layout, lmcache_paged_layout_free> {
  public:
    static lmcache_status make(paged_layout &out, const lmcache_paged_layout_options &options) {
        return check(lmcache_paged_layout_new(&options, out.out()));
    }

    paged_layout() noexcept = default;
#ifndef LMCACHE_NO_EXCEPTIONS
    explicit paged_layout(const lmcache_paged_layout_options &options) { make(*this, options); }
#endif

    /* Of an object of so many tokens. */
    result<std::uint64_t> object_bytes(std::uint64_t tokens) const {
        std::uint64_t bytes = 0;
        const lmcache_status status = lmcache_paged_layout_object_bytes(get(), tokens, &bytes);
        return detail::given(status, bytes);
    }
};

/* Which blocks of a cache are which objects, of `object_tokens` tokens each. Both are borrowed. */
inline lmcache_paged_part paged_part(const paged_layout &cache, span<const std::int64_t> block_ids, std::uint64_t object_tokens,
                                     std::uint64_t skip_prefix_blocks = 0) noexcept {
    return {cache.get(), block_ids.data(), block_ids.size(), object_tokens, skip_prefix_blocks};
}

/* How a transfer ended, in numbers. */
using transfer_result = sized<lmcache_transfer_result>;

/* A store from a device or a retrieve to one. Any number of threads may use it at once; it may outlive storage manager and device. One that is
 * destroyed goes on. */
class transfer : public owned<lmcache_transfer, lmcache_transfer_free> {
  public:
    /* Stores the objects that are not there yet from the pages of an engine. */
    static lmcache_status store(transfer &out, const storage &to, const lmcache_key_list &keys, const layout &as,
                                span<const lmcache_paged_part> parts, const device_stream &on,
                                std::int64_t null_block = LMCACHE_NO_NULL_BLOCK) {
        return check(lmcache_storage_store_from_device(to.get(), &keys, as.get(), parts.data(), parts.size(), null_block, on.get(),
                                                       out.out()));
    }
    /* Retrieves objects that a prefetch has locked into the pages of an engine. One lock on each is released when it is over. */
    static lmcache_status retrieve(transfer &out, const storage &from, const lmcache_key_list &keys,
                                   span<const lmcache_paged_part> parts, const device_stream &on,
                                   span<const std::uint32_t> l1_managers = {}) {
        return detail::with_l1_managers(keys, l1_managers, [&] {
            return lmcache_storage_retrieve_to_device(from.get(), &keys, l1_managers.data(), parts.data(), parts.size(), on.get(),
                                                      out.out());
        });
    }

    /* LMCACHE_STATUS_PENDING while it is not over; an error if it failed. */
    lmcache_status query(lmcache_transfer_result *out = nullptr) const { return check(lmcache_transfer_query(get(), out)); }
    /* Waits for as long as it takes. */
    lmcache_status wait(lmcache_transfer_result *out = nullptr) const {
        return check(lmcache_transfer_wait(get(), detail::forever_ns, out));
    }
    /* LMCACHE_STATUS_PENDING if it is not over by then. */
    lmcache_status wait_for(std::chrono::nanoseconds timeout, lmcache_transfer_result *out = nullptr) const {
        return check(lmcache_transfer_wait(get(), detail::timeout_ns(timeout), out));
    }
    /* One of LMCACHE_TRANSFER_* for each key. */
    lmcache_status get_outcomes(span<std::uint32_t> outcomes) const {
        return check(lmcache_transfer_get_outcomes(get(), outcomes.data(), outcomes.size()));
    }

    /* Calls `told()` once when it is over: on a thread of the storage manager, or of the device, so it has to be short; or, if it is over already,
     * on this thread before this returns. It is copied or moved to the heap, and destroyed once it was called. An exception that leaves it ends the
     * program. */
    template <class Told> lmcache_status on_done(Told &&told) const {
        using function = std::decay_t<Told>;
        auto kept = std::make_unique<function>(std::forward<Told>(told));
        const lmcache_status status = lmcache_transfer_on_done(get(), tell<function>, kept.get());
        // After a defect of the library nobody knows whether it will be called: rather lost than called when it is gone.
        if (status >= 0 || status == LMCACHE_STATUS_PANIC)
            (void)kept.release();
        return check(status);
    }
    /* The same, without the heap: `told` may be called once with `user_data` from any thread, and lets no exception out. */
    lmcache_status on_done(lmcache_transfer_callback told, void *user_data) const {
        return check(lmcache_transfer_on_done(get(), told, user_data));
    }

  private:
    template <class Function> static void tell(void *kept) noexcept {
        const std::unique_ptr<Function> told(static_cast<Function *>(kept));
        (*told)();
    }
};

} // namespace LMCACHE_INLINE_NAMESPACE
} // namespace lmcache

#endif
