/* fault.h: named points at which a test can make this process raise, exit, die or stop.
 *
 * PN_FAULT("queue.put.after_payload") costs one load and one predicted branch while nothing is armed. Names are
 * <file>.<operation>.<where>. Each name also lies in a section of the object file, so that pn_fault_next() lists what is compiled in. */
#ifndef PN_FAULT_H
#define PN_FAULT_H
#include "codes.h"

typedef enum pn_fault_action { PN_FAULT_NONE, PN_FAULT_EXIT, PN_FAULT_KILL, PN_FAULT_STOP, PN_FAULT_RAISE, PN_FAULT_HOOK } pn_fault_action;

extern _Atomic uint32_t pn_faults_armed; /* how many points are armed in this process */
void pn_fault_hit(const char *name);
/* Arm `name` (a trailing '*' matches a prefix): the `skip`-th later hit (0 = the next one) does `action`. */
pn_code pn_fault_arm(const char *name, pn_fault_action action, uint32_t skip);
void pn_fault_disarm_all(void);
/* PN_FAULT_RAISE leaves a note that the face turns into an exception when the operation returns. */
bool pn_fault_take_raise(void);
/* PN_FAULT_HOOK calls this (C tests; traces). */
void pn_fault_set_hook(void (*hook)(const char *name));
/* The names of all points, one after the other: `after` NULL: the first; NULL: no more. A point in a header comes more than once. */
const char *pn_fault_next(const char *after);

#define PN_FAULT(name)                                                                          \
    do {                                                                                        \
        static const char pn_name_[] __attribute__((section("pn_faults"), used)) = name;         \
        if (PN_UNLIKELY(atomic_load_explicit(&pn_faults_armed, memory_order_relaxed) != 0))      \
            pn_fault_hit(pn_name_);                                                             \
    } while (0)
#endif
