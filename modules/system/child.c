#include "system/child.h"

#include "system/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Above every number that a child is given, so that no dup2 overwrites a source. */
enum { HIGH_FD = 16, ADOPTED_MAX = 1024 };

void
children_init(struct children *children)
{
	list_init(&children->list);
	children->orphans = 0;
}

bool
children_adopt(void)
{
	return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0;
}

/* Copies of the sources at high numbers. */
static bool
fds_raise(const struct child_fd *fds, size_t fd_count, int *high)
{
	for (size_t i = 0; i < fd_count; i++) {
		high[i] = fcntl(fds[i].from, F_DUPFD_CLOEXEC, HIGH_FD);
		if (high[i] < 0) {
			int saved = errno;
			while (i-- > 0)
				close(high[i]);
			errno = saved;
			return false;
		}
	}
	return true;
}

static int
spawn(pid_t *pid, const char *program, const char *const *argv, const char *const *envp, const struct child_fd *fds,
      const int *high, size_t fd_count)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	char *const *spawn_argv, *const *spawn_envp;
	int error;

	/* posix_spawn's prototype has no const for reasons of history; it changes nothing */
	memcpy(&spawn_argv, &argv, sizeof(argv));
	memcpy(&spawn_envp, &envp, sizeof(envp));
	sigemptyset(&none);
	sigfillset(&all);
	if ((error = posix_spawn_file_actions_init(&actions)) != 0)
		return error;
	if ((error = posix_spawnattr_init(&attributes)) != 0) {
		posix_spawn_file_actions_destroy(&actions);
		return error;
	}
	for (size_t i = 0; i < fd_count && error == 0; i++)
		error = posix_spawn_file_actions_adddup2(&actions, high[i], fds[i].to);
	if (error == 0)
		error = posix_spawnattr_setsigmask(&attributes, &none);
	if (error == 0)
		error = posix_spawnattr_setsigdefault(&attributes, &all);
	if (error == 0)
		error = posix_spawnattr_setflags(&attributes,
		                                 POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
	if (error == 0)
		error = posix_spawn(pid, program, &actions, &attributes, spawn_argv, spawn_envp);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return error;
}

static struct child *
child_by_pid(const struct children *children, pid_t pid)
{
	list_each (&children->list, node) {
		struct child *child = container_of(node, struct child, node);
		if (child->pid == pid)
			return child;
	}
	return NULL;
}

static bool
child_take(struct children *children, struct child *child, pid_t pid)
{
	child->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (child->pidfd < 0)
		return false;
	fcntl(child->pidfd, F_SETFD, FD_CLOEXEC);
	child->pid = pid;
	list_append(&children->list, &child->node);
	return true;
}

bool
child_start_program(struct children *children, struct child *child, const char *program, const char *const *argv,
                    const char *const *envp, const struct child_fd *fds, size_t fd_count)
{
	int high[CHILD_FDS_MAX] = {0};
	pid_t pid = 0;

	assert(fd_count <= CHILD_FDS_MAX && child->pid == 0);
	if (!fds_raise(fds, fd_count, high))
		return false;
	int error = spawn(&pid, program, argv, envp, fds, high, fd_count);
	for (size_t i = 0; i < fd_count; i++)
		close(high[i]);
	if (error != 0) {
		errno = error;
		return false;
	}
	if (!child_take(children, child, pid)) {
		int saved = errno;
		kill(pid, SIGKILL); /* not reaped yet, so the number is still its own */
		waitpid(pid, NULL, 0);
		errno = saved;
		return false;
	}
	return true;
}

bool
child_start(struct children *children, struct child *child, const char *const *argv, const char *const *envp,
            const struct child_fd *fds, size_t fd_count)
{
	return child_start_program(children, child, "/proc/self/exe", argv, envp, fds, fd_count);
}

bool
child_restore(struct children *children, struct child *child, int32_t pid)
{
	struct procfs_stat stat;

	child->pid = 0;
	if (pid <= 0 || child_by_pid(children, pid) != NULL || !procfs_stat(pid, &stat) || stat.parent != getpid()) {
		errno = ESRCH;
		return false;
	}
	return child_take(children, child, pid);
}

bool
child_adopt(struct children *children, struct child *child, int32_t pid)
{
	struct procfs_stat stat;

	assert(child->pid == 0);
	/* it stays the same process while we look: only we could reap it */
	if (pid <= 0 || child_by_pid(children, pid) != NULL || !procfs_stat(pid, &stat) || stat.parent != getpid() ||
	    stat.session != pid || stat.group != pid) {
		errno = ESRCH;
		return false;
	}
	return child_take(children, child, pid);
}

void
child_signal(const struct child *child, int number)
{
	if (child->pid != 0)
		syscall(SYS_pidfd_send_signal, child->pidfd, number, NULL, 0);
}

void
child_signal_group(const struct child *child, int number)
{
	if (child->pid == 0)
		return;
	/* its session and group have its number from before its first instruction */
	if (kill(-child->pid, number) != 0)
		child_signal(child, number);
}

static void
child_reap(struct child *child)
{
	siginfo_t info = {0};

	/* the dead leader still holds the number of its group: nobody else can be hit */
	kill(-child->pid, SIGKILL);
	if (waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0)
		return;
	struct child_end end = {
		.by_signal = info.si_code != CLD_EXITED,
		.dumped = info.si_code == CLD_DUMPED,
		.number = info.si_status,
	};
	list_remove(&child->node);
	close(child->pidfd);
	child->pidfd = -1;
	child->pid = 0;
	child->ended(child, &end);
}

void
children_reap(struct children *children)
{
	for (;;) {
		siginfo_t info = {0};
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0)
			return;
		struct child *child = child_by_pid(children, info.si_pid);
		if (child != NULL) {
			child_reap(child);
		} else {
			children->orphans++;
			waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG);
		}
	}
}

size_t
children_kill_all(void)
{
	int32_t pids[ADOPTED_MAX];
	size_t count = procfs_children(getpid(), pids, array_count(pids));

	/* our children's numbers are their own until we reap them */
	for (size_t i = 0; i < count; i++)
		kill(pids[i], SIGKILL);
	return count;
}

void
child_end_text(const struct child_end *end, char out[CHILD_END_BYTES])
{
	if (!end->by_signal)
		str_format(out, CHILD_END_BYTES, "exited with status %d", end->number);
	else
		str_format(out, CHILD_END_BYTES, "killed by signal %d (%s)%s", end->number, strsignal(end->number),
		           end->dumped ? ", core dumped" : "");
}
