#include "traffic/listener.h"

#include "base/log.h"
#include "traffic/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	LISTENER_ACCEPTS_A_TURN = 64,
	LISTENER_PAUSE_MS = 100, /* without descriptors */
	LISTENER_COMPLAIN_MS = 10000,
};

static void
listener_try_again(struct timer *timer)
{
	listener_resume(container_of(timer, struct listener, pause));
}

struct listener *
listener_open(struct traffic *traffic, enum listener_kind kind, int fd, const struct client_handler *handler)
{
	struct listener *listener = calloc(1, sizeof(*listener));
	if (listener == NULL)
		abort();
	listener->traffic = traffic;
	listener->kind = kind;
	listener->handler = handler;
	listener->watch.fd = fd;
	listener->pause.due = listener_try_again;
	list_append(&traffic->listeners, &listener->node);
	return listener;
}

struct peer_name {
	char text[INET6_ADDRSTRLEN];
	uint16_t port; /* 0: unix */
};

static void
peer_describe(struct peer_name *peer, const struct sockaddr_storage *address)
{
	peer->port = 0;
	str_cut_z(peer->text, sizeof(peer->text), STR("unix"));
	if (address->ss_family == AF_INET) {
		const struct sockaddr_in *inet = (const struct sockaddr_in *)(const void *)address;
		inet_ntop(AF_INET, &inet->sin_addr, peer->text, sizeof(peer->text));
		peer->port = ntohs(inet->sin_port);
	} else if (address->ss_family == AF_INET6) {
		const struct sockaddr_in6 *inet = (const struct sockaddr_in6 *)(const void *)address;
		inet_ntop(AF_INET6, &inet->sin6_addr, peer->text, sizeof(peer->text));
		peer->port = ntohs(inet->sin6_port);
	}
}

static bool
listener_admit(struct listener *listener, int fd, const struct sockaddr_storage *address)
{
	struct traffic *traffic = listener->traffic;
	struct peer_name peer;
	int one = 1;
	peer_describe(&peer, address);
	if (peer.port != 0)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	struct client *client = client_open(traffic, listener, fd, listener->handler, peer.text, peer.port);
	if (client != NULL)
		client_deadline(client, traffic->config->idle_timeout_ms);
	return client != NULL;
}

void
listener_take_over(struct listener *listener, int fd)
{
	struct sockaddr_storage address = {0};
	socklen_t len = sizeof(address);
	if (getpeername(fd, (struct sockaddr *)&address, &len) < 0)
		close(fd); /* it has gone on the way */
	else
		(void)listener_admit(listener, fd, &address);
}

/* Once in a while: it is tried again many times a second. */
static void
listener_complain(struct listener *listener, int error)
{
	uint64_t now = listener->traffic->loop->now_ms;
	if (listener->complained_ms != 0 && now - listener->complained_ms < LISTENER_COMPLAIN_MS)
		return;
	listener->complained_ms = now;
	log_warn("connections wait: %s (%u are open)", strerror(error), listener->traffic->clients.count);
}

static void
listener_ready(struct watch *watch, uint32_t events)
{
	struct listener *listener = container_of(watch, struct listener, watch);
	struct traffic *traffic = listener->traffic;
	(void)events;
	for (int i = 0; i < LISTENER_ACCEPTS_A_TURN; i++) {
		struct sockaddr_storage address = {0};
		socklen_t len = sizeof(address);
		int64_t limit = traffic->config->max_clients;
		if (limit > 0 && traffic->clients.count >= (uint64_t)limit) {
			listener_pause(listener);
			timer_set(traffic->loop, &listener->pause, LISTENER_PAUSE_MS);
			return;
		}
		int fd = accept4(watch->fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			if (!listener_admit(listener, fd, &address))
				continue;
			listener->accepted++;
			atomic_fetch_add_explicit(&traffic->scoreboard->connections, 1, memory_order_relaxed);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			/* The connection stays in the backlog; asking again at once would only spin. */
			listener_complain(listener, errno);
			listener_pause(listener);
			timer_set(traffic->loop, &listener->pause, LISTENER_PAUSE_MS);
		}
		return;
	}
}

void
listener_resume(struct listener *listener)
{
	if (listener->watch.ready != NULL || listener->watch.fd < 0)
		return;
	enum traffic_state state = listener->traffic->state;
	if (state == TRAFFIC_HANDING_OVER || (listener->kind == LISTENER_FRONT && state == TRAFFIC_DRAINING))
		return;
	if (!watch_add(listener->traffic->loop, &listener->watch, listener->watch.fd, EPOLLIN, listener_ready))
		log_error("a listener can not be watched: %s", strerror(errno));
}

void
listener_pause(struct listener *listener)
{
	watch_remove(listener->traffic->loop, &listener->watch);
}

void
listener_shut(struct listener *listener)
{
	int fd = listener->watch.fd;
	listener_pause(listener);
	timer_cancel(listener->traffic->loop, &listener->pause);
	listener->watch.fd = -1;
	if (fd >= 0)
		close(fd);
}

void
listener_finish(struct listener *listener)
{
	uint64_t before;
	do {
		before = listener->accepted;
		if (listener->watch.ready != NULL)
			listener_ready(&listener->watch, EPOLLIN);
	} while (listener->accepted != before);
	listener_shut(listener);
}

void
listener_close(struct listener *listener)
{
	struct traffic *traffic = listener->traffic;
	list_each (&traffic->clients, node) {
		struct client *client = container_of(node, struct client, node);
		if (client->listener != listener)
			continue;
		client->listener = NULL;
		if (client->request == NULL)
			client_close(client);
	}
	listener_shut(listener);
	list_remove(&listener->node);
	/* Events of this turn were taken out by watch_remove(). */
	free(listener);
}
