#include "pool/pool.h"

#include <stdlib.h>

static void pool_reap(struct timer *timer);
static void pool_aside_due(struct timer *timer);

void
pool_init(struct pool *pool, struct loop *loop, struct scoreboard *scoreboard, const struct pool_hooks *hooks)
{
	*pool = (struct pool){.loop = loop, .scoreboard = scoreboard, .shared = scoreboard, .hooks = *hooks};
	list_init(&pool->groups);
	list_init(&pool->starved);
	pool->reaper.due = pool_reap;
	pool->aside.due = pool_aside_due;
	pool->limits.due = limits_due;
}

struct group *
pool_group(struct pool *pool, uint32_t app_id)
{
	return app_id < SCOREBOARD_GROUPS ? pool->by_app[app_id] : NULL;
}

/* ---- groups ---- */

/* Nobody is left who could serve them. */
void
group_fail_queue(struct group *group, enum session_event event)
{
	uint32_t left = group_waiting(group);
	struct list_node *node;
	while (left-- > 0 &&
	       ((node = list_first(&group->unlimited)) != NULL || (node = list_first(&group->queue)) != NULL)) {
		struct session *session = container_of(node, struct session, node);
		session_end(session);
		session->event(session, event);
	}
}

void
group_pumped(struct soon *soon)
{
	struct group *group = container_of(soon, struct group, pump);
	struct list_node *node;
	while (group->heap_count > 0 && (node = list_first(&group->unlimited)) != NULL)
		session_serve(group->heap[0], container_of(node, struct session, node));
	while (group->queue.count > 0 && group->heap_count > 0 && process_serve(group->heap[0]))
		continue;
	/* No process will come any more. */
	if (group->pool->state == POOL_DRAINING && group->heap_count == 0)
		group_fail_queue(group, SESSION_STOPPED);
	if (group->pool->state == POOL_SERVING) {
		if (group->roll != ROLL_NONE)
			group_roll_on(group);
		group_shrink(group);
	}
	group_oob_on(group);
	pool_consider(group->pool, group);
}

void
group_backoff_over(struct timer *timer)
{
	struct group *group = container_of(timer, struct group, backoff);
	pool_consider(group->pool, group);
}

void
pool_begin(struct pool *pool)
{
	pool->state = POOL_SERVING;
	list_each (&pool->groups, node) {
		group_touch(container_of(node, struct group, node));
	}
	pool_reap_later(pool);
	timer_set(pool->loop, &pool->limits, LIMITS_MS);
}

static void
process_free(struct process *process)
{
	struct pool *pool = process->group->pool;
	pool->by_slot[process->record.slot] = NULL;
	group_heap_remove(process);
	list_remove(&process->node);
	list_remove(&process->oob);
	loop_soon_cancel(&process->pump);
	timer_cancel(pool->loop, &process->drain);
	timer_cancel(pool->loop, &process->ask_again);
	pool->process_count--;
}

void
pool_free(struct pool *pool)
{
	struct list_node *node;
	while ((node = list_take_first(&pool->groups)) != NULL) {
		struct group *group = container_of(node, struct group, node);
		for (int state = 0; state < PROCESS_STATE_N; state++) {
			struct list_node *member;
			while ((member = list_first(&group->processes[state])) != NULL) {
				struct process *process = container_of(member, struct process, node);
				process_free(process);
				free(process);
			}
		}
		timer_cancel(pool->loop, &group->backoff);
		timer_cancel(pool->loop, &group->closing);
		loop_soon_cancel(&group->pump);
		list_remove(&group->starved);
		config_release(group->app->config);
		group_bury(&group->grave);
	}
	timer_cancel(pool->loop, &pool->reaper);
	timer_cancel(pool->loop, &pool->aside);
	timer_cancel(pool->loop, &pool->limits);
}

/* ---- beside another balancer ---- */

static void
pool_each_process(struct pool *pool, void (*visit)(struct process *process))
{
	list_each (&pool->groups, node) {
		struct group *group = container_of(node, struct group, node);
		for (int state = 0; state < PROCESS_STATE_N; state++)
			list_each (&group->processes[state], member)
				visit(container_of(member, struct process, node));
	}
}

/* Nobody tells when it gives a place back: it is asked for often, for as long as there are two. */
static void
pool_aside_due(struct timer *timer)
{
	struct pool *pool = container_of(timer, struct pool, aside);
	pool_each_process(pool, process_look_aside);
	timer_set(pool->loop, timer, POOL_ASIDE_MS);
}

void
pool_accompany(struct pool *pool, bool accompanied)
{
	if (accompanied) {
		timer_set(pool->loop, &pool->aside, POOL_ASIDE_MS);
		return;
	}
	timer_cancel(pool->loop, &pool->aside);
	pool_each_process(pool, process_inherit);
	/* The other one wrote here until it handed over. */
	list_each (&pool->groups, node) {
		group_publish_queue(container_of(node, struct group, node));
	}
	pool_reap_later(pool); /* what was its alone may be idle */
}

static void
process_add_figures(struct process *process)
{
	scoreboard_add_process(process->shared, process->board);
}

void
pool_add_figures(struct pool *pool)
{
	pool_each_process(pool, process_add_figures);
	list_each (&pool->groups, node) {
		struct group *group = container_of(node, struct group, node);
		scoreboard_add_group(&pool->shared->groups[group->app->id], group->board);
	}
}

void
pool_hand_over(struct pool *pool, struct scoreboard *figures)
{
	pool->state = POOL_HANDING_OVER;
	pool->scoreboard = figures;
	list_each (&pool->groups, node) {
		struct group *group = container_of(node, struct group, node);
		group->board = &figures->groups[group->app->id];
		for (int state = 0; state < PROCESS_STATE_N; state++) {
			list_each (&group->processes[state], member) {
				struct process *process = container_of(member, struct process, node);
				process->board = &figures->processes[process->record.slot];
			}
		}
		group_touch(group);
	}
	pool_accompany(pool, true);
}

/* ---- processes come and go ---- */

struct process *
pool_find(struct pool *pool, uint32_t slot, uint64_t serial)
{
	if (slot >= SCOREBOARD_PROCESSES || pool->by_slot[slot] == NULL || pool->by_slot[slot]->record.serial != serial)
		return NULL;
	return pool->by_slot[slot];
}

static void
pool_spawn_answered(struct pool *pool, struct group *group)
{
	if (group->spawning == 0)
		return;
	group->spawning--;
	pool->spawning--;
	atomic_store_explicit(&group->board->spawning, group->spawning, memory_order_relaxed);
}

struct process *
pool_attach(struct pool *pool, const struct message_process *record)
{
	struct group *group = pool_group(pool, record->app_id);
	if (group == NULL || record->slot >= SCOREBOARD_PROCESSES || pool->by_slot[record->slot] != NULL)
		return NULL;
	struct process *process = malloc(sizeof(*process));
	if (process == NULL)
		abort();
	struct message_process wanted = *record;
	if (group->app->force_max_concurrent_requests_per_process >= 0)
		wanted.concurrency = (int32_t)group->app->force_max_concurrent_requests_per_process;
	process_init(process, group, &wanted, &pool->scoreboard->processes[record->slot]);
	pool->by_slot[record->slot] = process;
	pool->process_count++;
	pool_spawn_answered(pool, group);
	for (uint32_t i = process->doubt; i > 0; i--)
		pool->hooks.doubted(pool->hooks.owner, process);
	if (process->state == PROCESS_ENABLED) {
		group_enable(process);
	} else {
		list_append(&group->processes[process->state], &process->node);
		if (process->state == PROCESS_DETACHED)
			process_go_on_draining(process);
	}
	/* An earlier balancer heard it. */
	if (atomic_load_explicit(&process->shared->oob, memory_order_relaxed) != 0)
		process_ask_oob(process);
	loop_soon(pool->loop, &process->pump);
	if (pool->starved.count > 0)
		pool_room(pool);
	pool_reap_later(pool);
	return process;
}

void
pool_warmed(struct process *process)
{
	if (process->state != PROCESS_WARMING)
		return;
	process->record.cold = 0;
	group_enable(process);
	pool_reap_later(process->group->pool);
}

static void
process_bury(struct grave *grave)
{
	free(container_of(grave, struct process, grave));
}

void
pool_gone(struct pool *pool, uint32_t slot, uint64_t serial)
{
	struct process *process = pool_find(pool, slot, serial);
	if (process == NULL)
		return;
	struct group *group = process->group;
	/* Out of rotation first: what its sessions do now must not come back to it. */
	process_free(process);
	process->state = PROCESS_RETIRING;
	process_give_up_sticky(process);
	process_end_sessions(process);
	pool->hooks.gone(pool->hooks.owner, process);
	loop_soon_cancel(&process->pump);
	process->grave.bury = process_bury;
	loop_bury(pool->loop, &process->grave);
	group_touch(group);
	pool_room(pool);
}

void
pool_spawning(struct pool *pool, uint32_t app_id)
{
	struct group *group = pool_group(pool, app_id);
	if (group == NULL)
		return;
	group->spawning++;
	pool->spawning++;
	atomic_store_explicit(&group->board->spawning, group->spawning, memory_order_relaxed);
}

void
pool_spawn_failed(struct pool *pool, uint32_t app_id, bool attached, struct str text, uint64_t next_try_ms)
{
	struct group *group = pool_group(pool, app_id);
	if (group == NULL)
		return;
	if (!attached)
		pool_spawn_answered(pool, group);
	if (next_try_ms == 0) {
		group_touch(group);
		return;
	}
	if (group->roll == ROLL_RUNNING)
		group_set_roll(group, ROLL_FAILED);
	str_cut_z(group->failure, sizeof(group->failure), text);
	group->backoff_until_ms = pool->loop->now_ms + next_try_ms;
	atomic_store_explicit(&group->board->backoff_until_ms, group->backoff_until_ms, memory_order_relaxed);
	atomic_fetch_add_explicit(&group->board->spawn_failures, 1, memory_order_relaxed);
	if (group->heap_count == 0 && group_coming(group) == 0)
		group_fail_queue(group, SESSION_SPAWN_FAILED);
	group_touch(group);
	pool_room(pool);
}

/* ---- idle processes ---- */

void
pool_reap_at(struct pool *pool, uint64_t after_ms)
{
	if (!timer_is_set(&pool->reaper) || pool->reaper.at_ms > pool->loop->now_ms + after_ms)
		timer_set(pool->loop, &pool->reaper, after_ms);
}

void
pool_reap_later(struct pool *pool)
{
	/* Even when it is set: another application's idle time may be far longer. */
	pool_reap_at(pool, 1000);
}

static void
group_reap(struct pool *pool, struct group *group)
{
	uint64_t limit = group->app->pool_idle_time_ms;
	uint64_t now = pool->loop->now_ms;
	/* While a new version does not start, there is none for one that goes. */
	if (limit == 0 || group->roll == ROLL_FAILED)
		return;
	list_each (&group->processes[PROCESS_ENABLED], node) {
		struct process *process = container_of(node, struct process, node);
		if (group->processes[PROCESS_ENABLED].count <= group_minimum(group))
			return;
		if (!process_is_idle(process))
			continue;
		uint64_t idle = now - process->last_used_ms;
		if (idle >= limit)
			group_detach(process);
		else
			pool_reap_at(pool, limit - idle);
	}
}

static void
pool_reap(struct timer *timer)
{
	struct pool *pool = container_of(timer, struct pool, reaper);
	/* what was on its way at a reload has come since */
	if (pool->state == POOL_SERVING)
		pool_shrink(pool);
	list_each (&pool->groups, node) {
		if (pool->state == POOL_SERVING)
			group_reap(pool, container_of(node, struct group, node));
	}
	pool_room(pool);
}

void
pool_drain(struct pool *pool)
{
	pool->state = POOL_DRAINING;
	list_each (&pool->groups, node) {
		struct group *group = container_of(node, struct group, node);
		if (group->heap_count == 0)
			group_fail_queue(group, SESSION_STOPPED);
	}
}
