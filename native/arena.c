/* arena.c: making, mapping and recognising the one arena of a program.
 *
 * Not here: the heap's state behind the header (heap.c), the process table (process.c).  */
#include "arena.h"
#include "fault.h"
#include "platform.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define RESERVATION (64ull << 30) /* address space, not memory: pages come when touched */
#define RESERVATION_MIN (16ull << 20) /* the tables and a little heap */

char *pn_base;
int pn_arena_fd = -1;
static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;

/* Another thread of the parent may have been in here when this process was forked: it does not exist here. */
static void after_fork(void) {
    static const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;
    opening = fresh;
}

static pn_code make(uint64_t size, int *fd, void **base) {
    pn_code code = pn_memory_create("procession", size, fd);
    if (code != PN_OK) return code;
    PN_FAULT("arena.open.after_create");
    code = pn_memory_map(*fd, size, base);
    if (code != PN_OK) pn_memory_close(*fd);
    return code;
}

/* A number of bytes, with K, M, G or T behind it; 0: not set, or nothing that can be read. */
static uint64_t limit_of_environment(void) {
    static const char units[] = "KMGT";
    const char *text = getenv("PROCESSION_MEMORY_LIMIT"), *unit;
    char *end;
    if (text == NULL || *text < '0' || *text > '9') return 0;
    uint64_t bytes = strtoull(text, &end, 10);
    if (*end == '\0') return bytes;
    unit = strchr(units, *end);
    return unit == NULL || end[1] != '\0' ? 0 : bytes << (10 * (unit - units + 1));
}

static pn_code open_new(void) {
    int fd = -1;
    void *base = NULL;
    uint64_t size = RESERVATION;
    pn_code code = make(size, &fd, &base);
    while (code == PN_NOMEM && size > RESERVATION_MIN) {
        size /= 2;
        code = make(size, &fd, &base);
    }
    if (code != PN_OK) return code;
    code = pn_memory_reserve(fd, 0, sizeof(pn_arena_header)); /* no SIGBUS for the first page at least */
    pn_arena_header *header = base;
    if (code == PN_OK) code = pn_random(header->uuid, sizeof header->uuid);
    if (code != PN_OK) {
        pn_memory_unmap(base, size);
        pn_memory_close(fd);
        return code;
    }
    header->layout = PN_LAYOUT;
    header->header_bytes = (uint32_t)sizeof(pn_arena_header);
    header->size = size;
    header->creator_pid = pn_process_id();
    header->created_at = pn_clock();
    uint64_t asked = limit_of_environment(), cap = asked != 0 ? asked : pn_memory_limit() / 2;
    atomic_store(&header->cap, cap < size ? cap : size);
    atomic_store(&header->fork_epoch, 1); /* 0 means "not forked from a process of ours" */
    header->magic = PN_ARENA_MAGIC;
    PN_FAULT("arena.open.before_publish");
    pn_arena_fd = fd;
    __atomic_store_n(&pn_base, (char *)base, __ATOMIC_RELEASE);
    return PN_OK;
}

pn_code pn_arena_open(void) {
    if (__atomic_load_n(&pn_base, __ATOMIC_ACQUIRE) != NULL) return PN_OK;
    pn_on_fork_child(after_fork);
    (void)pthread_mutex_lock(&opening);
    pn_code code = pn_base != NULL ? PN_OK : open_new();
    (void)pthread_mutex_unlock(&opening);
    return code;
}

static pn_code attach(int fd) {
    pn_arena_header header;
    uint64_t size = 0;
    void *base = NULL;
    if (pn_memory_read(fd, &header, sizeof header) != PN_OK || pn_memory_size(fd, &size) != PN_OK) return PN_STALE;
    if (header.magic != PN_ARENA_MAGIC || header.layout != PN_LAYOUT || header.header_bytes != sizeof header) return PN_STALE;
    if (header.size != size) return PN_STALE;
    if (pn_base != NULL) {
        if (memcmp(header.uuid, pn_header()->uuid, sizeof header.uuid) != 0) return PN_STALE;
        if (fd != pn_arena_fd) pn_memory_close(fd); /* a second way to the same memory */
        return PN_OK;
    }
    pn_code code = pn_memory_keep(fd);
    if (code == PN_OK) code = pn_memory_map(fd, size, &base);
    if (code != PN_OK) return code;
    pn_arena_fd = fd;
    __atomic_store_n(&pn_base, (char *)base, __ATOMIC_RELEASE);
    return PN_OK;
}

pn_code pn_arena_attach(int fd) {
    pn_on_fork_child(after_fork);
    (void)pthread_mutex_lock(&opening);
    pn_code code = attach(fd);
    (void)pthread_mutex_unlock(&opening);
    return code;
}
