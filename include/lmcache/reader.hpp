/* Reading traces, LMCache's and native, record by record. SPDX-License-Identifier: Apache-2.0 */
#ifndef LMCACHE_READER_HPP
#define LMCACHE_READER_HPP

#include <cstddef>
#include <cstdint>
#include <iterator>

#include <lmcache/record.hpp>

namespace lmcache {
inline namespace LMCACHE_INLINE_NAMESPACE {

/* An open trace and a place in it. One thread at a time may use it, whichever. Damage in a file is no error: it is stepped over and counted. */
class reader : public owned<lmcache_reader, lmcache_reader_free> {
  public:
    /* LMCACHE_READ_MAPPED reads the file in place: nobody may shorten it, or change bytes that are in it, before the reader is freed. */
    static lmcache_status open(reader &out, cstring_view path, std::uint32_t read_mode = LMCACHE_READ_BUFFERED) {
        return check(lmcache_reader_open(path.c_str(), read_mode, out.out()));
    }
    /* A trace that is in memory; the bytes are copied. */
    static lmcache_status open(reader &out, span<const std::uint8_t> bytes) {
        return check(lmcache_reader_open_bytes(bytes.data(), bytes.size(), out.out()));
    }

    reader() noexcept = default;
#ifndef LMCACHE_NO_EXCEPTIONS
    explicit reader(cstring_view path, std::uint32_t read_mode = LMCACHE_READ_BUFFERED) { open(*this, path, read_mode); }
    explicit reader(span<const std::uint8_t> bytes) { open(*this, bytes); }
#endif

    result<trace_header> header() {
        trace_header header;
        const lmcache_status status = lmcache_reader_get_header(get(), &header);
        return detail::given(status, header);
    }
    /* The next record, or LMCACHE_STATUS_END, which leaves `out` as it is. */
    lmcache_status next(record &out) { return check(lmcache_reader_next(get(), &out)); }
    /* Back to the first record; what was counted begins anew. */
    lmcache_status rewind() { return check(lmcache_reader_rewind(get())); }
    /* To the call that so many come before, or LMCACHE_STATUS_END if there are fewer. */
    lmcache_status seek_call(std::uint64_t number) { return check(lmcache_reader_seek_call(get(), number)); }
    /* To the first call of that time or later, or LMCACHE_STATUS_END. */
    lmcache_status seek_time(double t_mono_s) { return check(lmcache_reader_seek_time(get(), t_mono_s)); }

    result<reader_stats> stats() {
        reader_stats stats;
        const lmcache_status status = lmcache_reader_get_stats(get(), &stats);
        return detail::given(status, stats);
    }
    /* One of the damages that were met, from 0, or LMCACHE_STATUS_END: the first LMCACHE_MAX_KEPT_DAMAGES are kept. */
    lmcache_status get_damage(std::size_t position, damage &out) { return check(lmcache_reader_get_damage(get(), position, &out)); }

#ifndef LMCACHE_NO_EXCEPTIONS
    /* Where a loop over records is. It moves the reader, so there is one at a time. */
    class iterator {
      public:
        using iterator_category = std::input_iterator_tag;
        using value_type = record;
        using difference_type = std::ptrdiff_t;
        using pointer = const record *;
        using reference = const record &;

        iterator() noexcept = default;
        explicit iterator(reader &of) : of_(&of) { ++*this; }

        reference operator*() const noexcept { return record_; }
        pointer operator->() const noexcept { return &record_; }
        iterator &operator++() {
            if (of_->next(record_) != LMCACHE_STATUS_OK)
                of_ = nullptr;
            return *this;
        }
        void operator++(int) { ++*this; }
        friend bool operator==(const iterator &left, const iterator &right) noexcept { return left.of_ == right.of_; }
        friend bool operator!=(const iterator &left, const iterator &right) noexcept { return left.of_ != right.of_; }

      private:
        reader *of_ = nullptr;
        record record_;
    };

    /* `for (const lmcache::record &record : reader)` goes from where the reader stands to the end. */
    iterator begin() { return iterator(*this); }
    iterator end() noexcept { return {}; }
#endif
};

} // namespace LMCACHE_INLINE_NAMESPACE
} // namespace lmcache

#endif
