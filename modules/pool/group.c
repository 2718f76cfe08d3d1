#include "pool/pool.h"

#include <assert.h>
#include <stdlib.h>

/* ---- the heap: least busy first, then the oldest ---- */

static bool
heap_before(const struct process *a, const struct process *b)
{
	/* A newer generation has the traffic as soon as it is there, as far as it can take it. */
	if (a->group->roll == ROLL_RUNNING && a->record.generation != b->record.generation) {
		bool full_a = process_is_full(a), full_b = process_is_full(b);
		return full_a != full_b ? full_b : a->record.generation > b->record.generation;
	}
	uint64_t busy_a = process_busyness(a), busy_b = process_busyness(b);
	if (busy_a != busy_b)
		return busy_a < busy_b;
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
	group->spent += process->spent;
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
	group->spent -= process->spent;
	process->heap_place = 0;
	if (last == process)
		return;
	heap_put(group, place, last);
	heap_up(group, last);
	heap_down(group, last);
}

void
group_heap_sort(struct group *group)
{
	for (uint32_t place = group->heap_count / 2; place > 0; place--)
		heap_down(group, group->heap[place - 1]);
}

/* ---- sticky ---- */

struct str
group_sticky_id(const struct process *process, char out[GROUP_STICKY_BYTES])
{
	/* The slot finds it, the random end of its name tells that it is still the same one. */
	const char *random = strrchr(process->record.gupid, '-');
	str_format(out, GROUP_STICKY_BYTES, "%x-%s", (unsigned)process->record.slot, random ? random + 1 : "");
	return str_from(out);
}

struct process *
group_sticky_find(struct group *group, struct str id)
{
	char expected[GROUP_STICKY_BYTES];
	struct str rest = id, word;
	uint64_t slot;
	if (!str_split(&rest, '-', &word) || !str_hex_to_u64(word, &slot) || slot >= SCOREBOARD_PROCESSES)
		return NULL;
	struct process *process = group->pool->by_slot[slot];
	if (process == NULL || process->group != group || process->state != PROCESS_ENABLED)
		return NULL;
	return str_equal(id, group_sticky_id(process, expected)) ? process : NULL;
}

/* ---- taking ---- */

/* It is not there, and can not be. */
static bool
group_is_hopeless(const struct group *group, enum group_answer *answer)
{
	const struct pool *pool = group->pool;
	if (pool->state == POOL_DRAINING || group->closes_ms != 0)
		*answer = GROUP_STOPPED;
	else if (group_coming(group) == 0 && group->failure[0] != 0 && group->backoff_until_ms > pool->loop->now_ms)
		*answer = GROUP_FAILING;
	else
		return false;
	return true;
}

/* Its wish, as long as that is in rotation, else the least busy one. */
static struct process *
group_choose(const struct group *group, struct process *wish)
{
	if (wish != NULL && wish->group == group && wish->state == PROCESS_ENABLED)
		return wish;
	return group->heap_count > 0 ? group->heap[0] : NULL;
}

/* Who waits in the queue, or at its door, comes first. */
static bool
group_may_give(const struct process *process, const struct session *session)
{
	return !session_kind_needs_place(session->kind) ||
	       (process->group->queue.count == 0 && !process_is_full(process) && process->waiting.count == 0);
}

/* To the operator's hook; a crowd is one event. */
static void
tell_queue_full(struct group *group, const struct session *session)
{
	struct pool *pool = group->pool;
	if (group->app->hooks[CONFIG_HOOK_QUEUE_FULL] == NULL || pool->loop->now_ms < group->crowd_ms + GROUP_CROWD_MS)
		return;
	group->crowd_ms = pool->loop->now_ms;
	pool->hooks.queue_full(pool->hooks.owner, group, session);
}

enum group_answer
group_take(struct group *group, struct session *session)
{
	const struct app_config *app = group->app;
	struct process *process;
	enum group_answer hopeless;
	assert(!session_kind_is_direct(session->kind));
	while ((process = group_choose(group, session->wish)) != NULL && group_may_give(process, session)) {
		if (session_kind_needs_place(session->kind) && !process_claim(process))
			continue; /* the other balancer was quicker: it is full now */
		session->queued_ms = group->pool->loop->now_ms;
		session_activate(process, session);
		return GROUP_TAKEN;
	}
	if (process == NULL && group_is_hopeless(group, &hopeless))
		return hopeless;
	if (app->max_request_queue_size > 0 &&
	    group_waiting(group) + group->sticky.count >= (uint64_t)app->max_request_queue_size) {
		atomic_fetch_add_explicit(&group->board->queue_full, 1, memory_order_relaxed);
		tell_queue_full(group, session);
		return GROUP_QUEUE_FULL;
	}
	if (process != NULL && process == session->wish)
		session_wait_at_door(process, session, app->max_request_queue_time_ms);
	else
		session_wait_in_queue(group, session, app->max_request_queue_time_ms);
	group_touch(group);
	return GROUP_WAITS;
}

uint32_t
group_waiting(const struct group *group)
{
	return group->queue.count + group->unlimited.count;
}

uint64_t
group_minimum(const struct group *group)
{
	uint64_t least = (uint64_t)group->app->min_instances;
	bool used = atomic_load_explicit(&group->board->requests, memory_order_relaxed) > 0;
	/* Until the first request pre_start says how many there are. */
	if (used || group->app->pre_start == CONFIG_PRE_START_AUTO)
		return least;
	return group->app->pre_start == CONFIG_PRE_START_OFF ? 0 : least > 0 ? least : 1;
}

uint64_t
group_maximum(const struct group *group)
{
	uint64_t own = (uint64_t)group->app->max_instances, all = (uint64_t)group->pool->config->max_instances_per_app;
	return own == 0 || (all > 0 && all < own) ? all : own;
}

uint32_t
group_size(const struct group *group)
{
	return group->processes[PROCESS_ENABLED].count + group->processes[PROCESS_DISABLING].count +
	       group->processes[PROCESS_DISABLED].count + group_coming(group);
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
	buf_free(&group->long_texts[MESSAGE_FAILURE_REPORT]);
	group->backoff_until_ms = 0;
	atomic_store_explicit(&group->board->backoff_until_ms, 0, memory_order_relaxed);
}

void
group_enable(struct process *process)
{
	struct group *group = process->group;
	process_move(process, PROCESS_ENABLED);
	group_heap_insert(process);
	loop_soon(group->pool->loop, &process->pump);
	if (group->pool->state != POOL_SERVING)
		return;
	group_forget_failure(group);
	/* It starts after all: what was given up goes on, with those, too, that do out-of-band work. */
	if (group->roll == ROLL_FAILED && process->record.generation == group->generation) {
		group_set_roll(group, ROLL_RUNNING);
		group_end_oob(group);
	}
	if (group->roll == ROLL_NONE && group->spent > 0)
		group_detach(group_outdated(group));
}

void
group_detach(struct process *process)
{
	struct group *group = process->group;
	process_end_oob(process);
	if (process->state != PROCESS_ENABLED && process->state != PROCESS_WARMING)
		return;
	list_remove(&process->oob);
	group_heap_remove(process);
	process_give_up_sticky(process);
	list_remove(&process->node);
	process->state = PROCESS_DETACHED;
	list_append(&group->processes[PROCESS_DETACHED], &process->node);
	atomic_store_explicit(&process->board->state, SCOREBOARD_DETACHED, memory_order_relaxed);
	loop_soon(group->pool->loop, &process->pump);
	group_touch(group);
}
