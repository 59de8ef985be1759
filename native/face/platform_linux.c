/* platform_linux.c: see platform.h: an eventfd; signals that the kernel sends when a pipe is closed.  */
#define _GNU_SOURCE
#include "platform.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define TIE_SIGNAL (SIGRTMAX - 4) /* nobody else's: what the end of the pipe sends to this process */

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

/* ── a process tied to a pipe ── */
static volatile sig_atomic_t tie_grace;

/* SIGTERM, and for who ignores it or is at it too long SIGKILL, which the kernel's own timer sends: nothing here has to run again. */
static void on_end_of_pipe(int signum) {
    int before = errno, timer;
    struct sigevent end = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
    struct itimerspec grace = {.it_value = {.tv_sec = tie_grace}};
    (void)signum;
    bool armed = syscall(SYS_timer_create, CLOCK_MONOTONIC, &end, &timer) == 0 && syscall(SYS_timer_settime, timer, 0, &grace, NULL) == 0;
    (void)kill(getpid(), armed ? SIGTERM : SIGKILL);
    errno = before;
}

/* A description of our own: what follows is a property of the open file, which `reader` shares with others who are tied. -1: errno */
static int send_at_end(int reader, int signum) {
    char path[32];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", reader);
    int own = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (own < 0) return -1;
    if (fcntl(own, F_SETOWN, getpid()) == 0 && fcntl(own, F_SETSIG, signum) == 0 && fcntl(own, F_SETFL, O_NONBLOCK | O_ASYNC) == 0) return own;
    close(own);
    return -1;
}

pn_code tie_to_pipe(int reader, int grace_seconds) {
    struct sigaction action = {.sa_handler = on_end_of_pipe, .sa_flags = SA_RESTART | SA_ONSTACK};
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, TIE_SIGNAL);
    tie_grace = grace_seconds;
    if (sigaction(TIE_SIGNAL, &action, NULL) != 0 || pthread_sigmask(SIG_UNBLOCK, &ours, NULL) != 0) return PN_SYSTEM;
    int own = send_at_end(reader, TIE_SIGNAL);
    if (own < 0 || send_at_end(reader, SIGCONT) < 0) return PN_SYSTEM; /* SIGCONT: who is stopped cannot end */
    struct pollfd looked = {.fd = own};
    return poll(&looked, 1, 0) > 0 ? PN_STALE : PN_OK;
}
