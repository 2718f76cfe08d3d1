#include "pool/pool.h"

#include <stdarg.h>
#include <stdio.h>

/* What runs for too long, grows too large, spins or stands still.  Nothing here is done for each request: a look at
 * all processes once a second, or when the next request may have run for max_request_time. */

enum {
	HOW_BYTES = 512,
	ASK_AGAIN_MS = 1000,
	BUSY_SHARE = 8, /* an eighth of one core: what spins on a crowded machine gets hardly more */
};

void
process_reached(struct process *process, enum limit limit, const char *format, ...)
{
	struct pool *pool = process->group->pool;
	char how[HOW_BYTES];
	va_list arguments;
	if (process->reached != LIMIT_NONE && (process->reached != LIMIT_MEMORY || limit == LIMIT_MEMORY))
		return;
	process->reached = limit;
	va_start(arguments, format);
	vsnprintf(how, sizeof(how), format, arguments);
	va_end(arguments);
	pool->hooks.reached(pool->hooks.owner, process, limit, how);
	if (limit == LIMIT_MEMORY) {
		group_spend(process);
		return;
	}
	/* Of max_request_time one is known to be to blame, else it may be any. */
	if (limit != LIMIT_MAX_REQUEST_TIME)
		list_each (&process->active, node)
			container_of(node, struct session, node)->limit = limit;
	/* One that warms up has failed to start, and nobody is asked for in its place before that is said. */
	if (process->state != PROCESS_WARMING)
		group_detach(process);
}

/* ---- requests ---- */

/* "61.2 s" */
static const char *
seconds(char out[32], uint64_t ms)
{
	str_format(out, 32, "%llu.%llu s", (unsigned long long)ms / 1000, (unsigned long long)ms % 1000 / 100);
	return out;
}

uint64_t
process_patience_ms(const struct process *process, uint64_t since_ms, uint64_t patience_ms)
{
	uint64_t limit = process->group->app->max_request_time_ms, now = process->group->pool->loop->now_ms;
	if (limit == 0)
		return patience_ms;
	uint64_t age = now > since_ms ? now - since_ms : 0;
	uint64_t left = age < limit ? limit - age : 1;
	uint64_t usual = patience_ms != 0 ? patience_ms : process->group->app->drain_timeout_ms;
	return left < usual ? left : usual;
}

/* When it is due next. */
static uint64_t
check_requests(struct process *process)
{
	uint64_t limit = process->group->app->max_request_time_ms, now = process->group->pool->loop->now_ms;
	struct session *oldest = process_oldest(process);
	char time[32];
	if (limit == 0)
		return LIMITS_MS;
	if (oldest == NULL)
		return limit;
	uint64_t age = now - oldest->active_ms;
	if (age < limit)
		return limit - age;
	if (process->reached != LIMIT_NONE && process->reached != LIMIT_MEMORY)
		return LIMITS_MS;
	process_reached(process, LIMIT_MAX_REQUEST_TIME, "%.*s %.*s has run for %s (request %.*s from %.*s)",
	                STR_ARG(oldest->label.method), STR_ARG(oldest->label.path), seconds(time, age),
	                STR_ARG(oldest->label.id), STR_ARG(oldest->label.client));
	oldest->limit = LIMIT_MAX_REQUEST_TIME;
	return LIMITS_MS;
}

/* What an earlier balancer had running there: how long it may go on stands in the scoreboard. */
void
process_keep_requests(struct process *process)
{
	uint64_t oldest_ms = UINT64_MAX;
	for (int i = 0; i < SCOREBOARD_REQUESTS; i++) {
		struct scoreboard_request *cell = &process->board->requests[i], copy;
		bool runs = process->doubt > 0 && scoreboard_read_request(cell, &copy) && !copy.upgraded;
		atomic_store_explicit(&cell->sequence, 0, memory_order_relaxed);
		if (!runs) {
			cell->since_ms = 0;
			continue;
		}
		cell->given_up = 1;
		if (copy.since_ms < oldest_ms)
			oldest_ms = copy.since_ms;
	}
	if (oldest_ms != UINT64_MAX)
		process->patience_ms = process_patience_ms(process, oldest_ms, 0);
}

static void
process_asks_again(struct timer *timer)
{
	struct process *process = container_of(timer, struct process, ask_again);
	struct pool *pool = process->group->pool;
	uint32_t left = process->unasked;
	uint64_t patience_ms = process->patience_ms ? process->patience_ms : process->group->app->drain_timeout_ms;
	process->unasked = 0;
	/* Not even a connection is to be had. */
	if (pool->loop->now_ms - process->doubted_ms >= patience_ms) {
		process_unanswered(process);
		return;
	}
	while (left-- > 0)
		pool->hooks.doubted(pool->hooks.owner, process);
}

void
process_ask_later(struct process *process)
{
	process->unasked++;
	process->ask_again.due = process_asks_again;
	if (!timer_is_set(&process->ask_again))
		timer_set(process->group->pool->loop, &process->ask_again, ASK_AGAIN_MS);
}

void
process_unanswered(struct process *process)
{
	uint64_t limit = process->group->app->max_request_time_ms, now = process->group->pool->loop->now_ms;
	struct scoreboard_request oldest = {0}, copy;
	char time[32];
	for (int i = 0; i < SCOREBOARD_REQUESTS; i++)
		if (scoreboard_read_request(&process->board->requests[i], &copy) && copy.given_up &&
		    (oldest.since_ms == 0 || copy.since_ms < oldest.since_ms))
			memcpy((void *)&oldest, &copy, sizeof(oldest));
	uint64_t age = oldest.since_ms != 0 && oldest.since_ms < now ? now - oldest.since_ms : 0;
	if (age == 0)
		process_reached(process, LIMIT_RESPONSE, "it does not answer any more");
	else
		process_reached(process, limit > 0 && age >= limit ? LIMIT_MAX_REQUEST_TIME : LIMIT_RESPONSE,
		                "%s %s, which was given up, began %s ago, and no thread of the process is free",
		                oldest.method, oldest.path, seconds(time, age));
}

void
process_too_slow(struct process *process)
{
	if (atomic_load_explicit(&process->shared->stopped, memory_order_relaxed))
		process_reached(process, LIMIT_RESPONSE,
		                "it is stopped by a signal (SIGSTOP or its like) and has not "
		                "been continued");
	else
		process_reached(process, LIMIT_DRAIN, "it was replaced and did not finish within drain_timeout");
}

/* ---- what the spawner has measured ---- */

static void
check_memory(struct process *process)
{
	const struct app_config *app = process->group->app;
	uint64_t kb = atomic_load_explicit(&process->shared->memory_kb, memory_order_relaxed);
	unsigned long long mb = kb / 1024;
	if (app->hard_memory_limit > 0 && kb >= app->hard_memory_limit / 1024)
		process_reached(process, LIMIT_HARD_MEMORY, "it uses %llu MB", mb);
	else if (app->memory_limit > 0 && kb >= app->memory_limit / 1024 && process->state == PROCESS_ENABLED)
		process_reached(process, LIMIT_MEMORY, "it uses %llu MB", mb);
}

/* Processor time without any request ended, in one stretch: honest work ends requests. */
static void
check_cpu(struct process *process, uint64_t sampled_ms)
{
	uint64_t limit = process->group->app->cpu_limit_ms;
	uint64_t cpu_ms = atomic_load_explicit(&process->shared->cpu_ms, memory_order_relaxed);
	uint64_t processed = atomic_load_explicit(&process->board->processed, memory_order_relaxed);
	char time[32];
	bool spins = process->work.sampled_ms != 0 && processed == process->work.processed &&
	             (cpu_ms - process->work.cpu_ms) * BUSY_SHARE >= sampled_ms - process->work.sampled_ms;
	if (!spins)
		process->work.since_cpu_ms = cpu_ms;
	process->work.sampled_ms = sampled_ms;
	process->work.cpu_ms = cpu_ms;
	process->work.processed = processed;
	if (limit > 0 && cpu_ms - process->work.since_cpu_ms >= limit)
		process_reached(process, LIMIT_CPU, "it has used %s of processor time without ending a request",
		                seconds(time, cpu_ms - process->work.since_cpu_ms));
}

/* Nothing that runs there moves: nobody new is sent there, and who waits is not kept for long. */
static void
check_stopped(struct process *process)
{
	const struct app_config *app = process->group->app;
	uint64_t patience_ms = STOPPED_PATIENCE_MS;
	if (process->state != PROCESS_ENABLED || !atomic_load_explicit(&process->shared->stopped, memory_order_relaxed))
		return;
	if (app->response_timeout_ms > 0 && app->response_timeout_ms < patience_ms)
		patience_ms = app->response_timeout_ms;
	group_detach(process);
	timer_set(process->group->pool->loop, &process->drain, patience_ms);
}

static uint64_t
check(struct process *process)
{
	uint64_t sampled_ms = atomic_load_explicit(&process->shared->sampled_ms, memory_order_relaxed);
	if (sampled_ms != process->work.sampled_ms) {
		check_memory(process);
		check_cpu(process, sampled_ms);
		check_stopped(process);
	}
	return check_requests(process);
}

void
limits_due(struct timer *timer)
{
	struct pool *pool = container_of(timer, struct pool, limits);
	uint64_t next = LIMITS_MS;
	list_each (&pool->groups, node) {
		struct group *group = container_of(node, struct group, node);
		for (int state = 0; state < PROCESS_STATE_N; state++) {
			list_each (&group->processes[state], member) {
				uint64_t due = check(container_of(member, struct process, node));
				next = due < next ? due : next;
			}
		}
	}
	timer_set(pool->loop, timer, next);
}
