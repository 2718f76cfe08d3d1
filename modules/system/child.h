/*
 * child: starting, signalling and reaping our own children.  A child is this
 * same program (/proc/self/exe), in a session of its own; it becomes what it
 * should be by its command (`balance`, `exec`).
 *
 * A child's pid is only ever used between its start and its reaping, when the
 * kernel can not give it to anybody else; signals go through its pidfd, and
 * its group is killed while the dead leader still holds the number.
 */
#ifndef SYSTEM_CHILD_H
#define SYSTEM_CHILD_H

#include "base/list.h"
#include "base/str.h"

enum { CHILD_FDS_MAX = 8, CHILD_END_BYTES = 80 };

/* How a child ended. */
struct child_end {
	bool by_signal;
	bool dumped;
	int number; /* exit status or signal */
};

struct child {
	struct list_node node; /* in children.list while it lives */
	int32_t pid;           /* 0: none */
	int pidfd;
	void (*ended)(struct child *child, const struct child_end *end); /* reaped: pid and pidfd are no more */
};

struct children {
	struct list list;
	uint64_t orphans; /* reaped processes that we did not start */
};

struct child_fd {
	int from; /* ours */
	int to;   /* the child's number of it */
};

void children_init(struct children *children);

/* Starts /proc/self/exe with these arguments, environment and descriptors (at
 * most CHILD_FDS_MAX, nothing else that is not CLOEXEC should be open), with an
 * empty signal mask, default dispositions and a session of its own.  False and
 * errno. */
bool child_start(struct children *children, struct child *child, const char *const *argv, const char *const *envp,
                 const struct child_fd *fds, size_t fd_count) must_check;

/* The same with another program. */
bool child_start_program(struct children *children, struct child *child, const char *program, const char *const *argv,
                         const char *const *envp, const struct child_fd *fds, size_t fd_count) must_check;

/* A child that an earlier image of this process has started (system/image).  False and errno: it is no more. */
bool child_restore(struct children *children, struct child *child, int32_t pid) must_check;

/* Takes a process that the kernel gave us (children_adopt) as if we had started it: it must be our child,
 * not be known yet, and lead a session and group of its own.  False and errno (ESRCH: it is none such). */
bool child_adopt(struct children *children, struct child *child, int32_t pid) must_check;

/* To the process alone; nothing when it is gone. */
void child_signal(const struct child *child, int number);
/* To the process and its whole group. */
void child_signal_group(const struct child *child, int number);

/* To be called at SIGCHLD: reaps whatever is dead, ours and orphans alike, kills
 * what is left of a dead child's group, calls ended(). */
void children_reap(struct children *children);
/* SIGKILL to all living processes whose parent we are, known or adopted; count. */
size_t children_kill_all(void);

/* "exited with status 1", "killed by signal 9" */
void child_end_text(const struct child_end *end, char out[CHILD_END_BYTES]);

/* Orphans of ours are given to us, not to process 1. */
bool children_adopt(void) must_check;

#endif
