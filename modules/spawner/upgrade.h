/*
 * upgrade: another program of ours takes over, in place: same process, same
 * applications, same sockets.  docs/architecture.md, Upgrades, tells the walk.
 */
#ifndef SPAWNER_UPGRADE_H
#define SPAWNER_UPGRADE_H

#include "spawner/core.h"

enum {
	UPGRADE_CHECK_MS = 10000,
	UPGRADE_PROVING_MS = 10000, /* after its balancer serves: so long it can fall back */
	UPGRADE_QUIET_MS = 20000,   /* so long hooks may run, or the channel to the balancer have something waiting */
	UPGRADE_STATE_FD = 3,       /* in the program that checks */
};

void upgrade_init(struct upgrade *upgrade);
/* The program at path is checked, then takes over; "": the one that this is, as it is on the disk now.  True: begun;
 * who (a client of the control socket, or 0) is answered later.  False and a sentence: nothing has changed. */
bool upgrade_begin(struct spawner *spawner, const char *path, bool only_check, uint64_t who, char *text,
                   size_t text_size) must_check;
/* Something more important goes on. */
void upgrade_cancel(struct spawner *spawner, const char *why);
/* After every turn of the loop. */
void upgrade_turn_ends(struct spawner *spawner);

/* In the image that has just arrived, when all is there: its balancer is started, or, in one that comes back, goes on.
 * False and errno. */
bool upgrade_arrive(struct spawner *spawner, const struct image_arrival *arrival) must_check;
/* The balancer serves. */
void upgrade_serving(struct spawner *spawner);

enum { UPGRADE_UNUSED_SERVING = 1, UPGRADE_UNUSED_BEFORE = 2 };
/* While there are two balancers it is stopped when neither gives it anything any more: each has it out of rotation,
 * and found it empty after that. */
void upgrade_retire(struct spawner *spawner, struct worker *worker, unsigned who, uint64_t within_ms);
/* The one before is gone: what the other one alone uses no more is stopped. */
void upgrade_retire_unused(struct spawner *spawner);

/* `passenger upgrade-check`, which the running one starts. */
int upgrade_check_command(int argc, char **argv);

#endif
