/* module.c: the core as a module that is loaded late (test_module.c), as Python does with the face. */
#include "../lock.h"

#define EXPORTED __attribute__((visibility("default")))
EXPORTED pn_owner module_self(void) { return pn_self(); }
EXPORTED pn_code module_lock_pair(void) {
    static pn_off lock;
    if (lock == 0 && pn_lock_create(false, &lock) != PN_OK) return PN_NOMEM;
    if (pn_lock_try(pn_at(lock), pn_self()) != PN_OK) return PN_TIMEOUT;
    return pn_lock_release(pn_at(lock));
}
