/* What the hosts of the tests check with. */
#ifndef CHECK_H
#define CHECK_H

#include <lmcache.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            char why[512]; \
            lmcache_last_error(why, sizeof why); \
            fprintf(stderr, "%s:%d: not so: %s (last error: %s)\n", __FILE__, __LINE__, #condition, why); \
            exit(1); \
        } \
    } while (0)

#define OK(call) CHECK((call) == LMCACHE_STATUS_OK)

#define STATUS(call, expected) \
    do { \
        int32_t status = (int32_t)(call); \
        if (status != (int32_t)(expected)) { \
            fprintf(stderr, "%s:%d: %s is %s, not %s\n", __FILE__, __LINE__, #call, lmcache_status_name(status), #expected); \
            exit(1); \
        } \
    } while (0)

#endif
