// The source of the kernel itself, compiled as C++: what a GPU has built in is made of variables of the thread.
#include "kernel.h"

#include "state.h"

struct Index {
    unsigned x;
};

static thread_local Index threadIdx, blockIdx, blockDim, gridDim;

#define __global__
#define __device__
#define __align__(bytes) alignas(bytes)
#include "../../../src/device/cuda/kernels/move_runs.cu"

static bool is_reachable(uintptr_t address, size_t bytes) {
    return holding(address, bytes) != nullptr;
}

// The device sees registrations that lie behind each other as one: its addresses go on.
static bool is_reachable_in_parts(uintptr_t address, size_t bytes) {
    while (bytes > 0) {
        auto next = state.memory.upper_bound(address);
        if (next == state.memory.begin()) return false;
        auto found = std::prev(next);
        uintptr_t end = found->first + found->second.bytes;
        if (end <= address) return false;
        size_t part = end - address < bytes ? end - address : bytes;
        address += part;
        bytes -= part;
    }
    return true;
}

int run_kernel(const KernelArguments &arguments, unsigned blocks, unsigned threads) {
    const Move *moves = (const Move *)arguments.moves;
    if (!is_reachable(arguments.moves, arguments.count * sizeof(Move))) return ILLEGAL_ADDRESS;
    if (arguments.lanes == 0 || (arguments.lanes & (arguments.lanes - 1)) != 0 || threads % arguments.lanes != 0) return INVALID_VALUE;
    for (unsigned row = 0; row < arguments.count; row++) {
        if (!is_reachable_in_parts(moves[row].from, moves[row].bytes)) return ILLEGAL_ADDRESS;
        if (!is_reachable_in_parts(moves[row].to, moves[row].bytes)) return ILLEGAL_ADDRESS;
    }
    Touching touching;
    blockDim.x = threads;
    gridDim.x = blocks;
    for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++) {
        for (threadIdx.x = 0; threadIdx.x < threads; threadIdx.x++) {
            lmcache_move_runs(moves, arguments.count, arguments.lanes);
        }
    }
    return SUCCESS;
}
