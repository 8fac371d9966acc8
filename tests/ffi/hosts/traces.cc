// Reads, replays, converts, verifies and repairs traces through the layer for C++17. The words: an LMCache trace, an unfinished native trace, and
// how many calls the first has.
#include "check.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;

std::vector<std::uint8_t> whole(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    CHECK(file);
    return std::vector<std::uint8_t>(std::istreambuf_iterator<char>(file), {});
}

// What was seen of the keys of a trace.
struct Seen {
    std::uint64_t calls = 0, keys = 0, bytes = 0;

    void see(lmcache::span<const lmcache_recorded_key> list) {
        for (lmcache::key_view key : list) {
            CHECK(!key.hash().empty() && !key.scope().model_name().empty());
            CHECK(key.scope().address() == list[0].scope || key.scope().kv_rank() >= 0);
            keys++;
        }
    }
    void see(const lmcache::record &record) {
        calls++;
        CHECK(record.name().find("StorageManager.") != std::string_view::npos);
        see(record.keys());
        for (lmcache::row_view row : record.rows()) {
            see(row.keys());
            bytes += row.layout().size_bytes;
        }
        if (record.layout) {
            lmcache::layout made;
            OK(lmcache::layout::make(made, *record.layout));
            CHECK(value_of(made.size_bytes()) == record.layout->size_bytes);
        }
    }
    bool operator==(const Seen &other) const { return calls == other.calls && keys == other.keys && bytes == other.bytes; }
};

Seen walk(lmcache::reader &reader) {
    Seen seen;
    lmcache::record record;
    lmcache_status ended;
    while ((ended = reader.next(record)) == LMCACHE_STATUS_OK)
        seen.see(record);
    STATUS(ended, LMCACHE_STATUS_END);
    return seen;
}

void reads(const std::string &path, std::uint64_t calls) {
    lmcache::reader reader;
    OK(lmcache::reader::open(reader, path, LMCACHE_READ_MAPPED));
    const lmcache::trace_header header = value_of(reader.header());
    CHECK(header.struct_size == sizeof(lmcache_trace_header) && header.format == LMCACHE_FORMAT_LMCACHE);
    CHECK(std::strcmp(header.level, "storage") == 0);
    const Seen seen = walk(reader);
    CHECK(seen.calls == calls && seen.keys > 0 && value_of(reader.stats()).records == calls);
    OK(reader.rewind());
    CHECK(walk(reader) == seen);
    lmcache::record record;
    OK(reader.seek_call(calls / 2));
    OK(reader.next(record));
    CHECK(record.number == calls / 2);
    const double t_mono_s = record.t_mono_s;
    OK(reader.seek_time(t_mono_s));
    OK(reader.next(record));
    CHECK(record.t_mono_s >= t_mono_s);
    STATUS(reader.seek_call(calls), LMCACHE_STATUS_END);
    lmcache::damage damage;
    STATUS(reader.get_damage(0, damage), LMCACHE_STATUS_END);

    const std::vector<std::uint8_t> bytes = whole(path);
    OK(lmcache::reader::open(reader, bytes));
    CHECK(walk(reader) == seen);
    fails(LMCACHE_STATUS_NOT_FOUND, [&] { return lmcache::reader::open(reader, "missing.lct"); });
    CHECK(!reader);
    fails(LMCACHE_STATUS_NULL_POINTER, [&] { return reader.next(record); });
    fails(LMCACHE_STATUS_NULL_POINTER, [&] { return reader.header(); });
#ifndef LMCACHE_NO_EXCEPTIONS
    Seen again;
    lmcache::reader other(path);
    for (const lmcache::record &each : other)
        again.see(each);
    CHECK(again == seen && other.begin() == other.end());
    other.seek_call(calls - 1);
    CHECK(std::distance(other.begin(), other.end()) == 1);
#endif
}

lmcache::replay_options options_of(const std::string &path) {
    lmcache::replay_options options(path);
    options.l1_size_bytes = UINT64_C(1) << 28;
    options.pace = LMCACHE_PACE_ASAP;
    options.progress_interval_ns = 1;
    return options;
}

// So slow that only a cancel ends it.
lmcache::replay_options slow_options_of(const std::string &path) {
    lmcache::replay_options options = options_of(path);
    options.pace = LMCACHE_PACE_RATE;
    options.pace_value = 0.01;
    options.low_cpu = 1;
    return options;
}

lmcache::replay_results results_of(lmcache::replay &replay) {
    lmcache::replay_results results;
    OK(replay.get_results(results));
    return results;
}

void replays(const std::string &path, std::uint64_t calls) {
    lmcache::replay_options options = options_of(path);
    options.paths.push_back(path);
    options.eviction_policy = "LRU";
    options.l2_adapters.push_back("{\"type\": \"mock\", \"max_size_gb\": 1, \"mock_bandwidth_gb\": 10}");
    lmcache::replay replay;
    fails(LMCACHE_STATUS_NULL_POINTER, [&] { return replay.run(); });
    OK(lmcache::replay::make(replay, options));
    lmcache::replay_results results;
    std::string_view json = "untouched";
    STATUS(replay.get_results(results), LMCACHE_STATUS_PENDING);
    STATUS(replay.get_json(json), LMCACHE_STATUS_PENDING);
    CHECK(json == "untouched");
    unsigned told = 0, overs = 0;
    const auto thread = std::this_thread::get_id();
    OK(replay.run([&](const lmcache_replay_progress &progress) {
        CHECK(std::this_thread::get_id() == thread && progress.records <= progress.total_records);
        told++;
        overs += progress.is_over;
        fails(LMCACHE_STATUS_BUSY, [&] { return replay.run(); });
        fails(LMCACHE_STATUS_BUSY, [&] { return replay.get_results(results); });
    }));
    CHECK(told >= 2 && overs == 1);
    results = results_of(replay);
    CHECK(results.records_replayed == 2 * calls && !results.is_cancelled && results.duration_ns > 0);
    OK(replay.get_json(json));
    CHECK(json.size() > 100 && json.front() == '{' && json.data()[json.size()] == '\0');
    // Once more, moved, and without being told.
    lmcache::replay moved = std::move(replay);
    OK(moved.run());
    CHECK(results_of(moved).records_replayed == 2 * calls && told >= 2);
}

void is_cancelled(const std::string &path) {
    lmcache::replay replay;
    OK(lmcache::replay::make(replay, slow_options_of(path)));
    std::atomic<bool> runs{false};
    std::thread other([&] {
        while (!runs)
            std::this_thread::sleep_for(1ms);
        OK(replay.cancel());
    });
    OK(replay.run([&](const lmcache_replay_progress &) { runs = true; }));
    other.join();
    CHECK(results_of(replay).is_cancelled);
    // By what it is told.
    OK(lmcache::replay::make(replay, slow_options_of(path)));
    unsigned told = 0;
    OK(replay.run([&](const lmcache_replay_progress &progress) { return progress.is_over || ++told < 3; }));
    CHECK(told >= 3 && results_of(replay).is_cancelled);
#ifndef LMCACHE_NO_EXCEPTIONS
    // An exception stops the run, and comes out of it once; the results are there.
    replay = lmcache::replay(slow_options_of(path));
    told = 0;
    try {
        replay.run([&](const lmcache_replay_progress &) {
            if (++told == 2)
                throw std::string("enough");
        });
        CHECK(false);
    } catch (const std::string &thrown) {
        CHECK(thrown == "enough" && told == 2);
    }
    CHECK(results_of(replay).is_cancelled && results_of(replay).records_replayed < 10);
    replay.run();
    CHECK(results_of(replay).records_replayed == 0);
#endif
}

void is_converted(const std::string &path, std::uint64_t calls) {
    const lmcache::conversion there = value_of(lmcache::convert(path, "native.lct"));
    CHECK(there.calls + there.foreign_calls == calls && !there.is_incomplete);
    (void)value_of(lmcache::convert("native.lct", "back.lct"));
    CHECK(whole(path) == whole("back.lct"));
    lmcache::convert_options options;
    options.form = LMCACHE_CONVERT_TO_COMPACT;
    CHECK(value_of(lmcache::convert(path, "compact.lct", options)).distinct_keys != LMCACHE_NOT_KNOWN);
    CHECK(value_of(lmcache::verify("compact.lct")).findings == 0);
    fails(LMCACHE_STATUS_NOT_FOUND, [] { return lmcache::convert("missing.lct", "x.lct"); });
    fails(LMCACHE_STATUS_NOT_FOUND, [] { return lmcache::verify("missing.lct", [](const lmcache::finding &) {}); });
    fails(LMCACHE_STATUS_NOT_FOUND, [] { return lmcache::repair("missing.lct", "x.lct"); });
}

// The fixture was not closed, has lost 90 calls, ends within a frame of LMCache's, and has 40 bytes that no checksum covers.
void is_mended(const std::string &path) {
    unsigned told = 0;
    const auto looked = value_of(lmcache::verify(path, [&](const lmcache::finding &finding) {
        CHECK(!finding.kind.empty() && !finding.sentence.empty() && finding.offset > 0);
        told++;
    }));
    CHECK(looked.findings == 4 && told == 4 && !looked.is_closed);
    const lmcache::repair_report report = value_of(lmcache::repair(path, "whole.lct"));
    CHECK(!report.was_closed && report.missing_bytes == 40 && report.calls == looked.calls);
    CHECK(value_of(lmcache::verify("whole.lct")).is_closed);
#ifndef LMCACHE_NO_EXCEPTIONS
    try {
        lmcache::verify(path, [&](const lmcache::finding &) { throw ++told; });
        CHECK(false);
    } catch (unsigned thrown) {
        CHECK(thrown == 5 && told == 5);
    }
#endif
}

} // namespace

int main(int count, char **words) {
    CHECK(count == 4);
    const std::uint64_t calls = std::strtoull(words[3], nullptr, 10);
    reads(words[1], calls);
    replays(words[1], calls);
    is_cancelled(words[1]);
    is_converted(words[1], calls);
    is_mended(words[2]);
}
