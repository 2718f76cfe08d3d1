/*
 * launch: makes everything that a new application process needs (sockets,
 * pipes, environment, arguments) and starts `passenger exec`, which becomes
 * it.  From then on it is a worker.
 */
#ifndef SPAWNER_LAUNCH_H
#define SPAWNER_LAUNCH_H

#include "spawner/worker.h"

/* One process more.  What goes wrong is told by workers->events->failed, at once or later. */
void launch_worker(struct workers *workers, const struct app_config *app);

#endif
