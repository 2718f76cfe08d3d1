/* Which session gets which place and when: choice, queue, doors, doubt. */
#include "fake_clock.h"
#include "pool_fake.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the choice ---- */

static void
test_least_busy(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 4), *b = fake_attach(0, 4), *c = fake_attach(0, 2);
	struct fake_session *on_a = fake_take(0, GROUP_TAKEN);
	fake_assert_on(on_a, a); /* all are idle: the oldest */
	fake_assert_on(fake_take(0, GROUP_TAKEN), b);
	fake_assert_on(fake_take(0, GROUP_TAKEN), c);
	fake_assert_on(fake_take(0, GROUP_TAKEN), a); /* a 1/4, b 1/4, c 1/2 */
	fake_assert_on(fake_take(0, GROUP_TAKEN), b); /* a 2/4, b 1/4, c 1/2 */
	fake_assert_on(fake_take(0, GROUP_TAKEN), a); /* 2/4, 2/4, 1/2 are equal: the oldest */
	fake_assert_on(fake_take(0, GROUP_TAKEN), b);
	fake_assert_on(fake_take(0, GROUP_TAKEN), c); /* 3/4, 3/4, 1/2 */
	session_end(&on_a->session);
	fake_assert_on(fake_take(0, GROUP_TAKEN), a);
	assert_int_equal(process_busyness(a), process_busyness(b));
	fake_take(0, GROUP_TAKEN);
	fake_take(0, GROUP_TAKEN);
	assert_true(process_is_full(a) && process_is_full(b) && process_is_full(c));
	fake_take(0, GROUP_WAITS);
}

static void
test_unlimited(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 0), *b = fake_attach(0, 0);
	assert_int_equal(process_busyness(a), 0);
	for (int i = 0; i < 100; i++)
		fake_take(0, GROUP_TAKEN);
	assert_int_equal(a->places, 50);
	assert_int_equal(b->places, 50);
	assert_false(process_is_full(a));
}

static void
test_forced_concurrency(void **state)
{
	(void)state;
	fake_apps[0].force_max_concurrent_requests_per_process = 2;
	struct process *a = fake_attach(0, 16);
	assert_int_equal(a->record.concurrency, 2);
	fake_take(0, GROUP_TAKEN);
	fake_take(0, GROUP_TAKEN);
	fake_take(0, GROUP_WAITS);
	fake_apps[1].force_max_concurrent_requests_per_process = 0;
	fake_attach(1, 1);
	for (int i = 0; i < 20; i++)
		fake_take(1, GROUP_TAKEN);
}

/* ---- the queue ---- */

static void
test_queue_is_fifo(void **state)
{
	(void)state;
	struct fake_session *waiting[5];
	struct process *a = fake_attach(0, 1);
	struct fake_session *first = fake_take(0, GROUP_TAKEN);
	fake_apps[0].max_instances = 1;
	for (size_t i = 0; i < array_count(waiting); i++)
		waiting[i] = fake_take(0, GROUP_WAITS);
	assert_int_equal(atomic_load(&fake_group(0)->board->queued), array_count(waiting));
	assert_int_equal(atomic_load(&fake_group(0)->board->oldest_queued_ms), fake_now_ms);
	session_end(&first->session);
	for (size_t i = 0; i < array_count(waiting); i++) {
		fake_assert_event(waiting[i], FAKE_EVENT_NONE); /* never from inside a call */
		fake_settle();
		fake_assert_event(waiting[i], SESSION_READY);
		fake_assert_on(waiting[i], a);
		for (size_t j = i + 1; j < array_count(waiting); j++)
			fake_assert_event(waiting[j], FAKE_EVENT_NONE);
		session_end(&waiting[i]->session);
	}
	assert_int_equal(atomic_load(&fake_group(0)->board->queued), 0);
	assert_int_equal(atomic_load(&fake_group(0)->board->oldest_queued_ms), 0);
}

/* What came free in this turn belongs to the queue, not to who asks next. */
static void
test_nobody_overtakes_the_queue(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 1);
	struct fake_session *first = fake_take(0, GROUP_TAKEN);
	fake_apps[0].max_instances = 1;
	fake_apps[0].direct_wait_ms = 1000;
	struct fake_session *second = fake_take(0, GROUP_WAITS);
	fake_pass(5);
	session_end(&first->session);
	struct fake_session *third = fake_take(0, GROUP_WAITS);
	struct fake_session *door = fake_door(a, SESSION_DIRECT, false);
	fake_settle();
	fake_assert_event(second, SESSION_READY);
	fake_assert_event(third, FAKE_EVENT_NONE);
	fake_assert_event(door, FAKE_EVENT_NONE);
}

/* ... and to who waits at the door. */
static void
test_nobody_overtakes_the_door(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 1);
	struct fake_session *first = fake_take(0, GROUP_TAKEN);
	fake_apps[0].max_instances = 1;
	fake_apps[0].direct_wait_ms = 1000;
	struct fake_session *door = fake_door(a, SESSION_DIRECT, false);
	fake_pass(5);
	session_end(&first->session);
	struct fake_session *second = fake_take(0, GROUP_WAITS);
	fake_settle();
	fake_assert_event(door, SESSION_READY);
	fake_assert_event(second, FAKE_EVENT_NONE);
	session_end(&door->session);
	fake_settle();
	fake_assert_event(second, SESSION_READY);
}

/* The one whose turn it would be has a place again, but somebody at its door; another one has a place too. */
static void
test_queued_behind_a_door(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 1), *b = fake_attach(0, 1);
	struct fake_session *first = fake_take(0, GROUP_TAKEN);
	fake_apps[0].direct_wait_ms = 1000;
	struct fake_session *door = fake_door(a, SESSION_DIRECT, false);
	session_end(&first->session);
	struct fake_session *second = fake_take(0, GROUP_WAITS);
	fake_settle();
	fake_assert_on(door, a);
	fake_assert_on(second, b);
}

static void
test_queue_goes_to_the_least_busy(void **state)
{
	(void)state;
	struct fake_session *on[8], *waiting[4];
	struct process *a = fake_attach(0, 4), *b = fake_attach(0, 4);
	fake_apps[0].max_instances = 2;
	for (size_t i = 0; i < array_count(on); i++)
		on[i] = fake_take(0, GROUP_TAKEN);
	for (size_t i = 0; i < array_count(waiting); i++)
		waiting[i] = fake_take(0, GROUP_WAITS);
	fake_settle();
	/* Both come free in one turn: b more than a. */
	for (size_t i = 0; i < array_count(on); i++)
		if (on[i]->session.process == b || i < 4)
			session_end(&on[i]->session);
	assert_int_equal(a->places, 2);
	assert_int_equal(b->places, 0);
	fake_settle();
	assert_int_equal(a->places, 3);
	assert_int_equal(b->places, 3);
	for (size_t i = 0; i < array_count(waiting); i++)
		fake_assert_event(waiting[i], SESSION_READY);
}

static void
test_queue_limit(void **state)
{
	(void)state;
	fake_apps[0].max_request_queue_size = 3;
	fake_take(0, GROUP_WAITS);
	struct fake_session *gives_up = fake_take(0, GROUP_WAITS);
	fake_take(0, GROUP_WAITS);
	fake_take(0, GROUP_QUEUE_FULL);
	fake_take(0, GROUP_QUEUE_FULL);
	assert_int_equal(atomic_load(&fake_group(0)->board->queue_full), 2);
	session_end(&gives_up->session);
	fake_take(0, GROUP_WAITS);
	fake_take(0, GROUP_QUEUE_FULL);
	for (int i = 0; i < 500; i++)
		fake_take(1, GROUP_WAITS); /* 0: no limit */
}

static void
test_queue_timeout(void **state)
{
	(void)state;
	fake_apps[0].max_request_queue_time_ms = 200;
	struct fake_session *first = fake_take(0, GROUP_WAITS);
	fake_pass(150);
	struct fake_session *second = fake_take(0, GROUP_WAITS), *forever = fake_take(1, GROUP_WAITS);
	fake_pass(49);
	fake_assert_event(first, FAKE_EVENT_NONE);
	fake_pass(1);
	fake_assert_event(first, SESSION_TIMEOUT);
	fake_assert_event(second, FAKE_EVENT_NONE);
	fake_attach(0, 1);
	fake_assert_event(second, SESSION_READY);
	fake_pass(10 * 24 * 3600 * 1000);
	fake_assert_event(second, SESSION_READY); /* no limit hangs on after it was served */
	fake_assert_event(forever, FAKE_EVENT_NONE);
}

/* ---- doors ---- */

static void
test_direct_waits(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 1), *b = fake_attach(0, 1);
	fake_apps[0].direct_wait_ms = 1000;
	struct fake_session *first = fake_door(b, SESSION_DIRECT, true);
	fake_assert_on(first, b);
	struct fake_session *second = fake_door(b, SESSION_DIRECT, false);
	struct fake_session *third = fake_door(b, SESSION_DIRECT, false);
	fake_assert_on(fake_take(0, GROUP_TAKEN), a);
	fake_pass(999);
	session_end(&first->session);
	fake_settle();
	fake_assert_event(second, SESSION_READY);
	fake_assert_on(second, b);
	fake_assert_event(third, FAKE_EVENT_NONE);
	fake_pass(1);
	fake_assert_event(third, SESSION_TIMEOUT);
	session_end(&second->session);
	assert_int_equal(atomic_load(&b->board->direct), 2);
	assert_int_equal(atomic_load(&b->board->processed), 2);
	assert_int_equal(atomic_load(&b->board->sessions[0]), 0);
}

/* Door and queue share by who came first; in one millisecond the door goes first. */
static void
test_door_and_queue(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 1);
	fake_apps[0].direct_wait_ms = 1000;
	fake_apps[0].max_instances = 1;
	struct fake_session *now = fake_take(0, GROUP_TAKEN);
	struct fake_session *order[4] = {fake_take(0, GROUP_WAITS)};
	fake_pass(1);
	order[1] = fake_door(a, SESSION_DIRECT, false);
	fake_pass(1);
	order[3] = fake_take(0, GROUP_WAITS);
	order[2] = fake_door(a, SESSION_DIRECT, false);
	for (size_t i = 0; i < array_count(order); i++) {
		session_end(&now->session);
		fake_settle();
		now = order[i];
		fake_assert_event(now, SESSION_READY);
	}
}

static void
test_bypass(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 1);
	struct fake_session *normal = fake_take(0, GROUP_TAKEN);
	struct fake_session *bypass = fake_door(a, SESSION_BYPASS, true);
	assert_int_equal(a->places, 1);
	assert_int_equal(a->active.count, 2);
	assert_ptr_equal(process_oldest(a), &normal->session);
	session_end(&normal->session);
	assert_false(process_is_full(a));
	assert_null(process_oldest(a)); /* a bypass holds no place */
	session_abandon(&bypass->session);
	assert_int_equal(a->doubt, 0);
	assert_int_equal(a->active.count, 0);
	bypass = fake_door(a, SESSION_BYPASS, true);
	session_tunnel(&bypass->session);
	assert_int_equal(a->places + a->doubt, 0);
	session_end(&bypass->session);
	assert_int_equal(a->places + a->doubt, 0);
}

static void
test_oldest(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 3);
	struct fake_session *first = fake_take(0, GROUP_TAKEN);
	fake_pass(10);
	struct fake_session *second = fake_take(0, GROUP_TAKEN);
	assert_ptr_equal(process_oldest(a), &first->session);
	session_tunnel(&first->session);
	assert_ptr_equal(process_oldest(a), &second->session);
	assert_int_equal(second->session.active_ms, fake_now_ms);
	assert_int_equal(second->session.pid, a->record.pid);
}

/* ---- tunnels and doubt ---- */

static void
test_tunnel(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 1);
	fake_apps[0].max_instances = 1;
	struct fake_session *tunnel = fake_take(0, GROUP_TAKEN), *next = fake_take(0, GROUP_WAITS);
	session_tunnel(&tunnel->session);
	assert_int_equal(tunnel->session.state, SESSION_TUNNEL);
	assert_int_equal(a->doubt, 1);
	assert_int_equal(fake_doubts, 1);
	fake_settle();
	fake_assert_event(next, FAKE_EVENT_NONE); /* the application has not said that its thread is free */
	process_trust(a);
	fake_settle();
	fake_assert_event(next, SESSION_READY);
	session_end(&next->session);
	session_end(&tunnel->session);
	assert_int_equal(a->active.count, 0);
	assert_int_equal(a->places + a->doubt, 0);
	assert_int_equal(atomic_load(&a->board->processed), 2);
}

static void
test_abandon(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 1);
	fake_apps[0].max_instances = 1;
	struct fake_session *given_up = fake_take(0, GROUP_TAKEN), *next = fake_take(0, GROUP_WAITS);
	session_abandon(&given_up->session);
	assert_int_equal(given_up->session.state, SESSION_NONE);
	assert_true(process_is_full(a));
	assert_int_equal(atomic_load(&a->board->state), SCOREBOARD_RECOVERING);
	assert_int_equal(atomic_load(&a->board->sessions[0]), 1);
	fake_settle();
	fake_assert_event(next, FAKE_EVENT_NONE);
	process_trust(a);
	process_trust(a); /* one too many is nothing */
	assert_int_equal(a->doubt, 0);
	assert_int_equal(atomic_load(&a->board->state), SCOREBOARD_ENABLED);
	fake_settle();
	fake_assert_event(next, SESSION_READY);
	struct fake_session *waiting = fake_take(0, GROUP_WAITS);
	session_abandon(&waiting->session); /* it has no place: nothing to doubt */
	assert_int_equal(a->doubt, 0);
	session_abandon(&waiting->session);
	session_end(&waiting->session);
	assert_int_equal(atomic_load(&fake_group(0)->board->requests), 1);
}

/* Nobody can find out about a program that speaks HTTP: its place is free at once. */
static void
test_abandon_without_doubt(void **state)
{
	(void)state;
	struct message_process record = fake_record(0, 1);
	record.protocol = APP_PROTOCOL_HTTP;
	/* An earlier balancer left this here; nobody would ever take it back. */
	atomic_store(&fake_board->processes[record.slot].claims, 1);
	struct process *a = pool_attach(&fake_pool, &record);
	assert_non_null(a);
	assert_int_equal(a->doubt, 0);
	session_abandon(&fake_take(0, GROUP_TAKEN)->session);
	struct process *unlimited = fake_attach(1, 0);
	session_abandon(&fake_take(1, GROUP_TAKEN)->session);
	assert_int_equal(a->doubt + a->places + unlimited->doubt + unlimited->places, 0);
	assert_int_equal(fake_doubts, 0);
}

static void
test_doubt_of_an_earlier_balancer(void **state)
{
	(void)state;
	struct message_process record = fake_record(0, 4);
	struct scoreboard_process *board = &fake_board->processes[record.slot];
	atomic_store(&board->claims, 3);
	atomic_store(&board->processed, 77);
	board->requests[1].since_ms = 5;
	struct process *a = pool_attach(&fake_pool, &record);
	assert_non_null(a);
	assert_int_equal(a->doubt, 3);
	assert_int_equal(fake_doubts, 3);
	/* It may run on: seen until its place is trusted. */
	assert_int_equal(board->requests[1].since_ms, 5);
	assert_int_equal(board->requests[1].given_up, 1);
	assert_int_equal(atomic_load(&board->state), SCOREBOARD_RECOVERING);
	fake_apps[0].max_instances = 1;
	fake_take(0, GROUP_TAKEN);
	struct fake_session *next = fake_take(0, GROUP_WAITS);
	process_trust(a);
	fake_settle();
	assert_int_equal(board->requests[1].given_up, 0);
	fake_assert_event(next, SESSION_READY);
	session_end(&next->session);
	assert_int_equal(atomic_load(&board->processed), 78);

	record = fake_record(1, 2);
	atomic_store(&fake_board->processes[record.slot].claims, 1000000); /* nonsense is bounded */
	a = pool_attach(&fake_pool, &record);
	assert_int_equal(a->doubt, 2);
	record = fake_record(2, 1);
	fake_apps[2].force_max_concurrent_requests_per_process = 8;
	atomic_store(&fake_board->processes[record.slot].claims, 5);
	a = pool_attach(&fake_pool, &record);
	assert_int_equal(a->doubt, 5); /* by the limit that counts */
}

/* ---- what status sees ---- */

static void
test_scoreboard_requests(void **state)
{
	(void)state;
	struct fake_session *sessions[SCOREBOARD_REQUESTS + 1];
	struct scoreboard_request copy;
	struct process *a = fake_attach(0, 10);
	for (size_t i = 0; i < array_count(sessions); i++)
		sessions[i] = fake_take(0, GROUP_TAKEN);
	session_note_status(&sessions[1]->session, 404);
	session_note_status(&sessions[SCOREBOARD_REQUESTS]->session, 500); /* has no cell */
	session_tunnel(&sessions[2]->session);
	assert_true(scoreboard_read_request(&a->board->requests[1], &copy));
	assert_string_equal(copy.method, "GET");
	assert_string_equal(copy.path, "/path");
	assert_string_equal(copy.client, "192.0.2.1:5");
	assert_int_equal(copy.status, 404);
	assert_int_equal(copy.since_ms, fake_now_ms);
	assert_true(scoreboard_read_request(&a->board->requests[2], &copy));
	assert_int_equal(copy.upgraded, 1);
	for (size_t i = 0; i < array_count(sessions); i++)
		session_end(&sessions[i]->session);
	for (int i = 0; i < SCOREBOARD_REQUESTS; i++)
		assert_false(scoreboard_read_request(&a->board->requests[i], &copy));
	assert_int_equal(atomic_load(&a->board->last_used_ms), fake_now_ms);
}

/* ---- the cost of a choice ---- */

static double
now_ns(void)
{
	struct timespec now;
	syscall(SYS_clock_gettime, CLOCK_MONOTONIC_RAW, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Every process has a few sessions; one ends at random, one comes. */
static double
choice_ns(unsigned processes)
{
	enum { CHOICES = 20000, PLACES = 16 };
	uint32_t count = processes * PLACES / 2;
	struct fake_session **sessions = calloc(count, sizeof(struct fake_session *));
	assert_non_null(sessions);
	fake_config.max_pool_size = processes;
	while (fake_pool.process_count < processes) {
		struct message_process record = fake_record(0, PLACES);
		assert_non_null(pool_attach(&fake_pool, &record));
	}
	fake_settle();
	for (uint32_t i = 0; i < count; i++)
		sessions[i] = fake_take(0, GROUP_TAKEN);
	double begin = now_ns();
	for (int i = 0; i < CHOICES; i++) {
		struct session *session = &sessions[(uint32_t)rand() % count]->session;
		session_end(session);
		if (group_take(pool_group(&fake_pool, 0), session) != GROUP_TAKEN)
			fail();
	}
	double each = (now_ns() - begin) / CHOICES;
	free(sessions);
	return each;
}

static void
test_cost(void **state)
{
	static const unsigned sizes[] = {2, 20, 200, 2000};
	double cost[array_count(sizes)];
	for (size_t i = 0; i < array_count(sizes); i++) {
		assert_int_equal(fake_set_up(state), 0);
		cost[i] = choice_ns(sizes[i]);
		printf("an end and a choice at %u processes: %.0f ns\n", sizes[i], cost[i]);
		fake_tear_down(state);
	}
	/* 1000 times as many: a heap is some ten levels deep, a walk over all would be 1000 times as long. */
	assert_true(cost[3] < cost[0] * 100);
}

#define pool_test(name) cmocka_unit_test_setup_teardown(name, fake_set_up, fake_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(test_least_busy),
		pool_test(test_unlimited),
		pool_test(test_forced_concurrency),
		pool_test(test_queue_is_fifo),
		pool_test(test_nobody_overtakes_the_queue),
		pool_test(test_nobody_overtakes_the_door),
		pool_test(test_queued_behind_a_door),
		pool_test(test_queue_goes_to_the_least_busy),
		pool_test(test_queue_limit),
		pool_test(test_queue_timeout),
		pool_test(test_direct_waits),
		pool_test(test_door_and_queue),
		pool_test(test_bypass),
		pool_test(test_oldest),
		pool_test(test_tunnel),
		pool_test(test_abandon),
		pool_test(test_abandon_without_doubt),
		pool_test(test_doubt_of_an_earlier_balancer),
		pool_test(test_scoreboard_requests),
		cmocka_unit_test(test_cost),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
