#include "system/procfs.h"

#include "system/socket.h"
#include "worker/ready.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const uint8_t any[4] = {0, 0, 0, 0};
static const uint8_t any6[16] = {0};

static void
test_ourselves(void **state)
{
	(void)state;
	struct procfs_stat stat;
	struct procfs_memory memory;
	char command[256];

	assert_true(procfs_stat((int32_t)getpid(), &stat));
	assert_int_equal(stat.parent, getppid());
	assert_int_equal(stat.group, getpgrp());
	assert_int_equal(stat.session, getsid(0));
	assert_true(stat.threads >= 1);
	assert_true(stat.rss_kb > 0 && stat.vsize_kb >= stat.rss_kb);
	assert_true(procfs_memory((int32_t)getpid(), &memory));
	assert_true(memory.pss > 0 && memory.pss <= memory.rss);
	uint32_t before = procfs_descriptors((int32_t)getpid());
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(procfs_descriptors((int32_t)getpid()), before + 1);
	close(fd);
	procfs_command((int32_t)getpid(), command, sizeof(command));
	assert_non_null(strstr(command, "test_procfs"));
	assert_true(procfs_uid_in_use(geteuid()));
	assert_false(procfs_uid_in_use(3999999999u));
}

static void
test_nobody(void **state)
{
	(void)state;
	struct procfs_stat stat;
	struct procfs_memory memory;
	char text[16] = "x";
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	waitpid(pid, NULL, 0);
	assert_false(procfs_stat(pid, &stat));
	assert_false(procfs_memory(pid, &memory));
	assert_int_equal(procfs_descriptors(pid), 0);
	procfs_command(pid, text, sizeof(text));
	assert_string_equal(text, "");
	assert_false(procfs_variable(pid, STR("PATH"), text, sizeof(text)));
	assert_false(procfs_holds_socket(pid, 12345));
}

static void
test_variable(void **state)
{
	(void)state;
	char text[64], small[2];
	int ready[2];

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0) {
		execle("/bin/sleep", "sleep", "20", (char *)NULL,
		       (char *[]){(char[]){"ONE=1"}, (char[]){"TWO=zwei"}, NULL});
		_exit(1);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], text, 1), 0); /* end of file: it has become sleep */
	close(ready[0]);
	assert_true(procfs_variable(pid, STR("TWO"), text, sizeof(text)));
	assert_string_equal(text, "zwei");
	assert_false(procfs_variable(pid, STR("TW"), text, sizeof(text)));
	assert_false(procfs_variable(pid, STR("TWO"), small, sizeof(small)));
	int32_t children[8];
	assert_int_equal(procfs_children((int32_t)getpid(), children, 8), 1);
	assert_int_equal(children[0], pid);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static uint64_t
inode_of(int fd)
{
	struct stat stat;

	assert_int_equal(fstat(fd, &stat), 0);
	return stat.st_ino;
}

static void
test_listeners(void **state)
{
	(void)state;
	char error[SOCKET_ERROR_BYTES];
	struct procfs_listener rows[8];
	uint16_t port;

	int fd = socket_listen_loopback(&port, 4);
	assert_true(fd >= 0 && port != 0);
	assert_int_equal(procfs_listeners(port, rows, 8), 1);
	assert_int_equal(rows[0].bound, PROCFS_BOUND_LOOPBACK);
	assert_string_equal(rows[0].address, "127.0.0.1");
	assert_int_equal(rows[0].uid, geteuid());
	assert_true(rows[0].inode == inode_of(fd));
	assert_true(procfs_holds_socket((int32_t)getpid(), rows[0].inode));
	assert_int_equal(socket_port(fd), port);
	close(fd);
	assert_int_equal(procfs_listeners(port, rows, 8), 0);

	fd = socket_listen_tcp(any, 4, 0, 4, error);
	port = socket_port(fd);
	int second = socket_listen_tcp(any6, 16, port, 4, error);
	size_t count = procfs_listeners(port, rows, 8);
	assert_int_equal(count, second >= 0 ? 2 : 1); /* a machine without IPv6 */
	for (size_t i = 0; i < count; i++)
		assert_int_equal(rows[i].bound, PROCFS_BOUND_WILDCARD);
	assert_int_equal(procfs_listeners(port, rows, 1), 1);
	close(fd);
	if (second >= 0)
		close(second);
}

static void
test_mapped(void **state)
{
	(void)state;
	struct sockaddr_in6 address = {.sin6_family = AF_INET6};
	struct procfs_listener rows[4];
	static const uint8_t mapped[16] = {[10] = 0xff, 0xff, 127, 0, 0, 1};

	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	memcpy(&address.sin6_addr, mapped, 16);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 1) != 0) {
		if (fd >= 0)
			close(fd);
		skip();
	}
	assert_int_equal(procfs_listeners(socket_port(fd), rows, 4), 1);
	assert_int_equal(rows[0].bound, PROCFS_BOUND_LOOPBACK);
	close(fd);
}

/* The socket of a grandchild is the process's own; that of a process beside it is not. */
static void
test_descendants(void **state)
{
	(void)state;
	int channel[2];
	uint64_t inode;

	assert_int_equal(pipe2(channel, O_CLOEXEC), 0);
	pid_t child = fork();
	if (child == 0) {
		setsid();
		if (fork() == 0) {
			uint16_t port;
			int fd = socket_listen_loopback(&port, 1);
			inode = inode_of(fd);
			if (write(channel[1], &inode, sizeof(inode)) < 0)
				_exit(1);
		}
		for (;;)
			pause();
	}
	assert_int_equal(read(channel[0], &inode, sizeof(inode)), sizeof(inode));
	assert_true(procfs_holds_socket(child, inode));
	assert_false(procfs_holds_socket(child, inode + 1000000));
	pid_t beside = fork();
	if (beside == 0)
		for (;;)
			pause();
	assert_false(procfs_holds_socket(beside, inode));
	kill(-child, SIGKILL);
	kill(beside, SIGKILL);
	waitpid(child, NULL, 0);
	waitpid(beside, NULL, 0);
	close(channel[0]);
	close(channel[1]);
}

static struct procfs_listener
row(enum procfs_bound bound, uint32_t uid, const char *address)
{
	struct procfs_listener listener = {.bound = bound, .uid = uid, .inode = 1};

	str_cut_z(listener.address, sizeof(listener.address), str_from(address));
	return listener;
}

static void
test_judge(void **state)
{
	(void)state;
	const struct procfs_listener ours = row(PROCFS_BOUND_LOOPBACK, 1000, "127.0.0.1");
	const struct procfs_listener wild = row(PROCFS_BOUND_WILDCARD, 1000, "0.0.0.0");
	const struct procfs_listener six = row(PROCFS_BOUND_OTHER, 1000, "[::1]");
	const struct procfs_listener outside = row(PROCFS_BOUND_OTHER, 1000, "192.0.2.1");
	const struct {
		struct procfs_listener rows[2];
		bool holds[2];
		size_t count;
		uint32_t uid;
		enum ready_port expected;
	} cases[] = {
		{{ours}, {true}, 0, 1000, READY_PORT_NOT_YET},
		{{ours}, {true}, 1, 1000, READY_PORT_OURS},
		{{ours}, {true}, 1, 1001, READY_PORT_FOREIGN},
		{{ours}, {false}, 1, 1000, READY_PORT_FOREIGN},
		{{wild}, {true}, 1, 1000, READY_PORT_OPEN},
		{{wild}, {false}, 1, 1000, READY_PORT_FOREIGN},
		{{ours, wild}, {true, true}, 2, 1000, READY_PORT_OPEN},
		{{wild, ours}, {true, true}, 2, 1000, READY_PORT_OPEN},
		{{ours, ours}, {true, false}, 2, 1000, READY_PORT_FOREIGN},
		{{six}, {true}, 1, 1000, READY_PORT_ELSEWHERE},
		{{six}, {false}, 1, 1000, READY_PORT_NOT_YET},
		{{six, ours}, {true, true}, 2, 1000, READY_PORT_OURS},
		{{ours, six}, {true, true}, 2, 1000, READY_PORT_OURS},
		{{outside, ours}, {true, true}, 2, 1000, READY_PORT_OPEN},
		{{outside, ours}, {false, true}, 2, 1000, READY_PORT_OURS},
	};

	for (size_t i = 0; i < array_count(cases); i++) {
		size_t which;
		enum ready_port judged =
			ready_port_judge(cases[i].rows, cases[i].holds, cases[i].count, cases[i].uid, &which);
		if (judged != cases[i].expected)
			fail_msg("case %zu is %d and should be %d", i, (int)judged, (int)cases[i].expected);
	}
}

static void
test_ready_line(void **state)
{
	(void)state;
	int32_t concurrency;
	bool bypass;
	struct str error;

	assert_int_equal(ready_line_read(STR("READY concurrency=5 bypass=1"), &concurrency, &bypass, &error),
	                 READY_LINE_READY);
	assert_int_equal(concurrency, 5);
	assert_true(bypass);
	assert_int_equal(ready_line_read(STR("READY"), &concurrency, &bypass, &error), READY_LINE_READY);
	assert_int_equal(concurrency, 1);
	assert_false(bypass);
	assert_int_equal(ready_line_read(STR("ERROR  no such file "), &concurrency, &bypass, &error), READY_LINE_ERROR);
	assert_true(str_equal(error, STR("no such file")));
	static const char *const wrong[] = {"",
	                                    "READ",
	                                    "READY concurrency=-1",
	                                    "READY concurrency=99999999999",
	                                    "READY bypass=2",
	                                    "READY pid=1",
	                                    "ready"};
	for (size_t i = 0; i < array_count(wrong); i++)
		assert_int_equal(ready_line_read(str_from(wrong[i]), &concurrency, &bypass, &error), READY_LINE_OTHER);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ourselves), cmocka_unit_test(test_nobody),     cmocka_unit_test(test_variable),
		cmocka_unit_test(test_listeners), cmocka_unit_test(test_mapped),     cmocka_unit_test(test_descendants),
		cmocka_unit_test(test_judge),     cmocka_unit_test(test_ready_line),
	};
	return cmocka_run_group_tests_name("procfs", tests, NULL, NULL);
}
