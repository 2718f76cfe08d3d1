#include "balancer/leave.h"

#include "base/log.h"
#include "traffic/access_log.h"

#include <unistd.h>

enum {
	LEAVE_IDLE_MS = 1000,    /* idle clients get so long for one more request when it drains */
	LEAVE_HAND_OVER_MS = 20, /* between two looks whether clients are idle */
};

/* Of one that hands over. */
void
leave_add_figures(struct balancer *balancer)
{
	struct scoreboard *own = balancer->scoreboard, *shared = balancer->shared;
	if (own == shared)
		return;
	pool_add_figures(&balancer->pool);
	atomic_fetch_add(&shared->requests, atomic_exchange(&own->requests, 0));
	atomic_fetch_add(&shared->connections, atomic_exchange(&own->connections, 0));
}

static void
leave_now(struct balancer *balancer)
{
	struct message message;
	if (balancer->state != BALANCER_DRAINING && balancer->state != BALANCER_HANDING_OVER)
		return;
	leave_add_figures(balancer);
	message_init(&message, MESSAGE_DRAINED);
	core_send(balancer, &message);
	access_log_flush(&balancer->traffic);
	channel_flush(&balancer->channel);
	core_end(balancer, 0);
}

/* ---- handing over ---- */

/* Between two requests: it goes to the balancer that serves, and does not notice. */
static void
leave_give_client(struct client *client)
{
	struct balancer *balancer = container_of(client->traffic, struct balancer, traffic);
	const struct listener *listener = client->listener;
	struct message message;
	message_init(&message, MESSAGE_CLIENT);
	if (listener == NULL)
		return;
	if (listener->kind == LISTENER_FRONT) {
		message_set_text(&message, str_from(listener->config->address_text));
	} else {
		message.slot = listener->process->record.slot;
		message.serial = listener->process->record.serial;
	}
	int fd = client_leave(client);
	if (fd < 0)
		return;
	if (!channel_send(&balancer->channel, &message, &fd, 1))
		log_error("a client could not be handed over");
	close(fd);
}

static void
leave_end_tunnels(struct balancer *balancer)
{
	list_each (&balancer->traffic.clients, node) {
		struct client *client = container_of(node, struct client, node);
		if (client->request != NULL && client->request->state == REQUEST_TUNNEL)
			tunnel_end(client->request);
	}
}

static void
leave_step(struct balancer *balancer)
{
	struct traffic *traffic = &balancer->traffic;
	bool over = balancer->loop.now_ms >= balancer->ends_ms;
	if (over)
		leave_end_tunnels(balancer);
	list_each (&traffic->clients, node)
		leave_give_client(container_of(node, struct client, node));
	list_each (&traffic->listeners, node) {
		struct listener *listener = container_of(node, struct listener, node);
		if (listener->kind == LISTENER_DOOR)
			backend_close_idle(listener->process);
	}
	if (over || (traffic->requests == 0 && traffic->clients.count == 0 && balancer->channel.queue.count == 0))
		leave_now(balancer);
	else
		timer_set(&balancer->loop, &balancer->drain, LEAVE_HAND_OVER_MS);
}

void
leave_to_another(struct balancer *balancer, uint64_t within_ms)
{
	struct traffic *traffic = &balancer->traffic;
	if (balancer->state != BALANCER_SERVING)
		return;
	balancer->state = BALANCER_HANDING_OVER;
	balancer->ends_ms = balancer->loop.now_ms + within_ms;
	traffic->state = TRAFFIC_HANDING_OVER;
	traffic->idle = leave_give_client;
	/* an address that a reload takes away is to be free; doors are the other one's, too */
	list_each (&traffic->listeners, node) {
		struct listener *listener = container_of(node, struct listener, node);
		if (listener->kind == LISTENER_FRONT)
			listener_shut(listener);
		else
			listener_pause(listener);
	}
	balancer->scoreboard = traffic->scoreboard = scoreboard_private();
	pool_hand_over(&balancer->pool, balancer->scoreboard);
	leave_step(balancer);
}

/* Idle clients have had their chance for one more request; from here on only what runs is waited for. */
void
leave_due(struct timer *timer)
{
	struct balancer *balancer = container_of(timer, struct balancer, drain);
	if (balancer->state == BALANCER_HANDING_OVER) {
		leave_step(balancer);
		return;
	}
	list_each (&balancer->traffic.clients, node) {
		struct client *client = container_of(node, struct client, node);
		if (client->request == NULL)
			client_close(client);
	}
	pool_end_tunnels(&balancer->pool);
	if (balancer->traffic.requests == 0)
		leave_now(balancer);
	else
		timer_set(&balancer->loop, timer, LEAVE_IDLE_MS);
}

void
leave_quiet(struct traffic *traffic)
{
	struct balancer *balancer = container_of(traffic, struct balancer, traffic);
	uint64_t now = balancer->loop.now_ms, due = balancer->drain_idle_until_ms;
	timer_set(&balancer->loop, &balancer->drain, due > now ? due - now : 0);
}

void
leave_drain(struct balancer *balancer)
{
	struct traffic *traffic = &balancer->traffic;
	if (balancer->state == BALANCER_OPENING || balancer->state >= BALANCER_DRAINING)
		return;
	list_each (&traffic->listeners, node) {
		struct listener *listener = container_of(node, struct listener, node);
		if (listener->kind == LISTENER_FRONT)
			listener_finish(listener);
	}
	balancer->state = BALANCER_DRAINING;
	traffic->state = TRAFFIC_DRAINING;
	pool_drain(&balancer->pool);
	balancer->drain_idle_until_ms = balancer->loop.now_ms + (traffic->clients.count > 0 ? LEAVE_IDLE_MS : 0);
	leave_quiet(traffic);
}
