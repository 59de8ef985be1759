/* fault.c: which fault points are armed in this process, and what they do.
 *
 * Promises: hitting takes no lock and allocates nothing, so that it may stand anywhere, in several threads at once. KILL, EXIT, STOP
 * and RAISE happen once for each arming; HOOK happens at that hit and every later one, until disarmed. A fork inherits what is armed.
 * Not here: any list of names (they stand in the code, and the linker puts them next to each other).  */
#include "fault.h"
#include "platform.h"

#include <string.h>

#define MAX_ARMED 16
#define MAX_NAME 80
#define EXIT_STATUS 70 /* EX_SOFTWARE: no status of Python's own */

typedef struct armed_point {
    _Atomic int action;     /* pn_fault_action; NONE = this row is free; stored last */
    _Atomic int64_t skip;   /* how many more hits pass */
    char name[MAX_NAME];
} armed_point;

_Atomic uint32_t pn_faults_armed;
static armed_point points[MAX_ARMED];
static void (*_Atomic fault_hook)(const char *name);
static __thread bool raise_noted;

static bool matches(const char *pattern, const char *name) {
    size_t n = strlen(pattern);
    if (n > 0 && pattern[n - 1] == '*') return strncmp(pattern, name, n - 1) == 0;
    return strcmp(pattern, name) == 0;
}

static void act(pn_fault_action action, const char *name) {
    void (*hook)(const char *) = atomic_load(&fault_hook);
    switch (action) {
    case PN_FAULT_EXIT: pn_exit_now(EXIT_STATUS); break;
    case PN_FAULT_KILL: pn_kill_now(); break;
    case PN_FAULT_STOP: pn_stop_now(); break;
    case PN_FAULT_RAISE: raise_noted = true; break;
    case PN_FAULT_HOOK: if (hook != NULL) hook(name); break;
    case PN_FAULT_NONE: break;
    }
}

void pn_fault_hit(const char *name) {
    for (int i = 0; i < MAX_ARMED; i++) {
        armed_point *point = &points[i];
        int action = atomic_load(&point->action);
        if (action == PN_FAULT_NONE || !matches(point->name, name)) continue;
        if (atomic_load(&point->skip) > 0 && atomic_fetch_sub(&point->skip, 1) > 0) continue;
        if (action != PN_FAULT_HOOK) {
            if (!atomic_compare_exchange_strong(&point->action, &action, PN_FAULT_NONE)) continue; /* another thread was first */
            atomic_fetch_sub(&pn_faults_armed, 1);
        }
        act((pn_fault_action)action, name);
    }
}

pn_code pn_fault_arm(const char *name, pn_fault_action action, uint32_t skip) {
    if (strlen(name) >= MAX_NAME) return PN_TOO_BIG;
    for (int i = 0; i < MAX_ARMED; i++) {
        if (atomic_load(&points[i].action) != PN_FAULT_NONE) continue;
        strcpy(points[i].name, name);
        atomic_store(&points[i].skip, (int64_t)skip);
        atomic_store(&points[i].action, (int)action);
        atomic_fetch_add(&pn_faults_armed, 1);
        return PN_OK;
    }
    return PN_FULL;
}

void pn_fault_disarm_all(void) {
    for (int i = 0; i < MAX_ARMED; i++)
        if (atomic_exchange(&points[i].action, PN_FAULT_NONE) != PN_FAULT_NONE) atomic_fetch_sub(&pn_faults_armed, 1);
    raise_noted = false;
}

bool pn_fault_take_raise(void) {
    bool noted = raise_noted;
    raise_noted = false;
    return noted;
}

void pn_fault_set_hook(void (*hook)(const char *name)) { atomic_store(&fault_hook, hook); }

/* The linker's names for where the section begins and ends. Between two names there may be padding: zeros. */
extern const char pn_names_begin[] __asm__("__start_pn_faults") __attribute__((visibility("hidden")));
extern const char pn_names_end[] __asm__("__stop_pn_faults") __attribute__((visibility("hidden")));

const char *pn_fault_next(const char *after) {
    const char *name = after == NULL ? pn_names_begin : after + strlen(after);
    while (name < pn_names_end && *name == '\0') name++;
    return name < pn_names_end ? name : NULL;
}
