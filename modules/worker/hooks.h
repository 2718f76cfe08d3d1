/*
 * hooks: programs of the operator's that are run when something happens to an
 * application.  Nothing waits for them: so many run at once, so many wait, each
 * has its time, and what is beyond that is left out and said in the log.
 *
 * A hook runs as the application's user, or as hook_user: what it is told (a
 * request's path, an application's last words) comes from strangers, and a
 * program that runs as root on their words is how machines are lost.  It is told
 * by variables alone, which no shell of ours ever reads.
 */
#ifndef WORKER_HOOKS_H
#define WORKER_HOOKS_H

#include "config/config.h"
#include "system/child.h"
#include "worker/capture.h"

enum {
	HOOKS_RUNNING_MAX = 8,
	HOOKS_WAITING_MAX = 64,
	HOOKS_TIME_MS = 60000,
	HOOKS_LAST_MS = 3000,  /* when passenger stops */
	HOOKS_CROWD_MS = 1000, /* between two of an event that requests make, of one application */
	HOOK_VALUE_BYTES = 2048,
};

struct hooks {
	struct loop *loop;
	struct children *children;
	uint64_t descriptors_soft;
	struct list running, waiting;
	uint64_t time_ms;                  /* that each has */
	void (*idle)(struct hooks *hooks); /* the last one has ended */
};

/* What a hook is told besides the application. */
struct hook_fact {
	const char *name, *value;
};

void hooks_init(struct hooks *hooks);
/* Nothing when the application has no such hook. */
void hooks_run(struct hooks *hooks, const struct app_config *app, enum config_hook hook, const struct hook_fact *facts,
               size_t fact_count);
/* From now on they have HOOKS_LAST_MS. */
void hooks_hurry(struct hooks *hooks);
static inline bool
hooks_are_idle(const struct hooks *hooks)
{
	return hooks->running.count == 0;
}

#endif
