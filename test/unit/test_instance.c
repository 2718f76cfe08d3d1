#include "handover/instance.h"

#include "system/socket.h"
#include "worker/place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/test_instance_XXXXXX";

static const char *
inside(const char *name)
{
	static char path[256];

	str_format(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static void
test_registry(void **state)
{
	(void)state;
	char dir[256], expected[256];

	unsetenv("PASSENGER_INSTANCE_REGISTRY_DIR");
	setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
	instance_registry(dir, NULL);
	assert_string_equal(dir, geteuid() == 0 ? "/run/passenger" : "/run/user/7/passenger");
	unsetenv("XDG_RUNTIME_DIR");
	str_format(expected, sizeof(expected), "/tmp/passenger-%u", (unsigned)geteuid());
	instance_registry(dir, "");
	assert_string_equal(dir, geteuid() == 0 ? "/run/passenger" : expected);
	setenv("PASSENGER_INSTANCE_REGISTRY_DIR", "/some/where", 1);
	instance_registry(dir, NULL);
	assert_string_equal(dir, "/some/where");
	instance_registry(dir, "/else/where");
	assert_string_equal(dir, "/else/where");
	unsetenv("PASSENGER_INSTANCE_REGISTRY_DIR");
}

/* One that lives: locked, described, its control socket served. */
static int
instance_make(struct place *place, const char *name)
{
	char error[PLACE_ERROR_BYTES];
	struct instance instance = {.pid = 4711, .started = 1700000000};

	assert_int_equal(place_open(place, inside(name), error), PLACE_OURS);
	assert_true(place_fill(place, getegid(), error));
	str_cut_z(instance.name, sizeof(instance.name), str_from(name));
	str_cut_z(instance.version, sizeof(instance.version), STR("1.2.3"));
	str_cut_z(instance.config, sizeof(instance.config), STR("/etc/a\nb.ini"));
	assert_true(instance_write(place->dir_fd, &instance));
	int fd = socket_listen_seqpacket(place->control_path, 0666, error);
	assert_true(fd >= 0);
	return fd;
}

static void
test_list(void **state)
{
	(void)state;
	struct place one, two;
	struct instance found[4];

	assert_int_equal(instance_list(folder, found, 4, true), 0);
	int first = instance_make(&one, "one"), second = instance_make(&two, "two");
	assert_int_equal(instance_list(folder, found, 4, false), 2);
	assert_int_equal(instance_list(folder, found, 1, false), 1);
	assert_int_equal(instance_list(inside("two"), found, 4, false), 1);
	assert_string_equal(found[0].name, "two");
	assert_string_equal(found[0].version, "1.2.3");
	assert_string_equal(found[0].config, "/etc/a?b.ini");
	assert_string_equal(found[0].dir, inside("two"));
	assert_int_equal(found[0].pid, 4711);
	assert_int_equal(found[0].started, 1700000000);
	assert_true(found[0].alive);
	close(second); /* died: the socket file stays, nobody serves it */
	assert_int_equal(instance_list(folder, found, 4, false), 1);
	assert_string_equal(found[0].name, "one");
	assert_int_equal(instance_list(folder, found, 4, true), 2);
	close(first);
	place_close(&one);
	place_close(&two);
	assert_int_equal(access(inside("one"), F_OK), -1);
}

static void
put(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void
test_not_one(void **state)
{
	(void)state;
	static const char *const wrong[] = {"", "name\n", "name\nx\n1\n1\n/\n", "name\n99999999999\n1\n1\n/\n",
	                                    "\n1\n1\n1\n/\n"};
	struct instance instance;
	char path[300];

	assert_false(instance_read(folder, &instance));
	assert_int_equal(mkdir(inside("bad"), 0755), 0);
	str_format(path, sizeof(path), "%s/lock", inside("bad"));
	put(path, "1\n");
	assert_false(instance_read(inside("bad"), &instance));
	str_format(path, sizeof(path), "%s/instance.txt", inside("bad"));
	for (size_t i = 0; i < array_count(wrong); i++) {
		put(path, wrong[i]);
		assert_false(instance_read(inside("bad"), &instance));
	}
	unlink(path);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_false(instance_read(inside("bad"), &instance));
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_false(instance_read(inside("bad"), &instance));
	unlink(path);
	str_format(path, sizeof(path), "%s/lock", inside("bad"));
	unlink(path);
	rmdir(inside("bad"));
}

/* --- the directory itself -------------------------------------------------------- */

static void
test_second_is_refused(void **state)
{
	(void)state;
	struct place first, second;
	char error[PLACE_ERROR_BYTES];

	assert_int_equal(place_open(&first, inside("p"), error), PLACE_OURS);
	assert_false(first.taken_over);
	assert_int_equal(place_open(&second, inside("p"), error), PLACE_RUNNING);
	assert_int_equal(second.other_pid, getpid());
	close(second.dir_fd);
	close(second.lock_fd);
	/* dies without cleaning up */
	close(first.lock_fd);
	close(first.dir_fd);
	assert_int_equal(place_open(&second, inside("p"), error), PLACE_OURS);
	assert_true(second.taken_over);
	assert_int_equal(second.other_pid, getpid());
	place_close(&second);
	assert_int_equal(access(inside("p"), F_OK), -1);
}

static void
test_fill_sweeps(void **state)
{
	(void)state;
	struct place place;
	struct stat stat;
	char error[PLACE_ERROR_BYTES], path[300];

	assert_int_equal(mkdir(inside("q"), 0755), 0);
	assert_int_equal(mkdir(inside("q/apps"), 0777), 0);
	put(inside("q/apps/old"), "");
	assert_int_equal(place_open(&place, inside("q"), error), PLACE_OURS);
	assert_true(place_fill(&place, getegid(), error));
	assert_int_equal(access(inside("q/apps/old"), F_OK), -1);
	assert_int_equal(lstat(inside("q/apps"), &stat), 0);
	assert_int_equal(stat.st_mode & 07777, geteuid() == 0 ? 0710 : 0700);
	assert_true(place_add_loader(&place, "x.rb", "puts 1", 6, error));
	assert_true(place_add_loader(&place, "x.rb", "puts 22", 7, error)); /* an upgrade brings another one */
	str_format(path, sizeof(path), "%s/x.rb", place.loaders_dir);
	assert_int_equal(lstat(path, &stat), 0);
	assert_int_equal(stat.st_mode & 07777, 0644);
	assert_int_equal(stat.st_size, 7);
	str_format(path, sizeof(path), "%s/.new", place.loaders_dir);
	assert_int_equal(access(path, F_OK), -1);
	place_close(&place);
	assert_int_equal(access(inside("q"), F_OK), 0); /* it was there before us */
	assert_int_equal(rmdir(inside("q")), 0);
}

static void
expect_refused(const char *name, const char *word)
{
	struct place place;
	char error[PLACE_ERROR_BYTES] = "";

	assert_int_equal(place_open(&place, inside(name), error), PLACE_FAILED);
	if (strstr(error, word) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", error, word);
}

static void
test_unsafe(void **state)
{
	(void)state;
	assert_int_equal(mkdir(inside("w"), 0755), 0);
	assert_int_equal(chmod(inside("w"), 0777), 0);
	expect_refused("w", "can be written by other users");
	expect_refused("w/below", "can be written by other users");
	assert_int_equal(chmod(inside("w"), 01777), 0);
	expect_refused("w", "can be written by other users"); /* sticky is enough on the way, not at its end */
	struct place place;
	char error[PLACE_ERROR_BYTES];
	assert_int_equal(place_open(&place, inside("w/below"), error), PLACE_OURS);
	place_close(&place);
	assert_int_equal(chmod(inside("w"), 0755), 0);
	assert_int_equal(symlink("/etc/passwd", inside("w/lock")), 0);
	expect_refused("w", "lock");
	unlink(inside("w/lock"));
	if (geteuid() == 0) {
		assert_int_equal(chown(inside("w"), 65534, 65534), 0);
		expect_refused("w", "belongs to uid 65534");
		expect_refused("w/below", "belongs to uid 65534");
	}
	rmdir(inside("w"));
	put(inside("file"), "");
	expect_refused("file", "");
	expect_refused("file/below", "");
	unlink(inside("file"));
	expect_refused("no/../such", "..");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_registry),    cmocka_unit_test(test_list),
		cmocka_unit_test(test_not_one),     cmocka_unit_test(test_second_is_refused),
		cmocka_unit_test(test_fill_sweeps), cmocka_unit_test(test_unsafe),
	};
	umask(022);
	if (mkdtemp(folder) == NULL)
		return 1;
	int failed = cmocka_run_group_tests_name("instance", tests, NULL, NULL);
	rmdir(folder);
	return failed;
}
