/*
 * session: the place of one exchange: first in a group's queue or at a
 * process's door, then on a process.  Its memory belongs to whoever makes the
 * exchange; its position to the pool.  The pool knows nothing of HTTP: what it
 * can say about a session to a person stands in the label.
 */
#ifndef POOL_SESSION_H
#define POOL_SESSION_H

#include "base/list.h"
#include "base/str.h"
#include "handover/limit.h"
#include "system/loop.h"

struct group;
struct process;

enum session_state {
	SESSION_NONE,    /* nowhere */
	SESSION_QUEUED,  /* group->queue, or group->unlimited */
	SESSION_AT_DOOR, /* process->waiting: wants this process and no other; a balanced one: while it is in rotation */
	SESSION_ACTIVE,  /* process->active: holds a place, if its kind needs one */
	SESSION_TUNNEL,  /* process->active: upgraded, holds no place */
	SESSION_STATE_N
};

enum session_kind {
	SESSION_BALANCED,
	SESSION_UNLIMITED, /* balanced, for a path without a limit: needs no place */
	SESSION_DIRECT,    /* by the process's door */
	SESSION_BYPASS,    /* by the door, on a spare thread: needs no place */
};

static inline bool
session_kind_is_direct(enum session_kind kind)
{
	return kind >= SESSION_DIRECT;
}

static inline bool
session_kind_needs_place(enum session_kind kind)
{
	return kind == SESSION_BALANCED || kind == SESSION_DIRECT;
}

enum session_event {
	SESSION_READY,        /* it is ACTIVE now: session->process */
	SESSION_SPAWN_FAILED, /* nobody is left to serve it: group->failure */
	SESSION_TIMEOUT,      /* waited too long, it is NONE now */
	SESSION_PROCESS_GONE, /* its process ended; it is NONE now */
	SESSION_TUNNEL_OVER,  /* its process was told to stop and has had time to say goodbye */
	SESSION_STOPPED,      /* the pool drains and will not serve it */
};

struct session_label {
	struct str method;
	struct str path;
	struct str client;
	struct str host;
	struct str id;
};

struct session {
	struct list_node node;
	enum session_state state;
	enum session_kind kind;
	struct group *group;     /* set while not NONE */
	struct process *process; /* ACTIVE, AT_DOOR */
	struct process *wish;    /* for group_take(): whom it would rather have; NULL: anyone */
	struct list_node sticky; /* group->sticky: balanced, AT_DOOR */
	uint64_t queued_ms;      /* when it began to wait */
	uint64_t active_ms;      /* when it got its place */
	uint8_t cell;            /* private: scoreboard cell + 1 */
	enum limit limit;        /* that its process reached while it ran there: no other one is to suffer the same */
	int32_t pid;             /* of the process it has or had; 0: none yet */
	uint64_t patience_ms;    /* after session_abandon(): how long its process may stay silent; 0: drain_timeout */
	struct timer timer;      /* private: limit of waiting */
	struct session_label label;
	/* Called from the loop's soon-queue or a timer, or from pool_gone(), pool_spawn_failed() and pool_drain():
	 * never from inside a call that a session's owner makes. */
	void (*event)(struct session *session, enum session_event event);
};

#endif
