/*
 * backend: one connection to an application process.  It connects, is kept
 * idle on its process between exchanges, and finds out whether a place in
 * doubt is free (ping).  What is said on it is its handler's business.
 */
#ifndef TRAFFIC_BACKEND_H
#define TRAFFIC_BACKEND_H

#include "base/buf.h"
#include "traffic/context.h"

#include <sys/uio.h>

struct backend;

enum backend_state {
	BACKEND_IDLE,    /* process->idle */
	BACKEND_BUSY,    /* its handler's */
	BACKEND_PINGING, /* waits for PONG (docs/session-protocol.md) */
	BACKEND_WORKING, /* the process does its out-of-band work: waits for any answer */
	BACKEND_DEAD,    /* buried at the turn's end */
};

struct backend_handler {
	void (*readable)(struct backend *backend, uint32_t events);
	void (*writable)(struct backend *backend);
};

struct backend {
	struct watch watch;
	struct list_node node;      /* process->backends */
	struct list_node idle_node; /* process->idle, newest first */
	struct traffic *traffic;
	struct process *process; /* NULL: it has ended, what it said last is still read */
	enum backend_state state;
	const struct backend_handler *handler; /* while BUSY */
	void *owner;
	uint32_t exchanges; /* finished on it */
	struct buf in;      /* an answer's head that is not complete yet */
	struct timer timer;
	struct grave grave;
};

/*
 * An idle connection, or a new one; BUSY and the handler's.  NULL and errno
 * when the process can not be reached.  once: the exchange can not be
 * repeated, so an idle connection is looked at first: it may just be closing.
 */
struct backend *backend_take(struct traffic *traffic, struct process *process, bool once,
                             const struct backend_handler *handler, void *owner) must_check;

/* The exchange is over and the connection clean: idle again. */
void backend_give(struct backend *backend);
void backend_close(struct backend *backend);

/* Bytes taken by the kernel, 0 when it takes none now (writable() will be called), -1 when it is broken. */
ssize_t backend_write(struct backend *backend, const struct iovec *pieces, int count) must_check;
/* Whether it waits for room, and whether it is read. */
void backend_want(struct backend *backend, bool read, bool write);

/* Asks the process to say when a place is free; then process_trust(). */
void backend_ping(struct traffic *traffic, struct process *process);
/* Those that wait for an exchange: another balancer has its own. */
void backend_close_idle(struct process *process);
/* The process does its out-of-band work; then, or after oob_work_timeout, process_oob_done(). */
void backend_work(struct traffic *traffic, struct process *process);
/* The process is gone: who is in an exchange goes on to the end of what it has said. */
void backend_close_all(struct process *process);

#endif
