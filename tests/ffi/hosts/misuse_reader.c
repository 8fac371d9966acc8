/* What can be done wrong with readers and replays: each with a code and none with a crash. The words are a native trace and an LMCache trace. */
#include "check.h"
#include <math.h>
#include <pthread.h>
#include <sys/stat.h>

static const char *native, *lmcache;

static lmcache_reader *reader_of(const char *path) {
    lmcache_reader *reader = NULL;
    OK(lmcache_reader_open(path, LMCACHE_READ_BUFFERED, &reader));
    return reader;
}

static lmcache_replay_options options_of(const char *const *path) {
    lmcache_replay_options options = LMCACHE_REPLAY_OPTIONS_INIT;
    options.paths = path;
    options.path_count = 1;
    options.l1_size_bytes = UINT64_C(1) << 26;
    options.pace = LMCACHE_PACE_ASAP;
    return options;
}

static lmcache_replay *replay_of(const char *const *path) {
    lmcache_replay_options options = options_of(path);
    lmcache_replay *replay = NULL;
    OK(lmcache_replay_new(&options, &replay));
    return replay;
}

static void nulls(void) {
    lmcache_reader *reader = NULL;
    STATUS(lmcache_reader_open(NULL, 0, &reader), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_reader_open(native, 0, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_reader_open_bytes(NULL, 8, &reader), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_reader_open_bytes((const uint8_t *)"x", 1, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_reader_open_bytes(NULL, 0, &reader), LMCACHE_STATUS_TRUNCATED);
    CHECK(reader == NULL);
    reader = reader_of(native);
    lmcache_record record = LMCACHE_RECORD_INIT;
    lmcache_trace_header header = LMCACHE_TRACE_HEADER_INIT;
    lmcache_reader_stats stats = LMCACHE_READER_STATS_INIT;
    lmcache_damage damage = LMCACHE_DAMAGE_INIT;
    STATUS(lmcache_reader_next(NULL, &record), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_reader_next(reader, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_reader_get_header(NULL, &header), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_reader_get_header(reader, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_reader_get_stats(NULL, &stats), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_reader_get_stats(reader, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_reader_get_damage(NULL, 0, &damage), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_reader_get_damage(reader, 0, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_reader_rewind(NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_reader_seek_call(NULL, 0), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_reader_seek_time(NULL, 0), LMCACHE_STATUS_NULL_POINTER);
    OK(lmcache_reader_free(NULL));
    OK(lmcache_reader_free(reader));

    lmcache_replay *replay = NULL;
    lmcache_replay_options options = options_of(&native);
    STATUS(lmcache_replay_new(NULL, &replay), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_replay_new(&options, NULL), LMCACHE_STATUS_NULL_POINTER);
    options.paths = NULL;
    STATUS(lmcache_replay_new(&options, &replay), LMCACHE_STATUS_NULL_POINTER);
    const char *none = NULL;
    options.paths = &none;
    STATUS(lmcache_replay_new(&options, &replay), LMCACHE_STATUS_NULL_POINTER);
    options = options_of(&native);
    options.l2_adapters = &none;
    options.l2_adapter_count = 1;
    STATUS(lmcache_replay_new(&options, &replay), LMCACHE_STATUS_NULL_POINTER);
    CHECK(replay == NULL);
    replay = replay_of(&native);
    lmcache_replay_results results = LMCACHE_REPLAY_RESULTS_INIT;
    const char *json = NULL;
    STATUS(lmcache_replay_run(NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_replay_cancel(NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_replay_get_results(NULL, &results), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_replay_get_results(replay, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_replay_get_json(NULL, &json, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_replay_get_json(replay, NULL, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_replay_get_json(replay, &json, NULL), LMCACHE_STATUS_PENDING);
    OK(lmcache_replay_free(NULL));
    OK(lmcache_replay_free(replay));
}

static void handles(void) {
    lmcache_reader *reader = reader_of(native);
    lmcache_replay *replay = replay_of(&native);
    lmcache_scope *scope = NULL;
    OK(lmcache_scope_new("m", 0, 0, NULL, &scope));
    lmcache_record record = LMCACHE_RECORD_INIT;
    STATUS(lmcache_reader_next((lmcache_reader *)replay, &record), LMCACHE_STATUS_INVALID_HANDLE);
    STATUS(lmcache_reader_next((lmcache_reader *)scope, &record), LMCACHE_STATUS_INVALID_HANDLE);
    STATUS(lmcache_reader_next((lmcache_reader *)&record, &record), LMCACHE_STATUS_INVALID_HANDLE);
    STATUS(lmcache_replay_run((lmcache_replay *)reader), LMCACHE_STATUS_INVALID_HANDLE);
    STATUS(lmcache_replay_free((lmcache_replay *)reader), LMCACHE_STATUS_INVALID_HANDLE);
    STATUS(lmcache_reader_free((lmcache_reader *)replay), LMCACHE_STATUS_INVALID_HANDLE);
    OK(lmcache_reader_next(reader, &record));
    OK(lmcache_reader_free(reader));
    STATUS(lmcache_reader_next(reader, &record), LMCACHE_STATUS_INVALID_HANDLE);
    STATUS(lmcache_reader_rewind(reader), LMCACHE_STATUS_INVALID_HANDLE);
    STATUS(lmcache_reader_free(reader), LMCACHE_STATUS_INVALID_HANDLE);
    OK(lmcache_replay_free(replay));
    STATUS(lmcache_replay_cancel(replay), LMCACHE_STATUS_INVALID_HANDLE);
    STATUS(lmcache_replay_free(replay), LMCACHE_STATUS_INVALID_HANDLE);
    OK(lmcache_scope_free(scope));
}

/* A value that must be refused, in a field of the options. */
#define REFUSED(field, value) \
    do { \
        lmcache_replay_options wrong = options_of(&native); \
        lmcache_replay *made = NULL; \
        wrong.field = value; \
        STATUS(lmcache_replay_new(&wrong, &made), LMCACHE_STATUS_INVALID_ARGUMENT); \
        CHECK(made == NULL); \
    } while (0)

static void numbers(void) {
    lmcache_reader *reader = NULL;
    STATUS(lmcache_reader_open(native, 2, &reader), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_reader_open("\xff\xfe", 0, &reader), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_reader_open_bytes((const uint8_t *)"x", SIZE_MAX, &reader), LMCACHE_STATUS_INVALID_ARGUMENT);
    CHECK(reader == NULL);
    reader = reader_of(native);
    lmcache_record record = LMCACHE_RECORD_INIT;
    for (uint32_t size = 0; size < sizeof record + 8; size++) {
        record.struct_size = size;
        if (size != sizeof record)
            STATUS(lmcache_reader_next(reader, &record), LMCACHE_STATUS_INVALID_ARGUMENT);
    }
    lmcache_trace_header header = LMCACHE_TRACE_HEADER_INIT;
    header.struct_size = UINT32_MAX;
    STATUS(lmcache_reader_get_header(reader, &header), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_reader_seek_time(reader, (double)NAN), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_reader_seek_call(reader, UINT64_MAX), LMCACHE_STATUS_END);
    STATUS(lmcache_reader_seek_time(reader, (double)INFINITY), LMCACHE_STATUS_END);
    OK(lmcache_reader_seek_time(reader, -(double)INFINITY));
    /* The outputs of an end are as they were. */
    STATUS(lmcache_reader_seek_call(reader, UINT64_MAX), LMCACHE_STATUS_END);
    record.struct_size = sizeof record;
    record.kind = 77;
    STATUS(lmcache_reader_next(reader, &record), LMCACHE_STATUS_END);
    CHECK(record.kind == 77);
    lmcache_damage damage = LMCACHE_DAMAGE_INIT;
    STATUS(lmcache_reader_get_damage(reader, SIZE_MAX, &damage), LMCACHE_STATUS_END);
    OK(lmcache_reader_free(reader));

    REFUSED(struct_size, 0);
    REFUSED(struct_size, 8);
    REFUSED(read_mode, 2);
    REFUSED(path_count, 0);
    REFUSED(path_count, SIZE_MAX);
    REFUSED(pace, 4);
    REFUSED(pace, LMCACHE_PACE_SPEED);
    REFUSED(pace, LMCACHE_PACE_RATE);
    REFUSED(order, 3);
    REFUSED(workers, 257);
    REFUSED(workers, UINT32_MAX);
    REFUSED(low_cpu, 2);
    REFUSED(from_s, -1);
    REFUSED(to_s, -1);
    REFUSED(loops, UINT32_MAX);
    REFUSED(tenants, UINT32_MAX);
    REFUSED(alignment, 2);
    REFUSED(compat, 2);
    REFUSED(l1_size_bytes, 0);
    REFUSED(eviction_policy, "BEST");
    REFUSED(eviction_policy, "\xff");
    REFUSED(l2_namespace, 3);
    const char *adapters[] = {"{"};
    lmcache_replay_options options = options_of(&native);
    lmcache_replay *replay = NULL;
    options.l2_adapters = adapters;
    options.l2_adapter_count = SIZE_MAX / 2;
    STATUS(lmcache_replay_new(&options, &replay), LMCACHE_STATUS_INVALID_ARGUMENT);
    options.l2_adapter_count = 1;
    STATUS(lmcache_replay_new(&options, &replay), LMCACHE_STATUS_INVALID_ARGUMENT);
    adapters[0] = "{\"type\": \"tape\"}";
    STATUS(lmcache_replay_new(&options, &replay), LMCACHE_STATUS_INVALID_ARGUMENT);
    const char *missing = "no such file.lct";
    options = options_of(&missing);
    STATUS(lmcache_replay_new(&options, &replay), LMCACHE_STATUS_NOT_FOUND);
    CHECK(replay == NULL);
}

static void write_file(const char *path, const void *bytes, size_t length) {
    FILE *file = fopen(path, "wb");
    CHECK(file && fwrite(bytes, 1, length, file) == length && fclose(file) == 0);
}

static void files(void) {
    lmcache_reader *reader = NULL;
    CHECK(mkdir("a folder", 0700) == 0);
    write_file("empty.lct", "", 0);
    write_file("text.lct", "these are words and no trace, however long they go on\n", 54);
    for (uint32_t mode = 0; mode < 2; mode++) {
        STATUS(lmcache_reader_open("a folder", mode, &reader), LMCACHE_STATUS_INVALID_ARGUMENT);
        STATUS(lmcache_reader_open("missing.lct", mode, &reader), LMCACHE_STATUS_NOT_FOUND);
        STATUS(lmcache_reader_open("empty.lct", mode, &reader), LMCACHE_STATUS_TRUNCATED);
        lmcache_status status = lmcache_reader_open("text.lct", mode, &reader);
        CHECK(status == LMCACHE_STATUS_TRUNCATED || status == LMCACHE_STATUS_CORRUPT);
        CHECK(reader == NULL && lmcache_last_error(NULL, 0) > 0);
    }
    /* Cut at every length up to some kilobytes, and with a byte turned at each: read to an end, or refused. */
    const char *paths[] = {native, lmcache};
    for (size_t i = 0; i < 2; i++) {
        FILE *file = fopen(paths[i], "rb");
        CHECK(file);
        static uint8_t bytes[1 << 16];
        size_t length = fread(bytes, 1, sizeof bytes, file);
        CHECK(length > 1024 && fclose(file) == 0);
        for (size_t cut = 0; cut < length; cut += cut < 512 ? 1 : 509) {
            for (int is_turned = 0; is_turned < 2; is_turned++) {
                bytes[cut] ^= (uint8_t)(is_turned ? 0xff : 0);
                lmcache_status opened = lmcache_reader_open_bytes(bytes, is_turned ? length : cut, &reader);
                bytes[cut] ^= (uint8_t)(is_turned ? 0xff : 0);
                if (opened != LMCACHE_STATUS_OK) {
                    CHECK(opened == LMCACHE_STATUS_TRUNCATED || opened == LMCACHE_STATUS_CORRUPT ||
                          opened == LMCACHE_STATUS_UNSUPPORTED_VERSION || opened == LMCACHE_STATUS_UNSUPPORTED);
                    continue;
                }
                lmcache_record record = LMCACHE_RECORD_INIT;
                while (lmcache_reader_next(reader, &record) == LMCACHE_STATUS_OK)
                    CHECK(record.kind != 0);
                OK(lmcache_reader_free(reader));
                reader = NULL;
            }
        }
    }
}

static volatile int is_over;

static void *use(void *reader) {
    lmcache_record record = LMCACHE_RECORD_INIT;
    size_t busy = 0;
    while (!is_over) {
        lmcache_status status = lmcache_reader_next((lmcache_reader *)reader, &record);
        if (status == LMCACHE_STATUS_END)
            status = lmcache_reader_rewind((lmcache_reader *)reader);
        busy += status == LMCACHE_STATUS_BUSY;
        CHECK(status == LMCACHE_STATUS_OK || status == LMCACHE_STATUS_BUSY || status == LMCACHE_STATUS_INVALID_HANDLE);
    }
    return (void *)busy;
}

/* Several threads at one reader: served or BUSY; and it is freed under them. */
static void threads(void) {
    lmcache_reader *reader = reader_of(native);
    pthread_t others[4];
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&others[i], NULL, use, reader) == 0);
    for (int round = 0; round < 20000; round++) {
        lmcache_trace_header header = LMCACHE_TRACE_HEADER_INIT;
        lmcache_status status = lmcache_reader_get_header(reader, &header);
        CHECK(status == LMCACHE_STATUS_OK || status == LMCACHE_STATUS_BUSY);
    }
    OK(lmcache_reader_free(reader));
    is_over = 1;
    for (int i = 0; i < 4; i++)
        CHECK(pthread_join(others[i], NULL) == 0);
}

int main(int count, char **words) {
    CHECK(count >= 3);
    native = words[1];
    lmcache = words[2];
    const char *only = count > 3 ? words[3] : "";
    struct {
        const char *name;
        void (*run)(void);
    } suites[] = {{"nulls", nulls}, {"handles", handles}, {"numbers", numbers}, {"files", files}, {"threads", threads}};
    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++) {
        if (*only && strcmp(only, suites[i].name) != 0)
            continue;
        suites[i].run();
        printf("%s\n", suites[i].name);
    }
    return 0;
}
