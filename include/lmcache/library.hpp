/* liblmcache as a whole: its version, and what it has to say by itself. SPDX-License-Identifier: Apache-2.0 */
#ifndef LMCACHE_LIBRARY_HPP
#define LMCACHE_LIBRARY_HPP

#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include <lmcache/error.hpp>

namespace lmcache {
inline namespace LMCACHE_INLINE_NAMESPACE {

/* Whether the library that was loaded fits the header that this was compiled with; UNSUPPORTED_VERSION if not. The first call of a program. */
inline lmcache_status check_abi() { return check(lmcache_check_abi(LMCACHE_ABI_VERSION)); }

/* The version of the library, for people. */
inline std::string_view version() noexcept { return lmcache_version(); }

/* Who is told what the library has to say by itself, for as long as the object lives. The process has one: a later one takes the place of an earlier
 * one, and when any of them ends nobody is told any more.
 *
 * `told` is called on threads of the library and of the host, on several at once; the text is borrowed for the time of the call. An exception that leaves it ends
 * the program, and this object must not be destroyed in it. */
class log_callback {
  public:
    using function = std::function<void(std::string_view text)>;

    static lmcache_status set(log_callback &out, function told) {
        out.reset();
        if (!told)
            return LMCACHE_STATUS_OK;
        auto next = std::make_unique<function>(std::move(told));
        const lmcache_status status = lmcache_set_log_callback(tell, next.get());
        if (status == LMCACHE_STATUS_OK)
            out.told_ = std::move(next);
        return check(status);
    }

    log_callback() noexcept = default;
#ifndef LMCACHE_NO_EXCEPTIONS
    explicit log_callback(function told) { set(*this, std::move(told)); }
#endif
    log_callback(log_callback &&) noexcept = default;
    log_callback &operator=(log_callback &&other) noexcept {
        if (this != &other) {
            reset();
            told_ = std::move(other.told_);
        }
        return *this;
    }
    ~log_callback() { reset(); }

    explicit operator bool() const noexcept { return told_ != nullptr; }
    /* Nobody is told from now on; no call is under way when this returns. */
    void reset() noexcept {
        if (told_) {
            (void)lmcache_set_log_callback(nullptr, nullptr);
            told_.reset();
        }
    }

  private:
    static void tell(const char *text, void *told) noexcept { (*static_cast<function *>(told))(text); }

    std::unique_ptr<function> told_;
};

} // namespace LMCACHE_INLINE_NAMESPACE
} // namespace lmcache

#endif
