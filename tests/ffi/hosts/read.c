/* Reads traces: what record.c recorded, field by field; any trace, as lines that the test compares; and places in one. */
#include "check.h"

#define THREADS 4
#define PROMPTS 100
#define CHUNKS 16

static lmcache_reader *open_file(const char *path, uint32_t mode) {
    lmcache_reader *reader = NULL;
    OK(lmcache_reader_open(path, mode, &reader));
    return reader;
}

/* Which prompt the keys are of; all of their fields are checked. */
static unsigned prompt_of(const lmcache_recorded_key *keys, size_t count) {
    CHECK(count == CHUNKS);
    uint64_t first = 0;
    memcpy(&first, keys[0].hash, sizeof first);
    for (size_t i = 0; i < count; i++) {
        uint8_t hash[32] = {0};
        uint64_t name = first + i;
        memcpy(hash, &name, sizeof name);
        CHECK(keys[i].hash_bytes == 32 && memcmp(keys[i].hash, hash, 32) == 0);
        const lmcache_recorded_scope *scope = keys[i].scope;
        CHECK(scope == keys[0].scope);
        CHECK(strcmp(scope->model_name, "org/model") == 0 && scope->model_name_length == 9);
        CHECK(strcmp(scope->cache_salt, "tenant") == 0 && scope->cache_salt_length == 6);
        CHECK(scope->kv_rank == 0x01000100 && scope->object_group_id == 0);
    }
    return (unsigned)((first - 1) / CHUNKS);
}

static void check_layout(const lmcache_recorded_layout *layout) {
    CHECK(layout && layout->tensor_count == 1 && layout->size_bytes == 64);
    CHECK(layout->tensors[0].dimensions == 2 && layout->tensors[0].shape[0] == 2 && layout->tensors[0].shape[1] == 16);
    CHECK(strcmp(layout->tensors[0].dtype, "torch.bfloat16") == 0);
    lmcache_layout *made = NULL;
    OK(lmcache_layout_new(layout->tensors, layout->tensor_count, &made));
    OK(lmcache_layout_free(made));
}

static void check_header(lmcache_reader *reader) {
    lmcache_trace_header header = LMCACHE_TRACE_HEADER_INIT;
    OK(lmcache_reader_get_header(reader, &header));
    CHECK(header.struct_size == sizeof header && header.format == LMCACHE_FORMAT_NATIVE);
    CHECK(header.ending == LMCACHE_ENDING_CLOSED && !header.is_compact);
    CHECK(strcmp(header.level, "storage") == 0 && strcmp(header.node, "node-7") == 0);
    CHECK(strcmp(header.storage_config_json, "{\"chunk_size\": 256}") == 0 && strlen(header.storage_config_digest) == 64);
    CHECK(strlen(header.writer) > 0 && header.process_id > 0 && header.recording_id != 0 && header.file_number == 0);
    CHECK(header.t_wall_start_s > 1.7e9 && header.mono_start_ns > 0 && header.wall_start_ns > UINT64_C(1700000000000000000));
    CHECK(header.calls == THREADS * PROMPTS * 7 && header.lost_calls == 0 && header.completions == THREADS * PROMPTS);
    CHECK(header.keys == THREADS * PROMPTS * 6 * CHUNKS && header.first_ns >= header.mono_start_ns);
    CHECK(header.last_ns >= header.first_ns && header.file_bytes > 4096);
}

/* What a thread does for a prompt, in its order. */
static const uint32_t steps[] = {
    LMCACHE_RECORD_RESERVE_WRITE, LMCACHE_RECORD_FINISH_WRITE, LMCACHE_RECORD_SUBMIT_PREFETCH, LMCACHE_RECORD_COMPLETION,
    LMCACHE_RECORD_READ_ENTER,    LMCACHE_RECORD_READ_EXIT,    LMCACHE_RECORD_FINISH_READ,     LMCACHE_RECORD_HOST_CALL,
};

#define STEPS (sizeof steps / sizeof *steps)

typedef struct {
    size_t done;
    uint32_t calls;
    unsigned first_prompt;
    uint32_t prefetch_sequence;
} of_thread;

static void check_prefetch(const lmcache_record *record) {
    CHECK(record->key_count == 0 && record->keys == NULL && record->row_count == 1);
    CHECK(record->rows[0].sliding_window_size == -1 && record->rows[0].object_group_id == 0);
    check_layout(record->rows[0].layout);
    CHECK(record->num_kv_readers == 1 && record->fetching_policy == LMCACHE_FETCH_PREFIX);
    CHECK(record->lock_mode == LMCACHE_LOCK && record->skip_l2 == 0);
    CHECK(strcmp(record->request_id, "request") == 0 && record->request_id_length == 7);
}

static void check_record(const lmcache_record *record, of_thread *thread, uint64_t calls) {
    size_t step = thread->done % STEPS;
    unsigned prompt = thread->first_prompt + (unsigned)(thread->done / STEPS);
    CHECK(record->kind == steps[step] && record->number == calls && record->offset > 0);
    CHECK(record->t_ns > 0 && record->t_mono_s >= 0 && record->t_mono_s < 3600 && record->t_wall_s > 1.7e9);
    if (record->kind == LMCACHE_RECORD_COMPLETION) {
        CHECK(record->call_kind == LMCACHE_RECORD_SUBMIT_PREFETCH && record->call_sequence == thread->prefetch_sequence);
        CHECK(record->call_thread == record->thread && record->completion->outcome == LMCACHE_OUTCOME_DONE);
        CHECK(record->completion->hit_keys == CHUNKS && record->completion->requested_keys == CHUNKS);
        CHECK(record->completion->duration_ns == 1000 && record->completion->data_ready_ns == 2000);
        CHECK(record->completion->bytes == CHUNKS * 64 && record->name == NULL);
        return;
    }
    CHECK(record->sequence == thread->calls++ && record->name[record->name_length] == 0);
    if (record->kind == LMCACHE_RECORD_HOST_CALL) {
        CHECK(strcmp(record->name, "engine.prompt_done") == 0 && record->byte_count == sizeof prompt);
        CHECK(memcmp(record->bytes, &prompt, sizeof prompt) == 0 && record->key_count == 0);
        return;
    }
    int is_prefetch = record->kind == LMCACHE_RECORD_SUBMIT_PREFETCH;
    CHECK(strstr(record->name, "StorageManager.") && (record->request_id != NULL) == is_prefetch);
    if (is_prefetch) {
        check_prefetch(record);
        thread->prefetch_sequence = record->sequence;
        CHECK(prompt_of(record->rows[0].keys, record->rows[0].key_count) == prompt);
    } else {
        CHECK(prompt_of(record->keys, record->key_count) == prompt && record->row_count == 0);
    }
    CHECK((record->layout != NULL) == (record->kind == LMCACHE_RECORD_RESERVE_WRITE) && record->write_mode == 0);
    if (record->layout)
        check_layout(record->layout);
    CHECK(record->read_locks == (record->kind == LMCACHE_RECORD_FINISH_READ));
}

/* Reads what record.c wrote to its end, once. */
static void check_walk(lmcache_reader *reader) {
    of_thread threads[THREADS + 1];
    memset(threads, 0, sizeof threads);
    lmcache_record record = LMCACHE_RECORD_INIT;
    uint64_t calls = 0, records = 0;
    lmcache_status ended;
    while ((ended = lmcache_reader_next(reader, &record)) == LMCACHE_STATUS_OK) {
        CHECK(record.struct_size == sizeof record && record.thread >= 1 && record.thread <= THREADS);
        of_thread *thread = &threads[record.thread];
        if (thread->done == 0)
            thread->first_prompt = prompt_of(record.keys, record.key_count);
        check_record(&record, thread, calls);
        calls += record.kind != LMCACHE_RECORD_COMPLETION;
        records++;
        thread->done++;
    }
    STATUS(ended, LMCACHE_STATUS_END);
    STATUS(lmcache_reader_next(reader, &record), LMCACHE_STATUS_END);
    CHECK(calls == THREADS * PROMPTS * 7);
    for (unsigned i = 1; i <= THREADS; i++)
        CHECK(threads[i].done == PROMPTS * STEPS);
    lmcache_reader_stats stats = LMCACHE_READER_STATS_INIT;
    OK(lmcache_reader_get_stats(reader, &stats));
    CHECK(stats.records == records && stats.calls == calls && stats.losses == 0 && stats.damaged_chunks == 0);
    CHECK(stats.gap_bytes == 0 && stats.undecodable_frames == 0 && stats.cut_ends == 0 && stats.unknown == 0);
    lmcache_damage damage = LMCACHE_DAMAGE_INIT;
    STATUS(lmcache_reader_get_damage(reader, 0, &damage), LMCACHE_STATUS_END);
}

static void recorded(const char *path) {
    for (uint32_t mode = LMCACHE_READ_BUFFERED; mode <= LMCACHE_READ_MAPPED; mode++) {
        lmcache_reader *reader = open_file(path, mode);
        check_header(reader);
        check_walk(reader);
        OK(lmcache_reader_rewind(reader));
        check_walk(reader);
        OK(lmcache_reader_free(reader));
    }
}

/* All bytes of a file. */
static uint8_t *whole(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    CHECK(file && fseek(file, 0, SEEK_END) == 0);
    *length = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = (uint8_t *)malloc(*length + 1);
    CHECK(bytes && fread(bytes, 1, *length, file) == *length && fclose(file) == 0);
    return bytes;
}

static uint64_t fnv(uint64_t sum, const void *bytes, size_t length) {
    for (size_t i = 0; i < length; i++)
        sum = (sum ^ ((const uint8_t *)bytes)[i]) * UINT64_C(0x100000001b3);
    return sum;
}

static uint64_t fnv_of_keys(uint64_t sum, const lmcache_recorded_key *keys, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const lmcache_recorded_scope *scope = keys[i].scope;
        sum = fnv(sum, keys[i].hash, keys[i].hash_bytes);
        sum = fnv(sum, scope->model_name, scope->model_name_length);
        sum = fnv(sum, scope->cache_salt, scope->cache_salt_length);
        sum = fnv(sum, &scope->kv_rank, sizeof scope->kv_rank);
        sum = fnv(sum, &scope->object_group_id, sizeof scope->object_group_id);
    }
    return sum;
}

/* A line for each of the six calls, and one of numbers. */
static void list(lmcache_reader *reader) {
    lmcache_record record = LMCACHE_RECORD_INIT;
    lmcache_status ended;
    uint64_t others[256] = {0};
    while ((ended = lmcache_reader_next(reader, &record)) == LMCACHE_STATUS_OK) {
        if (record.kind > LMCACHE_RECORD_SUBMIT_PREFETCH) {
            CHECK(record.kind < 256);
            others[record.kind]++;
            continue;
        }
        uint64_t sum = fnv_of_keys(UINT64_C(0xcbf29ce484222325), record.keys, record.key_count);
        printf("%llu %u %.9f keys %zu", (unsigned long long)record.number, record.kind, record.t_mono_s, record.key_count);
        for (size_t row = 0; row < record.row_count; row++) {
            const lmcache_recorded_row *one = &record.rows[row];
            sum = fnv_of_keys(sum, one->keys, one->key_count);
            printf(" row %zu %u %lld %llu", one->key_count, one->object_group_id, (long long)one->sliding_window_size,
                   (unsigned long long)one->layout->size_bytes);
        }
        if (record.kind == LMCACHE_RECORD_RESERVE_WRITE)
            printf(" layout %llu mode %u", (unsigned long long)record.layout->size_bytes, record.write_mode);
        if (record.kind == LMCACHE_RECORD_FINISH_READ)
            printf(" locks %lld", (long long)record.read_locks);
        if (record.kind == LMCACHE_RECORD_SUBMIT_PREFETCH)
            printf(" readers %lld %u %u %u id %s", (long long)record.num_kv_readers, record.fetching_policy, record.lock_mode,
                   record.skip_l2, record.request_id);
        printf(" sum %016llx\n", (unsigned long long)sum);
    }
    STATUS(ended, LMCACHE_STATUS_END);
    lmcache_reader_stats stats = LMCACHE_READER_STATS_INIT;
    OK(lmcache_reader_get_stats(reader, &stats));
    printf("calls %llu host %llu foreign %llu completions %llu losses %llu damaged %llu frames %llu cut %llu\n",
           (unsigned long long)stats.calls, (unsigned long long)others[LMCACHE_RECORD_HOST_CALL],
           (unsigned long long)others[LMCACHE_RECORD_FOREIGN_CALL], (unsigned long long)others[LMCACHE_RECORD_COMPLETION],
           (unsigned long long)others[LMCACHE_RECORD_LOSS], (unsigned long long)stats.damaged_chunks,
           (unsigned long long)stats.undecodable_frames, (unsigned long long)stats.cut_ends);
    lmcache_damage damage = LMCACHE_DAMAGE_INIT;
    for (size_t i = 0; lmcache_reader_get_damage(reader, i, &damage) == LMCACHE_STATUS_OK; i++)
        CHECK(damage.kind >= LMCACHE_DAMAGE_CHUNK && damage.kind <= LMCACHE_DAMAGE_CUT && strlen(damage.reason) > 0);
}

/* Every call is found by its number and by its time, from wherever the reader stands. */
static void seek(const char *path) {
    lmcache_reader *reader = open_file(path, LMCACHE_READ_BUFFERED);
    lmcache_record record = LMCACHE_RECORD_INIT;
    size_t calls = 0;
    double *times = NULL;
    while (lmcache_reader_next(reader, &record) == LMCACHE_STATUS_OK) {
        if (record.kind == LMCACHE_RECORD_COMPLETION || record.kind == LMCACHE_RECORD_LOSS)
            continue;
        times = (double *)realloc(times, (calls + 1) * sizeof *times);
        CHECK(times && record.number == calls);
        times[calls++] = record.t_mono_s;
    }
    size_t step = calls / 37 + 1;
    for (size_t i = calls - 1; i < calls; i -= step) {
        OK(lmcache_reader_seek_call(reader, i));
        OK(lmcache_reader_next(reader, &record));
        CHECK(record.number == i && record.t_mono_s == times[i]);
        size_t first = 0;
        while (times[first] < times[i])
            first++;
        OK(lmcache_reader_seek_time(reader, times[i]));
        OK(lmcache_reader_next(reader, &record));
        CHECK(record.number == first);
    }
    OK(lmcache_reader_seek_time(reader, -1.0));
    OK(lmcache_reader_next(reader, &record));
    CHECK(record.number == 0);
    STATUS(lmcache_reader_seek_call(reader, calls), LMCACHE_STATUS_END);
    STATUS(lmcache_reader_next(reader, &record), LMCACHE_STATUS_END);
    STATUS(lmcache_reader_seek_time(reader, 1e9), LMCACHE_STATUS_END);
    STATUS(lmcache_reader_next(reader, &record), LMCACHE_STATUS_END);
    OK(lmcache_reader_rewind(reader));
    OK(lmcache_reader_next(reader, &record));
    CHECK(record.number == 0);
    OK(lmcache_reader_free(reader));
    free(times);
    printf("%zu calls found\n", calls);
}

int main(int count, char **words) {
    CHECK(count == 3);
    const char *verb = words[1], *path = words[2];
    if (strcmp(verb, "recorded") == 0)
        recorded(path);
    else if (strcmp(verb, "seek") == 0)
        seek(path);
    else if (strcmp(verb, "bytes") == 0) {
        size_t length = 0;
        uint8_t *bytes = whole(path, &length);
        lmcache_reader *reader = NULL;
        OK(lmcache_reader_open_bytes(bytes, length, &reader));
        free(bytes);
        list(reader);
        OK(lmcache_reader_free(reader));
    } else {
        lmcache_reader *reader = open_file(path, strcmp(verb, "mapped") == 0 ? LMCACHE_READ_MAPPED : LMCACHE_READ_BUFFERED);
        list(reader);
        OK(lmcache_reader_free(reader));
    }
    return 0;
}
