#include "traffic/client.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	CLIENT_LINGER_MS = 2000,
	CLIENT_LINGER_BYTES = 256 * 1024, /* a turn's worth of what is dropped */
	CLIENT_WRITE_BYTES = 256 * 1024,  /* written in one turn, so that one fast reader does not hold the loop */
	CLIENT_OUT_MEMORY = 128 * 1024,
};

static void client_ready(struct watch *watch, uint32_t events);
static void client_timed_out(struct timer *timer);
static void client_input_soon(struct soon *soon);

struct client *
client_open(struct traffic *traffic, struct listener *listener, int fd, const struct client_handler *handler,
            const char *peer, uint16_t peer_port)
{
	struct client *client = calloc(1, sizeof(*client));
	if (client == NULL)
		abort();
	client->traffic = traffic;
	client->listener = listener;
	client->handler = handler;
	client->peer_port = peer_port;
	str_cut_z(client->peer, sizeof(client->peer), str_from(peer));
	if (peer_port != 0)
		str_format(client->label, sizeof(client->label), "%s:%u", peer, peer_port);
	else
		str_cut_z(client->label, sizeof(client->label), str_from(peer));
	client->timer.due = client_timed_out;
	client->again.run = client_input_soon;
	spool_init(&client->out, CLIENT_OUT_MEMORY, traffic->spool_dir);
	if (!watch_add(traffic->loop, &client->watch, fd, EPOLLIN, client_ready)) {
		close(fd);
		free(client);
		return NULL;
	}
	list_append(&traffic->clients, &client->node);
	atomic_store_explicit(&traffic->scoreboard->clients, traffic->clients.count, memory_order_relaxed);
	return client;
}

static void
client_bury(struct grave *grave)
{
	struct client *client = container_of(grave, struct client, grave);
	buf_free(&client->in);
	free(client);
}

static void
client_die(struct client *client)
{
	struct traffic *traffic = client->traffic;
	if (client->state == CLIENT_DEAD)
		return;
	client->state = CLIENT_DEAD;
	timer_cancel(traffic->loop, &client->timer);
	loop_soon_cancel(&client->again);
	watch_remove(traffic->loop, &client->watch);
	close(client->watch.fd);
	spool_free(&client->out);
	list_remove(&client->node);
	atomic_store_explicit(&traffic->scoreboard->clients, traffic->clients.count, memory_order_relaxed);
	client->grave.bury = client_bury;
	loop_bury(traffic->loop, &client->grave);
}

/* Which events matter follows from the states alone. */
static void
client_watch(struct client *client)
{
	uint32_t events = 0;
	if (client->state == CLIENT_DEAD)
		return;
	if (client->input == CLIENT_INPUT_OPEN)
		events |= EPOLLIN;
	if (client_pending(client) > 0)
		events |= EPOLLOUT;
	watch_change(client->traffic->loop, &client->watch, events);
}

static void
client_lost(struct client *client)
{
	if (client->state == CLIENT_DEAD)
		return;
	if (client->state == CLIENT_OPEN || client->state == CLIENT_CLOSING)
		client->handler->gone(client);
	client_die(client);
}

/* ---- in ---- */

static void
client_keep(struct client *client, const char *data, size_t len)
{
	if (client->state != CLIENT_OPEN)
		return;
	buf_append(&client->in, data, len);
	if (client->in.len >= CLIENT_INPUT_MAX && client->input == CLIENT_INPUT_OPEN)
		client->input = CLIENT_INPUT_PAUSED;
}

static void
client_show(struct client *client)
{
	size_t used = client->handler->input(client, client->in.data, client->in.len);
	if (client->state == CLIENT_DEAD)
		return;
	buf_consume(&client->in, used);
	if (client->in.len == 0)
		buf_free(&client->in);
	else if (used > 0)
		client_input_again(client); /* the next request may be complete already */
	if (client->in.len < CLIENT_INPUT_MAX && client->input == CLIENT_INPUT_PAUSED)
		client->input = CLIENT_INPUT_OPEN;
}

static void
client_read(struct client *client)
{
	struct traffic *traffic = client->traffic;
	ssize_t got = read(client->watch.fd, traffic->scratch, sizeof(traffic->scratch));
	if (got < 0) {
		if (errno != EAGAIN && errno != EINTR)
			client_lost(client);
		return;
	}
	if (got == 0) {
		client->input = CLIENT_INPUT_ENDED;
		client->handler->input_ended(client);
		client_watch(client);
		return;
	}
	if (client->in.len > 0) {
		client_keep(client, traffic->scratch, (size_t)got);
		client_show(client);
	} else {
		size_t used = client->handler->input(client, traffic->scratch, (size_t)got);
		if (used < (size_t)got) {
			client_keep(client, traffic->scratch + used, (size_t)got - used);
			if (used > 0)
				client_input_again(client);
		}
	}
	client_watch(client);
}

static void
client_input_soon(struct soon *soon)
{
	struct client *client = container_of(soon, struct client, again);
	if (client->state != CLIENT_OPEN)
		return;
	if (client->in.len > 0)
		client_show(client);
	client_watch(client);
}

void
client_input_again(struct client *client)
{
	if (client->state == CLIENT_OPEN)
		loop_soon(client->traffic->loop, &client->again);
}

void
client_pause(struct client *client)
{
	if (client->input == CLIENT_INPUT_OPEN)
		client->input = CLIENT_INPUT_PAUSED;
	client_watch(client);
}

void
client_resume(struct client *client)
{
	if (client->state == CLIENT_OPEN && client->input == CLIENT_INPUT_PAUSED) {
		client->input = CLIENT_INPUT_OPEN;
		client_input_again(client);
	}
}

/* The last bytes of a peer that we have said our last word to: unread, they would make the kernel send a reset that
 * overtakes our answer (RFC 9112 section 9.6). */
static void
client_drop_input(struct client *client)
{
	size_t dropped = 0;
	while (dropped < CLIENT_LINGER_BYTES) {
		ssize_t got = read(client->watch.fd, client->traffic->scratch, sizeof(client->traffic->scratch));
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (got <= 0) {
			client_die(client);
			return;
		}
		dropped += (size_t)got;
	}
}

/* ---- out ---- */

static void
client_flushed(struct client *client)
{
	if (client->state != CLIENT_CLOSING || client_pending(client) > 0)
		return;
	if (client->input == CLIENT_INPUT_ENDED || shutdown(client->watch.fd, SHUT_WR) < 0) {
		client_die(client);
		return;
	}
	client->state = CLIENT_LINGERING;
	client->input = CLIENT_INPUT_OPEN;
	client_deadline(client, CLIENT_LINGER_MS);
}

static void
client_flush(struct client *client)
{
	size_t budget = CLIENT_WRITE_BYTES;
	while (client_pending(client) > 0 && budget > 0) {
		ssize_t wrote = spool_send(&client->out, client->watch.fd, budget);
		if (wrote < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (wrote < 0) { /* the connection, or the file */
			client_abort(client);
			return;
		}
		budget -= (size_t)wrote < budget ? (size_t)wrote : budget;
	}
	if (client->state == CLIENT_OPEN || client->state == CLIENT_CLOSING)
		client->handler->drained(client);
	client_flushed(client);
	client_watch(client);
}

static void
client_spool(struct client *client, const struct iovec *pieces, int count)
{
	for (int i = 0; i < count; i++)
		spool_keep(&client->out, pieces[i].iov_base, pieces[i].iov_len);
}

bool
client_is_full(const struct client *client, uint64_t high_bytes)
{
	return client_pending(client) > high_bytes || spool_is_stuck(&client->out);
}

bool
client_has_room(const struct client *client, uint64_t high_bytes)
{
	return client_pending(client) <= high_bytes / 2 && !spool_is_stuck(&client->out);
}

/* Takes `done` bytes off the front of the pieces; the first one that is left. */
static int
pieces_skip(struct iovec *pieces, int count, size_t done)
{
	int first = 0;
	while (first < count && done >= pieces[first].iov_len)
		done -= pieces[first++].iov_len;
	if (first < count) {
		pieces[first].iov_base = (char *)pieces[first].iov_base + done;
		pieces[first].iov_len -= done;
	}
	return first;
}

bool
client_write(struct client *client, struct iovec *pieces, int count)
{
	int first = 0;
	if (client->state != CLIENT_OPEN)
		return false;
	if (client_pending(client) == 0) {
		struct msghdr message = {.msg_iov = pieces, .msg_iovlen = (size_t)count};
		ssize_t wrote = sendmsg(client->watch.fd, &message, MSG_NOSIGNAL);
		/* A broken connection shows itself to the watch, where nobody is in the middle of something. */
		if (wrote < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		first = pieces_skip(pieces, count, wrote > 0 ? (size_t)wrote : 0);
		if (first == count)
			return true;
	}
	client_spool(client, pieces + first, count - first);
	client_watch(client);
	return true;
}

void
client_lend(struct client *client, int fd, uint64_t from, uint64_t to)
{
	spool_lend(&client->out, fd, from, to);
	client_watch(client);
}

/* ---- events ---- */

static void
client_ready(struct watch *watch, uint32_t events)
{
	struct client *client = container_of(watch, struct client, watch);
	if (client->state == CLIENT_LINGERING) {
		client_drop_input(client);
		return;
	}
	if (events & EPOLLOUT)
		client_flush(client);
	/* A hang-up means that both directions are gone: nobody will read an answer. */
	if (events & (EPOLLERR | EPOLLHUP)) {
		client_lost(client);
		return;
	}
	if ((events & EPOLLIN) && client->state == CLIENT_OPEN && client->input == CLIENT_INPUT_OPEN)
		client_read(client);
}

static void
client_timed_out(struct timer *timer)
{
	struct client *client = container_of(timer, struct client, timer);
	if (client->state == CLIENT_OPEN || client->state == CLIENT_CLOSING)
		client->handler->timeout(client);
	else
		client_die(client);
}

void
client_deadline(struct client *client, uint64_t after_ms)
{
	if (client->state == CLIENT_DEAD)
		return;
	if (after_ms > 0)
		timer_set(client->traffic->loop, &client->timer, after_ms);
	else
		timer_cancel(client->traffic->loop, &client->timer);
}

void
client_close(struct client *client)
{
	if (client->state != CLIENT_OPEN)
		return;
	client->state = CLIENT_CLOSING;
	if (client->input == CLIENT_INPUT_OPEN)
		client->input = CLIENT_INPUT_PAUSED;
	client_flushed(client);
	client_watch(client);
}

int
client_leave(struct client *client)
{
	if (client->state != CLIENT_OPEN || client->input != CLIENT_INPUT_OPEN || client->request != NULL ||
	    client->in.len > 0 || client_pending(client) > 0)
		return -1;
	int fd = fcntl(client->watch.fd, F_DUPFD_CLOEXEC, 3);
	if (fd >= 0)
		client_die(client);
	return fd;
}

void
client_abort(struct client *client)
{
	if (client->state == CLIENT_DEAD)
		return;
	if (client->state == CLIENT_OPEN || client->state == CLIENT_CLOSING)
		client->handler->gone(client);
	if (client->peer_port != 0) {
		struct linger reset = {.l_onoff = 1, .l_linger = 0};
		setsockopt(client->watch.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	}
	client_die(client);
}
