/*
 * supervisor: keeps one balancer alive: starts it, hears whether it still
 * beats, replaces it when it is dead or hung, and slower when it keeps dying.
 * What is said to it is not its affair.
 *
 *     IDLE -> STARTING -> SERVING -> ENDING -> IDLE
 *               ^  |         |
 *               |  v         v      (dead or hung)
 *             WAITING  <-----+
 */
#ifndef SPAWNER_SUPERVISOR_H
#define SPAWNER_SUPERVISOR_H

#include "handover/message.h"
#include "handover/scoreboard.h"
#include "system/child.h"

enum {
	SUPERVISOR_BEAT_MAX_MS = 10000,
	SUPERVISOR_CHECK_MS = 1000,
	SUPERVISOR_UNBORN_MS = 2000, /* one that does not serve yet ends within that time */
	SUPERVISOR_EARLY_MS = 1000,  /* died so soon: the next one waits longer */
	SUPERVISOR_STEADY_MS = 5000, /* lived so long: all is forgiven */
	SUPERVISOR_BACKOFF_MIN_MS = 100,
	SUPERVISOR_BACKOFF_MAX_MS = 5000,
	SUPERVISOR_CHANNEL_FD = 3, /* in the balancer */
};

enum supervisor_state {
	SUPERVISOR_IDLE,     /* no balancer is wanted */
	SUPERVISOR_STARTING, /* it is being told everything */
	SUPERVISOR_SERVING,  /* it said READY */
	SUPERVISOR_WAITING,  /* none; the next one comes in a moment */
	SUPERVISOR_ENDING,   /* it is to go, and none comes after it */
	SUPERVISOR_STATE_N
};

struct supervisor;

struct supervisor_events {
	void (*started)(struct supervisor *supervisor); /* the opening sequence is to be sent */
	void (*message)(struct supervisor *supervisor, struct message *message, int *fds, size_t fd_count);
	void (*serving)(struct supervisor *supervisor);
	void (*hung)(struct supervisor *supervisor, const char *why); /* it is killed afterwards */
	void (*ended)(struct supervisor *supervisor);                 /* IDLE now */
};

struct supervisor {
	enum supervisor_state state;
	struct loop *loop;
	struct children *children;
	struct scoreboard *board;
	uint32_t uid, gid; /* of the balancer */
	uint32_t column;   /* its, in the scoreboard's claims */
	const struct supervisor_events *events;
	void *owner;
	struct child child;
	int32_t pid; /* of the newest one, also when it has ended */
	struct channel channel;
	struct timer check; /* STARTING, SERVING: the beat; WAITING: the next start; ENDING: SIGKILL */
	uint64_t started_ms;
	uint64_t checked_ms;        /* when the beat was looked at; late looks are our own fault */
	uint64_t forgiven_until_ms; /* no beat is asked for before */
	uint32_t early_deaths;
};

void supervisor_init(struct supervisor *supervisor);
/* Starts the first one; false and errno when no process can be made. */
bool supervisor_start(struct supervisor *supervisor) must_check;
/* One that an earlier image of ours has started (child.pid and channel.watch.fd say which) goes on in this state:
 * SERVING; or ENDING, when another one takes over.  False: it is gone, or can not be spoken to; IDLE. */
bool supervisor_restore(struct supervisor *supervisor, enum supervisor_state state) must_check;
/* ENDING: whether what it says is heard. */
void supervisor_listen(struct supervisor *supervisor, bool listens);
/* To the balancer, if there is one.  A full queue costs it its life. */
void supervisor_send(struct supervisor *supervisor, const struct message *message, const int *fds, size_t fd_count);
/* It finishes by itself (it was told DRAIN or STOP); killed after within_ms. */
void supervisor_end(struct supervisor *supervisor, uint64_t within_ms);
/* Milliseconds since its last sign of life. */
uint64_t supervisor_beat_age_ms(const struct supervisor *supervisor);

#endif
