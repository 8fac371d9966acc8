/* The storage manager: L1, its L2 adapters and its threads. SPDX-License-Identifier: Apache-2.0 */
#ifndef LMCACHE_STORAGE_HPP
#define LMCACHE_STORAGE_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>

#include <lmcache/keys.hpp>
#include <lmcache/l2_adapter.hpp>
#include <lmcache/recorder.hpp>

namespace lmcache {
inline namespace LMCACHE_INLINE_NAMESPACE {

namespace detail {

constexpr std::uint64_t forever_ns = std::numeric_limits<std::uint64_t>::max();

/* What C waits for at most; a time that is over is none. */
inline std::uint64_t timeout_ns(std::chrono::nanoseconds timeout) noexcept {
    return timeout.count() > 0 ? static_cast<std::uint64_t>(timeout.count()) : 0;
}

/* A call with a list that may be left out, and else has a value for each key: C cannot see how many there are. */
template <class Call> lmcache_status with_l1_managers(const lmcache_key_list &keys, span<const std::uint32_t> l1_managers, Call call) {
    if (!l1_managers.empty() && l1_managers.size() != keys.count)
        return refuse(LMCACHE_STATUS_INVALID_ARGUMENT, "l1_managers has as many values as there are keys, or none");
    return check(call());
}

} // namespace detail

/* What a storage manager is made of: the numbers are those of lmcache_storage_options. */
struct storage_options : sized<lmcache_storage_options> {
    storage_options() noexcept = default;
    explicit storage_options(std::string json) : config_json(std::move(json)) {}

    /* The configuration as one JSON object, by the names of docs/configuration.md. */
    std::string config_json;
};

/* How full the tiers are. */
using storage_usage = sized<lmcache_storage_usage>;

/* How many keys a deletion took away, and how many stayed because they are being read or written. */
struct deleted_keys {
    std::size_t deleted = 0;
    std::size_t locked = 0;
};

/* A storage manager. Any number of threads may use it at once.
 *
 * Calls on lists of keys are LMCACHE_STATUS_OK if they were served; what became of each key is in a list that the caller brings, with a place for each key.
 * `l1_managers`, which may be left out where there is one L1 manager, says in which of them each key lies. None of these calls allocates memory on this
 * side, or copies what it is given. docs/ffi.md says how long buffers are valid. */
class storage : public owned<lmcache_storage, lmcache_storage_free> {
  public:
    static lmcache_status make(storage &out, const storage_options &options) {
        lmcache_storage_options asked = options;
        asked.config_json = options.config_json.c_str();
        return check(lmcache_storage_new(&asked, out.out()));
    }

    storage() noexcept = default;
#ifndef LMCACHE_NO_EXCEPTIONS
    explicit storage(const storage_options &options) { make(*this, options); }
    explicit storage(std::string config_json) { make(*this, storage_options(std::move(config_json))); }
#endif

    /* Records every call from now on. The recorder ends after the storage manager. */
    lmcache_status record(const recorder &by) const { return check(lmcache_storage_record(get(), by.get())); }
    /* Ends everything; what goes wrong then is told here, and not by the destructor. */
    lmcache_status close() const { return check(lmcache_storage_close(get())); }

    /* Writing. `mode` is one of LMCACHE_WRITE_*. */
    lmcache_status reserve_write(const lmcache_key_list &keys, const layout &as, span<lmcache_write_buffer> buffers,
                                 std::uint32_t mode = LMCACHE_WRITE_NEW) const {
        return check(lmcache_storage_reserve_write(get(), &keys, as.get(), mode, buffers.data(), buffers.size()));
    }
    lmcache_status finish_write(const lmcache_key_list &keys, span<std::uint32_t> outcomes = {},
                                span<const std::uint32_t> l1_managers = {}) const {
        return detail::with_l1_managers(keys, l1_managers, [&] {
            return lmcache_storage_finish_write(get(), &keys, l1_managers.data(), outcomes.data(), outcomes.size());
        });
    }

    /* Reading what a prefetch has locked; see also the class `reading`. LMCACHE_STATUS_MISS if not all keys can be read: then there is nothing to exit. */
    lmcache_status read_enter(const lmcache_key_list &keys, span<lmcache_read_buffer> buffers,
                              span<const std::uint32_t> l1_managers = {}) const {
        return detail::with_l1_managers(keys, l1_managers, [&] {
            return lmcache_storage_read_enter(get(), &keys, l1_managers.data(), buffers.data(), buffers.size());
        });
    }
    /* `failed` says that the reader could not use what it got: then one lock is released on each key. */
    lmcache_status read_exit(const lmcache_key_list &keys, bool failed = false, span<const std::uint32_t> l1_managers = {}) const {
        return detail::with_l1_managers(keys, l1_managers, [&] {
            return lmcache_storage_read_exit(get(), &keys, l1_managers.data(), failed);
        });
    }
    /* Releases the locks that a prefetch took. */
    lmcache_status finish_read(const lmcache_key_list &keys, std::int64_t read_locks = 1, span<std::uint32_t> outcomes = {},
                               span<const std::uint32_t> l1_managers = {}) const {
        return detail::with_l1_managers(keys, l1_managers, [&] {
            return lmcache_storage_finish_read(get(), &keys, read_locks, l1_managers.data(), outcomes.data(), outcomes.size());
        });
    }
    /* Looks at what is read-locked already, without beginning a read. */
    lmcache_status unsafe_read(const lmcache_key_list &keys, span<lmcache_read_buffer> buffers,
                               span<const std::uint32_t> l1_managers = {}) const {
        return detail::with_l1_managers(keys, l1_managers, [&] {
            return lmcache_storage_unsafe_read(get(), &keys, l1_managers.data(), buffers.data(), buffers.size());
        });
    }

    /* A 1 or a 0 for each key: whether it is in L1 and can be prefetched from there at this moment. */
    lmcache_status contains(const lmcache_key_list &keys, span<std::uint8_t> is_resident) const {
        return check(lmcache_storage_contains(get(), &keys, is_resident.data(), is_resident.size()));
    }
    /* Counts the keys as used. */
    lmcache_status touch(const lmcache_key_list &keys) const { return check(lmcache_storage_touch(get(), &keys)); }
    /* Deletes the keys from every L1, and from no L2; with `force` those, too, that are being read or written. */
    result<deleted_keys> erase(const lmcache_key_list &keys, bool force = false) const {
        deleted_keys counts;
        const lmcache_status status = lmcache_storage_delete(get(), &keys, force, &counts.deleted, &counts.locked);
        return detail::given(status, counts);
    }
    /* Deletes everything from L1 that is not locked; with `force` everything. */
    lmcache_status clear(bool force = false) const { return check(lmcache_storage_clear(get(), force)); }
    /* Makes one eviction pass now. */
    lmcache_status evict() const { return check(lmcache_storage_evict(get())); }
    /* Waits until everything that was written is stored in L2, or given up. */
    lmcache_status flush_stores() const { return check(lmcache_storage_flush_stores(get(), detail::forever_ns)); }
    /* The same; an error, LMCACHE_STATUS_TIMEOUT, if it takes longer. */
    lmcache_status flush_stores(std::chrono::nanoseconds timeout) const {
        return check(lmcache_storage_flush_stores(get(), detail::timeout_ns(timeout)));
    }
    lmcache_status set_quota(cstring_view cache_salt, std::uint64_t limit_bytes) const {
        return check(lmcache_storage_set_quota(get(), cache_salt.c_str(), limit_bytes));
    }
    lmcache_status delete_quota(cstring_view cache_salt) const { return check(lmcache_storage_delete_quota(get(), cache_salt.c_str())); }
    result<storage_usage> usage() const {
        storage_usage usage;
        const lmcache_status status = lmcache_storage_get_usage(get(), &usage);
        return detail::given(status, usage);
    }
    /* An error, LMCACHE_STATUS_CORRUPT, if the allocators' books are wrong. */
    lmcache_status memcheck() const { return check(lmcache_storage_memcheck(get())); }

    /* LMCache's status tree. */
    result<std::string> status_json() const { return text(lmcache_storage_status_json); }
    /* Prometheus' text format; UNSUPPORTED of a storage manager that was made without `with_metrics`. */
    result<std::string> metrics_text() const { return text(lmcache_storage_metrics_text); }
    /* For `storage_config_json` of recorder_options. */
    result<std::string> config_json() const { return text(lmcache_storage_config_json); }

    /* Adds an L2 adapter, which is an object of `l2_adapter` in the configuration, and gives its number. */
    result<std::uint32_t> add_l2_adapter(cstring_view config_json) const {
        std::uint32_t number = 0;
        const lmcache_status status = lmcache_storage_add_l2_adapter(get(), config_json.c_str(), &number);
        return detail::given(status, number);
    }
    /* Adds a store of the program's own, which is held until it was closed. */
    result<std::uint32_t> add_l2_adapter(std::shared_ptr<l2_adapter> adapter, const l2_adapter_options &options = {}) const;
    /* An error, LMCACHE_STATUS_TIMEOUT, if its tasks take longer: then it gets no new ones, and this can be called again. */
    lmcache_status delete_l2_adapter(std::uint32_t number, std::chrono::nanoseconds timeout) const {
        return check(lmcache_storage_delete_l2_adapter(get(), number, detail::timeout_ns(timeout)));
    }

  private:
    using tell_function = lmcache_status (*)(const lmcache_storage *, char *, std::size_t, std::size_t *);

    // It can have grown by the time that there is room.
    result<std::string> text(tell_function tell) const {
        std::string text;
        std::size_t needed = 0;
        lmcache_status status = tell(get(), nullptr, 0, &needed);
        while (status == LMCACHE_STATUS_OK && needed > text.size()) {
            text.resize(needed + needed / 8);
            status = tell(get(), text.data(), text.size() + 1, &needed);
        }
        text.resize(status == LMCACHE_STATUS_OK ? needed : 0);
        return detail::given(status, std::move(text));
    }
};

inline result<std::uint32_t> storage::add_l2_adapter(std::shared_ptr<l2_adapter> adapter, const l2_adapter_options &options) const {
    std::uint32_t number = 0;
    if (!adapter)
        return detail::given(detail::refuse(LMCACHE_STATUS_NULL_POINTER, "there is no adapter"), number);
    const auto holder = std::make_shared<detail::l2_holder>();
    holder->adapter = std::move(adapter);
    holder->self = holder;
    const lmcache_l2_adapter_table table = detail::l2_holder::table(*holder, options);
    const char *config_json = options.config_json.empty() ? nullptr : options.config_json.c_str();
    const lmcache_status status = lmcache_storage_add_l2_table(get(), &table, config_json, &number);
    // It was not taken, and so will not be closed.
    if (status < 0)
        holder->self.reset();
    return detail::given(status, number);
}

/* A read between `read_enter` and `read_exit`. One that is destroyed before `exit`, for instance by an exception, failed. Keys and L1 managers are borrowed
 * until then. */
class reading {
  public:
    /* LMCACHE_STATUS_MISS, and nothing begins, if not all keys can be read. */
    static lmcache_status enter(reading &out, const storage &of, const lmcache_key_list &keys, span<lmcache_read_buffer> buffers,
                                span<const std::uint32_t> l1_managers = {}) {
        out.abandon();
        const lmcache_status status = of.read_enter(keys, buffers, l1_managers);
        if (status == LMCACHE_STATUS_OK) {
            out.of_ = &of;
            out.keys_ = keys;
            out.l1_managers_ = l1_managers;
        }
        return status;
    }

    reading() noexcept = default;
#ifndef LMCACHE_NO_EXCEPTIONS
    /* False if not all keys can be read. */
    reading(const storage &of, const lmcache_key_list &keys, span<lmcache_read_buffer> buffers, span<const std::uint32_t> l1_managers = {}) {
        enter(*this, of, keys, buffers, l1_managers);
    }
#endif
    reading(const reading &) = delete;
    reading &operator=(const reading &) = delete;
    ~reading() { abandon(); }

    /* Whether there is something to exit. */
    explicit operator bool() const noexcept { return of_ != nullptr; }
    /* What was read is used; the locks are released by storage::finish_read. */
    lmcache_status exit() {
        const storage *of = std::exchange(of_, nullptr);
        return of == nullptr ? LMCACHE_STATUS_OK : of->read_exit(keys_, false, l1_managers_);
    }

  private:
    void abandon() noexcept {
        if (const storage *of = std::exchange(of_, nullptr))
            (void)lmcache_storage_read_exit(of->get(), &keys_, l1_managers_.data(), 1);
    }

    const storage *of_ = nullptr;
    lmcache_key_list keys_{};
    span<const std::uint32_t> l1_managers_;
};

} // namespace LMCACHE_INLINE_NAMESPACE
} // namespace lmcache

#endif
