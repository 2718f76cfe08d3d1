#include "spawner/notify.h"

#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { NOTIFY_BYTES_MAX = 1024 };

static void
watchdog_due(struct timer *timer)
{
	struct notify *notify = container_of(timer, struct notify, watchdog);

	notify_send(notify, "WATCHDOG=1");
	timer_set(notify->loop, timer, notify->watchdog_ms);
}

static void
watchdog_begin(struct notify *notify)
{
	notify->watchdog.due = watchdog_due;
	if (notify->watchdog_ms > 0)
		timer_set(notify->loop, &notify->watchdog, notify->watchdog_ms);
}

static void
watchdog_start(struct notify *notify)
{
	const char *usec_text = getenv("WATCHDOG_USEC"), *pid_text = getenv("WATCHDOG_PID");
	uint64_t usec, pid;

	if (usec_text == NULL || !str_to_u64(str_from(usec_text), &usec) || usec < 2000)
		return;
	if (pid_text != NULL && (!str_to_u64(str_from(pid_text), &pid) || pid != (uint64_t)getpid()))
		return;
	notify->watchdog_ms = usec / 2000;
	watchdog_begin(notify);
}

static int
connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t len = strlen(path);

	/* "@name" is an abstract socket: its first byte is NUL */
	if ((path[0] != '/' && path[0] != '@') || len >= sizeof(address.sun_path)) {
		errno = EINVAL;
		return -1;
	}
	memcpy(address.sun_path, path, len);
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, (const struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) !=
	    0) {
		int saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

void
notify_open(struct notify *notify, struct loop *loop)
{
	const char *path = getenv("NOTIFY_SOCKET");

	*notify = (struct notify){.fd = -1, .loop = loop};
	if (path != NULL && path[0] != '\0') {
		notify->fd = connect_to(path);
		if (notify->fd < 0)
			log_warn("NOTIFY_SOCKET=%s: %s; the service manager is not told that we are ready", path,
			         strerror(errno));
		else
			watchdog_start(notify);
	}
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

void
notify_restore(struct notify *notify, struct loop *loop)
{
	notify->loop = loop;
	watchdog_begin(notify);
}

void
notify_send(struct notify *notify, const char *format, ...)
{
	char text[NOTIFY_BYTES_MAX];
	va_list arguments;

	if (notify->fd < 0)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (send(notify->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("the service manager was not told: %s", strerror(errno));
}

void
notify_close(struct notify *notify)
{
	timer_cancel(notify->loop, &notify->watchdog);
	if (notify->fd >= 0)
		close(notify->fd);
	notify->fd = -1;
}
