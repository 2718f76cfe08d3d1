/*
 * ending: how the spawner stops, and what it clears away.
 *
 *     SERVING  --stop-->  DRAINING: the balancer finishes what has begun
 *     DRAINING  --it ended-->  STOPPING: the applications go
 *     STOPPING  --the last is gone-->  ENDED
 */
#ifndef SPAWNER_ENDING_H
#define SPAWNER_ENDING_H

#include "spawner/core.h"

/* who: for the log.  at_once: nobody is given time. */
void ending_stop(struct spawner *spawner, bool at_once, const char *who);
/* The balancer is no more, and none is wanted. */
void ending_balancer_gone(struct spawner *spawner);
/* A worker is no more. */
void ending_worker_gone(struct spawner *spawner);
/* spawner->strays is due: looks for what ended applications left behind. */
void ending_strays_due(struct timer *timer);
/* After the loop: whatever is left, directory and socket files too. */
void ending_finish(struct spawner *spawner);

/* A hook was the last thing that the end waited for? */
void ending_look(struct spawner *spawner);

#endif
