#include "fake_clock.h"

#include "system/loop.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <cmocka.h>

static struct loop loop;

static int
set_up(void **state)
{
	(void)state;
	return loop_init(&loop) ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	loop_free(&loop);
	return 0;
}

/* ---- watches ---- */

enum { PAIRS = 6 };

struct pair {
	struct watch watch;
	int fd, other;
	int calls;
	uint32_t events; /* of the last call */
	uint32_t turn;
};

static struct pair pairs[PAIRS];
static void (*react)(struct pair *pair);

static void
pair_ready(struct watch *watch, uint32_t events)
{
	struct pair *pair = container_of(watch, struct pair, watch);
	assert_non_null(watch->ready); /* a watch that was removed is not called */
	pair->calls++;
	pair->events = events;
	pair->turn = loop.turn;
	if (react != NULL)
		react(pair);
}

static void
open_pairs(uint32_t events)
{
	react = NULL;
	for (int i = 0; i < PAIRS; i++) {
		int fds[2];
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
		pairs[i] = (struct pair){.fd = fds[0], .other = fds[1]};
		assert_true(watch_add(&loop, &pairs[i].watch, fds[0], events, pair_ready));
	}
}

static void
close_pairs(void)
{
	for (int i = 0; i < PAIRS; i++) {
		watch_remove(&loop, &pairs[i].watch);
		watch_remove(&loop, &pairs[i].watch); /* not watched: nothing */
		close(pairs[i].fd);
		if (pairs[i].other >= 0)
			close(pairs[i].other);
	}
}

static void
fill(struct pair *pair)
{
	assert_int_equal(write(pair->other, "x", 1), 1);
}

static int
all_calls(void)
{
	int calls = 0;
	for (int i = 0; i < PAIRS; i++)
		calls += pairs[i].calls;
	return calls;
}

static void
test_watch(void **state)
{
	(void)state;
	open_pairs(EPOLLIN);
	loop_turn(&loop, 0);
	assert_int_equal(all_calls(), 0);
	fill(&pairs[2]);
	loop_turn(&loop, 0);
	loop_turn(&loop, 0); /* level-triggered: it is still there */
	assert_int_equal(all_calls(), 2);
	assert_int_equal(pairs[2].calls, 2);
	assert_int_equal(pairs[2].events, EPOLLIN);
	watch_change(&loop, &pairs[2].watch, 0);
	loop_turn(&loop, 0);
	assert_int_equal(all_calls(), 2);
	watch_change(&loop, &pairs[2].watch, EPOLLIN | EPOLLOUT);
	loop_turn(&loop, 0);
	assert_int_equal(pairs[2].events, EPOLLIN | EPOLLOUT);
	/* A hang-up is told also to who wants nothing. */
	watch_change(&loop, &pairs[2].watch, 0);
	close(pairs[2].other);
	pairs[2].other = -1;
	loop_turn(&loop, 0);
	assert_int_equal(pairs[2].calls, 4);
	assert_true(pairs[2].events & EPOLLHUP);
	close_pairs();
	int calls = all_calls();
	loop_turn(&loop, 0);
	assert_int_equal(all_calls(), calls);
}

static void
test_watch_refused(void **state)
{
	struct watch watch = {0};
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC); /* epoll takes no plain files */
	(void)state;
	assert_false(watch_add(&loop, &watch, -1, EPOLLIN, pair_ready));
	assert_null(watch.ready);
	close(fd);
	fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	assert_false(watch_add(&loop, &watch, fd, EPOLLIN, pair_ready));
	assert_null(watch.ready);
	close(fd);
}

static void
remove_all_others(struct pair *pair)
{
	for (int i = 0; i < PAIRS; i++)
		if (&pairs[i] != pair)
			watch_remove(&loop, &pairs[i].watch);
}

static void
silence_all_others(struct pair *pair)
{
	for (int i = 0; i < PAIRS; i++)
		if (&pairs[i] != pair)
			watch_change(&loop, &pairs[i].watch, 0);
}

static void
remove_itself(struct pair *pair)
{
	watch_remove(&loop, &pair->watch);
}

/* Whoever comes first takes the others out; their events of this turn are in the loop's hands already. */
static void
test_removal_in_the_same_turn(void **state)
{
	(void)state;
	open_pairs(EPOLLIN);
	for (int i = 0; i < PAIRS; i++)
		fill(&pairs[i]);
	react = remove_all_others;
	loop_turn(&loop, 0);
	assert_int_equal(all_calls(), 1);
	close_pairs();

	open_pairs(EPOLLIN);
	for (int i = 0; i < PAIRS; i++)
		fill(&pairs[i]);
	react = silence_all_others;
	loop_turn(&loop, 0);
	assert_int_equal(all_calls(), 1);
	close_pairs();

	open_pairs(EPOLLIN);
	for (int i = 0; i < PAIRS; i++)
		fill(&pairs[i]);
	react = remove_itself;
	loop_turn(&loop, 0);
	loop_turn(&loop, 0);
	assert_int_equal(all_calls(), PAIRS);
	close_pairs();
}

/* Its memory is used for another watch at once: the old event is not for the new one. */
static void
replace_all_others(struct pair *pair)
{
	for (int i = 0; i < PAIRS; i++) {
		if (&pairs[i] == pair)
			continue;
		watch_remove(&loop, &pairs[i].watch);
		char byte;
		assert_int_equal(read(pairs[i].fd, &byte, 1), 1);
		assert_true(watch_add(&loop, &pairs[i].watch, pairs[i].fd, EPOLLIN, pair_ready));
	}
	react = NULL;
}

static void
test_replaced_in_the_same_turn(void **state)
{
	(void)state;
	open_pairs(EPOLLIN);
	for (int i = 0; i < PAIRS; i++)
		fill(&pairs[i]);
	react = replace_all_others;
	loop_turn(&loop, 0);
	assert_int_equal(all_calls(), 1);
	close_pairs();
}

static void
stop(struct pair *pair)
{
	(void)pair;
	loop_stop(&loop);
}

static void
test_run(void **state)
{
	(void)state;
	open_pairs(EPOLLIN);
	fill(&pairs[0]);
	react = stop;
	loop_run(&loop);
	assert_int_equal(all_calls(), 1);
	close_pairs();
}

/* ---- timers ---- */

enum { TIMERS = 3000 };

struct alarm {
	struct timer timer;
	uint64_t due_ms; /* the model: 0: not set */
	int rings;
};

static struct alarm alarms[TIMERS];
static unsigned rung;

static void
alarm_due(struct timer *timer)
{
	struct alarm *alarm = container_of(timer, struct alarm, timer);
	assert_false(timer_is_set(timer));
	assert_int_not_equal(alarm->due_ms, 0);
	assert_true(alarm->due_ms <= loop.now_ms);
	alarm->due_ms = 0;
	alarm->rings++;
	rung++;
}

static void
make_alarms(void)
{
	rung = 0;
	for (int i = 0; i < TIMERS; i++)
		alarms[i] = (struct alarm){.timer.due = alarm_due};
}

static void
alarm_set(struct alarm *alarm, uint64_t after_ms)
{
	timer_set(&loop, &alarm->timer, after_ms);
	alarm->due_ms = loop.now_ms + after_ms;
	assert_true(timer_is_set(&alarm->timer));
}

static void
pass(uint64_t ms)
{
	fake_now_ms += ms;
	loop_turn(&loop, 0);
}

static void
test_timer(void **state)
{
	(void)state;
	make_alarms();
	alarm_set(&alarms[0], 100);
	alarm_set(&alarms[1], 50);
	alarm_set(&alarms[2], 100);
	pass(49);
	assert_int_equal(rung, 0);
	pass(1);
	assert_int_equal(alarms[1].rings, 1);
	assert_int_equal(rung, 1);
	timer_cancel(&loop, &alarms[2].timer);
	alarms[2].due_ms = 0;
	assert_false(timer_is_set(&alarms[2].timer));
	timer_cancel(&loop, &alarms[2].timer);
	pass(1000);
	assert_int_equal(rung, 2);
	pass(1000);
	assert_int_equal(rung, 2); /* once */
	alarm_set(&alarms[0], 0);
	loop_turn(&loop, -1); /* does not wait for ever */
	assert_int_equal(rung, 3);
}

/* Put off again and again, as an idle timeout is: its place in the heap stays until the old time comes. */
static void
test_timer_put_off(void **state)
{
	(void)state;
	make_alarms();
	alarm_set(&alarms[0], 100);
	for (int i = 0; i < 50; i++) {
		uint64_t key = alarms[0].timer.heap_ms;
		alarm_set(&alarms[0], 100);
		assert_int_equal(alarms[0].timer.heap_ms, key);
		pass(10);
		assert_int_equal(rung, 0);
	}
	alarm_set(&alarms[0], 5); /* and earlier than its key */
	pass(4);
	assert_int_equal(rung, 0);
	pass(1);
	assert_int_equal(rung, 1);
	alarm_set(&alarms[0], 10);
	alarm_set(&alarms[0], 20);
	timer_cancel(&loop, &alarms[0].timer);
	alarms[0].due_ms = 0;
	pass(100);
	assert_int_equal(rung, 1);
	assert_int_equal(loop.heap_count, 0);
}

static void
check_heap(void)
{
	unsigned set = 0;
	for (uint32_t i = 1; i < loop.heap_count; i++)
		if (loop.heap[i]->heap_ms < loop.heap[(i - 1) / 2]->heap_ms)
			fail_msg("the heap is out of order at %u", i);
	for (int i = 0; i < TIMERS; i++) {
		const struct alarm *alarm = &alarms[i];
		set += alarm->due_ms != 0;
		if (alarm->timer.at_ms != alarm->due_ms || (alarm->due_ms != 0 && alarm->due_ms <= loop.now_ms) ||
		    (alarm->timer.place != 0) != (alarm->due_ms != 0) ||
		    (alarm->timer.place != 0 && loop.heap[alarm->timer.place - 1] != &alarm->timer) ||
		    (alarm->timer.place != 0 && alarm->timer.heap_ms > alarm->timer.at_ms))
			fail_msg("timer %d is not as it should be", i);
	}
	assert_int_equal(loop.heap_count, set);
}

static void
test_timers_random(void **state)
{
	(void)state;
	make_alarms();
	for (int step = 0; step < 200000; step++) {
		struct alarm *alarm = &alarms[rand() % TIMERS];
		int what = rand() % 100;
		if (what < 70) {
			alarm_set(alarm, 1 + (uint64_t)rand() % (rand() % 4 ? 1000 : 100000));
		} else if (what < 80) {
			timer_cancel(&loop, &alarm->timer);
			alarm->due_ms = 0;
		} else if (what < 85) {
			pass((uint64_t)rand() % 30);
		}
		if (step % 500 == 0) {
			pass(0);
			check_heap();
		}
	}
	pass(1000000);
	check_heap();
	assert_int_equal(loop.heap_count, 0);
	assert_true(rung > 1000);
}

/* A timer that rings may set itself and take others away that are due in the same turn. */
static void
alarm_moves(struct timer *timer)
{
	struct alarm *alarm = container_of(timer, struct alarm, timer);
	rung++;
	alarm->rings++;
	timer_set(&loop, timer, 10);
	timer_cancel(&loop, &alarms[alarm == &alarms[0]].timer);
}

static void
test_timer_in_timer(void **state)
{
	(void)state;
	make_alarms();
	alarms[0].timer.due = alarms[1].timer.due = alarm_moves;
	timer_set(&loop, &alarms[0].timer, 10);
	timer_set(&loop, &alarms[1].timer, 10);
	pass(10);
	assert_int_equal(rung, 1); /* whichever was first cancelled the other one */
	for (unsigned i = 2; i < 10; i++) {
		pass(10);
		assert_int_equal(rung, i);
	}
	assert_int_equal(alarms[0].rings == 0 || alarms[1].rings == 0, 1);
}

/* ---- soon and graves ---- */

struct task {
	struct soon soon;
	struct grave grave;
	int runs;
	bool again;
};

static int burials;
static uint32_t run_turn;

static void
task_run(struct soon *soon)
{
	struct task *task = container_of(soon, struct task, soon);
	task->runs++;
	run_turn = loop.turn;
	assert_int_equal(burials, 0); /* graves come last */
	if (task->again)
		loop_soon(&loop, soon);
}

static void
task_bury(struct grave *grave)
{
	struct task *task = container_of(grave, struct task, grave);
	burials++;
	free(task);
}

static struct task *
make_task(void)
{
	struct task *task = calloc(1, sizeof(*task));
	assert_non_null(task);
	task->soon.run = task_run;
	task->grave.bury = task_bury;
	return task;
}

static void
test_soon(void **state)
{
	struct task *task = make_task(), *other = make_task();
	(void)state;
	burials = 0;
	loop_soon(&loop, &task->soon);
	loop_soon(&loop, &task->soon);
	loop_soon(&loop, &other->soon);
	loop_soon_cancel(&other->soon);
	loop_soon_cancel(&other->soon);
	assert_int_equal(task->runs, 0);
	loop_turn(&loop, -1); /* does not wait while something is soon */
	assert_int_equal(task->runs, 1);
	assert_int_equal(other->runs, 0);
	loop_turn(&loop, 0);
	assert_int_equal(task->runs, 1);
	/* Who asks again comes in the next turn: a turn always ends. */
	task->again = true;
	loop_soon(&loop, &task->soon);
	for (int i = 2; i < 10; i++) {
		loop_turn(&loop, -1);
		assert_int_equal(task->runs, i);
	}
	loop_soon_cancel(&task->soon);
	free(task);
	free(other);
}

static struct task *victim;

static void
bury_victim(struct pair *pair)
{
	(void)pair;
	loop_soon(&loop, &victim->soon);
	loop_bury(&loop, &victim->grave);
	loop_bury(&loop, &victim->grave);
	assert_int_equal(burials, 0);
}

/* Memory goes at the turn's end, after everything that may still look at it. */
static void
test_grave(void **state)
{
	(void)state;
	burials = 0;
	victim = make_task();
	open_pairs(EPOLLIN);
	fill(&pairs[0]);
	react = bury_victim;
	loop_turn(&loop, 0);
	assert_int_equal(burials, 1);
	assert_int_equal(run_turn, loop.turn);
	close_pairs();
	/* What is still to be buried when the loop ends is. */
	loop_bury(&loop, &make_task()->grave);
	loop_free(&loop);
	assert_int_equal(burials, 2);
	assert_true(loop_init(&loop));
}

static void
test_clocks(void **state)
{
	(void)state;
	assert_int_equal(clock_monotonic_ms(), fake_now_ms);
	assert_true(clock_unix_us() > INT64_C(1600000000) * 1000000);
}

#define loop_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		loop_test(test_watch),
		loop_test(test_watch_refused),
		loop_test(test_removal_in_the_same_turn),
		loop_test(test_replaced_in_the_same_turn),
		loop_test(test_run),
		loop_test(test_timer),
		loop_test(test_timer_put_off),
		loop_test(test_timers_random),
		loop_test(test_timer_in_timer),
		loop_test(test_soon),
		loop_test(test_grave),
		loop_test(test_clocks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
