/*
 * limit: what a process can run into.  The balancer watches the limits of
 * requests and of what the spawner measures, the spawner those of starting and
 * stopping; whoever it is, the spawner counts, takes evidence and kills.
 */
#ifndef HANDOVER_LIMIT_H
#define HANDOVER_LIMIT_H

enum limit {
	LIMIT_NONE,
	LIMIT_MAX_REQUEST_TIME,
	LIMIT_MEMORY, /* the only one that kills nobody: the process is replaced */
	LIMIT_HARD_MEMORY,
	LIMIT_CPU,
	LIMIT_RESPONSE, /* it is stopped or hangs */
	LIMIT_START,
	LIMIT_CGROUP_MEMORY, /* of the application; the kernel kills */
	LIMIT_DRAIN,         /* it did not finish in its time, or does not heed SIGTERM */
	LIMIT_N
};

/* The name of the option that sets it. */
const char *limit_name(enum limit limit);

#endif
