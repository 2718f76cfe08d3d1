/*
 * notify: tells systemd (or whoever set NOTIFY_SOCKET) how we are, by its
 * protocol of datagrams; nothing when nobody asked.  Also feeds the watchdog.
 */
#ifndef SPAWNER_NOTIFY_H
#define SPAWNER_NOTIFY_H

#include "system/loop.h"

struct notify {
	int fd; /* -1: nobody asked */
	struct loop *loop;
	struct timer watchdog;
	uint64_t watchdog_ms; /* between two pings; 0: none wanted */
};

/* Reads and forgets NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. */
void notify_open(struct notify *notify, struct loop *loop);
/* With the descriptor and the time that an earlier image had. */
void notify_restore(struct notify *notify, struct loop *loop);
/* Lines of NAME=VALUE. */
void notify_send(struct notify *notify, const char *format, ...) printf_like(2, 3);
void notify_close(struct notify *notify);

#endif
