/*
 * refork: a process that has served for a while becomes its application's
 * preloader, so that what only use has loaded and cached is shared as well.
 *
 *     RUNNING --- it has answered enough ---> CHOSEN: the balancer is told to detach it
 *     CHOSEN  --- RETIRE: it has drained ---> BECOMING: it is told to preload, and finishes whatever it runs
 *     BECOMING -- READY preloader=1 --------> RUNNING as the preloader, of a new generation
 *
 * The rest is a rolling restart: the others are replaced by processes that it forks.  Nothing is
 * forked while a request or one of the loader's own threads runs in it.  One try in each
 * generation: what goes wrong costs one process, which is replaced like any.
 */
#ifndef SPAWNER_REFORK_H
#define SPAWNER_REFORK_H

#include "spawner/core.h"

/* A process serves: it is looked from time to time whether one has answered enough. */
void refork_watch(struct spawner *spawner, const struct worker *worker);
void refork_due(struct timer *timer);
/* The balancer wants this process to stop.  True: it is a CHOSEN one, and becomes the preloader instead. */
bool refork_turn(struct worker *worker) must_check;
/* As it has been told to, it is ready to fork. */
void refork_done(struct worker *worker);

#endif
