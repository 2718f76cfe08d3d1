/*
 * cgroup: where the kernel's control groups let us make groups of our own, of
 * version 1 or 2, and writing and reading their files.  Who is put where is
 * its callers' to decide.
 */
#ifndef SYSTEM_CGROUP_H
#define SYSTEM_CGROUP_H

#include "base/str.h"

enum cgroup_controller { CGROUP_MEMORY, CGROUP_CPU, CGROUP_PIDS, CGROUP_CONTROLLER_N };

enum { CGROUP_PATH_BYTES = 320, CGROUP_WHY_BYTES = 400 };

struct cgroup_place {
	bool unified;                /* version 2 */
	char dir[CGROUP_PATH_BYTES]; /* of the group that we are in; "": none */
};

/* False: this machine has no such controller, or does not show it to us. */
bool cgroup_find(enum cgroup_controller controller, struct cgroup_place *place) must_check;
const char *cgroup_name(enum cgroup_controller controller);

/* The files by which a process gets into its groups; "": none. */
struct cgroup_entrances {
	char procs[CGROUP_CONTROLLER_N][CGROUP_PATH_BYTES];
};

/* This process goes there; NULL, or the file that did not let it, and errno. */
const char *cgroup_enter(const struct cgroup_entrances *entrances) must_check;

/* The text into DIR/FILE; false and errno. */
bool cgroup_write(const char *dir, const char *file, const char *text) must_check;
/* The number behind this word at the beginning of a line of DIR/FILE; 0 when there is none. */
uint64_t cgroup_read(const char *dir, const char *file, const char *word);

#endif
