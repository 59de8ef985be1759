/* platform_linux.c: see platform.h: an eventfd.  */
#include "platform.h"

#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
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

static bool change_interrupts(int how) {
    sigset_t interrupt, before;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    return pthread_sigmask(how, &interrupt, &before) == 0 && !sigismember(&before, SIGINT);
}

bool interrupts_hold(void) { return change_interrupts(SIG_BLOCK); }
void interrupts_allow(void) { (void)change_interrupts(SIG_UNBLOCK); }

bool stream_is_broken(int fd) {
    struct pollfd looked = {.fd = fd};
    return poll(&looked, 1, 0) > 0;
}

uint64_t stream_unread(int fd) {
    int bytes;
    if (ioctl(fd, SIOCOUTQ, &bytes) == 0 || ioctl(fd, FIONREAD, &bytes) == 0) return (uint64_t)bytes;
    return 1;
}
