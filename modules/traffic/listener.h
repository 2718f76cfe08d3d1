/*
 * listener: a listening socket and where what comes by it goes.  A front
 * listener's requests are routed and balanced; a door's have their process
 * given before they begin.  The sockets are the spawner's: closing ours does
 * not close them.
 */
#ifndef TRAFFIC_LISTENER_H
#define TRAFFIC_LISTENER_H

#include "traffic/context.h"

struct client_handler;

enum listener_kind { LISTENER_FRONT, LISTENER_DOOR };

struct listener {
	struct watch watch;
	struct list_node node; /* traffic->listeners */
	struct traffic *traffic;
	enum listener_kind kind;
	const struct listener_config *config; /* FRONT */
	struct process *process;              /* DOOR */
	const struct client_handler *handler;
	struct timer pause; /* out of descriptors: try again */
	uint64_t accepted;
	uint64_t complained_ms; /* when the log was last told of it */
};

/* Takes the descriptor; accepts from listener_resume() on.  NULL and errno. */
struct listener *listener_open(struct traffic *traffic, enum listener_kind kind, int fd,
                               const struct client_handler *handler) must_check;
/* Nothing when the balancer accepts no more. */
void listener_resume(struct listener *listener);
/* A client that another balancer had accepted there, between two requests; takes the descriptor. */
void listener_take_over(struct listener *listener, int fd);
void listener_pause(struct listener *listener);
/* Its address is given up; those that it has accepted stay. */
void listener_shut(struct listener *listener);
/* The same, but who has connected is still let in, unless there are too many. */
void listener_finish(struct listener *listener);
/* Its idle clients are closed; the others lose their way to it: client->listener becomes NULL. */
void listener_close(struct listener *listener);

#endif
