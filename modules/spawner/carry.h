/*
 * carry: what of the spawner goes over to another image of it: written here,
 * read and taken up again in carry_restore.c.
 */
#ifndef SPAWNER_CARRY_H
#define SPAWNER_CARRY_H

#include "spawner/carry_rows.h"

enum { CARRY_GENERATIONS_MAX = 64 };

struct carry {
	struct state_reader reader;
	struct carry_source strings;
	const char *listen[CONFIG_LISTENERS_MAX];
	struct config_source source;
	struct place place;
	struct listeners listeners;
	struct config *generations[CARRY_GENERATIONS_MAX]; /* of the configuration; the first holds */
	size_t generation_count;
	char instance_name[80];
	uint32_t balancer_uid, balancer_gid;
	uint64_t descriptors_soft;
};

/* Everything as it is after this turn, into load (made anew) and writer; false and errno. */
bool carry_save(struct spawner *spawner, struct state_writer *writer, struct image_load *load) must_check;

/* Reads and checks it whole, and does nothing; live: the descriptors are here, and are taken.  False and a sentence in
 * carry->reader.error. */
bool carry_read(struct carry *carry, int state_fd, bool live, const struct app_type *const *types) must_check;
/* First the descriptors and figures of the spawner itself … */
bool carry_restore_spawner(struct carry *carry, struct spawner *spawner) must_check;
/* … then, when its loop, board and parts are there, all that it looks after; came_back: this image was here before.
 * False and a sentence: it can not go on. */
bool carry_restore(struct carry *carry, struct spawner *spawner, bool came_back) must_check;

#endif
