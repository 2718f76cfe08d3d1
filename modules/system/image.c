#include "system/image.h"

#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#define VARIABLE "PASSENGER_IMAGE"

enum { ALTERNATIVE_STACK_BYTES = 16384, NUMBER_CHARS = 10 };

/* Before the handlers know it and after the loop has ended nothing is carried. */
static const struct image_load *volatile carried;
static volatile int back = -1;
static char **arguments;
static char **environment; /* ours, and one variable more */
static char variable[sizeof(VARIABLE) + 3 * (NUMBER_CHARS + 1)];

static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP, SIGALRM};

void
image_arguments(char **argv)
{
	arguments = argv;
}

/* --- the way over: nothing here may be unfit for a signal handler -------------------------- */

/* " 0000000007": without snprintf, which a handler may not call. */
static char *
put_number(char *out, int number)
{
	*out++ = ' ';
	for (int i = NUMBER_CHARS - 1; i >= 0; i--, number /= 10)
		out[i] = (char)('0' + number % 10);
	return out + NUMBER_CHARS;
}

static void
set_inherited(const struct image_load *load, int back_fd, bool inherited)
{
	int flag = inherited ? 0 : FD_CLOEXEC;

	for (size_t i = 0; i < load->fd_count; i++)
		fcntl(load->fds[i], F_SETFD, flag);
	fcntl(load->state_fd, F_SETFD, flag);
	if (back_fd >= 0)
		fcntl(back_fd, F_SETFD, flag);
}

static bool
go(int binary_fd, int back_fd, int end, const struct image_load *load)
{
	char path[] = "/proc/self/fd/0000000000", *at;

	at = path + sizeof(path) - 1 - NUMBER_CHARS;
	put_number(at - 1, binary_fd);
	at[-1] = '/';
	/* the kernel's file name has no zeros in front */
	char *digits = at;
	while (*digits == '0' && digits[1] != '\0')
		digits++;
	memmove(at, digits, strlen(digits) + 1);
	memcpy(variable, VARIABLE "=", sizeof(VARIABLE));
	at = put_number(variable + sizeof(VARIABLE), load->state_fd);
	at = put_number(at, back_fd >= 0 ? back_fd : 0);
	*put_number(at, end) = '\0';
	set_inherited(load, back_fd, true);
	execve(path, arguments, environment);
	int saved = errno;
	set_inherited(load, back_fd, false);
	errno = saved;
	return false;
}

/* Ours without what an earlier one handed over, and room for one more. */
static void
make_environment(void)
{
	size_t count = 0, kept = 0;

	while (environ[count] != NULL)
		count++;
	free(environment);
	environment = calloc(count + 2, sizeof(*environment));
	if (environment == NULL)
		abort();
	for (size_t i = 0; i < count; i++)
		if (strncmp(environ[i], VARIABLE "=", sizeof(VARIABLE)) != 0)
			environment[kept++] = environ[i];
	environment[kept] = variable;
}

bool
image_exec(int binary_fd, int back_fd, const struct image_load *load)
{
	make_environment();
	return go(binary_fd, back_fd, IMAGE_NEW, load);
}

/* --- the arrival --------------------------------------------------------------------------- */

static bool
take_fd(uint64_t number, int *fd)
{
	*fd = number <= INT32_MAX ? (int)number : -1;
	return *fd > STDERR_FILENO && fcntl(*fd, F_SETFD, FD_CLOEXEC) == 0;
}

void
image_arrive(struct image_arrival *arrival)
{
	const char *text = getenv(VARIABLE);
	uint64_t numbers[3] = {0};
	struct str rest, word;

	*arrival = (struct image_arrival){.state_fd = -1, .back_fd = -1};
	if (text == NULL)
		return;
	rest = str_trim(str_from(text));
	for (size_t i = 0; i < array_count(numbers) && str_split(&rest, ' ', &word); i++)
		if (!str_to_u64(word, &numbers[i]))
			return;
	if (!take_fd(numbers[0], &arrival->state_fd))
		arrival->state_fd = -1;
	if (!take_fd(numbers[1], &arrival->back_fd))
		arrival->back_fd = -1;
	arrival->end = (int)numbers[2];
	unsetenv(VARIABLE);
	/* it was started through a descriptor, whose number is no name */
	prctl(PR_SET_NAME, "passenger", 0, 0, 0);
}

/* --- the guard ------------------------------------------------------------------------------ */

static void
fatal_signal(int number)
{
	image_fall_back((enum image_end)number);
	/* there is no way back: it ends as it would have without us */
	signal(number, SIG_DFL);
	raise(number);
}

static void
set_handlers(void (*handler)(int))
{
	/* not deferred: what is blocked in a handler would stay blocked over there */
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_NODEFER | SA_ONSTACK};

	for (size_t i = 0; i < array_count(fatal); i++)
		sigaction(fatal[i], &action, NULL);
}

void
image_guard(int back_fd)
{
	static char memory[ALTERNATIVE_STACK_BYTES];
	const stack_t stack = {.ss_sp = memory, .ss_size = sizeof(memory)};

	make_environment();
	back = back_fd;
	sigaltstack(&stack, NULL);
	set_handlers(fatal_signal);
	alarm(IMAGE_READY_WITHIN_S);
}

void
image_carry(const struct image_load *load)
{
	carried = load;
}

void
image_is_ready(void)
{
	alarm(0);
}

bool
image_is_guarded(void)
{
	return back >= 0;
}

void
image_release(void)
{
	if (!image_is_guarded())
		return;
	alarm(0);
	set_handlers(SIG_DFL);
	close(back);
	back = -1;
	carried = NULL;
}

void
image_fall_back(enum image_end end)
{
	const struct image_load *load = carried;
	int binary_fd = back;

	if (binary_fd < 0 || load == NULL)
		return;
	back = -1; /* one that fails on its way back does not try for ever */
	alarm(0);
	(void)!go(binary_fd, -1, (int)end, load);
}
