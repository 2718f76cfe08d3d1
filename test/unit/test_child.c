/* Adoption: which processes we take for ours, and which not; and what a loader's line says. */
#include "system/child.h"
#include "worker/ready.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Reaped by children_reap() alone. */
struct adopted {
	struct child child;
	bool gone;
	struct child_end end;
};

static void
adopted_ended(struct child *child, const struct child_end *end)
{
	struct adopted *adopted = container_of(child, struct adopted, child);

	adopted->gone = true;
	adopted->end = *end;
}

/* A child of a child that has ended, so ours; it waits to be killed.  In a session of its own, or not. */
static int32_t
orphan(bool own_session)
{
	int fds[2];
	int32_t pid = 0;

	assert_int_equal(pipe(fds), 0);
	pid_t middle = fork();
	assert_true(middle >= 0);
	if (middle == 0) {
		if (fork() == 0) {
			if (own_session)
				setsid();
			pid = (int32_t)getpid();
			_exit(write(fds[1], &pid, sizeof(pid)) == sizeof(pid) && pause() == 0 ? 0 : 1);
		}
		_exit(0);
	}
	assert_int_equal(waitpid(middle, NULL, 0), middle);
	assert_int_equal(read(fds[0], &pid, sizeof(pid)), sizeof(pid));
	close(fds[0]);
	close(fds[1]);
	return pid;
}

static void
reap_until(struct children *children, const bool *gone)
{
	for (int i = 0; i < 500 && !*gone; i++) {
		usleep(10000);
		children_reap(children);
	}
	assert_true(*gone);
}

static void
adopts_its_own_orphan(void **state)
{
	struct children children;
	struct adopted adopted = {.child = {.pidfd = -1, .ended = adopted_ended}};
	struct adopted again = adopted;

	(void)state;
	children_init(&children);
	assert_true(children_adopt());
	int32_t pid = orphan(true);
	assert_true(child_adopt(&children, &adopted.child, pid));
	assert_int_equal(adopted.child.pid, pid);
	/* no process is two of ours */
	assert_false(child_adopt(&children, &again.child, pid));
	assert_int_equal(again.child.pid, 0);
	child_signal_group(&adopted.child, SIGTERM);
	reap_until(&children, &adopted.gone);
	assert_true(adopted.end.by_signal);
	assert_int_equal(adopted.end.number, SIGTERM);
	assert_int_equal(adopted.child.pid, 0);
	assert_int_equal(children.orphans, 0);
	/* gone: the number is nobody's */
	assert_false(child_adopt(&children, &again.child, pid));
}

static void
adopts_nobody_else(void **state)
{
	struct children children;
	struct adopted adopted = {.child = {.pidfd = -1, .ended = adopted_ended}};

	(void)state;
	children_init(&children);
	assert_true(children_adopt());
	assert_false(child_adopt(&children, &adopted.child, 0));
	assert_false(child_adopt(&children, &adopted.child, -1));
	assert_false(child_adopt(&children, &adopted.child, 1));
	assert_false(child_adopt(&children, &adopted.child, (int32_t)getpid()));
	assert_false(child_adopt(&children, &adopted.child, (int32_t)getppid()));
	/* ours, but in a group that a signal of ours would hit with it */
	int32_t pid = orphan(false);
	assert_false(child_adopt(&children, &adopted.child, pid));
	assert_int_equal(adopted.child.pid, 0);
	kill(pid, SIGKILL);
	while (children.orphans == 0) {
		usleep(10000);
		children_reap(&children);
	}
}

static void
reads_lines(void **state)
{
	int32_t concurrency;
	struct str error;
	bool bypass;

	(void)state;
	assert_int_equal(ready_line_read(STR("READY concurrency=4 bypass=1"), &concurrency, &bypass, &error),
	                 READY_LINE_READY);
	assert_int_equal(concurrency, 4);
	assert_true(bypass);
	assert_int_equal(ready_line_read(STR("READY preloader=1"), &concurrency, &bypass, &error), READY_LINE_READY);
	assert_int_equal(concurrency, 1);
	assert_false(bypass);
	assert_int_equal(ready_line_read(STR("READY preloader=2"), &concurrency, &bypass, &error), READY_LINE_OTHER);
	assert_int_equal(ready_line_read(STR("HELLO"), &concurrency, &bypass, &error), READY_LINE_OTHER);
	assert_int_equal(ready_line_read(STR("ERROR no such galaxy "), &concurrency, &bypass, &error), READY_LINE_ERROR);
	assert_true(str_equal(error, STR("no such galaxy")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(adopts_its_own_orphan),
		cmocka_unit_test(adopts_nobody_else),
		cmocka_unit_test(reads_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
