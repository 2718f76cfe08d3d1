#include "spawner/exec.h"

#include "spawner/plan.h"
#include "system/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* After the change of numbers: the sentence goes here. */
static int error_fd = PLAN_FD_ERROR;

static void fail(const char *format, ...) printf_like(1, 2);

static void
fail(const char *format, ...)
{
	char text[PLAN_ERROR_BYTES];
	va_list arguments;

	va_start(arguments, format);
	int len = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (len >= (int)sizeof(text))
		len = (int)sizeof(text) - 1;
	if (len > 0 && write(error_fd, text, (size_t)len) < 0) {
		/* nobody listens: the exit status has to do */
	}
}

/* Not fatal where the kernel or a container does not let us. */
static void
set_oom_score(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "0", 1) < 0) {
		/* lower than ours it may not be: then it stays */
	}
	close(fd);
}

static void
set_limits(const struct plan *plan)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && plan->descriptors_soft > 0) {
		limit.rlim_cur = plan->descriptors_soft < limit.rlim_max ? plan->descriptors_soft : limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (getrlimit(RLIMIT_CORE, &limit) == 0) {
		limit.rlim_cur = 0;
		setrlimit(RLIMIT_CORE, &limit);
	}
}

/* Nothing but 0 1 2 (and 3 4 for a loader) and the error pipe, right behind them. */
static bool
set_descriptors(bool keeps_control)
{
	int keep = keeps_control ? PLAN_FD_CONTROL + 1 : STDERR_FILENO + 1;

	if (dup3(error_fd, keep, O_CLOEXEC) < 0)
		return false;
	error_fd = keep;
	return syscall(SYS_close_range, keep + 1, ~0U, 0) == 0;
}

/* Signals that no handler of ours holds, nothing blocked: posix_spawn did it, but an ignored
 * signal of our own parent's may come back by no other way than this. */
static void
set_signals(void)
{
	struct sigaction standard = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		sigaction(number, &standard, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Dies with the spawner: asked for after the change of uid, which clears it. */
static bool
bind_to_parent(int32_t parent)
{
	return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && getppid() == parent;
}

static char *const *
without_const(const char *const *words)
{
	char *const *same;

	/* execve() reads only */
	memcpy(&same, &words, sizeof(words));
	return same;
}

/* As execvp() does it: a file that is no program the kernel knows is a script for the shell. */
static void
execute(const char *file, const struct plan_read *plan)
{
	const char *script[PLAN_WORDS_MAX + 2];

	execve(file, without_const(plan->arguments), without_const(plan->variables));
	if (errno != ENOEXEC)
		return;
	script[0] = "/bin/sh";
	script[1] = file;
	for (size_t i = 1; i <= plan->head->argument_count; i++)
		script[i + 1] = plan->arguments[i];
	execve("/bin/sh", without_const(script), without_const(plan->variables));
}

static void
execute_by_path(const struct plan_read *plan)
{
	const char *name = plan->arguments[0];
	struct str rest = str_from(plan->path), folder;
	char file[4096];
	int error = ENOENT;

	if (strchr(name, '/') != NULL) {
		execute(name, plan);
		fail("can not execute '%s' in %s: %s", name, plan->root, strerror(errno));
		return;
	}
	while (str_split(&rest, ':', &folder)) {
		/* an empty entry means the current directory, for others: not for us */
		if (folder.len == 0 || !str_format(file, sizeof(file), "%.*s/%s", STR_ARG(folder), name))
			continue;
		execute(file, plan);
		if (errno == ENOENT || errno == ENOTDIR)
			continue;
		if (errno != EACCES) {
			error = errno;
			break;
		}
		/* a folder that this user may not enter holds nothing for him */
		if (access(file, F_OK) == 0)
			error = EACCES;
	}
	fail("can not execute '%s': %s (looked in PATH=%s)", name, strerror(error), plan->path);
}

int
exec_command(int argc, char **argv)
{
	static struct plan_read plan; /* large, and there is one */
	char error[SANDBOX_ERROR_BYTES];

	(void)argc;
	(void)argv;
	if (fcntl(PLAN_FD_PLAN, F_GETFD) < 0 || fcntl(PLAN_FD_ERROR, F_GETFD) < 0 || !plan_read(&plan, PLAN_FD_PLAN)) {
		fprintf(stderr, "passenger: `exec` is used by `passenger serve` alone\n");
		return 2;
	}
	if (!set_descriptors(plan.head->keeps_control != 0)) {
		fail("can not arrange descriptors: %s", strerror(errno));
		return 1;
	}
	set_signals();
	set_limits(plan.head);
	set_oom_score();
	umask(022);
	if (!sandbox_identity(plan.head->uid, plan.head->gid, plan.head->user, error)) {
		fail("can not become user %s: %s", plan.head->user[0] != '\0' ? plan.head->user : "of the application",
		     error);
		return 1;
	}
	if (!bind_to_parent(plan.head->parent)) {
		fail("the spawner is gone");
		return 1;
	}
	if (chdir(plan.root) != 0) {
		fail("can not enter the application's root %s as uid %u: %s", plan.root, plan.head->uid,
		     strerror(errno));
		return 1;
	}
	execute_by_path(&plan);
	return 1;
}
