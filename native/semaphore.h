/* semaphore.h: Semaphore and BoundedSemaphore with a ledger of who holds how many permits.
 *
 * Truth (each operation changes one word of it): `total`, and one count in the ledger. value = total - sum(ledger).
 *   acquire: ledger[me] += 1      release by a holder: ledger[me] -= 1     release by somebody else: total += 1
 * A semaphore created with 0 is a signal, not a resource: it keeps no ledger (acquire: total -= 1). `value` is derived, for the
 * fast look. A process that exits normally takes its permits with it as the standard library's does; one that is *killed* while holding
 * permits is told to those who wait for one: PN_OWNER_DIED, until pn_semaphore_recover() gives its permits back.  */
#ifndef PN_SEMAPHORE_H
#define PN_SEMAPHORE_H
#include "heap.h"
typedef struct pn_permit { _Atomic pn_owner owner; _Atomic uint32_t count; uint32_t unused; } pn_permit; /* owner: slot and generation, tid 0 */
typedef struct pn_semaphore {
    pn_block block;
    pn_section section;
    _Atomic uint32_t value;      /* derived: free permits | PN_WAITERS; the futex word */
    _Atomic uint32_t total;      /* truth */
    uint32_t initial;
    uint32_t flags;              /* 1 bounded, 2 no ledger */
    pn_spin spin;
    _Atomic pn_off more;         /* more permits rows: PN_KIND_NODES */
    pn_permit permits[4];
} pn_semaphore;
#define PN_SEMAPHORE_BOUNDED 1u
#define PN_SEMAPHORE_SIGNAL 2u
#define PN_SEMAPHORE_MAX 0x7fffffffu   /* SEM_VALUE_MAX */
pn_code pn_semaphore_create(uint32_t initial, bool bounded, pn_off *semaphore);
pn_code pn_semaphore_acquire(pn_semaphore *s, pn_owner me, pn_deadline deadline);  /* OK, TIMEOUT, INTERRUPTED, OWNER_DIED */
pn_code pn_semaphore_release(pn_semaphore *s, pn_owner me);                        /* OK, OVERFLOW */
uint32_t pn_semaphore_value(pn_semaphore *s);
pn_owner pn_semaphore_dead_holder(pn_semaphore *s);     /* 0: none */
uint32_t pn_semaphore_recover(pn_semaphore *s, pn_owner me); /* permits given back */
#endif
