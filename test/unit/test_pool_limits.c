/* Limits: what is killed, what is replaced, and what is left alone. */
#include "fake_clock.h"
#include "pool_fake.h"

/* As the spawner measures it. */
static void
sample(const struct process *process, uint64_t memory_mb, uint64_t cpu_ms, bool stopped)
{
	struct scoreboard_process *board = process->board;
	atomic_store(&board->memory_kb, memory_mb * 1024);
	atomic_store(&board->cpu_ms, cpu_ms);
	atomic_store(&board->stopped, stopped);
	atomic_store(&board->sampled_ms, fake_now_ms + 1000);
	fake_pass(1000);
}

static void
assert_reached(const struct process *process, enum limit limit)
{
	assert_int_equal(fake_limit, limit);
	assert_int_equal(process->reached, limit);
	assert_int_equal(fake_killed, limit == LIMIT_NONE || limit == LIMIT_MEMORY ? 0 : 1);
	fake_killed = 0;
}

static void
test_request_time(void **state)
{
	(void)state;
	fake_apps[0].max_request_time_ms = 2500;
	struct process *a = fake_attach(0, 3);
	struct fake_session *long_one = fake_take(0, GROUP_TAKEN);
	fake_pass(1000);
	struct fake_session *other = fake_take(0, GROUP_TAKEN);
	fake_pass(1499);
	assert_reached(a, LIMIT_NONE);
	fake_pass(1);
	assert_reached(a, LIMIT_MAX_REQUEST_TIME);
	assert_int_equal(a->state, PROCESS_DETACHED);
	fake_assert_event(other, FAKE_EVENT_NONE);
	/* The other one is not to blame: it may be tried elsewhere. */
	assert_int_equal(long_one->session.limit, LIMIT_MAX_REQUEST_TIME);
	assert_int_equal(other->session.limit, LIMIT_NONE);
	/* Told once. */
	fake_pass(5000);
	assert_int_equal(fake_killed, 0);
	fake_gone(a);
}

static void
test_tunnels_and_bypasses_have_time(void **state)
{
	(void)state;
	fake_apps[0].max_request_time_ms = 1000;
	struct process *a = fake_attach(0, 2);
	session_tunnel(&fake_take(0, GROUP_TAKEN)->session);
	process_trust(a);
	fake_door(a, SESSION_BYPASS, true);
	fake_pass(100000);
	assert_reached(a, LIMIT_NONE);
	/* but an ordinary one beside them has not */
	fake_take(0, GROUP_TAKEN);
	fake_pass(1000);
	assert_reached(a, LIMIT_MAX_REQUEST_TIME);
}

static void
test_given_up_requests_have_the_rest_of_their_time(void **state)
{
	(void)state;
	fake_apps[0].max_request_time_ms = 10000;
	struct process *a = fake_attach(0, 1);
	struct fake_session *gone = fake_take(0, GROUP_TAKEN);
	fake_pass(4000);
	session_abandon(&gone->session);
	assert_int_equal(a->patience_ms, 6000);
	assert_int_equal(a->board->requests[0].given_up, 1);
	fake_pass(6000);
	process_unanswered(a); /* as traffic finds out */
	assert_reached(a, LIMIT_MAX_REQUEST_TIME);
}

static void
test_time_outlives_a_balancer(void **state)
{
	(void)state;
	fake_apps[0].max_request_time_ms = 10000;
	struct message_process record = fake_record(0, 1);
	struct scoreboard_process *board = &fake_board->processes[record.slot];
	atomic_store(&board->claims, 1);
	board->requests[0].since_ms = fake_now_ms;
	fake_pass(7000);
	struct process *a = pool_attach(&fake_pool, &record);
	assert_non_null(a);
	assert_int_equal(a->doubt, 1);
	assert_int_equal(a->patience_ms, 3000);
}

static void
test_silent_program(void **state)
{
	(void)state;
	struct message_process record = fake_record(0, 0);
	record.protocol = APP_PROTOCOL_HTTP;
	struct process *a = pool_attach(&fake_pool, &record);
	assert_non_null(a);
	struct fake_session *silent = fake_take(0, GROUP_TAKEN);
	silent->session.patience_ms = 5000;
	session_abandon(&silent->session);
	assert_int_equal(fake_doubts, 1); /* does it live? */
	process_trust(a);
	assert_int_equal(a->doubt, 0);
	silent = fake_take(0, GROUP_TAKEN);
	silent->session.patience_ms = 5000;
	session_abandon(&silent->session);
	process_unanswered(a);
	assert_reached(a, LIMIT_RESPONSE);
}

static void
test_memory(void **state)
{
	(void)state;
	fake_apps[0].memory_limit = 100 << 20;
	fake_apps[0].hard_memory_limit = 200 << 20;
	fake_apps[0].min_instances = fake_apps[0].max_instances = 1;
	struct process *a = fake_attach(0, 1);
	fake_take(0, GROUP_TAKEN);
	sample(a, 99, 0, false);
	assert_reached(a, LIMIT_NONE);
	unsigned before = fake_spawns[0];
	sample(a, 101, 0, false);
	assert_reached(a, LIMIT_MEMORY);
	assert_int_equal(fake_spawns[0], before + 1); /* beyond max_instances */
	assert_int_equal(a->state, PROCESS_ENABLED);
	sample(a, 120, 0, false);
	assert_int_equal(fake_spawns[0], before + 1);
	/* The new one does not start: the old one serves on, and it is tried again. */
	fake_fail(0, "id\nno\nno", 1000);
	assert_int_equal(a->state, PROCESS_ENABLED);
	fake_pass(1000);
	assert_int_equal(fake_spawns[0], before + 2);
	struct process *b = fake_attach(0, 1);
	assert_int_equal(a->state, PROCESS_DETACHED);
	assert_int_equal(b->state, PROCESS_ENABLED);
	sample(a, 201, 0, false);
	assert_reached(a, LIMIT_HARD_MEMORY);
	assert_int_equal(fake_spawns[0], before + 2);
}

static void
test_memory_in_a_full_pool(void **state)
{
	(void)state;
	fake_config.max_pool_size = 1;
	fake_apps[0].memory_limit = 100 << 20;
	fake_apps[0].min_instances = 1;
	struct process *a = fake_attach(0, 1);
	unsigned before = fake_spawns[0];
	sample(a, 101, 0, false);
	assert_int_equal(a->state, PROCESS_RETIRING); /* no room: it goes first */
	fake_gone(a);
	assert_int_equal(fake_spawns[0], before + 1);
}

static void
test_cpu(void **state)
{
	(void)state;
	fake_apps[0].cpu_limit_ms = 2000;
	struct process *a = fake_attach(0, 2);
	struct fake_session *one = fake_take(0, GROUP_TAKEN);
	sample(a, 1, 10000, false); /* what it used before anybody looked */
	sample(a, 1, 11000, false);
	sample(a, 1, 11900, false);
	session_end(&one->session); /* progress */
	sample(a, 1, 12900, false);
	sample(a, 1, 13000, false); /* a pause */
	fake_take(0, GROUP_TAKEN);
	sample(a, 1, 14000, false);
	sample(a, 1, 14999, false);
	assert_reached(a, LIMIT_NONE);
	sample(a, 1, 15999, false);
	assert_reached(a, LIMIT_CPU);
}

static void
test_stopped(void **state)
{
	(void)state;
	fake_apps[0].response_timeout_ms = 4000;
	struct process *a = fake_attach(0, 1), *b = fake_attach(0, 1);
	struct fake_session *one = fake_take(0, GROUP_TAKEN);
	fake_assert_on(one, a);
	sample(b, 0, 0, true);
	assert_int_equal(b->state, PROCESS_RETIRING); /* idle: the spawner ends it */
	sample(a, 0, 0, true);
	assert_int_equal(a->state, PROCESS_DETACHED);
	fake_pass(3999);
	assert_reached(a, LIMIT_NONE);
	fake_pass(1);
	assert_reached(a, LIMIT_RESPONSE);
	assert_int_equal(one->session.limit, LIMIT_RESPONSE);
}

#define pool_test(name) cmocka_unit_test_setup_teardown(name, fake_set_up, fake_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(test_request_time),
		pool_test(test_tunnels_and_bypasses_have_time),
		pool_test(test_given_up_requests_have_the_rest_of_their_time),
		pool_test(test_time_outlives_a_balancer),
		pool_test(test_silent_program),
		pool_test(test_memory),
		pool_test(test_memory_in_a_full_pool),
		pool_test(test_cpu),
		pool_test(test_stopped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
