/*
 * cgroups: the control groups of applications that have limits of memory,
 * processor and processes for all their processes together.  A group is made
 * at the first process that needs it, beside or below the one that we are in;
 * what this machine does not let us do is said, and the application runs
 * without that limit.
 *
 * In version 2 no group may have both processes and groups with controllers:
 * we move ourselves, and our children, into a group of our own below first.
 * All groups are named after our pid and removed at the end; the next start
 * removes those of one that was killed.
 */
#ifndef WORKER_CGROUPS_H
#define WORKER_CGROUPS_H

#include "config/config.h"
#include "handover/scoreboard.h"
#include "system/cgroup.h"

enum { CGROUPS_TEXT_BYTES = 256 };

struct cgroups {
	bool sought;
	struct cgroup_place places[CGROUP_CONTROLLER_N];
	char why_not[CGROUP_CONTROLLER_N][128]; /* "": it can be had */
	struct {
		uint32_t made;                 /* bits of controllers */
		uint64_t kills;                /* by the kernel, over memory, as last looked */
		char text[CGROUPS_TEXT_BYTES]; /* for status; "": it has no such limit */
	} apps[SCOREBOARD_GROUPS];
};

/* Makes the application's groups, or gives them their new limits. */
void cgroups_prepare(struct cgroups *cgroups, const struct app_config *app, struct cgroup_entrances *entrances);
/* At the start and after a reload: all applications' groups. */
void cgroups_update(struct cgroups *cgroups, const struct config *config);
/* How many of the application's processes the kernel has killed over cgroup_memory_max since it was last asked. */
uint64_t cgroups_kills(struct cgroups *cgroups, const struct app_config *app);
/* All are gone: removes what was made. */
void cgroups_close(struct cgroups *cgroups);

#endif
