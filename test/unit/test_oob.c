/* Out-of-band work: who leaves rotation for it, when, and how it comes back. */
#include "fake_clock.h"
#include "pool_fake.h"

static void
ask(struct process *process)
{
	process_ask_oob(process);
	fake_settle();
}

static void
test_one_at_a_time(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 1), *b = fake_attach(0, 1), *c = fake_attach(0, 1);
	struct fake_session *on_a = fake_take(0, GROUP_TAKEN);
	fake_apps[0].direct_wait_ms = 1000;
	ask(a);
	ask(b);
	ask(a);
	assert_int_equal(a->state, PROCESS_DISABLING);
	assert_int_equal(atomic_load(&a->board->state), SCOREBOARD_DISABLED);
	assert_int_equal(fake_oob, 0); /* it has a request yet */
	fake_assert_on(fake_take(0, GROUP_TAKEN), b);
	struct fake_session *on_c = fake_take(0, GROUP_TAKEN);
	fake_assert_on(on_c, c);
	session_end(&on_a->session);
	fake_settle();
	assert_int_equal(a->state, PROCESS_DISABLED);
	assert_int_equal(fake_oob, 1);
	assert_int_equal(b->state, PROCESS_ENABLED);
	struct fake_session *waits = fake_take(0, GROUP_WAITS);
	fake_pass(1);
	struct fake_session *door = fake_door(a, SESSION_DIRECT, false); /* not beside the work */
	process_oob_done(a, true);
	fake_settle();
	fake_assert_on(waits, a);
	fake_assert_event(door, FAKE_EVENT_NONE);
	assert_int_equal(b->state, PROCESS_DISABLING); /* its turn */
	assert_int_equal(fake_oob, 1);
}

static void
test_never_the_last(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 1);
	ask(a);
	assert_int_equal(a->state, PROCESS_ENABLED);
	struct fake_session *on_a = fake_take(0, GROUP_TAKEN);
	struct process *b = fake_attach(0, 1);
	assert_int_equal(a->state, PROCESS_DISABLING);
	fake_gone(b); /* before a was free */
	assert_int_equal(a->state, PROCESS_ENABLED);
	session_end(&on_a->session);
	fake_settle();
	assert_int_equal(fake_oob, 0);
	b = fake_attach(0, 1);
	assert_int_equal(a->state, PROCESS_DISABLED); /* the wish was not forgotten */
	assert_int_equal(fake_oob, 1);
	/* at work it can not come back: another one is started for who waits */
	fake_gone(b);
	fake_take(0, GROUP_WAITS);
	fake_settle();
	assert_int_equal(fake_spawns[0], 1);
}

static void
test_not_heard(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 1);
	fake_attach(0, 1);
	ask(a);
	assert_int_equal(a->state, PROCESS_DISABLED);
	process_oob_done(a, false);
	fake_settle();
	assert_int_equal(a->state, PROCESS_ENABLED);
	assert_int_equal(fake_doubts, 1);
	assert_true(process_is_full(a));
	process_trust(a);
	assert_false(process_is_full(a));
	process_oob_done(a, true); /* too late to mean anything */
}

static void
test_restart_and_detach(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 1), *b = fake_attach(0, 1);
	fake_apps[0].min_instances = 2;
	ask(a);
	assert_int_equal(a->state, PROCESS_DISABLED);
	group_restart(fake_group(0), 1, false);
	fake_settle();
	assert_int_equal(a->state, PROCESS_ENABLED); /* it will be replaced */
	process_trust(a);
	ask(b);
	assert_int_equal(b->state, PROCESS_ENABLED);
	fake_attach(0, 1);
	fake_attach(0, 1);
	assert_int_equal(fake_group(0)->roll, ROLL_NONE);
	assert_int_equal(fake_retired, 2);
	fake_gone(a);
	fake_gone(b);
	struct list_node *first = list_first(&fake_group(0)->processes[PROCESS_ENABLED]);
	struct process *c = container_of(first, struct process, node);
	ask(c);
	assert_int_equal(c->state, PROCESS_DISABLED);
	assert_int_equal(group_size(fake_group(0)), 2); /* it counts */
	group_detach(c);
	fake_settle();
	assert_int_equal(c->state, PROCESS_DETACHED); /* whether it still works nobody knows */
	process_trust(c);
	fake_settle();
	assert_int_equal(c->state, PROCESS_RETIRING);
}

static void
test_tunnels_and_sticky(void **state)
{
	(void)state;
	struct process *a = fake_attach(0, 1), *b = fake_attach(0, 1);
	struct fake_session *tunnel = fake_take(0, GROUP_TAKEN);
	session_tunnel(&tunnel->session);
	process_trust(a);
	fake_settle();
	struct fake_session *on_a = fake_session(), *sticky = fake_session();
	on_a->session.wish = sticky->session.wish = a;
	assert_int_equal(group_take(fake_group(0), &on_a->session), GROUP_TAKEN);
	assert_int_equal(group_take(fake_group(0), &sticky->session), GROUP_WAITS);
	ask(a);
	fake_assert_on(sticky, b); /* who waited for it has another one now */
	session_end(&on_a->session);
	fake_settle();
	assert_int_equal(a->state, PROCESS_DISABLED); /* a tunnel may last for days */
	process_oob_done(a, true);
	fake_settle();
	assert_int_equal(a->active.count, 1);
}

#define pool_test(name) cmocka_unit_test_setup_teardown(name, fake_set_up, fake_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(test_one_at_a_time),      pool_test(test_never_the_last),     pool_test(test_not_heard),
		pool_test(test_restart_and_detach), pool_test(test_tunnels_and_sticky),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
