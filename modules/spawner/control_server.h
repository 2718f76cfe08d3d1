/*
 * control_server: the socket of the operator's commands.  It reads one bounded
 * message from each client, decides by the kernel's word on who that is
 * whether he may, asks its owner to do it, and answers.  It waits for nobody:
 * a client that is slow or too many is closed.
 */
#ifndef SPAWNER_CONTROL_SERVER_H
#define SPAWNER_CONTROL_SERVER_H

#include "handover/control.h"
#include "system/loop.h"

enum {
	CONTROL_CLIENTS_MAX = 64,
	CONTROL_DEADLINE_MS = 10000,
	CONTROL_MARK_MS = 5000, /* a balancer that takes longer to take something up: its client is told that it is so */
};

struct control_server;

/* READING until the request is there; WAITING for an answer that comes later. */
enum control_client_state { CLIENT_READING, CLIENT_WAITING };

struct control_client {
	struct list_node node;
	struct control_server *server;
	enum control_client_state state;
	struct watch watch;
	struct timer deadline;
	uint32_t uid;
	uint64_t id;
	uint64_t mark;               /* WAITING: it is answered when the balancer has come so far */
	struct control_answer *held; /* from malloc: with this; or NULL: by control_server_answer() */
	struct grave grave;
};

/* What a client is allowed. */
enum control_right { CONTROL_RIGHT_NONE, CONTROL_RIGHT_OWN_STATUS, CONTROL_RIGHT_ALL };

/* When a request is answered. */
enum control_reply {
	CONTROL_REPLY_NOW,
	CONTROL_REPLY_MARKED, /* when the balancer has heard the newest mark: server->mark */
	CONTROL_REPLY_LATER,  /* by control_server_answer() or control_server_answer_waiting() */
};

struct control_events {
	enum control_right (*right)(struct control_server *server, uint32_t uid);
	/* Does it, and fills the answer (code, text, number), if it is not to come LATER.  *fd: NOW: a descriptor that
	 * goes with it, closed afterwards, or -1. */
	enum control_reply (*request)(struct control_server *server, const struct control_request *request,
	                              uint32_t uid, enum control_right right, struct control_answer *answer, int *fd);
};

struct control_server {
	struct watch watch;
	struct loop *loop;
	const struct control_events *events;
	void *owner;
	struct list clients;
	int passed; /* while a request is served: the descriptor that came with it, or -1; it is closed afterwards */
	uint64_t serving; /* whose request is being done: for an answer to him alone, later */
	uint64_t last_id;
	uint64_t mark; /* the newest that its owner has told */
};

/* events and owner are set before.  path NULL: the listening socket of an earlier image, watch.fd.  False and a sentence. */
bool control_server_open(struct control_server *server, struct loop *loop, const char *path, char *error,
                         size_t error_size) must_check;
/* One that waits, if he still does, gets this answer; fd: goes with it and stays the caller's, or -1. */
void control_server_answer(struct control_server *server, uint64_t id, enum control_code code, const char *text, int fd);
/* The balancer has come so far. */
void control_server_marked(struct control_server *server, uint64_t mark);
/* One that is connected: watch.fd and held, which are taken, uid, id, state, mark. */
void control_server_add(struct control_server *server, const struct control_client *known);
/* All that wait get this answer. */
void control_server_answer_waiting(struct control_server *server, enum control_code code, const char *text);
void control_server_close(struct control_server *server);

#endif
