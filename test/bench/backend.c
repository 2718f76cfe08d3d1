/*
 * A backend that costs nothing: one thread, epoll, 12 octets to every request,
 * keep-alive.  It listens on 127.0.0.1:$PORT, or on the unix socket that is
 * its argument, and looks at nothing but the end of a head.
 */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { DESCRIPTORS_MAX = 4096, READ_BYTES = 16384, EVENTS_MAX = 64, BACKLOG = 1024 };

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nHello world\n";

/* How many octets of "\r\n\r\n" each connection has seen at the end of what it read. */
static uint8_t matched[DESCRIPTORS_MAX];

static int
listen_unix(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(address.sun_path))
		return -1;
	memcpy(address.sun_path, path, strlen(path));
	unlink(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, BACKLOG))
		return -1;
	return fd;
}

static int
listen_port(const char *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};
	int on = 1;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, BACKLOG))
		return -1;
	return fd;
}

static unsigned
heads_in(const char *data, size_t len, uint8_t *state)
{
	static const char end[] = "\r\n\r\n";
	unsigned heads = 0;
	for (size_t i = 0; i < len; i++) {
		if (data[i] == end[*state])
			(*state)++;
		else
			*state = data[i] == '\r';
		if (*state == 4) {
			heads++;
			*state = 0;
		}
	}
	return heads;
}

static void
serve(int fd)
{
	char data[READ_BYTES];
	ssize_t got = read(fd, data, sizeof(data));
	if (got <= 0) {
		close(fd);
		return;
	}
	for (unsigned heads = heads_in(data, (size_t)got, &matched[fd]); heads > 0; heads--) {
		if (write(fd, answer, sizeof(answer) - 1) != (ssize_t)sizeof(answer) - 1) {
			close(fd);
			return;
		}
	}
}

static void
take(int poll, int listener)
{
	int fd;
	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
		if (fd >= DESCRIPTORS_MAX || epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event)) {
			close(fd);
			continue;
		}
		matched[fd] = 0;
	}
}

int
main(int argc, char **argv)
{
	const char *port = getenv("PORT");
	int listener = argc > 1 ? listen_unix(argv[1]) : port ? listen_port(port) : -1;
	int poll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event events[EVENTS_MAX] = {{.events = EPOLLIN, .data.fd = listener}};
	if (listener < 0 || poll < 0 || epoll_ctl(poll, EPOLL_CTL_ADD, listener, &events[0])) {
		perror("backend");
		return 1;
	}
	for (;;) {
		int count = epoll_wait(poll, events, EVENTS_MAX, -1);
		for (int i = 0; i < count; i++) {
			if (events[i].data.fd == listener)
				take(poll, listener);
			else
				serve(events[i].data.fd);
		}
	}
}
