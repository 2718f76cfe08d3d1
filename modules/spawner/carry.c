#include "spawner/carry.h"

#include <stdlib.h>
#include <sys/mman.h>

struct saving {
	struct state_writer *writer;
	const struct config *generations[CARRY_GENERATIONS_MAX];
	size_t generation_count;
};

static void
save_one(struct state_writer *writer, enum state_record kind, const struct state_table *table, const void *base)
{
	state_begin(writer, kind);
	state_put(writer, table, base);
	state_end(writer);
}

static void
set_string(struct buf *buf, const char *text)
{
	if (text != NULL)
		buf_append(buf, text, strlen(text) + 1);
}

static void
save_spawner(struct spawner *spawner, struct state_writer *writer)
{
	const struct config_source *source = spawner->source;
	struct carry_source strings = {.path = {0}};

	set_string(&strings.path, source->path);
	set_string(&strings.app_dir, source->app_dir);
	set_string(&strings.instance_dir, source->instance_dir);
	for (size_t i = 0; i < source->listen_count; i++)
		set_string(&strings.listen, source->listen[i]);
	state_begin(writer, STATE_RECORD_SPAWNER);
	state_put(writer, &carry_spawner_table, spawner);
	state_put(writer, &carry_place_table, spawner->place);
	state_put(writer, &carry_source_table, &strings);
	state_end(writer);
	buf_free(&strings.path);
	buf_free(&strings.app_dir);
	buf_free(&strings.instance_dir);
	buf_free(&strings.listen);
}

/* The generation's index; each is written once. */
static uint32_t
save_generation(struct saving *saving, const struct config *config)
{
	struct buf text = {0};

	for (size_t i = 0; i < saving->generation_count; i++)
		if (saving->generations[i] == config)
			return (uint32_t)i;
	/* more reloads than this in one process's time: it goes on with the newest one's options */
	if (saving->generation_count == CARRY_GENERATIONS_MAX)
		return 0;
	config_write(config, &text);
	save_one(saving->writer, STATE_RECORD_GENERATION, &carry_text_table, &text);
	buf_free(&text);
	saving->generations[saving->generation_count++] = config;
	return (uint32_t)saving->generation_count - 1;
}

/* One that has messages waiting would miss them: it is worth nothing any more. */
static void
save_balancer(struct state_writer *writer, const struct supervisor *supervisor)
{
	if (supervisor->channel.queue.count == 0)
		save_one(writer, STATE_RECORD_BALANCER, &carry_supervisor_table, supervisor);
}

static void
save_apps(struct spawner *spawner, struct state_writer *writer)
{
	struct workers *workers = &spawner->workers;

	for (uint32_t id = 0; id < SCOREBOARD_GROUPS; id++) {
		const struct app_part part = {id, workers->generations[id]};
		if (part.generation == 0 && workers->attempts[id].total_failures == 0 &&
		    !spawner->restart_files.apps[id].known && spawner->evidence.records[id].unix_us == 0)
			continue;
		state_begin(writer, STATE_RECORD_APP);
		state_put(writer, &carry_app_table, &part);
		state_put(writer, &carry_attempts_table, &workers->attempts[id]);
		state_put(writer, &carry_maintenance_table, &workers->maintenance[id]);
		state_put(writer, &carry_root_table, &workers->roots[id]);
		state_put(writer, &carry_restart_table, &spawner->restart_files.apps[id]);
		state_put(writer, &carry_evidence_table, &spawner->evidence.records[id]);
		state_end(writer);
	}
	for (uint32_t i = 0; i < SCOREBOARD_PROCESSES; i++) {
		const struct slot_part part = {i, workers->slots[i].rests_until_ms};
		if (workers->slots[i].worker == NULL && part.rests_until_ms > spawner->loop.now_ms)
			save_one(writer, STATE_RECORD_SLOT, &carry_slot_table, &part);
	}
}

static void
save_worker(struct saving *saving, const struct worker *worker)
{
	const struct worker_part part = {
		.generation = save_generation(saving, worker->app->config),
		.app_id = worker->app->id,
		.is_preloader = worker->role != NULL,
		.is_forked = worker->role == NULL && worker->again == NULL,
	};

	state_begin(saving->writer, STATE_RECORD_WORKER);
	state_put(saving->writer, &carry_worker_part_table, &part);
	state_put(saving->writer, &carry_worker_table, worker);
	state_end(saving->writer);
}

bool
carry_save(struct spawner *spawner, struct state_writer *writer, struct image_load *load)
{
	struct saving saving = {.writer = writer};

	state_writer_free(writer);
	if (load->state_fd < 0)
		load->state_fd = memfd_create("passenger-state", MFD_CLOEXEC);
	if (load->state_fd < 0)
		return false;
	save_spawner(spawner, writer);
	(void)save_generation(&saving, spawner->config);
	for (size_t i = 0; i < spawner->listeners->count; i++)
		save_one(writer, STATE_RECORD_LISTENER, &carry_listener_table, &spawner->listeners->bound[i]);
	/* the one that serves first; one that is only just being started is the next image's to start anew */
	if (spawner->supervisor.state == SUPERVISOR_SERVING)
		save_balancer(writer, &spawner->supervisor);
	if (spawner->before.state != SUPERVISOR_IDLE)
		save_balancer(writer, &spawner->before);
	save_apps(spawner, writer);
	for (size_t state = 0; state < WORKER_STATE_N; state++)
		list_each (&spawner->workers.states[state], node)
			save_worker(&saving, container_of(node, struct worker, node));
	list_each (&spawner->control.clients, node)
		save_one(writer, STATE_RECORD_CONTROL_CLIENT, &carry_client_table,
		         container_of(node, struct control_client, node));
	if (!state_write(writer, load->state_fd))
		return false;
	load->fds = writer->fds;
	load->fd_count = writer->fd_count;
	return true;
}
