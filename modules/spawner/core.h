/*
 * core: what the files of the spawner's centre (tell, ending, verbs, spawner)
 * share: the one struct that knows all parts.  The parts do not know each other.
 *
 *     STARTING -> SERVING -> DRAINING -> STOPPING -> ENDED
 */
#ifndef SPAWNER_CORE_H
#define SPAWNER_CORE_H

#include "spawner/control_server.h"
#include "spawner/listeners.h"
#include "spawner/log_files.h"
#include "spawner/notify.h"
#include "spawner/restart_files.h"
#include "spawner/snapshot.h"
#include "spawner/state.h"
#include "spawner/supervisor.h"
#include "system/image.h"
#include "system/signals.h"
#include "worker/evidence.h"
#include "worker/hooks.h"
#include "worker/place.h"
#include "worker/worker.h"

/*
 * An upgrade in place (spawner/upgrade):
 *
 *     NONE -> CHECKING: the new program looks at state and configuration -> GOING: at the end of this turn it takes our
 *     place -> (in the new program) TAKING_OVER until its balancer serves -> NONE
 *
 * For a while after that it can still fall back (system/image).
 */
enum upgrade_state { UPGRADE_NONE, UPGRADE_CHECKING, UPGRADE_GOING, UPGRADE_TAKING_OVER };

enum { UPGRADE_TEXT_BYTES = 512, UPGRADE_PATH_BYTES = 1024 };

struct upgrade {
	enum upgrade_state state;
	bool only_checks;
	uint64_t who;                     /* waits for the answer, at the control socket; 0: nobody */
	char running[UPGRADE_PATH_BYTES]; /* this program */
	char wanted[UPGRADE_PATH_BYTES];  /* the one that is to take over, or has just done so */
	int binary_fd;                    /* its descriptor; -1: none */
	struct child child;               /* CHECKING */
	struct watch output;              /* CHECKING: what it says */
	char said[UPGRADE_TEXT_BYTES];
	size_t said_len;
	struct timer timer;         /* CHECKING: its deadline; GOING: again */
	struct timer proving;       /* until it falls back no more */
	uint64_t gives_up_ms;       /* GOING */
	struct image_load loads[2]; /* the newest, and the one that may be in use */
	struct state_writer writers[2];
	unsigned newest;
};

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
	struct supervisor before; /* the balancer that another one takes over from; IDLE: there is none */
	struct upgrade upgrade;
	struct workers workers;
	struct control_server control;
	uint64_t reload_mark; /* the service manager is told that a reload is over when the balancer says this; 0: none is */
	struct snapshot_source snapshot;
	struct restart_files restart_files;
	struct hooks hooks;
	uint64_t crowd_ms[SCOREBOARD_GROUPS]; /* CLOCK_MONOTONIC of the last hook that a request has run */
	struct evidence_store evidence;
	struct cgroups cgroups;
	struct timer sampling; /* CPU figures, while there are processes */
	struct timer strays;   /* looks for what ended applications left behind */
	struct timer refork;   /* looks for processes that are warm enough, see refork.h */
	char instance_name[80];
};

#endif
