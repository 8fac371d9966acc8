// Streams as threads, and what is asked of the driver beside CUDA: to fail, to hold still, to tell what is left.
#include "state.h"

#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

// Never freed: threads of streams outlive `main`.
State &state = *new State;
thread_local std::vector<Context *> current;
thread_local bool is_in_host_function = false;
thread_local int capture_mode = 0;

int misuse(const std::string &what, int code) {
    state.misuse.push_back(what);
    return code;
}

int begin(const char *name, bool needs_context) {
    if (is_in_host_function) {
        return misuse(std::string(name) + " was called in a function of the host", NOT_PERMITTED);
    }
    uint64_t call = ++state.calls[name];
    {
        Guard guard(state.lock, std::adopt_lock);
        state.changed.wait(guard, [name] { return !state.stalled[name]; });
        guard.release();
    }
    auto failure = state.failures.find(name);
    if (failure != state.failures.end() && (failure->second.call == call || failure->second.call == 0)) {
        // A code after which nothing works comes from a device on which nothing works.
        if (failure->second.code >= 700 && failure->second.code < 720) {
            Guard guard(state.lock, std::adopt_lock);
            lose(guard, failure->second.code);
            guard.release();
        }
        return failure->second.code;
    }
    if (!state.is_started && strcmp(name, "cuInit") != 0 && strcmp(name, "cuDriverGetVersion") != 0) {
        return NOT_INITIALIZED;
    }
    if (!needs_context) {
        return SUCCESS;
    }
    if (current.empty()) {
        return misuse(std::string(name) + " was called without a context", INVALID_CONTEXT);
    }
    if (state.is_capturing && capture_mode != 2 && state.lost == 0) {
        return misuse(std::string(name) + " ended the capture of a graph", CAPTURE_UNSUPPORTED);
    }
    return state.lost;
}

void lose(Guard &guard, int code) {
    state.lost = code;
    for (auto &stream : state.running) {
        stream->is_dead = true;
    }
    state.changed.notify_all();
    state.changed.wait(guard, [] { return state.touching == 0; });
}

Touching::Touching() : guard(state.lock, std::adopt_lock) {
    state.touching++;
    guard.unlock();
}

Touching::~Touching() {
    guard.lock();
    state.touching--;
    state.changed.notify_all();
    guard.release();
}

Allocation *holding(uintptr_t address, size_t bytes) {
    auto next = state.memory.upper_bound(address);
    if (next == state.memory.begin()) {
        return nullptr;
    }
    auto found = std::prev(next);
    size_t offset = address - found->first;
    bool holds = offset <= found->second.bytes && bytes <= found->second.bytes - offset;
    return holds && (bytes == 0 || offset < found->second.bytes) ? &found->second : nullptr;
}

bool is_device_memory(uintptr_t address, size_t bytes) {
    Allocation *found = holding(address, bytes);
    return found && (found->kind == Kind::device || found->kind == Kind::ipc);
}

bool is_locked_host_memory(uintptr_t address, size_t bytes) {
    Allocation *found = holding(address, bytes);
    return found && (found->kind == Kind::host || found->kind == Kind::registered);
}

static void run_stream(std::shared_ptr<Stream> stream) {
    Guard guard(state.lock);
    for (;;) {
        state.changed.wait(guard, [&] { return (stream->is_closing && stream->queue.empty()) || (!stream->queue.empty() && !state.is_held); });
        if (stream->queue.empty()) {
            break;
        }
        Operation operation = std::move(stream->queue.front());
        stream->queue.pop_front();
        stream->is_busy = true;
        if (!stream->is_dead && state.delay_us > 0) {
            guard.unlock();
            usleep(state.delay_us);
            guard.lock();
        }
        if (!stream->is_dead) {
            int code = operation.run();
            if (code != SUCCESS && !stream->is_dead) {
                misuse(std::string(operation.name) + " failed on the device", code);
                lose(guard, code);
            }
        }
        stream->is_busy = false;
        state.changed.notify_all();
    }
    for (auto &other : state.running) {
        if (other == stream) {
            std::swap(other, state.running.back());
            state.running.pop_back();
            break;
        }
    }
    state.changed.notify_all();
}

std::shared_ptr<Stream> start_stream(Context *context) {
    auto stream = std::make_shared<Stream>();
    stream->context = context;
    state.running.push_back(stream);
    std::thread(run_stream, stream).detach();
    return stream;
}

void close_stream(const std::shared_ptr<Stream> &stream) {
    stream->is_closing = true;
    state.changed.notify_all();
}

int enqueue(void *handle, const char *name, std::function<int()> run) {
    std::shared_ptr<Stream> stream;
    // 0, 1 and 2 are the default streams of the current context.
    if ((uintptr_t)handle <= 2) {
        auto &found = state.default_streams[current.back()];
        if (!found) {
            found = start_stream(current.back());
        }
        stream = found;
    } else {
        auto found = state.streams.find(handle);
        if (found == state.streams.end()) {
            return misuse(std::string(name) + " on a stream that is none", INVALID_HANDLE);
        }
        stream = found->second;
    }
    if (stream->context != current.back()) {
        return misuse(std::string(name) + " on a stream of another context", INVALID_HANDLE);
    }
    // It becomes a part of the graph, and is not done.
    if (stream->capture) return SUCCESS;
    stream->queue.push_back({name, std::move(run)});
    state.changed.notify_all();
    return SUCCESS;
}

extern "C" {

// The call of that name with that number, counted from now on, fails with `code`; with 0 all of them do.
void fake_fail(const char *name, uint64_t call, int code) {
    Guard guard(state.lock);
    state.failures[name] = {call == 0 ? 0 : state.calls[name] + call, code};
}

uint64_t fake_calls(const char *name) {
    Guard guard(state.lock);
    return state.calls[name];
}

void fake_lose(int code) {
    Guard guard(state.lock);
    lose(guard, code);
}

// While an engine captures a graph, in the mode that PyTorch takes.
void fake_capture(int is_capturing) {
    Guard guard(state.lock);
    state.is_capturing = is_capturing != 0;
}

// An engine captures this stream: 0 not, 1 it does, 2 it did and that failed. With 0 for a stream, the default one.
void fake_capture_stream(void *handle, int capture) {
    Guard guard(state.lock);
    if (handle) {
        state.streams.at(handle)->capture = capture;
    } else {
        state.default_capture = capture;
    }
}

// While they are stalled, calls of that name do not return.
void fake_stall(const char *name, int is_stalled) {
    Guard guard(state.lock);
    state.stalled[name] = is_stalled != 0;
    state.changed.notify_all();
}

// While it is held, no stream does anything.
void fake_hold(int is_held) {
    Guard guard(state.lock);
    state.is_held = is_held != 0;
    state.changed.notify_all();
}

void fake_delay(int us) {
    Guard guard(state.lock);
    state.delay_us = us;
}

void fake_newest_ptx(int version) {
    Guard guard(state.lock);
    state.newest_ptx = version;
}

void fake_can_use_host_pointer(int can) {
    Guard guard(state.lock);
    state.can_use_host_pointer = can;
}

// What was used to move bytes, since the last reset: 0 launches, 1 copies one by one, 2 batches of copies.
int fake_count(int what) {
    Guard guard(state.lock);
    return what == 0 ? state.launches : what == 1 ? state.copies : state.batches;
}

// The beginning of the kernel that was loaded last.
void fake_image(char *out, size_t bytes) {
    Guard guard(state.lock);
    strncpy(out, state.image.c_str(), bytes - 1);
    out[bytes - 1] = 0;
}

// Everything as it was at the start, but for what is still held, which is told by `fake_left`.
void fake_reset() {
    Guard guard(state.lock);
    state.failures.clear();
    state.calls.clear();
    state.misuse.clear();
    state.lost = state.delay_us = 0;
    state.launches = state.copies = state.batches = 0;
    state.newest_ptx = 999;
    state.can_use_host_pointer = 1;
    state.is_held = state.is_capturing = false;
    state.default_capture = 0;
    state.stalled.clear();
    state.changed.notify_all();
}

static size_t words(const std::string &text, char *out, size_t bytes) {
    strncpy(out, text.c_str(), bytes - 1);
    out[bytes - 1] = 0;
    return text.size();
}

// What was done that a driver would not forgive. Returns how many.
size_t fake_misuse(char *out, size_t bytes) {
    Guard guard(state.lock);
    std::string text;
    for (auto &what : state.misuse) {
        text += what + "; ";
    }
    words(text, out, bytes);
    return state.misuse.size();
}

// What is held that nobody tried to give back, after all streams have ended that were closed. Returns how much.
size_t fake_left(char *out, size_t bytes) {
    Guard guard(state.lock);
    state.changed.wait_for(guard, std::chrono::seconds(10), [] {
        size_t open = state.streams.size() + state.default_streams.size();
        return state.running.size() <= open;
    });
    std::string text;
    size_t count = 0;
    auto left = [&](const std::string &what) {
        text += what + "; ";
        count++;
    };
    const char *kinds[] = {"memory of the device", "memory of the host", "a registration", "an opened handle"};
    for (auto &[address, memory] : state.memory) {
        if (!memory.was_freed) left(kinds[(int)memory.kind] + std::string(" of ") + std::to_string(memory.bytes));
    }
    for (auto &[handle, stream] : state.streams) {
        if (!stream->was_destroyed) left("a stream");
    }
    for (auto &[handle, event] : state.events) {
        if (!event->was_destroyed) left("an event");
    }
    for (auto &[handle, was_unloaded] : state.modules) {
        if (!was_unloaded) left("a module");
    }
    for (auto &context : state.contexts) {
        if (context.retained > 0) left("a context");
    }
    words(text, out, bytes);
    return count;
}

// Drops what calls that failed have left, as the end of a process would. A thread of a stream ends by itself.
void fake_sweep() {
    Guard guard(state.lock);
    for (auto &stream : state.running) {
        stream->is_dead = true;
        close_stream(stream);
    }
    state.changed.wait(guard, [] { return state.touching == 0; });
    state.streams.clear();
    state.default_streams.clear();
    state.events.clear();
    state.modules.clear();
    for (auto &context : state.contexts) {
        context.retained = 0;
    }
    for (auto &[address, memory] : state.memory) {
        if (memory.kind == Kind::host) free((void *)address);
        if (memory.kind == Kind::device || memory.kind == Kind::ipc) munmap((void *)address, memory.bytes);
        if (memory.fd >= 0) close(memory.fd);
    }
    state.memory.clear();
}
}
