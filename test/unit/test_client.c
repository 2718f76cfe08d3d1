/* The operator's client against an instance that answers as it should, and as it should not; and the reading of options. */
#include "operator/arguments.h"
#include "operator/client.h"
#include "operator/command.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* One answer: the first bytes of answer, and so many descriptors. */
struct scene {
	struct control_answer answer;
	size_t bytes;
	int fds;
	struct control_request asked;
	struct instance instance;
	char path[300];
	int listener;
	pthread_t thread;
};

static void
send_answer(const struct scene *scene, int connection)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))] = {0};
	struct iovec data = {.iov_base = (void *)(uintptr_t)&scene->answer, .iov_len = scene->bytes};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
	int fd = memfd_create("snapshot", MFD_CLOEXEC);
	assert_true(write(fd, "0123456789", 10) == 10);
	if (scene->fds > 0) {
		size_t bytes = (size_t)scene->fds * sizeof(int);
		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(bytes);
		struct cmsghdr *part = CMSG_FIRSTHDR(&message);
		part->cmsg_level = SOL_SOCKET;
		part->cmsg_type = SCM_RIGHTS;
		part->cmsg_len = CMSG_LEN(bytes);
		for (size_t at = 0; at < bytes; at += sizeof(int))
			memcpy(CMSG_DATA(part) + at, &fd, sizeof(int));
	}
	assert_true(sendmsg(connection, &message, MSG_NOSIGNAL) == (ssize_t)scene->bytes);
	close(fd);
}

static void *
serve(void *argument)
{
	struct scene *scene = argument;
	int connection = accept(scene->listener, NULL, NULL);
	assert_true(recv(connection, &scene->asked, sizeof(scene->asked), 0) == (ssize_t)sizeof(scene->asked));
	if (scene->bytes > 0)
		send_answer(scene, connection);
	close(connection);
	return NULL;
}

/* A socket's address is at most 107 characters, so it is bound from inside its directory. */
static void
scene_begin(struct scene *scene, const char *dir)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "control"};
	int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*scene = (struct scene){.answer = {.magic = CONTROL_MAGIC}, .bytes = sizeof(scene->answer)};
	assert_true(str_copy_z(scene->instance.dir, sizeof(scene->instance.dir), str_from(dir)));
	assert_true(str_format(scene->path, sizeof(scene->path), "%s/control", dir));
	scene->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_true(here >= 0 && chdir(dir) == 0);
	assert_int_equal(bind(scene->listener, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_true(fchdir(here) == 0);
	close(here);
	assert_int_equal(listen(scene->listener, 4), 0);
}

static bool
scene_ask(struct scene *scene, struct control_answer *answer, int *fd)
{
	struct control_request request = {.verb = CONTROL_DETACH, .number = 4711};
	assert_int_equal(pthread_create(&scene->thread, NULL, serve, scene), 0);
	bool answered = client_ask(&scene->instance, &request, answer, fd);
	pthread_join(scene->thread, NULL);
	close(scene->listener);
	unlink(scene->path);
	assert_int_equal(scene->asked.magic, CONTROL_MAGIC);
	assert_int_equal(scene->asked.number, 4711);
	return answered;
}

static size_t
open_descriptors(void)
{
	size_t count = 0;
	DIR *dir = opendir("/proc/self/fd");
	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count;
}

static int
make_dir(void **state)
{
	char template[] = "/tmp/passenger-client-XXXXXX";
	*state = mkdtemp(template) ? str_dup_z(str_from(template)) : NULL;
	return *state == NULL ? -1 : 0;
}

static int
remove_dir(void **state)
{
	int result = rmdir(*state);
	free(*state);
	return result;
}

static void
test_answer_with_descriptor(void **state)
{
	struct scene scene;
	struct control_answer answer;
	struct buf bytes = {0};
	int fd;
	scene_begin(&scene, *state);
	scene.answer.number = 10;
	scene.fds = 1;
	assert_true(scene_ask(&scene, &answer, &fd));
	assert_true(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC));
	assert_true(client_read_snapshot(fd, answer.number, &bytes));
	assert_true(str_equal(buf_str(&bytes), STR("0123456789")));
	buf_free(&bytes);
}

static void
test_more_descriptors_are_closed(void **state)
{
	struct scene scene;
	struct control_answer answer;
	int fd;
	for (int fds = 2; fds <= 4; fds++) {
		size_t before = open_descriptors();
		scene_begin(&scene, *state);
		scene.fds = fds;
		assert_true(scene_ask(&scene, &answer, &fd));
		close(fd);
		assert_int_equal(open_descriptors(), before);
	}
}

static void
test_damaged_answers(void **state)
{
	for (int fault = 0; fault < 6; fault++) {
		struct scene scene;
		struct control_answer answer;
		size_t before = open_descriptors();
		int fd;
		scene_begin(&scene, *state);
		scene.fds = 1;
		switch (fault) {
		case 0:
			scene.answer.magic++;
			break;
		case 1:
			scene.answer.code = CONTROL_CODE_N;
			break;
		case 2:
			memset(scene.answer.text, 'a', sizeof(scene.answer.text));
			break;
		case 3:
			scene.bytes--;
			break;
		case 4:
			scene.bytes = 1;
			break;
		case 5:
			scene.bytes = 0;
			break; /* closed */
		}
		assert_false(scene_ask(&scene, &answer, &fd));
		assert_int_equal(fd, -1);
		assert_int_equal(open_descriptors(), before);
	}
}

static void
test_exit_codes(void **state)
{
	(void)state;
	static const int codes[CONTROL_CODE_N] = {
		[CONTROL_OK] = COMMAND_OK,
		[CONTROL_FAILED] = COMMAND_FAILED,
		[CONTROL_NOT_ALLOWED] = COMMAND_REFUSED,
		[CONTROL_NOT_FOUND] = COMMAND_FAILED,
		[CONTROL_BAD] = COMMAND_FAILED,
	};
	struct instance instance = {.name = "test"};
	for (uint32_t code = 0; code < CONTROL_CODE_N; code++)
		assert_int_equal(client_exit_code(&instance, &(struct control_answer){.code = code}), codes[code]);
}

static void
test_wrong_snapshots(void **state)
{
	(void)state;
	static const uint64_t sizes[] = {0, 9, 11, UINT64_MAX};
	struct buf bytes = {0};
	int pipe_fds[2];
	assert_false(client_read_snapshot(-1, 10, &bytes));
	for (size_t i = 0; i < array_count(sizes); i++) {
		int fd = memfd_create("snapshot", MFD_CLOEXEC);
		assert_true(write(fd, "0123456789", 10) == 10);
		assert_false(client_read_snapshot(fd, sizes[i], &bytes));
	}
	assert_int_equal(pipe(pipe_fds), 0);
	assert_false(client_read_snapshot(pipe_fds[0], 0, &bytes));
	close(pipe_fds[1]);
	buf_free(&bytes);
}

static void
test_silent_instance(void **state)
{
	struct scene scene;
	struct control_answer answer;
	int fd;
	scene_begin(&scene, *state);
	int connection = client_send(&scene.instance, &(struct control_request){.verb = CONTROL_STATUS});
	assert_true(connection >= 0);
	assert_int_equal(client_receive(&scene.instance, connection, 20, &answer, &fd), CLIENT_TIMEOUT);
	close(scene.listener); /* and with it the connection that nobody accepted */
	assert_int_equal(client_receive(&scene.instance, connection, 1000, &answer, &fd), CLIENT_GONE);
	close(connection);
	unlink(scene.path);
}

static void
test_long_directory(void **state)
{
	struct scene scene;
	struct control_answer answer;
	char dir[200];
	int fd;
	assert_true(str_format(dir, sizeof(dir), "%s/%0100d", (const char *)*state, 1));
	assert_int_equal(mkdir(dir, 0700), 0);
	scene_begin(&scene, dir);
	assert_true(scene_ask(&scene, &answer, &fd));
	rmdir(dir);
}

static void
test_no_such_instance(void **state)
{
	struct instance instance = {.name = "test"};
	char long_name[400];
	memset(long_name, 'a', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = 0;
	assert_int_equal(client_find(&(struct client_target){.instance_dir = *state}, &instance), CLIENT_NOT_RUNNING);
	assert_int_equal(client_find(&(struct client_target){.instance_dir = long_name}, &instance), CLIENT_NOT_RUNNING);
	str_cut_z(instance.dir, sizeof(instance.dir), str_from(*state));
	assert_int_equal(client_send(&instance, &(struct control_request){0}), -1);
}

enum { VERBOSE, NAME, ROWS };

static enum arguments_result
read_arguments(struct arguments *out, const char *a, const char *b, const char *c)
{
	static const struct argument options[ROWS + 1] = {
		[VERBOSE] = {.name = "verbose", .letter = 'v', .help = "more"},
		[NAME] = {.name = "name", .value = "NAME", .help = "whose"},
	};
	static const struct arguments_table table = {
		.usage = "test", .help = "It tests.\n", .options = options, .words_max = 1};
	const char *words[] = {"test", a, b, c, NULL};
	char *argv[array_count(words)] = {0};
	int argc = 0;
	while (words[argc] != NULL) {
		argv[argc] = str_dup_z(str_from(words[argc]));
		argc++;
	}
	enum arguments_result result = arguments_read(&table, argc, argv, out);
	for (size_t i = 0; i < ROWS; i++) /* values point into argv, which ends here */
		if (out->values[i] != NULL)
			out->values[i] = out->values[i][0] == 0 ? "" : "given";
	for (int i = 0; i < argc; i++)
		free(argv[i]);
	return result;
}

static void
test_arguments(void **state)
{
	(void)state;
	struct arguments out;
	assert_int_equal(read_arguments(&out, NULL, NULL, NULL), ARGUMENTS_READ);
	assert_true(out.values[VERBOSE] == NULL && out.values[NAME] == NULL && out.word_count == 0);
	assert_int_equal(read_arguments(&out, "-v", "--name", "-v"), ARGUMENTS_READ);
	assert_string_equal(out.values[VERBOSE], "");
	assert_string_equal(out.values[NAME], "given");
	assert_int_equal(read_arguments(&out, "--name=x", "--verbose", "word"), ARGUMENTS_READ);
	assert_true(out.values[VERBOSE] != NULL && out.word_count == 1);
	assert_string_equal(out.values[NAME], "given");
	assert_int_equal(read_arguments(&out, "--name=", NULL, NULL), ARGUMENTS_READ);
	assert_string_equal(out.values[NAME], "");
	assert_int_equal(read_arguments(&out, "--", "--verbose", NULL), ARGUMENTS_READ);
	assert_true(out.values[VERBOSE] == NULL && out.word_count == 1);
	assert_int_equal(read_arguments(&out, "-", NULL, NULL), ARGUMENTS_READ);
	assert_int_equal(out.word_count, 1);
	assert_int_equal(read_arguments(&out, "word", "-h", "--nonsense"), ARGUMENTS_HELP);
	static const char *const wrong[][3] = {
		{"--nonsense"}, {"-x"}, {"--v"}, {"-verbose"}, {"--verbose=1"}, {"--name"}, {"word", "word"}, {"--=x"},
	};
	for (size_t i = 0; i < array_count(wrong); i++)
		assert_int_equal(read_arguments(&out, wrong[i][0], wrong[i][1], wrong[i][2]), ARGUMENTS_WRONG);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answer_with_descriptor),
		cmocka_unit_test(test_more_descriptors_are_closed),
		cmocka_unit_test(test_damaged_answers),
		cmocka_unit_test(test_exit_codes),
		cmocka_unit_test(test_wrong_snapshots),
		cmocka_unit_test(test_silent_instance),
		cmocka_unit_test(test_long_directory),
		cmocka_unit_test(test_no_such_instance),
		cmocka_unit_test(test_arguments),
	};
	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
