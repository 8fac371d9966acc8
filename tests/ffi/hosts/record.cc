// Records through the layer for C++17, with exceptions and without.
#include "check.hpp"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <thread>
#include <vector>

// What C++ allocates is counted; the library does not use it. Not inlined, or gcc takes `new` and `free` for a pair that does not fit.
static std::atomic<std::size_t> allocations{0};

[[gnu::noinline]] void *operator new(std::size_t size) {
    allocations++;
    void *place = std::malloc(size);
    CHECK(place);
    return place;
}
[[gnu::noinline]] void operator delete(void *place) noexcept { std::free(place); }
[[gnu::noinline]] void operator delete(void *place, std::size_t) noexcept { std::free(place); }

static std::vector<lmcache::hash> hashes_of(unsigned prompt) {
    std::vector<lmcache::hash> hashes(16);
    for (unsigned chunk = 0; chunk < hashes.size(); chunk++)
        hashes[chunk] = {static_cast<std::uint8_t>(prompt), static_cast<std::uint8_t>(chunk), 1};
    return hashes;
}

static void work(lmcache::producer &producer, const lmcache::scope &scope, const lmcache::layout &layout) {
    for (unsigned prompt = 0; prompt < 10; prompt++) {
        const auto hashes = hashes_of(prompt);
        const std::size_t before = allocations;
        const lmcache_key_list keys = lmcache::keys(hashes, scope);
        const lmcache_prefetch_row row = lmcache::prefetch_row(keys, layout);
        lmcache::prefetch_spec spec(row);
        spec.num_kv_readers = 2;
        OK(producer.reserve_write(keys, layout));
        OK(producer.finish_write(keys));
        lmcache_call_id call{};
        OK(producer.submit_prefetch(spec, "a request with a name that no small string holds", &call));
        OK(producer.complete(call, {sizeof(lmcache_completion), LMCACHE_OUTCOME_DONE, 16, 16, 1, LMCACHE_NOT_KNOWN_NS, 1024}));
        OK(producer.read_enter(keys));
        OK(producer.read_exit(keys));
        OK(producer.finish_read(keys, 2));
        const std::uint8_t bytes[] = {1, 2, 3};
        OK(producer.host_call("engine.has_done_what_it_had_to_do", bytes));
        CHECK(allocations == before);
    }
}

// A recording whose file is deleted ends by itself, and says so: to the recorder's function and to the log.
static void stops_by_itself() {
    std::string said, logged;
    std::atomic<int> times{0};
    lmcache::log_callback log;
    OK(lmcache::log_callback::set(log, [&](std::string_view text) { logged += text; }));
    CHECK(log);
    lmcache::recorder_options options("stops.lct");
    options.on_stop = [&](std::string_view reason) {
        said = reason;
        times++;
    };
    lmcache::recorder recorder;
    OK(lmcache::recorder::open(recorder, options));
    const std::uint32_t *gate = value_of(recorder.gate());
    CHECK(lmcache_is_recording(gate));
    CHECK(std::remove("stops.lct") == 0);
    while (lmcache_is_recording(gate) || times == 0)
        std::this_thread::yield();
    // The function goes where the recorder goes.
    lmcache::recorder moved = std::move(recorder);
    CHECK(moved && !recorder);
    moved = lmcache::recorder();
    CHECK(times == 1 && said.find("deleted") != std::string::npos);
    log.reset();
    CHECK(!log && logged.find(said) != std::string::npos);
}

#ifdef LMCACHE_NO_EXCEPTIONS
static void records() {
    lmcache::scope scope;
    lmcache::layout layout;
    lmcache::recorder recorder;
    lmcache::producer producer;
    const lmcache::tensor tensor{{2, 16}, "torch.bfloat16"};
    OK(lmcache::scope::make(scope, "m", 0, 0, "tenant"));
    OK(lmcache::layout::make(layout, {&tensor, 1}));
    OK(lmcache::recorder::open(recorder, lmcache::recorder_options("cpp.lct")));
    OK(lmcache::producer::make(producer, recorder));
    work(producer, scope, layout);
    producer.reset();
    STATUS(producer.finish_write(lmcache::keys(hashes_of(1), scope)), LMCACHE_STATUS_NULL_POINTER);
    OK(recorder.close());
    CHECK(recorder.stats()->calls == 70);
    STATUS(lmcache::recorder::open(recorder, lmcache::recorder_options("no such folder/cpp.lct")), LMCACHE_STATUS_NOT_FOUND);
    CHECK(!recorder && !recorder.stats());
    STATUS(recorder.stats().status(), LMCACHE_STATUS_NULL_POINTER);
}
#else
static void records() {
    const lmcache::scope scope("m", 1, 2, "tenant");
    const lmcache::layout layout(lmcache::tensor{{2, 16}, "torch.bfloat16"});
    CHECK(layout.size_bytes() == 64);
    lmcache::recorder recorder("cpp.lct");
    CHECK(lmcache_is_recording(recorder.gate()));
    lmcache::producer producer(recorder);
    work(producer, scope, layout);
    recorder.set_enabled(false);
    STATUS(producer.finish_write(lmcache::keys(hashes_of(1), scope)), LMCACHE_STATUS_DROPPED);
    lmcache::producer moved = std::move(producer);
    CHECK(!producer && moved);
    moved = lmcache::producer();
    recorder.flush();
    recorder.close();
    CHECK(recorder.stats().calls == 70 && recorder.stats().lost == 0);
    try {
        lmcache::recorder nowhere("no such folder/cpp.lct");
        CHECK(false);
    } catch (const lmcache::error &error) {
        CHECK(error.status() == LMCACHE_STATUS_NOT_FOUND);
        CHECK(std::string(error.what()).find("NOT_FOUND: ") == 0 && lmcache::last_error() == error.what() + 11);
        CHECK(error.hint() == lmcache::last_error_hint());
    }
    try {
        producer.finish_write(lmcache::keys(hashes_of(1), scope));
        CHECK(false);
    } catch (const std::runtime_error &error) {
        CHECK(std::string(error.what()).find("NULL_POINTER: ") == 0);
    }
}
#endif

int main() {
    OK(lmcache::check_abi());
    CHECK(!lmcache::version().empty() && std::string(lmcache::status_name(LMCACHE_STATUS_BUSY)) == "BUSY");
    records();
    stops_by_itself();
    std::puts("70 calls");
}
