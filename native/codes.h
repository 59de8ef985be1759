/* codes.h: what every function of the native core returns, and the basic types.
 *
 * The core never raises, prints, aborts or calls Python; it returns one of these codes. Policy (who is told what, who is
 * restarted) belongs to the Python above it.  */
#ifndef PN_CODES_H
#define PN_CODES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum pn_code {
    PN_OK = 0,
    PN_TIMEOUT,      /* the deadline passed (or: try failed, deadline 0) */
    PN_INTERRUPTED,  /* a signal came, or the backstop ran out: nothing changed; check signals, call again, same deadline */
    PN_OWNER_DIED,   /* what is waited for is held by a dead process; see the object's owner */
    PN_RECOVERED,    /* internal: the section was adopted from a dead process; repair, then go on */
    PN_NOT_OWNER,    /* RLock, Condition: the caller does not hold it */
    PN_NOT_HELD,     /* Lock: release of a free lock */
    PN_OVERFLOW,     /* BoundedSemaphore above its initial value; task_done called too often */
    PN_BROKEN,       /* the barrier is broken */
    PN_SHUT_DOWN,    /* the queue was shut down */
    PN_EMPTY,
    PN_FULL,
    PN_NOMEM,        /* the arena is at its cap, or the kernel has no memory */
    PN_TOO_BIG,      /* a message or a block beyond what the format can name */
    PN_STALE,        /* a handle to an object that is gone, or to another program's arena */
    PN_NO_SLOT,      /* the process table is full */
    PN_CORRUPT,      /* a rule of the layout is broken: our bug */
    PN_SYSTEM,       /* a system call failed; errno says why */
} pn_code;

typedef uint64_t pn_off;     /* an offset into the arena; 0 is "none" */
typedef int64_t pn_deadline; /* a point on CLOCK_MONOTONIC in nanoseconds; <= now means "try, do not wait" */
#define PN_FOREVER INT64_MAX
#define PN_NOW 0

#define PN_CACHE_LINE 64
#define PN_LIKELY(x) __builtin_expect(!!(x), 1)
#define PN_UNLIKELY(x) __builtin_expect(!!(x), 0)

#endif
