/* platform_linux_memory.c: shared memory without a name (memfd), and how much of it is reasonable.
 *
 * Promises: no signal is raised by a size that a resource limit forbids; the size of a memory never changes once made.  */
#define _GNU_SOURCE
#include "platform.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x8u /* Linux 6.3 */
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif
#define RESERVE_PIECE (4ull << 20) /* bytes a call: a signal undoes one call, so that pieces make progress in a storm of signals */

static pn_code out_of_memory_or_system(void) {
    return errno == ENOMEM || errno == ENOSPC || errno == EFBIG ? PN_NOMEM : PN_SYSTEM;
}

/* Beyond RLIMIT_FSIZE the kernel does not only refuse, it sends SIGXFSZ. */
static bool size_is_allowed(uint64_t size) {
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY || size <= limit.rlim_cur;
}

pn_code pn_memory_create(const char *name, uint64_t size, int *fd) {
    if (!size_is_allowed(size)) return errno = EFBIG, PN_NOMEM;
    int made = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (made < 0 && errno == EINVAL) made = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (made < 0) return out_of_memory_or_system();
    int cut = ftruncate(made, (off_t)size);
    if (cut != 0) {
        pn_code code = out_of_memory_or_system();
        int why = errno;
        (void)close(made);
        errno = why;
        return code;
    }
    (void)fcntl(made, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW); /* a shrunk memory would mean SIGBUS; without seals we still work */
    *fd = made;
    return PN_OK;
}

pn_code pn_memory_map(int fd, uint64_t size, void **base) {
    void *at = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (at == MAP_FAILED) return out_of_memory_or_system();
    (void)madvise(at, (size_t)size, MADV_DONTDUMP); /* a core dump would walk the whole sparse reservation */
    *base = at;
    return PN_OK;
}

static pn_code map_again(int fd, char *base, uint64_t from, uint64_t size, int how) {
    void *at = mmap(base + from, (size_t)size, PROT_READ | PROT_WRITE, how | MAP_FIXED | MAP_NORESERVE, fd, (off_t)from);
    if (at == MAP_FAILED) return out_of_memory_or_system();
    (void)madvise(at, (size_t)size, MADV_DONTDUMP);
    return PN_OK;
}

pn_code pn_memory_make_private(int fd, char *base, uint64_t from, uint64_t size) { return map_again(fd, base, from, size, MAP_PRIVATE); }
pn_code pn_memory_make_shared(int fd, char *base, uint64_t from, uint64_t size) { return map_again(fd, base, from, size, MAP_SHARED); }

void pn_memory_unmap(void *base, uint64_t size) { (void)munmap(base, (size_t)size); }

pn_code pn_memory_size(int fd, uint64_t *size) {
    struct stat st;
    if (fstat(fd, &st) != 0) return PN_SYSTEM;
    *size = (uint64_t)st.st_size;
    return PN_OK;
}

pn_code pn_memory_read(int fd, void *bytes, size_t count) {
    return pread(fd, bytes, count, 0) == (ssize_t)count ? PN_OK : PN_STALE;
}

pn_code pn_memory_keep(int fd) { return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 ? PN_OK : PN_SYSTEM; }
void pn_memory_close(int fd) { (void)close(fd); }

pn_code pn_memory_reserve(int fd, uint64_t from, uint64_t size) {
    for (uint64_t done = 0; done < size;) {
        uint64_t piece = size - done < RESERVE_PIECE ? size - done : RESERVE_PIECE;
        if (fallocate(fd, 0, (off_t)(from + done), (off_t)piece) == 0) done += piece;
        else if (errno == EOPNOTSUPP) return PN_OK; /* no promise can be had here; the pages will come when touched */
        else if (errno != EINTR) return out_of_memory_or_system();
    }
    return PN_OK;
}

pn_code pn_memory_write(int fd, uint64_t at, const void *bytes, uint64_t size) {
    if (!size_is_allowed(at + size)) return errno = EFBIG, PN_SYSTEM;
    for (uint64_t done = 0; done < size;) {
        ssize_t n = pwrite(fd, (const char *)bytes + done, (size_t)(size - done), (off_t)(at + done));
        if (n > 0) done += (uint64_t)n;
        else if (n == 0 || errno != EINTR) return n < 0 && (errno == ENOMEM || errno == ENOSPC) ? PN_NOMEM : PN_SYSTEM;
    }
    return PN_OK;
}

bool pn_memory_make_pages(void *from, uint64_t size) {
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), before = (uintptr_t)from % page;
    return madvise((char *)from - before, (size_t)(size + before), MADV_POPULATE_WRITE) == 0;
}

void pn_memory_punch(int fd, uint64_t from, uint64_t size) {
    int result;
    do result = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)size);
    while (result != 0 && errno == EINTR);
}

uint64_t pn_memory_used(int fd) {
    struct stat st;
    return fstat(fd, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}


static ssize_t read_text(const char *path, char *text, size_t room) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    ssize_t n = read(fd, text, room - 1);
    (void)close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n;
}

static uint64_t lower(uint64_t limit, const char *root, const char *group, const char *file) {
    char path[1200], text[64];
    int n = snprintf(path, sizeof path, "%s%s%s", root, group, file);
    if (n < 0 || (size_t)n >= sizeof path || read_text(path, text, sizeof text) <= 0) return limit;
    if (text[0] < '0' || text[0] > '9') return limit; /* "max" */
    uint64_t value = strtoull(text, NULL, 10);
    return value != 0 && value < limit ? value : limit;
}

/* Our control group and those it lies in: any of them may hold the limit. */
static uint64_t lower_by_groups(uint64_t limit, const char *root, char *group, const char *file) {
    for (;;) {
        limit = lower(limit, root, group, file);
        char *slash = strrchr(group, '/');
        if (slash == NULL) return limit;
        *slash = '\0';
    }
}

uint64_t pn_memory_limit(void) {
    char groups[2048];
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t limit = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 1ull << 32;
    if (read_text("/proc/self/cgroup", groups, sizeof groups) <= 0) return limit;
    char *save = NULL;
    for (char *line = strtok_r(groups, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        char *controllers = strchr(line, ':'), *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (group == NULL || strlen(group + 1) > 1000) continue;
        *group++ = '\0';
        if (strcmp(controllers, ":") == 0) limit = lower_by_groups(limit, "/sys/fs/cgroup", group, "/memory.max");
        if (strcmp(controllers, ":memory") == 0)
            limit = lower_by_groups(limit, "/sys/fs/cgroup/memory", group, "/memory.limit_in_bytes");
    }
    return limit;
}
