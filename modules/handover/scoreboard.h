/*
 * scoreboard: one shared mapping in which spawner and balancer write down what
 * status shows and what must survive a balancer.  A field has one writer, who
 * is named beside it.  To the spawner it is hostile memory: every value is
 * bounded when read, every retry is counted.
 *
 * It is a sparse memfd: slots that were never used cost nothing.
 */
#ifndef HANDOVER_SCOREBOARD_H
#define HANDOVER_SCOREBOARD_H

#include "base/str.h"

#include <stdatomic.h>

enum {
	SCOREBOARD_VERSION = 2,
	SCOREBOARD_COLUMNS = 2,      /* balancers at once: one that serves, and one that finishes what it has */
	SCOREBOARD_GROUPS = 1024,    /* == CONFIG_APPS_MAX */
	SCOREBOARD_PROCESSES = 8192, /* living, starting and dying ones */
	SCOREBOARD_REQUESTS = 4,     /* current requests that are shown for a process */
	SCOREBOARD_HISTOGRAM = 16,   /* < 1 ms, < 2 ms, < 4 ms, … doubling */
};

/* One request that runs in a process now.  Balancer writes; sequence is odd
 * while it does (readers retry a bounded number of times, then show nothing). */
struct scoreboard_request {
	_Atomic uint32_t sequence;
	uint8_t direct;    /* came by the door */
	uint8_t upgraded;  /* a tunnel now */
	uint16_t status;   /* 0 until the head of the answer is there */
	uint32_t given_up; /* nobody waits for it any more: its client went away, or its balancer ended */
	uint64_t since_ms; /* CLOCK_MONOTONIC of the dispatch; 0: no request */
	char method[16];
	char path[152];  /* cut, printable */
	char client[48]; /* address:port or "unix" */
	char host[64];   /* as the client named it, cut */
	char id[40];     /* request id */
};

enum scoreboard_process_state {
	SCOREBOARD_FREE,
	SCOREBOARD_ENABLED,    /* in rotation */
	SCOREBOARD_RECOVERING, /* claimed when a balancer died; not yet known to be idle */
	SCOREBOARD_DISABLED,   /* out of rotation for a while: out-of-band work */
	SCOREBOARD_WARMING,    /* it has yet to answer warmup_uris */
	SCOREBOARD_DETACHED,   /* out of rotation, draining, then stopped */
	SCOREBOARD_STATE_N
};

struct scoreboard_process {
	/* balancer */
	_Atomic uint64_t serial; /* whose figures these are; the spawner zeroes the slot before it gives it out */
	_Atomic uint32_t state;  /* enum scoreboard_process_state */
	_Atomic uint32_t sessions[SCOREBOARD_COLUMNS]; /* requests that run now, a column for each balancer */
	/* Places that are held, 32 bits for each column: two balancers that serve side by side while one takes over from
	 * the other never give out more together than there are.  What it says outlives a balancer. */
	_Atomic uint64_t claims;
	_Atomic uint64_t ends_ms;      /* CLOCK_MONOTONIC: it is replaced, and drains until then; 0: it is not */
	_Atomic uint64_t processed;    /* requests that ended */
	_Atomic uint64_t direct;       /* of these, by the door */
	_Atomic uint64_t refused;      /* door: wrong password */
	_Atomic uint64_t last_used_ms; /* CLOCK_MONOTONIC of the newest session's beginning */
	_Atomic uint64_t bytes_in, bytes_out;
	_Atomic uint64_t errors; /* 5xx, cut answers */
	/* spawner, every analytics_collection_rate; 0: never yet */
	_Atomic uint64_t memory_kb; /* measured only where there is a limit */
	_Atomic uint64_t cpu_ms;    /* processor time of its life */
	_Atomic uint64_t sampled_ms;
	_Atomic uint32_t stopped; /* by SIGSTOP and the like */
	_Atomic uint32_t oob;     /* balancer: it has asked for out-of-band work, which has not begun */
	struct scoreboard_request requests[SCOREBOARD_REQUESTS];
};

/* The replacement of a group's processes by those of a newer generation. */
enum group_roll {
	ROLL_NONE,    /* all in rotation are of the newest generation */
	ROLL_RUNNING, /* one after the other is replaced */
	ROLL_FAILED,  /* a new one did not start: the old ones serve on, until the next restart */
	ROLL_N
};

struct scoreboard_group {
	/* balancer */
	_Atomic uint32_t queued;
	_Atomic uint32_t spawning;
	_Atomic uint64_t oldest_queued_ms; /* CLOCK_MONOTONIC; 0: none */
	_Atomic uint64_t requests;         /* ended */
	_Atomic uint64_t queue_full;       /* 503 because of the queue */
	_Atomic uint64_t spawn_failures;
	_Atomic uint64_t backoff_until_ms; /* CLOCK_MONOTONIC */
	_Atomic uint32_t consecutive_failures;
	_Atomic uint32_t generation;      /* of processes that it wants, see MESSAGE_RESTART */
	_Atomic uint32_t roll;            /* enum group_roll */
	_Atomic uint32_t roll_size;       /* processes in rotation when it began */
	_Atomic uint64_t status_class[6]; /* [1]: 1xx … [5]: 5xx; [0] closed without an answer */
	_Atomic uint32_t always_restart;  /* spawner: always_restart.txt is there */
	_Atomic uint64_t response_histogram[SCOREBOARD_HISTOGRAM]; /* application time */
	_Atomic uint64_t queue_histogram[SCOREBOARD_HISTOGRAM];
};

struct scoreboard {
	uint32_t version; /* spawner, before anyone else maps it */
	/* balancer */
	_Atomic uint64_t beat_ms;     /* CLOCK_MONOTONIC, at least once a second: it is alive */
	_Atomic uint64_t requests;    /* ended, all groups and none */
	_Atomic uint64_t connections; /* accepted ever */
	_Atomic uint32_t clients;     /* open now */
	/* spawner */
	_Atomic uint32_t balancer_pid;
	_Atomic uint32_t balancer_starts;
	struct scoreboard_group groups[SCOREBOARD_GROUPS];
	struct scoreboard_process processes[SCOREBOARD_PROCESSES];
};

/* A new one in a memfd (CLOEXEC, size sealed); NULL and errno. */
struct scoreboard *scoreboard_create(int *fd) must_check;
/* Maps an existing one; NULL when it is not one of this version. */
struct scoreboard *scoreboard_map(int fd) must_check;
void scoreboard_unmap(struct scoreboard *scoreboard);
/* One that is nobody else's, for the figures of a balancer that hands over; aborts without memory. */
struct scoreboard *scoreboard_private(void);
/* The counters are added to those of `into`, and begin anew. */
void scoreboard_add_process(struct scoreboard_process *into, struct scoreboard_process *from);
void scoreboard_add_group(struct scoreboard_group *into, struct scoreboard_group *from);

/* Consistent copy of a request cell; false when it is empty or never held still. */
bool scoreboard_read_request(const struct scoreboard_request *cell, struct scoreboard_request *copy) must_check;

#endif
