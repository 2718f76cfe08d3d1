/*
 * Where sessions wait: the group's lists, and the one at each process's door.
 */
#include "pool/pool.h"

#include <assert.h>

void
group_publish_queue(struct group *group)
{
	/* One that closes shares its figures with the one that has taken its place. */
	if (pool_group(group->pool, group->app->id) != group)
		return;
	const struct list *lists[] = {&group->queue, &group->unlimited, &group->sticky};
	uint64_t oldest = 0;
	uint32_t count = 0;
	for (size_t i = 0; i < array_count(lists); i++) {
		struct list_node *first = list_first(lists[i]);
		count += lists[i]->count;
		if (first == NULL)
			continue;
		uint64_t since = lists[i] == &group->sticky ? container_of(first, struct session, sticky)->queued_ms
		                                            : container_of(first, struct session, node)->queued_ms;
		oldest = oldest == 0 || since < oldest ? since : oldest;
	}
	atomic_store_explicit(&group->board->queued, count, memory_order_relaxed);
	atomic_store_explicit(&group->board->oldest_queued_ms, oldest, memory_order_relaxed);
}

void
session_unwait(struct session *session)
{
	struct group *group = session->group;
	list_remove(&session->node);
	if (timer_is_set(&session->timer))
		timer_cancel(group->pool->loop, &session->timer);
	list_remove(&session->sticky);
	group_publish_queue(group);
	/* It may be the last that kept it. */
	if (session->state == SESSION_AT_DOOR && session->process->state == PROCESS_DETACHED)
		loop_soon(group->pool->loop, &session->process->pump);
	session->state = SESSION_NONE;
}

void
session_withdraw(struct session *session)
{
	struct process *process = session->state == SESSION_AT_DOOR ? session->process : NULL;
	session_unwait(session);
	if (process != NULL)
		process_rest(process);
}

static void
session_timed_out(struct timer *timer)
{
	struct session *session = container_of(timer, struct session, timer);
	session_withdraw(session);
	session->event(session, SESSION_TIMEOUT);
}

void
session_wait_in_queue(struct group *group, struct session *session, uint64_t wait_ms)
{
	struct loop *loop = group->pool->loop;
	assert(session->state == SESSION_NONE);
	session->state = SESSION_QUEUED;
	session->group = group;
	session->process = NULL;
	session->queued_ms = loop->now_ms;
	list_append(session_kind_needs_place(session->kind) ? &group->queue : &group->unlimited, &session->node);
	group_publish_queue(group);
	session->timer.due = session_timed_out;
	if (wait_ms > 0)
		timer_set(loop, &session->timer, wait_ms);
}

bool
process_is_empty(const struct process *process)
{
	/* The other balancer's are not ours to cut. */
	return process->active.count == 0 && process->doubt == 0 && process->waiting.count == 0 &&
	       atomic_load_explicit(&process->shared->sessions[1 - process->group->pool->column],
	                            memory_order_relaxed) == 0;
}

void
session_wait_at_door(struct process *process, struct session *session, uint64_t wait_ms)
{
	struct group *group = process->group;
	struct loop *loop = group->pool->loop;
	assert(session->state == SESSION_NONE);
	session->state = SESSION_AT_DOOR;
	session->group = group;
	session->process = process;
	session->queued_ms = loop->now_ms;
	list_append(&process->waiting, &session->node);
	if (!session_kind_is_direct(session->kind)) {
		list_append(&group->sticky, &session->sticky);
		group_publish_queue(group);
	}
	session->timer.due = session_timed_out;
	if (wait_ms > 0 || session_kind_is_direct(session->kind))
		timer_set(loop, &session->timer, wait_ms);
	if (!process_is_full(process))
		loop_soon(loop, &process->pump);
}

/* Into the queue at the place that the time of waiting gives. */
static void
session_queue_again(struct session *session)
{
	struct group *group = session->group;
	struct list_node *before = group->queue.head.prev;
	list_remove(&session->node);
	list_remove(&session->sticky);
	session->state = SESSION_QUEUED;
	session->process = NULL;
	while (before != &group->queue.head && container_of(before, struct session, node)->queued_ms > session->queued_ms)
		before = before->prev;
	list_insert_before(&group->queue, before->next, &session->node);
}

void
process_give_up_sticky(struct process *process)
{
	list_each (&process->waiting, node) {
		struct session *session = container_of(node, struct session, node);
		if (!session_kind_is_direct(session->kind))
			session_queue_again(session);
	}
	group_publish_queue(process->group);
}
