/* The C interface of liblmcache. SPDX-License-Identifier: Apache-2.0
 *
 * Made by cbindgen from src/ffi; do not edit. `LMCACHE_BLESS=1 cargo test --test header` makes it anew.
 * Needs C99 or C++11. Every rule of the interface is in the comment of the function that it is about. */

#ifndef LMCACHE_H
#define LMCACHE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/*
 The version of the C ABI that this library speaks. It goes up whenever a host compiled against an older
 header could misread what a newer library does.
 */
#define LMCACHE_ABI_VERSION 0

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 The ABI version of the library that was loaded; compare it with `LMCACHE_ABI_VERSION` of the header that
 the host was compiled with, and refuse to go on if they differ. Any thread may call this at any time.
 */
uint32_t lmcache_abi_version(void);

/*
 The version of the library as text, for instance "0.1.0": static, never NULL, not to be freed. Any thread
 may call this at any time.
 */
const char *lmcache_version(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* LMCACHE_H */
