/* Prefetches, and how their end is heard of. SPDX-License-Identifier: Apache-2.0 */
#ifndef LMCACHE_PREFETCH_HPP
#define LMCACHE_PREFETCH_HPP

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

/* What a prefetch found, in numbers. */
using prefetch_result = sized<lmcache_prefetch_result>;

/* A prefetch that was submitted. One thread at a time may use it, whichever; it may outlive its storage manager. Once its result was asked for, by
 * `query` or by waiting, the locks on its hits are the caller's, who releases them by storage::finish_read. One that is destroyed before is given up, and
 * what it has locked is released. */
class prefetch : public owned<lmcache_prefetch, lmcache_prefetch_free> {
  public:
    /* `request_id` is the engine's name for the request. */
    static lmcache_status submit(prefetch &out, const storage &to, const lmcache_prefetch_spec &spec, cstring_view request_id = {}) {
        return check(lmcache_storage_submit_prefetch(to.get(), &spec, request_id.c_str(), out.out()));
    }

    prefetch() noexcept = default;
#ifndef LMCACHE_NO_EXCEPTIONS
    prefetch(const storage &to, const lmcache_prefetch_spec &spec, cstring_view request_id = {}) { submit(*this, to, spec, request_id); }
#endif

    /* Another one by this handle, which spares making and freeing one; what it stood for before is given up. */
    lmcache_status resubmit(const lmcache_prefetch_spec &spec, cstring_view request_id = {}) {
        return check(lmcache_prefetch_resubmit(get(), &spec, request_id.c_str()));
    }

    /* LMCACHE_STATUS_PENDING while it is not done. */
    lmcache_status query(lmcache_prefetch_result *out = nullptr) { return check(lmcache_prefetch_query(get(), out)); }
    /* Waits for as long as it takes. */
    lmcache_status wait(lmcache_prefetch_result *out = nullptr) {
        return check(lmcache_prefetch_wait(get(), detail::forever_ns, out));
    }
    /* LMCACHE_STATUS_PENDING if it is not done by then. */
    lmcache_status wait_for(std::chrono::nanoseconds timeout, lmcache_prefetch_result *out = nullptr) {
        return check(lmcache_prefetch_wait(get(), detail::timeout_ns(timeout), out));
    }

    /* Calls `told()` once when it is done, or given up: on a thread of the storage manager, which serves no other prefetch meanwhile, so it has to be
     * short; or, if it is done already, on this thread before this returns. It is copied or moved to the heap, and destroyed once it was called. An exception
     * that leaves it ends the program. */
    template <class Told> lmcache_status on_done(Told &&told) {
        using function = std::decay_t<Told>;
        auto kept = std::make_unique<function>(std::forward<Told>(told));
        const lmcache_status status = lmcache_prefetch_on_done(get(), tell<function>, kept.get());
        // After a defect of the library nobody knows whether it will be called: rather lost than called when it is gone.
        if (status >= 0 || status == LMCACHE_STATUS_PANIC)
            (void)kept.release();
        return check(status);
    }
    /* The same, without the heap: `told` may be called once with `user_data` from any thread, and lets no exception out. */
    lmcache_status on_done(lmcache_prefetch_callback told, void *user_data) {
        return check(lmcache_prefetch_on_done(get(), told, user_data));
    }
    /* Adds 1 to an eventfd, which has to be EFD_NONBLOCK, when it is done or given up. */
    lmcache_status signal_on_done(int eventfd) { return check(lmcache_prefetch_signal_on_done(get(), eventfd)); }

    /* A 1 or a 0 for each column of a row, and in `set` how many are 1: `which` is one of LMCACHE_CELLS_*. LMCACHE_STATUS_MISS, and nothing is written, of a
     * prefetch that does not know. The result must have been asked for. */
    lmcache_status get_row(std::size_t row, std::uint32_t which, span<std::uint8_t> cells, std::size_t *set = nullptr) {
        return check(lmcache_prefetch_get_row(get(), row, which, cells.data(), cells.size(), set));
    }
    /* Which L1 manager holds each hit of a row, or LMCACHE_NO_L1_MANAGER. The result must have been asked for. */
    lmcache_status get_row_l1_managers(std::size_t row, span<std::uint32_t> l1_managers) {
        return check(lmcache_prefetch_get_row_l1_managers(get(), row, l1_managers.data(), l1_managers.size()));
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
