#include "worker/exec.h"

#include "config/app_type.h"
#include "system/sandbox.h"
#include "worker/exec_environment.h"

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
	if (len > 0 && write(PLAN_FD_ERROR, text, (size_t)len) < 0) {
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

static const char *
limit_name(int wanted)
{
	const char *name;
	int resource;

	for (size_t i = 0; (name = config_rlimit_name(i, &resource)) != NULL; i++)
		if (resource == wanted)
			return name;
	return "?";
}

/* While we may still raise them.  RLIMIT_NPROC counts from the change of user on. */
static bool
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
	for (uint32_t i = 0; i < plan->limit_count; i++) {
		const struct config_rlimit *wanted = &plan->limits[i];
		/* RLIM_INFINITY is UINT64_MAX */
		limit = (struct rlimit){.rlim_cur = wanted->soft, .rlim_max = wanted->hard};
		if (setrlimit(wanted->resource, &limit) != 0) {
			fail("can not set the limit %s (rlimits or app_file_descriptor_ulimit): %s",
			     limit_name(wanted->resource),
			     errno == EPERM ? "it is more than whoever started passenger may have" : strerror(errno));
			return false;
		}
	}
	return true;
}

/* Nothing but 0 1 2 (and 3 4 for a loader, 3 for who is passed a socket) for the application; a login shell also keeps the
 * plan, the error pipe and this program, by which it comes back to us. */
static bool
set_descriptors(uint32_t readiness, bool for_shell)
{
	unsigned first = readiness == APP_READY_CONTROL      ? PLAN_FD_CONTROL + 1
	                 : readiness == APP_READY_DESCRIPTOR ? PLAN_FD_LISTEN + 1
	                                                     : PLAN_FD_LISTEN;
	int last = PLAN_FD_ERROR;

	if (first <= PLAN_FD_CONTROL && syscall(SYS_close_range, first, PLAN_FD_CONTROL, 0) != 0)
		return false;
	if (for_shell) {
		int program = open("/proc/self/exe", O_PATH | O_CLOEXEC);
		if (program < 0 || (program != PLAN_FD_PROGRAM && dup2(program, PLAN_FD_PROGRAM) < 0))
			return false;
		last = PLAN_FD_PROGRAM;
	} else if (fcntl(PLAN_FD_PLAN, F_SETFD, FD_CLOEXEC) != 0 || fcntl(PLAN_FD_ERROR, F_SETFD, FD_CLOEXEC) != 0) {
		return false;
	}
	/* it is open still where it happened to get its right number at once */
	return syscall(SYS_close_range, last + 1, ~0U, 0) == 0 &&
	       (!for_shell || fcntl(PLAN_FD_PROGRAM, F_SETFD, 0) == 0);
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

/* --- the arguments ----------------------------------------------------------------- */

/* The words of a command with the values of the variables that it names. */
static bool
set_arguments(struct plan_read *plan, const char *const *variables)
{
	for (uint32_t i = 0; i < plan->head->argument_count; i++) {
		struct str rest = str_from(plan->arguments[i]), text, name;
		struct buf word = {0};
		if (str_find(rest, APP_REFERENCE_BEGIN) < 0)
			continue;
		while (app_reference_next(&rest, &text, &name)) {
			const char *value = name.len > 0 ? exec_environment_value(variables, name) : NULL;
			if (name.len > 0 && value == NULL) {
				fail("the command has $%.*s in it, and there is no such variable for it", STR_ARG(name));
				return false;
			}
			buf_append_str(&word, value != NULL ? str_from(value) : text);
		}
		buf_append_char(&word, '\0');
		plan->arguments[i] = word.data; /* until the program takes our place */
	}
	return true;
}

/* Of systemd's protocol, sd_listen_fds(3), what only the process itself can say. */
static void
set_listen_pid(struct plan_read *plan)
{
	static char text[32];

	str_format(text, sizeof(text), "LISTEN_PID=%d", (int)getpid());
	for (uint32_t i = 0; i < plan->head->variable_count; i++)
		if (strcmp(plan->variables[i], "LISTEN_PID=") == 0)
			plan->variables[i] = text;
}

/* As execvp() does it: a file that is no program the kernel knows is a script for the shell. */
static void
execute(const char *file, const struct plan_read *plan, const char *const *variables)
{
	const char *script[PLAN_WORDS_MAX + 2];

	execve(file, without_const(plan->arguments), without_const(variables));
	if (errno != ENOEXEC)
		return;
	script[0] = "/bin/sh";
	script[1] = file;
	for (size_t i = 1; i <= plan->head->argument_count; i++)
		script[i + 1] = plan->arguments[i];
	execve("/bin/sh", without_const(script), without_const(variables));
}

static const char *
reason(int error)
{
	return error == EAGAIN ? "rlimits (nproc) allows no more processes" : strerror(error);
}

static void
execute_by_path(const struct plan_read *plan, const char *const *variables)
{
	const char *name = plan->arguments[0], *path = exec_environment_value(variables, STR("PATH"));
	struct str rest = str_from(path != NULL ? path : ""), folder;
	char file[4096];
	int error = ENOENT;

	if (strchr(name, '/') != NULL) {
		execute(name, plan, variables);
		fail("can not execute '%s' in %s: %s", name, plan->root, reason(errno));
		return;
	}
	while (str_split(&rest, ':', &folder)) {
		/* an empty entry means the current directory, for others: not for us */
		if (folder.len == 0 || !str_format(file, sizeof(file), "%.*s/%s", STR_ARG(folder), name))
			continue;
		execute(file, plan, variables);
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
	fail("can not execute '%s': %s (looked in PATH=%s)", name, reason(error), path != NULL ? path : "");
}

/* The shell reads its start files and becomes `passenger exec after-shell`. */
static void
execute_shell(const struct plan_read *plan, const char *const *variables)
{
	char command[64];
	const char *const arguments[] = {plan->shell, "-l", "-c", command, NULL};

	str_format(command, sizeof(command), "exec /proc/self/fd/%d exec after-shell", PLAN_FD_PROGRAM);
	execve(plan->shell, without_const(arguments), without_const(variables));
	fail("can not execute the login shell %s (load_shell_envvars is on): %s", plan->shell, strerror(errno));
}

/* All rights that the application shall not have are given away. */
static bool
become_application(const struct plan_read *plan)
{
	char error[SANDBOX_ERROR_BYTES];

	if (!set_descriptors(plan->head->readiness, plan->shell[0] != '\0')) {
		fail("can not arrange descriptors: %s", strerror(errno));
		return false;
	}
	set_signals();
	if (!set_limits(plan->head))
		return false;
	set_oom_score();
	umask(022);
	const char *closed = cgroup_enter(&plan->head->cgroups);
	if (closed != NULL) {
		fail("can not enter its cgroup by %s: %s", closed, strerror(errno));
		return false;
	}
	if (!sandbox_identity(plan->head->uid, plan->head->gid, plan->head->user, error)) {
		fail("can not become user %s: %s",
		     plan->head->user[0] != '\0' ? plan->head->user : "of the application", error);
		return false;
	}
	if (!bind_to_parent(plan->head->parent)) {
		fail("the spawner is gone");
		return false;
	}
	if (chdir(plan->root) == 0)
		return true;
	fail("can not enter the application's root %s as uid %u: %s", plan->root, plan->head->uid, strerror(errno));
	return false;
}

/* Back from the login shell: it may have gone elsewhere, and its own descriptors are none of the application's. */
static bool
come_back(const struct plan_read *plan)
{
	if (set_descriptors(plan->head->readiness, false) && chdir(plan->root) == 0)
		return true;
	fail("can not go on after the login shell: %s", strerror(errno));
	return false;
}

int
exec_command(int argc, char **argv)
{
	static struct plan_read plan; /* large, and there is one */
	char error[PLAN_ERROR_BYTES];
	bool after_shell = argc > 1 && strcmp(argv[1], "after-shell") == 0;

	if (fcntl(PLAN_FD_PLAN, F_GETFD) < 0 || fcntl(PLAN_FD_ERROR, F_GETFD) < 0 || !plan_read(&plan, PLAN_FD_PLAN)) {
		fprintf(stderr, "passenger: `exec` is used by `passenger serve` alone\n");
		return 2;
	}
	set_listen_pid(&plan);
	if (!(after_shell ? come_back : become_application)(&plan))
		return 1;
	const char **variables = exec_environment(&plan, after_shell ? environ : NULL, error);
	if (variables == NULL)
		fail("%s", error);
	else if (plan.shell[0] != '\0' && !after_shell)
		execute_shell(&plan, variables);
	else if (set_arguments(&plan, variables))
		execute_by_path(&plan, variables);
	return 1;
}
