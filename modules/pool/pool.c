#include "pool/pool.h"

#include "base/log.h"

#include <assert.h>
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
	if (group->roll != ROLL_NONE && group->pool->state == POOL_SERVING)
		group_roll_on(group);
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
		struct group *group = container_of(node, struct group, node);
		atomic_store_explicit(&group->board->queued, group->queue.count, memory_order_relaxed);
		if (group->queue.count == 0)
			atomic_store_explicit(&group->board->oldest_queued_ms, 0, memory_order_relaxed);
	}
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

/* ---- the rules ---- */

static bool
group_wants_minimum(const struct group *group)
{
	return group_size(group) < group_minimum(group);
}

/* Requests at once in one process; 0: unlimited. */
static int64_t
group_places_each(const struct group *group)
{
	const struct app_config *app = group->app;
	if (app->force_max_concurrent_requests_per_process >= 0)
		return app->force_max_concurrent_requests_per_process;
	if (group->heap_count > 0)
		return group->heap[0]->record.concurrency;
	return app->type->protocol == APP_PROTOCOL_HTTP ? app->concurrency : app->thread_count;
}

/* Somebody waits whom the processes that are on their way will not serve. */
static bool
group_wants_more(const struct group *group)
{
	if (group_waiting(group) == 0)
		return false;
	int64_t each = group_places_each(group);
	if (group->heap_count == 0 && group_coming(group) == 0)
		return true;
	return each > 0 && group->queue.count > (uint64_t)each * group_coming(group);
}

static bool
group_may_grow(const struct group *group)
{
	uint64_t limit = group_maximum(group);
	return limit == 0 || group_size(group) < limit;
}

static bool
process_is_idle(const struct process *process)
{
	return process->state == PROCESS_ENABLED && process_is_empty(process);
}

/* The process of another group that has been idle for longest. */
struct process *
pool_idlest(struct pool *pool, const struct group *except)
{
	struct process *idlest = NULL;
	list_each (&pool->groups, node) {
		struct group *group = container_of(node, struct group, node);
		/* The last one that works stays, while a new version does not start. */
		if (group == except || group_waiting(group) > 0 ||
		    (group->roll == ROLL_FAILED && group->heap_count <= 1))
			continue;
		list_each (&group->processes[PROCESS_ENABLED], member) {
			struct process *process = container_of(member, struct process, node);
			if (process_is_idle(process) && (idlest == NULL || process->last_used_ms < idlest->last_used_ms))
				idlest = process;
		}
	}
	return idlest;
}

/* Empty ones that are out of rotation leave soon: no second one is evicted for the same wish.
 * A detached one that is at work may stay for hours. */
static uint32_t
pool_leaving(const struct pool *pool)
{
	uint32_t leaving = 0;
	list_each (&pool->groups, node) {
		struct group *group = container_of(node, struct group, node);
		leaving += group->processes[PROCESS_RETIRING].count;
		list_each (&group->processes[PROCESS_DETACHED], member) {
			leaving += process_is_empty(container_of(member, struct process, node));
		}
	}
	return leaving;
}

static bool
group_wants(const struct group *group)
{
	bool decides = group->pool->state == POOL_SERVING;
	if ((!decides && group->pool->state != POOL_HANDING_OVER) || !group->app->enabled || group->closes_ms != 0)
		return false;
	return (decides && group_wants_roll(group)) ||
	       (group_may_grow(group) && ((decides && group_wants_minimum(group)) || group_wants_more(group)));
}

/* Nothing but room in the pool keeps it from one more process. */
static bool
group_asks(const struct group *group)
{
	uint32_t batch = group_batch(group);
	return group_wants(group) && group->backoff_until_ms <= group->pool->loop->now_ms &&
	       group->spawning < (batch > POOL_GROUP_SPAWNS_MAX ? batch : POOL_GROUP_SPAWNS_MAX);
}

/* Nobody is idle: who has most gives one, until they have about the same.  Those on their way out are counted as had by
 * whoever waits.  Who has none at all for too long gets one in any case. */
static struct process *
pool_share(struct pool *pool, const struct group *group)
{
	struct group *richest = NULL;
	uint64_t since = atomic_load_explicit(&group->board->oldest_queued_ms, memory_order_relaxed);
	uint32_t has = group_size(group), short_of = 2;
	if (has == 0 && pool->loop->now_ms - since > POOL_PATIENCE_MS)
		short_of = 1;
	list_each (&pool->groups, node) {
		struct group *other = container_of(node, struct group, node);
		has += other->processes[PROCESS_DETACHED].count + other->processes[PROCESS_RETIRING].count;
		if (other != group && other->heap_count > 0 &&
		    (richest == NULL || group_size(other) > group_size(richest)))
			richest = other;
	}
	return richest != NULL && group_size(richest) >= has + short_of ? richest->heap[0] : NULL;
}

/* A process of another group makes way, but only for somebody who waits: a
 * minimum size, or a restart, never costs another application its process. */
static void
pool_evict(struct pool *pool)
{
	uint32_t wanted = 0;
	list_each (&pool->starved, node) {
		struct group *group = container_of(node, struct group, starved);
		bool rolls = group_wants_roll(group), waits = group_waiting(group) > 0;
		uint32_t share = rolls && !waits ? group_batch(group) : 1;
		if ((!waits && !rolls) || !group_asks(group) || pool_leaving(pool) >= wanted + share)
			continue;
		wanted += share;
		struct process *idlest = waits ? pool_idlest(pool, group) : NULL;
		if (idlest == NULL && waits)
			idlest = pool_share(pool, group);
		if (idlest != NULL)
			group_detach(idlest);
		else if (rolls)
			group_make_room(group);
	}
}

/* Somebody who waits goes before a minimum size; among equals, who asked first. */
static struct group *
pool_next_starved(struct pool *pool)
{
	struct group *first = NULL;
	list_each (&pool->starved, node) {
		struct group *group = container_of(node, struct group, starved);
		if (!group_asks(group))
			list_remove(node);
		else if (group_waiting(group) > 0)
			return group;
		else if (first == NULL)
			first = group;
	}
	return first;
}

static void
pool_allot(struct pool *pool)
{
	uint64_t size_max = (uint64_t)pool->config->max_pool_size;
	uint64_t spawns_max = (uint64_t)pool->config->max_concurrent_spawns;
	struct group *group;
	while ((group = pool_next_starved(pool)) != NULL && pool->spawning < spawns_max) {
		if (pool->process_count + pool->spawning >= size_max) {
			pool_evict(pool);
			return;
		}
		/* Behind the others, should it want another one. */
		list_remove(&group->starved);
		list_append(&pool->starved, &group->starved);
		group->spawning++;
		pool->spawning++;
		atomic_store_explicit(&group->board->spawning, group->spawning, memory_order_relaxed);
		pool->hooks.spawn(pool->hooks.owner, group);
	}
}

void
pool_consider(struct pool *pool, struct group *group)
{
	uint64_t now = pool->loop->now_ms;
	if (group_wants(group) && group->backoff_until_ms > now)
		timer_set(pool->loop, &group->backoff, group->backoff_until_ms - now);
	if (!group_asks(group))
		list_remove(&group->starved);
	else if (!list_contains(&group->starved))
		list_append(&pool->starved, &group->starved);
	if (pool->starved.count > 0)
		pool_allot(pool);
}

/* One of them is enough: whoever considers itself considers all. */
void
pool_room(struct pool *pool)
{
	struct list_node *first = list_first(&pool->starved);
	if (first != NULL)
		group_touch(container_of(first, struct group, starved));
}

/* ---- idle processes ---- */

static void
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
	if (pool->state != POOL_SERVING)
		return;
	list_each (&pool->groups, node) {
		group_reap(pool, container_of(node, struct group, node));
	}
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
