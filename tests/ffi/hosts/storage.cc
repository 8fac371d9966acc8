// Every call on a storage manager through the layer for C++17, where things go wrong: what engine.cc, where they go right, does not see.
#include "check.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;

constexpr std::size_t kKeys = 4;
constexpr std::size_t kBytes = 64;

std::array<lmcache::hash, kKeys> hashes() {
    std::array<lmcache::hash, kKeys> hashes{};
    for (std::size_t i = 0; i < kKeys; i++)
        hashes[i][0] = static_cast<std::uint8_t>(i + 1);
    return hashes;
}

// A storage manager, and what calls on it are about.
struct Engine {
    lmcache::scope scope;
    lmcache::layout layout;
    lmcache::storage storage;
    const std::array<lmcache::hash, kKeys> names = hashes();
    lmcache_key_list keys;
    lmcache_prefetch_row row;

    explicit Engine(const char *config_json) {
        const lmcache::tensor tensor = {{2, kBytes / 4}, "torch.bfloat16"};
        OK(lmcache::scope::make(scope, "org/model", 0x01000100, 0, "tenant"));
        OK(lmcache::layout::make(layout, {&tensor, 1}));
        OK(lmcache::storage::make(storage, lmcache::storage_options(config_json)));
        keys = lmcache::keys(names, scope);
        row = lmcache::prefetch_row(keys, layout);
    }

    void write() const {
        std::array<lmcache_write_buffer, kKeys> buffers;
        std::array<std::uint32_t, kKeys> l1_managers, outcomes;
        OK(storage.reserve_write(keys, layout, buffers));
        for (std::size_t i = 0; i < kKeys; i++) {
            CHECK(buffers[i].outcome == LMCACHE_KEY_SUCCESS && buffers[i].size_bytes == kBytes);
            std::memset(buffers[i].data, static_cast<int>(i + 1), kBytes);
            l1_managers[i] = buffers[i].l1_manager;
        }
        OK(storage.finish_write(keys, outcomes, l1_managers));
        for (std::uint32_t outcome : outcomes)
            CHECK(outcome == LMCACHE_KEY_SUCCESS);
    }

    lmcache_prefetch_result prefetched(lmcache::prefetch &prefetch) const {
        lmcache::prefetch_result result;
        OK(prefetch.wait_for(10s, &result));
        return result;
    }
};

constexpr const char *kSmall = "{\"l1_size_gb\": 0.0009765625, \"eviction_policy\": \"LRU\"}";

void reads_and_gives_up() {
    const Engine engine(kSmall);
    engine.write();
    const lmcache::storage &storage = engine.storage;
    const lmcache::prefetch_spec spec(engine.row);
    lmcache::prefetch prefetch;
    OK(lmcache::prefetch::submit(prefetch, storage, spec, "request"));
    CHECK(engine.prefetched(prefetch).hit_cells == kKeys);
    std::array<std::uint32_t, kKeys> l1_managers, outcomes;
    std::array<lmcache_read_buffer, kKeys> buffers;
    OK(prefetch.get_row_l1_managers(0, l1_managers));
    CHECK(l1_managers[kKeys - 1] == 0);
    {
        // A read that is left without `exit` failed, and gives its locks back.
        lmcache::reading reading;
        OK(lmcache::reading::enter(reading, storage, engine.keys, buffers, l1_managers));
        CHECK(reading && buffers[kKeys - 1].data[kBytes - 1] == kKeys);
        OK(storage.unsafe_read(engine.keys, buffers));
    }
    OK(storage.finish_read(engine.keys, 1, outcomes, l1_managers));
    CHECK(outcomes[0] != LMCACHE_KEY_SUCCESS);
    // Nothing is locked, so nothing begins.
    lmcache::reading nothing;
    STATUS(lmcache::reading::enter(nothing, storage, engine.keys, buffers), LMCACHE_STATUS_MISS);
    CHECK(!nothing && buffers[0].data == nullptr);
    OK(nothing.exit());
#ifndef LMCACHE_NO_EXCEPTIONS
    lmcache::prefetch again(storage, spec, "request");
    CHECK(engine.prefetched(again).hit_cells == kKeys);
    try {
        const lmcache::reading left(storage, engine.keys, buffers);
        CHECK(left);
        throw std::string("the device is gone");
    } catch (const std::string &) {
        CHECK(value_of(storage.erase(engine.keys)).deleted == kKeys);
    }
    engine.write();
#endif
    // A prefetch that nobody asked for the result of gives its locks back, too.
    OK(prefetch.resubmit(spec));
    prefetch.reset();
    CHECK(value_of(storage.erase(engine.keys)).deleted == kKeys);
    // A list that does not fit its keys never reaches C, which could not see that.
    const lmcache::span<const std::uint32_t> few = lmcache::span<const std::uint32_t>(l1_managers).first(kKeys - 1);
    fails(LMCACHE_STATUS_INVALID_ARGUMENT, [&] { return storage.finish_write(engine.keys, {}, few); });
    fails(LMCACHE_STATUS_INVALID_ARGUMENT, [&] { return lmcache::reading::enter(nothing, storage, engine.keys, buffers, few); });
}

void keeps_house() {
    const Engine engine("{\"l1_size_gb\": 0.0009765625, \"eviction_policy\": \"IsolatedLRU\"}");
    const lmcache::storage &storage = engine.storage;
    engine.write();
    std::array<std::uint8_t, kKeys> there;
    OK(storage.contains(engine.keys, there));
    CHECK(there[0] == 1 && there[kKeys - 1] == 1);
    OK(storage.touch(engine.keys));
    OK(storage.set_quota("tenant", 1 << 20));
    OK(storage.delete_quota("tenant"));
    fails(LMCACHE_STATUS_NOT_FOUND, [&] { return storage.delete_quota("tenant"); });
    lmcache::prefetch prefetch;
    OK(lmcache::prefetch::submit(prefetch, storage, lmcache::prefetch_spec(engine.row)));
    OK(prefetch.wait());
    const lmcache::deleted_keys kept = value_of(storage.erase(engine.keys));
    CHECK(kept.deleted == 0 && kept.locked == kKeys);
    CHECK(value_of(storage.erase(engine.keys, true)).deleted == kKeys);
    OK(storage.evict());
    OK(storage.flush_stores(1s));
    OK(storage.clear(true));
    OK(storage.memcheck());
    CHECK(value_of(storage.usage()).l1_used_bytes == 0);
    CHECK(value_of(storage.config_json()).find("IsolatedLRU") != std::string::npos);
    fails(LMCACHE_STATUS_UNSUPPORTED, [&] { return storage.metrics_text(); });
    const std::uint32_t mock = value_of(storage.add_l2_adapter("{\"type\": \"mock\", \"max_size_gb\": 1, \"mock_bandwidth_gb\": 1}"));
    OK(storage.delete_l2_adapter(mock, 10s));
    fails(LMCACHE_STATUS_NOT_FOUND, [&] { return storage.delete_l2_adapter(mock, 10s); });
    OK(storage.close());
    fails(LMCACHE_STATUS_CLOSED, [&] {
        std::array<lmcache_write_buffer, kKeys> buffers;
        return storage.reserve_write(engine.keys, engine.layout, buffers);
    });
    fails(LMCACHE_STATUS_INVALID_ARGUMENT, [] {
        lmcache::storage none;
        return lmcache::storage::make(none, lmcache::storage_options("{"));
    });
}

// Counts what of it is there.
struct Counted {
    explicit Counted(std::atomic<int> &there) : there_(&there) { ++*there_; }
    Counted(Counted &&other) noexcept : there_(other.there_) { ++*there_; }
    ~Counted() { --*there_; }

  private:
    std::atomic<int> *there_;
};

void tells_of_the_end() {
    std::atomic<int> told{0}, there{0};
    Engine engine("{\"l1_size_gb\": 0.0009765625, \"eviction_policy\": \"LRU\", \"l2_adapter\": [{\"type\": \"mock\", \"max_size_gb\": 1, "
                  "\"mock_bandwidth_gb\": 0.000001}]}");
    const lmcache::prefetch_spec spec(engine.row);
    lmcache::prefetch prefetch;
    OK(lmcache::prefetch::submit(prefetch, engine.storage, spec));
    // Whatever becomes of it, each is called once, and is gone then.
    const auto tell = [&] { return [&, counted = Counted(there)] { told++; }; };
    OK(prefetch.on_done(tell()));
    const auto twice = [](void *user_data) { *static_cast<std::atomic<int> *>(user_data) += 2; };
    OK(prefetch.on_done(twice, &told));
    OK(prefetch.wait());
    OK(prefetch.on_done(tell()));
    OK(prefetch.resubmit(spec));
    OK(prefetch.on_done(tell()));
    engine.storage.reset();
    OK(prefetch.wait());
    prefetch.reset();
    while (told < 5 || there > 0)
        std::this_thread::yield();
    CHECK(told == 5);
    fails(LMCACHE_STATUS_NULL_POINTER, [&] { return prefetch.on_done(tell()); });
    CHECK(there == 0);
}

// A store that fails in the way that it is told.
class Failing : public lmcache::l2_adapter {
  public:
    enum class Way { word, silent, object, thrown, odd };

    explicit Failing(std::atomic<int> &closed) : closed_(closed) {}
    std::atomic<Way> way{Way::word};

    bool put(lmcache::span<const lmcache_l2_object> objects, lmcache::span<std::int32_t> answers) override {
        CHECK(lmcache::chunk_hash(objects[0].key).size() == 32 && lmcache::model_name(objects[0].key) == "org/model");
        CHECK(lmcache::cache_salt(objects[0].key) == "tenant");
        return fail_at(answers);
    }
    bool get(lmcache::span<const lmcache_l2_object>, lmcache::span<std::int32_t> answers) override { return fail_at(answers); }
    bool exists(lmcache::span<const lmcache_l2_key>, lmcache::span<const std::uint64_t>, lmcache::span<std::int32_t> answers) override {
        return fail_at(answers);
    }
    bool remove(lmcache::span<const lmcache_l2_key>, lmcache::span<std::int32_t> answers) override { return fail_at(answers); }
    void close() noexcept override { closed_++; }

  private:
    bool fail_at(lmcache::span<std::int32_t> answers) {
        switch (way) {
        case Way::word:
            return fail("the shelf is full");
        case Way::silent:
            return false;
        case Way::object:
            for (std::int32_t &answer : answers)
                answer = -5;
            (void)fail("this one is too wide");
            return true;
#ifndef LMCACHE_NO_EXCEPTIONS
        case Way::thrown:
            throw std::runtime_error("the shelf " + std::string(1000, 'x'));
        case Way::odd:
            throw 7;
#else
        default:
            return false;
#endif
        }
        return true;
    }

    std::atomic<int> &closed_;
};

// What fails in a store is an error of its objects, with its words in the status, and nothing else.
void fails_in_every_way(const Engine &engine, const std::shared_ptr<Failing> &store) {
    struct {
        Failing::Way way;
        const char *words;
    } const ways[] = {
        {Failing::Way::word, "the shelf is full (code -1 of put)"},
        {Failing::Way::silent, "(code -1 of put)"},
        {Failing::Way::object, "this one is too wide"},
#ifndef LMCACHE_NO_EXCEPTIONS
        {Failing::Way::thrown, "the shelf xxx"},
        {Failing::Way::odd, "an exception that is no std::exception"},
#endif
    };
    for (const auto &[way, words] : ways) {
        store->way = way;
        engine.write();
        OK(engine.storage.flush_stores());
        const std::string status = value_of(engine.storage.status_json());
        CHECK(status.find(words) != std::string::npos && status.find("shelf keeper") != std::string::npos);
        OK(engine.storage.clear());
        lmcache::prefetch prefetch;
        OK(lmcache::prefetch::submit(prefetch, engine.storage, lmcache::prefetch_spec(engine.row)));
        CHECK(engine.prefetched(prefetch).hit_cells == 0);
    }
}

void has_stores_of_its_own() {
    std::atomic<int> closed{0};
    Engine engine(kSmall);
    const lmcache::storage &storage = engine.storage;
    lmcache::l2_adapter_options options;
    options.name = "shelf keeper";
    const auto store = std::make_shared<Failing>(closed);
    const auto add = [&] { return storage.add_l2_adapter(store, options); };
    fails(LMCACHE_STATUS_NULL_POINTER, [&] { return storage.add_l2_adapter(std::shared_ptr<lmcache::l2_adapter>(), options); });
    // Refused before anything of it was made, and after: it is let go of both times, and was never the storage manager's to close.
    options.config_json = "{";
    fails(LMCACHE_STATUS_INVALID_ARGUMENT, add);
    CHECK(closed == 0 && store.use_count() == 1);
    options.config_json = "{\"type\": \"plugin\", \"library_path\": \"x\", \"affinity_tag\": \"elsewhere\"}";
    fails(LMCACHE_STATUS_INVALID_ARGUMENT, add);
    CHECK(closed == 0 && store.use_count() == 1);
    options.config_json = "";
    options.workers = LMCACHE_MAX_L2_WORKERS + 1;
    fails(LMCACHE_STATUS_INVALID_ARGUMENT, add);
    CHECK(closed == 0 && store.use_count() == 1);
    options.workers = 2;
    const std::uint32_t number = value_of(add());
    CHECK(store.use_count() == 2);
    fails_in_every_way(engine, store);
    OK(storage.delete_l2_adapter(number, 10s));
    CHECK(closed == 1 && store.use_count() == 1);
    // One that nobody else holds ends with the storage manager.
    (void)value_of(storage.add_l2_adapter(std::make_shared<Failing>(closed)));
    OK(storage.close());
    CHECK(closed == 2);
    engine.storage.reset();
    CHECK(closed == 2);
}

void is_noted_in_the_log() {
    std::atomic<int> told{0};
    lmcache::log_callback log, empty;
    OK(lmcache::log_callback::set(log, [&](std::string_view text) { told += !text.empty(); }));
    const char *odd = "{\"l1_size_gb\": 0.0625, \"eviction_policy\": \"LRU\", \"l2_adapter\": [{\"type\": \"mock\", \"max_size_gb\": 1, "
                      "\"mock_bandwidth_gb\": 1, \"eviction\": {\"eviction_policy\": \"IsolatedLRU\"}}]}";
    const auto start = [&] {
        lmcache::storage storage;
        OK(lmcache::storage::make(storage, lmcache::storage_options(odd)));
    };
    start();
    const int before = told;
    CHECK(before > 0);
    empty = std::move(log);
    start();
    CHECK(empty && !log && told == 2 * before);
    empty.reset();
    start();
    OK(lmcache::log_callback::set(empty, nullptr));
    CHECK(!empty && told == 2 * before);
}

} // namespace

int main() {
    reads_and_gives_up();
    keeps_house();
    tells_of_the_end();
    has_stores_of_its_own();
    is_noted_in_the_log();
}
