/*
 * A random walk of the pool beside a simple model of it: the model has tables
 * and loops over them where the pool has lists and a heap.  The model says what
 * each answer and each event must be; after each step everything that both
 * know is compared.  PASSENGER_WALK_STEPS: how many steps, 100 000 by default;
 * PASSENGER_WALK_SEED: where the dice begin.
 */
#include "fake_clock.h"

#include "pool/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { APPS = 3, SLOTS = 48, SESSIONS = 40, EPOCH_STEPS = 2000, STEPS = 100000, REAPER_MS = 1000 };

/* assert_true() costs a call even when it is true, and there are billions of these. */
#define must(condition)                                                                                     \
	do {                                                                                                \
		if (!(condition))                                                                           \
			fail_msg("step %llu of seed %llu: %s", (unsigned long long)step,                    \
			         (unsigned long long)seed, #condition);                                     \
	} while (0)

struct model_process {
	bool alive, enabled, retired;
	unsigned app;
	struct process *real;
	uint64_t serial;
	uint32_t concurrency, used, doubt, processed;
	bool can_tell;
	uint64_t idle_since_ms;
};

struct model_session {
	struct session real;
	enum session_state state;
	enum session_kind kind;
	unsigned app, slot;
	uint64_t since_ms, deadline_ms, ticket;
};

struct model_app {
	uint32_t spawning;
	bool failing;
	uint64_t backoff_until_ms, attached_ms;
};

static struct loop loop;
static struct pool pool;
static struct scoreboard *board;
static struct config config;
static struct app_config configs[APPS], *config_list[APPS];
static const struct app_type session_type = {.name = "ruby", .protocol = APP_PROTOCOL_SESSION};

static struct model_process processes[SLOTS];
static struct model_session sessions[SESSIONS];
static struct model_app apps[APPS];
static uint64_t seed, step, dice, tickets, serials;
static int dying, failing_app; /* what is being told to the pool now; -1: nothing */
static bool draining;
static uint32_t crowd, pressure; /* of this epoch: how many sessions there are, how often they come */
static unsigned count_events[5], count_answers[5], count_spawns, count_retired, count_evicted, count_reaped;

static uint32_t
roll(uint32_t sides)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return (uint32_t)((dice >> 32) * sides >> 32);
}

/* ---- what the model knows ---- */

static uint32_t
living(void)
{
	uint32_t count = 0;
	for (unsigned i = 0; i < SLOTS; i++)
		count += processes[i].alive;
	return count;
}

static uint32_t
spawning(void)
{
	uint32_t count = 0;
	for (unsigned i = 0; i < APPS; i++)
		count += apps[i].spawning;
	return count;
}

static uint32_t
enabled(unsigned app)
{
	uint32_t count = 0;
	for (unsigned i = 0; i < SLOTS; i++)
		count += processes[i].alive && processes[i].enabled && processes[i].app == app;
	return count;
}

/* Sessions in this state, of this application or (slot >= 0) on this process. */
static uint32_t
sessions_in(enum session_state state, unsigned app, int slot)
{
	uint32_t count = 0;
	for (unsigned i = 0; i < SESSIONS; i++)
		count += sessions[i].state == state &&
		         (slot >= 0 ? sessions[i].slot == (unsigned)slot : sessions[i].app == app);
	return count;
}

static uint32_t
queued(unsigned app)
{
	return sessions_in(SESSION_QUEUED, app, -1);
}

static struct model_session *
first_in(enum session_state state, unsigned app, int slot)
{
	struct model_session *first = NULL;
	for (unsigned i = 0; i < SESSIONS; i++) {
		struct model_session *session = &sessions[i];
		if (session->state == state && (slot >= 0 ? session->slot == (unsigned)slot : session->app == app) &&
		    (first == NULL || session->ticket < first->ticket))
			first = session;
	}
	return first;
}

static bool
full(const struct model_process *process)
{
	return process->concurrency > 0 && process->used + process->doubt >= process->concurrency;
}

static bool
empty(unsigned slot)
{
	const struct model_process *process = &processes[slot];
	return process->used + process->doubt == 0 && sessions_in(SESSION_ACTIVE, 0, (int)slot) == 0 &&
	       sessions_in(SESSION_TUNNEL, 0, (int)slot) == 0 && sessions_in(SESSION_AT_DOOR, 0, (int)slot) == 0;
}

/* The one that must be chosen, full or not; NULL: none. */
static struct model_process *
least_busy(unsigned app)
{
	struct model_process *best = NULL;
	for (unsigned i = 0; i < SLOTS; i++) {
		struct model_process *process = &processes[i];
		if (!process->alive || !process->enabled || process->app != app)
			continue;
		if (best == NULL) {
			best = process;
			continue;
		}
		uint64_t mine = (uint64_t)(process->used + process->doubt) * (best->concurrency ? best->concurrency : 1);
		uint64_t its = (uint64_t)(best->used + best->doubt) * (process->concurrency ? process->concurrency : 1);
		if (mine < its || (mine == its && process->serial < best->serial))
			best = process;
	}
	return best;
}

/* The pool takes processes out of rotation by itself: only idle ones, and only with a reason. */
static void
learn_of_detached(void)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		struct model_process *process = &processes[i];
		if (!process->alive || !process->enabled || process->real->state == PROCESS_ENABLED)
			continue;
		uint64_t limit = configs[process->app].pool_idle_time_ms;
		bool idle_for_long = limit > 0 && loop.now_ms - process->idle_since_ms >= limit &&
		                     enabled(process->app) > (uint64_t)configs[process->app].min_instances;
		bool others_wait = false;
		for (unsigned app = 0; app < APPS; app++)
			others_wait |= app != process->app && queued(app) > 0;
		bool evicted = others_wait && living() + spawning() >= (uint64_t)config.max_pool_size;
		must(empty(i));
		must(!draining);
		must(idle_for_long || evicted);
		count_reaped += idle_for_long;
		count_evicted += !idle_for_long;
		process->enabled = false;
	}
}

/* ---- what the model does ---- */

static void
activate(struct model_session *session, struct model_process *process)
{
	session->state = SESSION_ACTIVE;
	session->slot = (unsigned)(process - processes);
	process->used += session->kind != SESSION_BYPASS;
	process->idle_since_ms = loop.now_ms;
	must(process->concurrency == 0 || process->used + process->doubt <= process->concurrency);
}

/* Something has ended on it. */
static void
freed(unsigned slot)
{
	struct model_process *process = &processes[slot];
	int64_t limit = configs[process->app].max_requests;
	if (limit > 0 && process->processed >= (uint64_t)limit)
		process->enabled = false;
	if (process->doubt == 0 && sessions_in(SESSION_ACTIVE, 0, (int)slot) == 0 &&
	    sessions_in(SESSION_TUNNEL, 0, (int)slot) == 0)
		process->idle_since_ms = loop.now_ms;
}

static void
leave(struct model_session *session)
{
	struct model_process *process = &processes[session->slot];
	process->used -= session->state == SESSION_ACTIVE && session->kind != SESSION_BYPASS;
	process->processed++;
	session->state = SESSION_NONE;
}

static void
do_end(struct model_session *session)
{
	bool ran = session->state == SESSION_ACTIVE || session->state == SESSION_TUNNEL;
	if (ran)
		leave(session);
	session->state = SESSION_NONE;
	session_end(&session->real);
	if (ran)
		freed(session->slot);
}

static void
do_abandon(struct model_session *session)
{
	struct model_process *process = &processes[session->slot];
	bool ran = session->state == SESSION_ACTIVE || session->state == SESSION_TUNNEL;
	bool held = session->state == SESSION_ACTIVE && session->kind != SESSION_BYPASS;
	if (ran)
		leave(session);
	session->state = SESSION_NONE;
	if (held && process->can_tell)
		process->doubt++;
	session_abandon(&session->real);
	if (ran)
		freed(session->slot);
}

static void
do_tunnel(struct model_session *session)
{
	struct model_process *process = &processes[session->slot];
	if (session->state != SESSION_ACTIVE)
		return;
	session->state = SESSION_TUNNEL;
	if (session->kind != SESSION_BYPASS) {
		process->used--;
		process->doubt += process->can_tell;
	}
	session_tunnel(&session->real);
	if (session->kind != SESSION_BYPASS)
		freed(session->slot);
}

static void
do_trust(unsigned slot)
{
	struct model_process *process = &processes[slot];
	if (!process->alive || process->doubt == 0)
		return;
	process->doubt--;
	process_trust(process->real);
	freed(slot);
}

static enum group_answer
expected_answer(unsigned app, const struct model_process *best)
{
	if (best != NULL && !full(best) && queued(app) == 0 &&
	    sessions_in(SESSION_AT_DOOR, 0, (int)(best - processes)) == 0)
		return GROUP_TAKEN;
	if (best == NULL && draining)
		return GROUP_STOPPED;
	if (best == NULL && apps[app].spawning == 0 && apps[app].failing && apps[app].backoff_until_ms > loop.now_ms)
		return GROUP_FAILING;
	if (configs[app].max_request_queue_size > 0 && queued(app) >= (uint64_t)configs[app].max_request_queue_size)
		return GROUP_QUEUE_FULL;
	return GROUP_WAITS;
}

static void
wait_since_now(struct model_session *session, enum session_state state, uint64_t wait_ms, bool limited)
{
	session->state = state;
	session->since_ms = loop.now_ms;
	session->deadline_ms = limited ? loop.now_ms + wait_ms : UINT64_MAX;
	session->ticket = ++tickets;
}

static void
do_take(struct model_session *session, unsigned app)
{
	if (session->state != SESSION_NONE)
		return;
	learn_of_detached();
	struct model_process *best = least_busy(app);
	enum group_answer expected = expected_answer(app, best);
	session->kind = SESSION_BALANCED;
	session->app = app;
	session->slot = SLOTS;
	enum group_answer answer = group_take(pool_group(&pool, app), &session->real);
	must(answer == expected);
	count_answers[answer]++;
	if (answer == GROUP_TAKEN) {
		must(session->real.process == best->real);
		activate(session, best);
	} else if (answer == GROUP_WAITS) {
		uint64_t wait_ms = configs[app].max_request_queue_time_ms;
		wait_since_now(session, SESSION_QUEUED, wait_ms, wait_ms > 0);
	}
}

static void
do_door(struct model_session *session, unsigned slot)
{
	struct model_process *process = &processes[slot];
	if (session->state != SESSION_NONE || !process->alive)
		return;
	learn_of_detached();
	uint64_t wait_ms = configs[process->app].direct_wait_ms;
	bool somebody = sessions_in(SESSION_AT_DOOR, 0, (int)slot) > 0 || (process->enabled && queued(process->app) > 0);
	session->kind = session->real.kind = roll(4) ? SESSION_DIRECT : SESSION_BYPASS;
	session->app = process->app;
	session->slot = slot;
	bool expected = session->kind == SESSION_BYPASS || (!full(process) && !somebody);
	must(process_take(process->real, &session->real, wait_ms) == expected);
	if (expected)
		activate(session, process);
	else
		wait_since_now(session, SESSION_AT_DOOR, wait_ms, true);
}

/* ---- what the pool says ---- */

static void
heard_ready(struct model_session *session)
{
	struct process *real = session->real.process;
	struct model_process *process = &processes[real->record.slot];
	unsigned slot = real->record.slot;
	struct model_session *at_door = first_in(SESSION_AT_DOOR, 0, (int)slot);
	struct model_session *in_queue = process->enabled ? first_in(SESSION_QUEUED, process->app, -1) : NULL;
	must(process->alive && process->real == real && !full(process));
	if (session->state == SESSION_QUEUED) {
		must(session == in_queue);
		must(process == least_busy(session->app));
		must(at_door == NULL || at_door->since_ms > session->since_ms);
	} else {
		must(session->state == SESSION_AT_DOOR && session == at_door);
		must(in_queue == NULL || in_queue->since_ms >= session->since_ms);
	}
	activate(session, process);
}

static void
heard(struct session *real, enum session_event event)
{
	struct model_session *session = container_of(real, struct model_session, real);
	count_events[event]++;
	learn_of_detached();
	switch (event) {
	case SESSION_READY:
		heard_ready(session);
		if (roll(8) == 0)
			do_end(session);
		return;
	case SESSION_TIMEOUT:
		must(session->state == SESSION_QUEUED || session->state == SESSION_AT_DOOR);
		must(session->deadline_ms <= loop.now_ms);
		break;
	case SESSION_PROCESS_GONE:
		must(dying == (int)session->slot && session->state != SESSION_NONE && session->state != SESSION_QUEUED);
		break;
	case SESSION_SPAWN_FAILED:
		must(session->state == SESSION_QUEUED && failing_app == (int)session->app);
		must(enabled(session->app) == 0 && apps[session->app].spawning == 0);
		break;
	case SESSION_STOPPED:
		must(session->state == SESSION_QUEUED && draining && enabled(session->app) == 0);
		break;
	}
	session->state = SESSION_NONE;
	if (roll(4) == 0)
		do_take(session, session->app);
}

static void
hook_spawn(void *owner, struct group *group)
{
	unsigned app = group->app->id;
	uint32_t size = enabled(app) + apps[app].spawning;
	(void)owner;
	learn_of_detached();
	must(!draining);
	must(configs[app].max_instances == 0 || size < (uint64_t)configs[app].max_instances);
	must(size < (uint64_t)configs[app].min_instances || queued(app) > 0);
	must(apps[app].backoff_until_ms <= loop.now_ms);
	must(apps[app].spawning < POOL_GROUP_SPAWNS_MAX && spawning() < POOL_SPAWNS_MAX);
	must(living() + spawning() < (uint64_t)config.max_pool_size);
	apps[app].spawning++;
	count_spawns++;
}

static void
hook_retire(void *owner, struct process *real)
{
	struct model_process *process = &processes[real->record.slot];
	(void)owner;
	learn_of_detached();
	must(process->alive && process->real == real && !process->enabled && !process->retired);
	must(empty(real->record.slot));
	process->retired = true;
	count_retired++;
}

static void
hook_kill(void *owner, struct process *process, const char *why)
{
	(void)owner;
	(void)process;
	(void)why;
	must(!"the pool never kills by itself");
}

static void
hook_process(void *owner, struct process *process)
{
	(void)owner;
	(void)process;
}

/* ---- what the spawner says ---- */

static void
attach(unsigned app)
{
	unsigned slot = roll(SLOTS);
	while (processes[slot].alive)
		slot = (slot + 1) % SLOTS;
	struct message_process record = {
		.app_id = app,
		.slot = slot,
		.serial = ++serials,
		.pid = 2 + (int32_t)slot,
		.concurrency = configs[app].concurrency == 0 ? 0 : 1 + (int32_t)roll((uint32_t)configs[app].concurrency),
		.protocol = roll(4) ? APP_PROTOCOL_SESSION : APP_PROTOCOL_HTTP,
		.started_ms = loop.now_ms,
	};
	struct model_process *process = &processes[slot];
	*process = (struct model_process){.alive = true, .enabled = true, .app = app, .serial = record.serial,
	                                  .concurrency = (uint32_t)record.concurrency};
	process->can_tell = record.concurrency > 0 && record.protocol == APP_PROTOCOL_SESSION;
	process->idle_since_ms = loop.now_ms;
	/* The spawner zeroes a slot; now and then an earlier balancer has left something. */
	atomic_store(&board->processes[slot].processed, 0);
	atomic_store(&board->processes[slot].last_used_ms, 0);
	atomic_store(&board->processes[slot].sessions, roll(4) ? 0 : roll(6));
	uint32_t left = atomic_load(&board->processes[slot].sessions);
	process->doubt = !process->can_tell ? 0 : left < process->concurrency ? left : process->concurrency;
	apps[app].spawning -= apps[app].spawning > 0;
	apps[app].failing = false;
	apps[app].backoff_until_ms = 0;
	apps[app].attached_ms = loop.now_ms;
	process->real = pool_attach(&pool, &record);
	must(process->real != NULL);
}

static void
spawn_answers(unsigned app)
{
	if (apps[app].spawning == 0)
		return;
	if (roll(5) > 0) {
		attach(app);
		return;
	}
	uint64_t next_try_ms = roll(3) * 200;
	apps[app].spawning--;
	apps[app].failing = true;
	apps[app].backoff_until_ms = loop.now_ms + next_try_ms;
	failing_app = (int)app;
	pool_spawn_failed(&pool, app, STR("id\nit failed\n"), next_try_ms);
	failing_app = -1;
}

static void
gone(unsigned slot)
{
	if (!processes[slot].alive)
		return;
	learn_of_detached();
	processes[slot].alive = false;
	dying = (int)slot;
	pool_gone(&pool, slot, processes[slot].serial);
	dying = -1;
	must(pool_find(&pool, slot, processes[slot].serial) == NULL);
	for (unsigned i = 0; i < SESSIONS; i++)
		must(sessions[i].state == SESSION_NONE || sessions[i].state == SESSION_QUEUED || sessions[i].slot != slot);
}

static void
detach(unsigned slot)
{
	if (!processes[slot].alive)
		return;
	processes[slot].enabled = false;
	group_detach(processes[slot].real);
}

static void
restart(unsigned app)
{
	learn_of_detached();
	for (unsigned i = 0; i < SLOTS; i++)
		if (processes[i].alive && processes[i].app == app)
			processes[i].enabled = false;
	apps[app].failing = false;
	apps[app].backoff_until_ms = 0;
	group_restart(pool_group(&pool, app));
}

/* ---- are they of one mind? ---- */

static void
check_group(unsigned app)
{
	const struct group *group = pool_group(&pool, app);
	uint64_t ticket = 0;
	uint32_t count = 0;
	must(group->heap_count == enabled(app) && group->processes[PROCESS_ENABLED].count == group->heap_count);
	must(group->spawning == apps[app].spawning);
	must(atomic_load(&group->board->queued) == group->queue.count);
	must(atomic_load(&group->board->spawning) == group->spawning);
	for (uint32_t i = 0; i < group->heap_count; i++) {
		const struct process *process = group->heap[i], *parent = group->heap[(i + 1) / 2 - (i > 0)];
		must(process->heap_place == i + 1 && process->state == PROCESS_ENABLED && process->group == group);
		must(process_busyness(parent) <= process_busyness(process));
	}
	must(group->heap_count == 0 || group->heap[0] == least_busy(app)->real);
	list_each(&group->queue, node)
	{
		struct model_session *session = container_of(node, struct model_session, real.node);
		must(session->state == SESSION_QUEUED && session->app == app && session->ticket > ticket);
		ticket = session->ticket;
		count++;
	}
	must(count == group->queue.count && count == queued(app));
}

static void
check_process(unsigned slot)
{
	const struct model_process *process = &processes[slot];
	const struct process *real = process->real;
	must(pool.by_slot[slot] == real && real->record.serial == process->serial);
	must((real->state == PROCESS_ENABLED) == process->enabled);
	must((real->state == PROCESS_RETIRING) == process->retired);
	must(real->node.list == &real->group->processes[real->state]);
	must(real->places == process->used && real->doubt == process->doubt);
	must((real->heap_place != 0) == process->enabled);
	must(real->waiting.count == sessions_in(SESSION_AT_DOOR, 0, (int)slot));
	must(real->active.count ==
	     sessions_in(SESSION_ACTIVE, 0, (int)slot) + sessions_in(SESSION_TUNNEL, 0, (int)slot));
	must(process->used <= real->active.count);
	must(atomic_load(&real->board->sessions) == real->active.count + real->doubt);
	must(atomic_load(&real->board->processed) == process->processed);
}

static void
check_session(const struct model_session *session)
{
	const struct session *real = &session->real;
	must(real->state == session->state);
	switch (session->state) {
	case SESSION_NONE: must(real->node.list == NULL && !timer_is_set(&real->timer)); return;
	case SESSION_QUEUED: must(real->node.list == &pool_group(&pool, session->app)->queue); break;
	case SESSION_AT_DOOR: must(real->node.list == &processes[session->slot].real->waiting); break;
	case SESSION_ACTIVE:
	case SESSION_TUNNEL:
		must(real->node.list == &processes[session->slot].real->active && !timer_is_set(&real->timer));
		return;
	case SESSION_STATE_N: must(!"state");
	}
	must(timer_is_set(&real->timer) == (session->deadline_ms != UINT64_MAX));
	must(session->deadline_ms == UINT64_MAX || real->timer.at_ms == session->deadline_ms);
}

static void
check(void)
{
	learn_of_detached();
	must(pool.process_count == living() && pool.spawning == spawning());
	for (unsigned i = 0; i < APPS; i++)
		check_group(i);
	for (unsigned i = 0; i < SLOTS; i++) {
		if (processes[i].alive)
			check_process(i);
		else
			must(pool.by_slot[i] == NULL);
	}
	for (unsigned i = 0; i < SESSIONS; i++)
		check_session(&sessions[i]);
}

/* Nothing is left for the next turn: then nobody waits for what there is. */
static void
check_rest(void)
{
	bool room = !draining && spawning() < POOL_SPAWNS_MAX && living() + spawning() < (uint64_t)config.max_pool_size;
	for (unsigned app = 0; app < APPS; app++) {
		const struct model_process *best = least_busy(app);
		uint32_t size = enabled(app) + apps[app].spawning;
		must(queued(app) == 0 || best == NULL || full(best));
		must(queued(app) == 0 || best != NULL || !draining);
		bool wants = size < (uint64_t)configs[app].min_instances || (queued(app) > 0 && size == 0);
		bool may = configs[app].max_instances == 0 || size < (uint64_t)configs[app].max_instances;
		must(!room || !wants || !may || apps[app].spawning == POOL_GROUP_SPAWNS_MAX ||
		     apps[app].backoff_until_ms > loop.now_ms);
	}
	for (unsigned i = 0; i < SLOTS; i++) {
		const struct model_process *process = &processes[i];
		if (!process->alive)
			continue;
		must(sessions_in(SESSION_AT_DOOR, 0, (int)i) == 0 || full(process));
		must(process->enabled || process->retired || !empty(i));
		uint64_t limit = configs[process->app].pool_idle_time_ms, idle_ms = loop.now_ms - process->idle_since_ms;
		bool due = limit > 0 && idle_ms >= limit && idle_ms >= REAPER_MS &&
		           loop.now_ms - apps[process->app].attached_ms >= REAPER_MS;
		must(draining || !due || !process->enabled || !empty(i) ||
		     enabled(process->app) <= (uint64_t)configs[process->app].min_instances);
	}
}

/* ---- the walk ---- */

static void
random_step(void)
{
	struct model_session *session = &sessions[roll(crowd)];
	unsigned slot = roll(SLOTS), app = roll(APPS), what = roll(100);
	while (!processes[slot].alive && roll(16))
		slot = (slot + 1) % SLOTS;
	if (what < 42 && roll(100) >= pressure)
		do_end(session);
	else if (what < 32)
		do_take(session, app);
	else if (what < 42)
		do_door(session, slot);
	else if (what < 62)
		do_end(session);
	else if (what < 66)
		do_abandon(session);
	else if (what < 69)
		do_tunnel(session);
	else if (what < 78)
		do_trust(slot);
	else if (what < 87)
		spawn_answers(apps[app].spawning ? app : (app + 1) % APPS);
	else if (what < 88)
		(void)(roll(3) ? (void)0 : gone(slot));
	else if (what < 92)
		(void)(processes[slot].retired ? gone(slot) : (void)0);
	else if (what == 92)
		(void)(roll(2) ? detach(slot) : (void)0);
	else if (what == 93)
		(void)(roll(8) ? (void)0 : restart(app));
	else
		fake_now_ms += what < 99 ? roll(20) : roll(4) ? roll(200) : roll(10) ? roll(3000) : roll(60000);
}

static void
settle(void)
{
	for (int turns = 0; turns == 0 || loop.soon.count > 0; turns++) {
		loop_turn(&loop, 0);
		must(turns < 1000);
	}
}

static void
begin_epoch(void)
{
	const struct pool_hooks hooks = {.spawn = hook_spawn, .retire = hook_retire, .kill = hook_kill,
	                                 .attached = hook_process, .gone = hook_process, .doubted = hook_process};
	memset(processes, 0, sizeof(processes));
	memset(sessions, 0, sizeof(sessions));
	memset(apps, 0, sizeof(apps));
	draining = false;
	crowd = 2 + roll(SESSIONS - 1);
	pressure = 5 + roll(96);
	for (unsigned i = 0; i < APPS; i++) {
		configs[i] = (struct app_config){.id = i, .type = &session_type, .enabled = true};
		configs[i].force_max_concurrent_requests_per_process = -1;
		configs[i].thread_count = 1 + roll(3);
		configs[i].concurrency = roll(5);
		configs[i].min_instances = roll(3);
		configs[i].max_instances = roll(2) ? 0 : 1 + roll(4);
		configs[i].pool_idle_time_ms = roll(2) ? 0 : 100 + roll(3000);
		configs[i].max_requests = roll(2) ? 0 : 1 + roll(30);
		configs[i].max_request_queue_size = roll(2) ? 0 : 1 + roll(8);
		configs[i].max_request_queue_time_ms = roll(2) ? 0 : 1 + roll(1000);
		configs[i].direct_wait_ms = roll(1000);
		config_list[i] = &configs[i];
	}
	for (unsigned i = 0; i < SESSIONS; i++)
		sessions[i].real.event = heard;
	config = (struct config){.max_pool_size = 1 + roll(14), .apps = config_list, .app_count = APPS};
	must(loop_init(&loop));
	pool_init(&pool, &loop, board, &hooks);
	pool_configure(&pool, &config);
	for (unsigned left = roll(3); left > 0; left--)
		attach(roll(APPS));
	pool_begin(&pool);
}

/* Draining ends: whatever waits is served or told. */
static void
end_epoch(void)
{
	draining = true;
	pool_drain(&pool);
	for (int round = 0; round < 400; round++) {
		for (unsigned i = 0; i < SLOTS; i++)
			do_trust(i);
		do_end(&sessions[roll(SESSIONS)]);
		settle();
		check();
		check_rest();
		for (unsigned i = 0; i < SESSIONS; i++)
			if (sessions[i].state == SESSION_ACTIVE || sessions[i].state == SESSION_TUNNEL)
				do_end(&sessions[i]);
	}
	for (unsigned i = 0; i < SESSIONS; i++)
		must(sessions[i].state == SESSION_NONE);
	pool_free(&pool);
	loop_free(&loop);
}

static uint64_t
number_from(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);
	uint64_t number;
	return text != NULL && str_to_u64(str_from(text), &number) && number > 0 ? number : otherwise;
}

static void
test_walk(void **state)
{
	uint64_t steps = number_from("PASSENGER_WALK_STEPS", STEPS);
	int fd;
	(void)state;
	seed = dice = number_from("PASSENGER_WALK_SEED", 20261122);
	dying = failing_app = -1;
	board = scoreboard_create(&fd);
	assert_non_null(board);
	close(fd);
	for (step = 0; step < steps; step++) {
		if (step % EPOCH_STEPS == 0)
			begin_epoch();
		random_step();
		check();
		if (roll(2)) {
			loop_turn(&loop, 0);
			check();
		}
		if (roll(8) == 0) {
			settle();
			check();
			check_rest();
		}
		if (step % EPOCH_STEPS == EPOCH_STEPS - 1 || step == steps - 1)
			end_epoch();
	}
	scoreboard_unmap(board);
	printf("%llu steps: answers taken %u, waits %u, queue full %u, failing %u, stopped %u\n",
	       (unsigned long long)steps, count_answers[0], count_answers[1], count_answers[2], count_answers[3],
	       count_answers[4]);
	printf("events ready %u, spawn failed %u, timeout %u, gone %u, stopped %u; spawned %u, retired %u, "
	       "of these evicted %u, idle %u\n",
	       count_events[0], count_events[1], count_events[2], count_events[3], count_events[4], count_spawns,
	       count_retired, count_evicted, count_reaped);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_walk)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
