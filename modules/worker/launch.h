/*
 * launch: makes everything that a new application process needs (sockets,
 * pipes, environment, arguments) and starts `passenger exec`, which becomes
 * it.  From then on it is a worker.
 */
#ifndef WORKER_LAUNCH_H
#define WORKER_LAUNCH_H

#include "worker/worker.h"

enum { LAUNCH_SENTENCE_BYTES = 512 };

/* The child's ends, all closed by us once it has them; -1: none. */
struct launch_ends {
	int stdin_read, output_write, error_write, control_child, plan;
	int output_read, control_ours; /* ours, until they are given to the worker's parts */
};
#define LAUNCH_NO_ENDS                     \
	{                                  \
		-1, -1, -1, -1, -1, -1, -1 \
	}

/* One process more.  What goes wrong is told by workers->events->failed (or by the role), at once or later.
 * role: NULL, or a preloader's. */
void launch_worker(struct workers *workers, const struct app_config *app, const struct worker_role *role);

/* A worker of an earlier image that was made by launch_worker(). */
void launch_restore(struct worker *worker);

/* For a process of a loader that somebody else makes: its id, pipes, sockets and listener.  False and a sentence. */
bool launch_make_ends(struct worker *worker, struct launch_ends *ends, char sentence[LAUNCH_SENTENCE_BYTES]) must_check;
void launch_close_ends(struct launch_ends *ends);
/* A loader's arguments, into worker->control_out. */
void launch_add_arguments(struct worker *worker);

#endif
