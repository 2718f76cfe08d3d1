#include "traffic/request.h"

#include "base/log.h"

/* What a client's connection does, and what that means in the state that its request is in. */

enum {
	REQUEST_SILENT_PATIENCE_MS = 5000, /* a process that was silent for response_timeout gets no more */
	REQUEST_HALF_CLOSED_MS = 1000,     /* a client that has shut its side gets so long for an answer to begin */
};

static void
events_input_ended_early(struct client *client)
{
	enum http_error error = http_scan_end(&client->scan, HTTP_REQUEST, client->in.data, client->in.len);
	if (client->in.len == 0 || error == HTTP_OK) {
		client_close(client);
		return;
	}
	intake_refuse(client, error);
}

static size_t
events_input_head(struct client *client, const char *data, size_t len)
{
	int head = http_scan(&client->scan, HTTP_REQUEST, data, len);
	if (head == 0 && client->input == CLIENT_INPUT_ENDED) {
		events_input_ended_early(client);
		return len;
	}
	if (head == 0) {
		/* Only blank lines so far are not the beginning of a request. */
		if (client->in.len == 0)
			client_deadline(client, client->traffic->config->head_timeout_ms);
		return 0;
	}
	if (head < 0) {
		intake_refuse(client, (enum http_error) - head);
		return len;
	}
	intake_begin(client, data, (size_t)head, client->scan.skipped, len > (size_t)head);
	return (size_t)head;
}

static size_t
events_input(struct client *client, const char *data, size_t len)
{
	size_t used = 0;
	/* One head a turn: whoever sends many at once lets the others in between. */
	if (client->request == NULL) {
		used = events_input_head(client, data, len);
		if (used == 0)
			return 0;
	}
	struct request *request = client->request;
	if (client->state != CLIENT_OPEN)
		return len;
	if (request == NULL || used == len)
		return used;
	if (request->state == REQUEST_TUNNEL)
		return used + tunnel_input(request, data + used, len - used);
	if (!upload_complete(request))
		return used + upload_input(request, data + used, len - used);
	return used;
}

static void
events_input_ended(struct client *client)
{
	struct request *request = client->request;
	if (request == NULL) {
		events_input_ended_early(client);
		return;
	}
	if (request->state == REQUEST_TUNNEL) {
		tunnel_input_ended(request);
		return;
	}
	if (!upload_complete(request)) {
		enum body_error error = body_end_error(&request->body);
		request->keep_alive = false;
		if (error == BODY_OK)
			client_abort(client); /* only cut short: nobody is there to be told */
		else
			request_fail(request, REQUEST_END_REFUSED, 400, "The request body is malformed: %s.",
			             body_error_text(error));
		return;
	}
	/* Shut on one side or closed altogether: over TCP the two look the same until something is written. */
	if (request->state == REQUEST_WAITING || request->state == REQUEST_SENDING)
		client_deadline(client, REQUEST_HALF_CLOSED_MS);
}

static void
events_drained(struct client *client)
{
	struct request *request = client->request;
	if (request == NULL)
		return;
	switch (request->state) {
	case REQUEST_FLUSHING:
		if (client_pending(client) == 0) {
			bool keep_alive = request->keep_alive;
			request_bury(request);
			request_next(client, keep_alive);
		} else {
			request_progress(request);
		}
		return;
	case REQUEST_ANSWERING:
		answer_drained(request);
		return;
	case REQUEST_TUNNEL:
		tunnel_drained(request);
		return;
	default:
		return;
	}
}

static void
events_gone(struct client *client)
{
	struct request *request = client->request;
	if (request == NULL)
		return;
	if (request->end == REQUEST_END_OK && request->state != REQUEST_TUNNEL)
		request->end = REQUEST_END_CLIENT_GONE;
	if (request->state == REQUEST_TUNNEL) {
		request_drop_backend(request);
		session_end(&request->session);
	} else {
		request_let_go(request);
	}
	request_bury(request);
}

static void
events_too_silent(struct request *request)
{
	struct client *client = request->client;
	bool half_closed = client->input == CLIENT_INPUT_ENDED;
	if (client_pending(client) > 0) {
		request->end = REQUEST_END_CLIENT_SLOW;
		client_abort(client);
		return;
	}
	if (half_closed && request->state != REQUEST_ANSWERING) {
		client_abort(client);
		return;
	}
	if (request->session.state == SESSION_NONE && request->state == REQUEST_SENDING) {
		request_lost_backend(request, REQUEST_END_PROCESS_GONE, "it ended");
		return;
	}
	log_warn("application '%s', process %d: %.*s %.*s: no byte for response_timeout", request->app->name,
	         request->session.pid, STR_ARG(request->method), STR_ARG(request->target));
	request->session.patience_ms = REQUEST_SILENT_PATIENCE_MS;
	request_fail(request, REQUEST_END_SILENT, 504, "The application has not answered in time.");
}

static void
events_timeout(struct client *client)
{
	struct request *request = client->request;
	if (client->state == CLIENT_CLOSING) {
		client_abort(client);
		return;
	}
	if (request == NULL && client->in.len == 0) {
		client_close(client);
		return;
	}
	if (request == NULL) {
		/* A head that does not come to its end (RFC 9110 section 15.5.9). */
		request = request_new(client);
		request_fail(request, REQUEST_END_CLIENT_SLOW, 408, "The request did not come to its end in time.");
		return;
	}
	switch (request->state) {
	case REQUEST_READING:
		request->keep_alive = false;
		request_fail(request, REQUEST_END_CLIENT_SLOW, 408, "The request body did not come in time.");
		return;
	case REQUEST_WAITING:
		/* For nothing but time: it is tried once more.  Else the client has shut its side. */
		if (request->session.state == SESSION_NONE)
			request_take_process(request);
		else
			client_abort(client);
		return;
	case REQUEST_SENDING:
	case REQUEST_ANSWERING:
		events_too_silent(request);
		return;
	case REQUEST_FLUSHING:
		request->end = REQUEST_END_CLIENT_SLOW;
		client_abort(client);
		return;
	case REQUEST_TUNNEL:
		request->end = REQUEST_END_TUNNEL_SILENT;
		tunnel_end(request);
		return;
	case REQUEST_STATE_N:
		return;
	}
}

const struct client_handler request_client_handler = {
	.input = events_input,
	.input_ended = events_input_ended,
	.drained = events_drained,
	.gone = events_gone,
	.timeout = events_timeout,
};
