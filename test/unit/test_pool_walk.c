/*
 * A random walk of the pool beside a simple model of it.  The model says what
 * each answer and each event must be; after each step everything that both
 * know is compared.  PASSENGER_WALK_STEPS: how many steps, 100 000 by default;
 * PASSENGER_WALK_SEED: where the dice begin.
 */
#include "fake_clock.h"

#include "pool_model.h"

enum { EPOCH_STEPS = 2000, STEPS = 100000 };

static struct scoreboard *board;
static struct app_config *config_list[MODEL_APPS];
static const struct app_type session_type = {.name = "ruby", .protocol = APP_PROTOCOL_SESSION};

static uint64_t dice, serials;
static int dying, failing_app;   /* what is being told to the pool now; -1: nothing */
static uint32_t crowd, pressure; /* of this epoch: how many sessions there are, how often they come */
static unsigned count_events[6], count_answers[5], count_spawns, count_retired, count_sticky, count_worked,
	count_replacing, count_warmed, count_cold;

static uint32_t
roll(uint32_t sides)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return (uint32_t)((dice >> 32) * sides >> 32);
}

/* ---- what the model does ---- */

static void
activate(struct model_session *session, struct model_process *process)
{
	session->state = SESSION_ACTIVE;
	session->slot = (unsigned)(process - model_processes);
	process->used += session_kind_needs_place(session->kind);
	process->idle_since_ms = model_loop.now_ms;
	must(!session_kind_needs_place(session->kind) || process->concurrency == 0 ||
	     process->used + process->doubt <= process->concurrency);
}

/* Something has ended on it. */
static void
freed(unsigned slot)
{
	struct model_process *process = &model_processes[slot];
	uint64_t limit = (uint64_t)model_configs[process->app].max_requests;
	bool over = limit > 0 && process->processed >= limit;
	/* How much later, the jitter says. */
	must(!over || process->processed < limit + (uint64_t)model_configs[process->app].max_requests_jitter ||
	     process->real->state != PROCESS_ENABLED || process->real->spent || process->oob != MODEL_OOB_NONE);
	if (over && process->real->state != PROCESS_ENABLED && process->enabled) {
		process->asked = false;
		model_leave_rotation(slot);
	}
	if (process->doubt == 0 && model_sessions_in(SESSION_ACTIVE, 0, (int)slot) == 0 &&
	    model_sessions_in(SESSION_TUNNEL, 0, (int)slot) == 0)
		process->idle_since_ms = model_loop.now_ms;
}

/* After the first one another number of processes is the least. */
static void
count_request(unsigned app)
{
	if (model_apps[app].requests++ == 0)
		model_apps[app].attached_ms = model_loop.now_ms;
}

static void
leave(struct model_session *session)
{
	struct model_process *process = &model_processes[session->slot];
	process->used -= session->state == SESSION_ACTIVE && session_kind_needs_place(session->kind);
	process->processed++;
	count_request(process->app);
	session->state = SESSION_NONE;
}

/* Who waited there no more keeps it. */
static void
withdraw(struct model_session *session)
{
	if (session->state == SESSION_AT_DOOR)
		model_processes[session->slot].withdrawn_ms = model_loop.now_ms;
}

static void
do_end(struct model_session *session)
{
	bool ran = session->state == SESSION_ACTIVE || session->state == SESSION_TUNNEL;
	withdraw(session);
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
	struct model_process *process = &model_processes[session->slot];
	bool ran = session->state == SESSION_ACTIVE || session->state == SESSION_TUNNEL;
	bool held = session->state == SESSION_ACTIVE && session_kind_needs_place(session->kind);
	withdraw(session);
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
	struct model_process *process = &model_processes[session->slot];
	if (session->state != SESSION_ACTIVE)
		return;
	session->state = SESSION_TUNNEL;
	if (session_kind_needs_place(session->kind)) {
		process->used--;
		process->doubt += process->can_tell;
	}
	session_tunnel(&session->real);
	if (session_kind_needs_place(session->kind))
		freed(session->slot);
}

static void
do_trust(unsigned slot)
{
	struct model_process *process = &model_processes[slot];
	if (!process->alive || process->doubt == 0 || process->oob == MODEL_OOB_WORKING)
		return;
	process->doubt--;
	process_trust(process->real);
	freed(slot);
}

static enum group_answer
expected_answer(unsigned app, const struct model_process *best, enum session_kind kind)
{
	if (best != NULL && kind == SESSION_UNLIMITED)
		return GROUP_TAKEN;
	if (best != NULL && !model_full(best) && model_queued_as(app, true) == 0 &&
	    model_sessions_in(SESSION_AT_DOOR, 0, (int)(best - model_processes)) == 0)
		return GROUP_TAKEN;
	if (best == NULL && model_draining)
		return GROUP_STOPPED;
	if (best == NULL && model_coming(app) == 0 && model_apps[app].failing &&
	    model_apps[app].backoff_until_ms > model_loop.now_ms)
		return GROUP_FAILING;
	if (model_configs[app].max_request_queue_size > 0 &&
	    model_queued(app) + model_sticky(app) >= (uint64_t)model_configs[app].max_request_queue_size)
		return GROUP_QUEUE_FULL;
	return GROUP_WAITS;
}

static void
wait_since_now(struct model_session *session, enum session_state state, uint64_t wait_ms, bool limited)
{
	session->state = state;
	session->since_ms = model_loop.now_ms;
	session->deadline_ms = limited ? model_loop.now_ms + wait_ms : UINT64_MAX;
	session->ticket = model_ticket(model_loop.now_ms);
	session->again = false;
}

static void
do_take(struct model_session *session, unsigned app)
{
	if (session->state != SESSION_NONE)
		return;
	model_learn_of_detached();
	struct model_process *best = model_least_busy(app), *wish = &model_processes[roll(MODEL_SLOTS)];
	for (unsigned i = 0; i < MODEL_SLOTS && roll(30) && !(wish->alive && wish->app == app); i++)
		wish = &model_processes[(wish - model_processes + 1) % MODEL_SLOTS];
	/* Half of them have been served before; some wish for one that is not there, or another's. */
	bool wishes = roll(2) && wish->alive;
	session->real.wish = wishes ? wish->real : NULL;
	wishes = wishes && wish->enabled && wish->app == app;
	session->kind = session->real.kind = roll(5) ? SESSION_BALANCED : SESSION_UNLIMITED;
	session->app = app;
	session->slot = MODEL_SLOTS;
	if (wishes)
		best = wish;
	enum group_answer expected = expected_answer(app, best, session->kind);
	count_sticky += wishes && expected == GROUP_WAITS;
	enum group_answer answer = group_take(pool_group(&model_pool, app), &session->real);
	must(answer == expected);
	count_answers[answer]++;
	if (answer == GROUP_TAKEN) {
		must(session->real.process == best->real);
		activate(session, best);
	} else if (answer == GROUP_WAITS) {
		uint64_t wait_ms = model_configs[app].max_request_queue_time_ms;
		session->slot = wishes ? (unsigned)(wish - model_processes) : MODEL_SLOTS;
		wait_since_now(session, wishes ? SESSION_AT_DOOR : SESSION_QUEUED, wait_ms, wait_ms > 0);
	}
}

static void
do_door(struct model_session *session, unsigned slot)
{
	struct model_process *process = &model_processes[slot];
	if (session->state != SESSION_NONE || !process->alive)
		return;
	model_learn_of_detached();
	uint64_t wait_ms = model_configs[process->app].direct_wait_ms;
	bool somebody = model_sessions_in(SESSION_AT_DOOR, 0, (int)slot) > 0 ||
	                (process->enabled && model_queued_as(process->app, true) > 0);
	session->kind = session->real.kind = roll(4) ? SESSION_DIRECT : SESSION_BYPASS;
	session->app = process->app;
	session->slot = slot;
	bool expected = session->kind == SESSION_BYPASS || (!model_full(process) && !somebody);
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
	struct model_process *process = &model_processes[real->record.slot];
	unsigned slot = real->record.slot;
	struct model_session *at_door = model_first_in(SESSION_AT_DOOR, 0, (int)slot);
	struct model_session *in_queue = process->enabled ? model_first_queued(process->app, true) : NULL;
	must(process->alive && process->real == real);
	must(!session_kind_needs_place(session->kind) || !model_full(process));
	if (session->kind == SESSION_UNLIMITED) {
		must(session == model_first_queued(session->app, false));
		must(process == model_least_busy(session->app));
	} else if (session->state == SESSION_QUEUED) {
		must(session == in_queue || (session->again && session->since_ms == in_queue->since_ms));
		must(process == model_least_busy(session->app));
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
	model_learn_of_detached();
	switch (event) {
	case SESSION_READY:
		heard_ready(session);
		if (roll(8) == 0)
			do_end(session);
		return;
	case SESSION_TIMEOUT:
		must(session->state == SESSION_QUEUED || session->state == SESSION_AT_DOOR);
		must(session->deadline_ms <= model_loop.now_ms);
		withdraw(session);
		break;
	case SESSION_PROCESS_GONE:
		must(dying == (int)session->slot && session->state != SESSION_NONE && session->state != SESSION_QUEUED);
		if (session->state != SESSION_AT_DOOR)
			count_request(session->app);
		break;
	case SESSION_TUNNEL_OVER:
		must(session->state == SESSION_TUNNEL && model_processes[session->slot].retired);
		do_end(session);
		break;
	case SESSION_SPAWN_FAILED:
		must(session->state == SESSION_QUEUED && failing_app == (int)session->app);
		must(model_enabled(session->app) == 0 && model_coming(session->app) == 0);
		break;
	case SESSION_STOPPED:
		must(session->state == SESSION_QUEUED && model_draining && model_enabled(session->app) == 0);
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
	uint32_t batch = group_batch(group);
	(void)owner;
	model_learn_of_detached();
	uint64_t size = model_size(app);
	bool replaces = model_replaces(app);
	must(!model_draining);
	must(replaces || size < model_maximum(app));
	must(replaces || size < model_minimum(app) || model_queued(app) > 0);
	count_replacing += replaces;
	must(model_apps[app].backoff_until_ms <= model_loop.now_ms);
	must(model_apps[app].spawning < (batch > POOL_GROUP_SPAWNS_MAX ? batch : POOL_GROUP_SPAWNS_MAX) &&
	     model_spawning() < (uint64_t)model_config.max_concurrent_spawns);
	must(model_living() + model_spawning() < (uint64_t)model_config.max_pool_size);
	model_apps[app].spawning++;
	count_spawns++;
}

static void
hook_retire(void *owner, struct process *real)
{
	struct model_process *process = &model_processes[real->record.slot];
	(void)owner;
	model_learn_of_detached();
	must(process->alive && process->real == real && !process->enabled && !process->retired);
	must(model_leaves(real->record.slot));
	process->retired = true;
	count_retired++;
}

static void
hook_reached(void *owner, struct process *process, enum limit limit, const char *why)
{
	(void)owner;
	(void)process;
	(void)limit;
	(void)why;
	must(!"the pool never kills by itself");
}

static void
hook_oob(void *owner, struct process *real)
{
	struct model_process *process = &model_processes[real->record.slot];
	(void)owner;
	model_learn_of_detached();
	must(process->oob == MODEL_OOB_DISABLING && process->used + process->doubt == 0);
	must(model_enabled(process->app) > 0);
	process->oob = MODEL_OOB_WORKING;
	process->doubt += process->can_tell;
	count_worked++;
}

static void
hook_process(void *owner, struct process *process)
{
	(void)owner;
	(void)process;
}

/* ---- what the spawner says ---- */

static void back_from_oob(unsigned slot, bool heard);

static void
enter_rotation(struct model_process *process)
{
	struct model_app *app = &model_apps[process->app];
	const struct group *group = pool_group(&model_pool, process->app);
	process->enabled = true;
	app->attached_ms = model_loop.now_ms;
	if (model_pool.state != POOL_SERVING)
		return;
	app->failing = false;
	app->backoff_until_ms = 0;
	/* A restart that was given up goes on. */
	for (unsigned i = 0; i < MODEL_SLOTS; i++)
		if (group->roll == ROLL_FAILED && process->generation == group->generation &&
		    model_processes[i].alive && model_processes[i].app == process->app)
			back_from_oob(i, false);
}

static void
attach(unsigned app)
{
	model_learn_of_detached();
	unsigned slot = roll(MODEL_SLOTS);
	while (model_processes[slot].alive)
		slot = (slot + 1) % MODEL_SLOTS;
	struct message_process record = {
		.app_id = app,
		.slot = slot,
		.serial = ++serials,
		.pid = 2 + (int32_t)slot,
		.concurrency = model_configs[app].concurrency == 0
	                               ? 0
	                               : 1 + (int32_t)roll((uint32_t)model_configs[app].concurrency),
		.protocol = roll(4) ? APP_PROTOCOL_SESSION : APP_PROTOCOL_HTTP,
		.generation = pool_group(&model_pool, app)->generation,
		.cold = roll(3) == 0,
		.started_ms = model_loop.now_ms,
		.start_ms = roll(1000),
	};
	/* Now and then a restart has overtaken it. */
	record.generation -= record.generation > 0 && roll(8) == 0;
	struct model_process *process = &model_processes[slot];
	*process = (struct model_process){.alive = true,
	                                  .warming = record.cold,
	                                  .generation = record.generation,
	                                  .app = app,
	                                  .serial = record.serial,
	                                  .concurrency = (uint32_t)record.concurrency};
	process->can_tell = record.concurrency > 0 && record.protocol == APP_PROTOCOL_SESSION;
	process->idle_since_ms = model_loop.now_ms;
	process->asked = !record.cold && roll(8) == 0;
	/* The spawner zeroes a slot; now and then an earlier balancer has left something. */
	atomic_store(&board->processes[slot].oob, process->asked);
	atomic_store(&board->processes[slot].processed, 0);
	atomic_store(&board->processes[slot].last_used_ms, 0);
	atomic_store(&board->processes[slot].ends_ms, 0);
	atomic_store(&board->processes[slot].claims, roll(4) ? 0 : roll(6));
	uint32_t left = (uint32_t)atomic_load(&board->processes[slot].claims);
	process->doubt = !process->can_tell ? 0 : left < process->concurrency ? left : process->concurrency;
	model_apps[app].spawning -= model_apps[app].spawning > 0;
	if (!record.cold)
		enter_rotation(process);
	process->real = pool_attach(&model_pool, &record);
	must(process->real != NULL);
}

static void
spawn_failed(unsigned app, bool attached)
{
	uint64_t next_try_ms = 1 + roll(3) * 200;
	model_apps[app].failing = true;
	model_apps[app].backoff_until_ms = model_loop.now_ms + next_try_ms;
	failing_app = (int)app;
	pool_spawn_failed(&model_pool, app, attached, STR("id\nit failed\n"), next_try_ms);
	failing_app = -1;
}

static void
spawn_answers(unsigned app)
{
	if (model_apps[app].spawning == 0)
		return;
	if (roll(5) > 0) {
		attach(app);
		return;
	}
	model_apps[app].spawning--;
	spawn_failed(app, false);
}

static void
gone(unsigned slot)
{
	if (!model_processes[slot].alive)
		return;
	model_learn_of_detached();
	model_leave_rotation(slot);
	model_processes[slot].alive = false;
	dying = (int)slot;
	pool_gone(&model_pool, slot, model_processes[slot].serial);
	dying = -1;
	must(pool_find(&model_pool, slot, model_processes[slot].serial) == NULL);
	for (unsigned i = 0; i < MODEL_SESSIONS; i++)
		must(model_sessions[i].state == SESSION_NONE || model_sessions[i].state == SESSION_QUEUED ||
		     model_sessions[i].slot != slot);
}

static void
ask_oob(unsigned slot)
{
	struct model_process *process = &model_processes[slot];
	if (!process->alive)
		return;
	model_learn_of_detached();
	process->asked = process->enabled || process->oob != MODEL_OOB_NONE;
	process_ask_oob(process->real);
}

/* Into rotation again; in doubt, when it has not said that it is free. */
static void
back_from_oob(unsigned slot, bool heard)
{
	struct model_process *process = &model_processes[slot];
	if (process->oob == MODEL_OOB_NONE)
		return;
	process->enabled = true;
	process->idle_since_ms = model_loop.now_ms;
	model_apps[process->app].attached_ms =
		model_loop.now_ms; /* one more than the least: from now on others may go */
	process->doubt -= process->oob == MODEL_OOB_WORKING && heard && process->can_tell;
	process->oob = MODEL_OOB_NONE;
}

static void
oob_done(unsigned slot)
{
	struct model_process *process = &model_processes[slot];
	bool heard = roll(3) > 0;
	if (!process->alive || process->oob != MODEL_OOB_WORKING)
		return;
	model_learn_of_detached();
	back_from_oob(slot, heard);
	process_oob_done(process->real, heard);
	if (heard && process->can_tell)
		freed(slot); /* its place */
}

static void
detach(unsigned slot)
{
	if (!model_processes[slot].alive)
		return;
	model_learn_of_detached();
	back_from_oob(slot, false);
	model_processes[slot].asked = false;
	model_leave_rotation(slot);
	model_processes[slot].warming = false;
	group_detach(model_processes[slot].real);
}

static void
restart(unsigned app)
{
	struct group *group = pool_group(&model_pool, app);
	model_learn_of_detached();
	for (unsigned i = 0; i < MODEL_SLOTS; i++)
		if (model_processes[i].alive && model_processes[i].app == app)
			back_from_oob(i, false);
	group_restart(group, group->generation + 1, roll(3) == 0);
	model_apps[app].failing = false;
	model_apps[app].backoff_until_ms = 0;
	model_apps[app].attached_ms = model_loop.now_ms; /* nothing was reaped of a version that did not start */
	model_learn_of_detached();
}

/* Its warmup_uris are answered, or they are not. */
static void
warm_up(unsigned slot)
{
	struct model_process *process = &model_processes[slot];
	model_learn_of_detached();
	if (!process->alive || !process->warming)
		return;
	process->warming = false;
	if (roll(4) > 0) {
		enter_rotation(process);
		pool_warmed(process->real);
		count_warmed++;
		return;
	}
	count_cold++;
	group_detach(process->real);
	spawn_failed(process->app, true);
}

/* ---- the walk ---- */

static void
random_step(void)
{
	struct model_session *session = &model_sessions[roll(crowd)];
	unsigned slot = roll(MODEL_SLOTS), app = roll(MODEL_APPS), what = roll(100);
	while (!model_processes[slot].alive && roll(16))
		slot = (slot + 1) % MODEL_SLOTS;
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
	else if (what < 77)
		do_trust(slot);
	else if (what < 78)
		(void)(roll(2) ? oob_done(slot) : ask_oob(slot));
	else if (what < 87)
		spawn_answers(model_apps[app].spawning ? app : (app + 1) % MODEL_APPS);
	else if (what < 88)
		(void)(roll(3) ? (void)0 : gone(slot));
	else if (what < 92)
		(void)(model_processes[slot].retired ? gone(slot) : (void)0);
	else if (what == 92)
		(void)(roll(2) ? detach(slot) : (void)0);
	else if (what == 93)
		(void)(roll(4) ? (void)0 : restart(app));
	else if (what == 94)
		warm_up(slot);
	else
		fake_now_ms += what < 99 ? roll(20) : roll(4) ? roll(200) : roll(10) ? roll(3000) : roll(60000);
}

static void
settle(void)
{
	for (int turns = 0; turns == 0 || model_loop.soon.count > 0; turns++) {
		loop_turn(&model_loop, 0);
		must(turns < 1000);
	}
}

static void
begin_epoch(void)
{
	const struct pool_hooks hooks = {.spawn = hook_spawn,
	                                 .retire = hook_retire,
	                                 .reached = hook_reached,
	                                 .gone = hook_process,
	                                 .oob = hook_oob,
	                                 .doubted = hook_process};
	memset(model_processes, 0, sizeof(model_processes));
	memset(model_sessions, 0, sizeof(model_sessions));
	memset(model_apps, 0, sizeof(model_apps));
	model_draining = false;
	crowd = 2 + roll(MODEL_SESSIONS - 1);
	pressure = 5 + roll(96);
	for (unsigned i = 0; i < MODEL_APPS; i++) {
		model_configs[i] = (struct app_config){.id = i, .type = &session_type, .enabled = true};
		model_configs[i].force_max_concurrent_requests_per_process = -1;
		model_configs[i].thread_count = 1 + roll(3);
		model_configs[i].concurrency = roll(5);
		model_configs[i].min_instances = roll(3);
		model_configs[i].max_instances = roll(2) ? 0 : 1 + roll(4);
		model_configs[i].pre_start = (int)roll(3);
		model_configs[i].pool_idle_time_ms = roll(2) ? 0 : 100 + roll(3000);
		model_configs[i].drain_timeout_ms = UINT64_C(1) << 40;
		model_configs[i].abort_websockets_on_process_shutdown = roll(2);
		model_configs[i].max_requests = roll(2) ? 0 : 1 + roll(30);
		model_configs[i].max_requests_jitter = roll(2) ? 0 : roll(20);
		model_configs[i].rolling_restart_batch_size = 1 + roll(4);
		model_configs[i].max_request_queue_size = roll(2) ? 0 : 1 + roll(8);
		model_configs[i].max_request_queue_time_ms = roll(2) ? 0 : 1 + roll(1000);
		model_configs[i].direct_wait_ms = roll(1000);
		config_list[i] = &model_configs[i];
		atomic_store(&board->groups[i].requests, 0);
		atomic_store(&board->groups[i].roll, ROLL_NONE);
	}
	for (unsigned i = 0; i < MODEL_SESSIONS; i++)
		model_sessions[i].real.event = heard;
	model_config = (struct config){.max_pool_size = 1 + roll(14), .apps = config_list, .app_count = MODEL_APPS};
	model_config.max_concurrent_spawns = 1 + roll(5);
	model_config.max_instances_per_app = roll(3) ? 0 : 1 + roll(4);
	must(loop_init(&model_loop));
	pool_init(&model_pool, &model_loop, board, &hooks);
	pool_configure(&model_pool, &model_config);
	for (unsigned left = roll(3); left > 0; left--)
		attach(roll(MODEL_APPS));
	pool_begin(&model_pool);
}

/* Draining ends: whatever waits is served or told. */
static void
end_epoch(void)
{
	model_draining = true;
	pool_drain(&model_pool);
	for (int round = 0; round < 400; round++) {
		for (unsigned i = 0; i < MODEL_SLOTS; i++)
			do_trust(i);
		do_end(&model_sessions[roll(MODEL_SESSIONS)]);
		settle();
		model_check();
		model_check_rest();
		for (unsigned i = 0; i < MODEL_SESSIONS; i++)
			if (model_sessions[i].state == SESSION_ACTIVE || model_sessions[i].state == SESSION_TUNNEL)
				do_end(&model_sessions[i]);
	}
	for (unsigned i = 0; i < MODEL_SESSIONS; i++)
		must(model_sessions[i].state == SESSION_NONE);
	pool_free(&model_pool);
	loop_free(&model_loop);
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
	model_seed = dice = number_from("PASSENGER_WALK_SEED", 20261122);
	dying = failing_app = -1;
	board = scoreboard_create(&fd);
	assert_non_null(board);
	close(fd);
	for (model_step = 0; model_step < steps; model_step++) {
		if (model_step % EPOCH_STEPS == 0)
			begin_epoch();
		random_step();
		model_check();
		if (roll(2)) {
			loop_turn(&model_loop, 0);
			model_check();
		}
		if (roll(8) == 0) {
			settle();
			model_check();
			model_check_rest();
		}
		if (model_step % EPOCH_STEPS == EPOCH_STEPS - 1 || model_step == steps - 1)
			end_epoch();
	}
	scoreboard_unmap(board);
	printf("%llu steps: answers taken %u, waits %u, queue full %u, failing %u, stopped %u\n",
	       (unsigned long long)steps, count_answers[0], count_answers[1], count_answers[2], count_answers[3],
	       count_answers[4]);
	printf("events ready %u, spawn failed %u, timeout %u, gone %u, stopped %u; spawned %u, retired %u, "
	       "of these evicted %u, idle %u; waited for their own process %u, out-of-band work %u\n"
	       "spawned in place of others %u, replaced %u; warmed up %u, failed to %u\n",
	       count_events[0], count_events[1], count_events[2], count_events[3], count_events[4], count_spawns,
	       count_retired, model_evicted, model_reaped, count_sticky, count_worked, count_replacing, model_replaced,
	       count_warmed, count_cold);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_walk)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
