/* The C interface of liblmcache for C++17: handles that free themselves, texts and lists of the standard library, callables for callbacks, and errors as
 * exceptions. SPDX-License-Identifier: Apache-2.0
 *
 * Header only, over <lmcache.h>, whose contract is docs/ffi.md, and whose structs, numbers and constants are used as they are: what a member or a number
 * means stands there. Each part can be included alone.
 *
 * Without exceptions (LMCACHE_NO_EXCEPTIONS, or a compiler that has them off) every call returns its status, and those that give a value a `result`.
 * Objects are made by `make` and `open` then, which are there with exceptions, too; constructors are not.
 *
 * No exception crosses into the library. One that leaves a callback that runs within a call, on the caller's thread, leaves that call when it has ended
 * (replay::run, verify). One in an l2_adapter fails the task. One that leaves any other callback ends the program, as of a std::thread.
 */
#ifndef LMCACHE_HPP
#define LMCACHE_HPP

#include <lmcache/convert.hpp>
#include <lmcache/device.hpp>
#include <lmcache/error.hpp>
#include <lmcache/handle.hpp>
#include <lmcache/keys.hpp>
#include <lmcache/l2_adapter.hpp>
#include <lmcache/library.hpp>
#include <lmcache/prefetch.hpp>
#include <lmcache/reader.hpp>
#include <lmcache/record.hpp>
#include <lmcache/recorder.hpp>
#include <lmcache/replay.hpp>
#include <lmcache/span.hpp>
#include <lmcache/storage.hpp>

#endif
