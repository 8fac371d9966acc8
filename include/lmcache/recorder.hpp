/* Recording calls. SPDX-License-Identifier: Apache-2.0 */
#ifndef LMCACHE_RECORDER_HPP
#define LMCACHE_RECORDER_HPP

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <lmcache/keys.hpp>

namespace lmcache {
inline namespace LMCACHE_INLINE_NAMESPACE {

/* How to record: the numbers are those of lmcache_recorder_options, and zero is their default. */
struct recorder_options : sized<lmcache_recorder_options> {
    recorder_options() noexcept = default;
    explicit recorder_options(std::string file) : path(std::move(file)) {}

    /* The file, which is overwritten. */
    std::string path;
    /* What the operator calls this node, for the file; may be empty. */
    std::string node;
    /* LMCache's configuration of the storage manager, for the file; may be empty. */
    std::string storage_config_json;
    /* Told once if the recording stops by itself, on the recorder's own thread; the reason is borrowed for the time of the call. An exception that
     * leaves it ends the program, and the recorder must not be closed or destroyed in it. */
    std::function<void(std::string_view reason)> on_stop;

  private:
    using lmcache_recorder_options::on_stop_user_data;
};

/* What a recording has done so far. */
using recorder_stats = sized<lmcache_recorder_stats>;

/* A recording; any number of threads may use it at once. When it is destroyed it is closed, so whatever it records ends before it. */
class recorder : public owned<lmcache_recorder, lmcache_recorder_free> {
    using handle = owned<lmcache_recorder, lmcache_recorder_free>;
    using stop_function = std::function<void(std::string_view)>;

  public:
    static lmcache_status open(recorder &out, const recorder_options &options) {
        out.reset();
        lmcache_recorder_options asked = options;
        asked.path = options.path.c_str();
        asked.node = options.node.empty() ? nullptr : options.node.c_str();
        asked.storage_config_json = options.storage_config_json.empty() ? nullptr : options.storage_config_json.c_str();
        std::unique_ptr<stop_function> on_stop;
        if (options.on_stop) {
            on_stop = std::make_unique<stop_function>(options.on_stop);
            asked.on_stop = tell_stop;
            asked.on_stop_user_data = on_stop.get();
        }
        const lmcache_status status = lmcache_recorder_open(&asked, out.handle::out());
        out.on_stop_ = std::move(on_stop);
        return check(status);
    }

    recorder() noexcept = default;
#ifndef LMCACHE_NO_EXCEPTIONS
    explicit recorder(const recorder_options &options) { open(*this, options); }
    explicit recorder(std::string path) { open(*this, recorder_options(std::move(path))); }
#endif
    recorder(recorder &&) noexcept = default;
    recorder &operator=(recorder &&other) noexcept {
        if (this != &other) {
            reset();
            handle::operator=(std::move(other));
            on_stop_ = std::move(other.on_stop_);
        }
        return *this;
    }
    ~recorder() { reset(); }

    /* 1 while calls are recorded, else 0. Valid for as long as the process; see lmcache_is_recording. */
    result<const std::uint32_t *> gate() const {
        const std::uint32_t *gate = nullptr;
        const lmcache_status status = lmcache_recorder_gate(get(), &gate);
        return detail::given(status, gate);
    }
    lmcache_status set_enabled(bool is_enabled) const { return check(lmcache_recorder_set_enabled(get(), is_enabled)); }
    /* Waits until everything that was recorded before is in the file. */
    lmcache_status flush() const { return check(lmcache_recorder_flush(get())); }
    /* Writes what is left, and seals the file: what goes wrong then is told here, and not by the destructor. */
    lmcache_status close() const { return check(lmcache_recorder_close(get())); }
    /* Right once it is flushed or closed. */
    result<recorder_stats> stats() const {
        recorder_stats stats;
        const lmcache_status status = lmcache_recorder_get_stats(get(), &stats);
        return detail::given(status, stats);
    }

    /* Closes and frees it. */
    void reset() noexcept {
        // The recorder's thread is gone then, and with it who could call the function.
        if (*this)
            (void)lmcache_recorder_close(get());
        handle::reset();
        on_stop_.reset();
    }

  private:
    using handle::out;
    using handle::release;

    static void tell_stop(const char *reason, void *told) noexcept { (*static_cast<stop_function *>(told))(reason); }

    std::unique_ptr<stop_function> on_stop_;
};

/* What a thread records with; only the thread that made it may use and destroy it. Calls return LMCACHE_STATUS_DROPPED if they are not recorded, which
 * is no error. None of them allocates memory or copies a text. */
class producer : public owned<lmcache_producer, lmcache_producer_free> {
  public:
    static lmcache_status make(producer &out, const recorder &of) { return check(lmcache_producer_new(of.get(), out.out())); }

    producer() noexcept = default;
#ifndef LMCACHE_NO_EXCEPTIONS
    explicit producer(const recorder &of) { make(*this, of); }
#endif

    lmcache_status reserve_write(const lmcache_key_list &keys, const layout &as, lmcache_call_id *call = nullptr) {
        return check(lmcache_producer_reserve_write(get(), &keys, as.get(), call));
    }
    lmcache_status finish_write(const lmcache_key_list &keys, lmcache_call_id *call = nullptr) {
        return check(lmcache_producer_finish_write(get(), &keys, call));
    }
    lmcache_status read_enter(const lmcache_key_list &keys, lmcache_call_id *call = nullptr) {
        return check(lmcache_producer_read_enter(get(), &keys, call));
    }
    lmcache_status read_exit(const lmcache_key_list &keys, lmcache_call_id *call = nullptr) {
        return check(lmcache_producer_read_exit(get(), &keys, call));
    }
    lmcache_status finish_read(const lmcache_key_list &keys, std::int64_t read_locks = 1, lmcache_call_id *call = nullptr) {
        return check(lmcache_producer_finish_read(get(), &keys, read_locks, call));
    }
    lmcache_status submit_prefetch(const lmcache_prefetch_spec &spec, cstring_view request_id = {}, lmcache_call_id *call = nullptr) {
        return check(lmcache_producer_submit_prefetch(get(), &spec, request_id.c_str(), call));
    }
    /* A call of the host's own: a name, and bytes that mean something to it. */
    lmcache_status host_call(cstring_view name, span<const std::uint8_t> bytes, lmcache_call_id *call = nullptr) {
        return check(lmcache_producer_host_call(get(), name.c_str(), bytes.data(), bytes.size(), call));
    }
    /* What became of a call, which another thread may have recorded. */
    lmcache_status complete(lmcache_call_id call, const lmcache_completion &completion) {
        return check(lmcache_producer_complete(get(), call, &completion));
    }
};

} // namespace LMCACHE_INLINE_NAMESPACE
} // namespace lmcache

#endif
