/* holding.c: see holding.h. The list is this process's own memory; a forked child inherits it with the mappings.  */
#include "holding.h"

#include <pthread.h>

#include "platform.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pn_holding *first;

/* Held from before the fork until after it, on both sides: the child's copy of the list is whole. */
static void before_fork(void) {
    (void)pthread_mutex_lock(&mutex);
    for (pn_holding *holding = first; holding != NULL; holding = holding->next)
        if (holding->from < holding->to && !holding->is_private) /* refused: it stays shared, which is better than no fork */
            holding->is_private = pn_memory_make_private(pn_arena_fd, pn_base, holding->from, holding->to - holding->from) == PN_OK;
}
static void after_fork(void) { (void)pthread_mutex_unlock(&mutex); }
static void watch_forks(void) { (void)pthread_atfork(before_fork, after_fork, after_fork); }

void pn_holding_begin(pn_holding *holding, pn_off buffer, pn_off from, pn_off to) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, watch_forks);
    *holding = (pn_holding){.buffer = buffer, .from = from, .to = to};
    (void)pthread_mutex_lock(&mutex);
    holding->link = &first;
    holding->next = first;
    if (first != NULL) first->link = &holding->next;
    first = holding;
    (void)pthread_mutex_unlock(&mutex);
}

/* An inherited one belongs to the parent: its pages stay private here, and pn_buffer_free leaves it alone. */
static bool is_mine(const pn_holding *holding) {
    const pn_buffer *header = pn_at(holding->buffer); /* SAFETY: ours, or inherited, and then the quarantine keeps it */
    return atomic_load(&header->owner) == pn_self() >> 32 << 32;
}

void pn_holding_end(pn_holding *holding) {
    (void)pthread_mutex_lock(&mutex);
    *holding->link = holding->next;
    if (holding->next != NULL) holding->next->link = holding->link;
    (void)pthread_mutex_unlock(&mutex);
    if (!is_mine(holding)) return;
    if (holding->is_private && pn_memory_make_shared(pn_arena_fd, pn_base, holding->from, holding->to - holding->from) != PN_OK)
        return; /* it cannot be used again by this process; it is given back when this process ends */
    pn_buffer_free(holding->buffer);
}
