#include "pool/pool.h"

/* How processes are replaced: by a restart, or one that is spent, by max_requests or memory_limit. */

uint32_t
group_batch(const struct group *group)
{
	int64_t size = group->roll == ROLL_RUNNING ? group->app->rolling_restart_batch_size : 1;
	return size > 0 ? (uint32_t)size : 1;
}

uint32_t
group_coming(const struct group *group)
{
	return group->spawning + group->processes[PROCESS_WARMING].count;
}

static bool
process_is_outdated(const struct process *process)
{
	const struct group *group = process->group;
	return group->roll == ROLL_NONE ? process->spent : process->record.generation < group->generation;
}

/* The number-th of them, the newest first, or NULL. */
static struct process *
outdated(const struct group *group, uint32_t number)
{
	const struct list *list = &group->processes[PROCESS_ENABLED];
	if (group->roll == ROLL_NONE && group->spent == 0)
		return NULL;
	for (struct list_node *node = list->head.prev; node != &list->head; node = node->prev) {
		struct process *process = container_of(node, struct process, node);
		if (process_is_outdated(process) && number-- == 0)
			return process;
	}
	return NULL;
}

struct process *
group_outdated(const struct group *group)
{
	return outdated(group, 0);
}

bool
group_wants_roll(const struct group *group)
{
	uint32_t coming = group_coming(group);
	return group->roll != ROLL_FAILED && coming < group_batch(group) && outdated(group, coming) != NULL;
}

/* Those that have been told to go, and have no way to stay for longer than drain_timeout. */
static uint32_t
group_going(const struct group *group)
{
	uint32_t going = group->processes[PROCESS_RETIRING].count;
	list_each (&group->processes[PROCESS_DETACHED], node) {
		going += group->roll == ROLL_NONE || container_of(node, struct process, node)->ends_ms != 0;
	}
	return going;
}

/* A restart gives it drain_timeout; one that is spent has the time that its requests need. */
static void
group_let_go(struct process *process)
{
	if (process->group->roll == ROLL_NONE)
		group_detach(process);
	else
		group_replace(process);
}

void
group_make_room(struct group *group)
{
	for (uint32_t missing = group_coming(group) + group_going(group); missing < group_batch(group); missing++) {
		struct process *old = group_outdated(group);
		if (old == NULL)
			return;
		group_let_go(old);
	}
}

void
group_set_roll(struct group *group, enum group_roll roll)
{
	bool orders = roll != group->roll;
	group->roll = roll;
	/* What the heap's order goes by has changed, and who may be reaped. */
	if (orders) {
		group_heap_sort(group);
		pool_reap_later(group->pool);
	}
	atomic_store_explicit(&group->board->roll, roll, memory_order_relaxed);
	atomic_store_explicit(&group->board->roll_size, group->roll_size, memory_order_relaxed);
	/* Last: who sees the generation sees what became of it. */
	atomic_store_explicit(&group->board->generation, group->generation, memory_order_release);
}

/* For every new one beyond the number that there was, or may be by now, an old one goes. */
void
group_roll_on(struct group *group)
{
	uint64_t limit = group_maximum(group);
	uint64_t size = group->roll_size > 0 ? group->roll_size : 1;
	if (limit > 0 && size > limit)
		size = limit;
	struct process *old = group_outdated(group);
	while (group->roll == ROLL_RUNNING && old != NULL && group->processes[PROCESS_ENABLED].count > size) {
		group_replace(old);
		old = group_outdated(group);
	}
	/* None is to come; or none can: then its minimum has to wait like any other's. */
	bool nobody = group->roll == ROLL_RUNNING && group_coming(group) == 0 && group_waiting(group) == 0 &&
	              (group_minimum(group) == 0 || (group_going(group) == 0 && pool_is_full(group->pool)));
	/* Who does out-of-band work comes back, and may be an old one. */
	bool away = group->processes[PROCESS_DISABLING].count + group->processes[PROCESS_DISABLED].count > 0;
	if (old == NULL && !away && (group->heap_count > 0 || nobody))
		group_set_roll(group, ROLL_NONE);
}

void
group_shrink(struct group *group)
{
	uint64_t limit = group_maximum(group);
	while (limit > 0 && group->roll != ROLL_RUNNING && group->heap_count > limit) {
		struct process *old = group_outdated(group);
		group_detach(old != NULL ? old : group->heap[0]);
	}
}

/* How long it may still be; it stands in the scoreboard, so that a new balancer does not begin anew. */
static void
process_ends_at(struct process *process, uint64_t ends_ms)
{
	struct loop *loop = process->group->pool->loop;
	process->ends_ms = ends_ms;
	atomic_store_explicit(&process->shared->ends_ms, ends_ms, memory_order_relaxed);
	timer_set(loop, &process->drain, ends_ms > loop->now_ms ? ends_ms - loop->now_ms : 0);
}

void
group_replace(struct process *process)
{
	const struct group *group = process->group;
	group_detach(process);
	process_ends_at(process, group->pool->loop->now_ms + group->app->drain_timeout_ms);
}

void
process_go_on_draining(struct process *process)
{
	const struct group *group = process->group;
	uint64_t latest_ms = group->pool->loop->now_ms + group->app->drain_timeout_ms;
	uint64_t ends_ms = atomic_load_explicit(&process->shared->ends_ms, memory_order_relaxed);
	if (ends_ms != 0 || process->record.generation < group->generation)
		process_ends_at(process, ends_ms != 0 && ends_ms < latest_ms ? ends_ms : latest_ms);
}

void
group_drain_on(struct group *group)
{
	list_each (&group->processes[PROCESS_DETACHED], node) {
		process_go_on_draining(container_of(node, struct process, node));
	}
}

void
group_spend(struct process *process)
{
	struct group *group = process->group;
	if (process->spent || process->state != PROCESS_ENABLED)
		return;
	/* One that is not needed goes; the last one not before its replacement is there. */
	if (group->roll == ROLL_NONE && group->processes[PROCESS_ENABLED].count - group->spent > 1 &&
	    group->queue.count == 0 && group_size(group) > group_minimum(group)) {
		group_detach(process);
		return;
	}
	process->spent = true;
	group->spent++;
	group_touch(group);
}

void
group_restart(struct group *group, uint32_t generation, bool at_once)
{
	struct process *process;
	struct list_node *node;
	if (generation <= group->generation)
		return;
	group_forget_failure(group);
	group_end_oob(group);
	group->generation = generation;
	group->roll_size = group->processes[PROCESS_ENABLED].count;
	group_set_roll(group, ROLL_RUNNING);
	/* Who drains since before without an end has had as long as it wanted: no more. */
	group_drain_on(group);
	/* Who has no traffic yet gets none. */
	while ((node = list_first(&group->processes[PROCESS_WARMING])) != NULL)
		group_replace(container_of(node, struct process, node));
	while (at_once && (process = group_outdated(group)) != NULL)
		group_replace(process);
	group_touch(group);
	pool_reap_later(group->pool);
}

void
group_restart_always(struct group *group)
{
	struct pool *pool = group->pool;
	struct list_node *node;
	if (atomic_load_explicit(&pool->shared->groups[group->app->id].always_restart, memory_order_relaxed) == 0 ||
	    pool->state != POOL_SERVING || group->closes_ms != 0 ||
	    (group->always_ms != 0 && pool->loop->now_ms < group->always_ms + pool->config->stat_throttle_rate_ms))
		return;
	group->always_ms = pool->loop->now_ms;
	group_forget_failure(group);
	group_end_oob(group);
	pool->hooks.restart(pool->hooks.owner, group);
	/* The answer to that comes later; this request is not to get an old one before. */
	while ((node = list_first(&group->processes[PROCESS_WARMING])) != NULL ||
	       (node = list_first(&group->processes[PROCESS_ENABLED])) != NULL)
		group_replace(container_of(node, struct process, node));
}
