/* platform.h: what the face asks of the operating system beside ../platform.h: a descriptor that one thread makes readable for another, and what
 * the writer of a stream can know of its reader. */
#ifndef FACE_PLATFORM_H
#define FACE_PLATFORM_H
#include "../codes.h"

pn_code signal_open(bool signalled, int *fd);  /* PN_SYSTEM: errno says why */
void signal_set(int fd);
void signal_close(int fd);
bool stream_is_broken(int fd);         /* the other end of a pipe or socket to write to is closed */
bool interrupts_hold(void);            /* blocks SIGINT in this thread; false: it was blocked already */
void interrupts_allow(void);
/* PN_OK: from now on this process ends when the last writing end of the pipe is closed; PN_STALE: it is closed already; PN_SYSTEM. */
pn_code tie_to_pipe(int reader, int grace_seconds);
uint64_t stream_unread(int fd);        /* bytes that were written to it and not read; not 0 if that cannot be known */
#endif
