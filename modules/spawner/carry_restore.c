#include "base/log.h"
#include "spawner/carry.h"
#include "worker/launch.h"
#include "worker/preloader.h"
#include "worker/ready.h"

#include <stdlib.h>
#include <unistd.h>

/* --- reading ----------------------------------------------------------------------------- */

static bool
refuse(struct carry *carry, const char *why)
{
	str_format(carry->reader.error, sizeof(carry->reader.error), "the state that was handed over %s", why);
	return false;
}

static const char *
string_of(const struct buf *buf)
{
	return buf->len > 0 && buf->data[buf->len - 1] == '\0' ? buf->data : NULL;
}

static bool
read_source(struct carry *carry, const struct app_type *const *types)
{
	struct carry_source *strings = &carry->strings;
	struct config_source *source = &carry->source;
	const char *at = string_of(&strings->listen);

	source->path = string_of(&strings->path);
	source->app_dir = string_of(&strings->app_dir);
	source->instance_dir = string_of(&strings->instance_dir);
	for (; at != NULL && at < strings->listen.data + strings->listen.len; at += strlen(at) + 1) {
		if (source->listen_count == CONFIG_LISTENERS_MAX)
			return false;
		carry->listen[source->listen_count++] = at;
	}
	source->listen = carry->listen;
	source->types = types;
	source->privileged = geteuid() == 0;
	return source->path != NULL || source->app_dir != NULL;
}

static bool
read_spawner(struct carry *carry, struct str record, const struct app_type *const *types)
{
	struct spawner *spawner = calloc(1, sizeof(*spawner));

	if (spawner == NULL)
		abort();
	bool live = carry->reader.live;
	carry->reader.live = false; /* these are taken by carry_restore() */
	bool done = state_take(&carry->reader, record, &carry_spawner_table, spawner);
	carry->reader.live = live;
	done = done && state_take(&carry->reader, record, &carry_place_table, &carry->place) &&
	       state_take(&carry->reader, record, &carry_source_table, &carry->strings);
	carry->balancer_uid = spawner->supervisor.uid;
	carry->balancer_gid = spawner->supervisor.gid;
	carry->descriptors_soft = spawner->workers.descriptors_soft;
	spawner->instance_name[sizeof(spawner->instance_name) - 1] = '\0';
	str_cut_z(carry->instance_name, sizeof(carry->instance_name), str_from(spawner->instance_name));
	free(spawner);
	carry->place.dir[sizeof(carry->place.dir) - 1] = '\0';
	place_name_parts(&carry->place);
	return done && (read_source(carry, types) || refuse(carry, "names no configuration"));
}

static bool
read_generation(struct carry *carry, struct str record, const struct app_type *const *types)
{
	struct config_error error = {.text = ""};

	if (carry->generation_count == CARRY_GENERATIONS_MAX)
		return refuse(carry, "has too many generations of the configuration");
	struct config *config = config_parse(state_find(record, "text"), types, &error);
	if (config == NULL) {
		str_format(carry->reader.error, sizeof(carry->reader.error),
		           "the running configuration is not understood by passenger %s: %.150s", PASSENGER_VERSION,
		           error.text);
		return false;
	}
	carry->generations[carry->generation_count++] = config;
	return true;
}

static bool
read_listener(struct carry *carry, struct str record)
{
	struct listeners *listeners = &carry->listeners;

	if (listeners->count == CONFIG_LISTENERS_MAX)
		return refuse(carry, "has too many listeners");
	return state_take(&carry->reader, record, &carry_listener_table, &listeners->bound[listeners->count++]);
}

static const struct app_config *
find_app(const struct carry *carry, const struct worker_part *part)
{
	return part->generation < carry->generation_count
	               ? config_app_by_id(carry->generations[part->generation], part->app_id)
	               : NULL;
}

/* What it has from malloc. */
static void
free_worker(struct worker *worker)
{
	free(worker->failure);
	free(worker->capture.tail);
	buf_free(&worker->capture.line);
	buf_free(&worker->control_out);
	free(worker);
}

/* One from calloc, and what its pointers mean; NULL and a sentence. */
static struct worker *
read_worker(struct carry *carry, struct str record, struct worker_part *part)
{
	struct worker *worker = calloc(1, sizeof(*worker));

	if (worker == NULL)
		abort();
	worker->stdin_fd = worker->listen_fd = worker->door_fd = worker->error_fd = worker->plan_fd = -1;
	worker->control.fd = worker->capture.watch.fd = worker->child.pidfd = -1;
	bool sound = state_take(&carry->reader, record, &carry_worker_part_table, part) &&
	             state_take(&carry->reader, record, &carry_worker_table, worker);
	if (sound && (worker->state >= WORKER_STATE_N || worker->record.slot >= SCOREBOARD_PROCESSES ||
	              worker->control_len > sizeof(worker->control_line) ||
	              worker->capture.tail_at >= CAPTURE_TAIL_BYTES || worker->capture.tail_len > CAPTURE_TAIL_BYTES ||
	              (worker->capture.tail_len > 0 && worker->capture.tail == NULL) || find_app(carry, part) == NULL))
		sound = refuse(carry, "has a process that makes no sense");
	if (sound)
		return worker;
	free_worker(worker);
	return NULL;
}

static bool
read_worker_only(struct carry *carry, struct str record)
{
	struct worker_part part = {.app_id = 0};
	bool live = carry->reader.live;

	carry->reader.live = false;
	struct worker *worker = read_worker(carry, record, &part);
	carry->reader.live = live;
	if (worker != NULL)
		free_worker(worker);
	return worker != NULL;
}

bool
carry_read(struct carry *carry, int state_fd, bool live, const struct app_type *const *types)
{
	enum state_record kind;
	struct str record;
	bool sound = state_open(&carry->reader, state_fd);

	carry->reader.live = live;
	carry->place = (struct place){.dir_fd = -1, .apps_fd = -1, .loaders_fd = -1, .programs_fd = -1, .lock_fd = -1};
	while (sound && state_next(&carry->reader, &kind, &record)) {
		if (kind == STATE_RECORD_SPAWNER)
			sound = read_spawner(carry, record, types);
		else if (kind == STATE_RECORD_GENERATION)
			sound = read_generation(carry, record, types);
		else if (kind == STATE_RECORD_LISTENER)
			sound = read_listener(carry, record);
		else if (kind == STATE_RECORD_WORKER)
			sound = read_worker_only(carry, record);
	}
	if (sound && (carry->source.types == NULL || carry->generation_count == 0 ||
	              carry->generations[0]->listener_count != carry->listeners.count))
		sound = refuse(carry, "is not complete");
	return sound;
}

/* --- restoring ----------------------------------------------------------------------------- */

/* A time that was taken over has to be set for the loop. */
static void
timer_restore(struct loop *loop, struct timer *timer)
{
	uint64_t at_ms = timer->at_ms;

	timer->at_ms = 0;
	if (at_ms != 0)
		timer_set(loop, timer, at_ms > loop->now_ms ? at_ms - loop->now_ms : 1);
}

static bool
restore_worker(struct carry *carry, struct spawner *spawner, struct str record)
{
	struct worker_part part = {.app_id = 0};
	struct worker *worker = read_worker(carry, record, &part);

	if (worker == NULL)
		return false;
	int control_fd = worker->control.fd;
	if (!worker_restore(&spawner->workers, worker, find_app(carry, &part)))
		return refuse(carry, "has two processes in one place");
	bool unborn = part.is_forked && worker->record.pid == 0;
	if (!part.is_forked)
		launch_restore(worker);
	if (part.is_preloader || unborn)
		preloader_restore(worker, part.is_preloader, control_fd);
	else
		ready_restore(worker, control_fd);
	timer_restore(&spawner->loop, &worker->timer);
	timer_restore(&spawner->loop, &worker->probe);
	return true;
}

static bool
restore_app(struct carry *carry, struct spawner *spawner, struct str record)
{
	struct app_part part = {.id = SCOREBOARD_GROUPS};
	struct restart_watched seen = {.known = false};

	if (!state_take(&carry->reader, record, &carry_app_table, &part))
		return false;
	if (part.id >= SCOREBOARD_GROUPS)
		return refuse(carry, "has an application that makes no sense");
	spawner->workers.generations[part.id] = part.generation;
	if (!state_take(&carry->reader, record, &carry_attempts_table, &spawner->workers.attempts[part.id]) ||
	    !state_take(&carry->reader, record, &carry_maintenance_table, &spawner->workers.maintenance[part.id]) ||
	    !state_take(&carry->reader, record, &carry_root_table, &spawner->workers.roots[part.id]) ||
	    !state_take(&carry->reader, record, &carry_restart_table, &seen) ||
	    !state_take(&carry->reader, record, &carry_evidence_table, &spawner->evidence.records[part.id]))
		return false;
	if (seen.known)
		restart_files_restore(&spawner->restart_files, part.id, &seen);
	return true;
}

static bool
restore_slot(struct carry *carry, struct spawner *spawner, struct str record)
{
	struct slot_part part = {.slot = SCOREBOARD_PROCESSES};

	if (!state_take(&carry->reader, record, &carry_slot_table, &part))
		return false;
	if (part.slot < SCOREBOARD_PROCESSES)
		spawner->workers.slots[part.slot].rests_until_ms = part.rests_until_ms;
	return true;
}

static bool
restore_client(struct carry *carry, struct spawner *spawner, struct str record)
{
	struct control_client client = {.watch.fd = -1};

	if (!state_take(&carry->reader, record, &carry_client_table, &client))
		return false;
	if (client.watch.fd >= 0)
		control_server_add(&spawner->control, &client);
	return true;
}

/* The first is the one that serves: a new image's own comes after it, one that comes back goes on with it.  A second
 * one was finishing what it had already. */
static bool
restore_balancer(struct carry *carry, struct spawner *spawner, struct str record, size_t which, bool came_back)
{
	bool serves = which == 0 && came_back;
	struct supervisor *supervisor = serves ? &spawner->supervisor : &spawner->before;

	supervisor->channel.watch.fd = -1;
	if (which > 1 || supervisor->state != SUPERVISOR_IDLE)
		return refuse(carry, "has too many balancers");
	if (!state_take(&carry->reader, record, &carry_supervisor_table, supervisor))
		return false;
	supervisor->column %= SCOREBOARD_COLUMNS;
	uint64_t ends_ms = supervisor->check.at_ms;
	supervisor->check.at_ms = 0;
	if (!supervisor_restore(supervisor, serves ? SUPERVISOR_SERVING : SUPERVISOR_ENDING)) {
		log_warn("the balancer ended while passenger was replaced");
		supervisor->state = SUPERVISOR_IDLE;
	} else if (which == 1 && ends_ms != 0) {
		supervisor->check.at_ms = ends_ms;
		timer_restore(&spawner->loop, &supervisor->check);
	} else if (!serves) {
		supervisor_listen(supervisor, false);
	}
	return true;
}

bool
carry_restore_spawner(struct carry *carry, struct spawner *spawner)
{
	enum state_record kind;
	struct str record;

	state_rewind(&carry->reader);
	while (state_next(&carry->reader, &kind, &record))
		if (kind == STATE_RECORD_SPAWNER)
			return state_take(&carry->reader, record, &carry_spawner_table, spawner);
	return false;
}

bool
carry_restore(struct carry *carry, struct spawner *spawner, bool came_back)
{
	enum state_record kind;
	struct str record;
	size_t balancers = 0;
	bool done = true;

	state_rewind(&carry->reader);
	while (done && state_next(&carry->reader, &kind, &record)) {
		if (kind == STATE_RECORD_BALANCER)
			done = restore_balancer(carry, spawner, record, balancers++, came_back);
		else if (kind == STATE_RECORD_APP)
			done = restore_app(carry, spawner, record);
		else if (kind == STATE_RECORD_SLOT)
			done = restore_slot(carry, spawner, record);
		else if (kind == STATE_RECORD_WORKER)
			done = restore_worker(carry, spawner, record);
		else if (kind == STATE_RECORD_CONTROL_CLIENT)
			done = restore_client(carry, spawner, record);
	}
	return done;
}
