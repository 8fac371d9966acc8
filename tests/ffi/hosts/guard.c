/* Every output with nothing behind it: what is written past its end, or read past the end of an input, ends the program. */
#include "check.h"
#include <sys/mman.h>
#include <unistd.h>

#define SMALL "{\"l1_size_gb\": 0.0625, \"eviction_policy\": \"LRU\"}"
#define COUNT 3
#define FILL 0xa5

static lmcache_scope *scope;
static lmcache_layout *layout;

/* Room of so many bytes that ends where memory does. Before it lies what must stay as it is. */
typedef struct {
    uint8_t *at;
    uint8_t *pages;
    size_t page_bytes;
    size_t bytes;
} room;

static room room_of(size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), used = (bytes / page + 1) * page;
    uint8_t *pages = (uint8_t *)mmap(NULL, used + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED && mprotect(pages + used, page, PROT_NONE) == 0);
    memset(pages, FILL, used);
    room made = {pages + used - bytes, pages, used, bytes};
    return made;
}

/* Whether nothing before it was written, and gives it back. */
static void leave(room made) {
    for (uint8_t *byte = made.pages; byte < made.at; byte++)
        CHECK(*byte == FILL);
    CHECK(munmap(made.pages, made.page_bytes + (size_t)sysconf(_SC_PAGESIZE)) == 0);
}

/* A room that holds these bytes. */
static room copy_of(const void *bytes, size_t count) {
    room made = room_of(count);
    memcpy(made.at, bytes, count);
    return made;
}

/* A text of `needed` bytes, copied by `copy` into rooms of all lengths around its own and some below. */
typedef size_t (*copier)(const void *from, char *buffer, size_t length);

static void text(copier copy, const void *from) {
    size_t needed = copy(from, NULL, 0);
    CHECK(needed > 0);
    size_t lengths[] = {1, 2, 3, 7, needed / 2 + 1, needed - 1, needed, needed + 1, needed + 2, needed + 100};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        if (lengths[i] == 0)
            continue;
        room made = room_of(lengths[i]);
        size_t told = copy(from, (char *)made.at, lengths[i]);
        size_t length = strlen((const char *)made.at);
        /* A status counts what happens, so that its text can be longer or shorter the next time. */
        CHECK(length == (told < lengths[i] ? told : lengths[i] - 1));
        leave(made);
    }
}

static size_t last_error(const void *from, char *buffer, size_t length) {
    (void)from;
    return lmcache_last_error(buffer, length);
}

static size_t hint(const void *from, char *buffer, size_t length) {
    (void)from;
    return lmcache_last_error_hint(buffer, length);
}

static size_t status_json(const void *from, char *buffer, size_t length) {
    room needed = room_of(sizeof(size_t));
    OK(lmcache_storage_status_json((const lmcache_storage *)from, buffer, length, (size_t *)(void *)needed.at));
    size_t told = *(size_t *)(void *)needed.at;
    leave(needed);
    return told;
}

static size_t metrics_text(const void *from, char *buffer, size_t length) {
    size_t needed = 0;
    OK(lmcache_storage_metrics_text((const lmcache_storage *)from, buffer, length, &needed));
    return needed;
}

static size_t config_json(const void *from, char *buffer, size_t length) {
    size_t needed = 0;
    OK(lmcache_storage_config_json((const lmcache_storage *)from, buffer, length, &needed));
    return needed;
}

static void texts(void) {
    lmcache_storage *storage = NULL;
    lmcache_storage_options options = LMCACHE_STORAGE_OPTIONS_INIT;
    options.config_json = "{\"l1_size_gb\": 0.0625, \"eviction_policy\": \"LRU\", \"l2_adapter\": [{\"type\": \"s4\"}]}";
    STATUS(lmcache_storage_new(&options, &storage), LMCACHE_STATUS_INVALID_ARGUMENT);
    text(last_error, NULL);
    lmcache_reader *reader = NULL;
    CHECK(lmcache_reader_open("/nowhere/at/all.lct", 0, &reader) < 0);
    text(last_error, NULL);
    options.config_json = SMALL;
    OK(lmcache_storage_new(&options, &storage));
    STATUS(lmcache_storage_metrics_text(storage, NULL, 0, NULL), LMCACHE_STATUS_UNSUPPORTED);
    text(hint, NULL);
    OK(lmcache_storage_free(storage));
    options.with_metrics = 1;
    OK(lmcache_storage_new(&options, &storage));
    text(status_json, storage);
    text(metrics_text, storage);
    text(config_json, storage);
    OK(lmcache_storage_free(storage));
}

/* An array of an output with exactly as many places as there are keys. */
#define ARRAY(type, name) \
    room name##_room = room_of(COUNT * sizeof(type)); \
    type *name = (type *)(void *)name##_room.at

/* A struct that says its own size. */
#define STRUCT(type, name, init) \
    type name##_made = init; \
    room name##_room = copy_of(&name##_made, sizeof(type)); \
    type *name = (type *)(void *)name##_room.at

static void arrays(void) {
    lmcache_storage_options options = LMCACHE_STORAGE_OPTIONS_INIT;
    room json = copy_of(SMALL, sizeof SMALL);
    options.config_json = (const char *)json.at;
    lmcache_storage *storage = NULL;
    OK(lmcache_storage_new(&options, &storage));
    uint8_t bytes[COUNT * 32] = {1};
    bytes[32] = 2, bytes[64] = 3;
    room hashes = copy_of(bytes, sizeof bytes);
    lmcache_key_list keys = {hashes.at, COUNT, 32, scope, NULL};
    const lmcache_scope *each[COUNT] = {scope, scope, scope};
    room scopes = copy_of(each, sizeof each);
    ARRAY(lmcache_write_buffer, written);
    OK(lmcache_storage_reserve_write(storage, &keys, layout, LMCACHE_WRITE_NEW, written, COUNT));
    CHECK(written[COUNT - 1].outcome == LMCACHE_KEY_SUCCESS);
    leave(written_room);
    ARRAY(uint32_t, outcomes);
    ARRAY(uint32_t, owners);
    memset(owners, 0, COUNT * sizeof *owners);
    keys.scopes = (const lmcache_scope *const *)(void *)scopes.at;
    OK(lmcache_storage_finish_write(storage, &keys, owners, outcomes, COUNT));
    CHECK(outcomes[COUNT - 1] == LMCACHE_KEY_SUCCESS);
    ARRAY(uint8_t, there);
    OK(lmcache_storage_contains(storage, &keys, there, COUNT));
    CHECK(there[0] == 1 && there[COUNT - 1] == 1);
    leave(there_room);

    lmcache_prefetch_row one = {keys, layout, -1, 0, 0};
    room rows = copy_of(&one, sizeof one);
    lmcache_prefetch_spec spec = {(const lmcache_prefetch_row *)(void *)rows.at, 1, 1, LMCACHE_FETCH_PREFIX, LMCACHE_LOCK, 0, 0};
    lmcache_prefetch *prefetch = NULL;
    OK(lmcache_storage_submit_prefetch(storage, &spec, NULL, &prefetch));
    STRUCT(lmcache_prefetch_result, result, LMCACHE_PREFETCH_RESULT_INIT);
    OK(lmcache_prefetch_wait(prefetch, UINT64_MAX, result));
    CHECK(result->hit_cells == COUNT);
    OK(lmcache_prefetch_query(prefetch, result));
    leave(result_room);
    ARRAY(uint8_t, cells);
    room set = room_of(sizeof(size_t));
    OK(lmcache_prefetch_get_row(prefetch, 0, LMCACHE_CELLS_HIT, cells, COUNT, (size_t *)(void *)set.at));
    CHECK(cells[COUNT - 1] == 1 && *(size_t *)(void *)set.at == COUNT);
    leave(cells_room);
    leave(set);
    OK(lmcache_prefetch_get_row_l1_managers(prefetch, 0, owners, COUNT));
    CHECK(owners[COUNT - 1] == 0);

    ARRAY(lmcache_read_buffer, read);
    OK(lmcache_storage_read_enter(storage, &keys, owners, read, COUNT));
    CHECK(read[COUNT - 1].outcome == LMCACHE_KEY_SUCCESS);
    OK(lmcache_storage_unsafe_read(storage, &keys, owners, read, COUNT));
    leave(read_room);
    OK(lmcache_storage_read_exit(storage, &keys, owners, 0));
    OK(lmcache_storage_finish_read(storage, &keys, 1, owners, outcomes, COUNT));
    leave(outcomes_room);
    leave(owners_room);
    room deleted = room_of(sizeof(size_t)), locked = room_of(sizeof(size_t));
    OK(lmcache_storage_delete(storage, &keys, 0, (size_t *)(void *)deleted.at, (size_t *)(void *)locked.at));
    leave(deleted);
    leave(locked);
    STRUCT(lmcache_storage_usage, usage, LMCACHE_STORAGE_USAGE_INIT);
    OK(lmcache_storage_get_usage(storage, usage));
    CHECK(usage->l1_total_bytes > 0);
    leave(usage_room);
    OK(lmcache_prefetch_free(prefetch));
    OK(lmcache_storage_free(storage));
    leave(rows);
    leave(scopes);
    leave(hashes);
    leave(json);
}

/* What recorders, readers and replays tell. */
static void structs(const char *damaged) {
    lmcache_recorder_options options = LMCACHE_RECORDER_OPTIONS_INIT;
    options.path = "guard.lct";
    lmcache_recorder *recorder = NULL;
    OK(lmcache_recorder_open(&options, &recorder));
    lmcache_producer *producer = NULL;
    OK(lmcache_producer_new(recorder, &producer));
    uint8_t bytes[COUNT * 32] = {1};
    room hashes = copy_of(bytes, sizeof bytes);
    lmcache_key_list list = {hashes.at, COUNT, 32, scope, NULL};
    room keys = copy_of(&list, sizeof list), id = room_of(sizeof(lmcache_call_id));
    OK(lmcache_producer_finish_write(producer, (const lmcache_key_list *)(void *)keys.at, (lmcache_call_id *)(void *)id.at));
    STRUCT(lmcache_completion, completion, LMCACHE_COMPLETION_INIT);
    completion->outcome = LMCACHE_OUTCOME_DONE;
    OK(lmcache_producer_complete(producer, *(lmcache_call_id *)(void *)id.at, completion));
    room name = copy_of("engine.ready", sizeof "engine.ready"), payload = copy_of("1234567", 7);
    OK(lmcache_producer_host_call(producer, (const char *)name.at, payload.at, payload.bytes, NULL));
    OK(lmcache_producer_free(producer));
    OK(lmcache_recorder_close(recorder));
    STRUCT(lmcache_recorder_stats, stats, LMCACHE_RECORDER_STATS_INIT);
    OK(lmcache_recorder_get_stats(recorder, stats));
    CHECK(stats->calls == 2 && stats->completions == 1);
    OK(lmcache_recorder_free(recorder));
    leave(stats_room);
    leave(completion_room);
    leave(id);
    leave(keys);
    leave(hashes);
    leave(name);
    leave(payload);

    lmcache_reader *reader = NULL;
    OK(lmcache_reader_open(damaged, LMCACHE_READ_BUFFERED, &reader));
    STRUCT(lmcache_trace_header, header, LMCACHE_TRACE_HEADER_INIT);
    OK(lmcache_reader_get_header(reader, header));
    leave(header_room);
    STRUCT(lmcache_record, record, LMCACHE_RECORD_INIT);
    lmcache_status ended;
    while ((ended = lmcache_reader_next(reader, record)) == LMCACHE_STATUS_OK)
        CHECK(record->kind != 0);
    CHECK(ended == LMCACHE_STATUS_END);
    leave(record_room);
    STRUCT(lmcache_reader_stats, met, LMCACHE_READER_STATS_INIT);
    OK(lmcache_reader_get_stats(reader, met));
    leave(met_room);
    STRUCT(lmcache_damage, damage, LMCACHE_DAMAGE_INIT);
    OK(lmcache_reader_get_damage(reader, 0, damage));
    CHECK(damage->reason[0]);
    leave(damage_room);
    OK(lmcache_reader_free(reader));

    STRUCT(lmcache_verify_report, verified, LMCACHE_VERIFY_REPORT_INIT);
    OK(lmcache_verify("guard.lct", NULL, NULL, verified));
    CHECK(verified->calls == 2);
    leave(verified_room);
    STRUCT(lmcache_conversion, converted, LMCACHE_CONVERSION_INIT);
    OK(lmcache_convert("guard.lct", "guard.compact.lct", NULL, converted));
    leave(converted_room);
    STRUCT(lmcache_repair_report, repaired, LMCACHE_REPAIR_REPORT_INIT);
    OK(lmcache_repair("guard.lct", "guard.repaired.lct", repaired));
    CHECK(repaired->calls == 2);
    leave(repaired_room);

    const char *path = "guard.lct";
    lmcache_replay_options replayed = LMCACHE_REPLAY_OPTIONS_INIT;
    replayed.paths = &path;
    replayed.path_count = 1;
    replayed.pace = LMCACHE_PACE_ASAP;
    replayed.l1_size_bytes = 1 << 26;
    lmcache_replay *replay = NULL;
    OK(lmcache_replay_new(&replayed, &replay));
    OK(lmcache_replay_run(replay));
    STRUCT(lmcache_replay_results, results, LMCACHE_REPLAY_RESULTS_INIT);
    OK(lmcache_replay_get_results(replay, results));
    CHECK(results->records_replayed + results->records_skipped > 0);
    leave(results_room);
    OK(lmcache_replay_free(replay));
}

int main(int count, char **words) {
    CHECK(count == 2);
    room model = copy_of("org/model", sizeof "org/model"), salt = copy_of("tenant", sizeof "tenant");
    OK(lmcache_scope_new((const char *)model.at, 0, 0, (const char *)salt.at, &scope));
    leave(model);
    leave(salt);
    const uint64_t extents[] = {64};
    room shape = copy_of(extents, sizeof extents), dtype = copy_of("torch.uint8", sizeof "torch.uint8");
    lmcache_tensor tensor = {(const uint64_t *)(void *)shape.at, 1, (const char *)dtype.at};
    OK(lmcache_layout_new(&tensor, 1, &layout));
    leave(shape);
    leave(dtype);
    texts();
    arrays();
    structs(words[1]);
    OK(lmcache_scope_free(scope));
    OK(lmcache_layout_free(layout));
    printf("nothing past the end\n");
    return 0;
}
