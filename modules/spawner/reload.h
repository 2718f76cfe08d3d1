/*
 * reload: another generation of the configuration, in the same spawner and the
 * same balancer.  It is read and checked whole; when anything is wrong, nothing
 * changes.
 */
#ifndef SPAWNER_RELOAD_H
#define SPAWNER_RELOAD_H

#include "spawner/core.h"

/* A sentence either way: what was done, or what is wrong.  It is logged, too. */
bool reload_begin(struct spawner *spawner, char *text, size_t text_size);
/* The balancer has come so far (MESSAGE_MARKED): the service manager may be told that the reload is over. */
void reload_taken_up(struct spawner *spawner, uint64_t mark);

#endif
