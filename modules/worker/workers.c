/*
 * The table of all workers: who is in it.  (Contracts: worker.h.)
 */
#include "worker/worker.h"

#include "worker/identity.h"
#include "worker/ladder.h"

#include <limits.h>
#include <signal.h>
#include <stdlib.h>

void
workers_init(struct workers *workers)
{
	for (size_t i = 0; i < WORKER_STATE_N; i++)
		list_init(&workers->states[i]);
	for (size_t i = 0; i < SCOREBOARD_GROUPS; i++)
		workers->sinks[i].fd = -1;
	workers->next_serial = 1;
}

uint32_t
workers_count(const struct workers *workers)
{
	uint32_t count = 0;

	for (size_t i = 0; i < WORKER_STATE_N; i++)
		count += workers->states[i].count;
	return count;
}

bool
workers_give_evidence(const struct workers *workers)
{
	for (size_t state = 0; state < WORKER_STATE_N; state++)
		list_each (&workers->states[state], node)
			if (container_of(node, struct worker, node)->evidence != NULL)
				return true;
	return false;
}

const char *
workers_root(struct workers *workers, const struct app_config *app)
{
	struct buf *root = &workers->roots[app->id];
	char real[PATH_MAX];

	identity_see_as(app->uid, app->gid);
	/* a release that was cleared away is of no use to anybody */
	bool there = (root->len > 0 && realpath(root->data, real) != NULL) || realpath(app->root, real) != NULL;
	identity_see_as(0, 0);
	if (!there)
		return app->root;
	buf_free(root);
	buf_append(root, real, strlen(real) + 1);
	return root->data;
}

uint32_t
workers_of_app(const struct workers *workers, uint32_t app_id, enum worker_state state)
{
	uint32_t count = 0;

	list_each (&workers->states[state], node)
		if (container_of(node, struct worker, node)->app->id == app_id &&
		    container_of(node, struct worker, node)->role == NULL)
			count++;
	return count;
}

enum group_roll
workers_roll(const struct workers *workers, uint32_t app_id)
{
	const struct scoreboard_group *board = &workers->board->groups[app_id];
	uint32_t generation = atomic_load_explicit(&board->generation, memory_order_acquire);
	uint32_t roll = atomic_load_explicit(&board->roll, memory_order_relaxed);

	/* it has not taken note of it yet */
	if (generation != workers->generations[app_id])
		return ROLL_RUNNING;
	return roll < ROLL_N ? (enum group_roll)roll : ROLL_NONE;
}

struct worker *
workers_by_serial(const struct workers *workers, uint32_t slot, uint64_t serial)
{
	struct worker *worker = slot < SCOREBOARD_PROCESSES ? workers->slots[slot].worker : NULL;

	return worker != NULL && worker->record.serial == serial ? worker : NULL;
}

struct worker *
workers_by_pid(const struct workers *workers, int32_t pid)
{
	for (size_t state = WORKER_RUNNING; state < WORKER_STATE_N; state++) {
		list_each (&workers->states[state], node) {
			struct worker *worker = container_of(node, struct worker, node);
			if (worker->has_slot && worker->child.pid == pid)
				return worker;
		}
	}
	return NULL;
}

struct roll_progress
workers_roll_progress(const struct workers *workers, uint32_t app_id)
{
	const struct scoreboard_group *board = &workers->board->groups[app_id];
	uint32_t old = 0, of = atomic_load_explicit(&board->roll_size, memory_order_relaxed);

	list_each (&workers->states[WORKER_RUNNING], node) {
		const struct worker *worker = container_of(node, struct worker, node);
		old += worker->app->id == app_id && worker->has_slot &&
		       worker->record.generation < workers->generations[app_id] &&
		       atomic_load_explicit(&workers->board->processes[worker->record.slot].ends_ms,
		                            memory_order_relaxed) == 0;
	}
	if (of > SCOREBOARD_PROCESSES || of < old)
		of = old;
	return (struct roll_progress){of - old, of};
}

void
workers_go_on(struct workers *workers)
{
	const struct child_end end = {.by_signal = true, .number = SIGKILL};

	for (size_t state = 0; state < WORKER_STATE_N; state++) {
		list_each (&workers->states[state], node) {
			struct worker *worker = container_of(node, struct worker, node);
			bool begun = worker->record.pid != 0;
			if (begun && worker->child.pid == 0)
				worker->child.ended(&worker->child, &end);
			else if (begun && state == WORKER_CONDEMNED)
				ladder_kill(worker, "it had reached a limit before passenger was replaced");
			else if (begun && state == WORKER_STARTING && !timer_is_set(&worker->timer))
				timer_set(workers->loop, &worker->timer, 1); /* it was over already */
		}
	}
}
