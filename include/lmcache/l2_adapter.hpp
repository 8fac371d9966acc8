/* A store behind L1 of the program's own, as a class. SPDX-License-Identifier: Apache-2.0 */
#ifndef LMCACHE_L2_ADAPTER_HPP
#define LMCACHE_L2_ADAPTER_HPP

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <lmcache/handle.hpp>
#include <lmcache/span.hpp>

namespace lmcache {
inline namespace LMCACHE_INLINE_NAMESPACE {

/* A store behind L1. Derive from it, and give it to storage::add_l2_adapter.
 *
 * Its functions are called on threads that the storage manager starts for them, several at once, each with parts of tasks, and wait for their I/O there.
 * Each gives every object its answer, one of those of lmcache_l2_plugin.h, and returns true; an answer that is below zero, or left out, says that this
 * object failed. If the whole call failed they `return fail("why")`, or throw: an exception ends the call, and its `what` is the reason. What they are
 * handed is there during the call only. They may call the library, but not what waits for them: that is BUSY (docs/ffi.md). */
class l2_adapter {
  public:
    virtual ~l2_adapter() = default;

    /* Writes objects: answers are LMCACHE_L2_PUT_*. */
    virtual bool put(span<const lmcache_l2_object> objects, span<std::int32_t> answers) = 0;
    /* Fills the buffers of objects, all of each: answers are LMCACHE_L2_GET_*. */
    virtual bool get(span<const lmcache_l2_object> objects, span<std::int32_t> answers) = 0;
    /* Looks keys up, each of which has to have at least so many bytes: answers are LMCACHE_L2_GET_*. */
    virtual bool exists(span<const lmcache_l2_key> keys, span<const std::uint64_t> sizes_bytes, span<std::int32_t> answers) = 0;
    /* Removes objects: answers are LMCACHE_L2_REMOVE_*. */
    virtual bool remove(span<const lmcache_l2_key> keys, span<std::int32_t> answers) = 0;
    /* Called once, last of all, on any thread; what the storage manager holds of the object is let go of then. */
    virtual void close() noexcept {}

    /* Says why a call of this thread failed, as far as there is room, and is false. */
    static bool fail(std::string_view why) noexcept;

  protected:
    l2_adapter() = default;
    l2_adapter(const l2_adapter &) = default;
    l2_adapter &operator=(const l2_adapter &) = default;
};

/* The parts of a key. */
inline span<const std::uint8_t> chunk_hash(const lmcache_l2_key &key) noexcept { return {key.chunk_hash, key.chunk_hash_bytes}; }
inline std::string_view model_name(const lmcache_l2_key &key) noexcept { return {key.model_name, key.model_name_bytes}; }
inline std::string_view cache_salt(const lmcache_l2_key &key) noexcept { return {key.cache_salt, key.cache_salt_bytes}; }

/* What storage::add_l2_adapter is told of a store. */
struct l2_adapter_options {
    /* What it is called in the status. */
    std::string name = "host";
    /* How many threads call it, at most LMCACHE_MAX_L2_WORKERS; 0 for 4. */
    std::uint32_t workers = 0;
    /* What every adapter can have, and its size: {"type": "plugin", "library_path": "a name", "max_capacity_gb": 8}. Empty for the defaults. */
    std::string config_json;
};

namespace detail {

/* Why the last call of this thread failed. */
struct l2_failure {
    char text[512];
    std::size_t length;

    static l2_failure &of_this_thread() noexcept {
        static thread_local l2_failure failure = {};
        return failure;
    }
};

/* What a table's functions get back. It holds itself until `close`, which the library calls at the latest when the storage manager is gone; whoever adds
 * it holds it, too, until it is known whether the library took it. */
struct l2_holder {
    std::shared_ptr<l2_adapter> adapter;
    std::shared_ptr<l2_holder> self;

    /* The whole call failed unless this is what it returns. */
    static constexpr std::int32_t answered = 0;

    template <class Call> static std::int32_t call(void *holder, Call call) noexcept {
        l2_adapter &adapter = *static_cast<l2_holder *>(holder)->adapter;
        l2_failure::of_this_thread().length = 0;
#ifndef LMCACHE_NO_EXCEPTIONS
        try {
            return call(adapter) ? answered : -1;
        } catch (const std::exception &thrown) {
            l2_adapter::fail(thrown.what());
        } catch (...) {
            l2_adapter::fail("an exception that is no std::exception");
        }
        return -1;
#else
        return call(adapter) ? answered : -1;
#endif
    }
    static std::int32_t put(void *holder, const lmcache_l2_object *objects, std::size_t count, std::int32_t *answers) noexcept {
        return call(holder, [&](l2_adapter &adapter) { return adapter.put({objects, count}, {answers, count}); });
    }
    static std::int32_t get(void *holder, const lmcache_l2_object *objects, std::size_t count, std::int32_t *answers) noexcept {
        return call(holder, [&](l2_adapter &adapter) { return adapter.get({objects, count}, {answers, count}); });
    }
    static std::int32_t exists(void *holder, const lmcache_l2_key *keys, const std::uint64_t *sizes_bytes, std::size_t count,
                               std::int32_t *answers) noexcept {
        return call(holder, [&](l2_adapter &adapter) { return adapter.exists({keys, count}, {sizes_bytes, count}, {answers, count}); });
    }
    static std::int32_t remove(void *holder, const lmcache_l2_key *keys, std::size_t count, std::int32_t *answers) noexcept {
        return call(holder, [&](l2_adapter &adapter) { return adapter.remove({keys, count}, {answers, count}); });
    }
    static void close(void *holder) noexcept {
        // Ends here, unless whoever adds it still holds it.
        const std::shared_ptr<l2_holder> self = std::move(static_cast<l2_holder *>(holder)->self);
        self->adapter->close();
        self->adapter.reset();
    }
    static std::size_t last_error(void *, char *text, std::size_t capacity) noexcept {
        const l2_failure &failure = l2_failure::of_this_thread();
        const std::size_t length = std::min(failure.length, capacity);
        std::memcpy(text, failure.text, length);
        return length;
    }

    static lmcache_l2_adapter_table table(l2_holder &holder, const l2_adapter_options &options) noexcept {
        sized<lmcache_l2_adapter_table> table;
        table.workers = options.workers;
        table.name = options.name.c_str();
        table.user_data = &holder;
        table.put = put;
        table.get = get;
        table.exists = exists;
        table.remove = remove;
        table.close = close;
        table.last_error = last_error;
        return table;
    }
};

} // namespace detail

inline bool l2_adapter::fail(std::string_view why) noexcept {
    detail::l2_failure &failure = detail::l2_failure::of_this_thread();
    failure.length = std::min(why.size(), sizeof failure.text);
    std::memcpy(failure.text, why.data(), failure.length);
    return false;
}

} // namespace LMCACHE_INLINE_NAMESPACE
} // namespace lmcache

#endif
