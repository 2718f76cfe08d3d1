#include "pool_model.h"

enum { REAPER_MS = 1000 };

struct loop model_loop;
struct pool model_pool;
struct config model_config;
struct app_config model_configs[MODEL_APPS];
struct model_process model_processes[MODEL_SLOTS];
struct model_session model_sessions[MODEL_SESSIONS];
struct model_app model_apps[MODEL_APPS];
uint64_t model_seed, model_step;
bool model_draining;
unsigned model_evicted, model_reaped, model_replaced;

/* ---- what the model knows ---- */

uint32_t
model_living(void)
{
	uint32_t count = 0;
	for (unsigned i = 0; i < MODEL_SLOTS; i++)
		count += model_processes[i].alive;
	return count;
}

uint32_t
model_spawning(void)
{
	uint32_t count = 0;
	for (unsigned i = 0; i < MODEL_APPS; i++)
		count += model_apps[i].spawning;
	return count;
}

uint32_t
model_enabled(unsigned app)
{
	uint32_t count = 0;
	for (unsigned i = 0; i < MODEL_SLOTS; i++)
		count += model_processes[i].alive && model_processes[i].enabled && model_processes[i].app == app;
	return count;
}

uint32_t
model_coming(unsigned app)
{
	uint32_t count = model_apps[app].spawning;
	for (unsigned i = 0; i < MODEL_SLOTS; i++)
		count += model_processes[i].alive && model_processes[i].warming && model_processes[i].app == app;
	return count;
}

/* By a restart; when there is none, because it has served max_requests. */
static bool
is_outdated(const struct model_process *process)
{
	const struct group *group = pool_group(&model_pool, process->app);
	if (!process->alive || !process->enabled)
		return false;
	return group->roll == ROLL_NONE ? process->real->spent : process->generation < group->generation;
}

bool
model_replaces(unsigned app)
{
	const struct group *group = pool_group(&model_pool, app);
	uint32_t batch = group->roll == ROLL_RUNNING ? (uint32_t)model_configs[app].rolling_restart_batch_size : 1;
	uint32_t outdated = 0;
	for (unsigned i = 0; i < MODEL_SLOTS; i++)
		outdated += model_processes[i].app == app && is_outdated(&model_processes[i]);
	return group->roll != ROLL_FAILED && model_coming(app) < batch && model_coming(app) < outdated;
}

uint32_t
model_sessions_in(enum session_state state, unsigned app, int slot)
{
	uint32_t count = 0;
	for (unsigned i = 0; i < MODEL_SESSIONS; i++)
		count += model_sessions[i].state == state &&
		         (slot >= 0 ? model_sessions[i].slot == (unsigned)slot : model_sessions[i].app == app);
	return count;
}

uint32_t
model_queued(unsigned app)
{
	return model_sessions_in(SESSION_QUEUED, app, -1);
}

struct model_session *
model_first_in(enum session_state state, unsigned app, int slot)
{
	struct model_session *first = NULL;
	for (unsigned i = 0; i < MODEL_SESSIONS; i++) {
		struct model_session *session = &model_sessions[i];
		if (session->state == state && (slot >= 0 ? session->slot == (unsigned)slot : session->app == app) &&
		    (first == NULL || session->ticket < first->ticket))
			first = session;
	}
	return first;
}

uint32_t
model_queued_as(unsigned app, bool needs_place)
{
	uint32_t count = 0;
	for (unsigned i = 0; i < MODEL_SESSIONS; i++)
		count += model_sessions[i].state == SESSION_QUEUED && model_sessions[i].app == app &&
		         (model_sessions[i].kind != SESSION_UNLIMITED) == needs_place;
	return count;
}

struct model_session *
model_first_queued(unsigned app, bool needs_place)
{
	struct model_session *first = NULL;
	for (unsigned i = 0; i < MODEL_SESSIONS; i++) {
		struct model_session *session = &model_sessions[i];
		if (session->state == SESSION_QUEUED && session->app == app &&
		    (session->kind != SESSION_UNLIMITED) == needs_place &&
		    (first == NULL || session->ticket < first->ticket))
			first = session;
	}
	return first;
}

static bool
is_sticky(const struct model_session *session)
{
	return session->state == SESSION_AT_DOOR && session->kind == SESSION_BALANCED;
}

uint32_t
model_sticky(unsigned app)
{
	uint32_t count = 0;
	for (unsigned i = 0; i < MODEL_SESSIONS; i++)
		count += is_sticky(&model_sessions[i]) && model_sessions[i].app == app;
	return count;
}

uint64_t
model_ticket(uint64_t since_ms)
{
	static uint32_t count;
	return since_ms << 32 | ++count;
}

void
model_leave_rotation(unsigned slot)
{
	struct model_session *first;
	model_processes[slot].enabled = false;
	do {
		first = NULL;
		for (unsigned i = 0; i < MODEL_SESSIONS; i++) {
			struct model_session *session = &model_sessions[i];
			if (is_sticky(session) && session->slot == slot &&
			    (first == NULL || session->ticket < first->ticket))
				first = session;
		}
		if (first == NULL)
			return;
		first->state = SESSION_QUEUED;
		first->again = true;
		first->slot = MODEL_SLOTS;
		first->ticket = model_ticket(first->since_ms);
	} while (true);
}

uint64_t
model_size(unsigned app)
{
	uint64_t count = model_coming(app);
	for (unsigned i = 0; i < MODEL_SLOTS; i++)
		count += model_processes[i].alive && model_processes[i].app == app &&
		         (model_processes[i].enabled || model_processes[i].oob != MODEL_OOB_NONE);
	return count;
}

uint64_t
model_minimum(unsigned app)
{
	uint64_t least = (uint64_t)model_configs[app].min_instances;
	if (model_apps[app].requests == 0 && model_configs[app].pre_start == CONFIG_PRE_START_OFF)
		return 0;
	if (model_apps[app].requests == 0 && model_configs[app].pre_start == CONFIG_PRE_START_ON && least == 0)
		return 1;
	return least;
}

uint64_t
model_maximum(unsigned app)
{
	uint64_t limit = UINT64_MAX;
	if (model_configs[app].max_instances > 0)
		limit = (uint64_t)model_configs[app].max_instances;
	if (model_config.max_instances_per_app > 0 && (uint64_t)model_config.max_instances_per_app < limit)
		limit = (uint64_t)model_config.max_instances_per_app;
	return limit;
}

bool
model_full(const struct model_process *process)
{
	return process->oob == MODEL_OOB_WORKING ||
	       (process->concurrency > 0 && process->used + process->doubt >= process->concurrency);
}

bool
model_empty(unsigned slot)
{
	const struct model_process *process = &model_processes[slot];
	return process->used + process->doubt == 0 && model_sessions_in(SESSION_ACTIVE, 0, (int)slot) == 0 &&
	       model_sessions_in(SESSION_TUNNEL, 0, (int)slot) == 0 &&
	       model_sessions_in(SESSION_AT_DOOR, 0, (int)slot) == 0;
}

/* Out of rotation it would be told to stop. */
bool
model_leaves(unsigned slot)
{
	const struct model_process *process = &model_processes[slot];
	unsigned tunnels = model_sessions_in(SESSION_TUNNEL, 0, (int)slot);
	if (tunnels == 0 || !model_configs[process->app].abort_websockets_on_process_shutdown)
		return model_empty(slot);
	return process->used == 0 && process->doubt <= model_sessions_in(SESSION_TUNNEL, 0, (int)slot) &&
	       model_sessions_in(SESSION_ACTIVE, 0, (int)slot) == 0 &&
	       model_sessions_in(SESSION_AT_DOOR, 0, (int)slot) == 0;
}

/* Places; without a limit also the tunnels, which hold none. */
static uint64_t
model_load(const struct model_process *process)
{
	unsigned load = process->used + process->doubt;
	if (process->concurrency == 0)
		load = process->doubt + model_sessions_in(SESSION_ACTIVE, 0, (int)(process - model_processes)) +
		       model_sessions_in(SESSION_TUNNEL, 0, (int)(process - model_processes));
	return load;
}

/* Those that hold no place decide between equals. */
static uint32_t
model_beside(const struct model_process *process)
{
	int slot = (int)(process - model_processes);
	return process->concurrency == 0 ? 0
	                                 : model_sessions_in(SESSION_ACTIVE, 0, slot) +
	                                           model_sessions_in(SESSION_TUNNEL, 0, slot) - process->used;
}

/* While a restart runs: the newest generation first, as far as it can take anything. */
static bool
goes_before(const struct model_process *process, const struct model_process *best)
{
	if (pool_group(&model_pool, process->app)->roll == ROLL_RUNNING && process->generation != best->generation)
		return model_full(process) != model_full(best) ? model_full(best)
		                                               : process->generation > best->generation;
	uint64_t mine = model_load(process) * (best->concurrency ? best->concurrency : 1);
	uint64_t its = model_load(best) * (process->concurrency ? process->concurrency : 1);
	uint32_t beside = model_beside(process), its_beside = model_beside(best);
	return mine < its ||
	       (mine == its && (beside < its_beside || (beside == its_beside && process->serial < best->serial)));
}

struct model_process *
model_least_busy(unsigned app)
{
	struct model_process *best = NULL;
	for (unsigned i = 0; i < MODEL_SLOTS; i++) {
		struct model_process *process = &model_processes[i];
		if (!process->alive || !process->enabled || process->app != app)
			continue;
		if (best == NULL || goes_before(process, best))
			best = process;
	}
	return best;
}

/* Out of rotation by out-of-band work since it was looked last: what was idle may have been reaped before that. */
static unsigned learnt_oob[MODEL_APPS];

/* Only who has asked, one at a time, and never the last one; back without having worked only when it is the last. */
static void
learn_of_oob(unsigned slot)
{
	struct model_process *process = &model_processes[slot];
	enum process_state state = process->real->state;
	if (process->enabled && (state == PROCESS_DISABLING || state == PROCESS_DISABLED)) {
		must(process->asked && !model_draining);
		for (unsigned i = 0; i < MODEL_SLOTS; i++)
			must(!model_processes[i].alive || model_processes[i].app != process->app ||
			     model_processes[i].oob == MODEL_OOB_NONE);
		process->asked = false;
		process->oob = MODEL_OOB_DISABLING;
		learnt_oob[process->app]++;
		model_leave_rotation(slot);
		must(model_enabled(process->app) > 0);
	}
}

/* The newest of those that are replaced leaves first. */
static void
learn_of_replaced(void)
{
	struct model_process *newest;
	do {
		newest = NULL;
		for (unsigned i = 0; i < MODEL_SLOTS; i++) {
			struct model_process *process = &model_processes[i];
			const struct process *real = process->real;
			if (!process->alive || real->state < PROCESS_DETACHED ||
			    (!process->enabled && !process->warming))
				continue;
			if (!real->spent && process->generation >= real->group->generation)
				continue;
			process->warming = false;
			model_replaced += process->enabled;
			if (process->enabled && (newest == NULL || process->serial > newest->serial))
				newest = process;
		}
		if (newest != NULL) {
			newest->asked = false;
			model_leave_rotation((unsigned)(newest - model_processes));
		}
	} while (newest != NULL);
}

/* By idleness, for somebody else who waits, or since there are too many. */
static void
learn_of_eviction(unsigned slot)
{
	struct model_process *process = &model_processes[slot];
	uint64_t limit = model_configs[process->app].pool_idle_time_ms;
	bool others_wait = false, shared = false;
	if (!process->enabled || process->real->state == PROCESS_ENABLED)
		return;
	bool idle_for_long = limit > 0 && model_loop.now_ms - process->idle_since_ms >= limit &&
	                     model_enabled(process->app) + learnt_oob[process->app] > model_minimum(process->app);
	for (unsigned app = 0; app < MODEL_APPS; app++)
		others_wait |= app != process->app && model_queued(app) > 0;
	bool evicted = others_wait && model_living() + model_spawning() >= (uint64_t)model_config.max_pool_size;
	/* One that is at work goes only for somebody who has fewer. */
	for (unsigned app = 0; app < MODEL_APPS; app++)
		shared |= evicted && app != process->app && model_queued(app) > 0 &&
		          model_size(app) < model_size(process->app);
	/* It came in place of one that a roll did not have to replace any more. */
	bool beyond = model_enabled(process->app) + learnt_oob[process->app] > model_maximum(process->app);
	must(model_empty(slot) || shared || beyond);
	must(!model_draining);
	/* An epoch may begin with more than max_pool_size. */
	bool surplus = model_empty(slot) && model_living() > (uint64_t)model_config.max_pool_size;
	must((idle_for_long && model_empty(slot)) || evicted || beyond || surplus);
	model_reaped += idle_for_long;
	model_evicted += !idle_for_long && !beyond && !surplus;
	process->asked = false;
	model_leave_rotation(slot);
}

/* Back since the others are gone; and it may go as they did. */
static void
learn_of_return(unsigned slot)
{
	struct model_process *process = &model_processes[slot];
	enum process_state state = process->real->state;
	if (process->oob != MODEL_OOB_DISABLING || (state != PROCESS_ENABLED && state < PROCESS_DETACHED))
		return;
	must(model_enabled(process->app) == 0);
	process->oob = MODEL_OOB_NONE;
	process->enabled = process->asked = true;
	process->idle_since_ms = model_loop.now_ms;
	learn_of_eviction(slot);
}

void
model_learn_of_detached(void)
{
	memset(learnt_oob, 0, sizeof(learnt_oob));
	for (unsigned i = 0; i < MODEL_SLOTS; i++)
		if (model_processes[i].alive)
			learn_of_oob(i);
	learn_of_replaced();
	for (unsigned i = 0; i < MODEL_SLOTS; i++)
		if (model_processes[i].alive)
			learn_of_eviction(i);
	for (unsigned i = 0; i < MODEL_SLOTS; i++)
		if (model_processes[i].alive)
			learn_of_return(i);
}

/* ---- are they of one mind? ---- */

static void
check_group(unsigned app)
{
	const struct group *group = pool_group(&model_pool, app);
	uint64_t ticket = 0;
	uint32_t count = 0;
	must(group->heap_count == model_enabled(app) && group->processes[PROCESS_ENABLED].count == group->heap_count);
	must(group->spawning == model_apps[app].spawning);
	must(atomic_load(&group->board->queued) == group->queue.count + group->unlimited.count + group->sticky.count);
	must(atomic_load(&group->board->requests) == model_apps[app].requests);
	must(group->sticky.count == model_sticky(app) && group->unlimited.count == model_queued_as(app, false));
	must(atomic_load(&group->board->spawning) == group->spawning);
	for (uint32_t i = 0; i < group->heap_count; i++) {
		const struct process *process = group->heap[i], *parent = group->heap[(i + 1) / 2 - (i > 0)];
		must(process->heap_place == i + 1 && process->state == PROCESS_ENABLED && process->group == group);
		must(group->roll == ROLL_RUNNING || process_busyness(parent) <= process_busyness(process));
	}
	must(group->heap_count == 0 || group->heap[0] == model_least_busy(app)->real);
	list_each (&group->queue, node) {
		struct model_session *session = container_of(node, struct model_session, real.node);
		must(session->state == SESSION_QUEUED && session->app == app);
		/* Which of two processes left first in this turn, and so which of two of one age, only the pool knows. */
		if (session->ticket < ticket) {
			must(session->again && session->since_ms == ticket >> 32);
			session->ticket = model_ticket(session->since_ms);
		}
		ticket = session->ticket;
		count++;
	}
	must(count == group->queue.count && count == model_queued_as(app, true));
	ticket = 0;
	list_each (&group->unlimited, node) {
		struct model_session *session = container_of(node, struct model_session, real.node);
		must(session->state == SESSION_QUEUED && session->kind == SESSION_UNLIMITED && session->ticket > ticket);
		ticket = session->ticket;
	}
}

static void
check_process(unsigned slot)
{
	const struct model_process *process = &model_processes[slot];
	const struct process *real = process->real;
	must(model_pool.by_slot[slot] == real && real->record.serial == process->serial);
	must((real->state == PROCESS_ENABLED) == process->enabled);
	must((real->state == PROCESS_WARMING) == process->warming);
	must((real->state == PROCESS_RETIRING) == process->retired);
	must((real->state == PROCESS_DISABLING) == (process->oob == MODEL_OOB_DISABLING));
	must((real->state == PROCESS_DISABLED) == (process->oob == MODEL_OOB_WORKING));
	must(list_contains(&real->oob) == process->asked);
	must(real->node.list == &real->group->processes[real->state]);
	must(real->places == process->used && real->doubt == process->doubt);
	must((real->heap_place != 0) == process->enabled);
	must(real->waiting.count == model_sessions_in(SESSION_AT_DOOR, 0, (int)slot));
	must(real->active.count ==
	     model_sessions_in(SESSION_ACTIVE, 0, (int)slot) + model_sessions_in(SESSION_TUNNEL, 0, (int)slot));
	must(process->used <= real->active.count);
	uint32_t shown = atomic_load(&real->board->state);
	must(shown == (process->warming                 ? SCOREBOARD_WARMING
	               : process->oob != MODEL_OOB_NONE ? SCOREBOARD_DISABLED
	               : !process->enabled              ? SCOREBOARD_DETACHED
	               : real->doubt > 0                ? SCOREBOARD_RECOVERING
	                                                : SCOREBOARD_ENABLED));
	must(atomic_load(&real->board->sessions[0]) == real->active.count + real->doubt);
	must(atomic_load(&real->board->claims) == real->places + real->doubt);
	must(atomic_load(&real->board->processed) == process->processed);
}

static void
check_session(const struct model_session *session)
{
	const struct session *real = &session->real;
	must(real->state == session->state);
	switch (session->state) {
	case SESSION_NONE:
		must(real->node.list == NULL && !timer_is_set(&real->timer));
		return;
	case SESSION_QUEUED:
		must(real->node.list == (session->kind == SESSION_UNLIMITED
		                                 ? &pool_group(&model_pool, session->app)->unlimited
		                                 : &pool_group(&model_pool, session->app)->queue));
		break;
	case SESSION_AT_DOOR:
		must(real->node.list == &model_processes[session->slot].real->waiting);
		must(list_contains(&real->sticky) == (session->kind == SESSION_BALANCED));
		break;
	case SESSION_ACTIVE:
	case SESSION_TUNNEL:
		must(real->node.list == &model_processes[session->slot].real->active && !timer_is_set(&real->timer));
		return;
	case SESSION_STATE_N:
		must(!"state");
	}
	must(timer_is_set(&real->timer) == (session->deadline_ms != UINT64_MAX));
	must(session->deadline_ms == UINT64_MAX || real->timer.at_ms == session->deadline_ms);
}

void
model_check(void)
{
	model_learn_of_detached();
	must(model_pool.process_count == model_living() && model_pool.spawning == model_spawning());
	for (unsigned i = 0; i < MODEL_APPS; i++) {
		check_group(i);
		/* Nothing is reaped of it: the reaper looks again when that ends. */
		if (pool_group(&model_pool, i) != NULL && pool_group(&model_pool, i)->roll == ROLL_FAILED)
			model_apps[i].attached_ms = model_loop.now_ms;
	}
	for (unsigned i = 0; i < MODEL_SLOTS; i++) {
		if (model_processes[i].alive)
			check_process(i);
		else
			must(model_pool.by_slot[i] == NULL);
	}
	for (unsigned i = 0; i < MODEL_SESSIONS; i++)
		check_session(&model_sessions[i]);
}

/* Is one of them at it? */
static bool
oob_of(unsigned app)
{
	for (unsigned i = 0; i < MODEL_SLOTS; i++)
		if (model_processes[i].alive && model_processes[i].app == app && model_processes[i].oob != MODEL_OOB_NONE)
			return true;
	return false;
}

void
model_check_rest(void)
{
	bool room = !model_draining && model_spawning() < (uint64_t)model_config.max_concurrent_spawns &&
	            model_living() + model_spawning() < (uint64_t)model_config.max_pool_size;
	uint32_t leaving = 0;
	for (unsigned i = 0; i < MODEL_SLOTS; i++)
		leaving += model_processes[i].alive && !model_processes[i].enabled && !model_processes[i].warming &&
		           model_processes[i].oob == MODEL_OOB_NONE;
	for (unsigned app = 0; app < MODEL_APPS; app++) {
		const struct model_process *best = model_least_busy(app);
		uint64_t size = model_size(app);
		must(model_queued_as(app, true) == 0 || best == NULL || model_full(best));
		must(model_queued_as(app, false) == 0 || best == NULL);
		must(model_queued(app) == 0 || best != NULL || !model_draining);
		bool wants = size < model_minimum(app) ||
		             (model_queued(app) > 0 && model_enabled(app) + model_coming(app) == 0);
		bool may = size < model_maximum(app);
		must(!room || !wants || !may || model_apps[app].spawning >= POOL_GROUP_SPAWNS_MAX ||
		     model_apps[app].backoff_until_ms > model_loop.now_ms);
		/* A restart never stands still: it starts one where there is room, or one of its own goes. */
		bool stands = model_replaces(app) && model_coming(app) == 0 &&
		              model_apps[app].backoff_until_ms <= model_loop.now_ms;
		must(!stands || model_draining || (!room && leaving > 0) ||
		     model_spawning() >= (uint64_t)model_config.max_concurrent_spawns);
	}
	for (unsigned i = 0; i < MODEL_SLOTS; i++) {
		const struct model_process *process = &model_processes[i];
		if (!process->alive)
			continue;
		must(model_sessions_in(SESSION_AT_DOOR, 0, (int)i) == 0 || model_full(process));
		must(process->enabled || process->warming || process->retired || process->oob != MODEL_OOB_NONE ||
		     !model_leaves(i));
		must(process->oob != MODEL_OOB_DISABLING || process->used + process->doubt > 0);
		must(!process->asked || model_draining || oob_of(process->app) || model_enabled(process->app) < 2 ||
		     pool_group(&model_pool, process->app)->roll == ROLL_RUNNING);
		uint64_t limit = model_configs[process->app].pool_idle_time_ms,
			 idle_ms = model_loop.now_ms - process->idle_since_ms;
		bool due = limit > 0 && idle_ms >= limit && idle_ms >= REAPER_MS &&
		           model_loop.now_ms - process->withdrawn_ms >= REAPER_MS &&
		           model_loop.now_ms - model_apps[process->app].attached_ms >= REAPER_MS;
		bool frozen = pool_group(&model_pool, process->app)->roll == ROLL_FAILED;
		must(model_draining || frozen || !due || !process->enabled || !model_empty(i) ||
		     model_enabled(process->app) <= model_minimum(process->app));
	}
}
