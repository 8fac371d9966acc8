/* Traces in other forms, looked at closely, and repaired. SPDX-License-Identifier: Apache-2.0 */
#ifndef LMCACHE_CONVERT_HPP
#define LMCACHE_CONVERT_HPP

#include <cstdint>
#include <string_view>

#include <lmcache/handle.hpp>
#include <lmcache/span.hpp>

namespace lmcache {
inline namespace LMCACHE_INLINE_NAMESPACE {

using convert_options = sized<lmcache_convert_options>;
/* What a conversion read and wrote. */
using conversion = sized<lmcache_conversion>;
/* What a repair copied, and what it could not. */
using repair_report = sized<lmcache_repair_report>;
/* What a close look at a trace found. */
using verify_report = sized<lmcache_verify_report>;

/* Something that `verify` found; the texts are borrowed for the time of the call. */
struct finding {
    /* Its kind in a word. */
    std::string_view kind;
    /* Its place in the file; LMCACHE_NOT_KNOWN if it has none. */
    std::uint64_t offset;
    std::string_view sentence;
};

/* Writes a trace in another form, beside the output and moved to its place once it is whole. */
inline result<conversion> convert(cstring_view input, cstring_view output, const convert_options &options = {}) {
    conversion report;
    const lmcache_status status = lmcache_convert(input.c_str(), output.c_str(), &options, &report);
    return detail::given(status, report);
}

/* Copies what is left of a native trace that was not closed or is damaged, as a sealed file. */
inline result<repair_report> repair(cstring_view input, cstring_view output) {
    repair_report report;
    const lmcache_status status = lmcache_repair(input.c_str(), output.c_str(), &report);
    return detail::given(status, report);
}

/* Looks at every byte of a trace that a checksum covers. What it finds is no error: `findings` says how many there are. */
inline result<verify_report> verify(cstring_view path) {
    verify_report report;
    const lmcache_status status = lmcache_verify(path.c_str(), nullptr, nullptr, &report);
    return detail::given(status, report);
}

namespace detail {

/* Who is told of findings. */
template <class Function> struct finding_call {
    Function *told;
#ifndef LMCACHE_NO_EXCEPTIONS
    std::exception_ptr thrown{};
#endif

    static void tell(const char *kind, std::uint64_t offset, const char *sentence, void *call) noexcept {
        auto &self = *static_cast<finding_call *>(call);
#ifndef LMCACHE_NO_EXCEPTIONS
        if (self.thrown)
            return;
        try {
            (*self.told)(finding{kind, offset, sentence});
        } catch (...) {
            self.thrown = std::current_exception();
        }
#else
        (*self.told)(finding{kind, offset, sentence});
#endif
    }
};

} // namespace detail

/* The same; `told(finding)` is told of the first 16 findings of each kind, on this thread. An exception that leaves it leaves `verify` when that is
 * done, which goes on to the end of the file without telling. */
template <class Told> result<verify_report> verify(cstring_view path, Told told) {
    using call = detail::finding_call<Told>;
    call telling{&told};
    verify_report report;
    const lmcache_status status = lmcache_verify(path.c_str(), call::tell, &telling, &report);
#ifndef LMCACHE_NO_EXCEPTIONS
    if (telling.thrown)
        std::rethrow_exception(telling.thrown);
#endif
    return detail::given(status, report);
}

} // namespace LMCACHE_INLINE_NAMESPACE
} // namespace lmcache

#endif
