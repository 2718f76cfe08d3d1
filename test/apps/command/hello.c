/*
 * The smallest useful program for `type = command`: one process, one thread, blocking, HTTP/1.1
 * with keep-alive, "hello from PID" to everything, on $PORT or on a descriptor that it is passed.  It shows that no language is special.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 64, HEAD_BYTES_MAX = 65536 };

struct connection {
	char head[HEAD_BYTES_MAX];
	size_t len;
};

static struct pollfd polled[1 + CONNECTIONS_MAX];
static struct connection connections[1 + CONNECTIONS_MAX];

static int
listen_on(const char *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, CONNECTIONS_MAX)) {
		perror("hello: listen");
		exit(1);
	}
	return fd;
}

/* As sd_listen_fds(3): the first of the descriptors that we were passed. */
static int
passed_descriptor(void)
{
	const char *count = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID"), *names = getenv("LISTEN_FDNAMES");
	if (!count || !pid || atoi(pid) != (int)getpid() || strcmp(count, "1") != 0 || !names)
		return -1;
	return 3;
}

/* False when the connection is over. */
static int
answer(int fd, struct connection *connection)
{
	ssize_t got = read(fd, connection->head + connection->len, HEAD_BYTES_MAX - 1 - connection->len);
	if (got <= 0)
		return 0;
	connection->len += (size_t)got;
	connection->head[connection->len] = 0;
	if (!strstr(connection->head, "\r\n\r\n"))
		return connection->len < HEAD_BYTES_MAX - 1;
	connection->len = 0;
	char body[64], text[256];
	int body_len = snprintf(body, sizeof(body), "hello from %d\n", (int)getpid());
	int len = snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", body_len, body);
	return write(fd, text, (size_t)len) == len;
}

static void
take(int listener)
{
	int fd = accept(listener, NULL, NULL);
	for (size_t i = 1; i <= CONNECTIONS_MAX && fd >= 0; i++) {
		if (polled[i].fd < 0) {
			polled[i].fd = fd;
			polled[i].events = POLLIN;
			connections[i].len = 0;
			return;
		}
	}
	if (fd >= 0)
		close(fd);
}

int
main(void)
{
	const char *port = getenv("PORT");
	int passed = passed_descriptor();
	if (passed < 0 && !port) {
		fputs("hello: neither PORT nor LISTEN_FDS is set for it\n", stderr);
		return 1;
	}
	polled[0].fd = passed < 0 ? listen_on(port) : passed;
	polled[0].events = POLLIN;
	for (size_t i = 1; i <= CONNECTIONS_MAX; i++)
		polled[i].fd = -1;
	for (;;) {
		if (poll(polled, 1 + CONNECTIONS_MAX, -1) < 0)
			continue;
		for (size_t i = 1; i <= CONNECTIONS_MAX; i++) {
			if (polled[i].fd >= 0 && polled[i].revents && !answer(polled[i].fd, &connections[i])) {
				close(polled[i].fd);
				polled[i].fd = -1;
			}
		}
		if (polled[0].revents)
			take(polled[0].fd);
	}
}
