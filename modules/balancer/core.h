/*
 * core: what the files of the balancer's main share.
 */
#ifndef BALANCER_CORE_H
#define BALANCER_CORE_H

#include "handover/message.h"
#include "traffic/request.h"

enum balancer_state {
	BALANCER_OPENING, /* being told what lives */
	BALANCER_READY,   /* has said so, accepts nothing yet */
	BALANCER_SERVING,
	BALANCER_HANDING_OVER, /* another one serves; what has begun here is finished here */
	BALANCER_DRAINING,
	BALANCER_ENDED,
};

struct balancer {
	enum balancer_state state;
	struct loop loop;
	struct channel channel;
	struct pool pool;
	struct traffic traffic;
	struct scoreboard *scoreboard; /* where its figures go */
	struct scoreboard *shared;     /* that of all */
	uint64_t ends_ms;              /* HANDING_OVER: what has not ended by then is cut */
	struct config *config;
	struct config *next; /* a reload that is being told; NULL: none */
	struct listener *fronts[CONFIG_LISTENERS_MAX], *next_fronts[CONFIG_LISTENERS_MAX]; /* parallel to theirs */
	struct timer beat;
	struct timer drain;
	uint64_t drain_idle_until_ms; /* DRAINING: idle clients are closed then */
	struct soon end;
	int exit_code;
};

/* The loop ends, with this exit code. */
void core_end(struct balancer *balancer, int exit_code);
/* To the spawner. */
void core_send(struct balancer *balancer, const struct message *message);

#endif
