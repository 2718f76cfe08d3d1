/* When processes leave: idle, worn out, replaced, dead, drained. */
#include "fake_clock.h"
#include "pool_fake.h"

/* ---- leaving ---- */

static void
test_idle_reaping(void **state)
{
	(void)state;
	fake_apps[0].pool_idle_time_ms = 10000;
	fake_apps[0].min_instances = 1;
	struct process *a = fake_attach(0, 1), *b = fake_attach(0, 1), *c = fake_attach(0, 1);
	struct fake_session *session = fake_door(c, SESSION_DIRECT, true);
	fake_pass(5000);
	session_end(&fake_door(b, SESSION_DIRECT, true)->session);
	fake_pass(4999);
	assert_int_equal(fake_retired, 0);
	fake_pass(1);
	assert_int_equal(fake_retired, 1);
	assert_ptr_equal(fake_last_retired, a);
	fake_pass(20000);
	assert_int_equal(fake_retired, 2);
	assert_ptr_equal(fake_last_retired, b);
	session_end(&session->session); /* after 25 s of work it is not idle for 25 s */
	fake_pass(1000000);
	assert_int_equal(fake_retired, 2); /* the minimum stays */
	assert_int_equal(c->state, PROCESS_ENABLED);
	assert_int_equal(fake_spawns[0], 0);
}

static void
test_idle_time_begins_at_the_end(void **state)
{
	(void)state;
	fake_apps[0].pool_idle_time_ms = 10000;
	struct process *a = fake_attach(0, 1);
	struct fake_session *session = fake_door(a, SESSION_DIRECT, true);
	fake_pass(60000);
	session_end(&session->session);
	fake_pass(9999);
	assert_int_equal(fake_retired, 0);
	fake_pass(1);
	assert_int_equal(fake_retired, 1);
	assert_int_equal(atomic_load(&a->board->last_used_ms), fake_now_ms - 70000);
}

/* One application's long idle time does not hide another one's short one. */
static void
test_idle_times_differ(void **state)
{
	(void)state;
	fake_apps[0].pool_idle_time_ms = 1000000;
	fake_apps[1].pool_idle_time_ms = 5000;
	fake_attach(0, 1);
	fake_pass(2000); /* the reaper now sleeps until the first one is due */
	struct process *quick = fake_attach(1, 1);
	fake_pass(1000);
	fake_pass(4000);
	assert_int_equal(fake_retired, 1);
	assert_ptr_equal(fake_last_retired, quick);
}

/* Whoever waited for the place leaves in the turn in which it came free. */
static void
test_idle_by_a_waiter_that_left(void **state)
{
	(void)state;
	fake_apps[0].pool_idle_time_ms = 10000;
	fake_apps[0].direct_wait_ms = 60000;
	struct process *a = fake_attach(0, 1);
	struct fake_session *session = fake_door(a, SESSION_DIRECT, true);
	struct fake_session *waiter = fake_door(a, SESSION_DIRECT, false);
	fake_pass(2000); /* the reaper has found nothing to wait for */
	session_end(&session->session);
	session_end(&waiter->session);
	fake_pass(9999);
	assert_int_equal(fake_retired, 0);
	fake_pass(1);
	assert_int_equal(fake_retired, 1);
	assert_ptr_equal(fake_last_retired, a);
}

/* One is to be there for the first request, and need not be after its end, however that comes. */
static void
test_idle_beside_the_first_request(void **state)
{
	(void)state;
	fake_apps[0].pool_idle_time_ms = 5000;
	fake_apps[0].pre_start = CONFIG_PRE_START_ON;
	struct process *a = fake_attach(0, 1), *b = fake_attach(0, 1);
	struct fake_session *session = fake_take(0, GROUP_TAKEN);
	fake_assert_on(session, a);
	group_detach(a);
	fake_pass(5000); /* b is the one that is to be there */
	assert_int_equal(fake_retired, 0);
	fake_gone(a);
	fake_pass(1000);
	assert_int_equal(fake_retired, 1);
	assert_ptr_equal(fake_last_retired, b);
}

static void
test_never_reaped(void **state)
{
	(void)state;
	fake_apps[0].pool_idle_time_ms = 0;
	fake_attach(0, 1);
	fake_pass(UINT64_C(1) << 40);
	assert_int_equal(fake_retired, 0);
}

static void
test_max_requests(void **state)
{
	(void)state;
	fake_apps[0].max_requests = 3;
	fake_apps[0].min_instances = 1;
	struct process *a = fake_attach(0, 2);
	for (int i = 0; i < 2; i++)
		session_end(&fake_take(0, GROUP_TAKEN)->session);
	struct fake_session *last = fake_take(0, GROUP_TAKEN), *beyond = fake_take(0, GROUP_TAKEN);
	fake_settle();
	session_end(&last->session);
	fake_settle();
	assert_int_equal(fake_spawns[0], 1);         /* its successor */
	assert_int_equal(a->state, PROCESS_ENABLED); /* nobody waits for that one */
	session_end(&fake_take(0, GROUP_TAKEN)->session);
	fake_settle();
	assert_int_equal(fake_spawns[0], 1);
	struct process *b = fake_attach(0, 2);
	assert_int_equal(a->state, PROCESS_DETACHED);
	fake_assert_on(fake_take(0, GROUP_TAKEN), b);
	assert_int_equal(fake_retired, 0);
	session_end(&beyond->session);
	fake_settle();
	assert_int_equal(fake_retired, 1);
	assert_int_equal(a->state, PROCESS_RETIRING);
}

static void
test_detached_door_works(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 1);
	fake_apps[0].direct_wait_ms = 1000;
	struct fake_session *session = fake_take(0, GROUP_TAKEN);
	struct fake_session *waiting = fake_door(a, SESSION_DIRECT, false);
	group_detach(a);
	group_detach(a);
	assert_int_equal(atomic_load(&a->board->state), SCOREBOARD_DETACHED);
	struct fake_session *balanced = fake_take(0, GROUP_WAITS);
	session_end(&session->session);
	fake_settle();
	fake_assert_event(waiting, SESSION_READY);
	fake_assert_event(balanced, FAKE_EVENT_NONE);
	assert_int_equal(fake_retired, 0);
	session_abandon(&waiting->session);
	fake_settle();
	assert_int_equal(fake_retired, 0); /* it may still be at work */
	process_trust(a);
	fake_settle();
	assert_int_equal(fake_retired, 1);
	session_end(&fake_door(a, SESSION_DIRECT, true)->session); /* until it is really gone */
	fake_settle();
	assert_int_equal(fake_retired, 1);
}

static void
test_restart(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 1), *b = fake_attach(0, 1), *other = fake_attach(1, 1);
	fake_apps[0].min_instances = 2;
	struct fake_session *session = fake_door(b, SESSION_DIRECT, true);
	fake_fail(0, "x", 100000); /* an operator who restarts has mended it */
	group_restart(fake_group(0), 1, true);
	assert_string_equal(fake_group(0)->failure, "");
	fake_settle();
	assert_int_equal(fake_retired, 1);
	assert_ptr_equal(fake_last_retired, a);
	assert_int_equal(b->state, PROCESS_DETACHED);
	assert_int_equal(other->state, PROCESS_ENABLED);
	assert_int_equal(fake_spawns[0], 2);
	session_end(&session->session);
	fake_settle();
	assert_int_equal(fake_retired, 2);
}

/* ---- the end ---- */

static void
test_process_gone(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 1);
	uint32_t slot = a->record.slot;
	uint64_t serial = a->record.serial;
	fake_apps[0].direct_wait_ms = 1000;
	fake_apps[0].max_instances = 1;
	struct fake_session *active = fake_take(0, GROUP_TAKEN), *bypass = fake_door(a, SESSION_BYPASS, true);
	struct fake_session *waiting = fake_door(a, SESSION_DIRECT, false), *queued = fake_take(0, GROUP_WAITS);
	session_tunnel(&fake_door(a, SESSION_BYPASS, true)->session);
	assert_ptr_equal(pool_find(&fake_pool, slot, serial), a);
	assert_null(pool_find(&fake_pool, slot, serial + 1));
	assert_null(pool_find(&fake_pool, slot + 1, serial));
	assert_null(pool_find(&fake_pool, UINT32_MAX, serial));
	pool_gone(&fake_pool, slot, serial + 1); /* an old message is nothing */
	assert_int_equal(fake_gone_count, 0);
	fake_gone(a);
	assert_int_equal(fake_gone_count, 1);
	fake_assert_event(active, SESSION_PROCESS_GONE);
	fake_assert_event(bypass, SESSION_PROCESS_GONE);
	fake_assert_event(waiting, SESSION_PROCESS_GONE);
	fake_assert_event(queued, FAKE_EVENT_NONE); /* any other one serves it */
	assert_int_equal(fake_pool.process_count, 0);
	assert_int_equal(fake_spawns[0], 1);
	pool_gone(&fake_pool, slot, serial);
	fake_attach(0, 1);
	fake_assert_event(queued, SESSION_READY);
}

/* It is told while its tunnels still are; they end a second later, and nobody else. */
static void
test_tunnels_are_told(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 1);
	fake_apps[0].abort_websockets_on_process_shutdown = true;
	struct fake_session *tunnel = fake_take(0, GROUP_TAKEN);
	session_tunnel(&tunnel->session); /* whether its place is free is still in doubt */
	struct fake_session *bypass = fake_door(a, SESSION_BYPASS, true);
	group_detach(a);
	fake_settle();
	assert_int_equal(fake_retired, 0);
	session_end(&bypass->session);
	fake_settle();
	assert_int_equal(fake_retired, 1);
	struct fake_session *at_door = fake_door(a, SESSION_BYPASS, true);
	fake_pass(POOL_GOODBYE_MS - 1);
	fake_assert_event(tunnel, FAKE_EVENT_NONE);
	fake_pass(1);
	fake_assert_event(tunnel, SESSION_TUNNEL_OVER);
	fake_assert_event(at_door, FAKE_EVENT_NONE);
	session_end(&tunnel->session);
	session_end(&at_door->session);
	assert_int_equal(fake_retired, 1);
}

/* With the option off they have drain_timeout to end by themselves; nothing is killed for them. */
static void
test_tunnels_are_left(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 0), *b = fake_attach(1, 0);
	struct fake_session *long_one = fake_take(0, GROUP_TAKEN), *short_one = fake_take(1, GROUP_TAKEN);
	session_tunnel(&long_one->session);
	session_tunnel(&short_one->session);
	group_detach(a);
	group_replace(b);
	fake_settle();
	session_end(&short_one->session);
	fake_settle();
	assert_int_equal(fake_retired, 1);
	assert_ptr_equal(fake_last_retired, b);
	fake_pass(59999);
	assert_int_equal(fake_retired, 1);
	fake_pass(1);
	assert_int_equal(fake_retired, 2);
	fake_pass(POOL_GOODBYE_MS);
	fake_assert_event(long_one, SESSION_TUNNEL_OVER);
	session_end(&long_one->session);
}

/* The server stops: who has only tunnels leaves, who works does not yet. */
static void
test_tunnels_at_the_end(void **state)
{
	(void)state;
	struct process *idle = fake_attach(0, 0), *works = fake_attach(1, 0), *both = fake_attach(2, 0);
	for (unsigned i = 0; i < FAKE_APPS; i++)
		fake_apps[i].abort_websockets_on_process_shutdown = true;
	struct fake_session *tunnel = fake_take(2, GROUP_TAKEN), *work = fake_take(1, GROUP_TAKEN);
	session_tunnel(&tunnel->session);
	pool_drain(&fake_pool);
	pool_end_tunnels(&fake_pool);
	fake_settle();
	assert_int_equal(fake_retired, 1);
	assert_ptr_equal(fake_last_retired, both);
	assert_int_equal(idle->state, PROCESS_ENABLED);
	assert_int_equal(works->state, PROCESS_ENABLED);
	fake_pass(POOL_GOODBYE_MS);
	fake_assert_event(tunnel, SESSION_TUNNEL_OVER);
	session_end(&tunnel->session);
	session_end(&work->session);
}

static void
test_bad_records(void **state)
{
	(void)state;
	struct message_process record = fake_record(77, 1);
	assert_null(pool_attach(&fake_pool, &record));
	record = fake_record(0, 1);
	record.slot = SCOREBOARD_PROCESSES;
	assert_null(pool_attach(&fake_pool, &record));
	record = fake_record(0, 1);
	assert_non_null(pool_attach(&fake_pool, &record));
	assert_null(pool_attach(&fake_pool, &record));
	assert_int_equal(fake_pool.process_count, 1);
}

/* It was told to stop before this balancer lived. */
static void
test_attached_retiring(void **state)
{
	(void)state;
	struct message_process record = fake_record(0, 1);
	record.retiring = 1;
	struct process *a = pool_attach(&fake_pool, &record);
	assert_non_null(a);
	fake_settle();
	assert_int_equal(atomic_load(&a->board->state), SCOREBOARD_DETACHED);
	fake_take(0, GROUP_WAITS);
	fake_door(a, SESSION_DIRECT, true);
	fake_settle();
	assert_int_equal(fake_retired, 0); /* not twice */
	assert_int_equal(fake_spawns[0], 1);
}

static void
test_drain(void **state)
{
	(void)state;
	fake_apps[0].max_requests = 2;
	fake_apps[1].min_instances = 1;
	fake_apps[0].pool_idle_time_ms = 10;
	struct process *a = fake_attach(0, 1);
	struct fake_session *active = fake_take(0, GROUP_TAKEN), *second = fake_take(0, GROUP_WAITS);
	struct fake_session *third = fake_take(0, GROUP_WAITS), *nobody = fake_take(1, GROUP_WAITS);
	fake_settle();
	assert_int_equal(fake_spawns[0], 2);
	pool_drain(&fake_pool);
	fake_settle();
	fake_assert_event(nobody, SESSION_STOPPED);
	fake_assert_event(second, FAKE_EVENT_NONE);
	fake_take(1, GROUP_STOPPED);
	fake_fail(0, "x", 0);
	fake_fail(0, "x", 0);
	session_end(&active->session);
	fake_settle();
	fake_assert_event(second, SESSION_READY);
	fake_assert_event(third, FAKE_EVENT_NONE);
	session_end(&second->session);
	fake_settle();
	/* max_requests does not take the last process out of rotation: no other will come. */
	assert_int_equal(a->state, PROCESS_ENABLED);
	fake_assert_on(third, a);
	fake_gone(a);
	fake_pass(100000);
	assert_int_equal(fake_spawns[0], 2);
}

#define pool_test(name) cmocka_unit_test_setup_teardown(name, fake_set_up, fake_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(test_idle_reaping),
		pool_test(test_idle_time_begins_at_the_end),
		pool_test(test_idle_times_differ),
		pool_test(test_idle_by_a_waiter_that_left),
		pool_test(test_idle_beside_the_first_request),
		pool_test(test_never_reaped),
		pool_test(test_max_requests),
		pool_test(test_detached_door_works),
		pool_test(test_restart),
		pool_test(test_process_gone),
		pool_test(test_bad_records),
		pool_test(test_attached_retiring),
		pool_test(test_drain),
		pool_test(test_tunnels_are_told),
		pool_test(test_tunnels_are_left),
		pool_test(test_tunnels_at_the_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
