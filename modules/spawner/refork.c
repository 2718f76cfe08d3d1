#include "spawner/refork.h"

#include "base/log.h"
#include "spawner/restart.h"
#include "spawner/tell.h"
#include "worker/ladder.h"
#include "worker/preloader.h"

#include <stdio.h>
#include <sys/socket.h>

enum { DOUBLINGS_MAX = 30, LOOK_MS = 1000 };

/* What it is said to have answered is the balancer's word, which does no harm. */
static uint64_t
answered(const struct worker *worker)
{
	return atomic_load_explicit(&worker->table->board->processes[worker->record.slot].processed,
	                            memory_order_relaxed);
}

static bool
has_answered_enough(const struct worker *worker)
{
	uint64_t wanted = (uint64_t)worker->app->refork_after_requests;

	return worker->role == NULL && worker->preloader[0] != '\0' &&
	       worker->record.generation == worker->table->generations[worker->app->id] &&
	       answered(worker) >= wanted << (worker->reforks < DOUBLINGS_MAX ? worker->reforks : DOUBLINGS_MAX);
}

static void
look_at(struct spawner *spawner, const struct app_config *app)
{
	struct workers *workers = &spawner->workers;
	struct worker *warmest = NULL;

	if (app->refork_after_requests == 0 || !app->enabled ||
	    workers->chosen[app->id] > workers->generations[app->id] || workers_roll(workers, app->id) != ROLL_NONE ||
	    workers_of_app(workers, app->id, WORKER_RUNNING) < 2)
		return;
	list_each (&workers->states[WORKER_RUNNING], node) {
		struct worker *worker = container_of(node, struct worker, node);
		if (worker->app->id == app->id && has_answered_enough(worker) &&
		    (warmest == NULL || answered(worker) > answered(warmest)))
			warmest = worker;
	}
	if (warmest == NULL)
		return;
	log_notice("application %s: process %d has answered %llu requests and is to be the preloader", app->name,
	           warmest->child.pid, (unsigned long long)answered(warmest));
	workers->chosen[app->id] = workers->generations[app->id] + 1;
	worker_move(warmest, WORKER_CHOSEN);
	tell_of_worker(spawner, MESSAGE_DETACH, warmest, "");
}

void
refork_due(struct timer *timer)
{
	struct spawner *spawner = container_of(timer, struct spawner, refork);
	bool wanted = false;

	for (size_t i = 0; i < spawner->config->app_count && spawner->state == SPAWNER_SERVING; i++) {
		look_at(spawner, spawner->config->apps[i]);
		wanted = wanted || spawner->config->apps[i]->refork_after_requests > 0;
	}
	if (wanted && workers_count(&spawner->workers) > 0)
		timer_set(&spawner->loop, timer, LOOK_MS);
}

void
refork_watch(struct spawner *spawner, const struct worker *worker)
{
	if (worker->app->refork_after_requests > 0 && !timer_is_set(&spawner->refork))
		timer_set(&spawner->loop, &spawner->refork, LOOK_MS);
}

bool
refork_turn(struct worker *worker)
{
	static const char command[] = "PRELOAD\n";
	const ssize_t len = sizeof(command) - 1;

	if (worker->state != WORKER_CHOSEN || worker->control.ready == NULL ||
	    send(worker->control.fd, command, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL) != len)
		return false;
	worker_move(worker, WORKER_BECOMING);
	timer_set(worker->table->loop, &worker->timer, worker->app->drain_timeout_ms);
	return true;
}

void
refork_done(struct worker *worker)
{
	struct spawner *spawner = worker->table->owner;
	const struct app_config *app = config_app_by_id(spawner->config, worker->app->id);
	char why[96];

	/* a restart or a reload may have overtaken it */
	if (app == NULL || spawner->state != SPAWNER_SERVING ||
	    worker->record.generation != worker->table->generations[worker->app->id]) {
		ladder_retire(worker, worker->app->drain_timeout_ms, WORKER_TERM_MS);
		return;
	}
	str_format(why, sizeof(why), "process %d is warm and the preloader now; the others are replaced",
	           worker->child.pid);
	preloader_take(worker);
	restart_begin(spawner, app, RESTART_WARM, why);
}
