/* What calls on objects are about, recorded or made: keys, layouts, and rows of prefetches. SPDX-License-Identifier: Apache-2.0 */
#ifndef LMCACHE_KEYS_HPP
#define LMCACHE_KEYS_HPP

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <lmcache/handle.hpp>
#include <lmcache/span.hpp>

namespace lmcache {
inline namespace LMCACHE_INLINE_NAMESPACE {

/* A hash of LMCache's length. */
using hash = std::array<std::uint8_t, 32>;

/* What the keys of a prompt have in common. It never changes; any number of threads may use it at once. */
class scope : public owned<lmcache_scope, lmcache_scope_free> {
  public:
    static lmcache_status make(scope &out, cstring_view model_name, std::int64_t kv_rank = 0, std::uint32_t object_group_id = 0,
                               cstring_view cache_salt = {}) {
        return check(lmcache_scope_new(model_name.c_str(), kv_rank, object_group_id, cache_salt.c_str(), out.out()));
    }

    scope() noexcept = default;
#ifndef LMCACHE_NO_EXCEPTIONS
    explicit scope(cstring_view model_name, std::int64_t kv_rank = 0, std::uint32_t object_group_id = 0, cstring_view cache_salt = {}) {
        make(*this, model_name, kv_rank, object_group_id, cache_salt);
    }
#endif
};

/* One tensor of a layout: its shape and the name of its type in torch. */
struct tensor {
    std::vector<std::uint64_t> shape;
    std::string dtype;
};

/* How an object lies in memory. It never changes; any number of threads may use it at once. */
class layout : public owned<lmcache_layout, lmcache_layout_free> {
  public:
    static lmcache_status make(layout &out, span<const lmcache_tensor> tensors) {
        return check(lmcache_layout_new(tensors.data(), tensors.size(), out.out()));
    }
    static lmcache_status make(layout &out, span<const tensor> tensors) {
        std::vector<lmcache_tensor> list;
        list.reserve(tensors.size());
        for (const tensor &one : tensors)
            list.push_back({one.shape.data(), one.shape.size(), one.dtype.c_str()});
        return make(out, span<const lmcache_tensor>(list));
    }
    /* One that a reader gave. */
    static lmcache_status make(layout &out, const lmcache_recorded_layout &recorded) {
        return make(out, span<const lmcache_tensor>(recorded.tensors, recorded.tensor_count));
    }

    layout() noexcept = default;
#ifndef LMCACHE_NO_EXCEPTIONS
    explicit layout(const tensor &only) { make(*this, span<const tensor>(&only, 1)); }
    explicit layout(span<const tensor> tensors) { make(*this, tensors); }
    explicit layout(const lmcache_recorded_layout &recorded) { make(*this, recorded); }
#endif

    /* Of an object, alignment not included. */
    result<std::uint64_t> size_bytes() const {
        std::uint64_t bytes = 0;
        const lmcache_status status = lmcache_layout_size_bytes(get(), &bytes);
        return detail::given(status, bytes);
    }
};

/* Keys of one scope; hashes and scope are borrowed, so both live at least as long as the list is used. Hashes of other lengths, and keys with a
 * scope each, are a lmcache_key_list that the caller fills. */
inline lmcache_key_list keys(span<const hash> hashes, const scope &of) noexcept {
    return {reinterpret_cast<const std::uint8_t *>(hashes.data()), hashes.size(), sizeof(hash), of.get(), nullptr};
}

/* One row of a prefetch: the keys of one object group and rank, of which the last `sliding_window_size` are needed, or all if it is -1. Keys and
 * layout are borrowed, as of a list of keys. */
inline lmcache_prefetch_row prefetch_row(const lmcache_key_list &keys, const layout &as, std::int64_t sliding_window_size = -1,
                                         std::uint32_t object_group_id = 0) noexcept {
    return {keys, as.get(), sliding_window_size, object_group_id, 0};
}

/* What a prefetch asks for: its rows, which are borrowed, for one reader, a prefix, with locks. What is to be otherwise is set afterwards. */
struct prefetch_spec : lmcache_prefetch_spec {
    explicit prefetch_spec(span<const lmcache_prefetch_row> list) noexcept
        : lmcache_prefetch_spec{list.data(), list.size(), 1, LMCACHE_FETCH_PREFIX, LMCACHE_LOCK, 0, 0} {}
    /* One row. */
    explicit prefetch_spec(const lmcache_prefetch_row &row) noexcept : prefetch_spec(span<const lmcache_prefetch_row>(&row, 1)) {}
    /* It would be gone before it was used. */
    explicit prefetch_spec(lmcache_prefetch_row &&) = delete;
};

} // namespace LMCACHE_INLINE_NAMESPACE
} // namespace lmcache

#endif
