/* Who gets another process than the least busy one, and how many processes there are to be. */
#include "fake_clock.h"
#include "pool_fake.h"

#include <stdio.h>

static struct fake_session *
take_sticky(unsigned app, struct process *process, enum group_answer answer)
{
	struct fake_session *session = fake_session();
	session->session.wish = process;
	assert_int_equal(group_take(fake_group(app), &session->session), answer);
	return session;
}

static struct fake_session *
take_unlimited(unsigned app, enum group_answer answer)
{
	struct fake_session *session = fake_session();
	session->session.kind = SESSION_UNLIMITED;
	assert_int_equal(group_take(fake_group(app), &session->session), answer);
	return session;
}

/* ---- sticky ---- */

static void
test_sticky_id(void **state)
{
	char id[GROUP_STICKY_BYTES], other[GROUP_STICKY_BYTES];
	struct message_process record = fake_record(0, 1);
	(void)state;
	snprintf(record.gupid, sizeof(record.gupid), "1c4b2f-AbCdEfGhIj");
	struct process *a = pool_attach(&fake_pool, &record);
	struct process *b = fake_attach(0, 1);
	struct str text = group_sticky_id(a, id);
	assert_non_null(strstr(id, "-AbCdEfGhIj"));
	assert_ptr_equal(group_sticky_find(fake_group(0), text), a);
	assert_null(group_sticky_find(fake_group(1), text));
	assert_false(str_equal(text, group_sticky_id(b, other)));
	static const char *const nonsense[] = {"",
	                                       "-",
	                                       "0",
	                                       "zz-AbCdEfGhIj",
	                                       "ffffff-AbCdEfGhIj",
	                                       "1fff-AbCdEfGhIj",
	                                       "0-",
	                                       "-AbCdEfGhIj",
	                                       "2000-AbCdEfGhIj",
	                                       "1234567890123456789012345678"};
	for (size_t i = 0; i < array_count(nonsense); i++)
		assert_null(group_sticky_find(fake_group(0), str_from(nonsense[i])));
	/* in the same slot another one stands later */
	fake_gone(a);
	assert_null(group_sticky_find(fake_group(0), text));
	snprintf(record.gupid, sizeof(record.gupid), "1c4b2f-BbCdEfGhIj");
	record.serial += 100;
	assert_non_null(pool_attach(&fake_pool, &record));
	assert_null(group_sticky_find(fake_group(0), text));
	/* out of rotation it is nobody's */
	text = group_sticky_id(b, other);
	assert_ptr_equal(group_sticky_find(fake_group(0), text), b);
	group_detach(b);
	assert_null(group_sticky_find(fake_group(0), text));
}

static void
test_sticky_is_served_there(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 2), *b = fake_attach(0, 2);
	fake_assert_on(take_sticky(0, b, GROUP_TAKEN), b);
	fake_assert_on(take_sticky(0, b, GROUP_TAKEN), b); /* though a is idle */
	fake_assert_on(fake_take(0, GROUP_TAKEN), a);
	group_detach(a);
	fake_settle();
	struct fake_session *waits = take_sticky(0, a, GROUP_WAITS); /* that one leaves */
	assert_int_equal(waits->session.state, SESSION_QUEUED);
	struct process *other = fake_attach(1, 2);
	fake_assert_on(take_sticky(1, a, GROUP_TAKEN), other); /* of another application */
}

static void
test_sticky_waits_alone(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 1), *b = fake_attach(0, 1);
	struct fake_session *on_a = take_sticky(0, a, GROUP_TAKEN);
	fake_pass(5);
	struct fake_session *waits = take_sticky(0, a, GROUP_WAITS);
	assert_int_equal(waits->session.state, SESSION_AT_DOOR);
	assert_int_equal(atomic_load(&fake_group(0)->board->queued), 1);
	assert_int_equal(atomic_load(&fake_group(0)->board->oldest_queued_ms), fake_now_ms);
	fake_pass(5);
	fake_assert_on(fake_take(0, GROUP_TAKEN), b); /* others do not wait for it */
	assert_int_equal(fake_spawns[0], 0);          /* and another process would not help */
	struct fake_session *queued = fake_take(0, GROUP_WAITS);
	session_end(&on_a->session);
	fake_settle();
	fake_assert_on(waits, a);
	fake_assert_event(queued, FAKE_EVENT_NONE);
	session_end(&waits->session);
	fake_settle();
	fake_assert_on(queued, a);
	assert_int_equal(atomic_load(&fake_group(0)->board->queued), 0);
}

/* Its process goes: it stands in the queue where it would have stood. */
static void
test_sticky_queues_again(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 1), *b = fake_attach(0, 1), *c = fake_attach(0, 1);
	fake_apps[0].max_instances = 3;
	fake_apps[0].max_request_queue_time_ms = 1000;
	struct fake_session *on_b = NULL;
	fake_take(0, GROUP_TAKEN);
	on_b = fake_take(0, GROUP_TAKEN);
	fake_assert_on(on_b, b);
	fake_take(0, GROUP_TAKEN);
	struct fake_session *first = fake_take(0, GROUP_WAITS);
	fake_pass(100);
	struct fake_session *second = take_sticky(0, a, GROUP_WAITS);
	fake_pass(100);
	struct fake_session *third = take_sticky(0, c, GROUP_WAITS), *fourth = fake_take(0, GROUP_WAITS);
	assert_int_equal(fake_group(0)->sticky.count, 2);
	fake_gone(a);
	group_detach(c);
	fake_settle();
	assert_int_equal(fake_group(0)->sticky.count, 0);
	assert_int_equal(atomic_load(&fake_group(0)->board->queued), 4);
	struct fake_session *order[] = {first, second, fourth, third};
	session_end(&on_b->session);
	for (size_t i = 0; i < array_count(order); i++) {
		fake_settle();
		fake_assert_event(order[i], SESSION_READY);
		fake_assert_on(order[i], b);
		session_end(&order[i]->session);
	}
}

static void
test_sticky_limits(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 1);
	fake_apps[0].max_instances = 1;
	fake_apps[0].max_request_queue_size = 2;
	fake_apps[0].max_request_queue_time_ms = 1000;
	fake_take(0, GROUP_TAKEN);
	struct fake_session *waits = take_sticky(0, a, GROUP_WAITS);
	fake_take(0, GROUP_WAITS);
	take_sticky(0, a, GROUP_QUEUE_FULL);
	fake_take(0, GROUP_QUEUE_FULL);
	fake_pass(1000);
	fake_assert_event(waits, SESSION_TIMEOUT);
	/* whoever leaves leaves nothing behind */
	waits = take_sticky(0, a, GROUP_WAITS);
	session_end(&waits->session);
	assert_int_equal(fake_group(0)->sticky.count, 0);
	assert_int_equal(a->waiting.count, 0);
}

/* ---- paths without a limit ---- */

static void
test_unlimited_paths(void **state)
{
	(void)state;
	struct fake_session *early = take_unlimited(0, GROUP_WAITS), *place = fake_take(0, GROUP_WAITS);
	assert_int_equal(atomic_load(&fake_group(0)->board->queued), 2);
	fake_settle();
	assert_int_equal(fake_spawns[0], 1);
	struct process *a = fake_attach(0, 1);
	fake_assert_on(early, a);
	fake_assert_on(place, a);
	assert_int_equal(a->places, 1);
	fake_apps[0].max_instances = 1;
	struct fake_session *queued = fake_take(0, GROUP_WAITS);
	for (int i = 0; i < 10; i++)
		fake_assert_on(take_unlimited(0, GROUP_TAKEN), a); /* past the queue, which waits for a place */
	fake_apps[0].max_instances = 0;
	struct process *b = fake_attach(0, 1);
	fake_assert_on(queued, b);
	for (int i = 0; i < 10; i++)
		fake_assert_on(take_unlimited(0, GROUP_TAKEN), b); /* both are full: to the one with fewer of them */
	session_tunnel(&early->session);
	assert_int_equal(a->places, 1);
	assert_int_equal(a->doubt, 0);
	session_end(&early->session);
	fake_gone(a);
}

static void
test_unlimited_when_nothing_starts(void **state)
{
	(void)state;
	struct fake_session *waits = take_unlimited(0, GROUP_WAITS);
	fake_fail(0, "id\nit does not start\n", 1000);
	fake_assert_event(waits, SESSION_SPAWN_FAILED);
	take_unlimited(0, GROUP_FAILING);
}

/* ---- how many ---- */

static void
test_jitter(void **state)
{
	unsigned seen[8] = {0}, kinds = 0;
	(void)state;
	fake_apps[0].max_requests = 3;
	fake_apps[0].max_requests_jitter = 4;
	for (int i = 0; i < 40; i++) {
		struct process *process = fake_attach(0, 1);
		unsigned requests = 0;
		for (; !process->spent; requests++)
			session_end(&fake_take(0, GROUP_TAKEN)->session);
		assert_in_range(requests, 3, 7);
		kinds += seen[requests]++ == 0;
		fake_gone(process);
	}
	assert_int_equal(kinds, 5);
}

static void
test_pre_start_on(void **state)
{
	(void)state;
	fake_apps[0].pre_start = CONFIG_PRE_START_ON;
	fake_apps[0].pool_idle_time_ms = 5000;
	pool_begin(&fake_pool);
	fake_settle();
	assert_int_equal(fake_spawns[0], 1);
	struct process *a = fake_attach(0, 1);
	fake_pass(100000);
	assert_int_equal(a->state, PROCESS_ENABLED); /* kept for the first request */
	session_end(&fake_take(0, GROUP_TAKEN)->session);
	fake_pass(5000);
	fake_pass(5000);
	assert_int_equal(a->state, PROCESS_RETIRING);
	fake_gone(a);
	fake_pass(100000);
	assert_int_equal(fake_spawns[0], 1);
}

static void
test_pre_start_off(void **state)
{
	(void)state;
	fake_apps[0].pre_start = CONFIG_PRE_START_OFF;
	fake_apps[0].min_instances = 3;
	pool_begin(&fake_pool);
	fake_pass(100000);
	assert_int_equal(fake_spawns[0], 0);
	struct fake_session *first = fake_take(0, GROUP_WAITS);
	fake_settle();
	assert_int_equal(fake_spawns[0], 1);
	fake_attach(0, 1);
	assert_int_equal(fake_spawns[0], 1);
	session_end(&first->session);
	fake_settle();
	assert_int_equal(fake_spawns[0], 3);
}

static void
test_limit_of_all(void **state)
{
	(void)state;
	fake_config.max_instances_per_app = 2;
	fake_apps[1].max_instances = 1;
	fake_apps[2].max_instances = 5;
	for (unsigned app = 0; app < FAKE_APPS; app++) {
		for (int i = 0; i < 10; i++)
			fake_take(app, GROUP_WAITS);
		fake_settle();
		while (fake_group(app)->spawning > 0)
			fake_attach(app, 1);
		assert_int_equal(fake_group(app)->heap_count, app == 1 ? 1 : 2);
	}
}

#define pool_test(name) cmocka_unit_test_setup_teardown(name, fake_set_up, fake_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(test_sticky_id),
		pool_test(test_sticky_is_served_there),
		pool_test(test_sticky_waits_alone),
		pool_test(test_sticky_queues_again),
		pool_test(test_sticky_limits),
		pool_test(test_unlimited_paths),
		pool_test(test_unlimited_when_nothing_starts),
		pool_test(test_jitter),
		pool_test(test_pre_start_on),
		pool_test(test_pre_start_off),
		pool_test(test_limit_of_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
