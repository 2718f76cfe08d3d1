/*
 * carry_rows: which fields of the spawner go over to another image of it.
 *
 * Whoever adds a field to one of these structs is stopped by the compiler at
 * the end of carry_rows.c, and then either gives it a row there, or a reason
 * why it is made anew (docs/architecture.md, Upgrades).
 */
#ifndef SPAWNER_CARRY_ROWS_H
#define SPAWNER_CARRY_ROWS_H

#include "spawner/core.h"

/* Strings that a config_source points to; terminated, or empty. */
struct carry_source {
	struct buf path, app_dir, instance_dir;
	struct buf listen; /* one after the other */
};

/* An application, by its id. */
struct app_part {
	uint32_t id, generation;
};

/* A slot that rests. */
struct slot_part {
	uint32_t slot;
	uint64_t rests_until_ms;
};

/* What pointers of a worker mean. */
struct worker_part {
	uint32_t generation; /* index of its application's configuration */
	uint32_t app_id;
	bool is_preloader;
	bool is_forked; /* or is to be, by a preloader */
};

extern const struct state_table carry_spawner_table;
extern const struct state_table carry_place_table;
extern const struct state_table carry_source_table;
extern const struct state_table carry_listener_table;
extern const struct state_table carry_supervisor_table;
extern const struct state_table carry_app_table;
extern const struct state_table carry_attempts_table;
extern const struct state_table carry_maintenance_table;
extern const struct state_table carry_root_table;
extern const struct state_table carry_restart_table;
extern const struct state_table carry_evidence_table;
extern const struct state_table carry_slot_table;
extern const struct state_table carry_worker_part_table;
extern const struct state_table carry_worker_table;
extern const struct state_table carry_client_table;
extern const struct state_table carry_text_table;

#endif
