/* Lists and texts that are passed to liblmcache without being copied. SPDX-License-Identifier: Apache-2.0 */
#ifndef LMCACHE_SPAN_HPP
#define LMCACHE_SPAN_HPP

#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <lmcache/error.hpp>

namespace lmcache {
inline namespace LMCACHE_INLINE_NAMESPACE {

/* A list of T that somebody else owns: what std::span is in C++20, from and to which it converts. */
template <class T> class span {
    template <class List>
    using of_list = std::enable_if_t<
        std::is_convertible_v<std::remove_pointer_t<decltype(std::declval<List &>().data())> (*)[], T (*)[]> &&
        std::is_convertible_v<decltype(std::declval<List &>().size()), std::size_t>>;

  public:
    using element_type = T;
    using value_type = std::remove_cv_t<T>;
    using size_type = std::size_t;
    using iterator = T *;

    constexpr span() noexcept = default;
    constexpr span(T *data, std::size_t size) noexcept : data_(data), size_(size) {}
    template <std::size_t Size> constexpr span(T (&list)[Size]) noexcept : data_(list), size_(Size) {}
    template <class List, class = of_list<List>>
    constexpr span(List &&list) noexcept : data_(list.data()), size_(list.size()) {}

    constexpr T *data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }
    constexpr bool empty() const noexcept { return size_ == 0; }
    constexpr T *begin() const noexcept { return data_; }
    constexpr T *end() const noexcept { return data_ + size_; }
    constexpr T &operator[](std::size_t index) const noexcept { return data_[index]; }
    /* The first `count`, of which there have to be as many. */
    constexpr span first(std::size_t count) const noexcept { return {data_, count}; }
    /* Those from `offset` on, or `count` of them; there have to be as many. */
    constexpr span subspan(std::size_t offset) const noexcept { return {data_ + offset, size_ - offset}; }
    constexpr span subspan(std::size_t offset, std::size_t count) const noexcept { return {data_ + offset, count}; }

  private:
    T *data_ = nullptr;
    std::size_t size_ = 0;
};

/* A text that ends in NUL, which somebody else owns, or NULL: how texts are passed to C. A std::string_view does not say that it ends in NUL, so it
 * has to be made a std::string by who calls. */
class cstring_view {
  public:
    constexpr cstring_view() noexcept = default;
    constexpr cstring_view(const char *text) noexcept : text_(text) {}
    cstring_view(const std::string &text) noexcept : text_(text.c_str()) {}

    constexpr const char *c_str() const noexcept { return text_; }

  private:
    const char *text_ = nullptr;
};

} // namespace LMCACHE_INLINE_NAMESPACE
} // namespace lmcache

#endif
