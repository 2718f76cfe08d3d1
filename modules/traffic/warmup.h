/*
 * warmup: a new process answers its application's warmup_uris before it gets
 * traffic.  We are a client at its door like any other, on a connection that
 * never leaves this process, and look at nothing but the status.
 */
#ifndef TRAFFIC_WARMUP_H
#define TRAFFIC_WARMUP_H

#include "traffic/context.h"

/* process: WARMING, with a door.  traffic->warmed is called once, unless warmup_cancel() comes before. */
void warmup_begin(struct traffic *traffic, struct process *process);
/* The process is gone.  Nothing when it does not warm up. */
void warmup_cancel(struct process *process);

#endif
