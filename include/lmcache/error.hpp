/* Errors of liblmcache in C++: thrown, or returned where there are no exceptions. SPDX-License-Identifier: Apache-2.0
 *
 * With LMCACHE_NO_EXCEPTIONS defined, or where the compiler has exceptions off, nothing is thrown: calls return their status, and those
 * that give a value a `result`. Files of one program may differ in that: their classes are in inline namespaces of different names.
 */
#ifndef LMCACHE_ERROR_HPP
#define LMCACHE_ERROR_HPP

#if __cplusplus < 201703L && !(defined(_MSVC_LANG) && _MSVC_LANG >= 201703L)
#error "lmcache.hpp needs C++17 or later; lmcache.h takes C++11"
#endif

#include <memory>
#include <string>
#include <utility>

#include <lmcache.h>

#if !defined(LMCACHE_NO_EXCEPTIONS) && !defined(__cpp_exceptions)
#define LMCACHE_NO_EXCEPTIONS 1
#endif

#ifdef LMCACHE_NO_EXCEPTIONS
#define LMCACHE_INLINE_NAMESPACE without_exceptions
#else
#define LMCACHE_INLINE_NAMESPACE with_exceptions
#include <exception>
#include <stdexcept>
#endif

namespace lmcache {
inline namespace LMCACHE_INLINE_NAMESPACE {
namespace detail {

/* What a function of C says that copies a text and returns its length. */
template <class Function> std::string said_by(Function say) {
    std::string text(say(nullptr, 0), '\0');
    say(text.data(), text.size() + 1);
    return text;
}

} // namespace detail

/* The last error of this thread, in words; empty if there was none. */
inline std::string last_error() { return detail::said_by(lmcache_last_error); }

/* What to do about it; empty if nobody knows. */
inline std::string last_error_hint() { return detail::said_by(lmcache_last_error_hint); }

/* The name of a status, for instance "NOT_FOUND". */
inline const char *status_name(lmcache_status status) noexcept { return lmcache_status_name(status); }

#ifndef LMCACHE_NO_EXCEPTIONS

/* What a call that fails throws. `what` begins with the name of the status. */
class error : public std::runtime_error {
  public:
    error(lmcache_status status, const std::string &sentence, std::string hint = {})
        : std::runtime_error(std::string(lmcache_status_name(status)) + ": " + sentence), status_(status),
          hint_(std::make_shared<const std::string>(std::move(hint))) {}

    lmcache_status status() const noexcept { return status_; }
    /* What to do about it; empty if nobody knows. */
    const char *hint() const noexcept { return hint_->c_str(); }

  private:
    lmcache_status status_;
    // Shared, so that copying an exception cannot throw another.
    std::shared_ptr<const std::string> hint_;
};

namespace detail {
[[noreturn]] inline void raise(lmcache_status status) { throw error(status, last_error(), last_error_hint()); }
} // namespace detail

#endif

/* Throws if a status is an error; outcomes that are none come back. */
inline lmcache_status check(lmcache_status status) {
#ifndef LMCACHE_NO_EXCEPTIONS
    if (status < 0)
        detail::raise(status);
#endif
    return status;
}

#ifdef LMCACHE_NO_EXCEPTIONS
/* A value, or the status that says why there is none. Where there are exceptions it is the value alone. */
template <class T> class [[nodiscard]] result {
  public:
    result(lmcache_status status, T value) : status_(status), value_(std::move(value)) {}

    lmcache_status status() const noexcept { return status_; }
    explicit operator bool() const noexcept { return status_ == LMCACHE_STATUS_OK; }
    /* Of a result that is true; of any other, a value that means nothing. */
    T &operator*() noexcept { return value_; }
    const T &operator*() const noexcept { return value_; }
    T *operator->() noexcept { return &value_; }
    const T *operator->() const noexcept { return &value_; }

  private:
    lmcache_status status_;
    T value_;
};
#else
template <class T> using result = T;
#endif

namespace detail {

/* The value of a call that returned `status`. */
template <class T> result<T> given(lmcache_status status, T value) {
#ifdef LMCACHE_NO_EXCEPTIONS
    return result<T>(status, std::move(value));
#else
    check(status);
    return value;
#endif
}

/* What this layer refuses by itself, before it calls C: `last_error` knows nothing of it. */
inline lmcache_status refuse(lmcache_status status, const char *sentence) {
#ifndef LMCACHE_NO_EXCEPTIONS
    throw error(status, sentence);
#else
    (void)sentence;
    return status;
#endif
}

} // namespace detail
} // namespace LMCACHE_INLINE_NAMESPACE
} // namespace lmcache

#endif
