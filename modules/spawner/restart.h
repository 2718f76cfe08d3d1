/*
 * restart: a new generation of an application's processes is wanted.  How the
 * old ones are replaced is the balancer's affair; what came of it stands in
 * the scoreboard.
 */
#ifndef SPAWNER_RESTART_H
#define SPAWNER_RESTART_H

#include "spawner/core.h"

/* WARM: rolling, with processes forked from one that has served, in the release that it is of. */
enum restart_how { RESTART_ROLLING, RESTART_AT_ONCE, RESTART_WARM };

/* why: "restart", for the log.  Processes that are just being started are given up: they are of the old one. */
void restart_begin(struct spawner *spawner, const struct app_config *app, enum restart_how how, const char *why);

/* Processes that are just being started are not any more, except those that a preloader has yet to make and that
 * are of `keep` (NULL: none). */
void restart_give_up_starts(struct workers *workers, const struct app_config *app, const struct app_config *keep,
                            const char *why);

/* The balancer says that a request has come; nothing unless always_restart.txt is there. */
void restart_always(struct spawner *spawner, uint32_t app_id);

#endif
