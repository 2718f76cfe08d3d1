#include "handover/scoreboard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void
test_shared(void **state)
{
	(void)state;
	int fd;
	struct stat stat;
	struct scoreboard *one = scoreboard_create(&fd);

	assert_non_null(one);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	struct scoreboard *other = scoreboard_map(fd);
	assert_non_null(other);
	atomic_store(&one->processes[SCOREBOARD_PROCESSES - 1].serial, 42);
	assert_true(atomic_load(&other->processes[SCOREBOARD_PROCESSES - 1].serial) == 42);
	/* whoever has the descriptor can not pull the memory away */
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, (off_t)sizeof(struct scoreboard) * 2), -1);
	/* slots that were never used cost nothing */
	assert_int_equal(fstat(fd, &stat), 0);
	assert_true(stat.st_blocks * 512 < 64 * 1024);
	scoreboard_unmap(one);
	scoreboard_unmap(other);
	scoreboard_unmap(NULL);
	close(fd);
}

static void
test_not_one(void **state)
{
	(void)state;
	int fd = memfd_create("small", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_null(scoreboard_map(fd));
	assert_int_equal(ftruncate(fd, (off_t)sizeof(struct scoreboard)), 0);
	assert_null(scoreboard_map(fd)); /* right size, version 0 */
	assert_int_equal(errno, EINVAL);
	close(fd);
	assert_null(scoreboard_map(-1));
}

static void
write_request(struct scoreboard_request *cell, const char *path)
{
	atomic_fetch_add(&cell->sequence, 1);
	cell->since_ms = 1234;
	cell->direct = 1;
	str_cut_z(cell->method, sizeof(cell->method), STR("GET"));
	str_cut_z(cell->path, sizeof(cell->path), str_from(path));
	atomic_fetch_add(&cell->sequence, 1);
}

static void
test_request(void **state)
{
	(void)state;
	struct scoreboard_request cell = {.direct = 0}, copy;

	assert_false(scoreboard_read_request(&cell, &copy)); /* empty */
	write_request(&cell, "/one");
	assert_true(scoreboard_read_request(&cell, &copy));
	assert_string_equal(copy.path, "/one");
	assert_string_equal(copy.method, "GET");
	assert_int_equal(copy.direct, 1);
	assert_true(copy.since_ms == 1234);
	atomic_fetch_add(&cell.sequence, 1); /* a writer that died in the middle */
	assert_false(scoreboard_read_request(&cell, &copy));
}

/* A writer may put anything there. */
static void
test_hostile_request(void **state)
{
	(void)state;
	struct scoreboard_request cell, copy;

	memset((void *)&cell, 0xff, sizeof(cell));
	atomic_store(&cell.sequence, 2);
	assert_true(scoreboard_read_request(&cell, &copy));
	assert_int_equal(strlen(copy.path), sizeof(copy.path) - 1);
	write_request(&cell, "/a\x1b[31m\xc3\xbc\n");
	assert_true(scoreboard_read_request(&cell, &copy));
	assert_string_equal(copy.path, "/a?[31m???");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_not_one),
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_hostile_request),
	};
	return cmocka_run_group_tests_name("scoreboard", tests, NULL, NULL);
}
