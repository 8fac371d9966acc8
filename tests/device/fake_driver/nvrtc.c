/* What is called of NVRTC. It takes no source apart: what it gives is a kernel by name, which the fake driver knows, of a version of
   its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef COMPILE
#define COMPILE 0
#endif
#ifndef PTX
#define PTX "8.7"
#endif

static const char text[] = "// of the fake NVRTC\n.version " PTX "\n.entry lmcache_move_runs\n";
static int programs = 0, compilations = 0;

int nvrtcVersion(int *major, int *minor) { *major = 12, *minor = 8; return 0; }
int nvrtcCreateProgram(void **program, const char *source, const char *name, int count, const char **headers, const char **names) {
    if (!strstr(source, "lmcache_move_runs") || strcmp(name, "move_runs.cu") || count || headers || names) return 3;
    compilations++;
    *program = malloc(1);
    programs++;
    return 0;
}
int nvrtcCompileProgram(void *program, int count, const char **options) {
    return count == 1 && strcmp(options[0], "--gpu-architecture=compute_80") == 0 && program ? COMPILE : 5;
}
int nvrtcGetPTXSize(void *program, size_t *bytes) { *bytes = sizeof text; return program ? 0 : 4; }
int nvrtcGetPTX(void *program, char *out) { memcpy(out, text, sizeof text); return program ? 0 : 4; }
int nvrtcGetProgramLogSize(void *program, size_t *bytes) { *bytes = 9; return program ? 0 : 4; }
int nvrtcGetProgramLog(void *program, char *out) { memcpy(out, "the log.", 9); return program ? 0 : 4; }
#ifndef NO_DESTROY
int nvrtcDestroyProgram(void **program) { free(*program); *program = 0; programs--; return 0; }
#endif
/* Programs that were made, or a number below 0 if one is left. */
int fake_compilations(void) { return programs == 0 ? compilations : -programs; }
