#include "spawner/carry_rows.h"

#define PLAIN(type, field) STATE_ROW(type, field, STATE_PLAIN)

static const struct state_field spawner_fields[] = {
	PLAIN(spawner, instance_name),
	STATE_ROW(spawner, board_fd, STATE_FD),
	STATE_ROW(spawner, logs.access_fd, STATE_FD),
	STATE_ROW(spawner, logs.slow_fd, STATE_FD),
	STATE_ROW(spawner, notify.fd, STATE_FD),
	PLAIN(spawner, notify.watchdog_ms),
	STATE_ROW(spawner, control.watch, STATE_WATCH),
	PLAIN(spawner, control.last_id),
	PLAIN(spawner, control.mark),
	PLAIN(spawner, reload_mark),
	PLAIN(spawner, upgrade.who),
	PLAIN(spawner, snapshot.started_unix_us),
	PLAIN(spawner, workers.next_serial),
	PLAIN(spawner, workers.descriptors_soft),
	PLAIN(spawner, supervisor.uid),
	PLAIN(spawner, supervisor.gid),
	PLAIN(spawner, upgrade.running),
	PLAIN(spawner, upgrade.wanted),
	PLAIN(spawner, snapshot.upgrade),
	PLAIN(spawner, snapshot.upgrade_unix_us),
	PLAIN(spawner, snapshot.upgrade_text),
};
const struct state_table carry_spawner_table = STATE_TABLE(spawner_fields);

static const struct state_field place_fields[] = {
	PLAIN(place, dir),
	PLAIN(place, made),
	STATE_ROW(place, dir_fd, STATE_FD),
	STATE_ROW(place, apps_fd, STATE_FD),
	STATE_ROW(place, loaders_fd, STATE_FD),
	STATE_ROW(place, programs_fd, STATE_FD),
	STATE_ROW(place, lock_fd, STATE_FD),
};
const struct state_table carry_place_table = STATE_TABLE(place_fields);

static const struct state_field source_fields[] = {
	STATE_ROW(carry_source, path, STATE_BUF),
	STATE_ROW(carry_source, app_dir, STATE_BUF),
	STATE_ROW(carry_source, instance_dir, STATE_BUF),
	STATE_ROW(carry_source, listen, STATE_BUF),
};
const struct state_table carry_source_table = STATE_TABLE(source_fields);

static const struct state_field listener_fields[] = {
	STATE_ROW(bound_listener, fd, STATE_FD),
	PLAIN(bound_listener, passed),
	PLAIN(bound_listener, port),
	PLAIN(bound_listener, address),
};
const struct state_table carry_listener_table = STATE_TABLE(listener_fields);

/* A balancer.  One that is being started does not go over: whoever takes over starts his own. */
static const struct state_field supervisor_fields[] = {
	PLAIN(supervisor, child.pid),  STATE_ROW(supervisor, channel.watch, STATE_WATCH), PLAIN(supervisor, column),
	PLAIN(supervisor, started_ms), STATE_ROW(supervisor, check, STATE_TIMER),
};
const struct state_table carry_supervisor_table = STATE_TABLE(supervisor_fields);

static const struct state_field app_fields[] = {
	PLAIN(app_part, id),
	PLAIN(app_part, generation),
};
const struct state_table carry_app_table = STATE_TABLE(app_fields);

static const struct state_field attempts_fields[] = {
	PLAIN(attempts, failures),
	PLAIN(attempts, early),
	PLAIN(attempts, next_ms),
	PLAIN(attempts, total_failures),
	STATE_ROW(attempts, report, STATE_BUF),
	STATE_MEMORY_ROW(attempts, last, sizeof(struct failure)),
};
const struct state_table carry_attempts_table = STATE_TABLE(attempts_fields);

static const struct state_field restart_fields[] = {
	PLAIN(restart_watched, known),
	PLAIN(restart_watched, modified_ns),
};
const struct state_table carry_restart_table = STATE_TABLE(restart_fields);

static const struct state_field evidence_fields[] = {
	PLAIN(evidence_record, reached),
	PLAIN(evidence_record, unix_us),
	PLAIN(evidence_record, path),
};
const struct state_table carry_evidence_table = STATE_TABLE(evidence_fields);

static const struct state_field slot_fields[] = {
	PLAIN(slot_part, slot),
	PLAIN(slot_part, rests_until_ms),
};
const struct state_table carry_slot_table = STATE_TABLE(slot_fields);

static const struct state_field worker_part_fields[] = {
	PLAIN(worker_part, generation),
	PLAIN(worker_part, app_id),
	PLAIN(worker_part, is_preloader),
	PLAIN(worker_part, is_forked),
};
const struct state_table carry_worker_part_table = STATE_TABLE(worker_part_fields);

static const struct state_field worker_fields[] = {
	PLAIN(worker, state),
	PLAIN(worker, child.pid),
	STATE_ROW(worker, capture.watch, STATE_WATCH),
	PLAIN(worker, capture.prefix),
	STATE_ROW(worker, capture.line, STATE_BUF),
	STATE_MEMORY_ROW(worker, capture.tail, CAPTURE_TAIL_BYTES),
	PLAIN(worker, capture.tail_at),
	PLAIN(worker, capture.tail_len),
	STATE_ROW(worker, stdin_fd, STATE_FD),
	STATE_ROW(worker, listen_fd, STATE_FD),
	STATE_ROW(worker, door_fd, STATE_FD),
	STATE_ROW(worker, control, STATE_WATCH),
	STATE_ROW(worker, control_out, STATE_BUF),
	PLAIN(worker, control_line),
	PLAIN(worker, control_len),
	STATE_ROW(worker, error_fd, STATE_FD),
	STATE_ROW(worker, plan_fd, STATE_FD),
	STATE_ROW(worker, timer, STATE_TIMER),
	STATE_ROW(worker, probe, STATE_TIMER),
	PLAIN(worker, probe_ms),
	PLAIN(worker, probes_elsewhere),
	PLAIN(worker, port_tries),
	STATE_MEMORY_ROW(worker, failure, sizeof(struct failure)),
	PLAIN(worker, preloader),
	PLAIN(worker, forks),
	PLAIN(worker, reforks),
	PLAIN(worker, another_port),
	PLAIN(worker, drain_ms),
	PLAIN(worker, term_ms),
	PLAIN(worker, has_slot),
	PLAIN(worker, unused_by),
	PLAIN(worker, record),
	PLAIN(worker, launched_ms),
	PLAIN(worker, warmed_ms),
	PLAIN(worker, spawn_start_unix_us),
	PLAIN(worker, spawn_end_unix_us),
	PLAIN(worker, user),
	PLAIN(worker, metrics),
};
const struct state_table carry_worker_table = STATE_TABLE(worker_fields);

static const struct state_field client_fields[] = {
	PLAIN(control_client, uid),
	PLAIN(control_client, id),
	PLAIN(control_client, state),
	PLAIN(control_client, mark),
	STATE_MEMORY_ROW(control_client, held, sizeof(struct control_answer)),
	STATE_ROW(control_client, watch, STATE_WATCH),
};
const struct state_table carry_client_table = STATE_TABLE(client_fields);

static const struct state_field maintenance_fields[] = {{.name = "maintenance", .kind = STATE_BUF}};
const struct state_table carry_maintenance_table = STATE_TABLE(maintenance_fields);

static const struct state_field root_fields[] = {{.name = "root", .kind = STATE_BUF}};
const struct state_table carry_root_table = STATE_TABLE(root_fields);

static const struct state_field text_fields[] = {{.name = "text", .kind = STATE_BUF}};
const struct state_table carry_text_table = STATE_TABLE(text_fields);

/* --- what is forgotten ------------------------------------------------------------------------ */

/*
 * A field came or went: does another image of the spawner have to know it?  Then it gets a row above, beside its
 * neighbours; what follows from other things is made anew, in begin_again() or where it was restored.  Then the new
 * size stands here.  docs/architecture.md, Upgrades, tells more.
 */
#define CARRIED(what, bytes) _Static_assert((what) == (bytes), "carry the new field or say why not: see above")
#define PART(field) sizeof(((struct spawner *)0)->field)

#if __SIZEOF_POINTER__ == 8
CARRIED(sizeof(struct worker), 5144);
CARRIED(sizeof(struct capture), 240);
CARRIED(sizeof(struct attempts), 56);
CARRIED(sizeof(struct failure), 1936);
CARRIED(sizeof(struct restart_watched), 32);
CARRIED(sizeof(struct place), 1372);
CARRIED(sizeof(struct bound_listener), 136);
CARRIED(sizeof(struct notify), 56);
CARRIED(sizeof(struct supervisor), 256);
CARRIED(sizeof(struct control_client), 152);
CARRIED(sizeof(struct config_source), 64);
CARRIED(sizeof(struct snapshot_source), 360);
CARRIED(PART(workers) - PART(workers.slots) - PART(workers.attempts) - PART(workers.sinks) - PART(workers.maintenance) -
                PART(workers.roots) - PART(workers.chosen),
        4504);
/* not carried: chosen, without which there may be one try more; crowd_ms, which is forgotten after a second; hooks and evidence that is being taken, whose end is waited
 * for; cgroups, which are found where they are */
CARRIED(sizeof(struct spawner) - PART(workers) - PART(restart_files) - PART(supervisor) - PART(before) - PART(upgrade) -
                PART(snapshot) - PART(hooks) - PART(crowd_ms) - PART(evidence) - PART(cgroups) - PART(control),
        496);
CARRIED(PART(control), 104); /* passed is only while a request is served */
CARRIED(sizeof(struct evidence_record), 560);
#endif
