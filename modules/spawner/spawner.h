/*
 * spawner: the parent role.  It owns what must outlive a balancer, and carries
 * out what the balancer decides; it parses no byte from the network.
 */
#ifndef SPAWNER_SPAWNER_H
#define SPAWNER_SPAWNER_H

#include "spawner/carry.h"

/* Everything that serve has made and checked; parts are taken, not copied. */
struct spawner_start {
	struct config *config;
	const struct config_source *source;
	struct place *place;
	struct listeners *listeners;
	const char *instance_name;
	uint32_t balancer_uid, balancer_gid;
	uint64_t descriptors_soft;
	struct carry *carry; /* from an earlier image that this one takes over from, or comes back to; NULL: a fresh start */
	struct image_arrival arrival;
};

/* Serves until it is told to stop.  0; 1 and it was logged when it could not begin. */
int spawner_run(const struct spawner_start *start) must_check;

#endif
