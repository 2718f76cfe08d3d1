#include "pool/pool.h"

/* How a process leaves that is out of rotation. */

/* Nothing but tunnels runs; what is in doubt is what became of them. */
static bool
process_has_only_tunnels(const struct process *process)
{
	list_each (&process->active, node) {
		if (container_of(node, struct session, node)->state != SESSION_TUNNEL)
			return false;
	}
	/* The other balancer's are not ours to cut. */
	return process->waiting.count == 0 && process->doubt <= process->active.count &&
	       atomic_load_explicit(&process->shared->sessions[1 - process->group->pool->column],
	                            memory_order_relaxed) == 0;
}

uint64_t
process_time_left_ms(const struct process *process)
{
	uint64_t now_ms = process->group->pool->loop->now_ms;
	if (process->ends_ms == 0)
		return process->group->app->drain_timeout_ms;
	return process->ends_ms > now_ms ? process->ends_ms - now_ms : 0;
}

/* The application is told before its tunnels are cut, so that it can say goodbye. */
static void
process_retire(struct process *process)
{
	struct pool *pool = process->group->pool;
	list_remove(&process->node);
	process->state = PROCESS_RETIRING;
	list_append(&process->group->processes[PROCESS_RETIRING], &process->node);
	timer_cancel(pool->loop, &process->drain);
	if (process->active.count > 0)
		timer_set(pool->loop, &process->drain, POOL_GOODBYE_MS);
	pool->hooks.retire(pool->hooks.owner, process);
}

void
pool_retire_if_empty(struct process *process)
{
	const struct app_config *app = process->group->app;
	if (process->state != PROCESS_DETACHED || !process_has_only_tunnels(process))
		return;
	if (process->active.count == 0 || app->abort_websockets_on_process_shutdown)
		process_retire(process);
	else if (!timer_is_set(&process->drain))
		timer_set(process->group->pool->loop, &process->drain, app->drain_timeout_ms);
}

void
process_drain_due(struct timer *timer)
{
	struct process *process = container_of(timer, struct process, drain);
	if (process->state == PROCESS_DETACHED && process_has_only_tunnels(process)) {
		process_retire(process);
		return;
	}
	if (process->state == PROCESS_DETACHED) {
		process_too_slow(process);
		return;
	}
	list_each (&process->active, node) {
		struct session *session = container_of(node, struct session, node);
		if (session->state == SESSION_TUNNEL)
			session->event(session, SESSION_TUNNEL_OVER);
	}
}

void
pool_end_tunnels(struct pool *pool)
{
	list_each (&pool->groups, node) {
		struct group *group = container_of(node, struct group, node);
		/* Who waits is served first; then it is seen to again. */
		if (group->queue.count > 0)
			continue;
		list_each (&group->processes[PROCESS_ENABLED], member) {
			struct process *process = container_of(member, struct process, node);
			if (process->active.count > 0 && process_has_only_tunnels(process))
				group_detach(process);
		}
	}
}
