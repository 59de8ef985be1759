/* platform.h: what the face asks of the operating system beside ../platform.h: a descriptor that one thread makes readable for another. */
#ifndef FACE_PLATFORM_H
#define FACE_PLATFORM_H
#include "../codes.h"

pn_code signal_open(bool signalled, int *fd);  /* PN_SYSTEM: errno says why */
void signal_set(int fd);
void signal_close(int fd);
#endif
