// The functions of libcuda that are called, on memory of the host. It does what the documentation of the driver says, and where that leaves
// room, the harsher thing.
#include "state.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernel.h"

#define CALL(needs_context)                                     \
    Guard guard(state.lock);                                    \
    if (int code = begin(__func__, needs_context)) return code

// A call that gives something back: if it fails, as it was told to or since the device is lost, nobody can do more about it.
#define GIVE_BACK(found, was_given_back)                        \
    if (int code = begin(__func__, true)) {                     \
        if (found) was_given_back = true;                       \
        return code;                                            \
    }

static const int DEVICES = 2;

static void *new_handle() {
    static std::atomic<uintptr_t> next{0x1000};
    return (void *)(next += 0x10);
}

extern "C" {

int cuInit(unsigned flags) {
    CALL(false);
    state.is_started = flags == 0;
    return flags == 0 ? SUCCESS : INVALID_VALUE;
}

int cuDriverGetVersion(int *version) {
    CALL(false);
    *version = 12080;
    return SUCCESS;
}

int cuDeviceGetCount(int *count) {
    CALL(false);
    *count = DEVICES;
    return SUCCESS;
}

int cuDeviceGet(int *device, int ordinal) {
    CALL(false);
    if (ordinal < 0 || ordinal >= DEVICES) return INVALID_DEVICE;
    *device = ordinal;
    return SUCCESS;
}

int cuDeviceGetName(char *name, int bytes, int device) {
    CALL(false);
    snprintf(name, bytes, "Fake device %d", device);
    return SUCCESS;
}

int cuDeviceGetAttribute(int *value, int attribute, int device) {
    CALL(false);
    if (device < 0 || device >= DEVICES) return INVALID_DEVICE;
    switch (attribute) {
    case 16: *value = 2; return SUCCESS;
    case 41: *value = 1; return SUCCESS;
    case 75: *value = 8; return SUCCESS;
    case 76: *value = 0; return SUCCESS;
    case 91: *value = state.can_use_host_pointer; return SUCCESS;
    default: return INVALID_VALUE;
    }
}

int cuDevicePrimaryCtxRetain(void **context, int device) {
    CALL(false);
    if (state.lost) return state.lost;
    if (device < 0 || device >= DEVICES) return INVALID_DEVICE;
    Context &found = state.contexts[device];
    found.device = device;
    found.retained++;
    *context = &found;
    return SUCCESS;
}

int cuDevicePrimaryCtxRelease_v2(int device) {
    Guard guard(state.lock);
    Context &found = state.contexts[device];
    int code = begin(__func__, false);
    if (found.retained == 0) return misuse("a context was released once too often", INVALID_CONTEXT);
    if (--found.retained == 0) {
        auto own = state.default_streams.find(&found);
        if (own != state.default_streams.end()) {
            close_stream(own->second);
            state.default_streams.erase(own);
        }
    }
    return code;
}

int cuCtxPushCurrent_v2(void *context) {
    CALL(false);
    current.push_back((Context *)context);
    return SUCCESS;
}

int cuCtxPopCurrent_v2(void **context) {
    CALL(false);
    if (current.empty()) return misuse("a context was popped that was not pushed", INVALID_CONTEXT);
    if (context) *context = current.back();
    current.pop_back();
    return SUCCESS;
}

int cuThreadExchangeStreamCaptureMode(int *mode) {
    CALL(false);
    if (*mode < 0 || *mode > 2) return INVALID_VALUE;
    std::swap(*mode, capture_mode);
    return SUCCESS;
}

int cuMemAlloc_v2(uintptr_t *address, size_t bytes) {
    CALL(true);
    if (bytes == 0) return INVALID_VALUE;
    if (bytes > (size_t)1 << 32) return OUT_OF_MEMORY;
    int fd = memfd_create("fake-device", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, bytes) != 0) return OUT_OF_MEMORY;
    void *map = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) return OUT_OF_MEMORY;
    // As on a device: what was there before is there.
    memset(map, 0xA5, bytes);
    state.memory[(uintptr_t)map] = {Kind::device, bytes, current.back()->device, fd, "", false};
    *address = (uintptr_t)map;
    return SUCCESS;
}

int cuMemFree_v2(uintptr_t address) {
    Guard guard(state.lock);
    auto found = state.memory.find(address);
    bool is_there = found != state.memory.end() && found->second.kind == Kind::device;
    GIVE_BACK(is_there, found->second.was_freed);
    if (!is_there) return misuse("memory was freed that is none of the device's", INVALID_VALUE);
    munmap((void *)address, found->second.bytes);
    close(found->second.fd);
    state.memory.erase(found);
    return SUCCESS;
}

int cuMemHostAlloc(void **address, size_t bytes, unsigned flags) {
    CALL(true);
    if (bytes == 0 || flags > 7) return INVALID_VALUE;
    // From the C library, so that a sanitizer watches it.
    *address = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    state.memory[(uintptr_t)*address] = {Kind::host, bytes, current.back()->device, -1, "", false};
    return SUCCESS;
}

int cuMemFreeHost(void *address) {
    Guard guard(state.lock);
    auto found = state.memory.find((uintptr_t)address);
    bool is_there = found != state.memory.end() && found->second.kind == Kind::host;
    GIVE_BACK(is_there, found->second.was_freed);
    if (!is_there) return misuse("memory was freed that is none of the host's", INVALID_VALUE);
    state.memory.erase(found);
    free(address);
    return SUCCESS;
}

int cuMemHostRegister_v2(void *address, size_t bytes, unsigned flags) {
    CALL(true);
    if (bytes == 0 || flags > 15) return INVALID_VALUE;
    uintptr_t start = (uintptr_t)address;
    auto next = state.memory.lower_bound(start);
    bool overlaps = next != state.memory.end() && next->first < start + bytes;
    if (overlaps || holding(start, 1)) return ALREADY_REGISTERED;
    state.memory[start] = {Kind::registered, bytes, current.back()->device, -1, "", false};
    return SUCCESS;
}

int cuMemHostUnregister(void *address) {
    Guard guard(state.lock);
    auto found = state.memory.find((uintptr_t)address);
    bool is_there = found != state.memory.end() && found->second.kind == Kind::registered;
    GIVE_BACK(is_there, found->second.was_freed);
    if (!is_there) return misuse("memory was unregistered that was not registered", NOT_REGISTERED);
    state.memory.erase(found);
    return SUCCESS;
}

int cuPointerGetAttribute(void *value, int attribute, uintptr_t address) {
    CALL(true);
    Allocation *found = holding(address, 1);
    if (!found) return INVALID_VALUE;
    bool is_device = found->kind == Kind::device || found->kind == Kind::ipc;
    switch (attribute) {
    case 2: *(unsigned *)value = is_device ? 2 : 1; return SUCCESS;
    case 9: *(int *)value = found->device; return SUCCESS;
    default: return INVALID_VALUE;
    }
}

// A handle is the file of the memory, by process and number.
struct IpcHandle {
    char bytes[64];
};

int cuIpcGetMemHandle(IpcHandle *handle, uintptr_t address) {
    CALL(true);
    Allocation *found = holding(address, 1);
    if (!found || found->kind != Kind::device) return INVALID_VALUE;
    memset(handle, 0, sizeof *handle);
    snprintf(handle->bytes, sizeof handle->bytes, "%d %d %zu", getpid(), found->fd, found->bytes);
    return SUCCESS;
}

int cuIpcOpenMemHandle_v2(uintptr_t *address, IpcHandle handle, unsigned flags) {
    CALL(true);
    int pid, fd;
    size_t bytes;
    handle.bytes[63] = 0;
    if (flags != 1 || sscanf(handle.bytes, "%d %d %zu", &pid, &fd, &bytes) != 3) return INVALID_VALUE;
    if (pid == getpid()) return INVALID_CONTEXT;
    for (auto &[at, memory] : state.memory) {
        if (memory.kind == Kind::ipc && memory.handle == handle.bytes && memory.device == current.back()->device) return ALREADY_MAPPED;
    }
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, fd);
    int own = open(path, O_RDWR | O_CLOEXEC);
    if (own < 0) return INVALID_HANDLE;
    void *map = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, own, 0);
    close(own);
    if (map == MAP_FAILED) return OUT_OF_MEMORY;
    state.memory[(uintptr_t)map] = {Kind::ipc, bytes, current.back()->device, -1, handle.bytes, false};
    *address = (uintptr_t)map;
    return SUCCESS;
}

int cuIpcCloseMemHandle(uintptr_t address) {
    Guard guard(state.lock);
    auto found = state.memory.find(address);
    bool is_there = found != state.memory.end() && found->second.kind == Kind::ipc;
    GIVE_BACK(is_there, found->second.was_freed);
    if (!is_there) return misuse("a handle was closed that was not open", INVALID_VALUE);
    munmap((void *)address, found->second.bytes);
    state.memory.erase(found);
    return SUCCESS;
}

int cuStreamCreate(void **handle, unsigned flags) {
    CALL(true);
    if (flags > 1) return INVALID_VALUE;
    *handle = new_handle();
    state.streams[*handle] = start_stream(current.back());
    return SUCCESS;
}

int cuStreamDestroy_v2(void *handle) {
    Guard guard(state.lock);
    auto found = state.streams.find(handle);
    bool is_there = found != state.streams.end();
    GIVE_BACK(is_there, found->second->was_destroyed);
    if (!is_there) return misuse("a stream was destroyed that is none", INVALID_HANDLE);
    close_stream(found->second);
    state.streams.erase(found);
    return SUCCESS;
}

int cuStreamSynchronize(void *handle) {
    CALL(true);
    auto found = state.streams.find(handle);
    if (found == state.streams.end()) return misuse("a stream was waited for that is none", INVALID_HANDLE);
    auto stream = found->second;
    state.changed.wait(guard, [&] { return state.lost || (stream->queue.empty() && !stream->is_busy); });
    return state.lost;
}

int cuStreamQuery(void *handle) {
    CALL(true);
    auto found = state.streams.find(handle);
    if (found == state.streams.end()) return misuse("a stream was asked for that is none", INVALID_HANDLE);
    return found->second->queue.empty() && !found->second->is_busy ? SUCCESS : NOT_READY;
}

int cuStreamIsCapturing(void *handle, int *status) {
    CALL(true);
    // The default stream waits for others, so that to ask for it alone would break a capture.
    if ((uintptr_t)handle <= 2) {
        *status = 0;
        return state.default_capture ? CAPTURE_IMPLICIT : SUCCESS;
    }
    auto found = state.streams.find(handle);
    if (found == state.streams.end()) return misuse("a stream was asked for that is none", INVALID_HANDLE);
    *status = found->second->capture;
    return SUCCESS;
}

int cuEventCreate(void **handle, unsigned flags) {
    CALL(true);
    if (flags > 7) return INVALID_VALUE;
    *handle = new_handle();
    auto event = std::make_shared<Event>();
    event->context = current.back();
    state.events[*handle] = event;
    return SUCCESS;
}

int cuEventDestroy_v2(void *handle) {
    Guard guard(state.lock);
    auto found = state.events.find(handle);
    bool is_there = found != state.events.end();
    GIVE_BACK(is_there, found->second->was_destroyed);
    if (!is_there) return misuse("an event was destroyed that is none", INVALID_HANDLE);
    state.events.erase(found);
    return SUCCESS;
}

int cuEventRecord(void *handle, void *stream) {
    CALL(true);
    auto found = state.events.find(handle);
    if (found == state.events.end()) return misuse("an event was recorded that is none", INVALID_HANDLE);
    auto event = found->second;
    if (event->context != current.back()) return misuse("an event was recorded in another context", INVALID_HANDLE);
    auto on = state.streams.find(stream);
    event->is_captured = on != state.streams.end() && on->second->capture == 1;
    if (event->is_captured) return SUCCESS;
    uint64_t number = event->recorded + 1;
    int code = enqueue(stream, __func__, [event, number] {
        event->reached = number;
        return SUCCESS;
    });
    if (code == SUCCESS) event->recorded = number;
    return code;
}

int cuEventQuery(void *handle) {
    CALL(true);
    auto found = state.events.find(handle);
    if (found == state.events.end()) return misuse("an event was asked for that is none", INVALID_HANDLE);
    if (found->second->is_captured) return CAPTURED_EVENT;
    return found->second->reached == found->second->recorded ? SUCCESS : NOT_READY;
}

int cuStreamWaitEvent(void *stream, void *handle, unsigned flags) {
    CALL(true);
    auto found = state.events.find(handle);
    if (found == state.events.end() || flags > 1) return misuse("a stream was to wait for an event that is none", INVALID_HANDLE);
    auto event = found->second;
    auto waiting = state.streams.find(stream);
    if (waiting != state.streams.end()) {
        // As the driver does: who waits for a part of a graph becomes one. What is of a stream and what of a graph cannot be mixed otherwise.
        if (event->is_captured) waiting->second->capture = 1;
        else if (waiting->second->capture) return misuse("a stream that is captured was to wait for what is no part of the graph", CAPTURE_ISOLATION);
        if (waiting->second->capture) return SUCCESS;
    }
    uint64_t number = event->recorded;
    return enqueue(stream, __func__, [event, number] {
        // The thread of the stream has the lock, and gives it up to wait.
        Guard waiting(state.lock, std::adopt_lock);
        state.changed.wait(waiting, [&] { return state.lost || event->reached >= number; });
        waiting.release();
        return SUCCESS;
    });
}

// Copies without the lock, after a look at whether the memory is still there.
static int copy(uintptr_t to, uintptr_t from, size_t bytes) {
    bool to_host = is_locked_host_memory(to, bytes), from_host = is_locked_host_memory(from, bytes);
    if (!(to_host || is_device_memory(to, bytes)) || !(from_host || is_device_memory(from, bytes))) return ILLEGAL_ADDRESS;
    Touching touching;
    memmove((void *)to, (void *)from, bytes);
    return SUCCESS;
}

int cuMemcpyHtoDAsync_v2(uintptr_t to, const void *from, size_t bytes, void *stream) {
    CALL(true);
    if (!is_device_memory(to, bytes)) return misuse("a copy outside of the device's memory", INVALID_VALUE);
    if (!is_locked_host_memory((uintptr_t)from, bytes)) return misuse("a copy from memory that the driver does not know", INVALID_VALUE);
    state.copies++;
    return enqueue(stream, __func__, [=] { return copy(to, (uintptr_t)from, bytes); });
}

int cuMemcpyDtoHAsync_v2(void *to, uintptr_t from, size_t bytes, void *stream) {
    CALL(true);
    if (!is_device_memory(from, bytes)) return misuse("a copy outside of the device's memory", INVALID_VALUE);
    if (!is_locked_host_memory((uintptr_t)to, bytes)) return misuse("a copy to memory that the driver does not know", INVALID_VALUE);
    state.copies++;
    return enqueue(stream, __func__, [=] { return copy((uintptr_t)to, from, bytes); });
}

int cuMemcpyHtoD_v2(uintptr_t to, const void *from, size_t bytes) {
    CALL(true);
    if (!is_device_memory(to, bytes)) return misuse("a copy outside of the device's memory", INVALID_VALUE);
    memcpy((void *)to, from, bytes);
    return SUCCESS;
}

int cuMemcpyDtoH_v2(void *to, uintptr_t from, size_t bytes) {
    CALL(true);
    if (!is_device_memory(from, bytes)) return misuse("a copy outside of the device's memory", INVALID_VALUE);
    memcpy(to, (void *)from, bytes);
    return SUCCESS;
}

#ifndef NO_BATCH
struct Location {
    int kind, id;
};

struct CopyAttributes {
    int source_order;
    Location source, target;
    unsigned flags;
};

int cuMemcpyBatchAsync(uintptr_t *to, uintptr_t *from, size_t *bytes, size_t count, CopyAttributes *attributes, size_t *indices,
                       size_t attribute_count, size_t *failed, void *stream) {
    CALL(true);
    if (count == 0 || attribute_count != 1 || indices[0] != 0 || attributes[0].source_order != 1 || (uintptr_t)stream <= 2) {
        return misuse("a batch of copies with wrong arguments", INVALID_VALUE);
    }
    std::vector<uintptr_t> targets(to, to + count), sources(from, from + count);
    std::vector<size_t> sizes(bytes, bytes + count);
    for (size_t i = 0; i < count; i++) {
        if ((!is_device_memory(to[i], bytes[i]) && !is_locked_host_memory(to[i], bytes[i])) ||
            (!is_device_memory(from[i], bytes[i]) && !is_locked_host_memory(from[i], bytes[i]))) {
            *failed = i;
            return misuse("a copy of a batch outside of memory", INVALID_VALUE);
        }
    }
    state.batches++;
    return enqueue(stream, __func__, [=] {
        // In no order that anybody could rely on.
        for (size_t i = sizes.size(); i-- > 0;) {
            if (int code = copy(targets[i], sources[i], sizes[i])) return code;
        }
        return (int)SUCCESS;
    });
}
#endif

int cuLaunchHostFunc(void *stream, void (*function)(void *), void *data) {
    CALL(true);
    return enqueue(stream, __func__, [=] {
        Touching touching;
        is_in_host_function = true;
        function(data);
        is_in_host_function = false;
        return SUCCESS;
    });
}

int cuModuleLoadData(void **module, const char *image) {
    CALL(true);
    int major, minor;
    const char *version = strstr(image, ".version ");
    if (!version || !strstr(image, KERNEL_NAME) || sscanf(version, ".version %d.%d", &major, &minor) != 2) return INVALID_PTX;
    if (major * 10 + minor > state.newest_ptx) return UNSUPPORTED_PTX_VERSION;
    state.image.assign(image, 40);
    *module = new_handle();
    state.modules[*module] = false;
    return SUCCESS;
}

int cuModuleUnload(void *module) {
    Guard guard(state.lock);
    auto found = state.modules.find(module);
    bool is_there = found != state.modules.end();
    GIVE_BACK(is_there, found->second);
    if (!is_there) return misuse("a module was unloaded that is none", INVALID_HANDLE);
    state.modules.erase(found);
    return SUCCESS;
}

int cuModuleGetFunction(void **function, void *module, const char *name) {
    CALL(true);
    if (state.modules.count(module) == 0) return misuse("a function of a module that is none", INVALID_HANDLE);
    if (strcmp(name, KERNEL_NAME) != 0) return NOT_FOUND;
    *function = module;
    return SUCCESS;
}

int cuLaunchKernel(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y, unsigned block_z,
                   unsigned shared_bytes, void *stream, void **parameters, void **extra) {
    CALL(true);
    if (state.modules.count(function) == 0) return misuse("a launch of a function that is none", INVALID_HANDLE);
    bool is_flat = grid_y == 1 && grid_z == 1 && block_y == 1 && block_z == 1;
    if (!is_flat || grid_x == 0 || block_x == 0 || block_x > 1024 || shared_bytes != 0 || extra) return misuse("a launch of a wrong shape", INVALID_VALUE);
    KernelArguments arguments = {*(uintptr_t *)parameters[0], *(unsigned *)parameters[1], *(unsigned *)parameters[2]};
    state.launches++;
    return enqueue(stream, __func__, [=] { return run_kernel(arguments, grid_x, block_x); });
}
}
