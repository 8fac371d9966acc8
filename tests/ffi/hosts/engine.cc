// A C++17 engine in small: a paged KV cache on its "device", workers with prompts that share prefixes, and a storage manager behind it.
// What comes back is compared byte by byte, through evictions of L1 and a store of the engine's own behind it. It is written so that it can be
// compiled with exceptions and without.
#include "check.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <sys/eventfd.h>
#include <poll.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

constexpr unsigned kWorkers = 4;
constexpr unsigned kPrompts = 30; // of each worker
constexpr unsigned kChunks = 8;   // of a prompt; the first half is shared by the prompts of a family
constexpr unsigned kFamilies = 5;
constexpr size_t kChunkBytes = 4096;
constexpr size_t kPages = 64; // of each worker's device

using Hash = lmcache::hash;
using Chunks = std::vector<Hash>;

// A chunk's name: those before it in the prompt are in it, as in a real engine.
Hash name_chunk(uint64_t prefix, uint64_t chunk) {
    Hash hash{};
    std::memcpy(hash.data(), &prefix, sizeof prefix);
    std::memcpy(hash.data() + 8, &chunk, sizeof chunk);
    return hash;
}

// What stands in a chunk, by its name alone: so every reader knows what it has to find.
void fill(const Hash &hash, uint8_t *page) {
    uint64_t state = 0x9e3779b97f4a7c15u;
    for (uint8_t byte : hash)
        state = (state ^ byte) * 0x100000001b3u;
    for (size_t at = 0; at < kChunkBytes; at += sizeof state) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        std::memcpy(page + at, &state, sizeof state);
    }
}

// The pages of a worker's device.
class Device {
  public:
    uint8_t *page(size_t number) { return &memory_[(number % kPages) * kChunkBytes]; }

  private:
    std::vector<uint8_t> memory_ = std::vector<uint8_t>(kPages * kChunkBytes);
};

// The engine's own store behind L1.
class Store : public lmcache::l2_adapter {
  public:
    bool put(lmcache::span<const lmcache_l2_object> objects, lmcache::span<int32_t> answers) override {
        for (size_t i = 0; i < objects.size(); i++) {
            std::lock_guard<std::mutex> guard(mutex_);
            auto *data = static_cast<const uint8_t *>(objects[i].data);
            bool is_new = objects_.try_emplace(name(objects[i].key), data, data + objects[i].data_bytes).second;
            answers[i] = is_new ? LMCACHE_L2_PUT_WRITTEN : LMCACHE_L2_PUT_PRESENT;
        }
        return true;
    }

    bool get(lmcache::span<const lmcache_l2_object> objects, lmcache::span<int32_t> answers) override {
        for (size_t i = 0; i < objects.size(); i++) {
            std::lock_guard<std::mutex> guard(mutex_);
            auto found = objects_.find(name(objects[i].key));
            bool is_there = found != objects_.end() && found->second.size() >= objects[i].data_bytes;
            if (is_there)
                std::memcpy(objects[i].data, found->second.data(), objects[i].data_bytes);
            answers[i] = is_there ? LMCACHE_L2_GET_HIT : LMCACHE_L2_GET_MISS;
            gets_ += is_there;
        }
        return true;
    }

    bool exists(lmcache::span<const lmcache_l2_key> keys, lmcache::span<const uint64_t>, lmcache::span<int32_t> answers) override {
        std::lock_guard<std::mutex> guard(mutex_);
        for (size_t i = 0; i < keys.size(); i++)
            answers[i] = objects_.count(name(keys[i])) ? LMCACHE_L2_GET_HIT : LMCACHE_L2_GET_MISS;
        return true;
    }

    bool remove(lmcache::span<const lmcache_l2_key> keys, lmcache::span<int32_t> answers) override {
        std::lock_guard<std::mutex> guard(mutex_);
        for (size_t i = 0; i < keys.size(); i++)
            answers[i] = objects_.erase(name(keys[i])) ? LMCACHE_L2_REMOVE_GONE : LMCACHE_L2_REMOVE_ABSENT;
        return true;
    }

    void close() noexcept override { is_closed_ = true; }

    uint64_t gets() const { return gets_; }
    bool is_closed() const { return is_closed_; }

  private:
    static std::string name(const lmcache_l2_key &key) {
        lmcache::span<const uint8_t> hash = lmcache::chunk_hash(key);
        return std::string(lmcache::model_name(key)).append(hash.begin(), hash.end());
    }

    std::mutex mutex_;
    std::map<std::string, std::vector<uint8_t>> objects_;
    std::atomic<uint64_t> gets_{0};
    std::atomic<bool> is_closed_{false};
};

struct Counts {
    std::atomic<uint64_t> prompts{0}, hits{0}, from_l2{0}, written{0}, reads{0}, finished_writes{0};
};

class Worker {
  public:
    Worker(const lmcache::storage &storage, const lmcache::scope &scope, const lmcache::layout &layout, Counts &counts)
        : storage_(storage), scope_(scope), layout_(layout), counts_(counts), event_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
        CHECK(event_ >= 0);
    }

    ~Worker() { ::close(event_); }

    void run(unsigned seed) {
        for (unsigned i = 0; i < kPrompts; i++)
            serve(seed * 7919u + i * 31u);
    }

  private:
    void serve(unsigned prompt) {
        Chunks chunks;
        uint64_t family = prompt % kFamilies, own = prompt % 8 + 1000;
        for (uint64_t chunk = 0; chunk < kChunks; chunk++)
            chunks.push_back(name_chunk(chunk < kChunks / 2 ? family : own * 100 + family, chunk));
        size_t hits = prefetch(chunks, prompt);
        if (hits > 0)
            read(lmcache::span<const Hash>(chunks).first(hits));
        // What no cache had, the model computes.
        for (size_t chunk = hits; chunk < kChunks; chunk++)
            fill(chunks[chunk], device_.page(chunk));
        for (size_t chunk = 0; chunk < kChunks; chunk++)
            check(chunks[chunk], device_.page(chunk));
        if (hits < kChunks)
            write(chunks, hits);
        counts_.prompts++;
    }

    // How many chunks from the first are in L1 now, and locked. Each way to wait has its turn.
    size_t prefetch(const Chunks &chunks, unsigned prompt) {
        const lmcache_prefetch_row row = lmcache::prefetch_row(lmcache::keys(chunks, scope_), layout_);
        const lmcache::prefetch_spec spec(row);
        const std::string request = "request-" + std::to_string(prompt);
        if (prefetch_)
            OK(prefetch_.resubmit(spec, request));
        else
            OK(lmcache::prefetch::submit(prefetch_, storage_, spec, request));
        switch (prompt % 4) {
        case 0:
            while (prefetch_.query() == LMCACHE_STATUS_PENDING)
                std::this_thread::yield();
            break;
        case 1:
            OK(prefetch_.wait());
            break;
        case 2: {
            std::promise<void> done;
            std::future<void> told = done.get_future();
            OK(prefetch_.on_done([done = std::move(done)]() mutable { done.set_value(); }));
            told.wait();
            break;
        }
        default: {
            OK(prefetch_.signal_on_done(event_));
            pollfd wanted = {event_, POLLIN, 0};
            CHECK(poll(&wanted, 1, -1) == 1);
            uint64_t times = 0;
            CHECK(::read(event_, &times, sizeof times) == sizeof times && times == 1);
        }
        }
        lmcache::prefetch_result result;
        OK(prefetch_.query(&result));
        CHECK(result.requested_cells == kChunks && result.row_count == 1 && result.column_count == kChunks);
        CHECK(result.hit_cells == result.l1_hit_cells + result.l2_hit_cells);
        std::array<uint8_t, kChunks> cells;
        size_t set = 0;
        OK(prefetch_.get_row(0, LMCACHE_CELLS_HIT, cells, &set));
        CHECK(set == result.hit_cells);
        for (size_t chunk = 0; chunk < kChunks; chunk++)
            CHECK(cells[chunk] == (chunk < set));
        counts_.hits += set;
        counts_.from_l2 += result.l2_hit_cells;
        return set;
    }

    void read(lmcache::span<const Hash> chunks) {
        const lmcache_key_list wanted = lmcache::keys(chunks, scope_);
        std::array<lmcache_read_buffer, kChunks> buffers;
        lmcache::reading reading;
        OK(lmcache::reading::enter(reading, storage_, wanted, buffers));
        for (size_t chunk = 0; chunk < chunks.size(); chunk++) {
            CHECK(buffers[chunk].outcome == LMCACHE_KEY_SUCCESS && buffers[chunk].size_bytes == kChunkBytes);
            std::memcpy(device_.page(chunk), buffers[chunk].data, kChunkBytes);
        }
        OK(reading.exit());
        std::array<uint32_t, kChunks> outcomes;
        OK(storage_.finish_read(wanted, 1, outcomes));
        for (size_t chunk = 0; chunk < chunks.size(); chunk++)
            CHECK(outcomes[chunk] == LMCACHE_KEY_SUCCESS);
        counts_.reads++;
    }

    // Compares a page with what it has to hold.
    static void check(const Hash &hash, const uint8_t *page) {
        std::vector<uint8_t> expected(kChunkBytes);
        fill(hash, expected.data());
        CHECK(std::memcmp(page, expected.data(), kChunkBytes) == 0);
    }

    void write(const Chunks &chunks, size_t first) {
        const auto missing = lmcache::span<const Hash>(chunks).subspan(first);
        std::array<lmcache_write_buffer, kChunks> buffers;
        OK(storage_.reserve_write(lmcache::keys(missing, scope_), layout_, buffers));
        Chunks reserved;
        for (size_t i = 0; i < missing.size(); i++) {
            if (buffers[i].outcome != LMCACHE_KEY_SUCCESS)
                continue;
            CHECK(buffers[i].size_bytes == kChunkBytes);
            std::memcpy(buffers[i].data, device_.page(first + i), kChunkBytes);
            reserved.push_back(missing[i]);
        }
        if (reserved.empty())
            return;
        std::array<uint32_t, kChunks> outcomes;
        OK(storage_.finish_write(lmcache::keys(reserved, scope_), outcomes));
        for (size_t i = 0; i < reserved.size(); i++)
            CHECK(outcomes[i] == LMCACHE_KEY_SUCCESS);
        counts_.written += reserved.size();
        counts_.finished_writes++;
    }

    const lmcache::storage &storage_;
    const lmcache::scope &scope_;
    const lmcache::layout &layout_;
    Counts &counts_;
    Device device_;
    lmcache::prefetch prefetch_;
    int event_;
};

// What was recorded is played again, in an L1 in which everything fits: every call is made, and what was read before is there.
void replay_own_trace(uint64_t calls) {
    lmcache::replay_options options("engine.lct");
    options.pace = LMCACHE_PACE_ASAP;
    options.l1_size_bytes = 1u << 28;
    lmcache::replay replay;
    OK(lmcache::replay::make(replay, options));
    OK(replay.run());
    lmcache::replay_results results;
    OK(replay.get_results(results));
    CHECK(results.records_replayed == calls && results.records_failed == 0 && results.records_skipped == 0);
    CHECK(results.hit_keys > 0 && results.evicted_keys == 0 && results.is_trace_complete);
}

} // namespace

int main() {
    OK(lmcache::check_abi());
    lmcache::scope scope;
    OK(lmcache::scope::make(scope, "org/model", 0x01000100, 0, "tenant"));
    const lmcache::tensor tensor = {{2, kChunkBytes / 4}, "torch.bfloat16"};
    lmcache::layout layout;
    OK(lmcache::layout::make(layout, lmcache::span<const lmcache::tensor>(&tensor, 1)));

    // L1 has room for 128 chunks: less than there are. What leaves it comes back from the store.
    lmcache::storage_options options("{\"l1_size_gb\": 0.00048828125, \"eviction_policy\": \"LRU\"}");
    options.with_metrics = 1;
    options.metrics_sample_rate = 1;
    lmcache::recorder recorder; // ends after the storage manager
    lmcache::storage storage;
    OK(lmcache::storage::make(storage, options));
    const auto store = std::make_shared<Store>();
    lmcache::l2_adapter_options of_store;
    of_store.name = "engine store";
    CHECK(value_of(storage.add_l2_adapter(store, of_store)) == 0);

    lmcache::recorder_options recording("engine.lct");
    recording.storage_config_json = value_of(storage.config_json());
    recording.full_policy = 1;
    OK(lmcache::recorder::open(recorder, recording));
    OK(storage.record(recorder));

    Counts counts;
    std::vector<std::thread> threads;
    for (unsigned worker = 0; worker < kWorkers; worker++)
        threads.emplace_back([&, worker] { Worker(storage, scope, layout, counts).run(worker); });
    for (auto &thread : threads)
        thread.join();
    OK(storage.flush_stores());
    CHECK(counts.prompts == kWorkers * kPrompts && counts.hits > 0 && counts.from_l2 > 0 && store->gets() > 0);

    // Everything leaves L1; what the store has is read again, whole.
    OK(storage.clear());
    const lmcache_storage_usage usage = value_of(storage.usage());
    CHECK(usage.l1_used_bytes == 0 && usage.l1_total_bytes == 512u << 10 && usage.l2_used_bytes > 0 && usage.l2_adapter_count == 1);
    Counts again;
    Worker(storage, scope, layout, again).run(0);
    CHECK(again.from_l2 > 0 && again.hits > kPrompts * kChunks / 2);
    OK(storage.memcheck());

    const std::string status = value_of(storage.status_json()), metrics = value_of(storage.metrics_text());
    CHECK(status.find("\"is_healthy\":true") != std::string::npos && status.find("engine store") != std::string::npos);
    CHECK(metrics.find("lmcache") != std::string::npos && metrics.find("# EOF\n") == metrics.size() - 6);

    OK(storage.close());
    OK(recorder.close());
    const lmcache_recorder_stats stats = value_of(recorder.stats());
    CHECK(stats.lost == 0);
    storage.reset();
    CHECK(store->is_closed() && store.use_count() == 1);
    replay_own_trace(stats.calls);
    // For the test, which counts the same in the trace.
    std::printf("prefetches %llu\nreads %llu\nfinished_writes %llu\n",
                static_cast<unsigned long long>(counts.prompts + again.prompts), static_cast<unsigned long long>(counts.reads + again.reads),
                static_cast<unsigned long long>(counts.finished_writes + again.finished_writes));
    return 0;
}
