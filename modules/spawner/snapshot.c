#include "spawner/snapshot.h"

#include "config/app_type.h"
#include "handover/snapshot.h"
#include "worker/identity.h"
#include "worker/preloader.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* A figure of the scoreboard that is beyond this is nonsense: whoever writes there may be anybody. */
#define FIGURE_MAX ((uint64_t)1 << 60)
enum { COUNT_MAX = 1000000, METRICS_FRESH_MS = 1000, HUNG_MS = 3000 };

/* --- figures -------------------------------------------------------------------------- */

static uint64_t
figure(const _Atomic uint64_t *from)
{
	uint64_t value = atomic_load_explicit(from, memory_order_relaxed);

	return value < FIGURE_MAX ? value : FIGURE_MAX;
}

static uint32_t
small_figure(const _Atomic uint32_t *from)
{
	uint32_t value = atomic_load_explicit(from, memory_order_relaxed);

	return value < COUNT_MAX ? value : COUNT_MAX;
}

static uint64_t
age_ms(uint64_t then_ms, uint64_t now_ms)
{
	return then_ms < now_ms ? now_ms - then_ms : 0;
}

static void
sample_cpu(struct worker *worker, uint64_t now_ms)
{
	struct worker_metrics *metrics = &worker->metrics;
	struct procfs_stat stat;

	if (!procfs_stat(worker->record.pid, &stat))
		return;
	uint64_t passed_ms = now_ms - metrics->cpu_at_ms;
	uint64_t since_ms = metrics->cpu_at_ms == 0 ? age_ms(worker->launched_ms, now_ms) : passed_ms;
	if (since_ms > 0 && stat.cpu_ticks >= metrics->cpu_ticks)
		metrics->cpu_permille =
			(stat.cpu_ticks - metrics->cpu_ticks) * 1000000 / getauxval(AT_CLKTCK) / since_ms;
	metrics->cpu_ticks = stat.cpu_ticks;
	metrics->cpu_at_ms = now_ms;
	metrics->threads = stat.threads;
	metrics->vsize_kb = stat.vsize_kb;
	metrics->resident_kb = stat.rss_kb;
	metrics->state = stat.state;
	if (metrics->memory_at_ms == 0)
		metrics->memory.rss = stat.rss_kb;
}

void
snapshot_sample_cpu(struct workers *workers, uint64_t older_than_ms)
{
	uint64_t now_ms = clock_monotonic_ms();

	for (size_t state = WORKER_RUNNING; state < WORKER_STATE_N; state++) {
		list_each (&workers->states[state], node) {
			struct worker *worker = container_of(node, struct worker, node);
			if (worker->has_slot && age_ms(worker->metrics.cpu_at_ms, now_ms) >= older_than_ms)
				sample_cpu(worker, now_ms);
		}
	}
}

static void
sample_memory(struct worker *worker, uint64_t now_ms)
{
	struct worker_metrics *metrics = &worker->metrics;

	metrics->memory_at_ms = now_ms;
	metrics->descriptors = procfs_descriptors(worker->record.pid);
	if (!procfs_memory(worker->record.pid, &metrics->memory)) {
		struct procfs_stat stat;
		if (procfs_stat(worker->record.pid, &stat))
			metrics->memory.rss = metrics->memory.pss = stat.rss_kb;
	}
}

/* What was read longest ago first, until the time is over. */
static void
sample_memories(struct workers *workers, const struct snapshot_view *view, uint64_t until_ms)
{
	uint64_t now_ms = clock_monotonic_ms();

	while (now_ms < until_ms) {
		struct worker *oldest = NULL;
		for (size_t state = WORKER_RUNNING; state < WORKER_STATE_N; state++) {
			list_each (&workers->states[state], node) {
				struct worker *worker = container_of(node, struct worker, node);
				if (worker->has_slot && (view->everything || worker->app->uid == view->uid) &&
				    (oldest == NULL || worker->metrics.memory_at_ms < oldest->metrics.memory_at_ms))
					oldest = worker;
			}
		}
		if (oldest == NULL || (oldest->metrics.memory_at_ms != 0 &&
		                       age_ms(oldest->metrics.memory_at_ms, now_ms) < METRICS_FRESH_MS))
			return;
		sample_memory(oldest, now_ms);
		now_ms = clock_monotonic_ms();
	}
}

static uint64_t
pss_of(int32_t pid)
{
	struct procfs_memory memory;
	struct procfs_stat stat;

	if (procfs_memory(pid, &memory))
		return memory.pss;
	/* one that can not be dumped shows only this to who is not root */
	return procfs_stat(pid, &stat) ? stat.rss_kb : 0;
}

static void
sample_ourselves(struct snapshot_source *source, uint64_t now_ms)
{
	if (source->own_memory_at_ms != 0 && age_ms(source->own_memory_at_ms, now_ms) < METRICS_FRESH_MS)
		return;
	source->own_memory_at_ms = now_ms;
	source->own_pss_kb = pss_of((int32_t)getpid());
	source->balancer_pss_kb = source->supervisor->child.pid != 0 ? pss_of(source->supervisor->child.pid) : 0;
}

/* --- the three structs ------------------------------------------------------------------ */

/* Requests of applications that have no process, and none on its way: they wait until another application's goes. */
static uint32_t
waiting_for_room(const struct snapshot_source *source)
{
	const struct config *config = source->workers->config;
	uint32_t count = 0;
	for (size_t i = 0; i < config->app_count; i++) {
		uint32_t id = config->apps[i]->id;
		uint32_t queued = small_figure(&source->supervisor->board->groups[id].queued);
		if (queued > 0 && workers_of_app(source->workers, id, WORKER_RUNNING) == 0 &&
		    workers_of_app(source->workers, id, WORKER_STARTING) == 0 &&
		    attempts_wait_ms(&source->workers->attempts[id], source->workers->loop->now_ms) == 0)
			count += queued;
	}
	return count;
}

static void
fill_head(struct snapshot_source *source, const struct snapshot_view *view, struct snapshot_head *head)
{
	const struct supervisor *supervisor = source->supervisor;
	const struct config *config = source->workers->config;
	struct scoreboard *board = supervisor->board;

	memset(head, 0, sizeof(*head));
	head->magic = SNAPSHOT_MAGIC;
	head->version = SNAPSHOT_VERSION;
	head->upgrade = source->upgrade;
	head->upgrade_unix_us = source->upgrade_unix_us;
	memcpy(head->upgrade_text, source->upgrade_text, sizeof(head->upgrade_text));
	head->handing_over_pid = source->before->child.pid;
	head->max_pool_size = (uint32_t)config->max_pool_size;
	head->top_level_queue = waiting_for_room(source);
	head->clients = small_figure(&board->clients);
	head->beat_age_ms = supervisor_beat_age_ms(supervisor);
	head->balancer_state = supervisor->state != SUPERVISOR_SERVING && supervisor->state != SUPERVISOR_ENDING ? 1
	                       : head->beat_age_ms >= HUNG_MS                                                    ? 2
	                                                                                                         : 0;
	head->balancer_starts = atomic_load(&board->balancer_starts);
	head->spawner_pid = (int32_t)getpid();
	head->balancer_pid = supervisor->child.pid;
	head->verbose = view->verbose;
	head->requests = figure(&board->requests);
	head->connections = figure(&board->connections);
	head->now_ms = clock_monotonic_ms();
	head->now_unix_us = clock_unix_us();
	head->started_unix_us = source->started_unix_us;
	sample_ourselves(source, head->now_ms);
	head->spawner_pss_kb = source->own_pss_kb;
	head->balancer_pss_kb = source->balancer_pss_kb;
	str_cut_z(head->passenger_version, sizeof(head->passenger_version), STR(PASSENGER_VERSION));
	str_cut_z(head->instance_name, sizeof(head->instance_name), str_from(source->instance_name));
	listeners_text(source->listeners, head->listeners, sizeof(head->listeners));
}

static uint32_t
state_of(const struct scoreboard_process *board, const struct worker *worker)
{
	uint32_t state = atomic_load(&board->state);

	if (atomic_load(&board->serial) != worker->record.serial || state == SCOREBOARD_FREE ||
	    state >= SCOREBOARD_STATE_N)
		/* the balancer has not taken note of it yet */
		return worker_is_cold(worker) ? SCOREBOARD_WARMING : SCOREBOARD_ENABLED;
	return state;
}

static bool
is_in_rotation(const struct snapshot_source *source, const struct worker *worker)
{
	const struct scoreboard_process *board = &source->supervisor->board->processes[worker->record.slot];

	return worker->state == WORKER_RUNNING && !worker->record.cold && state_of(board, worker) != SCOREBOARD_DETACHED;
}

/* "NAME" as the original shows a group. */
static void
fill_group_text(struct snapshot_group *group, const struct app_config *app)
{
	str_cut_z(group->name, sizeof(group->name), str_from(app->app_group_name));
	str_cut_z(group->app_name, sizeof(group->app_name), str_from(app->name));
	str_cut_z(group->root, sizeof(group->root), str_from(app->root));
	str_cut_z(group->type, sizeof(group->type), str_from(app->type->name));
	str_cut_z(group->environment, sizeof(group->environment), str_from(app->app_env));
	str_cut_z(group->host, sizeof(group->host), str_from(app->host));
	str_cut_z(group->base_uri, sizeof(group->base_uri), str_from(app->base_uri));
	identity_user_name(app->uid, group->user, sizeof(group->user));
	identity_group_name(app->gid, group->group, sizeof(group->group));
}

static void
fill_group(const struct snapshot_source *source, const struct app_config *app, uint64_t now_ms,
           struct snapshot_group *group)
{
	struct scoreboard_group *board = &source->supervisor->board->groups[app->id];
	const struct attempts *attempts = &source->workers->attempts[app->id];

	memset(group, 0, sizeof(*group));
	fill_group_text(group, app);
	group->app_id = app->id;
	group->queued = small_figure(&board->queued);
	group->preloader_pid = preloader_pid(source->workers, app->id);
	group->spawning = workers_of_app(source->workers, app->id, WORKER_STARTING);
	group->min_instances = (uint32_t)app->min_instances;
	group->max_instances = (uint32_t)app->max_instances;
	uint32_t all = (uint32_t)app->config->max_instances_per_app;
	if (all > 0 && (group->max_instances == 0 || all < group->max_instances))
		group->max_instances = all;
	group->roll = workers_roll(source->workers, app->id);
	const struct roll_progress progress = workers_roll_progress(source->workers, app->id);
	group->roll_replaced = progress.replaced;
	group->roll_of = progress.of;
	group->maintenance = source->workers->maintenance[app->id].len > 0;
	group->generation = source->workers->generations[app->id];
	group->protocol = app->type->protocol;
	group->uid = app->uid;
	group->gid = app->gid;
	uint64_t oldest_ms = figure(&board->oldest_queued_ms);
	group->oldest_queued_ms = oldest_ms != 0 ? age_ms(oldest_ms, now_ms) : 0;
	group->requests = figure(&board->requests);
	group->queue_full = figure(&board->queue_full);
	group->spawn_failures = attempts->total_failures;
	group->backoff_ms = attempts_wait_ms(attempts, now_ms);
	for (size_t i = 0; i < array_count(group->status_class); i++)
		group->status_class[i] = figure(&board->status_class[i]);
	for (size_t i = 0; i < SCOREBOARD_HISTOGRAM; i++) {
		group->response_histogram[i] = figure(&board->response_histogram[i]);
		group->queue_histogram[i] = figure(&board->queue_histogram[i]);
	}
	const struct evidence_record *record = &source->evidence->records[app->id];
	memcpy(group->limits, record->reached, sizeof(group->limits));
	group->evidence_unix_us = record->unix_us;
	str_cut_z(group->cgroup, sizeof(group->cgroup), str_from(source->workers->cgroups->apps[app->id].text));
	str_cut_z(group->evidence, sizeof(group->evidence), str_from(record->path));
	if (attempts->last != NULL) {
		str_cut_z(group->failure_id, sizeof(group->failure_id), str_from(attempts->last->id));
		str_cut_z(group->failure, sizeof(group->failure), str_from(attempts->last->summary));
		group->failure_unix_us = attempts->last->unix_us;
	}
}

static void
fill_board_figures(const struct scoreboard_process *board, uint64_t now_ms, struct snapshot_process *process)
{
	process->sessions = small_figure(&board->sessions[0]) + small_figure(&board->sessions[1]);
	process->processed = figure(&board->processed);
	process->direct = figure(&board->direct);
	process->refused = figure(&board->refused);
	process->errors = figure(&board->errors);
	process->bytes_in = figure(&board->bytes_in);
	process->bytes_out = figure(&board->bytes_out);
	uint64_t used_ms = figure(&board->last_used_ms);
	if (used_ms != 0)
		process->last_used_ms = age_ms(used_ms, now_ms);
	for (size_t i = 0; i < SCOREBOARD_REQUESTS; i++) {
		struct scoreboard_request *copy = &process->requests[i];
		if (!scoreboard_read_request(&board->requests[i], copy)) {
			memset((void *)copy, 0, sizeof(*copy));
			continue;
		}
		/* an age of 0 would mean that there is none */
		uint64_t age = age_ms(copy->since_ms, now_ms);
		copy->since_ms = age > 0 ? age : 1;
	}
}

static void
fill_secrets(const struct worker *worker, struct snapshot_process *process)
{
	const struct message_process *record = &worker->record;

	struct sockaddr_in door = {.sin_family = AF_INET};
	socklen_t len = sizeof(door);
	const uint8_t *ip = (const uint8_t *)&door.sin_addr;

	/* what it was opened with, whatever a reload has brought since */
	if (getsockname(worker->door_fd, (struct sockaddr *)&door, &len) == 0)
		str_format(process->door_ip, sizeof(process->door_ip), "%u.%u.%u.%u", ip[0], ip[1], ip[2], ip[3]);
	process->door_port = record->door_port;
	str_cut_z(process->password, sizeof(process->password), str_from(record->password));
	if (record->port != 0)
		str_format(process->address, sizeof(process->address), "http://127.0.0.1:%u", record->port);
	else
		str_format(process->address, sizeof(process->address), "unix:%s", record->socket_path);
	capture_last(&worker->capture, process->last_output, sizeof(process->last_output));
}

static void
fill_process(const struct snapshot_source *source, const struct snapshot_view *view, const struct worker *worker,
             uint64_t now_ms, struct snapshot_process *process)
{
	const struct scoreboard_process *board = &source->supervisor->board->processes[worker->record.slot];
	const struct worker_metrics *metrics = &worker->metrics;

	memset((void *)process, 0, sizeof(*process));
	process->app_id = worker->app->id;
	process->pid = worker->record.pid;
	process->slot = worker->record.slot;
	process->state = state_of(board, worker);
	process->concurrency = (uint32_t)worker->record.concurrency;
	process->retiring = worker_is_leaving(worker);
	process->protocol = worker->record.protocol;
	process->generation = worker->record.generation;
	process->uptime_ms = process->last_used_ms = age_ms(worker->record.started_ms, now_ms);
	if (atomic_load(&board->serial) == worker->record.serial)
		fill_board_figures(board, now_ms, process);
	process->has_metrics = metrics->cpu_at_ms != 0;
	process->threads = metrics->threads;
	process->descriptors = metrics->descriptors;
	process->cpu_permille = metrics->cpu_permille;
	process->pss_kb = metrics->memory.pss != 0 ? metrics->memory.pss : metrics->memory.rss;
	process->rss_kb = metrics->memory.rss;
	process->private_dirty_kb = metrics->memory.private_dirty;
	process->swap_kb = metrics->memory.swap;
	process->vmsize_kb = metrics->vsize_kb;
	process->spawn_start_unix_us = worker->spawn_start_unix_us;
	process->spawn_end_unix_us = worker->spawn_end_unix_us;
	str_cut_z(process->gupid, sizeof(process->gupid), str_from(worker->record.gupid));
	procfs_command(worker->record.pid, process->command, sizeof(process->command));
	str_cut_z(process->user, sizeof(process->user), str_from(worker->user));
	if (view->verbose)
		fill_secrets(worker, process);
}

/* --- for the limits ------------------------------------------------------------------------ */

/* What is measured is costly only for a large process, and then worth it. */
static void
publish(struct worker *worker, uint64_t now_ms)
{
	struct scoreboard_process *board = &worker->table->board->processes[worker->record.slot];
	struct worker_metrics *metrics = &worker->metrics;
	const struct app_config *app = worker->app;
	uint64_t limit =
		app->memory_limit != 0 && (app->hard_memory_limit == 0 || app->memory_limit < app->hard_memory_limit)
			? app->memory_limit
			: app->hard_memory_limit;
	struct procfs_memory memory;

	uint64_t kb = limit > 0 ? metrics->resident_kb + procfs_swap_kb(worker->record.pid) : 0;
	/* shared memory counts by its share only: that is at most as much */
	if (limit > 0 && kb >= limit / 1024 && procfs_memory(worker->record.pid, &memory)) {
		metrics->memory = memory;
		metrics->memory_at_ms = now_ms;
		kb = memory.pss + memory.swap;
	}
	atomic_store_explicit(&board->memory_kb, kb, memory_order_relaxed);
	atomic_store_explicit(&board->cpu_ms, metrics->cpu_ticks * 1000 / getauxval(AT_CLKTCK), memory_order_relaxed);
	atomic_store_explicit(&board->stopped, metrics->state == 'T', memory_order_relaxed);
	atomic_store_explicit(&board->sampled_ms, now_ms, memory_order_release);
}

void
snapshot_sample_all(struct workers *workers)
{
	uint64_t now_ms = clock_monotonic_ms();

	snapshot_sample_cpu(workers, 1);
	for (size_t state = WORKER_RUNNING; state < WORKER_STATE_N; state++) {
		list_each (&workers->states[state], node) {
			struct worker *worker = container_of(node, struct worker, node);
			if (worker->has_slot && worker->metrics.cpu_at_ms != 0)
				publish(worker, now_ms);
		}
	}
}

/* --- all of it ---------------------------------------------------------------------------- */

static int
by_birth(const void *a, const void *b)
{
	const struct worker *const *first = a, *const *second = b;
	uint64_t one = (*first)->record.serial, other = (*second)->record.serial;

	return one < other ? -1 : one > other ? 1 : 0;
}

/* Those that have a slot, oldest first. */
static struct worker **
workers_in_order(struct workers *workers, size_t *count)
{
	struct worker **all = calloc(workers_count(workers) + 1, sizeof(struct worker *));

	if (all == NULL)
		abort();
	*count = 0;
	for (size_t state = WORKER_RUNNING; state < WORKER_STATE_N; state++) {
		list_each (&workers->states[state], node) {
			struct worker *worker = container_of(node, struct worker, node);
			if (worker->has_slot)
				all[(*count)++] = worker;
		}
	}
	qsort((void *)all, *count, sizeof(*all), by_birth);
	return all;
}

static void
build(struct snapshot_source *source, const struct snapshot_view *view, struct buf *out)
{
	const struct config *config = source->workers->config;
	struct buf processes = {0};
	struct snapshot_head head;
	struct snapshot_group group;
	struct snapshot_process process;
	size_t count;

	struct worker **all = workers_in_order(source->workers, &count);
	fill_head(source, view, &head);
	buf_append(out, &head, sizeof(head));
	for (size_t i = 0; i < config->app_count; i++) {
		const struct app_config *app = config->apps[i];
		if (!app->enabled)
			continue;
		bool visible = view->everything || app->uid == view->uid;
		head.total_groups++;
		if (visible)
			fill_group(source, app, head.now_ms, &group);
		for (size_t j = 0; j < count; j++) {
			if (all[j]->app->id != app->id)
				continue;
			bool in_rotation = is_in_rotation(source, all[j]);
			head.total_processes += in_rotation ? 1 : 0;
			if (!visible)
				continue;
			group.enabled_count += in_rotation ? 1 : 0;
			group.detached_count += in_rotation ? 0 : 1;
			fill_process(source, view, all[j], head.now_ms, &process);
			buf_append(&processes, &process, sizeof(process));
			head.process_count++;
		}
		if (visible) {
			buf_append(out, &group, sizeof(group));
			head.group_count++;
		}
	}
	free((void *)all);
	memcpy(out->data, &head, sizeof(head));
	buf_append_str(out, buf_str(&processes));
	explicit_bzero(&process, sizeof(process));
	if (processes.len > 0)
		explicit_bzero(processes.data, processes.len);
	buf_free(&processes);
}

int
snapshot_take(struct snapshot_source *source, const struct snapshot_view *view, uint64_t *bytes)
{
	struct buf out = {0};

	snapshot_sample_cpu(source->workers, SNAPSHOT_CPU_FRESH_MS);
	sample_memories(source->workers, view, clock_monotonic_ms() + SNAPSHOT_BUDGET_MS);
	build(source, view, &out);
	int fd = memfd_create("passenger-status", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	bool done = fd >= 0 && write(fd, out.data, out.len) == (ssize_t)out.len &&
	            fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0;
	int saved = errno;
	*bytes = out.len;
	explicit_bzero(out.data, out.len);
	buf_free(&out);
	if (!done && fd >= 0) {
		close(fd);
		fd = -1;
	}
	errno = saved;
	return fd;
}
