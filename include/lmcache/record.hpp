/* What stands in a trace, as a reader gives it: borrowed, and nothing copied. SPDX-License-Identifier: Apache-2.0
 *
 * The classes are the structs of C, with their numbers; members that are a pointer and a length there are functions here, of the same names, that give
 * both together. Scopes and layouts are valid until the reader is freed, and equal ones have one address. Everything else is valid until the next call
 * on the reader, whether it was kept or not.
 */
#ifndef LMCACHE_RECORD_HPP
#define LMCACHE_RECORD_HPP

#include <cstdint>
#include <string_view>

#include <lmcache/handle.hpp>
#include <lmcache/span.hpp>

namespace lmcache {
inline namespace LMCACHE_INLINE_NAMESPACE {

/* What the keys of a prompt have in common, as it was recorded: a scope of C is one. */
class scope_view {
  public:
    scope_view(const lmcache_recorded_scope &of) noexcept : of_(&of) {}

    std::string_view model_name() const noexcept { return {of_->model_name, of_->model_name_length}; }
    /* The tenant; "" if none was recorded. */
    std::string_view cache_salt() const noexcept { return {of_->cache_salt, of_->cache_salt_length}; }
    std::int64_t kv_rank() const noexcept { return of_->kv_rank; }
    std::uint32_t object_group_id() const noexcept { return of_->object_group_id; }
    /* Of one reader, the same for equal scopes, and for others another. */
    const lmcache_recorded_scope *address() const noexcept { return of_; }

  private:
    const lmcache_recorded_scope *of_;
};

/* A key: a key of C is one. */
class key_view {
  public:
    key_view(const lmcache_recorded_key &of) noexcept : of_(&of) {}

    span<const std::uint8_t> hash() const noexcept { return {of_->hash, of_->hash_bytes}; }
    scope_view scope() const noexcept { return *of_->scope; }

  private:
    const lmcache_recorded_key *of_;
};

/* One row of a prefetch: a row of C is one. */
class row_view {
  public:
    row_view(const lmcache_recorded_row &of) noexcept : of_(&of) {}

    span<const lmcache_recorded_key> keys() const noexcept { return {of_->keys, of_->key_count}; }
    const lmcache_recorded_layout &layout() const noexcept { return *of_->layout; }
    std::int64_t sliding_window_size() const noexcept { return of_->sliding_window_size; }
    std::uint32_t object_group_id() const noexcept { return of_->object_group_id; }

  private:
    const lmcache_recorded_row *of_;
};

/* A record: `kind` says which members mean something. */
struct record : sized<lmcache_record> {
    /* `for (lmcache::key_view key : record.keys())` */
    span<const lmcache_recorded_key> keys() const noexcept { return {lmcache_record::keys, key_count}; }
    /* `for (lmcache::row_view row : record.rows())` */
    span<const lmcache_recorded_row> rows() const noexcept { return {lmcache_record::rows, row_count}; }
    std::string_view name() const noexcept { return {lmcache_record::name, name_length}; }
    std::string_view request_id() const noexcept { return {lmcache_record::request_id, request_id_length}; }
    span<const std::uint8_t> bytes() const noexcept { return {lmcache_record::bytes, byte_count}; }
};

/* What a file says about itself; its texts are valid until the reader is freed. */
using trace_header = sized<lmcache_trace_header>;

/* What a walk has met since the reader was opened, rewound or sent to another place. */
using reader_stats = sized<lmcache_reader_stats>;

/* Something that could not be read; its reason is valid until the next call on the reader. */
using damage = sized<lmcache_damage>;

} // namespace LMCACHE_INLINE_NAMESPACE
} // namespace lmcache

#endif
