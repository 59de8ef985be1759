/* platform_linux.c: see platform.h: an eventfd.  */
#include "platform.h"

#include <sys/eventfd.h>
#include <unistd.h>

pn_code signal_open(bool signalled, int *fd) {
    *fd = eventfd(signalled ? 1 : 0, EFD_CLOEXEC | EFD_NONBLOCK);
    return *fd < 0 ? PN_SYSTEM : PN_OK;
}

void signal_set(int fd) {
    uint64_t one = 1;
    ssize_t written = write(fd, &one, sizeof one);
    (void)written; /* EAGAIN: 2**64 - 2 signals wait already */
}

void signal_close(int fd) { close(fd); }
