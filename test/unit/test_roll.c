/* Rolling restarts: who is started and who goes, in which order. */
#include "fake_clock.h"
#include "pool_fake.h"

static uint32_t generation;

static int
set_up(void **state)
{
	generation = 0;
	return fake_set_up(state);
}

static void
restart(bool at_once)
{
	group_restart(fake_group(0), ++generation, at_once);
	fake_settle();
}

static unsigned
enabled(void)
{
	return fake_group(0)->processes[PROCESS_ENABLED].count;
}

static void
assert_roll(enum group_roll roll)
{
	assert_int_equal(fake_group(0)->roll, roll);
	assert_int_equal(atomic_load(&fake_board->groups[0].roll), roll);
	assert_int_equal(atomic_load(&fake_board->groups[0].generation), generation);
}

static void
test_one_after_the_other(void **state)
{
	(void)state;
	struct process *b = fake_attach(0, 1), *a = fake_attach(0, 1);
	fake_apps[0].max_instances = fake_apps[0].min_instances = 2;
	restart(false);
	assert_roll(ROLL_RUNNING);
	assert_int_equal(fake_spawns[0], 1); /* beyond max_instances, and only one */
	assert_int_equal(enabled(), 2);
	struct process *c = fake_attach(0, 1);
	assert_int_equal(c->record.generation, 1);
	assert_int_equal(a->state, PROCESS_RETIRING); /* the newest of the old ones, which was idle */
	assert_int_equal(b->state, PROCESS_ENABLED);
	assert_int_equal(fake_spawns[0], 2);
	fake_gone(a);
	assert_int_equal(fake_spawns[0], 2);
	fake_attach(0, 1);
	assert_int_equal(b->state, PROCESS_RETIRING);
	assert_roll(ROLL_NONE);
	fake_gone(b);
	assert_int_equal(fake_spawns[0], 2);
	assert_int_equal(enabled(), 2);
	group_restart(fake_group(0), generation, false); /* told once more */
	assert_roll(ROLL_NONE);
}

static void
test_a_failure_stops_it(void **state)
{
	(void)state;
	fake_attach(0, 1);
	fake_attach(0, 1);
	fake_apps[0].min_instances = 2;
	restart(false);
	fake_fail(0, "id\nit does not start\n", 1000);
	assert_roll(ROLL_FAILED);
	assert_int_equal(enabled(), 2);
	fake_pass(100000);
	assert_int_equal(fake_spawns[0], 1);
	session_end(&fake_take(0, GROUP_TAKEN)->session);
	/* the next one begins anew */
	restart(false);
	assert_roll(ROLL_RUNNING);
	assert_int_equal(fake_spawns[0], 2);
	fake_attach(0, 1);
	fake_attach(0, 1);
	assert_roll(ROLL_NONE);
	assert_int_equal(enabled(), 2);
	assert_int_equal(fake_retired, 2);
}

static void
test_overtaken(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 1);
	restart(false);
	assert_int_equal(fake_spawns[0], 1);
	restart(false);
	assert_int_equal(fake_spawns[0], 1); /* the first one's is on its way */
	fake_fail(0, "id\nit was overtaken\n", 0);
	assert_roll(ROLL_RUNNING);
	assert_string_equal(fake_group(0)->failure, "");
	assert_int_equal(fake_spawns[0], 2);
	/* or it was quicker than that: then it is an old one, too */
	struct message_process record = fake_record(0, 1);
	record.generation = generation - 1;
	struct process *late = pool_attach(&fake_pool, &record);
	assert_non_null(late);
	fake_settle();
	assert_int_equal(a->state, PROCESS_ENABLED);
	assert_int_equal(late->state, PROCESS_RETIRING);
	assert_roll(ROLL_RUNNING);
	assert_int_equal(fake_spawns[0], 3);
	fake_attach(0, 1);
	assert_roll(ROLL_NONE);
	assert_int_equal(enabled(), 1);
}

static void
test_full_pool(void **state)
{
	(void)state;
	fake_config.max_pool_size = 3;
	struct process *b = fake_attach(0, 1), *a = fake_attach(0, 1), *other = fake_attach(1, 1);
	struct fake_session *session = fake_door(a, SESSION_DIRECT, true);
	fake_apps[0].min_instances = 2;
	restart(false);
	assert_int_equal(fake_spawns[0], 0);
	assert_int_equal(a->state, PROCESS_DETACHED); /* and drains: no second one goes */
	fake_pass(59000);
	assert_int_equal(b->state, PROCESS_ENABLED);
	assert_int_equal(fake_spawns[0], 0);
	fake_pass(2000);
	assert_int_equal(fake_killed, 1); /* it is stuck */
	fake_killed = 0;
	fake_gone(a);
	fake_assert_event(session, SESSION_PROCESS_GONE);
	assert_int_equal(fake_spawns[0], 1);
	fake_attach(0, 1);
	assert_int_equal(b->state, PROCESS_RETIRING);
	fake_gone(b);
	assert_int_equal(fake_spawns[0], 2);
	fake_attach(0, 1);
	assert_roll(ROLL_NONE);
	assert_int_equal(enabled(), 2);
	assert_int_equal(other->state, PROCESS_ENABLED);
}

/* The room that a restart has made is not for another one's minimum; what is taken by who waits ends it. */
static void
test_full_pool_with_a_minimum_that_waits(void **state)
{
	(void)state;
	fake_config.max_pool_size = 1;
	struct process *a = fake_attach(0, 1);
	fake_apps[0].min_instances = fake_apps[1].min_instances = 1;
	group_touch(fake_group(1));
	fake_settle();
	restart(false);
	assert_int_equal(a->state, PROCESS_RETIRING);
	assert_roll(ROLL_RUNNING);
	fake_gone(a);
	assert_int_equal(fake_spawns[0], 1);
	assert_int_equal(fake_spawns[1], 0);
	a = fake_attach(0, 1);
	assert_roll(ROLL_NONE);
	restart(false);
	fake_take(1, GROUP_WAITS);
	fake_gone(a);
	assert_int_equal(fake_spawns[1], 1);
	fake_attach(1, 1);
	assert_roll(ROLL_NONE);
}

static void
test_at_once(void **state)
{
	(void)state;
	fake_attach(0, 1);
	fake_attach(0, 1);
	fake_apps[0].min_instances = 1;
	restart(true);
	assert_int_equal(enabled(), 0);
	assert_int_equal(fake_retired, 2);
	assert_int_equal(fake_spawns[0], 1);
	assert_roll(ROLL_RUNNING);
	fake_fail(0, "id\nit does not start\n", 1000);
	assert_roll(ROLL_FAILED);
	fake_pass(1000);
	fake_attach(0, 1);
	assert_roll(ROLL_NONE); /* mended */
}

static void
test_nobody_there(void **state)
{
	(void)state;
	restart(false);
	assert_roll(ROLL_NONE);
	assert_int_equal(fake_spawns[0], 0);
}

static void
test_the_new_ones_first(void **state)
{
	(void)state;
	struct process *b = fake_attach(0, 2), *a = fake_attach(0, 2);
	restart(false);
	struct process *c = fake_attach(0, 2); /* a goes */
	assert_int_equal(a->state, PROCESS_RETIRING);
	fake_assert_on(fake_take(0, GROUP_TAKEN), c);
	fake_assert_on(fake_take(0, GROUP_TAKEN), c); /* new goes before less busy */
	fake_assert_on(fake_take(0, GROUP_TAKEN), b); /* but for one that is full nobody waits */
	struct process *d = fake_attach(0, 2);
	assert_roll(ROLL_NONE);
	fake_assert_on(fake_take(0, GROUP_TAKEN), d);
	struct process *e = fake_attach(0, 2);
	fake_assert_on(fake_take(0, GROUP_TAKEN), e); /* from now on the least busy again */
}

/* It does not start: the old ones serve as if nothing had been asked. */
static void
test_no_preference_after_a_failure(void **state)
{
	(void)state;
	struct process *b = fake_attach(0, 2), *a = fake_attach(0, 2);
	restart(false);
	struct process *c = fake_attach(0, 2);
	fake_gone(a);
	fake_assert_on(fake_take(0, GROUP_TAKEN), c);
	fake_fail(0, "id\nit does not start\n", 1000);
	assert_roll(ROLL_FAILED);
	fake_assert_on(fake_take(0, GROUP_TAKEN), b);
	fake_assert_on(fake_take(0, GROUP_TAKEN), b); /* 1/2 and 1/2: the oldest */
}

/* A new balancer is told of the living ones and goes on where the one before was. */
static void
test_another_balancer(void **state)
{
	const struct pool_hooks hooks = fake_pool.hooks;
	(void)state;
	struct process *b = fake_attach(0, 1), *a = fake_attach(0, 1);
	struct fake_session *session = fake_door(a, SESSION_DIRECT, true);
	fake_apps[0].min_instances = 2;
	restart(false);
	struct process *c = fake_attach(0, 1);
	assert_int_equal(a->state, PROCESS_DETACHED);
	struct message_process records[] = {a->record, b->record, c->record};
	/* it dies while this one runs */
	session_end(&session->session);
	atomic_store(&a->board->claims, 1);
	pool_free(&fake_pool);
	pool_init(&fake_pool, &fake_loop, fake_board, &hooks);
	pool_configure(&fake_pool, &fake_config);
	struct process *after[3];
	for (int i = 0; i < 3; i++)
		after[i] = pool_attach(&fake_pool, &records[i]);
	pool_spawning(&fake_pool, 0);
	group_restart(fake_group(0), generation, false);
	fake_settle();
	assert_int_equal(after[0]->state, PROCESS_DETACHED);
	pool_begin(&fake_pool);
	fake_settle();
	assert_roll(ROLL_RUNNING);
	assert_int_equal(after[1]->state, PROCESS_ENABLED);
	fake_attach(0, 1);
	assert_int_equal(after[1]->state, PROCESS_RETIRING);
	assert_int_equal(after[2]->state, PROCESS_ENABLED);
	assert_roll(ROLL_NONE);
	fake_pass(60000);
	assert_int_equal(fake_killed, 1); /* the one that was stuck before */
	fake_killed = 0;
}

/* ---- several at a time, warm-up, max_requests ---- */

static void
test_several_at_a_time(void **state)
{
	(void)state;
	for (int i = 0; i < 5; i++)
		fake_attach(0, 1);
	fake_apps[0].min_instances = fake_apps[0].max_instances = 5;
	fake_apps[0].rolling_restart_batch_size = 3;
	restart(false);
	assert_int_equal(fake_spawns[0], 3);
	fake_attach(0, 1);
	assert_int_equal(enabled(), 5);
	assert_int_equal(fake_retired, 1);
	assert_int_equal(fake_spawns[0], 4); /* always three at a time */
	fake_attach(0, 1);
	assert_int_equal(fake_spawns[0], 5); /* but not more than there are */
	for (int i = 0; i < 3; i++)
		fake_attach(0, 1);
	assert_roll(ROLL_NONE);
	assert_int_equal(fake_spawns[0], 5);
	assert_int_equal(enabled(), 5);
	assert_int_equal(fake_retired, 5);
}

static void
test_several_in_a_full_pool(void **state)
{
	struct process *old[4];
	(void)state;
	for (int i = 0; i < 4; i++)
		old[i] = fake_attach(0, 1);
	fake_config.max_pool_size = 4;
	fake_apps[0].min_instances = 4;
	fake_apps[0].rolling_restart_batch_size = 2;
	struct fake_session *stuck = fake_door(old[3], SESSION_DIRECT, true);
	restart(false);
	assert_int_equal(enabled(), 2); /* two are missing at a time, and no more */
	assert_int_equal(fake_spawns[0], 0);
	fake_gone(old[2]);
	assert_int_equal(fake_spawns[0], 1);
	fake_attach(0, 1);
	assert_int_equal(enabled(), 2); /* the stuck one is still one of two */
	fake_gone(old[1]);
	fake_attach(0, 1);
	fake_gone(old[0]);
	fake_attach(0, 1);
	fake_pass(60000);
	assert_int_equal(fake_killed, 1);
	fake_killed = 0;
	fake_gone(old[3]);
	fake_assert_event(stuck, SESSION_PROCESS_GONE);
	fake_attach(0, 1);
	assert_roll(ROLL_NONE);
	assert_int_equal(enabled(), 4);
}

static struct process *
attach_cold(void)
{
	struct message_process record = fake_record(0, 1);
	record.cold = 1;
	struct process *process = pool_attach(&fake_pool, &record);
	assert_non_null(process);
	fake_settle();
	return process;
}

static void
test_warm_up(void **state)
{
	(void)state;
	fake_apps[0].min_instances = 1;
	struct fake_session *waits = fake_take(0, GROUP_WAITS);
	fake_settle();
	assert_int_equal(fake_spawns[0], 1);
	struct process *a = attach_cold();
	fake_assert_event(waits, FAKE_EVENT_NONE);
	assert_int_equal(fake_spawns[0], 1); /* it is on its way */
	assert_int_equal(atomic_load(&a->board->state), SCOREBOARD_WARMING);
	session_end(&fake_door(a, SESSION_DIRECT, true)->session);
	pool_warmed(a);
	fake_settle();
	fake_assert_on(waits, a);
	assert_int_equal(atomic_load(&a->board->state), SCOREBOARD_ENABLED);
	/* in a restart it counts from then on, and when it fails the old one serves on */
	restart(false);
	struct process *b = attach_cold();
	assert_int_equal(a->state, PROCESS_ENABLED);
	assert_int_equal(fake_spawns[0], 2);
	group_detach(b);
	pool_spawn_failed(&fake_pool, 0, true, STR("id\nit was answered 500\n"), 1000);
	fake_settle();
	assert_roll(ROLL_FAILED);
	assert_int_equal(a->state, PROCESS_ENABLED);
	assert_int_equal(fake_group(0)->spawning, 0);
	fake_gone(b);
	/* frozen: nothing is reaped, nothing is tried; when one starts after all, it goes on */
	fake_pass(1000000);
	assert_int_equal(fake_spawns[0], 2);
	struct process *c = attach_cold();
	pool_warmed(c);
	fake_settle();
	assert_int_equal(a->state, PROCESS_DETACHED);
	assert_roll(ROLL_NONE);
}

static void
test_a_restart_overtakes_a_cold_one(void **state)
{
	(void)state;
	fake_apps[0].min_instances = 1;
	struct process *a = attach_cold();
	restart(false);
	assert_int_equal(a->state, PROCESS_RETIRING);
	assert_int_equal(fake_spawns[0], 1);
}

static void
test_spent_in_a_full_pool(void **state)
{
	(void)state;
	fake_config.max_pool_size = 1;
	fake_apps[0].max_requests = 1;
	fake_apps[0].min_instances = 1;
	struct process *a = fake_attach(0, 1);
	session_end(&fake_take(0, GROUP_TAKEN)->session);
	fake_settle();
	assert_int_equal(a->state, PROCESS_RETIRING); /* it has to go first */
	fake_gone(a);
	assert_int_equal(fake_spawns[0], 1);
}

/* How long it may drain does not begin anew with each balancer. */
static void
test_a_drain_outlives_a_balancer(void **state)
{
	const struct pool_hooks hooks = fake_pool.hooks;
	(void)state;
	struct process *a = fake_attach(0, 1);
	struct fake_session *session = fake_door(a, SESSION_DIRECT, true);
	restart(true);
	fake_pass(40000);
	struct message_process record = a->record;
	session_end(&session->session);
	atomic_store(&a->board->claims, 1);
	pool_free(&fake_pool);
	pool_init(&fake_pool, &fake_loop, fake_board, &hooks);
	pool_configure(&fake_pool, &fake_config);
	a = pool_attach(&fake_pool, &record);
	pool_begin(&fake_pool);
	fake_settle();
	assert_int_equal(a->state, PROCESS_DETACHED);
	fake_pass(19000);
	assert_int_equal(fake_killed, 0);
	fake_pass(1500);
	assert_int_equal(fake_killed, 1);
	fake_killed = 0;
}

/* A reload during it that allows fewer: it does not grow back to the number that it began with. */
static void
test_fewer_may_be(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++)
		fake_attach(0, 1);
	restart(false);
	fake_apps[0].max_instances = 2;
	pool_configure(&fake_pool, &fake_config);
	fake_settle();
	assert_int_equal(enabled(), 2);
	for (unsigned i = 1; i <= 2; i++) {
		assert_int_equal(fake_spawns[0], i);
		fake_attach(0, 1);
		assert_int_equal(enabled(), 2);
	}
	assert_int_equal(fake_spawns[0], 2);
	assert_roll(ROLL_NONE);
}

/* So it is with those that were on their way then, also of max_pool_size; who leaves makes nobody else leave. */
static void
test_fewer_may_be_when_they_come(void **state)
{
	(void)state;
	fake_apps[0].min_instances = 4;
	pool_begin(&fake_pool);
	fake_attach(0, 1);
	fake_attach(0, 1);
	assert_int_equal(fake_group(0)->spawning, 2);
	fake_apps[0].min_instances = 1;
	fake_apps[0].max_instances = 2;
	pool_configure(&fake_pool, &fake_config);
	fake_attach(0, 1);
	assert_int_equal(enabled(), 2);
	fake_apps[0].max_instances = 0;
	fake_config.max_pool_size = 2;
	pool_configure(&fake_pool, &fake_config);
	pool_configure(&fake_pool, &fake_config);
	fake_settle();
	assert_int_equal(enabled(), 2);
	fake_attach(0, 1);
	fake_pass(1000);
	assert_int_equal(enabled(), 2);
	fake_config.max_pool_size = 100;
}

/* Who does out-of-band work when a roll goes on after all is replaced with the others. */
static void
test_it_goes_on_over_oob_work(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 1);
	fake_attach(0, 1);
	fake_apps[0].min_instances = 3;
	restart(false);
	fake_fail(0, "id\nit does not start\n", 1000);
	process_ask_oob(a);
	fake_settle();
	assert_int_equal(a->state, PROCESS_DISABLED);
	fake_pass(1000);
	while (fake_group(0)->spawning > 0)
		fake_attach(0, 1);
	assert_roll(ROLL_NONE);
	process_oob_done(a, true);
	fake_settle();
	assert_true(a->state >= PROCESS_DETACHED);
}

/* The last old one is away for a moment, not replaced. */
static void
test_a_failed_one_does_not_end_over_oob_work(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 1), *b = fake_attach(0, 1);
	fake_apps[0].min_instances = 2;
	restart(false);
	fake_attach(0, 1);
	struct process *old = a->state == PROCESS_ENABLED ? a : b;
	fake_gone(old == a ? b : a);
	fake_fail(0, "id\nit does not start\n", 1000);
	assert_roll(ROLL_FAILED);
	process_ask_oob(old);
	fake_settle();
	assert_int_equal(old->state, PROCESS_DISABLED);
	assert_roll(ROLL_FAILED);
	process_oob_done(old, true);
	fake_settle();
	assert_int_equal(old->state, PROCESS_ENABLED);
	fake_pass(1000);
	fake_attach(0, 1);
	assert_true(old->state >= PROCESS_DETACHED);
	assert_roll(ROLL_NONE);
}

/* A reload with a shorter drain_timeout holds for those that drain already, a longer one does not. */
static void
test_a_drain_is_shortened(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 1);
	struct fake_session *session = fake_door(a, SESSION_DIRECT, true);
	fake_apps[0].drain_timeout_ms = INT64_C(1000) * 3600 * 1000;
	restart(true);
	fake_pass(1000);
	fake_apps[0].drain_timeout_ms = 2000;
	pool_configure(&fake_pool, &fake_config);
	fake_apps[0].drain_timeout_ms = 60000;
	pool_configure(&fake_pool, &fake_config);
	fake_pass(1900);
	assert_int_equal(fake_killed, 0);
	fake_pass(200);
	assert_int_equal(fake_killed, 1);
	fake_killed = 0;
	session_end(&session->session);
}

/* ---- another generation of the configuration ---- */

static struct config after;
static struct app_config *apps_after[FAKE_APPS];

/* The first application has gone, the second one has other limits. */
static void
reconfigure(uint32_t requests)
{
	static struct app_config second;
	for (unsigned i = 0; i < FAKE_APPS; i++)
		fake_apps[i].config = &fake_config;
	fake_config.users = 1 + FAKE_APPS; /* ours, and as if each group had retained it */
	fake_config.requests = requests;
	second = fake_apps[1];
	second.config = &after;
	second.max_instances = 1;
	apps_after[0] = &second;
	after = (struct config){.max_pool_size = 100, .apps = apps_after, .app_count = 1, .users = 1};
	pool_configure(&fake_pool, &after);
	fake_settle();
}

static void
test_an_application_goes(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 1), *b = fake_attach(1, 1), *c = fake_attach(1, 1);
	struct fake_session *running = fake_take(0, GROUP_TAKEN), *waiting = fake_take(0, GROUP_WAITS);
	reconfigure(2);
	assert_int_equal(a->state, PROCESS_ENABLED); /* requests of the generation before are on their way */
	assert_int_equal(b->state, PROCESS_RETIRING);
	assert_int_equal(c->state, PROCESS_ENABLED);
	session_end(&running->session);
	fake_pass(1000);
	fake_assert_on(waiting, a);
	session_end(&waiting->session);
	fake_config.requests = 0;
	fake_pass(1000);
	assert_int_equal(a->state, PROCESS_RETIRING);
	assert_non_null(pool_group(&fake_pool, 0));
	fake_gone(a);
	fake_pass(1000);
	assert_null(pool_group(&fake_pool, 0));
	assert_null(pool_group(&fake_pool, 2));
	assert_ptr_equal(fake_group(1)->app, apps_after[0]);
	assert_int_equal(fake_config.users, 1);
	assert_int_equal(after.users, 2);
	assert_int_equal(fake_spawns[0] + fake_spawns[1], 0);
}

static void
test_who_does_not_finish(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 1);
	struct fake_session *running = fake_take(0, GROUP_TAKEN), *waiting = fake_take(0, GROUP_WAITS);
	reconfigure(2);
	fake_pass(59000);
	assert_int_equal(a->state, PROCESS_ENABLED);
	fake_pass(1500);
	assert_int_equal(a->state, PROCESS_DETACHED);
	fake_assert_event(waiting, SESSION_STOPPED);
	fake_pass(60000);
	assert_int_equal(fake_killed, 1);
	fake_killed = 0;
	fake_gone(a);
	fake_assert_event(running, SESSION_PROCESS_GONE);
	fake_config.requests = 0;
	fake_pass(1000);
	assert_null(pool_group(&fake_pool, 0));
}

/* The first application is of another type now; so many requests of before are on their way. */
static void
change_type(uint32_t requests)
{
	static struct app_type other;
	static struct app_config app;
	other = *fake_apps[0].type;
	other.protocol = other.protocol == APP_PROTOCOL_HTTP ? APP_PROTOCOL_SESSION : APP_PROTOCOL_HTTP;
	for (unsigned i = 0; i < FAKE_APPS; i++)
		fake_apps[i].config = &fake_config;
	fake_config.users = 100;
	fake_config.requests = requests;
	app = fake_apps[0];
	app.config = &after;
	app.type = &other;
	apps_after[0] = &app;
	after = (struct config){.max_pool_size = 100,
	                        .max_concurrent_spawns = 4,
	                        .apps = apps_after,
	                        .app_count = 1,
	                        .users = 100,
	                        .requests = 1};
	pool_configure(&fake_pool, &after);
}

static void
test_queue_of_another_protocol(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 1);
	change_type(0);
	struct group *old = a->group;
	struct fake_session *waiting = fake_take(0, GROUP_WAITS);
	fake_settle();
	assert_int_equal(a->state, PROCESS_RETIRING); /* the one before has come to its end */
	assert_int_equal(atomic_load(&fake_board->groups[0].queued), 1);
	pool_configure(&fake_pool, &fake_config);
	assert_ptr_equal(fake_group(0), old);
	assert_int_equal(atomic_load(&fake_board->groups[0].queued), 0);
	fake_pass(POOL_CLOSING_MS);
	fake_assert_event(waiting, SESSION_STOPPED);
}

/* Another type, and back before it has begun: whoever waits hears at once that it waits in vain. */
static void
test_another_protocol(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 1);
	struct fake_session *running = fake_take(0, GROUP_TAKEN);
	change_type(2);
	fake_settle();
	assert_ptr_not_equal(fake_group(0), a->group);
	assert_ptr_equal(pool_group_of(&fake_pool, &fake_apps[0]), a->group);
	struct fake_session *waiting = fake_take(0, GROUP_WAITS);
	fake_settle();
	assert_int_equal(fake_pool.spawning, 1);
	pool_configure(&fake_pool, &fake_config);
	fake_settle();
	assert_ptr_equal(fake_group(0), a->group);
	fake_pass(POOL_CLOSING_MS);
	fake_assert_event(waiting, SESSION_STOPPED);
	assert_int_equal(fake_pool.spawning, fake_group(0)->spawning);
	pool_spawn_failed(&fake_pool, 0, false, STR("id\n"), 0);
	assert_int_equal(fake_pool.spawning, 0);
	after.requests = 0;
	fake_pass(1000);
	assert_int_equal(fake_pool.groups.count, FAKE_APPS);
	session_end(&running->session);
	fake_assert_on(fake_take(0, GROUP_TAKEN), a);
}

#define pool_test(name) cmocka_unit_test_setup_teardown(name, set_up, fake_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(test_one_after_the_other),
		pool_test(test_a_failure_stops_it),
		pool_test(test_overtaken),
		pool_test(test_full_pool),
		pool_test(test_full_pool_with_a_minimum_that_waits),
		pool_test(test_at_once),
		pool_test(test_nobody_there),
		pool_test(test_the_new_ones_first),
		pool_test(test_no_preference_after_a_failure),
		pool_test(test_another_balancer),
		pool_test(test_several_at_a_time),
		pool_test(test_several_in_a_full_pool),
		pool_test(test_warm_up),
		pool_test(test_a_restart_overtakes_a_cold_one),
		pool_test(test_spent_in_a_full_pool),
		pool_test(test_a_drain_outlives_a_balancer),
		pool_test(test_a_drain_is_shortened),
		pool_test(test_fewer_may_be),
		pool_test(test_fewer_may_be_when_they_come),
		pool_test(test_it_goes_on_over_oob_work),
		pool_test(test_a_failed_one_does_not_end_over_oob_work),
		pool_test(test_an_application_goes),
		pool_test(test_who_does_not_finish),
		pool_test(test_another_protocol),
		pool_test(test_queue_of_another_protocol),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
