#include "pool/pool.h"

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

/* One for those that wait: not for the minimum, while another is on its way to them. */
static bool
group_is_short(const struct group *group)
{
	return group_may_grow(group) && group_wants_more(group);
}

/* Nobody takes it from an application that uses it before its start was a tenth of its time. */
static uint64_t
process_turn_ms(const struct process *process)
{
	uint64_t turn_ms = (uint64_t)process->record.start_ms * POOL_TURN_STARTS;
	return turn_ms < POOL_PATIENCE_MS ? turn_ms : POOL_PATIENCE_MS;
}

/* An idle one does, for whoever has none or far fewer, and else when it is not needed: one that rests between two
 * requests of a busy client would be started anew for the next, at a high price.  *again_ms: when it would, at most. */
static bool
process_makes_way(const struct process *process, const struct group *wants, uint64_t *again_ms)
{
	uint64_t now = process->group->pool->loop->now_ms, size = wants != NULL ? group_size(wants) : 0;
	uint64_t enough = size == 0 ? POOL_MOMENT_MS : POOL_PATIENCE_MS, idle = now - process->last_used_ms;
	bool has_served = size == 0 && now - process->record.started_ms >= process_turn_ms(process);
	if (wants == NULL || idle >= enough || has_served || (size > 0 && group_size(process->group) >= size + 2))
		return true;
	if (*again_ms > enough - idle)
		*again_ms = enough - idle;
	return false;
}

struct process *
pool_idlest(struct pool *pool, const struct group *wants)
{
	struct process *idlest = NULL;
	uint64_t again_ms = UINT64_MAX;
	list_each (&pool->groups, node) {
		struct group *group = container_of(node, struct group, node);
		/* The last one that works stays, while a new version does not start. */
		if (group == wants || group_waiting(group) > 0 || (group->roll == ROLL_FAILED && group->heap_count <= 1))
			continue;
		list_each (&group->processes[PROCESS_ENABLED], member) {
			struct process *process = container_of(member, struct process, node);
			if (process_is_idle(process) &&
			    (idlest == NULL || process->last_used_ms < idlest->last_used_ms) &&
			    process_makes_way(process, wants, &again_ms))
				idlest = process;
		}
	}
	if (idlest == NULL && again_ms < UINT64_MAX)
		pool_reap_at(pool, again_ms);
	return idlest;
}

/* Those that are on their way out are not counted: they make nobody else go. */
void
pool_shrink(struct pool *pool)
{
	struct process *idlest;
	uint64_t count = 0;
	list_each (&pool->groups, node) {
		struct group *group = container_of(node, struct group, node);
		count += group_size(group) - group->spawning;
	}
	for (; count > (uint64_t)pool->config->max_pool_size && (idlest = pool_idlest(pool, NULL)) != NULL; count--)
		group_detach(idlest);
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
	       (decides && group_may_grow(group) && group_wants_minimum(group)) || group_is_short(group);
}

/* Nothing but room in the pool keeps it from one more process. */
static bool
group_asks(const struct group *group)
{
	uint32_t batch = group_batch(group);
	return group_wants(group) && group->backoff_until_ms <= group->pool->loop->now_ms &&
	       group->spawning < (batch > POOL_GROUP_SPAWNS_MAX ? batch : POOL_GROUP_SPAWNS_MAX);
}

/* Nobody is idle: who has most, and has had it for longest, gives one, until they have about the same.  Those on their
 * way out are counted as had by whoever waits.  Who has none at all for its turn gets one that has served for as long:
 * crowds that take turns do not spend their time with starts. */
static struct process *
pool_share(struct pool *pool, const struct group *group)
{
	struct process *richest = NULL;
	uint64_t since = atomic_load_explicit(&group->board->oldest_queued_ms, memory_order_relaxed);
	uint32_t own = group_size(group), has = own, most = 0;
	list_each (&pool->groups, node) {
		struct group *other = container_of(node, struct group, node);
		uint32_t size = group_size(other);
		has += other->processes[PROCESS_DETACHED].count + other->processes[PROCESS_RETIRING].count;
		if (other == group || other->heap_count == 0 || size < most ||
		    (size == most && other->heap[0]->record.serial > richest->record.serial))
			continue;
		richest = other->heap[0];
		most = size;
	}
	if (richest == NULL)
		return NULL;
	since = since < richest->record.started_ms ? richest->record.started_ms : since;
	if (most >= has + 2)
		return richest;
	if (own > 0 || most <= has)
		return NULL;
	/* It may be in use without a pause, so that nothing else makes us look again. */
	uint64_t now = pool->loop->now_ms, over_ms = since + process_turn_ms(richest) + 1;
	if (now < over_ms)
		pool_reap_at(pool, over_ms - now);
	return now < over_ms ? NULL : richest;
}

static void
starved_last(struct pool *pool, struct group *group)
{
	if (list_contains(&group->starved)) {
		list_remove(&group->starved);
		list_append(&pool->starved, &group->starved);
	}
}

/* A process of another group makes way, but only for somebody who waits: a
 * minimum size, or a restart, never costs another application its process. */
static void
pool_evict(struct pool *pool)
{
	struct group *givers[POOL_EVICTIONS_MAX];
	uint32_t wanted = 0, given = 0;
	list_each (&pool->starved, node) {
		struct group *group = container_of(node, struct group, starved);
		bool rolls = group_wants_roll(group), waits = group_is_short(group);
		uint32_t share = rolls && !waits ? group_batch(group) : 1;
		if ((!waits && !rolls) || !group_asks(group))
			continue;
		/* who goes already is one of those before */
		wanted += share;
		if (pool_leaving(pool) >= wanted)
			continue;
		struct process *idlest = waits ? pool_idlest(pool, group) : NULL;
		if (idlest == NULL && waits)
			idlest = pool_share(pool, group);
		if (idlest != NULL) {
			group_detach(idlest);
			givers[given++] = idlest->group;
			if (given == POOL_EVICTIONS_MAX)
				break;
		} else if (rolls) {
			group_make_room(group);
		}
	}
	/* they are not to have back what they gave */
	for (uint32_t i = 0; i < given; i++)
		starved_last(pool, givers[i]);
}

/* Somebody who waits goes before a restart, which may have made the room, and that before a minimum size; among equals,
 * who asked first. */
static struct group *
pool_next_starved(struct pool *pool)
{
	struct group *first = NULL;
	list_each (&pool->starved, node) {
		struct group *group = container_of(node, struct group, starved);
		if (!group_asks(group))
			list_remove(node);
		else if (group_is_short(group))
			return group;
		else if (first == NULL || (group->roll == ROLL_RUNNING && first->roll != ROLL_RUNNING))
			first = group;
	}
	return first;
}

bool
pool_is_full(const struct pool *pool)
{
	return (uint64_t)pool->process_count + pool->spawning >= (uint64_t)pool->config->max_pool_size;
}

static void
pool_allot(struct pool *pool)
{
	uint64_t spawns_max = (uint64_t)pool->config->max_concurrent_spawns;
	struct group *group;
	while ((group = pool_next_starved(pool)) != NULL && pool->spawning < spawns_max) {
		if (pool_is_full(pool)) {
			pool_evict(pool);
			return;
		}
		starved_last(pool, group); /* should it want another one */
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
