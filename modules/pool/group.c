#include "pool/pool.h"

#include <assert.h>
#include <stdlib.h>

/* ---- the heap: least busy first, then the newest generation, then the oldest ---- */

static bool
heap_before(const struct process *a, const struct process *b)
{
	uint64_t busy_a = process_busyness(a), busy_b = process_busyness(b);
	if (busy_a != busy_b)
		return busy_a < busy_b;
	if (a->record.generation != b->record.generation)
		return a->record.generation > b->record.generation;
	return a->record.serial < b->record.serial;
}

static void
heap_put(struct group *group, uint32_t place, struct process *process)
{
	group->heap[place - 1] = process;
	process->heap_place = place;
}

static void
heap_up(struct group *group, struct process *process)
{
	uint32_t place = process->heap_place;
	while (place > 1 && heap_before(process, group->heap[place / 2 - 1])) {
		heap_put(group, place, group->heap[place / 2 - 1]);
		place /= 2;
	}
	heap_put(group, place, process);
}

static void
heap_down(struct group *group, struct process *process)
{
	uint32_t place = process->heap_place;
	while (place * 2 <= group->heap_count) {
		uint32_t child = place * 2;
		if (child < group->heap_count && heap_before(group->heap[child], group->heap[child - 1]))
			child++;
		if (!heap_before(group->heap[child - 1], process))
			break;
		heap_put(group, place, group->heap[child - 1]);
		place = child;
	}
	heap_put(group, place, process);
}

void
group_heap_update(struct process *process)
{
	if (process->heap_place == 0)
		return;
	heap_up(process->group, process);
	heap_down(process->group, process);
}

void
group_heap_insert(struct process *process)
{
	struct group *group = process->group;
	assert(process->heap_place == 0);
	if (group->heap_count == group->heap_cap) {
		uint32_t cap = group->heap_cap ? group->heap_cap * 2 : 8;
		struct process **heap = realloc(group->heap, cap * sizeof(*heap));
		if (heap == NULL)
			abort();
		group->heap = heap;
		group->heap_cap = cap;
	}
	group->heap_count++;
	heap_put(group, group->heap_count, process);
	heap_up(group, process);
}

void
group_heap_remove(struct process *process)
{
	struct group *group = process->group;
	if (process->heap_place == 0)
		return;
	struct process *last = group->heap[group->heap_count - 1];
	uint32_t place = process->heap_place;
	group->heap_count--;
	process->heap_place = 0;
	if (last == process)
		return;
	heap_put(group, place, last);
	heap_up(group, last);
	heap_down(group, last);
}

/* ---- taking ---- */

enum group_answer
group_take(struct group *group, struct session *session)
{
	const struct app_config *app = group->app;
	struct pool *pool = group->pool;
	session->kind = SESSION_BALANCED;
	/* Who waits at the door of the least busy one comes first. */
	while (group->queue.count == 0 && group->heap_count > 0 && !process_is_full(group->heap[0]) &&
	       group->heap[0]->waiting.count == 0) {
		if (!process_claim(group->heap[0]))
			continue; /* the other balancer was quicker: it is full now */
		session->queued_ms = pool->loop->now_ms;
		session_activate(group->heap[0], session);
		return GROUP_TAKEN;
	}
	if (group->heap_count == 0) {
		if (pool->state == POOL_DRAINING || group->closes_ms != 0)
			return GROUP_STOPPED;
		if (group->spawning == 0 && group->failure[0] != 0 && group->backoff_until_ms > pool->loop->now_ms)
			return GROUP_FAILING;
	}
	if (app->max_request_queue_size > 0 && group->queue.count >= (uint64_t)app->max_request_queue_size) {
		atomic_fetch_add_explicit(&group->board->queue_full, 1, memory_order_relaxed);
		return GROUP_QUEUE_FULL;
	}
	session_wait_in_queue(group, session, app->max_request_queue_time_ms);
	group_touch(group);
	return GROUP_WAITS;
}

uint32_t
group_size(const struct group *group)
{
	return group->processes[PROCESS_ENABLED].count + group->spawning;
}

void
group_touch(struct group *group)
{
	loop_soon(group->pool->loop, &group->pump);
}

void
group_forget_failure(struct group *group)
{
	group->failure[0] = 0;
	group->backoff_until_ms = 0;
	atomic_store_explicit(&group->board->backoff_until_ms, 0, memory_order_relaxed);
}

void
group_detach(struct process *process)
{
	struct group *group = process->group;
	if (process->state != PROCESS_ENABLED)
		return;
	group_heap_remove(process);
	list_remove(&process->node);
	process->state = PROCESS_DETACHED;
	list_append(&group->processes[PROCESS_DETACHED], &process->node);
	atomic_store_explicit(&process->board->state, SCOREBOARD_DETACHED, memory_order_relaxed);
	loop_soon(group->pool->loop, &process->pump);
	group_touch(group);
}

/* ---- restarts ---- */

struct process *
group_outdated(const struct group *group)
{
	list_each (&group->processes[PROCESS_ENABLED], node) {
		struct process *process = container_of(node, struct process, node);
		if (process->record.generation < group->generation)
			return process;
	}
	return NULL;
}

void
group_set_roll(struct group *group, enum group_roll roll)
{
	group->roll = roll;
	atomic_store_explicit(&group->board->roll, roll, memory_order_relaxed);
	atomic_store_explicit(&group->board->roll_size, group->roll_size, memory_order_relaxed);
	/* Last: who sees the generation sees what became of it. */
	atomic_store_explicit(&group->board->generation, group->generation, memory_order_release);
}

/* For every new one beyond the number that there was, an old one goes. */
void
group_roll_on(struct group *group)
{
	uint32_t size = group->roll_size > 0 ? group->roll_size : 1;
	struct process *old = group_outdated(group);
	while (group->roll == ROLL_RUNNING && old != NULL && group->processes[PROCESS_ENABLED].count > size) {
		group_replace(old);
		old = group_outdated(group);
	}
	bool nobody = group->roll == ROLL_RUNNING && group->spawning == 0 && group->queue.count == 0 &&
	              group->app->min_instances == 0;
	if (old == NULL && (group->heap_count > 0 || nobody))
		group_set_roll(group, ROLL_NONE);
}

void
process_drain_due(struct timer *timer)
{
	struct process *process = container_of(timer, struct process, drain);
	struct pool *pool = process->group->pool;
	if (process->state == PROCESS_DETACHED)
		pool->hooks.kill(pool->hooks.owner, process, "it was replaced and did not finish within drain_timeout");
}

void
group_replace(struct process *process)
{
	group_detach(process);
	timer_set(process->group->pool->loop, &process->drain, process->group->app->drain_timeout_ms);
}

void
group_restart(struct group *group, uint32_t generation, bool at_once)
{
	struct process *process;
	if (generation <= group->generation)
		return;
	group_forget_failure(group);
	group->generation = generation;
	group->roll_size = group->processes[PROCESS_ENABLED].count;
	group_set_roll(group, ROLL_RUNNING);
	/* Who drains since before has had as long as it wanted: no more. */
	list_each (&group->processes[PROCESS_DETACHED], node) {
		process = container_of(node, struct process, node);
		timer_set(group->pool->loop, &process->drain, group->app->drain_timeout_ms);
	}
	while (at_once && (process = group_outdated(group)) != NULL)
		group_replace(process);
	group_touch(group);
}
