// Records through the layer for C++17, with exceptions and without.
#include <cstdio>
#include <cstdlib>
#include <lmcache.hpp>

static void expect(bool is_so, const char *what) {
    if (!is_so) {
        std::fprintf(stderr, "not so: %s (last error: %s)\n", what, lmcache::last_error().c_str());
        std::exit(1);
    }
}
#define EXPECT(condition) expect(condition, #condition)

static std::vector<lmcache::hash> hashes_of(unsigned prompt) {
    std::vector<lmcache::hash> hashes(16);
    for (unsigned chunk = 0; chunk < hashes.size(); chunk++)
        hashes[chunk] = {static_cast<std::uint8_t>(prompt), static_cast<std::uint8_t>(chunk), 1};
    return hashes;
}

static void work(const lmcache::producer &producer, const lmcache::scope &scope, const lmcache::layout &layout) {
    for (unsigned prompt = 0; prompt < 10; prompt++) {
        const auto hashes = hashes_of(prompt);
        const lmcache_key_list keys = lmcache::keys(hashes, scope);
        EXPECT(producer.reserve_write(keys, layout) == LMCACHE_STATUS_OK);
        EXPECT(producer.finish_write(keys) == LMCACHE_STATUS_OK);
        lmcache_call_id call{};
        EXPECT(producer.read_enter(keys, &call) == LMCACHE_STATUS_OK);
        EXPECT(producer.complete(call, {sizeof(lmcache_completion), LMCACHE_OUTCOME_DONE, 16, 16, 1, LMCACHE_NOT_KNOWN_NS, 1024}) == LMCACHE_STATUS_OK);
        EXPECT(producer.read_exit(keys) == LMCACHE_STATUS_OK);
        EXPECT(producer.finish_read(keys) == LMCACHE_STATUS_OK);
        const std::uint8_t bytes[] = {1, 2, 3};
        EXPECT(producer.host_call("engine.done", {bytes, 3}) == LMCACHE_STATUS_OK);
    }
}

#ifdef LMCACHE_NO_EXCEPTIONS
int main() {
    lmcache::scope scope;
    lmcache::layout layout;
    lmcache::recorder recorder;
    lmcache::producer producer;
    const lmcache::tensor tensor{{2, 16}, "torch.bfloat16"};
    EXPECT(lmcache::scope::make(scope, "m", 0, 0, "") == LMCACHE_STATUS_OK);
    EXPECT(lmcache::layout::make(layout, {&tensor, 1}) == LMCACHE_STATUS_OK);
    lmcache_recorder_options options = LMCACHE_RECORDER_OPTIONS_INIT;
    options.path = "cpp.lct";
    EXPECT(lmcache::recorder::open(recorder, options) == LMCACHE_STATUS_OK);
    EXPECT(lmcache::producer::make(producer, recorder) == LMCACHE_STATUS_OK);
    work(producer, scope, layout);
    producer.reset();
    EXPECT(recorder.close() == LMCACHE_STATUS_OK && recorder.stats().calls == 60);
    options.path = "no such folder/cpp.lct";
    EXPECT(lmcache::recorder::open(recorder, options) == LMCACHE_STATUS_NOT_FOUND && !recorder);
    std::puts("60 calls");
}
#else
int main() {
    lmcache::scope scope("m", 1, 2, "tenant");
    const std::vector<lmcache::tensor> tensors = {{{2, 16}, "torch.bfloat16"}};
    const lmcache::layout layout(tensors);
    EXPECT(layout.size_bytes() == 64);
    lmcache::recorder recorder(std::string("cpp.lct"));
    EXPECT(lmcache_is_recording(recorder.gate()));
    lmcache::producer producer(recorder);
    work(producer, scope, layout);
    lmcache::producer moved = std::move(producer);
    EXPECT(!producer && moved);
    moved = lmcache::producer();
    recorder.close();
    EXPECT(recorder.stats().calls == 60 && recorder.stats().lost == 0);
    try {
        lmcache::recorder nowhere(std::string("no such folder/cpp.lct"));
        EXPECT(false);
    } catch (const lmcache::error &error) {
        EXPECT(error.status() == LMCACHE_STATUS_NOT_FOUND);
        EXPECT(std::string(error.what()).find("no such folder") != std::string::npos);
    }
    std::puts("60 calls");
}
#endif
