/*
 * core: what the files of the spawner's centre (tell, ending, verbs, spawner)
 * share: the one struct that knows all parts.  The parts do not know each other.
 *
 *     STARTING -> SERVING -> DRAINING -> STOPPING -> ENDED
 */
#ifndef SPAWNER_CORE_H
#define SPAWNER_CORE_H

#include "spawner/control_server.h"
#include "spawner/evidence.h"
#include "spawner/hooks.h"
#include "spawner/listeners.h"
#include "spawner/log_files.h"
#include "spawner/notify.h"
#include "spawner/place.h"
#include "spawner/restart_files.h"
#include "spawner/snapshot.h"
#include "spawner/supervisor.h"
#include "spawner/worker.h"
#include "system/signals.h"

enum spawner_state { SPAWNER_STARTING, SPAWNER_SERVING, SPAWNER_DRAINING, SPAWNER_STOPPING, SPAWNER_ENDED };

struct spawner {
	enum spawner_state state;
	bool at_once; /* STOPPING: applications get no time */
	struct loop loop;
	struct children children;
	struct signals signals;
	struct config *config;              /* the generation that holds */
	const struct config_source *source; /* for a reload */
	struct place *place;
	struct listeners *listeners;
	struct log_files logs;
	struct notify notify;
	struct scoreboard *board;
	int board_fd, config_fd;
	struct supervisor supervisor;
	struct workers workers;
	struct control_server control;
	struct snapshot_source snapshot;
	struct restart_files restart_files;
	struct hooks hooks;
	uint64_t crowd_ms[SCOREBOARD_GROUPS]; /* CLOCK_MONOTONIC of the last hook that a request has run */
	struct evidence_store evidence;
	struct timer sampling; /* CPU figures, while there are processes */
	struct timer strays;   /* looks for what ended applications left behind */
	char instance_name[80];
};

#endif
