/*
 * Out-of-band work: what an application does between requests because one of
 * its answers has asked for it.  One process of a group at a time leaves
 * rotation, finishes what it has, works, and comes back; never the last one.
 */
#include "pool/pool.h"

#include "base/log.h"

#include <assert.h>

/* Lists stay in order of birth. */
void
process_move(struct process *process, enum process_state state)
{
	struct list *list = &process->group->processes[state];
	struct list_node *before = list->head.prev;
	list_remove(&process->node);
	while (before != &list->head &&
	       container_of(before, struct process, node)->record.serial > process->record.serial)
		before = before->prev;
	process->state = state;
	list_insert_before(list, before->next, &process->node);
	process_publish(process);
}

static void
oob_back(struct process *process)
{
	struct pool *pool = process->group->pool;
	process_move(process, PROCESS_ENABLED);
	group_heap_insert(process);
	process->last_used_ms = pool->loop->now_ms;
	pool_reap_later(pool);
	loop_soon(pool->loop, &process->pump);
	group_touch(process->group);
}

void
process_ask_oob(struct process *process)
{
	if (process->state == PROCESS_WARMING || process->state > PROCESS_DISABLED || list_contains(&process->oob))
		return;
	atomic_store_explicit(&process->shared->oob, 1, memory_order_relaxed);
	list_append(&process->group->oob, &process->oob);
	group_touch(process->group);
}

void
process_oob_done(struct process *process, bool heard)
{
	struct pool *pool = process->group->pool;
	if (process->state != PROCESS_DISABLED)
		return;
	oob_back(process);
	/* Until it says that it is free, nobody is sent there. */
	if (heard)
		process_trust(process);
	else if (process->doubt > 0)
		pool->hooks.doubted(pool->hooks.owner, process);
}

void
process_end_oob(struct process *process)
{
	if (process->state == PROCESS_DISABLED)
		process_oob_done(process, false);
	else if (process->state == PROCESS_DISABLING)
		oob_back(process);
}

void
group_end_oob(struct group *group)
{
	for (int state = PROCESS_DISABLING; state <= PROCESS_DISABLED; state++)
		list_each (&group->processes[state], node)
			process_end_oob(container_of(node, struct process, node));
}

/* A restart replaces them anyway, and somebody has to serve. */
static struct process *
oob_next(struct group *group)
{
	struct process *process = NULL;
	if (group->oob.count > 0 && group->heap_count >= 2 && group->processes[PROCESS_DISABLED].count == 0 &&
	    group->roll != ROLL_RUNNING && group->pool->state == POOL_SERVING && group->closes_ms == 0) {
		process = container_of(list_take_first(&group->oob), struct process, oob);
		assert(process->state == PROCESS_ENABLED);
		group_heap_remove(process);
		process_give_up_sticky(process);
		process_move(process, PROCESS_DISABLING);
		group_touch(group);
	}
	return process;
}

void
group_oob_on(struct group *group)
{
	struct pool *pool = group->pool;
	struct list_node *first = list_first(&group->processes[PROCESS_DISABLING]);
	struct process *process = first ? container_of(first, struct process, node) : oob_next(group);
	if (process == NULL)
		return;
	if (group->heap_count == 0) {
		/* The others are gone: it is needed. */
		oob_back(process);
		process_ask_oob(process);
		return;
	}
	if (process->places + process->doubt + process->foreign > 0)
		return;
	log_info("application %s: process %d does its out-of-band work", group->app->name, process->record.pid);
	/* It holds a place, which outlives a balancer. */
	(void)process_hold(process, 0);
	process_move(process, PROCESS_DISABLED);
	atomic_store_explicit(&process->shared->oob, 0, memory_order_relaxed);
	pool->hooks.oob(pool->hooks.owner, process);
}
