/* Converts, verifies and repairs. The words: an LMCache trace, an unfinished native trace, and how many records the first has. */
#include "check.h"

static uint8_t *whole(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    CHECK(file && fseek(file, 0, SEEK_END) == 0);
    *length = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = (uint8_t *)malloc(*length + 1);
    CHECK(bytes && fread(bytes, 1, *length, file) == *length && fclose(file) == 0);
    return bytes;
}

static int are_same(const char *one, const char *other) {
    size_t lengths[2];
    uint8_t *bytes[2] = {whole(one, &lengths[0]), whole(other, &lengths[1])};
    int same = lengths[0] == lengths[1] && memcmp(bytes[0], bytes[1], lengths[0]) == 0;
    free(bytes[0]);
    free(bytes[1]);
    return same;
}

static void there_and_back(const char *path, uint64_t records) {
    lmcache_conversion report = LMCACHE_CONVERSION_INIT;
    OK(lmcache_convert(path, "native.lct", NULL, &report));
    CHECK(report.struct_size == sizeof report && report.calls + report.foreign_calls == records && !report.is_incomplete);
    CHECK(report.distinct_keys == LMCACHE_NOT_KNOWN && report.output_bytes > 0);
    OK(lmcache_convert("native.lct", "back.lct", NULL, NULL));
    CHECK(are_same(path, "back.lct"));
    lmcache_convert_options options = LMCACHE_CONVERT_OPTIONS_INIT;
    options.form = LMCACHE_CONVERT_TO_COMPACT;
    OK(lmcache_convert(path, "compact.lct", &options, &report));
    CHECK(report.distinct_keys > 0 && report.distinct_keys != LMCACHE_NOT_KNOWN);
    lmcache_reader *reader = NULL;
    OK(lmcache_reader_open("compact.lct", LMCACHE_READ_MAPPED, &reader));
    lmcache_trace_header header = LMCACHE_TRACE_HEADER_INIT;
    OK(lmcache_reader_get_header(reader, &header));
    CHECK(header.is_compact && header.calls == records && header.ending == LMCACHE_ENDING_CLOSED);
    OK(lmcache_reader_free(reader));
    lmcache_verify_report looked = LMCACHE_VERIFY_REPORT_INIT;
    const char *good[] = {path, "native.lct", "compact.lct"};
    for (size_t i = 0; i < 3; i++) {
        OK(lmcache_verify(good[i], NULL, NULL, &looked));
        CHECK(looked.findings == 0 && looked.calls == records && looked.good_chunks == looked.chunks);
    }
}

static void count_finding(const char *kind, uint64_t offset, const char *sentence, void *user_data) {
    CHECK(strlen(kind) > 0 && strlen(sentence) > 0 && offset > 0);
    ++*(uint64_t *)user_data;
}

/* The fixture was not closed, has lost 90 calls, ends within a frame of LMCache's, and has 40 bytes that no checksum covers. */
static void mended(const char *path) {
    uint64_t told = 0;
    lmcache_verify_report looked = LMCACHE_VERIFY_REPORT_INIT;
    OK(lmcache_verify(path, count_finding, &told, &looked));
    CHECK(looked.findings == 4 && told == 4 && !looked.is_closed && looked.lost_calls == 90);
    lmcache_repair_report report = LMCACHE_REPAIR_REPORT_INIT;
    OK(lmcache_repair(path, "whole.lct", &report));
    CHECK(!report.was_closed && report.holes == 1 && report.missing_bytes == 40 && report.missing_calls == 0);
    CHECK(report.calls == looked.calls && report.records == looked.records && report.lost_calls == 90);
    OK(lmcache_repair(path, "whole.lct", NULL));
    OK(lmcache_verify("whole.lct", NULL, NULL, &looked));
    CHECK(looked.findings == 2 && looked.is_closed && looked.calls == report.calls && looked.file_bytes == report.output_bytes);
}

static void misuse(const char *lmcache, const char *native) {
    lmcache_convert_options options = LMCACHE_CONVERT_OPTIONS_INIT;
    lmcache_conversion report = LMCACHE_CONVERSION_INIT;
    STATUS(lmcache_convert(NULL, "x.lct", NULL, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_convert(native, NULL, NULL, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_convert(native, native, NULL, NULL), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_convert("missing.lct", "x.lct", NULL, NULL), LMCACHE_STATUS_NOT_FOUND);
    STATUS(lmcache_convert(native, ".", NULL, NULL), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_convert(native, "no such folder/x.lct", NULL, NULL), LMCACHE_STATUS_NOT_FOUND);
    STATUS(lmcache_convert("\xff", "x.lct", NULL, NULL), LMCACHE_STATUS_INVALID_ARGUMENT);
    options.form = 4;
    STATUS(lmcache_convert(native, "x.lct", &options, NULL), LMCACHE_STATUS_INVALID_ARGUMENT);
    options.form = 0;
    options.omits_salts = 2;
    STATUS(lmcache_convert(native, "x.lct", &options, NULL), LMCACHE_STATUS_INVALID_ARGUMENT);
    options.omits_salts = 0;
    options.struct_size = 4;
    STATUS(lmcache_convert(native, "x.lct", &options, NULL), LMCACHE_STATUS_INVALID_ARGUMENT);
    report.struct_size = 0;
    STATUS(lmcache_convert(native, "x.lct", NULL, &report), LMCACHE_STATUS_INVALID_ARGUMENT);
    FILE *file = fopen("x.lct", "rb");
    CHECK(file == NULL);
    STATUS(lmcache_repair(NULL, "x.lct", NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_repair(native, NULL, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_repair(lmcache, "x.lct", NULL), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_repair(native, native, NULL), LMCACHE_STATUS_INVALID_ARGUMENT);
    STATUS(lmcache_verify(NULL, NULL, NULL, NULL), LMCACHE_STATUS_NULL_POINTER);
    STATUS(lmcache_verify("missing.lct", NULL, NULL, NULL), LMCACHE_STATUS_NOT_FOUND);
}

int main(int count, char **words) {
    CHECK(count == 4);
    there_and_back(words[1], strtoull(words[3], NULL, 10));
    mended(words[2]);
    misuse(words[1], words[2]);
    return 0;
}
