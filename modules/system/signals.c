#include "system/signals.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void
signals_ready(struct watch *watch, uint32_t events)
{
	struct signals *signals = container_of(watch, struct signals, watch);
	struct signalfd_siginfo info[16];

	(void)events;
	ssize_t len = read(watch->fd, info, sizeof(info));
	for (size_t i = 0; len > 0 && i < (size_t)len / sizeof(info[0]); i++)
		signals->received(signals, (int)info[i].ssi_signo, (int32_t)info[i].ssi_pid);
}

bool
signals_open(struct signals *signals, struct loop *loop, const int *numbers, size_t count)
{
	struct sigaction standard = {.sa_handler = SIG_DFL}, ignore = {.sa_handler = SIG_IGN};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < count; i++) {
		/* an ignored SIGCHLD, inherited, would reap our children behind our back */
		sigaction(numbers[i], &standard, NULL);
		sigaddset(&set, numbers[i]);
	}
	sigaction(SIGPIPE, &ignore, NULL);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return false;
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return false;
	if (!watch_add(loop, &signals->watch, fd, EPOLLIN, signals_ready)) {
		close(fd);
		return false;
	}
	return true;
}

void
signals_close(struct signals *signals, struct loop *loop)
{
	int fd = signals->watch.fd;

	if (signals->watch.ready == NULL)
		return;
	watch_remove(loop, &signals->watch);
	close(fd);
}
