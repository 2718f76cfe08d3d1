/*
 * instance: where a running passenger is found.  An instance directory holds
 *
 *     lock          flock'ed by the spawner while it lives, mode 0600 (who can open it could hold it); text: its pid
 *     control       the operator's SOCK_SEQPACKET socket, mode 0666 (who may do what is decided by SO_PEERCRED)
 *     instance.txt  one value a line: name, pid, version, started (unix seconds), ini or application directory
 *     apps/         the processes' unix sockets, each 0600 and the balancer's; the directory is ours, and only the
 *                   balancer's group may pass (0710; without root 0700)
 *     loaders/      0755: the loaders' files
 *
 * A registry is a directory whose children are instance directories:
 * --instance-dir, PASSENGER_INSTANCE_REGISTRY_DIR, else /run/passenger for root,
 * $XDG_RUNTIME_DIR/passenger or /tmp/passenger-UID for others.
 * A path that holds `lock` itself is an instance directory; `serve
 * --instance-dir DIR` makes DIR itself the instance.
 */
#ifndef HANDOVER_INSTANCE_H
#define HANDOVER_INSTANCE_H

#include "base/str.h"

enum { INSTANCES_MAX = 256 };

struct instance {
	char dir[256];
	char name[80];
	int32_t pid;
	char version[32];
	int64_t started;  /* unix seconds */
	char config[256]; /* ini or application directory */
	bool alive;       /* somebody serves its control socket */
};

/* The registry that these settings mean; explicit_dir may be NULL. */
void instance_registry(char out[256], const char *explicit_dir);

/* Living instances at or under dir (dead ones too when with_dead), at most max; count. */
size_t instance_list(const char *dir, struct instance *out, size_t max, bool with_dead);

/* Reads one; false when dir is no instance directory. */
bool instance_read(const char *dir, struct instance *out) must_check;

/* The spawner's side: writes instance.txt, whole or not at all; false and errno. */
bool instance_write(int dir_fd, const struct instance *instance) must_check;

#endif
