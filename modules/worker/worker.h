/*
 * worker: one application process as the spawner sees it: its pid, its
 * sockets, its door, its slot in the scoreboard.  When it is started and when it
 * is stopped is the balancer's to say; how it is stopped, ladder's.
 *
 *                launch                    ready
 *        (none) -------> STARTING -----------------> RUNNING
 *                           |                           | retire
 *                    failed |                           v
 *                           v        time       RETIRING: end of file on its stdin (a loader)
 *                         FAILED                        | drain time
 *                           |                           v
 *                           |                       TERMINATING: SIGTERM
 *                           | reaped                    | 5 s
 *                           v             reaped        v
 *                         (none) <---------------   KILLED: SIGKILL to the group
 *
 * From RUNNING, RETIRING and TERMINATING it also becomes CONDEMNED when it has reached a limit: evidence is
 * taken (evidence.h), then it is KILLED.  So is one that does not stop at SIGTERM in its time.
 * One that has to answer warmup_uris is cold until the balancer says that it has: it may still fail then.
 *
 * A RUNNING one may also become its application's preloader (refork.h): CHOSEN until the balancer has
 * drained it, BECOMING until it says READY once more; then it is RUNNING again, in that role.
 *
 * A preloader (preloader.h) is a worker without door and slot.  A process that it is to fork is STARTING
 * without a pid until it has said hello.
 *
 * A worker is reaped from any state.  Its slot is given out again only some
 * time after the balancer was told that it is gone.
 */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "config/config.h"
#include "handover/message.h"
#include "handover/scoreboard.h"
#include "system/child.h"
#include "system/procfs.h"
#include "worker/attempts.h"
#include "worker/capture.h"
#include "worker/cgroups.h"
#include "worker/plan.h"

enum {
	WORKER_CONTROL_LINE_BYTES = 4096,
	WORKER_TERM_MS = 5000,       /* between SIGTERM and SIGKILL */
	WORKER_ERROR_GRACE_MS = 500, /* a loader that said ERROR may write its backtrace */
	WORKER_REPORT_MS = 2000,     /* a failed one that does not even die: it is reported without its end */
	WORKER_SLOT_REST_MS = 5000,
	WORKER_PORT_TRIES = 3,
};

enum worker_state {
	WORKER_STARTING,
	WORKER_RUNNING,
	WORKER_CHOSEN,
	WORKER_BECOMING,
	WORKER_RETIRING,
	WORKER_TERMINATING,
	WORKER_CONDEMNED, /* it has reached a limit: evidence is taken, then it is killed */
	WORKER_KILLED,
	WORKER_FAILED,
	WORKER_STATE_N
};

/* What status shows of a process's use of the machine. */
struct worker_metrics {
	uint64_t cpu_at_ms; /* CLOCK_MONOTONIC of cpu_ticks; 0: none yet */
	uint64_t cpu_ticks;
	uint64_t cpu_permille;
	uint64_t memory_at_ms; /* 0: never read */
	uint64_t resident_kb;
	char state; /* as in /proc/PID/stat */
	struct procfs_memory memory;
	uint64_t vsize_kb;
	uint32_t threads, descriptors;
};

struct worker;

/* What a preloader does otherwise. */
struct worker_role {
	void (*ready)(struct worker *preloader);
	void (*failed)(struct worker *preloader, const struct failure *failure); /* instead of workers->events->failed */
	void (*ended)(struct worker *preloader);
};

struct worker {
	struct list_node node; /* table->states[state] */
	enum worker_state state;
	struct workers *table;
	const struct app_config *app;
	struct child child;
	struct capture capture;
	int stdin_fd;           /* write end: closing it asks a loader to stop; -1: none */
	int listen_fd;          /* unix socket that it is passed; -1: none */
	int door_fd;            /* -1: not ready yet */
	struct watch control;   /* a loader's control descriptor */
	struct buf control_out; /* its arguments, not yet taken */
	char control_line[WORKER_CONTROL_LINE_BYTES];
	size_t control_len;
	int plan_fd;        /* STARTING: what it was started with; -1: a preloader has forked it */
	const char *step;   /* FAILED: at which it has; NULL: not known yet */
	int error_fd;       /* `passenger exec`'s sentence; -1: none */
	struct timer timer; /* STARTING: deadline; afterwards: the next rung of the ladder */
	struct timer probe; /* STARTING, port: look again; to be forked: deadline of its hello; preloader: idle time */
	uint64_t probe_ms;
	uint32_t probes_elsewhere; /* in a row: it listens, but not where it should */
	uint32_t port_tries;
	bool (*again)(struct worker *worker); /* starts it once more on another port; false: it was given up and reported */
	struct failure *failure;              /* FAILED: until it is reported */
	struct evidence *evidence;            /* while it is taken; evidence.h's */
	const struct worker_role *role;       /* NULL: it serves requests */
	char preloader[40];                   /* gupid of the one that forked it; "": none */
	uint32_t forks;                       /* how often a preloader was told to fork it */
	uint32_t reforks;                     /* how many warm processes are among its forefathers */
	bool another_port;                    /* FAILED, but only the port was to blame */
	uint64_t drain_ms, term_ms;           /* rungs of the ladder */
	bool has_slot;
	uint8_t unused_by; /* bits of the balancers, while there are two, that have asked to stop it: 1 serves, 2 hands over */
	struct message_process record; /* complete from RUNNING on */
	uint64_t launched_ms;          /* CLOCK_MONOTONIC */
	uint64_t warmed_ms;            /* same: ready for any request */
	int64_t spawn_start_unix_us, spawn_end_unix_us;
	char user[64];
	struct worker_metrics metrics;
	struct grave grave;
};

/* Whom the table tells. */
struct worker_events {
	void (*ready)(struct worker *worker);  /* has a door and a slot now */
	void (*warmed)(struct worker *worker); /* may have traffic now */
	void (*failed)(struct worker *worker, const struct failure *failure);
	void (*limit)(struct worker *worker, enum limit limit, const char *why); /* evidence is to be taken, then
	                                                                          * ladder_kill() or ladder_give_up() */
	void (*due)(struct worker *worker);                                      /* the time of its state is over */
	void (*reaped)(struct worker *worker);                /* whatever it was, and all that it wrote was read */
	void (*gone)(struct worker *worker, const char *how); /* was ready; its slot and sockets are still there */
	void (*preloads)(struct worker *worker);              /* a BECOMING one serves no more, it is ready to fork */
	void (*ended)(struct workers *workers); /* one worker fewer of any state; its memory goes at the turn's end */
};

struct worker_slot {
	struct worker *worker;
	uint64_t rests_until_ms;
};

struct workers {
	struct loop *loop;
	struct children *children;
	struct scoreboard *board;
	const struct config *config;
	int apps_fd;          /* directory of the unix sockets */
	const char *apps_dir; /* its path */
	int programs_fd;      /* directory of the folders in which programs make theirs */
	const char *programs_dir;
	const char *loaders_dir; /* path of the loaders' files */
	uint32_t socket_uid;     /* who may connect: the balancer */
	uint32_t socket_gid;
	uint64_t descriptors_soft;
	const struct worker_events *events;
	struct cgroups *cgroups;
	void *owner;
	struct list states[WORKER_STATE_N];
	uint64_t next_serial;
	struct worker_slot slots[SCOREBOARD_PROCESSES];
	struct attempts attempts[SCOREBOARD_GROUPS];
	struct capture_sink sinks[SCOREBOARD_GROUPS]; /* where the output of each application goes */
	struct buf maintenance[SCOREBOARD_GROUPS];    /* MESSAGE_MAINTENANCE; empty: it is in none */
	struct buf roots[SCOREBOARD_GROUPS];          /* workers_root(), with its NUL; empty: not looked yet */
	uint32_t generations[SCOREBOARD_GROUPS];      /* restarts of each application so far */
	uint32_t chosen[SCOREBOARD_GROUPS]; /* generation in which one was CHOSEN last, plus 1: one try in each */
};

void workers_init(struct workers *workers);
/* All of any state. */
uint32_t workers_count(const struct workers *workers);
/* Is evidence being taken of one? */
bool workers_give_evidence(const struct workers *workers);
/* Where the application's root led at its newest restart, which may be a link to one release of many: a generation's
 * processes all run the same one. */
const char *workers_root(struct workers *workers, const struct app_config *app);
uint32_t workers_of_app(const struct workers *workers, uint32_t app_id, enum worker_state state);
/* What its newest restart has come to. */
enum group_roll workers_roll(const struct workers *workers, uint32_t app_id);
/* How far it is: what it has replaced of those that there were. */
struct roll_progress {
	uint32_t replaced, of;
};
struct roll_progress workers_roll_progress(const struct workers *workers, uint32_t app_id);
/* NULL when the slot does not hold this one (any more): both numbers come from the balancer. */
struct worker *workers_by_serial(const struct workers *workers, uint32_t slot, uint64_t serial);
/* A ready one, or NULL. */
struct worker *workers_by_pid(const struct workers *workers, int32_t pid);

/* A fresh one in STARTING, without a process. */
struct worker *worker_new(struct workers *workers, const struct app_config *app);
/* One that an earlier image has begun, from calloc, with the fields that were carried: its process, lists, slot and
 * output are taken up again.  False: its numbers make no sense. */
bool worker_restore(struct workers *workers, struct worker *worker, const struct app_config *app) must_check;
/* All are there again: those whose process ended in between are told of; what was in the middle of being taken down
 * goes on. */
void workers_go_on(struct workers *workers);
/* Its program serves: opens its door and takes a slot.  (It may fail over that.) */
void worker_ready(struct worker *worker, int32_t concurrency, bool bypass);
/* It has answered warmup_uris, or need not. */
void worker_warmed(struct worker *worker);
/* It can not be started: the sentence is the report's summary.  grace_ms: it may
 * go by itself for so long. */
void worker_fail(struct worker *worker, uint64_t grace_ms, const char *format, ...) printf_like(3, 4);
/* The port was somebody else's: tried again on another one. */
void worker_fail_port(struct worker *worker, const char *format, ...) printf_like(2, 3);
/* No process came to be, as the sentence says: reported, and gone. */
void worker_abandon(struct worker *worker, const char *sentence);
/* Without a process of its own: reported with somebody else's failure, and gone. */
void worker_refuse(struct worker *worker, const struct failure *failure);
/* Reports its failure, if that was not done: to the log, to the balancer, to status.  how: what became of the process. */
void worker_report(struct worker *worker, const char *how);
/* Out of the table; without a process, or never with one. */
void worker_end(struct worker *worker);
/* Without a process: gives back whatever was made for its start. */
void worker_reset(struct worker *worker);
/* What it is doing, or was when it failed: "loading the application". */
const char *worker_step(const struct worker *worker);
/* It runs, but its start may still fail. */
static inline bool
worker_is_cold(const struct worker *worker)
{
	return worker->state == WORKER_RUNNING && worker->record.cold;
}
/* The one place that writes the state. */
void worker_move(struct worker *worker, enum worker_state state);
/* Its slot and its sockets: nobody reaches it any more. */
void worker_give_back(struct worker *worker);
/* Is it told to stop, to serve at least? */
static inline bool
worker_is_leaving(const struct worker *worker)
{
	return worker->state > WORKER_CHOSEN;
}

#endif
