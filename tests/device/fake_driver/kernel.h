// The kernel, on a processor.
#pragma once

#include <cstdint>

#define KERNEL_NAME "lmcache_move_runs"

struct KernelArguments {
    uintptr_t moves;
    unsigned count, lanes;
};

// Runs every thread of the grid after the other, if all that the table names is memory that the device reaches. With the lock.
int run_kernel(const KernelArguments &arguments, unsigned blocks, unsigned threads);
