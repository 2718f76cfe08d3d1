/* When processes are asked for, which one makes way for another, and what a failure means. */
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
	assert_int_equal(fake_spawns[0] + fake_spawns[1] + fake_spawns[2], fake_config.max_concurrent_spawns);
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

static struct session *
list_only_session(struct process *process)
{
	assert_int_equal(process->active.count, 1);
	return container_of(list_first(&process->active), struct session, node);
}

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
	fake_pass(POOL_MOMENT_MS);
	struct fake_session *session = fake_take(0, GROUP_WAITS);
	fake_settle();
	assert_int_equal(fake_retired, 1);
	assert_ptr_equal(fake_last_retired, longest);
	assert_int_equal(longest->state, PROCESS_RETIRING);
	assert_int_equal(idle->state, PROCESS_ENABLED);
	assert_int_equal(fake_spawns[0], 0); /* only when it is really gone */
	fake_pass(POOL_PATIENCE_MS);
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

/* Between two requests of a busy client nothing is idle: what goes then is started anew a moment later. */
static void
test_a_moment_between_two_requests(void **state)
{
	(void)state;
	fake_config.max_pool_size = 1;
	struct process *rests = fake_attach(1, 1);
	fake_pass(1000);
	session_end(&fake_door(rests, SESSION_DIRECT, true)->session);
	fake_take(0, GROUP_WAITS);
	fake_settle();
	fake_pass(POOL_MOMENT_MS - 1);
	session_end(&fake_door(rests, SESSION_DIRECT, true)->session);
	fake_pass(POOL_MOMENT_MS - 1);
	assert_int_equal(fake_retired, 0);
	fake_pass(1);
	assert_ptr_equal(fake_last_retired, rests);
}

/* It has had its turn. */
static void
test_moments_for_long_enough(void **state)
{
	(void)state;
	fake_config.max_pool_size = 1;
	struct process *rests = fake_attach(1, 1);
	struct fake_session *session = fake_door(rests, SESSION_DIRECT, true);
	fake_take(0, GROUP_WAITS);
	fake_pass(POOL_PATIENCE_MS);
	assert_int_equal(fake_retired, 0);
	session_end(&session->session);
	fake_settle();
	assert_ptr_equal(fake_last_retired, rests);
}

/* Its process is in use without a pause, by requests or a websocket, and nothing else happens. */
static void
test_a_turn_ends_by_itself(void **state)
{
	(void)state;
	fake_config.max_pool_size = 1;
	struct process *used = fake_attach(1, 2);
	struct fake_session *session = fake_door(used, SESSION_DIRECT, true);
	fake_take(0, GROUP_WAITS);
	fake_pass(POOL_PATIENCE_MS);
	assert_int_equal(used->state, PROCESS_ENABLED);
	fake_pass(1);
	assert_int_equal(used->state, PROCESS_DETACHED);
	session_end(&session->session);
	fake_settle();
	assert_ptr_equal(fake_last_retired, used);
}

/* One that is slow to end holds up nobody but the one that it makes way for. */
static void
test_each_wish_has_its_leaver(void **state)
{
	(void)state;
	fake_config.max_pool_size = 2;
	struct process *a = fake_attach(2, 1), *b = fake_attach(2, 1);
	fake_pass(POOL_PATIENCE_MS);
	fake_take(0, GROUP_WAITS);
	fake_settle();
	assert_int_equal(fake_retired, 1);
	fake_take(1, GROUP_WAITS);
	fake_settle();
	assert_int_equal(fake_retired, 2);
	assert_true(a->state == PROCESS_RETIRING && b->state == PROCESS_RETIRING);
}

/* By the spawner's clock it was ready after our turn began. */
static void
test_a_process_of_the_future(void **state)
{
	(void)state;
	fake_apps[0].pool_idle_time_ms = 2000;
	fake_attach(0, 1);
	fake_pass(999);
	struct message_process record = fake_record(0, 1);
	record.started_ms = fake_now_ms + 5;
	struct process *newborn = pool_attach(&fake_pool, &record);
	fake_pass(1);
	assert_int_equal(newborn->state, PROCESS_ENABLED);
	assert_int_equal(fake_retired, 0);
}

/* Who has a process gets another one's only if that has more. */
static void
test_surplus_makes_way_at_once(void **state)
{
	(void)state;
	fake_config.max_pool_size = 4;
	struct process *first = fake_attach(1, 1);
	fake_attach(1, 1);
	fake_attach(1, 1);
	fake_attach(0, 1);
	fake_take(0, GROUP_TAKEN);
	for (int i = 0; i < 9; i++)
		fake_take(0, GROUP_WAITS);
	fake_settle();
	assert_ptr_equal(fake_last_retired, first);
	fake_gone(first);
	fake_attach(0, 1);
	fake_pass(POOL_PATIENCE_MS - 1);
	assert_int_equal(fake_retired, 1);
	fake_pass(1);
	assert_int_equal(fake_retired, 2);
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
	fake_pass(POOL_PATIENCE_MS - 1);
	assert_int_equal(fake_retired, 0);
	fake_pass(1);
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
	fake_pass(POOL_MOMENT_MS);
	for (int i = 0; i < 3; i++) {
		fake_take(0, GROUP_WAITS);
		fake_settle();
	}
	assert_int_equal(fake_retired, 1);
	fake_gone(evicted);
	assert_int_equal(fake_spawns[0], 1);
	assert_int_equal(fake_spawns[1], 0);
}

/* The group that wants its minimum may have asked long before. */
static void
test_waiting_goes_before_an_older_minimum(void **state)
{
	(void)state;
	fake_config.max_pool_size = 1;
	struct process *idle = fake_attach(2, 1);
	fake_apps[1].min_instances = 1;
	pool_begin(&fake_pool);
	fake_pass(POOL_MOMENT_MS);
	fake_take(0, GROUP_WAITS);
	fake_settle();
	assert_int_equal(fake_retired, 1);
	fake_gone(idle);
	assert_int_equal(fake_spawns[0], 1);
	assert_int_equal(fake_spawns[1], 0);
}

/* The one that is on its way will serve who waits: the rest of the minimum costs nobody a process. */
static void
test_minimum_behind_a_request_does_not_evict(void **state)
{
	(void)state;
	fake_config.max_pool_size = 2;
	struct process *longest = fake_attach(1, 1);
	fake_attach(2, 1);
	fake_pass(POOL_MOMENT_MS);
	fake_apps[0].min_instances = 2;
	fake_take(0, GROUP_WAITS);
	fake_settle();
	assert_ptr_equal(fake_last_retired, longest);
	fake_gone(longest);
	assert_int_equal(fake_spawns[0], 1);
	fake_pass(1000);
	assert_int_equal(fake_retired, 1);
	fake_attach(0, 1);
	assert_int_equal(fake_retired, 1);
}

/* Three crowds and one process: each has it for a while, else all time would go into starts. */
static void
test_crowds_take_turns(void **state)
{
	(void)state;
	fake_config.max_pool_size = 1;
	struct process *process = fake_attach(0, 1);
	struct fake_session *running = fake_take(0, GROUP_TAKEN);
	for (unsigned app = 0; app < FAKE_APPS; app++)
		for (int i = 0; i < 9; i++)
			fake_take(app, GROUP_WAITS);
	fake_pass(POOL_PATIENCE_MS + 1);
	session_end(&running->session);
	fake_settle();
	assert_ptr_equal(fake_last_retired, process);
	fake_gone(process);
	assert_int_equal(fake_spawns[1] + fake_spawns[2], 1);
	process = fake_attach(fake_spawns[1] ? 1 : 2, 1);
	for (int i = 0; i < 5; i++) {
		fake_pass(POOL_PATIENCE_MS / 5);
		assert_int_equal(process->state, PROCESS_ENABLED);
		session_end(list_only_session(process));
		fake_settle();
	}
	fake_pass(1);
	session_end(list_only_session(process));
	fake_settle();
	assert_true(process->state >= PROCESS_DETACHED);
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
	fake_pass(POOL_MOMENT_MS);
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
		pool_test(test_a_moment_between_two_requests),
		pool_test(test_moments_for_long_enough),
		pool_test(test_a_turn_ends_by_itself),
		pool_test(test_each_wish_has_its_leaver),
		pool_test(test_a_process_of_the_future),
		pool_test(test_surplus_makes_way_at_once),
		pool_test(test_who_is_not_evicted),
		pool_test(test_minimum_does_not_evict),
		pool_test(test_waiting_goes_before_minimum),
		pool_test(test_waiting_goes_before_an_older_minimum),
		pool_test(test_minimum_behind_a_request_does_not_evict),
		pool_test(test_crowds_take_turns),
		pool_test(test_eviction_beside_a_long_leaver),
		pool_test(test_spawn_fails),
		pool_test(test_spawn_fails_beside_living_ones),
		pool_test(test_minimum_is_tried_again),
		pool_test(test_failure_text_is_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
