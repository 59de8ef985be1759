/* filling.c: see filling.h.  */
#include "filling.h"

#include <string.h>

#include "ledger.h"
#include "platform.h"

#define SPAN_BITS 20                       /* as many bytes as the smallest large block has */
#define SPANS ((64ull << 30) >> SPAN_BITS) /* of the largest reservation (arena.c) */
#define AROUND (64ull << 10)               /* bytes that the kernel maps at a read, if they have pages */
#define AT_ONCE (1ull << 20)               /* bytes after which the block's header says that they have pages: 0.4 ms */
#define PATIENCE 20000000                  /* ns: who has been writing for so long was killed, or others need not wait for it */

static _Atomic uint64_t mapped[SPANS / 64];

/* The kernel copies no page tables of shared memory. */
static void after_fork(void) {
    for (size_t i = 0; i < SPANS / 64; i++) atomic_store_explicit(&mapped[i], 0, memory_order_relaxed);
}

/* The first `size` bytes of a large block have pages. */
static void map_once(pn_off off, uint64_t size) {
    uint64_t span = off >> SPAN_BITS, bit = 1ull << (span % 64);
    if (span >= SPANS || atomic_load_explicit(&mapped[span / 64], memory_order_relaxed) & bit) return;
    pn_on_fork_child(after_fork);
    for (uint64_t at = 0; at < size; at += AROUND) (void)*(const volatile char *)pn_at(off + at);
    (void)atomic_fetch_or_explicit(&mapped[span / 64], bit, memory_order_relaxed);
}

static pn_code write_alone(pn_off at, const char *from, uint64_t size) {
    pn_code code = pn_memory_write(pn_arena_fd, at, from, size);
    if (code != PN_NOMEM) return code;
    pn_heap_trim();
    return pn_memory_write(pn_arena_fd, at, from, size);
}

/* By whatever is quicker now. The word says since when somebody writes; 0: nobody. It is a hint: nothing is wrong if two do. */
static pn_code write_some(pn_off at, const char *from, uint64_t size) {
    _Atomic int64_t *writing = pn_heap_writing();
    int64_t since = atomic_load_explicit(writing, memory_order_relaxed), now = pn_clock();
    bool is_mine = (since == 0 || now - since > PATIENCE) && atomic_compare_exchange_strong(writing, &since, now);
    if (!is_mine && pn_memory_make_pages(pn_at(at), size)) return memcpy(pn_at(at), from, size), PN_OK;
    pn_code code = write_alone(at, from, size);
    if (is_mine) (void)atomic_compare_exchange_strong(writing, &now, 0);
    return code;
}

static pn_code write_piece(pn_off buffer, const pn_piece *piece) {
    pn_code code = PN_OK;
    for (uint64_t done = 0; done < piece->size && code == PN_OK;) {
        uint64_t left = piece->size - done, some = left < AT_ONCE ? left : AT_ONCE;
        uint64_t at = sizeof(pn_buffer) + piece->at + done;
        code = write_some(buffer + at, (const char *)piece->from + done, some);
        done += some;
        if (code == PN_OK) pn_heap_has_pages(buffer, at + some);
    }
    return code;
}

static pn_code write_all(pn_off buffer, const pn_piece *pieces, uint32_t count) {
    pn_code code = PN_OK;
    for (uint32_t i = 0; i < count && code == PN_OK; i++) code = write_piece(buffer, &pieces[i]);
    return code;
}

static void copy_all(pn_off buffer, const pn_piece *pieces, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (pieces[i].size != 0) memcpy((char *)pn_buffer_bytes(buffer) + pieces[i].at, pieces[i].from, pieces[i].size);
}

static pn_code fill(pn_off buffer, uint64_t size, const pn_piece *pieces, uint32_t count) {
    bool is_fresh = pn_heap_lacks_pages(buffer, size);
    bool is_written = is_fresh && write_all(buffer, pieces, count) == PN_OK;
    if (is_fresh && pn_heap_reserve(buffer, size) != PN_OK) return PN_NOMEM; /* the rest; all of it, if a limit forbids to write */
    if (is_written) return PN_OK;
    if (!is_fresh && pn_block_bytes(pn_at(buffer)) >= PN_LARGE) map_once(buffer, size);
    copy_all(buffer, pieces, count);
    return PN_OK;
}

pn_code pn_buffer_create_filled(uint64_t size, const pn_piece *pieces, uint32_t count, pn_off *buffer) {
    pn_code code = pn_buffer_create_bare(size, buffer);
    if (code != PN_OK) return code;
    code = fill(*buffer, sizeof(pn_buffer) + size, pieces, count);
    if (code != PN_OK) pn_buffer_free(*buffer);
    return code;
}
