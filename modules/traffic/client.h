/*
 * client: one connection in.  It reads, keeps what nobody wants yet, writes,
 * keeps what the peer does not take yet, and ends in good order.  What the
 * bytes mean is its handler's business (request.c).
 *
 * It holds no buffer while it is idle.  Reading stops when CLIENT_INPUT_MAX
 * bytes wait for the handler; writing never blocks: what is not taken waits in
 * `out`, and the handler looks at client_pending().
 */
#ifndef TRAFFIC_CLIENT_H
#define TRAFFIC_CLIENT_H

#include "base/buf.h"
#include "traffic/context.h"
#include "traffic/spool.h"

struct client;
struct listener;
struct request;

enum { CLIENT_INPUT_MAX = HTTP_HEAD_BYTES_MAX + 4096 };

enum client_state {
	CLIENT_OPEN,
	CLIENT_CLOSING,   /* no more input is read; closed when everything is written */
	CLIENT_LINGERING, /* all is written and our side shut: the peer's last bytes are dropped for a while */
	CLIENT_DEAD,      /* closed; buried at the turn's end */
};

enum client_input {
	CLIENT_INPUT_OPEN,
	CLIENT_INPUT_PAUSED, /* the handler has enough */
	CLIENT_INPUT_ENDED,  /* the peer has shut its side */
};

struct client_handler {
	/* Bytes from the peer; returns how many are used up (the rest is shown
	 * again with what follows it, at the latest by client_input_again()). */
	size_t (*input)(struct client *client, const char *data, size_t len);
	/* The peer has shut its side; buffered input was shown before. */
	void (*input_ended)(struct client *client);
	/* Some of `out` has been written. */
	void (*drained)(struct client *client);
	/* The connection is broken or gone: last call, the client is closed after it. */
	void (*gone)(struct client *client);
	/* client_deadline() has passed. */
	void (*timeout)(struct client *client);
};

struct client {
	struct watch watch;
	struct timer timer;
	struct list_node node; /* traffic->clients */
	struct traffic *traffic;
	struct listener *listener; /* NULL when its door is gone */
	const struct client_handler *handler;
	enum client_state state;
	enum client_input input;
	struct buf in;         /* not yet used up */
	struct http_scan scan; /* the handler's */
	struct spool out;
	struct request *request; /* the handler's; NULL between requests */
	uint32_t served;         /* requests begun on this connection */
	uint16_t peer_port;      /* 0: unix socket */
	char peer[46];           /* address as text, "unix" */
	char label[56];          /* "127.0.0.1:4711", "unix": for people */
	struct soon again;
	struct grave grave;
};

/* Takes the descriptor. */
struct client *client_open(struct traffic *traffic, struct listener *listener, int fd,
                           const struct client_handler *handler, const char *peer, uint16_t peer_port);

/* Writes or keeps; what is over `out`'s memory goes to its file.  False: the
 * connection is broken (it will be `gone`). */
bool client_write(struct client *client, struct iovec *pieces, int count) must_check;
/* Behind what was written: bytes from … to of a file, whose descriptor is taken. */
void client_lend(struct client *client, int fd, uint64_t from, uint64_t to);
static inline uint64_t
client_pending(const struct client *client)
{
	return spool_bytes(&client->out);
}
/* Over what `out` may hold of this answer, or the disk is full: whoever feeds it stops. */
bool client_is_full(const struct client *client, uint64_t high_bytes);
/* Enough has been taken to go on. */
bool client_has_room(const struct client *client, uint64_t high_bytes);

/* Shows the buffered input again, from the soon-queue. */
void client_input_again(struct client *client);
void client_pause(struct client *client);
void client_resume(struct client *client);

void client_deadline(struct client *client, uint64_t after_ms); /* 0: none */

/* After everything is written, with lingering, so that the peer gets to read it. */
void client_close(struct client *client);
/* Between two requests, with nothing read and nothing to be written: its descriptor, for somebody else, and it is
 * closed here.  -1: it is at something. */
int client_leave(struct client *client) must_check;
/* At once, and so that it looks cut short. */
void client_abort(struct client *client);

#endif
