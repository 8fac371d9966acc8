/* Replaying traces. SPDX-License-Identifier: Apache-2.0 */
#ifndef LMCACHE_REPLAY_HPP
#define LMCACHE_REPLAY_HPP

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <lmcache/handle.hpp>

namespace lmcache {
inline namespace LMCACHE_INLINE_NAMESPACE {

/* How to replay: the numbers are those of lmcache_replay_options, and zero is their default. Who is told of the progress is said to replay::run. */
struct replay_options : sized<lmcache_replay_options> {
    replay_options() noexcept = default;
    explicit replay_options(std::string path) { paths.push_back(std::move(path)); }

    /* The traces: one, or one of each node, which are replayed at once on one clock. */
    std::vector<std::string> paths;
    /* The whole configuration of the storage manager; empty for what the other members say. */
    std::string config_json;
    /* Which objects leave L1 first; empty for "LRU". */
    std::string eviction_policy;
    /* L2 adapters as LMCache's JSON, for instance {"type":"fs","base_path":"/data/kv"}. */
    std::vector<std::string> l2_adapters;

  private:
    using lmcache_replay_options::l2_adapter_count;
    using lmcache_replay_options::on_progress;
    using lmcache_replay_options::on_progress_user_data;
    using lmcache_replay_options::path_count;
};

/* What a replay found. */
using replay_results = sized<lmcache_replay_results>;

namespace detail {

/* Who is told of a run's progress. */
struct progress_call {
    bool (*tell)(void *told, const lmcache_replay_progress &progress);
    void *told;
#ifndef LMCACHE_NO_EXCEPTIONS
    std::exception_ptr thrown;
#endif

    /* Whether it is to go on. An exception ends the run, and is what the run throws. */
    bool operator()(const lmcache_replay_progress &progress) noexcept {
        if (tell == nullptr)
            return true;
#ifndef LMCACHE_NO_EXCEPTIONS
        if (thrown)
            return false;
        try {
            return tell(told, progress);
        } catch (...) {
            thrown = std::current_exception();
            return false;
        }
#else
        return tell(told, progress);
#endif
    }
};

/* What a replay's callback gets back: the run that is under way, on the stack of the thread that is told of it. Other threads only look whether there is
 * one. */
using current_run = std::atomic<progress_call *>;

inline std::uint32_t tell_progress(const lmcache_replay_progress *progress, void *current) noexcept {
    progress_call *run = static_cast<current_run *>(current)->load();
    return run == nullptr || (*run)(*progress) ? 0 : 1;
}

inline std::vector<const char *> pointers(const std::vector<std::string> &texts) {
    std::vector<const char *> list;
    list.reserve(texts.size());
    for (const std::string &text : texts)
        list.push_back(text.c_str());
    return list;
}

} // namespace detail

/* A replay: its traces, open, and how it is to go. One thread at a time may use it, whichever; any may cancel it. */
class replay : public owned<lmcache_replay, lmcache_replay_free> {
    using handle = owned<lmcache_replay, lmcache_replay_free>;

  public:
    static lmcache_status make(replay &out, const replay_options &options) {
        const std::vector<const char *> paths = detail::pointers(options.paths), l2_adapters = detail::pointers(options.l2_adapters);
        auto current = std::make_unique<detail::current_run>(nullptr);
        lmcache_replay_options asked = options;
        asked.paths = paths.data();
        asked.path_count = paths.size();
        asked.config_json = options.config_json.empty() ? nullptr : options.config_json.c_str();
        asked.eviction_policy = options.eviction_policy.empty() ? nullptr : options.eviction_policy.c_str();
        asked.l2_adapters = l2_adapters.data();
        asked.l2_adapter_count = l2_adapters.size();
        asked.on_progress = detail::tell_progress;
        asked.on_progress_user_data = current.get();
        const lmcache_status status = lmcache_replay_new(&asked, out.handle::out());
        out.current_ = std::move(current);
        return check(status);
    }

    replay() noexcept = default;
#ifndef LMCACHE_NO_EXCEPTIONS
    explicit replay(const replay_options &options) { make(*this, options); }
#endif

    /* Replays, and returns when all is done or the replay was cancelled, which is LMCACHE_STATUS_OK and stands in the results. */
    lmcache_status run() {
        detail::progress_call call{};
        return check(run_with(call));
    }
    /* The same; `told(progress)` is told how far it is, on this thread: when it begins, every `progress_interval_ns`, and when it is over. It returns
     * nothing, or whether to go on: false cancels the replay. An exception that leaves it cancels the replay, too; it is told nothing any more, and the
     * exception leaves `run` once the replay has stopped. What was found until then is in the results. */
    template <class Told> lmcache_status run(Told told) {
        detail::progress_call call{};
        call.tell = tell<Told>;
        call.told = &told;
        const lmcache_status status = run_with(call);
#ifndef LMCACHE_NO_EXCEPTIONS
        if (call.thrown)
            std::rethrow_exception(call.thrown);
#endif
        return check(status);
    }
    /* From any thread, or from `told`. It stays cancelled. */
    lmcache_status cancel() const { return check(lmcache_replay_cancel(get())); }

    /* What the last run found; LMCACHE_STATUS_PENDING, and `out` stays as it is, if there was none. */
    lmcache_status get_results(replay_results &out) { return check(lmcache_replay_get_results(get(), &out)); }
    /* The same as a JSON object, valid until the next run, or until the replay is freed. */
    lmcache_status get_json(std::string_view &out) {
        const char *text = nullptr;
        std::size_t length = 0;
        const lmcache_status status = check(lmcache_replay_get_json(get(), &text, &length));
        if (status == LMCACHE_STATUS_OK)
            out = {text, length};
        return status;
    }

  private:
    using handle::out;
    using handle::release;

    template <class Function> static bool tell(void *told, const lmcache_replay_progress &progress) {
        Function &function = *static_cast<Function *>(told);
        using answer = std::invoke_result_t<Function &, const lmcache_replay_progress &>;
        static_assert(std::is_void_v<answer> || std::is_same_v<answer, bool>, "who is told of a replay's progress returns nothing, or whether to go on");
        if constexpr (std::is_void_v<answer>) {
            function(progress);
            return true;
        } else {
            return function(progress);
        }
    }

    lmcache_status run_with(detail::progress_call &call) {
        detail::progress_call *nobody = nullptr;
        // A replay that was not made has nothing to tell: C says so. One that runs has who is told already.
        if (current_ && !current_->compare_exchange_strong(nobody, &call))
            return detail::refuse(LMCACHE_STATUS_BUSY, "the replay runs already");
        const lmcache_status status = lmcache_replay_run(get());
        if (current_)
            current_->store(nullptr);
        return status;
    }

    std::unique_ptr<detail::current_run> current_;
};

} // namespace LMCACHE_INLINE_NAMESPACE
} // namespace lmcache

#endif
