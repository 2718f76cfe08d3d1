/*
 * listeners: the sockets on which requests come in.  The spawner binds them,
 * or takes them over from systemd, and keeps them while balancers come and go;
 * it never accepts on one.
 */
#ifndef SPAWNER_LISTENERS_H
#define SPAWNER_LISTENERS_H

#include "config/config.h"

enum { LISTENERS_ERROR_BYTES = 512, LISTENERS_PASSED_MAX = 64 };

struct bound_listener {
	int fd;
	bool passed;   /* systemd's: not ours to unlink */
	uint16_t port; /* TCP: the real one */
	char address[128];
};

struct listeners {
	struct bound_listener bound[CONFIG_LISTENERS_MAX]; /* parallel to config->listeners */
	size_t count;
};

/* Sockets that systemd passed (LISTEN_FDS), made CLOEXEC. */
struct passed_sockets {
	int fds[LISTENERS_PASSED_MAX];             /* -1: taken */
	char addresses[LISTENERS_PASSED_MAX][128]; /* as config_address_text() writes them; "": of no kind that we serve */
	size_t count;
};

/* First thing in main(), before any descriptor is opened; forgets the variables. */
void passed_sockets_take(struct passed_sockets *passed);
void passed_sockets_close(struct passed_sockets *passed);

/* All or none; false and a sentence. */
bool listeners_open(struct listeners *listeners, const struct config *config, struct passed_sockets *passed,
                    char error[LISTENERS_ERROR_BYTES]) must_check;
struct listeners_change {
	struct listeners listeners;          /* of the generation after */
	size_t before[CONFIG_LISTENERS_MAX]; /* index in the one before + 1; 0: bound just now */
};

/* Sockets of the same address are kept, others are bound; nothing of the ones before is touched.  False and a
 * sentence: nothing was done.  Afterwards it is carried out or taken back. */
bool listeners_prepare(struct listeners_change *change, const struct listeners *before,
                       const struct config *config_before, const struct config *config,
                       char error[LISTENERS_ERROR_BYTES]) must_check;
/* before becomes what was prepared; what is not in it is closed. */
void listeners_carry_out(struct listeners_change *change, struct listeners *before, const struct config *config_before);
void listeners_take_back(struct listeners_change *change, const struct config *config);
/* Our copies; socket files go first, so that nobody connects who is never served. */
void listeners_close(struct listeners *listeners, const struct config *config);
/* Their addresses with blanks between. */
void listeners_text(const struct listeners *listeners, char *out, size_t out_size);

#endif
