/* Handles of liblmcache that free themselves, and structs that know their size. SPDX-License-Identifier: Apache-2.0 */
#ifndef LMCACHE_HANDLE_HPP
#define LMCACHE_HANDLE_HPP

#include <utility>

#include <lmcache/error.hpp>

namespace lmcache {
inline namespace LMCACHE_INLINE_NAMESPACE {

/* A handle that frees itself. It can be moved and not copied; an empty one is false, and every call on it NULL_POINTER. Calls that are const are those that
 * any number of threads may make at once. As with any object, nobody may be in a call on it while it is moved or destroyed, and so it may not be destroyed
 * within its own callback. */
template <class Handle, lmcache_status (*Free)(Handle *)> class owned {
  public:
    owned() noexcept = default;
    explicit owned(Handle *handle) noexcept : handle_(handle) {}
    owned(owned &&other) noexcept : handle_(other.release()) {}
    owned &operator=(owned &&other) noexcept {
        if (this != &other)
            reset(other.release());
        return *this;
    }
    owned(const owned &) = delete;
    owned &operator=(const owned &) = delete;
    ~owned() { reset(); }

    explicit operator bool() const noexcept { return handle_ != nullptr; }
    /* For functions of C, which take the handle for the time of the call. */
    Handle *get() const noexcept { return handle_; }
    /* Where a function of C writes a new handle; what was here is freed. */
    Handle **out() noexcept {
        reset();
        return &handle_;
    }
    void reset(Handle *next = nullptr) noexcept {
        Handle *before = std::exchange(handle_, next);
        if (before != nullptr)
            (void)Free(before);
    }
    /* Gives the handle to the caller, who frees it. */
    [[nodiscard]] Handle *release() noexcept { return std::exchange(handle_, nullptr); }

  private:
    Handle *handle_ = nullptr;
};

/* A struct of C that begins with its size, with its size and its defaults. */
template <class Struct> struct sized : Struct {
    sized() noexcept : Struct() { this->struct_size = sizeof(Struct); }
};

} // namespace LMCACHE_INLINE_NAMESPACE
} // namespace lmcache

#endif
