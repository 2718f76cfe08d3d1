/* When processes are asked for, evicted, reaped, replaced, drained. */
#include "fake_clock.h"
#include "pool_fake.h"

#include <stdlib.h>

/* ---- asking ---- */

static void
test_minimum(void **state)
{
	(void)state;
	fake_apps[0].min_instances = 3;
	pool_begin(&fake_pool);
	fake_settle();
	assert_int_equal(fake_spawns[0], POOL_GROUP_SPAWNS_MAX);
	assert_int_equal(fake_spawns[1], 0);
	assert_int_equal(atomic_load(&fake_group(0)->board->spawning), 2);
	fake_attach(0, 1);
	assert_int_equal(fake_spawns[0], 3);
	fake_attach(0, 1);
	struct process *last = fake_attach(0, 1);
	assert_int_equal(fake_spawns[0], 3);
	assert_int_equal(group_size(fake_group(0)), 3);
	fake_gone(last);
	assert_int_equal(fake_spawns[0], 4);
}

/* What lives is told first: nothing is asked for before that. */
static void
test_opening(void **state)
{
	(void)state;
	fake_apps[0].min_instances = 2;
	fake_apps[1].min_instances = 1;
	fake_pool.state = POOL_OPENING;
	fake_attach(0, 1);
	fake_take(1, GROUP_WAITS);
	fake_settle();
	assert_int_equal(fake_spawns[0] + fake_spawns[1], 0);
	pool_begin(&fake_pool);
	fake_settle();
	assert_int_equal(fake_spawns[0], 1);
	assert_int_equal(fake_spawns[1], 1);
}

static void
test_on_demand(void **state)
{
	(void)state;
	struct fake_session *waiting[5];
	for (size_t i = 0; i < array_count(waiting); i++)
		waiting[i] = fake_take(0, GROUP_WAITS);
	assert_int_equal(fake_spawns[0], 0); /* from the soon-queue, not from inside the call */
	fake_settle();
	assert_int_equal(fake_spawns[0], POOL_GROUP_SPAWNS_MAX);
	fake_attach(0, 1);
	assert_int_equal(fake_spawns[0], 3); /* four wait, one is coming */
	fake_attach(0, 1);
	fake_attach(0, 1);
	/* Two wait for the two that are coming. */
	assert_int_equal(fake_spawns[0], 5);
	fake_settle();
	assert_int_equal(fake_spawns[0], 5);
	for (size_t i = 0; i < array_count(waiting); i++)
		fake_assert_event(waiting[i], i < 3 ? SESSION_READY : FAKE_EVENT_NONE);
}

static void
test_no_more_than_the_queue_needs(void **state)
{
	(void)state;
	static const struct app_type http = {.name = "command", .protocol = APP_PROTOCOL_HTTP};
	fake_apps[0].thread_count = 8;
	fake_apps[1].type = &http; /* concurrency 0: one process takes all */
	fake_apps[2].type = &http;
	fake_apps[2].concurrency = 2;
	for (int i = 0; i < 5; i++) {
		fake_take(0, GROUP_WAITS);
		fake_take(1, GROUP_WAITS);
		fake_take(2, GROUP_WAITS);
	}
	fake_settle();
	assert_int_equal(fake_spawns[0], 1);
	assert_int_equal(fake_spawns[1], 1);
	assert_int_equal(fake_spawns[2], 2);
}

static void
test_max_instances(void **state)
{
	(void)state;
	fake_apps[0].max_instances = 2;
	for (int i = 0; i < 10; i++)
		fake_take(0, GROUP_WAITS);
	fake_settle();
	fake_attach(0, 1);
	struct process *last = fake_attach(0, 1);
	assert_int_equal(fake_spawns[0], 2);
	fake_pass(100000);
	assert_int_equal(fake_spawns[0], 2);
	fake_gone(last);
	assert_int_equal(fake_spawns[0], 3);
}

static void
test_max_pool_size(void **state)
{
	(void)state;
	fake_config.max_pool_size = 3;
	for (int i = 0; i < 10; i++) {
		fake_take(0, GROUP_WAITS);
		fake_take(1, GROUP_WAITS);
	}
	fake_settle();
	assert_int_equal(fake_spawns[0], 2);
	assert_int_equal(fake_spawns[1], 1);
	struct process *process = fake_attach(0, 1);
	fake_attach(0, 1);
	fake_attach(1, 1);
	assert_int_equal(fake_spawns[0] + fake_spawns[1], 3);
	fake_gone(process); /* one room, and the other group asked first */
	assert_int_equal(fake_spawns[0], 2);
	assert_int_equal(fake_spawns[1], 2);
}

static void
test_spawns_at_once(void **state)
{
	(void)state;
	for (unsigned app = 0; app < FAKE_APPS; app++)
		fake_apps[app].min_instances = 3;
	pool_begin(&fake_pool);
	fake_settle();
	assert_int_equal(fake_spawns[0] + fake_spawns[1] + fake_spawns[2], POOL_SPAWNS_MAX);
	for (unsigned left = 9; left > 0; left--)
		for (unsigned app = 0; app < FAKE_APPS; app++)
			if (fake_group(app)->spawning > 0)
				fake_attach(app, 1);
	for (unsigned app = 0; app < FAKE_APPS; app++)
		assert_int_equal(group_size(fake_group(app)), 3);
	assert_int_equal(fake_pool.spawning, 0);
}

static void
test_spawning_of_an_earlier_balancer(void **state)
{
	(void)state;
	fake_apps[0].min_instances = 1;
	pool_spawning(&fake_pool, 0);
	pool_spawning(&fake_pool, 77); /* names no group */
	pool_begin(&fake_pool);
	fake_settle();
	assert_int_equal(fake_spawns[0], 0);
	fake_attach(0, 1);
	assert_int_equal(fake_group(0)->spawning, 0);
	assert_int_equal(fake_pool.spawning, 0);
}

/* ---- eviction ---- */

static void
test_eviction(void **state)
{
	(void)state;
	fake_config.max_pool_size = 3;
	struct process *longest = fake_attach(1, 1);
	fake_pass(10);
	struct process *busy = fake_attach(1, 1);
	fake_door(busy, SESSION_DIRECT, true);
	fake_pass(10);
	struct process *idle = fake_attach(2, 1);
	fake_pass(10);
	struct fake_session *session = fake_take(0, GROUP_WAITS);
	fake_settle();
	assert_int_equal(fake_retired, 1);
	assert_ptr_equal(fake_last_retired, longest);
	assert_int_equal(longest->state, PROCESS_RETIRING);
	assert_int_equal(idle->state, PROCESS_ENABLED);
	assert_int_equal(fake_spawns[0], 0); /* only when it is really gone */
	fake_pass(1000);
	fake_take(0, GROUP_WAITS);
	fake_settle();
	assert_int_equal(fake_retired, 1); /* one leaves for one group that wants */
	fake_gone(longest);
	assert_int_equal(fake_spawns[0], 1);
	fake_attach(0, 1);
	fake_assert_event(session, SESSION_READY);
	/* The second one still waits: now the other idle one goes. */
	assert_ptr_equal(fake_last_retired, idle);
	fake_gone(idle);
	assert_int_equal(fake_spawns[0], 2);
	assert_int_equal(busy->state, PROCESS_ENABLED);
}

static void
test_idle_since_its_last_request_ended(void **state)
{
	(void)state;
	fake_config.max_pool_size = 2;
	struct process *long_request = fake_attach(1, 1);
	struct fake_session *session = fake_door(long_request, SESSION_DIRECT, true);
	fake_pass(1000);
	struct process *idle = fake_attach(2, 1);
	fake_pass(1000);
	session_end(&session->session);
	fake_take(0, GROUP_WAITS);
	fake_settle();
	assert_ptr_equal(fake_last_retired, idle);
}

static void
test_who_is_not_evicted(void **state)
{
	(void)state;
	fake_config.max_pool_size = 3;
	fake_attach(0, 1);
	fake_take(0, GROUP_TAKEN);
	struct process *other = fake_attach(1, 1), *doubted = fake_attach(2, 1);
	struct fake_session *tunnel = fake_door(other, SESSION_DIRECT, true);
	session_tunnel(&tunnel->session);
	process_trust(other);
	session_abandon(&fake_door(doubted, SESSION_DIRECT, true)->session);
	fake_apps[2].min_instances = 5; /* a minimum is no reason */
	fake_take(0, GROUP_WAITS);
	fake_settle();
	fake_pass(100);
	assert_int_equal(fake_retired, 0);
	process_trust(doubted); /* idle now, and that is noticed */
	fake_settle();
	assert_int_equal(fake_retired, 1);
	assert_ptr_equal(fake_last_retired, doubted);
}

static void
test_minimum_does_not_evict(void **state)
{
	(void)state;
	fake_config.max_pool_size = 1;
	struct process *idle = fake_attach(1, 1);
	fake_apps[0].min_instances = 1;
	pool_begin(&fake_pool);
	fake_settle();
	assert_int_equal(fake_retired + fake_spawns[0], 0);
	fake_gone(idle);
	assert_int_equal(fake_spawns[0], 1);
}

/* The evicted one's group wants its minimum back; who waits goes first, however often it asks. */
static void
test_waiting_goes_before_minimum(void **state)
{
	(void)state;
	fake_config.max_pool_size = 2;
	fake_apps[1].min_instances = 1;
	struct process *evicted = fake_attach(1, 1), *third = fake_attach(2, 1);
	fake_door(third, SESSION_DIRECT, true);
	for (int i = 0; i < 3; i++) {
		fake_take(0, GROUP_WAITS);
		fake_settle();
	}
	assert_int_equal(fake_retired, 1);
	fake_gone(evicted);
	assert_int_equal(fake_spawns[0], 1);
	assert_int_equal(fake_spawns[1], 0);
}

/* A detached process that has a tunnel may stay for hours: it is no promise of room. */
static void
test_eviction_beside_a_long_leaver(void **state)
{
	(void)state;
	fake_config.max_pool_size = 2;
	struct process *leaver = fake_attach(1, 1), *idle = fake_attach(2, 1);
	fake_door(leaver, SESSION_DIRECT, true);
	group_detach(leaver);
	fake_take(0, GROUP_WAITS);
	fake_settle();
	assert_int_equal(fake_retired, 1);
	assert_ptr_equal(fake_last_retired, idle);
}

/* ---- failures ---- */

static void
test_spawn_fails(void **state)
{
	(void)state;
	struct fake_session *first = fake_take(0, GROUP_WAITS), *second = fake_take(0, GROUP_WAITS);
	fake_settle();
	assert_int_equal(fake_spawns[0], 2);
	fake_fail(0, "id1\nno such file\n", 1000);
	fake_assert_event(first, FAKE_EVENT_NONE); /* another one may still succeed */
	fake_fail(0, "id2\nno such file\n", 2000);
	fake_assert_event(first, SESSION_SPAWN_FAILED);
	fake_assert_event(second, SESSION_SPAWN_FAILED);
	assert_true(first->order < second->order);
	assert_string_equal(fake_group(0)->failure, "id2\nno such file\n");
	assert_int_equal(atomic_load(&fake_group(0)->board->spawn_failures), 2);
	assert_int_equal(atomic_load(&fake_group(0)->board->backoff_until_ms), fake_now_ms + 2000);
	fake_take(0, GROUP_FAILING);
	fake_pass(1999);
	fake_take(0, GROUP_FAILING);
	assert_int_equal(fake_spawns[0], 2);
	fake_pass(1);
	fake_take(0, GROUP_WAITS);
	fake_settle();
	assert_int_equal(fake_spawns[0], 3);
	fake_attach(0, 1);
	assert_string_equal(fake_group(0)->failure, "");
	assert_int_equal(atomic_load(&fake_group(0)->board->backoff_until_ms), 0);
}

static void
test_spawn_fails_beside_living_ones(void **state)
{
	(void)state;
	fake_attach(0, 1);
	struct fake_session *running = fake_take(0, GROUP_TAKEN), *waiting = fake_take(0, GROUP_WAITS);
	fake_settle();
	assert_int_equal(fake_spawns[0], 1);
	fake_fail(0, "id\nno memory\n", 1000);
	fake_assert_event(waiting, FAKE_EVENT_NONE);
	struct fake_session *more = fake_take(0, GROUP_WAITS);
	fake_settle();
	assert_int_equal(fake_spawns[0], 1); /* not before the back-off ends */
	session_end(&running->session);
	fake_settle();
	fake_assert_event(waiting, SESSION_READY);
	fake_pass(1000);
	assert_int_equal(fake_spawns[0], 2); /* by itself: one still waits */
	fake_assert_event(more, FAKE_EVENT_NONE);
}

static void
test_minimum_is_tried_again(void **state)
{
	(void)state;
	fake_apps[0].min_instances = 1;
	pool_begin(&fake_pool);
	fake_settle();
	for (unsigned i = 1; i < 10; i++) {
		assert_int_equal(fake_spawns[0], i);
		fake_fail(0, "x", 500);
		fake_pass(499);
		assert_int_equal(fake_spawns[0], i);
		fake_pass(1);
	}
}

static void
test_failure_text_is_cut(void **state)
{
	char text[GROUP_FAILURE_BYTES * 2];
	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	fake_fail(0, text, 10);
	assert_int_equal(strlen(fake_group(0)->failure), GROUP_FAILURE_BYTES - 1);
	fake_fail(77, "names no group", 10);
}

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
	assert_int_equal(a->state, PROCESS_DETACHED);
	fake_take(0, GROUP_WAITS);
	fake_settle();
	assert_int_equal(fake_spawns[0], 1); /* its successor */
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
	group_restart(fake_group(0));
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
	/* max_requests took the last process out of rotation, and no other will come. */
	assert_int_not_equal(a->state, PROCESS_ENABLED);
	fake_assert_event(third, SESSION_STOPPED);
	fake_gone(a);
	fake_pass(100000);
	assert_int_equal(fake_spawns[0], 2);
}

#define pool_test(name) cmocka_unit_test_setup_teardown(name, fake_set_up, fake_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(test_minimum),
		pool_test(test_opening),
		pool_test(test_on_demand),
		pool_test(test_no_more_than_the_queue_needs),
		pool_test(test_max_instances),
		pool_test(test_max_pool_size),
		pool_test(test_spawns_at_once),
		pool_test(test_spawning_of_an_earlier_balancer),
		pool_test(test_eviction),
		pool_test(test_idle_since_its_last_request_ended),
		pool_test(test_who_is_not_evicted),
		pool_test(test_minimum_does_not_evict),
		pool_test(test_waiting_goes_before_minimum),
		pool_test(test_eviction_beside_a_long_leaver),
		pool_test(test_spawn_fails),
		pool_test(test_spawn_fails_beside_living_ones),
		pool_test(test_minimum_is_tried_again),
		pool_test(test_failure_text_is_cut),
		pool_test(test_idle_reaping),
		pool_test(test_idle_time_begins_at_the_end),
		pool_test(test_idle_times_differ),
		pool_test(test_never_reaped),
		pool_test(test_max_requests),
		pool_test(test_detached_door_works),
		pool_test(test_restart),
		pool_test(test_process_gone),
		pool_test(test_bad_records),
		pool_test(test_attached_retiring),
		pool_test(test_drain),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
