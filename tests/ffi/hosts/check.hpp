// What the hosts in C++ check with.
#ifndef CHECK_HPP
#define CHECK_HPP

#include "check.h"

#include <lmcache.hpp>
#include <utility>

// What a call gives, with exceptions and without.
#ifdef LMCACHE_NO_EXCEPTIONS
template <class T> T value_of(lmcache::result<T> result) {
    OK(result.status());
    CHECK(result);
    return std::move(*result);
}
inline lmcache_status status_of(lmcache_status status) { return status; }
template <class T> lmcache_status status_of(const lmcache::result<T> &result) { return result.status(); }
#else
template <class T> T value_of(T value) { return value; }
#endif

// That a call fails, as it does with exceptions and without.
template <class Call> void fails(lmcache_status expected, Call call) {
#ifdef LMCACHE_NO_EXCEPTIONS
    STATUS(status_of(call()), expected);
#else
    try {
        (void)call();
        CHECK(!"a call that has to fail");
    } catch (const lmcache::error &error) {
        STATUS(error.status(), expected);
    }
#endif
}

#endif
