/*
 * The groups become what a generation of the configuration says.
 */
#include "pool/pool.h"

#include <assert.h>
#include <stdlib.h>

/* Ids may be given out again, and what speaks another protocol is another group. */
static bool
is_same(const struct group *group, const struct app_config *app)
{
	return strcmp(group->app->name, app->name) == 0 && group->app->type->protocol == app->type->protocol;
}

struct group *
pool_group_of(struct pool *pool, const struct app_config *app)
{
	struct group *group = pool_group(pool, app->id);
	struct list_node *end = &pool->groups.head, *node = end->next;
	/* Else one whose requests of before are still on their way. */
	for (; group != NULL && (group->app->id != app->id || !is_same(group, app)); node = node->next)
		group = node != end ? container_of(node, struct group, node) : NULL;
	return group;
}

/* Answers to what was asked for with this id, by whichever group, come here. */
static void
group_take_answers(struct group *group)
{
	struct group **place = &group->pool->by_app[group->app->id];
	if (*place != NULL && *place != group) {
		group->spawning += (*place)->spawning;
		(*place)->spawning = 0;
	}
	*place = group;
}

static void
group_set_app(struct group *group, const struct app_config *app)
{
	struct config *before = group->app != NULL ? group->app->config : NULL;
	config_retain(app->config);
	group->app = app;
	config_release(before);
	group_take_answers(group);
	group_publish_queue(group);
	group->closes_ms = 0;
	timer_cancel(group->pool->loop, &group->closing);
	group_drain_on(group);
}

void
group_bury(struct grave *grave)
{
	struct group *group = container_of(grave, struct group, grave);
	for (size_t i = 0; i < MESSAGE_LONG_TEXT_N; i++)
		buf_free(&group->long_texts[i]);
	free(group->heap);
	free(group);
}

static void
group_end(struct group *group)
{
	struct pool *pool = group->pool;
	pool->spawning -= group->spawning;
	if (pool->by_app[group->app->id] == group)
		pool->by_app[group->app->id] = NULL;
	list_remove(&group->node);
	list_remove(&group->starved);
	timer_cancel(pool->loop, &group->backoff);
	timer_cancel(pool->loop, &group->closing);
	loop_soon_cancel(&group->pump);
	config_release(group->app->config);
	group->grave.bury = group_bury;
	loop_bury(pool->loop, &group->grave);
}

static void
group_closing_due(struct timer *timer)
{
	struct group *group = container_of(timer, struct group, closing);
	const struct config *config = group->app->config;
	struct list_node *node;
	bool unused = config == NULL || config->requests == 0;
	uint32_t members = group_waiting(group) + group->spawning;
	if (unused || group->closes_ms <= group->pool->loop->now_ms || group_size(group) == 0) {
		group_fail_queue(group, SESSION_STOPPED);
		group_end_oob(group);
		while ((node = list_first(&group->processes[PROCESS_WARMING])) != NULL ||
		       (node = list_first(&group->processes[PROCESS_ENABLED])) != NULL)
			group_replace(container_of(node, struct process, node));
	}
	for (int state = 0; state < PROCESS_STATE_N; state++)
		members += group->processes[state].count;
	if (members == 0 && unused)
		group_end(group);
	else
		timer_set(group->pool->loop, timer, POOL_CLOSING_MS);
}

static void
group_close(struct group *group)
{
	if (group->closes_ms != 0)
		return;
	group->closes_ms = group->pool->loop->now_ms + group->app->drain_timeout_ms;
	group_set_roll(group, ROLL_NONE);
	timer_set(group->pool->loop, &group->closing, 0);
}

static void
group_new(struct pool *pool, const struct app_config *app)
{
	struct group *group = calloc(1, sizeof(*group));
	if (group == NULL)
		abort();
	assert(app->id < SCOREBOARD_GROUPS);
	group->pool = pool;
	group->closing.due = group_closing_due;
	config_retain(app->config);
	group->app = app;
	group->board = &pool->scoreboard->groups[app->id];
	group->pump.run = group_pumped;
	group->backoff.due = group_backoff_over;
	list_init(&group->queue);
	list_init(&group->unlimited);
	list_init(&group->oob);
	list_init(&group->sticky);
	for (int state = 0; state < PROCESS_STATE_N; state++)
		list_init(&group->processes[state]);
	/* An earlier balancer's waiters and spawns are not ours; its counters go on. */
	atomic_store_explicit(&group->board->queued, 0, memory_order_relaxed);
	atomic_store_explicit(&group->board->spawning, 0, memory_order_relaxed);
	atomic_store_explicit(&group->board->oldest_queued_ms, 0, memory_order_relaxed);
	group->generation = atomic_load_explicit(&group->board->generation, memory_order_relaxed);
	group->roll = atomic_load_explicit(&group->board->roll, memory_order_relaxed);
	group->roll_size = atomic_load_explicit(&group->board->roll_size, memory_order_relaxed);
	group_take_answers(group);
	list_append(&pool->groups, &group->node);
}

void
pool_configure(struct pool *pool, const struct config *config)
{
	pool->config = config;
	list_each (&pool->groups, node) {
		struct group *group = container_of(node, struct group, node);
		const struct app_config *app = config_app_by_id(config, group->app->id);
		if (app != NULL && app->enabled && is_same(group, app))
			group_set_app(group, app);
		else
			group_close(group);
	}
	for (size_t i = 0; i < config->app_count; i++) {
		const struct app_config *app = config->apps[i];
		if (app->enabled && pool_group_of(pool, app) == NULL)
			group_new(pool, app);
	}
	if (pool->state != POOL_SERVING)
		return;
	pool_shrink(pool);
	list_each (&pool->groups, node)
		group_touch(container_of(node, struct group, node));
	pool_reap_later(pool);
}
