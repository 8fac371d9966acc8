/* A process that forbids itself, when it has begun, the system call by which the library knows that nobody is in a call any more. Nothing
 * crashes, and what is freed goes when it can be known. */
#include "check.h"
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static void forbid_membarrier(void) {
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_membarrier, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof steps / sizeof *steps, steps};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
}

static lmcache_recorder *recorder_of(const char *path) {
    lmcache_recorder_options options = LMCACHE_RECORDER_OPTIONS_INIT;
    options.path = path;
    lmcache_recorder *recorder = NULL;
    OK(lmcache_recorder_open(&options, &recorder));
    return recorder;
}

static int is_closed(const char *path) {
    lmcache_reader *reader = NULL;
    OK(lmcache_reader_open(path, LMCACHE_READ_BUFFERED, &reader));
    lmcache_trace_header header = LMCACHE_TRACE_HEADER_INIT;
    OK(lmcache_reader_get_header(reader, &header));
    int is_closed = header.ending == LMCACHE_ENDING_CLOSED;
    OK(lmcache_reader_free(reader));
    return is_closed;
}

static volatile int is_there, may_end;

static void *stay(void *recorder) {
    OK(lmcache_recorder_flush((lmcache_recorder *)recorder));
    is_there = 1;
    while (!may_end)
        usleep(1000);
    return NULL;
}

int main(void) {
    lmcache_recorder *alone = recorder_of("alone.lct"), *beside = recorder_of("beside.lct");
    lmcache_scope *scope = NULL;
    OK(lmcache_scope_new("m", 0, 0, NULL, &scope));
    forbid_membarrier();
    OK(lmcache_recorder_free(alone));
    STATUS(lmcache_recorder_free(alone), LMCACHE_STATUS_INVALID_HANDLE);
    CHECK(is_closed("alone.lct"));
    /* Another thread that has called may be in a call, for all that can be known. */
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, stay, beside) == 0);
    while (!is_there)
        usleep(1000);
    OK(lmcache_recorder_free(beside));
    STATUS(lmcache_recorder_free(beside), LMCACHE_STATUS_INVALID_HANDLE);
    CHECK(!is_closed("beside.lct"));
    may_end = 1;
    CHECK(pthread_join(thread, NULL) == 0);
    OK(lmcache_scope_free(scope));
    CHECK(is_closed("beside.lct"));
    puts("all freed");
    return 0;
}
