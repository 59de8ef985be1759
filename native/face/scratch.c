/* scratch.c: see scratch.h. */
#include "scratch.h"

#include <pthread.h>
#include <stdlib.h>

static __thread pn_scratch spare; /* {NULL, 0}: none, or taken */
static __thread bool registered;  /* the destructor knows this thread */
static pthread_key_t at_thread_end;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;

static void free_spare(void *unused) {
    (void)unused;
    free(spare.bytes);
    spare = (pn_scratch){0};
}

static void make_key(void) {
    if (pthread_key_create(&at_thread_end, free_spare) != 0) abort(); /* PTHREAD_KEYS_MAX: nothing could run */
}

pn_scratch scratch_take(void) {
    pn_scratch taken = spare;
    spare = (pn_scratch){0};
    return taken;
}

static void remember(pn_scratch *buffer) {
    if (PN_UNLIKELY(!registered)) {
        pthread_once(&key_once, make_key);
        pthread_setspecific(at_thread_end, &spare); /* any value but NULL */
        registered = true;
    }
    spare = *buffer;
}

void scratch_give(pn_scratch *buffer) {
    if (PN_LIKELY(buffer->size <= SCRATCH_KEEP && spare.bytes == NULL))
        remember(buffer);
    else
        free(buffer->bytes);
    *buffer = (pn_scratch){0};
}

bool scratch_grow(pn_scratch *buffer, uint64_t wanted) {
    uint64_t size = buffer->size < 4096 ? 4096 : buffer->size;
    while (size < wanted) size += size / 2;
    void *bytes = realloc(buffer->bytes, size);
    if (bytes == NULL) return false;
    *buffer = (pn_scratch){.bytes = bytes, .size = size};
    return true;
}
