#include "traffic/request.h"

#include "traffic/sticky.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

struct gather;
static void answer_body(struct request *request, struct gather *gather, const char *data, size_t len);
static bool answer_is_over(const struct request *request);
static void answer_complete(struct request *request, bool surplus);

/* ---- gathered writing: one system call for head, chunk lines and payload ---- */

enum { GATHER_PIECES = 32, GATHER_LINES_BYTES = GATHER_PIECES * 20 };

struct gather {
	struct iovec pieces[GATHER_PIECES];
	int count;
	char lines[GATHER_LINES_BYTES];
	size_t lines_used;
	bool broken; /* the client takes nothing any more */
};

/* Not the whole struct: it is larger than most answers. */
static void
gather_init(struct gather *gather)
{
	gather->count = 0;
	gather->lines_used = 0;
	gather->broken = false;
}

static void
gather_flush(struct gather *gather, struct client *client)
{
	if (gather->count > 0 && !gather->broken)
		gather->broken = !client_write(client, gather->pieces, gather->count);
	gather->count = 0;
	gather->lines_used = 0;
}

static void
gather_add(struct gather *gather, struct client *client, struct str piece)
{
	if (piece.len == 0)
		return;
	if (gather->count == GATHER_PIECES)
		gather_flush(gather, client);
	gather->pieces[gather->count++] = (struct iovec){(char *)(uintptr_t)piece.data, piece.len};
}

static void
gather_chunk(struct gather *gather, struct client *client, struct str payload)
{
	if (gather->count + 3 > GATHER_PIECES)
		gather_flush(gather, client);
	char *line = gather->lines + gather->lines_used;
	size_t len = body_chunk_line(line, payload.len);
	gather->lines_used += 20;
	gather_add(gather, client, str_make(line, len));
	gather_add(gather, client, payload);
	gather_add(gather, client, STR("\r\n"));
}

/* ---- the head ---- */

struct head_writer {
	char *out;
	size_t len, cap;
};

static void
put(struct head_writer *head, struct str s)
{
	/* The parser's limit on heads and TRAFFIC_HEAD_BYTES leave room for all that we add. */
	if (s.len > head->cap - head->len)
		s.len = head->cap - head->len;
	if (s.len > 0)
		memcpy(head->out + head->len, s.data, s.len);
	head->len += s.len;
}

static void
put_field(struct head_writer *head, struct str name, struct str value)
{
	put(head, name);
	put(head, STR(": "));
	put(head, value);
	put(head, STR("\r\n"));
}

static void
put_status(struct head_writer *head, uint16_t status, struct str reason)
{
	char line[24];
	put(head, STR("HTTP/1.1 "));
	put(head, str_from_u64(line, status)); /* 100 to 599 */
	put(head, STR(" "));
	put(head, reason);
	put(head, STR("\r\n"));
}

static void
put_length(struct head_writer *head, uint64_t length)
{
	char text[24];
	put_field(head, STR("Content-Length"), str_from_u64(text, length));
}

/* Formatted once a second. */
static void
put_date(struct head_writer *head)
{
	static char text[30];
	static int64_t text_second;
	int64_t second = clock_unix_us() / 1000000;
	if (second != text_second) {
		http_date(text, second);
		text_second = second;
	}
	put_field(head, STR("Date"), str_make(text, 29));
}

static void
put_server(struct head_writer *head, const struct traffic *traffic)
{
	put_field(head, STR("Server"),
	          traffic->config->show_version_in_header ? STR("passenger/" PASSENGER_VERSION) : STR("passenger"));
}

static void
put_connection(struct head_writer *head, const struct request *request)
{
	if (!request->keep_alive)
		put_field(head, STR("Connection"), STR("close"));
	else if (request->minor == 0)
		put_field(head, STR("Connection"), STR("keep-alive"));
}

static void
put_sticky(struct head_writer *head, const struct request *request)
{
	char cookie[STICKY_COOKIE_BYTES];
	if (request->app->sticky_sessions && sticky_write(request, cookie))
		put_field(head, STR("Set-Cookie"), str_from(cookie));
}

static bool
response_field_passes(const struct http_field *field)
{
	if (field->flags & HTTP_FIELD_HOP)
		return false;
	switch (field->id) {
	case HTTP_FIELD_CONNECTION:
	case HTTP_FIELD_KEEP_ALIVE:
	case HTTP_FIELD_PROXY_CONNECTION:
	case HTTP_FIELD_PROXY_AUTHENTICATE:
	case HTTP_FIELD_CONTENT_LENGTH:
	case HTTP_FIELD_TRANSFER_ENCODING:
	case HTTP_FIELD_TE:
	case HTTP_FIELD_TRAILER:
	case HTTP_FIELD_UPGRADE:
	case HTTP_FIELD_CONNECT_PASSWORD:
	case HTTP_FIELD_CONNECT_BYPASS:
	case HTTP_FIELD_PASSENGER:
		return false;
	default:
		return true;
	}
}

/* True: it asks for out-of-band work. */
static bool
put_response_fields(struct head_writer *head, const struct http_response *response, const struct traffic *traffic)
{
	bool has_date = false, has_server = false, asks = false;
	for (uint32_t i = 0; i < response->field_count; i++) {
		const struct http_field *field = &response->fields[i];
		asks |= field->id == HTTP_FIELD_PASSENGER && str_equal_nocase(field->name, STR("!~Request-OOB-Work"));
		if (!response_field_passes(field))
			continue;
		has_date |= field->id == HTTP_FIELD_DATE;
		has_server |= field->id == HTTP_FIELD_SERVER;
		put_field(head, field->name, field->value);
	}
	if (!has_date)
		put_date(head);
	if (!has_server)
		put_server(head, traffic);
	return asks;
}

static struct head_writer
head_begin(struct traffic *traffic)
{
	return (struct head_writer){.out = traffic->head, .cap = sizeof(traffic->head)};
}

/* Nobody serves on this connection any more: the server stops, or the door's process is on its way out. */
static bool
answer_is_last(const struct request *request)
{
	const struct listener *listener = request->client->listener;
	return listener == NULL || request->traffic->state == TRAFFIC_DRAINING ||
	       (listener->kind == LISTENER_DOOR &&
	        /* by whichever balancer */
	        atomic_load_explicit(&listener->process->shared->state, memory_order_relaxed) == SCOREBOARD_DETACHED);
}

/* How the client gets the body, and whether its connection goes on after it (RFC 9112 section 6.3, 9.3). */
static void
answer_choose_framing(struct request *request, const struct http_response *response)
{
	request->down_framing = response->framing;
	if (response->framing == HTTP_FRAMING_CHUNKED || response->framing == HTTP_FRAMING_CLOSE)
		request->down_framing = request->minor > 0 ? HTTP_FRAMING_CHUNKED : HTTP_FRAMING_CLOSE;
	if (request->down_framing == HTTP_FRAMING_CLOSE || !upload_complete(request) || answer_is_last(request))
		request->keep_alive = false;
}

static struct str
answer_head(struct request *request, const struct http_response *response)
{
	struct head_writer head = head_begin(request->traffic);
	put_status(&head, response->status, response->reason);
	if (put_response_fields(&head, response, request->traffic) && request->session.state == SESSION_ACTIVE)
		process_ask_oob(request->session.process);
	if (request->down_framing == HTTP_FRAMING_CHUNKED)
		put_field(&head, STR("Transfer-Encoding"), STR("chunked"));
	else if (response->has_content_length && response->status != 204)
		put_length(&head, response->content_length);
	put_sticky(&head, request);
	put_connection(&head, request);
	put(&head, STR("\r\n"));
	return str_make(head.out, head.len);
}

static struct str
interim_head(struct request *request, const struct http_response *response)
{
	struct head_writer head = head_begin(request->traffic);
	put_status(&head, response->status, response->reason);
	for (uint32_t i = 0; i < response->field_count; i++)
		if (response_field_passes(&response->fields[i]))
			put_field(&head, response->fields[i].name, response->fields[i].value);
	if (response->status == 101) {
		put_field(&head, STR("Connection"), STR("Upgrade"));
		put_field(&head, STR("Upgrade"), response->upgrade);
		put_sticky(&head, request);
	}
	put(&head, STR("\r\n"));
	return str_make(head.out, head.len);
}

/* ---- answers of our own ---- */

static void
answer_write(struct request *request, struct str head, struct str body)
{
	struct iovec pieces[2] = {
		{(char *)(uintptr_t)head.data, head.len},
		{(char *)(uintptr_t)body.data, body.len},
	};
	/* A client that takes nothing any more shows itself to its watch. */
	if (!client_write(request->client, pieces, body.len > 0 ? 2 : 1))
		request->keep_alive = false;
}

/* extra: whole lines; type: empty, if there is no body at all. */
static struct str
answer_head_of_ours(struct request *request, uint16_t status, struct str type, struct str extra, uint64_t length)
{
	struct head_writer head = head_begin(request->traffic);
	if (answer_is_last(request))
		request->keep_alive = false;
	request->status = status;
	put_status(&head, status, http_reason(status));
	put_date(&head);
	put_server(&head, request->traffic);
	if (type.len > 0) {
		put_field(&head, STR("Content-Type"), type);
		put_length(&head, length);
	}
	put(&head, extra);
	put_connection(&head, request);
	put(&head, STR("\r\n"));
	return str_make(head.out, head.len);
}

void
answer_ourselves(struct request *request, uint16_t status, struct str type, struct str extra, struct str body)
{
	struct str head = answer_head_of_ours(request, status, type, extra, body.len);
	if (request->method_id == HTTP_METHOD_HEAD)
		body.len = 0;
	request->answer_bytes = body.len;
	answer_write(request, head, body);
	request_finish(request);
}

void
answer_file(struct request *request, uint16_t status, struct str type, struct str extra, int fd, uint64_t from,
            uint64_t to)
{
	char *block = request->traffic->scratch;
	uint64_t length = to - from;
	struct str body = str_make(block, 0);
	struct str head = answer_head_of_ours(request, status, type, extra, length);
	if (request->method_id == HTTP_METHOD_HEAD || type.len == 0)
		length = 0;
	request->answer_bytes = length;
	/* Most files are small: head and body in one system call. */
	if (length > 0 && length <= TRAFFIC_SCRATCH_BYTES &&
	    pread(fd, block, (size_t)length, (off_t)from) == (ssize_t)length)
		body.len = (size_t)length;
	answer_write(request, head, body);
	if (body.len < length && request->client->state == CLIENT_OPEN)
		client_lend(request->client, fd, from, to);
	else
		close(fd);
	request_finish(request);
}

void
answer_continue(struct request *request)
{
	request->expect_continue = false;
	answer_write(request, STR("HTTP/1.1 100 Continue\r\n\r\n"), str_make(NULL, 0));
}

/* ---- from the backend ---- */

static void
answer_bad(struct request *request, const char *why)
{
	request_drop_backend(request);
	request_fail(request, REQUEST_END_BAD_ANSWER, 502, "The application's answer can not be used: %s.", why);
}

/* 1xx (RFC 9110 section 15.2): 103 is worth passing on, the rest was not asked for. False: the request was failed. */
static bool
answer_interim(struct request *request, const struct http_response *response)
{
	if (++request->interim > REQUEST_INTERIM_MAX) {
		answer_bad(request, "too many interim answers");
		return false;
	}
	request->scan = (struct http_scan){0};
	if (response->status == 103 && request->minor > 0)
		answer_write(request, interim_head(request, response), str_make(NULL, 0));
	return true;
}

static void
answer_upgrade(struct request *request, const struct http_response *response, struct str rest)
{
	if (request->upgrade.len == 0) {
		answer_bad(request, "101 to a request that did not ask for an upgrade");
		return;
	}
	request->status = 101;
	request->answered_ms = request->traffic->loop->now_ms;
	session_note_status(&request->session, 101);
	request->answer_bytes += rest.len;
	answer_write(request, interim_head(request, response), rest);
	tunnel_begin(request);
}

static void
answer_begin(struct request *request, const struct http_response *response, struct str rest)
{
	struct gather gather;
	gather_init(&gather);
	request->state = REQUEST_ANSWERING;
	request->status = response->status;
	request->answered_ms = request->traffic->loop->now_ms;
	/* To HEAD it may go on with a body that never ends, and takes nothing else meanwhile: it has to be told. */
	request->backend_keep_alive =
		response->keep_alive && (request->method_id != HTTP_METHOD_HEAD || response->has_content_length);
	session_note_status(&request->session, response->status);
	answer_choose_framing(request, response);
	request->client->out.memory_max = request->app->response_buffer_memory;
	body_decoder_init(&request->answer, response->framing, response->content_length);
	gather_add(&gather, request->client, answer_head(request, response));
	answer_body(request, &gather, rest.data, rest.len);
}

/* Reads heads until a final one; what is not complete stays in backend->in. */
static void
answer_scan(struct request *request, const char *data, size_t len)
{
	struct http_response *response = &request->traffic->response;
	while (len > 0) {
		int head = http_scan(&request->scan, HTTP_RESPONSE, data, len);
		if (head == 0)
			break;
		enum http_error error = head < 0 ? (enum http_error) - head
		                                 : http_parse_response(response, request->method_id, data, (size_t)head);
		if (error != HTTP_OK) {
			answer_bad(request, http_error_row(error)->text);
			return;
		}
		struct str rest = str_make(data + head, len - (size_t)head);
		if (response->status == 101) {
			answer_upgrade(request, response, rest);
			return;
		}
		if (response->status >= 200) {
			answer_begin(request, response, rest);
			return;
		}
		if (!answer_interim(request, response))
			return;
		data = rest.data;
		len = rest.len;
	}
	struct buf *in = &request->backend->in;
	if (in->len > 0)
		buf_consume(in, in->len - len);
	else
		buf_append(in, data, len);
}

static bool
answer_is_over(const struct request *request)
{
	return request->answer.framing != HTTP_FRAMING_CLOSE && body_done(&request->answer);
}

static void
answer_complete(struct request *request, bool surplus)
{
	struct backend *backend = request->backend;
	bool clean = !surplus && request->backend_keep_alive && upload_sent(request) &&
	             request->answer.framing != HTTP_FRAMING_CLOSE;
	request->backend = NULL;
	if (clean)
		backend_give(backend);
	else
		backend_close(backend);
	session_end(&request->session);
	request_finish(request);
}

/* The client gets it no faster than it takes it: over the high-water mark the application waits. */
static void
answer_throttle(struct request *request)
{
	if (request->backend != NULL && client_is_full(request->client, request->app->response_buffer_high_watermark))
		backend_want(request->backend, false, false);
}

void
answer_drained(struct request *request)
{
	request_progress(request);
	if (request->backend != NULL && request->state == REQUEST_ANSWERING &&
	    client_has_room(request->client, request->app->response_buffer_high_watermark))
		backend_want(request->backend, true, !upload_sent(request));
}

static void
answer_cut(struct request *request)
{
	request_drop_backend(request);
	session_abandon(&request->session);
	request_fail(request, REQUEST_END_CUT, 502, "The application's answer broke off.");
}

/* What has gathered (the head, the first time) goes out together with the payload of these bytes. */
static void
answer_body(struct request *request, struct gather *gather, const char *data, size_t len)
{
	struct client *client = request->client;
	ptrdiff_t took = 0;
	size_t used = 0;
	while (used < len && !answer_is_over(request)) {
		struct str payload;
		took = body_decode(&request->answer, data + used, len - used, &payload);
		if (took < 0)
			break;
		used += (size_t)took;
		request->answer_bytes += payload.len;
		if (payload.len > 0 && request->down_framing == HTTP_FRAMING_CHUNKED)
			gather_chunk(gather, client, payload);
		else
			gather_add(gather, client, payload);
	}
	bool over = took >= 0 && answer_is_over(request);
	if (over && request->down_framing == HTTP_FRAMING_CHUNKED)
		gather_add(gather, client, BODY_LAST_CHUNK);
	gather_flush(gather, client);
	if (gather->broken)
		client_abort(client);
	else if (took < 0)
		answer_cut(request);
	else if (over)
		answer_complete(request, used < len);
	else
		answer_throttle(request);
}

/* A unix socket that closes with something unread resets the connection.  It went there in one write, and a loader reads
 * so much at once: then it has read nothing. */
static bool
answer_was_unread(const struct request *request)
{
	return request->writes == 1 && request->whole && request->interim == 0 &&
	       request->head_sent == request->head_len && request->app->type->loader != NULL;
}

static void
answer_ended(struct request *request, int error)
{
	const char *why = error != 0 ? strerror(error) : "it closed the connection without an answer";
	switch (request->state) {
	case REQUEST_SENDING:
		if (request->backend->in.len > 0) {
			answer_bad(request, "it ends inside the head");
			return;
		}
		if (error == ECONNRESET && answer_was_unread(request))
			request->head_sent = 0;
		request_lost_backend(request, REQUEST_END_PROCESS_CLOSED, why);
		return;
	case REQUEST_ANSWERING:
		if (!body_complete_at_end(&request->answer)) {
			answer_cut(request);
			return;
		}
		if (request->down_framing == HTTP_FRAMING_CHUNKED) {
			struct iovec last = {(char *)(uintptr_t)BODY_LAST_CHUNK.data, BODY_LAST_CHUNK.len};
			if (!client_write(request->client, &last, 1))
				request->keep_alive = false;
		}
		answer_complete(request, true);
		return;
	default:
		request_drop_backend(request);
	}
}

static void
answer_readable(struct backend *backend, uint32_t events)
{
	struct request *request = backend->owner;
	struct traffic *traffic = request->traffic;
	(void)events;
	if (request->state == REQUEST_TUNNEL) {
		tunnel_readable(request);
		return;
	}
	ssize_t got = recv(backend->watch.fd, traffic->scratch, sizeof(traffic->scratch), 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		answer_ended(request, got < 0 ? errno : 0);
		return;
	}
	request_progress(request);
	if (request->state == REQUEST_ANSWERING) {
		struct gather gather;
		gather_init(&gather);
		answer_body(request, &gather, traffic->scratch, (size_t)got);
		return;
	}
	if (backend->in.len == 0) {
		answer_scan(request, traffic->scratch, (size_t)got);
		return;
	}
	/* The head came in pieces; it is kept where it stays while the rest is read from it. */
	buf_append(&backend->in, traffic->scratch, (size_t)got);
	answer_scan(request, backend->in.data, backend->in.len);
}

static void
answer_writable(struct backend *backend)
{
	struct request *request = backend->owner;
	if (request->state == REQUEST_TUNNEL)
		tunnel_pump(request);
	else
		upload_pump(request);
}

const struct backend_handler request_backend_handler = {
	.readable = answer_readable,
	.writable = answer_writable,
};
