/*
 * heed: what the balancers ask for, checked and carried out, and what becomes
 * of them.  A balancer is not trusted: whatever it names is looked up, and one
 * that says what is not its to say is killed.
 */
#ifndef SPAWNER_HEED_H
#define SPAWNER_HEED_H

#include "spawner/core.h"

/* For a supervisor whose owner is a struct spawner. */
extern const struct supervisor_events heed_events;

#endif
