/*
 * evidence: what is written down of a process before it is killed, or when an
 * operator asks: its requests, what the kernel says of it, the stacks that its
 * language's loader tells, its descriptors, its last output.
 *
 *     begun: /proc is read, the loader is asked for the stacks
 *       | no answer: the signal that makes the language tell them by itself
 *       v
 *     ended, by the end of the stacks, of the process, or of EVIDENCE_MS:
 *     written to a file of its own, mode 0600, of which the newest
 *     EVIDENCE_FILES_MAX are kept; logged; the process is killed
 *
 * The files' folder is ours alone or root's choice; nothing that an
 * application could name is opened.
 */
#ifndef WORKER_EVIDENCE_H
#define WORKER_EVIDENCE_H

#include "worker/worker.h"

enum {
	EVIDENCE_FILES_MAX = 50,
	EVIDENCE_STACKS_BYTES_MAX = 256 * 1024,
	EVIDENCE_ASK_MS = 700,    /* the loader has so long for its answer, */
	EVIDENCE_SIGNAL_MS = 800, /* and the signal so long to show effect */
	EVIDENCE_PATH_BYTES = 512,
	EVIDENCE_WHY_BYTES = 600,
};

/* What status shows of an application's. */
struct evidence_record {
	uint32_t reached[LIMIT_N];
	int64_t unix_us; /* of the newest; 0: none */
	char path[EVIDENCE_PATH_BYTES];
};

struct evidence_store {
	int dir_fd;   /* -1: no file can be written */
	bool is_ours; /* goes with the instance */
	char dir[300];
	struct scoreboard *board;
	struct evidence_record records[SCOREBOARD_GROUPS];
	/* An operator's file is there: a descriptor of it, or -1; its path, or why there is none. */
	void (*answered)(struct evidence_store *store, uint64_t who, int fd, const char *text);
};

/* dir NULL: a folder in the instance directory.  One that can not be had is logged, and lived without. */
void evidence_open(struct evidence_store *store, int instance_fd, const char *instance_dir, const char *dir);
void evidence_close(struct evidence_store *store, int instance_fd);

/* The process has reached a limit: counted, and all of the above; for LIMIT_MEMORY only logged. */
void evidence_limit(struct evidence_store *store, struct worker *worker, enum limit limit, const char *why);
/* As workers->events->reaped: the process is gone. */
void evidence_reaped(struct worker *worker);
/* For an operator, who is told by store->answered(); the process lives on.  False: some is being taken already. */
bool evidence_ask(struct evidence_store *store, struct worker *worker, uint64_t who) must_check;
/* At once, without stacks: of the balancer, which is about to be killed. */
void evidence_balancer(struct evidence_store *store, int32_t pid, const char *why);

#endif
