/* The C interface of liblmcache for C++17: handles that free themselves, strings and lists of the standard library, and errors as
 * exceptions. SPDX-License-Identifier: Apache-2.0
 *
 * Header only, over <lmcache.h>, whose contract is docs/ffi.md. With LMCACHE_NO_EXCEPTIONS defined, or where the compiler has
 * exceptions off, every call returns its status and throws nothing.
 */
#ifndef LMCACHE_HPP
#define LMCACHE_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lmcache.h>

#if !defined(LMCACHE_NO_EXCEPTIONS) && !defined(__cpp_exceptions)
#define LMCACHE_NO_EXCEPTIONS 1
#endif
#ifndef LMCACHE_NO_EXCEPTIONS
#include <stdexcept>
#endif

namespace lmcache {

/* The last error of this thread, in words. */
inline std::string last_error() {
    std::string text(lmcache_last_error(nullptr, 0), '\0');
    lmcache_last_error(text.data(), text.size() + 1);
    return text;
}

#ifndef LMCACHE_NO_EXCEPTIONS
/* What a call that fails throws. */
class error : public std::runtime_error {
  public:
    error(lmcache_status status, const std::string &what) : std::runtime_error(what), status_(status) {}
    lmcache_status status() const noexcept { return status_; }

  private:
    lmcache_status status_;
};
#endif

/* Throws if a status is an error; outcomes that are none come back. */
[[nodiscard]] inline lmcache_status check(lmcache_status status) {
#ifndef LMCACHE_NO_EXCEPTIONS
    if (static_cast<std::int32_t>(status) < 0)
        throw error(status, std::string(lmcache_status_name(status)) + ": " + last_error());
#endif
    return status;
}

/* A handle that frees itself. It can be moved and not copied; an empty one is false. */
template <class Handle, lmcache_status (*Free)(Handle *)> class owned {
  public:
    owned() noexcept = default;
    explicit owned(Handle *handle) noexcept : handle_(handle) {}
    owned(owned &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    owned &operator=(owned &&other) noexcept {
        if (this != &other) {
            reset();
            handle_ = std::exchange(other.handle_, nullptr);
        }
        return *this;
    }
    owned(const owned &) = delete;
    owned &operator=(const owned &) = delete;
    ~owned() { reset(); }

    explicit operator bool() const noexcept { return handle_ != nullptr; }
    Handle *get() const noexcept { return handle_; }
    /* Where a function of C writes a new handle; what was here is freed. */
    Handle **out() noexcept {
        reset();
        return &handle_;
    }
    void reset() noexcept { (void)Free(std::exchange(handle_, nullptr)); }

  private:
    Handle *handle_ = nullptr;
};

/* A hash of LMCache's length. */
using hash = std::array<std::uint8_t, 32>;

/* A list of T that somebody else owns; what std::span is in C++20. */
template <class T> class span {
  public:
    constexpr span() noexcept = default;
    constexpr span(T *data, std::size_t size) noexcept : data_(data), size_(size) {}
    template <class List, class = decltype(std::declval<List &>().data(), std::declval<List &>().size())>
    constexpr span(List &&list) noexcept : data_(list.data()), size_(list.size()) {}
    constexpr T *data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }
    constexpr bool empty() const noexcept { return size_ == 0; }
    constexpr T *begin() const noexcept { return data_; }
    constexpr T *end() const noexcept { return data_ + size_; }
    constexpr T &operator[](std::size_t index) const noexcept { return data_[index]; }

  private:
    T *data_ = nullptr;
    std::size_t size_ = 0;
};

/* What the keys of a prompt have in common. */
class scope : public owned<lmcache_scope, lmcache_scope_free> {
  public:
    [[nodiscard]] static lmcache_status make(scope &out, std::string_view model_name, std::int64_t kv_rank,
                                             std::uint32_t object_group_id, std::string_view cache_salt) {
        const std::string model(model_name), salt(cache_salt);
        return check(lmcache_scope_new(model.c_str(), kv_rank, object_group_id, salt.c_str(), out.out()));
    }
    scope() noexcept = default;
#ifndef LMCACHE_NO_EXCEPTIONS
    explicit scope(std::string_view model_name, std::int64_t kv_rank = 0, std::uint32_t object_group_id = 0,
                   std::string_view cache_salt = {}) {
        (void)make(*this, model_name, kv_rank, object_group_id, cache_salt);
    }
#endif
};

/* One tensor of a layout: its shape and the name of its type in torch. */
struct tensor {
    std::vector<std::uint64_t> shape;
    std::string dtype;
};

/* How an object lies in memory. */
class layout : public owned<lmcache_layout, lmcache_layout_free> {
  public:
    [[nodiscard]] static lmcache_status make(layout &out, span<const tensor> tensors) {
        std::vector<lmcache_tensor> list;
        for (const tensor &one : tensors)
            list.push_back({one.shape.data(), one.shape.size(), one.dtype.c_str()});
        return check(lmcache_layout_new(list.data(), list.size(), out.out()));
    }
    layout() noexcept = default;
#ifndef LMCACHE_NO_EXCEPTIONS
    explicit layout(span<const tensor> tensors) { (void)make(*this, tensors); }
#endif
    std::uint64_t size_bytes() const {
        std::uint64_t bytes = 0;
        (void)check(lmcache_layout_size_bytes(get(), &bytes));
        return bytes;
    }
};

/* Keys of one scope; hashes and scope are borrowed. */
inline lmcache_key_list keys(span<const hash> hashes, const scope &of) noexcept {
    return {reinterpret_cast<const std::uint8_t *>(hashes.data()), hashes.size(), sizeof(hash), of.get(), nullptr};
}

class producer;

/* A recording; any number of threads may use it at once. */
class recorder : public owned<lmcache_recorder, lmcache_recorder_free> {
  public:
    [[nodiscard]] static lmcache_status open(recorder &out, const lmcache_recorder_options &options) {
        return check(lmcache_recorder_open(&options, out.out()));
    }
    recorder() noexcept = default;
#ifndef LMCACHE_NO_EXCEPTIONS
    explicit recorder(const lmcache_recorder_options &options) { (void)open(*this, options); }
    explicit recorder(const std::string &path) {
        lmcache_recorder_options options = LMCACHE_RECORDER_OPTIONS_INIT;
        options.path = path.c_str();
        (void)open(*this, options);
    }
#endif
    /* Valid for as long as the process; see lmcache_is_recording. */
    const std::uint32_t *gate() const {
        const std::uint32_t *gate = nullptr;
        (void)check(lmcache_recorder_gate(get(), &gate));
        return gate;
    }
    lmcache_status set_enabled(bool is_enabled) const { return check(lmcache_recorder_set_enabled(get(), is_enabled)); }
    lmcache_status flush() const { return check(lmcache_recorder_flush(get())); }
    lmcache_status close() const { return check(lmcache_recorder_close(get())); }
    lmcache_recorder_stats stats() const {
        lmcache_recorder_stats stats = LMCACHE_RECORDER_STATS_INIT;
        (void)check(lmcache_recorder_get_stats(get(), &stats));
        return stats;
    }
};

/* What a thread records with; only the thread that made it may use and destroy it. Calls return LMCACHE_STATUS_DROPPED if they are
 * not recorded, which is no error. */
class producer : public owned<lmcache_producer, lmcache_producer_free> {
  public:
    [[nodiscard]] static lmcache_status make(producer &out, const recorder &of) {
        return check(lmcache_producer_new(of.get(), out.out()));
    }
    producer() noexcept = default;
#ifndef LMCACHE_NO_EXCEPTIONS
    explicit producer(const recorder &of) { (void)make(*this, of); }
#endif
    lmcache_status reserve_write(const lmcache_key_list &keys, const layout &as, lmcache_call_id *call = nullptr) const {
        return check(lmcache_producer_reserve_write(get(), &keys, as.get(), call));
    }
    lmcache_status finish_write(const lmcache_key_list &keys, lmcache_call_id *call = nullptr) const {
        return check(lmcache_producer_finish_write(get(), &keys, call));
    }
    lmcache_status read_enter(const lmcache_key_list &keys, lmcache_call_id *call = nullptr) const {
        return check(lmcache_producer_read_enter(get(), &keys, call));
    }
    lmcache_status read_exit(const lmcache_key_list &keys, lmcache_call_id *call = nullptr) const {
        return check(lmcache_producer_read_exit(get(), &keys, call));
    }
    lmcache_status finish_read(const lmcache_key_list &keys, std::int64_t read_locks = 1,
                               lmcache_call_id *call = nullptr) const {
        return check(lmcache_producer_finish_read(get(), &keys, read_locks, call));
    }
    lmcache_status submit_prefetch(const lmcache_prefetch_spec &spec, const std::string &request_id = {},
                                   lmcache_call_id *call = nullptr) const {
        return check(lmcache_producer_submit_prefetch(get(), &spec, request_id.c_str(), call));
    }
    lmcache_status host_call(const std::string &name, span<const std::uint8_t> bytes,
                             lmcache_call_id *call = nullptr) const {
        return check(lmcache_producer_host_call(get(), name.c_str(), bytes.data(), bytes.size(), call));
    }
    lmcache_status complete(lmcache_call_id call, const lmcache_completion &completion) const {
        return check(lmcache_producer_complete(get(), call, &completion));
    }
};

} // namespace lmcache

#endif
