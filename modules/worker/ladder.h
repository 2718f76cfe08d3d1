/*
 * ladder: how a worker is stopped, rung by rung (the states stand in worker.h),
 * and what is done when the time of a state is over.
 */
#ifndef WORKER_LADDER_H
#define WORKER_LADDER_H

#include "worker/worker.h"

/* For worker_events: the time of its state is over. */
void ladder_due(struct worker *worker);
/* Down the ladder, in these times: SIGTERM sooner than after WORKER_TERM_MS is a hurry, in which nobody takes evidence.
 * One that is on it already only ever goes faster. */
void ladder_retire(struct worker *worker, uint64_t drain_ms, uint64_t term_ms);
/* It has reached this limit: evidence, then SIGKILL. */
void ladder_condemn(struct worker *worker, enum limit limit, const char *why);
/* STARTING: its time is over; evidence: a file, or NULL. */
void ladder_give_up(struct worker *worker, const char *evidence);
/* SIGKILL to the group now. */
void ladder_kill(struct worker *worker, const char *why);

#endif
