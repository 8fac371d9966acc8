// A C++17 engine in small: a paged KV cache on its "device", workers with prompts that share prefixes, and a storage manager behind it.
// What comes back is compared byte by byte, through evictions of L1 and a store of the engine's own behind it.
#include "check.h"

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstring>
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

using Hash = std::array<uint8_t, 32>;

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
class Store {
  public:
    static int32_t put(void *self, const lmcache_l2_object *objects, size_t count, int32_t *answers) {
        auto &store = *static_cast<Store *>(self);
        for (size_t i = 0; i < count; i++) {
            std::lock_guard<std::mutex> guard(store.mutex_);
            auto *data = static_cast<const uint8_t *>(objects[i].data);
            auto [place, is_new] = store.objects_.try_emplace(name(objects[i].key), data, data + objects[i].data_bytes);
            (void)place;
            answers[i] = is_new ? LMCACHE_L2_PUT_WRITTEN : LMCACHE_L2_PUT_PRESENT;
        }
        return 0;
    }

    static int32_t get(void *self, const lmcache_l2_object *objects, size_t count, int32_t *answers) {
        auto &store = *static_cast<Store *>(self);
        for (size_t i = 0; i < count; i++) {
            std::lock_guard<std::mutex> guard(store.mutex_);
            auto found = store.objects_.find(name(objects[i].key));
            bool is_there = found != store.objects_.end() && found->second.size() >= objects[i].data_bytes;
            if (is_there)
                std::memcpy(objects[i].data, found->second.data(), objects[i].data_bytes);
            answers[i] = is_there ? LMCACHE_L2_GET_HIT : LMCACHE_L2_GET_MISS;
            store.gets_ += is_there;
        }
        return 0;
    }

    static int32_t exists(void *self, const lmcache_l2_key *keys, const uint64_t *, size_t count, int32_t *answers) {
        auto &store = *static_cast<Store *>(self);
        std::lock_guard<std::mutex> guard(store.mutex_);
        for (size_t i = 0; i < count; i++)
            answers[i] = store.objects_.count(name(keys[i])) ? LMCACHE_L2_GET_HIT : LMCACHE_L2_GET_MISS;
        return 0;
    }

    static int32_t remove(void *self, const lmcache_l2_key *keys, size_t count, int32_t *answers) {
        auto &store = *static_cast<Store *>(self);
        std::lock_guard<std::mutex> guard(store.mutex_);
        for (size_t i = 0; i < count; i++)
            answers[i] = store.objects_.erase(name(keys[i])) ? LMCACHE_L2_REMOVE_GONE : LMCACHE_L2_REMOVE_ABSENT;
        return 0;
    }

    static void close(void *self) { static_cast<Store *>(self)->is_closed_ = true; }

    uint64_t gets() const { return gets_; }
    bool is_closed() const { return is_closed_; }

  private:
    static std::string name(const lmcache_l2_key &key) {
        std::string name(key.model_name, key.model_name_bytes);
        return name.append(reinterpret_cast<const char *>(key.chunk_hash), key.chunk_hash_bytes);
    }

    std::mutex mutex_;
    std::map<std::string, std::vector<uint8_t>> objects_;
    std::atomic<uint64_t> gets_{0};
    std::atomic<bool> is_closed_{false};
};

// Waits for a callback.
struct Signal {
    std::mutex mutex;
    std::condition_variable told;
    bool is_done = false;

    static void tell(void *self) {
        auto &signal = *static_cast<Signal *>(self);
        std::lock_guard<std::mutex> guard(signal.mutex);
        signal.is_done = true;
        signal.told.notify_one();
    }

    void wait() {
        std::unique_lock<std::mutex> guard(mutex);
        told.wait(guard, [this] { return is_done; });
    }
};

struct Counts {
    std::atomic<uint64_t> prompts{0}, hits{0}, from_l2{0}, written{0}, reads{0}, finished_writes{0};
};

class Worker {
  public:
    Worker(lmcache_storage *storage, lmcache_scope *scope, lmcache_layout *layout, Counts &counts)
        : storage_(storage), scope_(scope), layout_(layout), counts_(counts), event_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
        CHECK(event_ >= 0);
    }

    ~Worker() {
        OK(lmcache_prefetch_free(prefetch_));
        ::close(event_);
    }

    void run(unsigned seed) {
        for (unsigned i = 0; i < kPrompts; i++)
            serve(seed * 7919u + i * 31u);
    }

  private:
    void serve(unsigned prompt) {
        std::vector<Hash> chunks;
        uint64_t family = prompt % kFamilies, own = prompt % 8 + 1000;
        for (uint64_t chunk = 0; chunk < kChunks; chunk++)
            chunks.push_back(name_chunk(chunk < kChunks / 2 ? family : own * 100 + family, chunk));
        size_t hits = prefetch(chunks, prompt);
        if (hits > 0)
            read(chunks, hits);
        // What no cache had, the model computes.
        for (size_t chunk = hits; chunk < kChunks; chunk++)
            fill(chunks[chunk], device_.page(chunk));
        for (size_t chunk = 0; chunk < kChunks; chunk++)
            check(chunks[chunk], device_.page(chunk));
        if (hits < kChunks)
            write(chunks, hits);
        counts_.prompts++;
    }

    lmcache_key_list keys(const std::vector<Hash> &chunks, size_t first, size_t count) const {
        return {chunks[first].data(), count, 32, scope_, nullptr};
    }

    // How many chunks from the first are in L1 now, and locked. Each way to wait has its turn.
    size_t prefetch(const std::vector<Hash> &chunks, unsigned prompt) {
        lmcache_prefetch_row row = {keys(chunks, 0, kChunks), layout_, -1, 0, 0};
        lmcache_prefetch_spec spec = {&row, 1, 1, LMCACHE_FETCH_PREFIX, LMCACHE_LOCK, 0, 0};
        std::string request = "request-" + std::to_string(prompt);
        if (prefetch_)
            OK(lmcache_prefetch_resubmit(prefetch_, &spec, request.c_str()));
        else
            OK(lmcache_storage_submit_prefetch(storage_, &spec, request.c_str(), &prefetch_));
        lmcache_prefetch_result result = LMCACHE_PREFETCH_RESULT_INIT;
        switch (prompt % 4) {
        case 0:
            while (lmcache_prefetch_query(prefetch_, nullptr) == LMCACHE_STATUS_PENDING)
                std::this_thread::yield();
            break;
        case 1:
            OK(lmcache_prefetch_wait(prefetch_, UINT64_MAX, nullptr));
            break;
        case 2: {
            Signal signal;
            OK(lmcache_prefetch_on_done(prefetch_, Signal::tell, &signal));
            signal.wait();
            break;
        }
        default: {
            OK(lmcache_prefetch_signal_on_done(prefetch_, event_));
            pollfd wanted = {event_, POLLIN, 0};
            CHECK(poll(&wanted, 1, -1) == 1);
            uint64_t times = 0;
            CHECK(::read(event_, &times, sizeof times) == sizeof times && times == 1);
        }
        }
        OK(lmcache_prefetch_query(prefetch_, &result));
        CHECK(result.requested_cells == kChunks && result.row_count == 1 && result.column_count == kChunks);
        CHECK(result.hit_cells == result.l1_hit_cells + result.l2_hit_cells);
        uint8_t cells[kChunks];
        size_t set = 0;
        OK(lmcache_prefetch_get_row(prefetch_, 0, LMCACHE_CELLS_HIT, cells, kChunks, &set));
        CHECK(set == result.hit_cells);
        for (size_t chunk = 0; chunk < kChunks; chunk++)
            CHECK(cells[chunk] == (chunk < set));
        counts_.hits += set;
        counts_.from_l2 += result.l2_hit_cells;
        return set;
    }

    void read(const std::vector<Hash> &chunks, size_t count) {
        lmcache_key_list wanted = keys(chunks, 0, count);
        lmcache_read_buffer buffers[kChunks];
        OK(lmcache_storage_read_enter(storage_, &wanted, nullptr, buffers, kChunks));
        for (size_t chunk = 0; chunk < count; chunk++) {
            CHECK(buffers[chunk].outcome == LMCACHE_KEY_SUCCESS && buffers[chunk].size_bytes == kChunkBytes);
            std::memcpy(device_.page(chunk), buffers[chunk].data, kChunkBytes);
        }
        OK(lmcache_storage_read_exit(storage_, &wanted, nullptr, 0));
        uint32_t outcomes[kChunks];
        OK(lmcache_storage_finish_read(storage_, &wanted, 1, nullptr, outcomes, kChunks));
        for (size_t chunk = 0; chunk < count; chunk++)
            CHECK(outcomes[chunk] == LMCACHE_KEY_SUCCESS);
        counts_.reads++;
    }

    // Compares a page with what it has to hold.
    static void check(const Hash &hash, const uint8_t *page) {
        std::vector<uint8_t> expected(kChunkBytes);
        fill(hash, expected.data());
        CHECK(std::memcmp(page, expected.data(), kChunkBytes) == 0);
    }

    void write(const std::vector<Hash> &chunks, size_t first) {
        size_t count = kChunks - first;
        lmcache_key_list wanted = keys(chunks, first, count);
        lmcache_write_buffer buffers[kChunks];
        OK(lmcache_storage_reserve_write(storage_, &wanted, layout_, LMCACHE_WRITE_NEW, buffers, kChunks));
        std::vector<Hash> reserved;
        for (size_t i = 0; i < count; i++) {
            if (buffers[i].outcome != LMCACHE_KEY_SUCCESS)
                continue;
            CHECK(buffers[i].size_bytes == kChunkBytes);
            std::memcpy(buffers[i].data, device_.page(first + i), kChunkBytes);
            reserved.push_back(chunks[first + i]);
        }
        if (reserved.empty())
            return;
        lmcache_key_list written = keys(reserved, 0, reserved.size());
        uint32_t outcomes[kChunks];
        OK(lmcache_storage_finish_write(storage_, &written, nullptr, outcomes, kChunks));
        for (size_t i = 0; i < reserved.size(); i++)
            CHECK(outcomes[i] == LMCACHE_KEY_SUCCESS);
        counts_.written += reserved.size();
        counts_.finished_writes++;
    }

    lmcache_storage *storage_;
    lmcache_scope *scope_;
    lmcache_layout *layout_;
    Counts &counts_;
    Device device_;
    lmcache_prefetch *prefetch_ = nullptr;
    int event_;
};

std::string text_of(lmcache_status (*tell)(const lmcache_storage *, char *, size_t, size_t *), lmcache_storage *storage) {
    size_t needed = 0;
    OK(tell(storage, nullptr, 0, &needed));
    std::string text(needed + 4096, '\0');
    OK(tell(storage, &text[0], text.size(), &needed));
    text.resize(std::strlen(text.c_str()));
    return text;
}

} // namespace

// What was recorded is played again, in an L1 in which everything fits: every call is made, and what was read before is there.
static void replay_own_trace(uint64_t calls) {
    const char *path = "engine.lct";
    lmcache_replay_options options = LMCACHE_REPLAY_OPTIONS_INIT;
    options.paths = &path;
    options.path_count = 1;
    options.pace = LMCACHE_PACE_ASAP;
    options.l1_size_bytes = 1u << 28;
    lmcache_replay *replay = nullptr;
    OK(lmcache_replay_new(&options, &replay));
    OK(lmcache_replay_run(replay));
    lmcache_replay_results results = LMCACHE_REPLAY_RESULTS_INIT;
    OK(lmcache_replay_get_results(replay, &results));
    CHECK(results.records_replayed == calls && results.records_failed == 0 && results.records_skipped == 0);
    CHECK(results.hit_keys > 0 && results.evicted_keys == 0 && results.is_trace_complete);
    OK(lmcache_replay_free(replay));
}

int main() {
    OK(lmcache_check_abi(LMCACHE_ABI_VERSION));
    lmcache_scope *scope = nullptr;
    OK(lmcache_scope_new("org/model", 0x01000100, 0, "tenant", &scope));
    uint64_t shape[] = {2, kChunkBytes / 4};
    lmcache_tensor tensor = {shape, 2, "torch.bfloat16"};
    lmcache_layout *layout = nullptr;
    OK(lmcache_layout_new(&tensor, 1, &layout));

    // L1 has room for 128 chunks: less than there are. What leaves it comes back from the store.
    lmcache_storage_options options = LMCACHE_STORAGE_OPTIONS_INIT;
    options.config_json = "{\"l1_size_gb\": 0.00048828125, \"eviction_policy\": \"LRU\"}";
    options.with_metrics = 1;
    options.metrics_sample_rate = 1;
    lmcache_storage *storage = nullptr;
    OK(lmcache_storage_new(&options, &storage));
    Store store;
    lmcache_l2_adapter_table table = LMCACHE_L2_ADAPTER_TABLE_INIT;
    table.name = "engine store";
    table.user_data = &store;
    table.put = Store::put;
    table.get = Store::get;
    table.exists = Store::exists;
    table.remove = Store::remove;
    table.close = Store::close;
    uint32_t id = 9;
    OK(lmcache_storage_add_l2_table(storage, &table, nullptr, &id));
    CHECK(id == 0);

    std::string config = text_of(lmcache_storage_config_json, storage);
    lmcache_recorder_options recording = LMCACHE_RECORDER_OPTIONS_INIT;
    recording.path = "engine.lct";
    recording.storage_config_json = config.c_str();
    recording.full_policy = 1;
    lmcache_recorder *recorder = nullptr;
    OK(lmcache_recorder_open(&recording, &recorder));
    OK(lmcache_storage_record(storage, recorder));
    STATUS(lmcache_storage_record(storage, recorder), LMCACHE_STATUS_INVALID_ARGUMENT);

    Counts counts;
    {
        std::vector<std::thread> threads;
        for (unsigned worker = 0; worker < kWorkers; worker++)
            threads.emplace_back([=, &counts] { Worker(storage, scope, layout, counts).run(worker); });
        for (auto &thread : threads)
            thread.join();
    }
    OK(lmcache_storage_flush_stores(storage, UINT64_MAX));
    CHECK(counts.prompts == kWorkers * kPrompts && counts.hits > 0 && counts.from_l2 > 0 && store.gets() > 0);

    // Everything leaves L1; what the store has is read again, whole.
    OK(lmcache_storage_clear(storage, 0));
    lmcache_storage_usage usage = LMCACHE_STORAGE_USAGE_INIT;
    OK(lmcache_storage_get_usage(storage, &usage));
    CHECK(usage.l1_used_bytes == 0 && usage.l1_total_bytes == 512u << 10 && usage.l2_used_bytes > 0 && usage.l2_adapter_count == 1);
    Counts again;
    Worker(storage, scope, layout, again).run(0);
    CHECK(again.from_l2 > 0 && again.hits > kPrompts * kChunks / 2);
    OK(lmcache_storage_memcheck(storage));

    std::string status = text_of(lmcache_storage_status_json, storage), metrics = text_of(lmcache_storage_metrics_text, storage);
    CHECK(status.find("\"is_healthy\":true") != std::string::npos && status.find("engine store") != std::string::npos);
    CHECK(metrics.find("lmcache") != std::string::npos && metrics.find("# EOF") != std::string::npos);

    OK(lmcache_storage_close(storage));
    OK(lmcache_recorder_close(recorder));
    lmcache_recorder_stats stats = LMCACHE_RECORDER_STATS_INIT;
    OK(lmcache_recorder_get_stats(recorder, &stats));
    CHECK(stats.lost == 0);
    OK(lmcache_recorder_free(recorder));
    OK(lmcache_storage_free(storage));
    CHECK(store.is_closed());
    OK(lmcache_scope_free(scope));
    OK(lmcache_layout_free(layout));
    replay_own_trace(stats.calls);
    // For the test, which counts the same in the trace.
    std::printf("prefetches %llu\nreads %llu\nfinished_writes %llu\n",
                (unsigned long long)(counts.prompts + again.prompts), (unsigned long long)(counts.reads + again.reads),
                (unsigned long long)(counts.finished_writes + again.finished_writes));
    return 0;
}
