/*
 * wishes: what the pool wants, carried out: by a message to the spawner, or by
 * traffic here.
 */
#ifndef BALANCER_WISHES_H
#define BALANCER_WISHES_H

#include "balancer/core.h"

/* Makes the pool on the balancer's loop and scoreboard. */
void wishes_init(struct balancer *balancer);
/* For traffic: the process has answered its warmup_uris; why: it has not, and that is the reason. */
void wishes_warmed(struct traffic *traffic, struct process *process, const char *why);

#endif
