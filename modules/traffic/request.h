/*
 * request: one exchange, from the first byte of its head to its line in the
 * access log.  Six files are this one room:
 *     request.c  its life: waits for a process, fails, is tried again, ends
 *     intake.c   its beginning: a head becomes a request and finds its way
 *     events.c   what the client's connection does to it
 *     upload.c   the body on its way up: client → spool → backend
 *     answer.c   the answer on its way down: backend → client
 *     tunnel.c   both ways, after an upgrade
 *
 * The client owns the request (client->request), the request owns its session
 * and, while it has one, its backend connection.
 */
#ifndef TRAFFIC_REQUEST_H
#define TRAFFIC_REQUEST_H

#include "base/arena.h"
#include "traffic/backend.h"
#include "traffic/client.h"
#include "traffic/listener.h"
#include "wire/body.h"

enum request_state {
	REQUEST_READING,   /* its body is read before a process is taken */
	REQUEST_WAITING,   /* for a process */
	REQUEST_SENDING,   /* to a process; no answer yet */
	REQUEST_ANSWERING, /* the head of the answer is on its way to the client */
	REQUEST_TUNNEL,    /* upgraded */
	REQUEST_FLUSHING,  /* everything is said, the client has not taken it all */
	REQUEST_STATE_N
};

/* How a request ends that does not end as it should: one row each. */
enum request_end {
	REQUEST_END_OK,
	REQUEST_END_REFUSED, /* not HTTP as we take it */
	REQUEST_END_NO_ROUTE,
	REQUEST_END_PASSWORD, /* door: 403 */
	REQUEST_END_TOO_LARGE,
	REQUEST_END_SPOOL, /* 507: the body can not be kept */
	REQUEST_END_QUEUE_FULL,
	REQUEST_END_QUEUE_TIMEOUT,
	REQUEST_END_BUSY, /* door: no free place within direct_wait_ms */
	REQUEST_END_NO_BYPASS,
	REQUEST_END_SPAWN_FAILED,
	REQUEST_END_STOPPING,
	REQUEST_END_MAINTENANCE,
	REQUEST_END_CLIENT_GONE,
	REQUEST_END_CLIENT_SLOW,    /* no progress of body or answer */
	REQUEST_END_PROCESS_GONE,   /* 502 */
	REQUEST_END_PROCESS_CLOSED, /* 502: closed without an answer */
	REQUEST_END_BAD_ANSWER,     /* 502 */
	REQUEST_END_SILENT,         /* 504 */
	REQUEST_END_TOO_LONG,       /* 504: max_request_time */
	REQUEST_END_CUT,            /* the answer broke off */
	REQUEST_END_TUNNEL_SILENT,
	REQUEST_END_N
};
const char *request_end_text(enum request_end end);

/* tries: connections that were made; repeats: requests that were sent and not answered */
/* at_once: what every loader of ours reads with its first read */
enum { REQUEST_TRIES_MAX = 4, REQUEST_REPEATS_MAX = 1, REQUEST_INTERIM_MAX = 32, REQUEST_AT_ONCE_BYTES = 8 * 1024 };

struct request {
	struct session session;
	struct client *client;
	struct traffic *traffic;
	struct list_node free; /* private: the free list */
	enum request_state state;
	enum request_end end;
	struct arena arena;

	/* What was asked; strings in the arena. */
	const struct app_config *app;
	enum session_kind kind;
	struct process *process; /* given by the door; NULL: balanced, or the process has ended */
	struct str method, target, authority, upgrade, id, referer, user_agent, user, remote;
	struct str sticky; /* what its cookie says, when it named a process in rotation */
	enum http_method method_id;
	uint8_t minor;
	bool keep_alive;      /* what the answer will say */
	bool expect_continue; /* the client waits for 100 */
	uint8_t error_format; /* enum error_format, by its Accept header */

	/* Up. */
	char *head; /* as the application gets it, complete after request_finish_head() */
	size_t head_len, head_sent;
	struct body_decoder body;
	enum http_framing up_framing; /* as the application is told */
	uint64_t content_length;      /* as the client says */
	uint64_t body_bytes;          /* payload read so far */
	struct spool up;              /* in the form that the backend gets */
	bool whole;                   /* it is small, and all of it stands in head */
	struct backend *backend;
	unsigned tries, repeats, writes;

	/* Down. */
	struct http_scan scan;
	struct body_decoder answer;
	enum http_framing down_framing;
	uint16_t status; /* of the answer; 0: none yet */
	unsigned interim;
	bool backend_keep_alive;
	uint64_t answer_bytes; /* payload handed to the client */

	int64_t received_us;
	uint64_t received_ms, sent_ms, answered_ms;
};

/* The handler of every client, front or door: events.c. */
extern const struct client_handler request_client_handler;
/* Frees the list of spare requests. */
void request_free_spares(void);

/* ---- request.c ---- */
struct request *request_new(struct client *client);
/* Once; its generation of the configuration lives as long as the request.  NULL: none. */
void request_set_app(struct request *request, const struct app_config *app);
/* Counted, logged and forgotten; what becomes of the client is the caller's. */
void request_bury(struct request *request);
/* What becomes of the client after its request. */
void request_next(struct client *client, bool keep_alive);
/* Session and backend are given up; the process may still be at work on what it was given. */
void request_let_go(struct request *request);
/* Asks for a place; the state is WAITING or later afterwards. */
void request_dispatch(struct request *request);
/* The same for a request whose head is finished: once more. */
void request_take_process(struct request *request);
/* Answers with an error of ours, or cuts an answer that has begun. */
void request_fail(struct request *request, enum request_end end, uint16_t status, const char *format, ...)
	printf_like(4, 5);
/* The process did not answer: once more, or 502. */
void request_lost_backend(struct request *request, enum request_end end, const char *why);
/* The exchange is over; what is left is the client's. */
void request_finish(struct request *request);
/* Restarts the clock that fits the state: something has moved. */
void request_progress(struct request *request);
/* The backend connection is given up; whoever calls decides about the session. */
void request_drop_backend(struct request *request);

/* ---- intake.c ---- */
/* One whole head of len bytes; skipped: empty lines before it; more_input: something stands behind it. */
void intake_begin(struct client *client, const char *data, size_t len, size_t skipped, bool more_input);
/* Bytes that can not become a head. */
void intake_refuse(struct client *client, enum http_error error);

/* ---- upload.c ---- */
/* Decides how the body goes up; false when the request was failed instead. */
bool upload_begin(struct request *request, const struct http_request *http);
/* Bytes that the client has sent behind the head; returns how many are used. */
size_t upload_input(struct request *request, const char *data, size_t len);
/* Sends as much as the backend takes. */
void upload_pump(struct request *request);
static inline bool
upload_complete(const struct request *request)
{
	return body_done(&request->body);
}
static inline bool
upload_sent(const struct request *request)
{
	return upload_complete(request) && request->head_sent == request->head_len && spool_bytes(&request->up) == 0;
}

/* ---- answer.c ---- */
extern const struct backend_handler request_backend_handler;
/* A whole answer of ours. extra: header lines with CRLF, or empty. */
void answer_ourselves(struct request *request, uint16_t status, struct str type, struct str extra, struct str body);
/* Bytes from … to of a file, whose descriptor is taken; without a type: the head alone. */
void answer_file(struct request *request, uint16_t status, struct str type, struct str extra, int fd, uint64_t from,
                 uint64_t to);
void answer_continue(struct request *request);
/* The client has taken some of it. */
void answer_drained(struct request *request);

/* ---- tunnel.c ---- */
void tunnel_begin(struct request *request);
size_t tunnel_input(struct request *request, const char *data, size_t len);
void tunnel_input_ended(struct request *request);
void tunnel_pump(struct request *request);
/* Both sides hear the end of the connection. */
void tunnel_end(struct request *request);
void tunnel_readable(struct request *request);
void tunnel_drained(struct request *request);

#endif
