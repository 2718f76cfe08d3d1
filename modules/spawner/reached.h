/*
 * reached: what is done when a process has reached a limit, and when any is
 * gone: the operator's hook, evidence, counters.
 */
#ifndef SPAWNER_REACHED_H
#define SPAWNER_REACHED_H

#include "spawner/core.h"

/* As workers->events->limit. */
void reached_limit(struct worker *worker, enum limit limit, const char *why);
/* As workers->events->reaped. */
void reached_end(struct worker *worker);

#endif
