/* What the probe calls of a CUDA driver, made to answer as it is told. */
#ifndef COUNT
#define COUNT 1
#endif
#ifndef VERSION
#define VERSION 12000
#endif
#ifndef INIT
#define INIT 0
#endif
#ifndef GET_VERSION
#define GET_VERSION 0
#endif
#ifndef GET_COUNT
#define GET_COUNT 0
#endif
#ifndef EMPTY
static int is_started = 0;
int cuInit(unsigned flags) { is_started = flags == 0 && INIT == 0; return INIT; }
int cuDriverGetVersion(int *number) { if (GET_VERSION == 0) *number = VERSION; return GET_VERSION; }
#ifndef NO_COUNT
int cuDeviceGetCount(int *number) {
    if (!is_started) return 3;
    if (GET_COUNT == 0) *number = COUNT;
    return GET_COUNT;
}
#endif
#else
int nothing;
#endif
