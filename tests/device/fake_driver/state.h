// What the fake driver keeps: who holds what, what was asked to fail, and what was done wrong.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

enum Code {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    INVALID_DEVICE = 101,
    INVALID_CONTEXT = 201,
    ALREADY_MAPPED = 208,
    INVALID_PTX = 218,
    UNSUPPORTED_PTX_VERSION = 222,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    NOT_READY = 600,
    ILLEGAL_ADDRESS = 700,
    ALREADY_REGISTERED = 712,
    NOT_REGISTERED = 713,
    NOT_PERMITTED = 800,
    CAPTURE_UNSUPPORTED = 900,
    CAPTURE_ISOLATION = 905,
    CAPTURE_IMPLICIT = 906,
    CAPTURED_EVENT = 907,
};

enum class Kind { device, host, registered, ipc };

// Memory that the driver knows. `was_freed`: a free of it was asked for and failed, as it was told to.
struct Allocation {
    Kind kind;
    size_t bytes;
    int device;
    int fd;
    std::string handle;
    bool was_freed;
};

struct Context {
    int device = 0;
    int retained = 0;
};

struct Event {
    Context *context;
    uint64_t recorded = 0;
    uint64_t reached = 0;
    // Recorded on a stream that is captured: a part of a graph, which is never reached.
    bool is_captured = false;
    bool was_destroyed = false;
};

struct Operation {
    const char *name;
    std::function<int()> run;
};

struct Stream {
    Context *context;
    std::deque<Operation> queue;
    bool is_busy = false;
    // What is queued on a device that was lost is never done.
    bool is_dead = false;
    bool is_closing = false;
    // What is asked of it becomes a graph: 1, or 2 where that failed.
    int capture = 0;
    bool was_destroyed = false;
};

struct Failure {
    uint64_t call;
    int code;
};

// One lock for all: what is tested is who waits for whom, not how fast the fake is. Threads of streams give it up while they copy.
struct State {
    std::mutex lock;
    std::condition_variable changed;
    bool is_started = false;
    int lost = 0;
    bool is_held = false;
    // Whether an engine captures a graph, so that nobody may call what could be a part of it.
    bool is_capturing = false;
    // Calls that do not return, by name, until they are let go.
    std::map<std::string, bool> stalled;
    int default_capture = 0;
    int delay_us = 0;
    int newest_ptx = 999;
    int can_use_host_pointer = 1;
    Context contexts[8];
    std::map<uintptr_t, Allocation> memory;
    std::map<void *, std::shared_ptr<Stream>> streams;
    std::map<void *, std::shared_ptr<Event>> events;
    std::map<void *, bool> modules;
    std::map<Context *, std::shared_ptr<Stream>> default_streams;
    std::map<std::string, uint64_t> calls;
    std::map<std::string, Failure> failures;
    std::vector<std::string> misuse;
    std::vector<std::shared_ptr<Stream>> running;
    // How many threads of streams touch memory, without the lock.
    int touching = 0;
    int batches = 0;
    int launches = 0;
    int copies = 0;
    std::string image;
};

extern State &state;

// The thread's contexts, the current one last; and whether the thread is in a function of the host, in which no call is allowed.
extern thread_local std::vector<Context *> current;
extern thread_local bool is_in_host_function;
// How the thread has it with captures of others: 0 it is a part of them, 2 it is not.
extern thread_local int capture_mode;

using Guard = std::unique_lock<std::mutex>;

// What every call begins with: counts it, and says how it has to fail.
int begin(const char *name, bool needs_context);
int misuse(const std::string &what, int code);
// From now on nothing works, and nothing is under way. With the lock.
void lose(Guard &guard, int code);
// While memory is touched, without the lock.
struct Touching {
    Guard guard;
    Touching();
    ~Touching();
};

// The allocation that holds all of these bytes, or null. With the lock.
Allocation *holding(uintptr_t address, size_t bytes);
bool is_device_memory(uintptr_t address, size_t bytes);
// Copies by the engine reach pages that are locked, of one allocation or one registration.
bool is_locked_host_memory(uintptr_t address, size_t bytes);

std::shared_ptr<Stream> start_stream(Context *context);
void close_stream(const std::shared_ptr<Stream> &stream);
int enqueue(void *handle, const char *name, std::function<int()> run);
