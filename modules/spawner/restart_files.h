/*
 * restart_files: sees when somebody touches an application's restart.txt, and
 * whether there is an always_restart.txt: at once by inotify, or when they are looked at: once a
 * second where inotify sees nothing (NFS, FUSE, what a link leads to), and every stat_throttle_rate whatever it sees.  The
 * files are never opened, and looked for with the application's own rights: a
 * link in its folder leads nowhere that it could not go itself.
 */
#ifndef SPAWNER_RESTART_FILES_H
#define SPAWNER_RESTART_FILES_H

#include "config/config.h"
#include "handover/scoreboard.h"
#include "system/loop.h"

enum {
	RESTART_FILES_N = 2,
	RESTART_FOLDERS_N = 2,        /* restart_dir (or root, while it is not there); where the link `root` stands */
	RESTART_FILES_SETTLE_MS = 50, /* a touch is several events */
	RESTART_FILES_REMOTE_MS = 1000,
};

struct restart_watched {
	bool remote;                           /* on NFS or the like, or a link: looked at once a second */
	bool known;                            /* stamps are of this application: what differs is news */
	int watches[RESTART_FOLDERS_N];        /* 0: none */
	uint64_t modified_ns[RESTART_FILES_N]; /* 0: not there */
};

struct restart_files {
	struct loop *loop;
	const struct config *config;
	struct scoreboard *board;
	void (*touched)(struct restart_files *files, const struct app_config *app, const char *name);
	struct watch watch;
	struct timer poll, settle;
	uint64_t all_ms;                                /* when all are looked at next */
	struct restart_watched apps[SCOREBOARD_GROUPS]; /* by id */
};

/* loop, board and touched are set before.  What can not be watched is polled. */
void restart_files_open(struct restart_files *files, const struct config *config);
/* Another generation; the one before is still there.  Files of what it brings are no news. */
void restart_files_configure(struct restart_files *files, const struct config *config);
/* What is known of an application is what an earlier image saw: what differs by now is news. */
void restart_files_restore(struct restart_files *files, uint32_t app_id, const struct restart_watched *seen);
void restart_files_close(struct restart_files *files);

#endif
