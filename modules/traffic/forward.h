/*
 * forward: what an application is told of a request: the environment of the
 * session protocol, or an HTTP/1.1 head.  Here is decided which header fields
 * pass and whom to believe about the client.
 */
#ifndef TRAFFIC_FORWARD_H
#define TRAFFIC_FORWARD_H

#include "config/app_type.h"
#include "wire/http.h"

struct forward {
	const struct http_request *http;
	const struct app_config *app;
	bool trusted;    /* forwarded headers are believed */
	struct str peer; /* the connection's other end; empty for a unix socket */
	uint16_t peer_port;
	struct str request_id; /* kept or made */
	int64_t received_us;   /* unix microseconds */
	struct str upgrade;    /* what may be upgraded to, or empty */
};

/* Who the client is, by the rules of trust: for REMOTE_ADDR and the access log. */
struct str forward_client_address(const struct http_request *http, bool trusted, struct str peer);

/* Is this a request id that we pass on and log: 1 to 128 of [A-Za-z0-9._:/+=@-]. */
bool forward_id_is_sound(struct str id);

/*
 * Writes everything but the framing; returns the length, 0 when it does not
 * fit.  forward_finish_… adds the framing and completes the message in place:
 * out must have room for FORWARD_FINISH_BYTES more.
 */
enum { FORWARD_FINISH_BYTES = 128 };
size_t forward_session(const struct forward *forward, char *out, size_t out_size) must_check;
size_t forward_finish_session(char *out, size_t len, enum http_framing framing, uint64_t content_length,
                              bool bypass) must_check;
size_t forward_http(const struct forward *forward, char *out, size_t out_size) must_check;
size_t forward_finish_http(char *out, size_t len, enum http_framing framing, uint64_t content_length) must_check;

#endif
