/* Loads the library by its name at run time, and looks whether it is the one that it was written for. */
#include "check.h"
#include <dlfcn.h>

int main(void) {
    void *library = dlopen("liblmcache.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    /* Through a union: ISO C has no cast from an object to a function. */
    union {
        void *symbol;
        uint32_t (*abi_version)(void);
        lmcache_status (*check_abi)(uint32_t);
        const char *(*version)(void);
        lmcache_status (*scope_new)(const char *, int64_t, uint32_t, const char *, lmcache_scope **);
        lmcache_status (*scope_free)(lmcache_scope *);
    } found;
    found.symbol = dlsym(library, "lmcache_abi_version");
    if (!found.symbol || found.abi_version() != LMCACHE_ABI_VERSION)
        return 2;
    found.symbol = dlsym(library, "lmcache_check_abi");
    if (!found.symbol || found.check_abi(LMCACHE_ABI_VERSION) != LMCACHE_STATUS_OK ||
        found.check_abi(LMCACHE_ABI_VERSION + 1) != LMCACHE_STATUS_UNSUPPORTED_VERSION)
        return 3;
    lmcache_scope *scope = NULL;
    found.symbol = dlsym(library, "lmcache_scope_new");
    if (!found.symbol || found.scope_new("m", 0, 0, NULL, &scope) != LMCACHE_STATUS_OK)
        return 4;
    found.symbol = dlsym(library, "lmcache_scope_free");
    if (!found.symbol || found.scope_free(scope) != LMCACHE_STATUS_OK)
        return 5;
    found.symbol = dlsym(library, "lmcache_version");
    if (!found.symbol)
        return 6;
    printf("%s\n", found.version());
    /* It stays, whatever the host does: threads of its own may be running. */
    dlclose(library);
    return found.version()[0] == '\0';
}
