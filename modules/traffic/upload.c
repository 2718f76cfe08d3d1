#include "traffic/request.h"

#include "wire/session_protocol.h"

#include <errno.h>

enum {
	UPLOAD_HIGH_BYTES = 256 * 1024, /* streamed: the client is paused above */
	UPLOAD_LOW_BYTES = 64 * 1024,
	UPLOAD_PUMP_BYTES = 512 * 1024, /* sent in one turn */
};

bool
upload_begin(struct request *request, const struct http_request *http)
{
	const struct app_config *app = request->app;
	body_decoder_init(&request->body, http->framing, http->content_length);
	request->up_framing = http->framing;
	if (app->request_body_max > 0 && http->framing == HTTP_FRAMING_LENGTH &&
	    http->content_length > app->request_body_max) {
		request_fail(request, REQUEST_END_TOO_LARGE, 413,
		             "The request body is larger than request_body_max allows.");
		return false;
	}
	/* Read before a process is taken: it may overflow into a file.  Streamed: it never waits for long. */
	if (app->buffer_upload)
		spool_init(&request->up, app->request_buffer_memory, request->traffic->spool_dir);
	else
		spool_init(&request->up, UINT64_MAX, NULL);
	return true;
}

/* In the form that the backend gets: framed when the length is not known beforehand. */
static bool
upload_keep(struct request *request, struct str payload)
{
	char line[24];
	bool framed = !request->app->buffer_upload && request->up_framing == HTTP_FRAMING_CHUNKED;
	if (payload.len == 0)
		return true;
	if (!framed)
		return spool_append(&request->up, payload.data, payload.len);
	if (request->app->type->protocol == APP_PROTOCOL_SESSION) {
		session_data_frame(line, (uint32_t)payload.len);
		return spool_append(&request->up, line, SESSION_DATA_FRAME_BYTES) &&
		       spool_append(&request->up, payload.data, payload.len);
	}
	size_t len = body_chunk_line(line, payload.len);
	return spool_append(&request->up, line, len) && spool_append(&request->up, payload.data, payload.len) &&
	       spool_append(&request->up, "\r\n", 2);
}

static bool
upload_keep_end(struct request *request)
{
	char frame[SESSION_DATA_FRAME_BYTES];
	if (request->app->buffer_upload || request->up_framing != HTTP_FRAMING_CHUNKED)
		return true;
	if (request->app->type->protocol != APP_PROTOCOL_SESSION)
		return spool_append(&request->up, BODY_LAST_CHUNK.data, BODY_LAST_CHUNK.len);
	session_data_frame(frame, 0);
	return spool_append(&request->up, frame, sizeof(frame));
}

static void
upload_refuse(struct request *request, ptrdiff_t error)
{
	enum body_error body_error = (enum body_error) - error;
	/* Nothing behind it can be trusted to be a request. */
	request->keep_alive = false;
	request_fail(request, REQUEST_END_REFUSED, body_error_status(body_error), "The request body is malformed: %s.",
	             body_error_text(body_error));
}

/* False when the request was failed. */
static bool
upload_take(struct request *request, struct str payload)
{
	uint64_t limit = request->app->request_body_max;
	request->body_bytes += payload.len;
	if (limit > 0 && request->body_bytes > limit) {
		request->keep_alive = false;
		request_fail(request, REQUEST_END_TOO_LARGE, 413,
		             "The request body is larger than request_body_max allows.");
		return false;
	}
	if (!upload_keep(request, payload) || (upload_complete(request) && !upload_keep_end(request))) {
		request->keep_alive = false;
		request_fail(request, REQUEST_END_SPOOL, 507, "The request body can not be kept: %s.", strerror(errno));
		return false;
	}
	return true;
}

size_t
upload_input(struct request *request, const char *data, size_t len)
{
	struct client *client = request->client;
	size_t used = 0;
	while (used < len && !upload_complete(request)) {
		struct str payload;
		if (!request->app->buffer_upload && spool_bytes(&request->up) > UPLOAD_HIGH_BYTES) {
			client_pause(client);
			break;
		}
		ptrdiff_t took = body_decode(&request->body, data + used, len - used, &payload);
		if (took < 0) {
			upload_refuse(request, took);
			return len;
		}
		used += (size_t)took;
		if (!upload_take(request, payload))
			return len;
		if (took == 0)
			break;
	}
	if (client->request != request)
		return used;
	if (used > 0)
		request_progress(request);
	if (request->state == REQUEST_READING && upload_complete(request))
		request_dispatch(request);
	else if (request->backend != NULL)
		upload_pump(request);
	return used;
}

void
upload_pump(struct request *request)
{
	struct backend *backend = request->backend;
	size_t budget = UPLOAD_PUMP_BYTES;
	bool blocked = false;
	while (!blocked && budget > 0) {
		struct iovec pieces[2];
		int count = 0;
		size_t head_left = request->head_len - request->head_sent;
		struct str next = spool_peek(&request->up);
		if (head_left > 0)
			pieces[count++] = (struct iovec){request->head + request->head_sent, head_left};
		if (next.len > 0)
			pieces[count++] = (struct iovec){(char *)(uintptr_t)next.data, next.len};
		if (count == 0)
			break;
		ssize_t wrote = backend_write(backend, pieces, count);
		if (wrote < 0) {
			/* It may have answered before it closed: the reading side tells. */
			backend_want(backend, true, false);
			return;
		}
		request->writes += wrote > 0;
		size_t of_head = (size_t)wrote < head_left ? (size_t)wrote : head_left;
		request->head_sent += of_head;
		spool_consume(&request->up, (size_t)wrote - of_head);
		blocked = (size_t)wrote < head_left + next.len;
		budget -= (size_t)wrote < budget ? (size_t)wrote : budget;
	}
	bool more = request->head_sent < request->head_len || spool_bytes(&request->up) > 0;
	if (request->state == REQUEST_SENDING || request->state == REQUEST_TUNNEL)
		backend_want(backend, true, more);
	if (!request->app->buffer_upload && spool_bytes(&request->up) < UPLOAD_LOW_BYTES)
		client_resume(request->client);
}
