/*
 * leave: how a balancer ends in good order: because passenger stops, or
 * because another balancer has taken over (docs/architecture.md, Upgrades).
 */
#ifndef BALANCER_LEAVE_H
#define BALANCER_LEAVE_H

#include "balancer/core.h"

/* Passenger stops: nothing more is accepted at the front, what has begun is finished. */
void leave_drain(struct balancer *balancer);
/* Another balancer serves: idle clients go there, what has begun is finished here, within that time. */
void leave_to_another(struct balancer *balancer, uint64_t within_ms);
/* For traffic and the timer. */
void leave_quiet(struct traffic *traffic);
void leave_due(struct timer *timer);
/* What was counted since another one serves goes to the scoreboard. */
void leave_add_figures(struct balancer *balancer);

#endif
