#include "spawner/spawner.h"

#include "base/log.h"
#include "spawner/ending.h"
#include "spawner/heed.h"
#include "spawner/reached.h"
#include "spawner/refork.h"
#include "spawner/reload.h"
#include "spawner/restart.h"
#include "spawner/tell.h"
#include "spawner/upgrade.h"
#include "spawner/verbs.h"
#include "system/socket.h"
#include "worker/ladder.h"
#include "worker/preloader.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* --- of the workers --------------------------------------------------------------------- */

static void
run_hook(const struct worker *worker, enum config_hook hook, const char *how)
{
	struct spawner *spawner = worker->table->owner;
	char pid[16];
	const struct hook_fact facts[] = {{"PASSENGER_PROCESS_PID", pid}, {"PASSENGER_PROCESS_END", how}};

	str_format(pid, sizeof(pid), "%d", worker->record.pid);
	hooks_run(&spawner->hooks, worker->app, hook, facts, how != NULL ? 2 : 1);
}

static void
worker_is_ready(struct worker *worker)
{
	struct spawner *spawner = worker->table->owner;

	tell_process(spawner, worker);
	refork_watch(spawner, worker);
	if (!timer_is_set(&spawner->sampling))
		timer_set(&spawner->loop, &spawner->sampling, spawner->config->analytics_collection_rate_ms);
}

static void
worker_is_warm(struct worker *worker)
{
	run_hook(worker, CONFIG_HOOK_ATTACHED_PROCESS, NULL);
}

static void
worker_has_failed(struct worker *worker, const struct failure *failure)
{
	struct spawner *spawner = worker->table->owner;
	struct attempts *attempts = &worker->table->attempts[worker->app->id];

	/* what a restart has overtaken says nothing of what is there now, and is no failure */
	if (worker->record.generation != worker->table->generations[worker->app->id]) {
		log_notice("application %s: a start was given up: %s", worker->app->name, failure->summary);
		tell_failure(spawner, worker->app, worker->has_slot ? worker : NULL, failure, 0);
		return;
	}
	/* of one preloader several were to come: one attempt, said once */
	if (attempts->last != NULL && strcmp(attempts->last->id, failure->id) == 0) {
		tell_failure(spawner, worker->app, NULL, failure, attempts_wait_ms(attempts, spawner->loop.now_ms));
		return;
	}
	attempts_failed(attempts, failure, spawner->loop.now_ms);
	uint64_t wait_ms = attempts_wait_ms(attempts, spawner->loop.now_ms);
	/* the first line of the details: at which step, and how it ended */
	log_error("application %s: a process could not be started (error %s): %s. %.*s The next try is possible in "
	          "%llu s",
	          worker->app->name, failure->id, failure->summary, (int)strcspn(failure->details, "\n"),
	          failure->details, (unsigned long long)(wait_ms + 999) / 1000);
	tell_failure(spawner, worker->app, worker->has_slot ? worker : NULL, failure, wait_ms);
	const struct hook_fact facts[] = {{"PASSENGER_ERROR_ID", failure->id},
	                                  {"PASSENGER_ERROR_MESSAGE", failure->summary}};
	hooks_run(&spawner->hooks, worker->app, CONFIG_HOOK_SPAWN_FAILED, facts, array_count(facts));
}

static void
worker_is_gone(struct worker *worker, const char *how)
{
	tell_of_worker(worker->table->owner, MESSAGE_PROCESS_GONE, worker, how);
	run_hook(worker, CONFIG_HOOK_DETACHED_PROCESS, how);
}

static void
worker_has_ended(struct workers *workers)
{
	struct spawner *spawner = workers->owner;

	ending_worker_gone(spawner);
}

static void
hooks_have_ended(struct hooks *hooks)
{
	ending_look(container_of(hooks, struct spawner, hooks));
}

static void
sampling_due(struct timer *timer)
{
	struct spawner *spawner = container_of(timer, struct spawner, sampling);

	if (workers_count(&spawner->workers) == 0)
		return;
	snapshot_sample_all(&spawner->workers);
	timer_set(&spawner->loop, timer, spawner->config->analytics_collection_rate_ms);
}

/* --- restart.txt ------------------------------------------------------------------------ */

static void
restart_file_touched(struct restart_files *files, const struct app_config *app, const char *name)
{
	struct spawner *spawner = container_of(files, struct spawner, restart_files);
	char why[64];

	str_format(why, sizeof(why), "restart, as %s was touched", name);
	if (spawner->state <= SPAWNER_SERVING)
		restart_begin(spawner, app, RESTART_ROLLING, why);
}

/* --- signals ------------------------------------------------------------ */

static void
signal_received(struct signals *signals, int number, int32_t sender_pid)
{
	struct spawner *spawner = signals->owner;
	char text[CONTROL_TEXT_BYTES], who[64];

	switch (number) {
	case SIGCHLD:
		children_reap(&spawner->children);
		break;
	case SIGTERM:
	case SIGINT:
	case SIGQUIT:
		str_format(who, sizeof(who), "SIG%s from pid %d",
		           number == SIGTERM  ? "TERM"
		           : number == SIGINT ? "INT"
		                              : "QUIT",
		           sender_pid);
		ending_stop(spawner, spawner->state >= SPAWNER_DRAINING, who);
		break;
	case SIGHUP:
		(void)reload_begin(spawner, text, sizeof(text));
		break;
	case SIGUSR2:
		if (!upgrade_begin(spawner, "", false, 0, text, sizeof(text)))
			log_error("upgrade: %s", text);
		break;
	case SIGUSR1:
		(void)verbs_reopen_logs(spawner, text, sizeof(text));
		break;
	default:
		break;
	}
}

/* --- the beginning ------------------------------------------------------------------------------ */

static const struct worker_events worker_events = {
	.ready = worker_is_ready,
	.warmed = worker_is_warm,
	.failed = worker_has_failed,
	.limit = reached_limit,
	.due = ladder_due,
	.reaped = reached_end,
	.gone = worker_is_gone,
	.preloads = refork_done,
	.ended = worker_has_ended,
};

static bool
say(const char *what)
{
	log_critical("%s: %s", what, strerror(errno));
	return false;
}

static void
fill_parts(struct spawner *spawner, const struct spawner_start *start)
{
	spawner->workers.loop = &spawner->loop;
	spawner->workers.children = &spawner->children;
	spawner->workers.board = spawner->board;
	spawner->workers.config = start->config;
	spawner->workers.apps_fd = start->place->apps_fd;
	spawner->workers.apps_dir = start->place->apps_dir;
	spawner->workers.programs_fd = start->place->programs_fd;
	spawner->workers.programs_dir = start->place->programs_dir;
	spawner->workers.loaders_dir = start->place->loaders_dir;
	spawner->workers.socket_uid = start->balancer_uid != geteuid() ? start->balancer_uid : SOCKET_KEEP_ID;
	spawner->workers.socket_gid = start->balancer_gid != getegid() ? start->balancer_gid : SOCKET_KEEP_ID;
	spawner->workers.descriptors_soft = start->descriptors_soft;
	spawner->workers.events = &worker_events;
	spawner->workers.cgroups = &spawner->cgroups;
	spawner->workers.owner = spawner;
	workers_init(&spawner->workers);
	spawner->supervisor.loop = &spawner->loop;
	spawner->supervisor.children = &spawner->children;
	spawner->supervisor.board = spawner->board;
	spawner->supervisor.uid = start->balancer_uid;
	spawner->supervisor.gid = start->balancer_gid;
	spawner->supervisor.events = &heed_events;
	spawner->supervisor.owner = spawner;
	supervisor_init(&spawner->supervisor);
	spawner->before = spawner->supervisor;
	supervisor_init(&spawner->before);
	upgrade_init(&spawner->upgrade);
	spawner->snapshot.workers = &spawner->workers;
	spawner->snapshot.supervisor = &spawner->supervisor;
	spawner->snapshot.before = &spawner->before;
	spawner->snapshot.listeners = start->listeners;
	spawner->snapshot.evidence = &spawner->evidence;
	spawner->evidence.board = spawner->board;
	spawner->evidence.answered = verbs_evidence;
	spawner->snapshot.instance_name = spawner->instance_name;
	spawner->snapshot.started_unix_us = clock_unix_us();
	spawner->control.events = &verbs_control_events;
	spawner->control.owner = spawner;
	spawner->restart_files.loop = &spawner->loop;
	spawner->restart_files.board = spawner->board;
	spawner->restart_files.touched = restart_file_touched;
	spawner->hooks.loop = &spawner->loop;
	spawner->hooks.children = &spawner->children;
	spawner->hooks.descriptors_soft = start->descriptors_soft;
	spawner->hooks.idle = hooks_have_ended;
	hooks_init(&spawner->hooks);
	spawner->sampling.due = sampling_due;
	spawner->strays.due = ending_strays_due;
	spawner->refork.due = refork_due;
}

static bool
write_instance(const struct spawner *spawner)
{
	struct instance instance = {.pid = (int32_t)getpid(), .started = spawner->snapshot.started_unix_us / 1000000};
	const struct config *config = spawner->config;

	str_cut_z(instance.name, sizeof(instance.name), str_from(spawner->instance_name));
	str_cut_z(instance.version, sizeof(instance.version), STR(PASSENGER_VERSION));
	str_cut_z(instance.config, sizeof(instance.config),
	          str_from(config->path != NULL    ? config->path
	                   : config->app_count > 0 ? config->apps[0]->root
	                                           : "-"));
	return instance_write(spawner->place->dir_fd, &instance) || say("instance.txt can not be written");
}

static bool
begin_loop(struct spawner *spawner)
{
	static const int numbers[] = {SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2};

	children_init(&spawner->children);
	spawner->signals.received = signal_received;
	spawner->signals.owner = spawner;
	if (!loop_init(&spawner->loop) ||
	    !signals_open(&spawner->signals, &spawner->loop, numbers, array_count(numbers)))
		return say("the event loop can not be made");
	if (!children_adopt())
		log_warn("orphans of applications go to process 1: %s", strerror(errno));
	return true;
}

/* What is made anew in every image. */
static bool
begin_common(struct spawner *spawner, const char *control_path)
{
	char error[LOG_FILES_ERROR_BYTES];

	/* one application's wrong log is no reason for the others not to run */
	if (!log_files_open_sinks(spawner->workers.sinks, spawner->config, error))
		log_error("%s; the output goes to the main log", error);
	evidence_open(&spawner->evidence, spawner->place->dir_fd, spawner->place->dir, spawner->config->evidence_dir);
	cgroups_update(&spawner->cgroups, spawner->config);
	spawner->config_fd = tell_config_fd(spawner->config);
	if (spawner->config_fd < 0)
		return say("the configuration can not be put into memory");
	if (!write_instance(spawner))
		return false;
	if (!control_server_open(&spawner->control, &spawner->loop, control_path, error, sizeof(error))) {
		log_critical("%s", error);
		return false;
	}
	restart_files_open(&spawner->restart_files, spawner->config);
	return true;
}

static bool
begin(struct spawner *spawner, const struct spawner_start *start)
{
	char error[LOG_FILES_ERROR_BYTES];

	spawner->board = scoreboard_create(&spawner->board_fd);
	if (spawner->board == NULL)
		return say("the scoreboard can not be made");
	fill_parts(spawner, start);
	if (!log_files_open(&spawner->logs, spawner->config, error)) {
		log_critical("%s", error);
		return false;
	}
	notify_open(&spawner->notify, &spawner->loop);
	if (!begin_common(spawner, spawner->place->control_path))
		return false;
	if (!supervisor_start(&spawner->supervisor))
		return say("no balancer can be started");
	return true;
}

/* In place of an earlier image: with all that it had. */
static bool
begin_again(struct spawner *spawner, const struct spawner_start *start)
{
	struct carry *carry = start->carry;

	fill_parts(spawner, start);
	if (!carry_restore_spawner(carry, spawner))
		return say(carry->reader.error);
	spawner->board = scoreboard_map(spawner->board_fd);
	if (spawner->board == NULL)
		return say("the scoreboard is not there");
	spawner->workers.board = spawner->supervisor.board = spawner->before.board = spawner->board;
	spawner->restart_files.board = spawner->board;
	spawner->evidence.board = spawner->board;
	spawner->restart_files.board = spawner->board;
	notify_restore(&spawner->notify, &spawner->loop);
	spawner->state = SPAWNER_SERVING;
	if (!begin_common(spawner, NULL))
		return false;
	if (!carry_restore(carry, spawner, start->arrival.back_fd < 0)) {
		log_critical("%s", carry->reader.error);
		return false;
	}
	if (!upgrade_arrive(spawner, &start->arrival))
		return say("no balancer can be started");
	for (size_t i = 0; i < spawner->config->app_count; i++)
		preloader_go_on(&spawner->workers, spawner->config->apps[i]->id);
	workers_go_on(&spawner->workers);
	if (spawner->before.state == SUPERVISOR_IDLE)
		upgrade_retire_unused(spawner);
	children_reap(&spawner->children);
	timer_set(&spawner->loop, &spawner->sampling, spawner->config->analytics_collection_rate_ms);
	timer_set(&spawner->loop, &spawner->strays, 1);
	timer_set(&spawner->loop, &spawner->refork, 1);
	return true;
}

static void
run(struct spawner *spawner)
{
	while (!spawner->loop.stopped) {
		loop_turn(&spawner->loop, -1);
		upgrade_turn_ends(spawner);
	}
}

int
spawner_run(const struct spawner_start *start)
{
	struct spawner *spawner = calloc(1, sizeof(*spawner));

	if (spawner == NULL)
		abort();
	spawner->board_fd = spawner->config_fd = spawner->evidence.dir_fd = -1;
	spawner->logs = (struct log_files){.access_fd = -1, .slow_fd = -1};
	spawner->notify.fd = -1;
	spawner->config = start->config;
	config_retain(spawner->config);
	spawner->source = start->source;
	spawner->place = start->place;
	spawner->listeners = start->listeners;
	str_cut_z(spawner->instance_name, sizeof(spawner->instance_name), str_from(start->instance_name));
	bool begun = begin_loop(spawner) && (start->carry != NULL ? begin_again(spawner, start) : begin(spawner, start));
	if (begun)
		run(spawner);
	else
		image_fall_back(IMAGE_GAVE_UP);
	image_release();
	ending_finish(spawner);
	loop_free(&spawner->loop);
	config_release(spawner->config);
	free(spawner);
	return begun ? 0 : 1;
}
