/*
 * pool: all application processes as the balancer sees them, and the rules by
 * which requests get one and processes come and go.
 *     pool > group (one application) > process (one OS process) > session (one exchange's place)
 * It asks the spawner through its hooks and is told by pool_attach(),
 * pool_gone() and pool_spawn_failed().  It knows nothing of HTTP.
 *
 * process.c, queue.c, oob.c, group.c, roll.c, retire.c, allot.c and pool.c are this one room; its parts are named below.
 */
#ifndef POOL_POOL_H
#define POOL_POOL_H

#include "config/app_type.h"
#include "handover/message.h"
#include "handover/scoreboard.h"
#include "pool/session.h"

struct pool;
struct group;

/* ---- process.c ---- */

/*
 * process: one application process as the balancer sees it.  The spawner made
 * it and tells when it is gone; here is decided which sessions it gets.
 *
 * States are lists of its group:
 *   WARMING   must answer warmup_uris before it gets traffic; its door works
 *   ENABLED   in rotation; ordered in the group's heap by how busy it is
 *   DISABLING out of rotation for a while: finishes what it has, then
 *   DISABLED  does its out-of-band work; back to ENABLED
 *   DETACHED  out of rotation for ever: finishes what it has, its door still works
 *   RETIRING  empty, but for tunnels that are about to end; the spawner was told to stop it
 */
enum process_state {
	PROCESS_WARMING,
	PROCESS_ENABLED,
	PROCESS_DISABLING,
	PROCESS_DISABLED,
	PROCESS_DETACHED,
	PROCESS_RETIRING,
	PROCESS_STATE_N
};

struct process {
	struct list_node node; /* group->processes[state], in order of birth */
	struct list_node oob;  /* group->oob: it has asked for out-of-band work */
	struct group *group;
	enum process_state state;
	struct message_process record;
	uint32_t heap_place; /* private: index in group->heap + 1 */
	uint32_t doubt; /* places that may still be in use: a cancelled or taken-over exchange, an earlier balancer's */
	struct list active;   /* sessions that hold a place (and tunnels, and bypasses, which do not) */
	uint32_t places;      /* places held: what counts against concurrency */
	struct list waiting;  /* sessions at the door, first in first out */
	struct list idle;     /* idle backend connections: traffic's */
	struct list backends; /* all backend connections: traffic's */
	void *door;           /* traffic's listener */
	void *warmup;         /* traffic's, while WARMING */
	uint32_t unasked;     /* places in doubt about which it could not even be asked */
	struct timer ask_again;
	uint64_t patience_ms; /* it must tell that it is free within that time; 0: drain_timeout */
	uint64_t doubted_ms;  /* when the newest place came into doubt */
	struct soon pump;     /* private */
	struct timer drain;   /* DETACHED: it ends then, whatever it does; RETIRING: its tunnels do */
	uint64_t ends_ms;     /* out of rotation because it is replaced: the end of its drain_timeout; 0: it is not */
	bool spent; /* it has reached max_requests or memory_limit, and serves on until there is another one in its place */
	struct scoreboard_process *board;
	struct scoreboard_process *shared; /* claims and sessions: the same board, also when figures go to another one */
	uint32_t claimed;                  /* as our column of the claims has it */
	uint32_t foreign;                  /* the other balancer's column, when last looked at; 0: there is none */
	uint64_t last_used_ms;             /* newest beginning of a session, or when it became idle */
	enum limit reached; /* MEMORY: still in rotation, but a fresh one is to take its place; else it is being killed */
	struct {
		uint64_t sampled_ms, cpu_ms, since_cpu_ms,
			processed; /* the newest sample; at the last sign of progress */
	} work;
	struct grave grave;
};

/* 0: nothing runs; otherwise comparable between processes of a group. */
uint64_t process_busyness(const struct process *process);
/* No place is free. */
bool process_is_full(const struct process *process);

/*
 * Takes a place on exactly this process, or waits for one for at most wait_ms
 * (then SESSION_TIMEOUT).  True: ACTIVE at once; false: it waits AT_DOOR.
 * A SESSION_BYPASS is always ACTIVE at once.
 */
bool process_take(struct process *process, struct session *session, uint64_t wait_ms) must_check;

/* The exchange is over, or does not want to wait any more.  Legal in any state. */
void session_end(struct session *session);
/* It is over for us, but the application may still be at work on it: the place
 * stays in doubt until process_trust() is called once for it. */
void session_abandon(struct session *session);
/* It has become a tunnel: it stays a session, but its place is in doubt, then free. */
void session_tunnel(struct session *session);
/* One place in doubt is known to be free. */
void process_trust(struct process *process);
/* It could not be asked about a place in doubt: hooks.doubted is called again after a while. */
void process_ask_later(struct process *process);

/* The longest running session that holds a place, or NULL. */
struct session *process_oldest(const struct process *process);

/* ---- limits.c ---- */

enum { LIMITS_MS = 1000 /* between two looks, at most */, STOPPED_PATIENCE_MS = 10000 };

/* Looks at all processes; again before anything can be due. */
void limits_due(struct timer *timer);
/* The process has reached this limit: it is told to the spawner, which kills it (MEMORY: it is replaced). */
void process_reached(struct process *process, enum limit limit, const char *format, ...) printf_like(3, 4);
/* What an earlier balancer had running in its places in doubt: how long it may go on stands in the scoreboard. */
void process_keep_requests(struct process *process);
/* It did not tell in its time that it is free, or that it is alive at all. */
void process_unanswered(struct process *process);
/* DETACHED, and its time is over. */
void process_too_slow(struct process *process);
/* How long it may go on with a request that began then and for which nobody waits any more; patience_ms 0: as usual. */
uint64_t process_patience_ms(const struct process *process, uint64_t since_ms, uint64_t patience_ms);

/* For status: the answer's head has come. */
void session_note_status(struct session *session, uint16_t status);

/* Private to pool/. */
void process_init(struct process *process, struct group *group, const struct message_process *record,
                  struct scoreboard_process *board);
void process_end_sessions(struct process *process);
/* Gives a free place to who has waited longest, at its door or in the queue; false: no place, or nobody. */
bool process_serve(struct process *process);
void session_serve(struct process *process, struct session *session);
/* A place for a session that is activated next; false: it has none after all. */
bool process_claim(struct process *process) must_check;
void session_activate(struct process *process, struct session *session);
/* What status sees of it has changed. */
void process_publish(struct process *process);
/* What the other balancer holds has changed. */
void process_look_aside(struct process *process);
/* The other balancer is gone: what it held may still run. */
void process_inherit(struct process *process);
bool process_is_empty(const struct process *process);
/* Out of whatever list it waits in: NONE. */
void session_unwait(struct session *session);
/* The same for one that is served by nobody: the process may be idle by it, whose place came free in this turn. */
void session_withdraw(struct session *session);
/* When nobody is left on it, it may be reaped or make way from now on. */
void process_rest(struct process *process);
/* How many wait in it, and since when, for all to see. */
void group_publish_queue(struct group *group);
void session_wait_in_queue(struct group *group, struct session *session, uint64_t wait_ms);
void session_wait_at_door(struct process *process, struct session *session, uint64_t wait_ms);
/* It has left rotation: who waits here and would take another goes to the queue. */
void process_give_up_sticky(struct process *process);

void process_publish(struct process *process);
/* One place is in doubt, if the process can tell.  False: it can not. */
bool process_hold(struct process *process, uint64_t patience_ms);

/* ---- oob.c ---- */

/* An answer of it has asked for out-of-band work: its turn comes when another process is in rotation, too. */
void process_ask_oob(struct process *process);
/* It is over; not heard: the process may still be at it. */
void process_oob_done(struct process *process, bool heard);

/* Private to pool/: back into rotation, done or not. */
void process_end_oob(struct process *process);
void group_end_oob(struct group *group);
/* What comes next, when anything has changed. */
void group_oob_on(struct group *group);

/* ---- group.c ---- */

/*
 * group: all processes of one application, and the queue of sessions that wait
 * for one.  Choice: the least busy process, ties to the oldest; while a restart
 * replaces them, the newest generation first.  A binary heap, so that it costs
 * the same for 2 and (nearly) for 2 000 processes.
 */
enum { GROUP_FAILURE_BYTES = 4096, GROUP_CROWD_MS = 1000 };

struct group {
	struct list_node node; /* pool->groups */
	struct pool *pool;
	const struct app_config *app; /* its generation is retained */
	uint64_t closes_ms; /* 0: it serves; else the configuration has it no more: it goes when nobody needs it, or then */
	struct timer closing;
	struct list processes[PROCESS_STATE_N];
	struct process **heap; /* of the ENABLED ones */
	uint32_t heap_count, heap_cap;
	struct list queue;         /* who waits for a place, first in first out */
	struct list unlimited;     /* who waits for any process at all, and needs no place there */
	struct list sticky;        /* who waits for a place in one process and would take another when that is gone */
	struct list oob;           /* processes that have asked for out-of-band work, first in first out */
	uint32_t spawning;         /* asked of the spawner and not answered */
	struct list_node starved;  /* pool->starved: wants a process, the pool has no room */
	uint64_t backoff_until_ms; /* no spawn before; 0: none */
	struct timer backoff;
	struct soon pump; /* hands free places to the queue, then asks for processes */
	struct scoreboard_group *board;
	uint64_t crowd_ms;    /* when a hook was last asked for because of the full queue */
	enum group_roll roll; /* and these two: as the scoreboard has them, so that a roll outlives a balancer */
	uint32_t generation, roll_size;
	uint64_t always_ms; /* when always_restart.txt last counted */
	uint32_t spent;     /* how many of the ENABLED ones are */
	struct grave grave;
	struct buf long_texts[MESSAGE_LONG_TEXT_N];
	char failure[GROUP_FAILURE_BYTES]; /* the newest spawn's: "ID\nsummary\ndetails"; "" when it worked */
};

enum group_answer {
	GROUP_TAKEN,      /* ACTIVE: session->process */
	GROUP_WAITS,      /* QUEUED: an event will come */
	GROUP_QUEUE_FULL, /* nowhere */
	GROUP_FAILING,    /* nowhere: no process, and the newest spawn failed: group->failure */
	GROUP_STOPPED,    /* nowhere: the pool drains */
};
/* For a session of a balanced kind; its wish holds only while that process is in rotation. */
enum group_answer group_take(struct group *group, struct session *session) must_check;

/* Who would take any process. */
uint32_t group_waiting(const struct group *group);
/* How many it keeps, and may have (0: the pool's size). */
uint64_t group_minimum(const struct group *group);
uint64_t group_maximum(const struct group *group);

/* Processes that count against the limits: living ones and those being spawned. */
uint32_t group_size(const struct group *group);

/* Out of rotation; it is retired when its last session has ended. */
void group_detach(struct process *process);
/*
 * Processes of earlier generations are to go.  A new one is spawned, one old
 * one is detached when it is there, and so on, rolling_restart_batch_size at a
 * time (so many beyond max_instances; when the pool is full so many go first),
 * the newest first; or all are detached at once.  A new one that does not start
 * stops the roll, until one does.  Nothing happens when this generation is not
 * newer than the one before.
 */
void group_restart(struct group *group, uint32_t generation, bool at_once);

/* A request has come: with always_restart.txt it gets a process that was started after it, and so do those that come
 * within stat_throttle_rate. */
void group_restart_always(struct group *group);

/* What stands in a process's sticky cookie: it tells nothing, and means no other process, ever. */
enum { GROUP_STICKY_BYTES = 24 };
struct str group_sticky_id(const struct process *process, char out[GROUP_STICKY_BYTES]);
/* The process in rotation that it means, or NULL. */
struct process *group_sticky_find(struct group *group, struct str id);

/* Private to pool/: after anything that changes busyness, queue or size. */
void group_touch(struct group *group);
/* Into this list, which stays in order of birth. */
void process_move(struct process *process, enum process_state state);
/* In rotation from now on. */
void group_enable(struct process *process);

/* ---- roll.c: processes that are replaced by others ---- */

/* The newest in rotation that is to be replaced, or NULL: by a restart, else by max_requests. */
struct process *group_outdated(const struct group *group);
/* One more is wanted in place of another one; it may be beyond max_instances. */
bool group_wants_roll(const struct group *group);
/* In a full pool: as many go first as may be missing at a time. */
void group_make_room(struct group *group);
void group_set_roll(struct group *group, enum group_roll roll);
/* What a roll does next: after a process came, and at the beginning. */
void group_roll_on(struct group *group);
/* More than max_instances, since a reload or as a roll ended before its last one came: the least busy go. */
void group_shrink(struct group *group);
/* It drains for drain_timeout at most. */
void group_replace(struct process *process);
/* DETACHED under an earlier balancer: it has as long as that one has left it. */
void process_go_on_draining(struct process *process);
/* All of them: none has longer than drain_timeout from now on. */
void group_drain_on(struct group *group);
/* It has served max_requests, or reached memory_limit. */
void group_spend(struct process *process);
/* How many replacements are made at a time. */
uint32_t group_batch(const struct group *group);
/* Which will be in rotation soon. */
uint32_t group_coming(const struct group *group);
void group_heap_sort(struct group *group);
void group_forget_failure(struct group *group);
void group_heap_update(struct process *process);
void group_heap_insert(struct process *process);
void group_heap_remove(struct process *process);

/* ---- pool.c ---- */

enum {
	POOL_GROUP_SPAWNS_MAX = 2, /* at once, of one application */
	POOL_EVICTIONS_MAX = 16,   /* in one turn */
	POOL_CLOSING_MS = 100,
	POOL_ASIDE_MS = 10,
	POOL_MOMENT_MS = 100,    /* idle for less is between two requests */
	POOL_PATIENCE_MS = 5000, /* idle for so long is not needed; nobody without any process waits for longer, */
	POOL_TURN_STARTS = 10,   /* or than so many times what a start takes, for one that is needed */
	POOL_GOODBYE_MS = 1000,
};

struct pool_hooks {
	void (*spawn)(void *owner, struct group *group);
	void (*retire)(void *owner, struct process *process);
	void (*restart)(void *owner, struct group *group); /* group_restart() is to be called, at once */
	void (*reached)(void *owner, struct process *process, enum limit limit, const char *how); /* see MESSAGE_LIMIT */
	void (*queue_full)(void *owner, struct group *group, const struct session *session);
	/* traffic's part in a process's life */
	void (*gone)(void *owner, struct process *process); /* close its door and backends */
	void (*oob)(void *owner, struct process *process); /* let it do its out-of-band work, then process_oob_done() */
	void (*doubted)(void *owner, struct process *process); /* find out when a place is free, then process_trust() */
	void *owner;
};

enum pool_state {
	POOL_OPENING, /* being told what lives: asks for nothing yet */
	POOL_SERVING,
	POOL_HANDING_OVER, /* another balancer serves: asks only for who waits here already */
	POOL_DRAINING,
};

struct pool {
	struct loop *loop;
	const struct config *config;
	struct scoreboard *scoreboard; /* where figures go */
	struct scoreboard *shared;     /* where claims go */
	struct pool_hooks hooks;
	enum pool_state state;
	struct list groups;
	struct list starved; /* groups that want a process when there is room: who has waiters first, then first in first out */
	uint32_t process_count; /* living ones, detached and retiring included */
	uint32_t spawning;
	struct timer reaper; /* next idle process to be considered */
	uint32_t column;     /* ours, in the scoreboard's claims and sessions */
	struct timer aside;  /* while there is another balancer: what it gives back is looked for */
	struct timer limits; /* next look at what runs */
	struct process *by_slot[SCOREBOARD_PROCESSES];
	struct group *by_app[SCOREBOARD_GROUPS]; /* by app->id */
};

void pool_init(struct pool *pool, struct loop *loop, struct scoreboard *scoreboard, const struct pool_hooks *hooks);
/*
 * Reconciles the groups with this generation: new ones are made; vanished and
 * disabled ones keep their processes while requests of the generation before
 * are on their way (drain_timeout at most), then detach them and go; limits of
 * the others are the new ones.  Whose processes are to be replaced is said by
 * group_restart().
 */
void pool_configure(struct pool *pool, const struct config *config);
/* Another balancer has the other column of the scoreboard, or has it no more.  Before a process is attached, or later. */
void pool_accompany(struct pool *pool, bool accompanied);
/* Another one has begun to serve: nothing is decided here any more, what is here is finished; figures go to this
 * board, processes' and groups' alike. */
void pool_hand_over(struct pool *pool, struct scoreboard *figures);
/* After that: what was counted since goes to the board that status shows. */
void pool_add_figures(struct pool *pool);
/* After the opening sequence: minimum sizes are asked for. */
void pool_begin(struct pool *pool);
void pool_free(struct pool *pool);

struct group *pool_group(struct pool *pool, uint32_t app_id);
/* The application's, whatever generation it is of; NULL when it is gone. */
struct group *pool_group_of(struct pool *pool, const struct app_config *app);

/* NULL when the record names no group or a slot in use.  One whose record is cold is WARMING until pool_warmed(). */
struct process *pool_attach(struct pool *pool, const struct message_process *record);
void pool_warmed(struct process *process);
/* Sessions on it hear SESSION_PROCESS_GONE; the memory goes at the turn's end. */
void pool_gone(struct pool *pool, uint32_t slot, uint64_t serial);
struct process *pool_find(struct pool *pool, uint32_t slot, uint64_t serial);
/* A spawn that an earlier balancer has asked for. */
void pool_spawning(struct pool *pool, uint32_t app_id);
/* next_try_ms 0: it was overtaken by a restart, which is no failure.  attached: it did not get beyond
 * WARMING, and is detached now. */
void pool_spawn_failed(struct pool *pool, uint32_t app_id, bool attached, struct str text, uint64_t next_try_ms);

/* The server stops: processes that have nothing but tunnels leave rotation, as the others do when they are done. */
void pool_end_tunnels(struct pool *pool);
/* No new processes, no new sessions; sessions that wait hear SESSION_STOPPED only when nobody can serve them. */
void pool_drain(struct pool *pool);

/* DETACHED, and nothing keeps it: a tunnel does so for drain_timeout, and not at all with
 * abort_websockets_on_process_shutdown.  Its tunnels end POOL_GOODBYE_MS after it was told. */
void pool_retire_if_empty(struct process *process);
void process_drain_due(struct timer *timer);
/* Before it is told to stop by force. */
uint64_t process_time_left_ms(const struct process *process);
void pool_reap_later(struct pool *pool);
void pool_reap_at(struct pool *pool, uint64_t after_ms);
/* In rotation, and nobody needs it. */
static inline bool
process_is_idle(const struct process *process)
{
	return process->state == PROCESS_ENABLED && process_is_empty(process);
}
/* Nobody is left who could serve those that wait. */
void group_fail_queue(struct group *group, enum session_event event);
void group_pumped(struct soon *soon);
void group_backoff_over(struct timer *timer);
void group_bury(struct grave *grave);

/* ---- allot.c: which application gets a process, and which gives one ---- */

/* Private to pool/: asks for processes of this group as far as the rules allow. */
void pool_consider(struct pool *pool, struct group *group);
/* No process more may be there. */
bool pool_is_full(const struct pool *pool);
/* Private: room may have come free. */
void pool_room(struct pool *pool);
/* The process that has been idle for longest of those that make way for another one of this group, or NULL: none does
 * yet.  wants NULL: of all. */
struct process *pool_idlest(struct pool *pool, const struct group *wants);
/* More than max_pool_size since a reload: the idlest go. */
void pool_shrink(struct pool *pool);

#endif
