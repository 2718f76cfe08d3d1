#include "traffic/request.h"

#include "base/log.h"
#include "base/random.h"
#include "pool/route.h"
#include "traffic/access_log.h"
#include "traffic/direct.h"
#include "traffic/error_page.h"
#include "traffic/forward.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	REQUEST_SPARES_MAX = 64,
	REQUEST_HALF_CLOSED_MS = 1000, /* a client that has shut its side gets so long for an answer to begin */
	REQUEST_ID_BYTES = 16,
};

static const char *const request_end_texts[REQUEST_END_N] = {
	[REQUEST_END_OK] = "ok",
	[REQUEST_END_REFUSED] = "refused as malformed",
	[REQUEST_END_NO_ROUTE] = "no application for it",
	[REQUEST_END_PASSWORD] = "wrong password at a door",
	[REQUEST_END_TOO_LARGE] = "body too large",
	[REQUEST_END_SPOOL] = "body could not be kept",
	[REQUEST_END_QUEUE_FULL] = "queue full",
	[REQUEST_END_QUEUE_TIMEOUT] = "waited too long in the queue",
	[REQUEST_END_BUSY] = "process busy",
	[REQUEST_END_NO_BYPASS] = "bypass not possible",
	[REQUEST_END_SPAWN_FAILED] = "application failed to start",
	[REQUEST_END_STOPPING] = "stopping",
	[REQUEST_END_CLIENT_GONE] = "client gone",
	[REQUEST_END_CLIENT_SLOW] = "client too slow",
	[REQUEST_END_PROCESS_GONE] = "process ended",
	[REQUEST_END_PROCESS_CLOSED] = "process closed without an answer",
	[REQUEST_END_BAD_ANSWER] = "malformed answer",
	[REQUEST_END_SILENT] = "application silent",
	[REQUEST_END_CUT] = "answer cut short",
};

const char *
request_end_text(enum request_end end)
{
	return request_end_texts[end];
}

/* ---- memory ---- */

static struct request *request_spares[REQUEST_SPARES_MAX];
static unsigned request_spare_count;

static struct request *
request_new(struct client *client)
{
	struct request *request;
	if (request_spare_count > 0)
		request = request_spares[--request_spare_count];
	else if ((request = malloc(sizeof(*request))) == NULL)
		abort();
	*request = (struct request){
		.client = client,
		.traffic = client->traffic,
		.received_us = clock_unix_us(),
		.received_ms = client->traffic->loop->now_ms,
		.remote = str_from(client->peer),
	};
	spool_init(&request->up, UINT64_MAX, NULL);
	client->request = request;
	client->served++;
	client->traffic->requests++;
	return request;
}

static void
request_release(struct request *request)
{
	spool_free(&request->up);
	arena_reset(&request->arena);
	if (request_spare_count < REQUEST_SPARES_MAX)
		request_spares[request_spare_count++] = request;
	else
		free(request);
}

void
request_free_spares(void)
{
	while (request_spare_count > 0)
		free(request_spares[--request_spare_count]);
}

/* ---- the end ---- */

static void
count_end(const struct request *request)
{
	struct traffic *traffic = request->traffic;
	atomic_fetch_add_explicit(&traffic->scoreboard->requests, 1, memory_order_relaxed);
	if (request->app == NULL)
		return;
	struct scoreboard_group *board = &traffic->scoreboard->groups[request->app->id];
	unsigned status_class = request->status / 100;
	atomic_fetch_add_explicit(&board->status_class[status_class < 6 ? status_class : 0], 1, memory_order_relaxed);
	if (request->sent_ms == 0)
		return;
	uint64_t app_ms = (request->answered_ms ? request->answered_ms : traffic->loop->now_ms) - request->sent_ms;
	unsigned bucket = 0;
	while (bucket < SCOREBOARD_HISTOGRAM - 1 && app_ms >= (uint64_t)1 << bucket)
		bucket++;
	atomic_fetch_add_explicit(&board->response_histogram[bucket], 1, memory_order_relaxed);
}

static void
log_end(const struct request *request)
{
	struct traffic *traffic = request->traffic;
	uint64_t now = traffic->loop->now_ms;
	struct access_record record = {
		.client = request->remote,
		.user = request->user,
		.method = request->method,
		.target = request->target,
		.minor = request->minor,
		.referer = request->referer,
		.user_agent = request->user_agent,
		.id = request->id,
		.app = request->app ? request->app->name : NULL,
		.pid = request->session.pid,
		.direct = request->process != NULL,
		.status = request->status,
		.bytes_out = request->answer_bytes,
		.received_us = request->received_us,
		.total_ms = now - request->received_ms,
		.queue_ms = request->sent_ms ? request->sent_ms - request->received_ms : now - request->received_ms,
		.app_ms = request->sent_ms ? (request->answered_ms ? request->answered_ms : now) - request->sent_ms : 0,
		.end = request->end == REQUEST_END_OK ? NULL : request_end_text(request->end),
	};
	access_log_write(traffic, &record);
}

/* Counted, logged and forgotten; what becomes of the client is the caller's. */
static void
request_bury(struct request *request)
{
	struct traffic *traffic = request->traffic;
	struct client *client = request->client;
	assert(request->backend == NULL && request->session.state == SESSION_NONE);
	count_end(request);
	log_end(request);
	client->request = NULL;
	client->scan = (struct http_scan){0};
	request_release(request);
	if (--traffic->requests == 0 && traffic->state == TRAFFIC_DRAINING)
		traffic->quiet(traffic);
}

static void
request_next(struct client *client, bool keep_alive)
{
	if (!keep_alive) {
		client_close(client);
		client_deadline(client, client_pending(client) > 0 ? client->traffic->config->write_timeout_ms : 2000);
		return;
	}
	client_deadline(client, client->traffic->config->idle_timeout_ms);
	if (client->input == CLIENT_INPUT_ENDED && client->in.len == 0)
		client_close(client);
	else if (client->in.len > 0)
		client_input_again(client);
	else
		client_resume(client);
}

void
request_finish(struct request *request)
{
	struct client *client = request->client;
	bool keep_alive = request->keep_alive && upload_complete(request);
	if (client_pending(client) > 0) {
		request->state = REQUEST_FLUSHING;
		request->keep_alive = keep_alive;
		request_progress(request);
		return;
	}
	request_bury(request);
	request_next(client, keep_alive);
}

void
request_drop_backend(struct request *request)
{
	struct backend *backend = request->backend;
	request->backend = NULL;
	if (backend != NULL)
		backend_close(backend);
}

/* The process may still be at work on what it was given. */
static void
request_let_go(struct request *request)
{
	bool given = request->backend != NULL && request->head_sent > 0;
	request_drop_backend(request);
	if (given)
		session_abandon(&request->session);
	else
		session_end(&request->session);
}

void
request_fail(struct request *request, enum request_end end, uint16_t status, const char *format, ...)
{
	char text[GROUP_FAILURE_BYTES + 256];
	va_list arguments;
	request->end = end;
	request_let_go(request);
	if (request->state == REQUEST_ANSWERING || request->state == REQUEST_FLUSHING ||
	    request->state == REQUEST_TUNNEL) {
		/* Its head has gone out with another status: it must look cut short. */
		client_abort(request->client);
		return;
	}
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	struct buf page = {0};
	error_page(&page, request->wants_html, status, str_from(text), request->id);
	answer_ourselves(request, status, error_page_type(request->wants_html), error_page_fields(status), buf_str(&page));
	buf_free(&page);
}

/* ---- time ---- */

void
request_progress(struct request *request)
{
	struct client *client = request->client;
	const struct config *config = request->traffic->config;
	switch (request->state) {
	case REQUEST_READING:
		client_deadline(client, config->body_timeout_ms);
		return;
	case REQUEST_WAITING:
		client_deadline(client, 0);
		return;
	case REQUEST_SENDING:
	case REQUEST_ANSWERING:
		if (client_pending(client) > 0)
			client_deadline(client, config->write_timeout_ms);
		else
			client_deadline(client, request->app->response_timeout_ms);
		return;
	case REQUEST_FLUSHING:
		client_deadline(client, config->write_timeout_ms);
		return;
	case REQUEST_TUNNEL:
	case REQUEST_STATE_N:
		return;
	}
}

/* ---- a process for it ---- */

static void
request_finish_head(struct request *request)
{
	enum http_framing framing = request->up_framing;
	uint64_t length = request->content_length;
	if (framing == HTTP_FRAMING_CHUNKED && request->app->buffer_upload) {
		framing = HTTP_FRAMING_LENGTH;
		length = request->body_bytes;
	}
	if (request->app->type->protocol == APP_PROTOCOL_SESSION)
		request->head_len = forward_finish_session(request->head, request->head_len, framing, length, request->bypass);
	else
		request->head_len = forward_finish_http(request->head, request->head_len, framing, length);
	assert(request->head_len > 0);
}

/* Nothing of it has been used up that can not be sent again. */
static bool
request_can_repeat(const struct request *request)
{
	return request->tries < REQUEST_TRIES_MAX && request->client->state == CLIENT_OPEN &&
	       request->body_bytes == 0 && upload_complete(request);
}

static void
request_connect(struct request *request)
{
	struct process *process = request->session.process;
	bool once = !http_method_safe(request->method_id);
	request->state = REQUEST_SENDING;
	request->tries++;
	request->head_sent = 0;
	request->scan = (struct http_scan){0};
	request->sent_ms = request->traffic->loop->now_ms;
	request->backend = backend_take(request->traffic, process, once, &request_backend_handler, request);
	if (request->backend == NULL) {
		request_lost_backend(request, REQUEST_END_PROCESS_GONE, "it can not be reached");
		return;
	}
	if (request->expect_continue)
		answer_continue(request);
	request_progress(request);
	upload_pump(request);
	/* A streamed body was left where it came. */
	if (request->backend != NULL && !upload_complete(request))
		client_input_again(request->client);
}

static void request_session_event(struct session *session, enum session_event event);

static void
request_take_process(struct request *request)
{
	const struct app_config *app = request->app;
	request->state = REQUEST_WAITING;
	request->session.event = request_session_event;
	if (request->process != NULL) {
		request->session.kind = request->bypass ? SESSION_BYPASS : SESSION_DIRECT;
		if (process_take(request->process, &request->session, app->direct_wait_ms))
			request_connect(request);
		else
			request_progress(request);
		return;
	}
	struct group *group = pool_group(request->traffic->pool, app->id);
	switch (group_take(group, &request->session)) {
	case GROUP_TAKEN:
		request_connect(request);
		return;
	case GROUP_WAITS:
		request_progress(request);
		return;
	case GROUP_QUEUE_FULL:
		request_fail(request, REQUEST_END_QUEUE_FULL, (uint16_t)app->request_queue_overflow_status_code,
		             "The server is under heavy load: %lld requests wait already for this application. "
		             "Please try again in a moment.",
		             (long long)app->max_request_queue_size);
		return;
	case GROUP_FAILING:
		request_session_event(&request->session, SESSION_SPAWN_FAILED);
		return;
	case GROUP_STOPPED:
		request_session_event(&request->session, SESSION_STOPPED);
		return;
	}
}

void
request_dispatch(struct request *request)
{
	request_finish_head(request);
	request_take_process(request);
}

void
request_lost_backend(struct request *request, enum request_end end, const char *why)
{
	struct process *process = request->session.process;
	bool unsent = request->head_sent == 0;
	int32_t pid = process ? process->record.pid : request->session.pid;
	bool again = request_can_repeat(request) && (unsent || http_method_safe(request->method_id));
	request_drop_backend(request);
	if (process != NULL && unsent && process->record.port != 0)
		group_detach(process); /* its port is closed: it is going, whatever else */
	/* Until it is known to live, nobody else is sent there: the place stays in doubt. */
	session_abandon(&request->session);
	if (again) {
		log_info("request %.*s: process %d: %s; it is given to another process", STR_ARG(request->id), pid, why);
		request_take_process(request);
		return;
	}
	log_warn("request %.*s %.*s: process %d: %s", STR_ARG(request->method), STR_ARG(request->target), pid, why);
	request_fail(request, end, 502, "The application process ended the exchange without an answer. The log says more.");
}

static void
request_spawn_failed(struct request *request)
{
	struct group *group = pool_group(request->traffic->pool, request->app->id);
	struct str rest = str_from(group ? group->failure : ""), id = {0}, summary = {0};
	if (!str_split(&rest, '\n', &id))
		id = STR("?");
	struct str details = rest.data ? rest : str_make("", 0);
	if (rest.data == NULL || !str_split(&rest, '\n', &summary))
		summary = details;
	if (request->app->friendly_error_pages)
		request_fail(request, REQUEST_END_SPAWN_FAILED, 500,
		             "The application '%s' could not be started.\nError id: %.*s\n\n%.*s", request->app->name,
		             STR_ARG(id), STR_ARG(details));
	else
		request_fail(request, REQUEST_END_SPAWN_FAILED, 500,
		             "The application could not be started.\nError id: %.*s (the log and `passenger status` say more)",
		             STR_ARG(id));
}

static void
request_process_gone(struct request *request)
{
	switch (request->state) {
	case REQUEST_WAITING:
		request_fail(request, REQUEST_END_PROCESS_GONE, 502, "This process has ended while the request waited for it.");
		return;
	case REQUEST_SENDING:
		if (request->process != NULL && request->backend != NULL && request->backend->in.len == 0) {
			request_drop_backend(request);
			request_fail(request, REQUEST_END_PROCESS_GONE, 502, "This process has ended without an answer.");
			return;
		}
		request_lost_backend(request, REQUEST_END_PROCESS_GONE, "it ended");
		return;
	case REQUEST_ANSWERING:
	case REQUEST_TUNNEL:
		/* What it has said before it ended may still lie in the socket. */
		return;
	default:
		return;
	}
}

static void
request_waited_too_long(struct request *request)
{
	uint64_t now = request->traffic->loop->now_ms;
	if (request->process == NULL) {
		request_fail(request, REQUEST_END_QUEUE_TIMEOUT, 504,
		             "The request has waited longer than max_request_queue_time for a process.");
		return;
	}
	struct buf text = {0};
	direct_describe_busy(&text, request->process, now, now - request->session.queued_ms);
	request_fail(request, REQUEST_END_BUSY, 503, "%.*s", STR_ARG(buf_str(&text)));
	buf_free(&text);
}

static void
request_session_event(struct session *session, enum session_event event)
{
	struct request *request = container_of(session, struct request, session);
	switch (event) {
	case SESSION_READY:
		request_connect(request);
		return;
	case SESSION_SPAWN_FAILED:
		request_spawn_failed(request);
		return;
	case SESSION_TIMEOUT:
		request_waited_too_long(request);
		return;
	case SESSION_PROCESS_GONE:
		request_process_gone(request);
		return;
	case SESSION_STOPPED:
		request_fail(request, REQUEST_END_STOPPING, 503, "The server is stopping.");
		return;
	}
}

/* ---- the beginning ---- */

static struct str
field_value(const struct http_request *http, enum http_field_id id)
{
	for (uint32_t i = 0; i < http->field_count; i++)
		if (http->fields[i].id == id)
			return http->fields[i].value;
	return str_make(NULL, 0);
}

static void
request_choose_id(struct request *request, const struct http_request *http)
{
	static const char hex[] = "0123456789abcdef";
	struct str given = field_value(http, HTTP_FIELD_X_REQUEST_ID);
	if (forward_id_is_sound(given)) {
		request->id = given;
		return;
	}
	unsigned char bytes[REQUEST_ID_BYTES];
	char *text = arena_alloc(&request->arena, REQUEST_ID_BYTES * 2);
	random_bytes(bytes, sizeof(bytes));
	for (int i = 0; i < REQUEST_ID_BYTES; i++) {
		text[2 * i] = hex[bytes[i] >> 4];
		text[2 * i + 1] = hex[bytes[i] & 15];
	}
	request->id = str_make(text, REQUEST_ID_BYTES * 2);
}

static bool
accepts_html(const struct http_request *http)
{
	for (uint32_t i = 0; i < http->field_count; i++)
		if (str_equal_nocase(http->fields[i].name, STR("Accept")))
			return memmem(http->fields[i].value.data, http->fields[i].value.len, "text/html", 9) != NULL;
	return false;
}

static bool
request_is_trusted(const struct request *request)
{
	const struct listener *listener = request->client->listener;
	return listener != NULL && listener->kind == LISTENER_FRONT && listener->config->trusted;
}

/* http's strings lie in the arena: they outlive the parse. */
static void
request_describe(struct request *request, const struct http_request *http)
{
	struct client *client = request->client;
	request->method = http->method;
	request->method_id = http->method_id;
	request->target = http->target;
	request->authority = http->authority;
	request->minor = http->minor;
	request->keep_alive = http->keep_alive;
	request->expect_continue = http->expect_continue;
	request->upgrade = http->upgrade;
	request->content_length = http->content_length;
	request->referer = field_value(http, HTTP_FIELD_REFERER);
	request->user_agent = field_value(http, HTTP_FIELD_USER_AGENT);
	request->wants_html = client->listener != NULL && client->listener->kind == LISTENER_FRONT && accepts_html(http);
	request->remote = forward_client_address(http, request_is_trusted(request), str_from(client->peer));
	if (request_is_trusted(request))
		request->user = field_value(http, HTTP_FIELD_X_REMOTE_USER);
	request_choose_id(request, http);
	request->session.label = (struct session_label){
		.method = request->method,
		.path = request->target,
		.client = str_from(client->label),
		.id = request->id,
	};
}

static bool
request_build_head(struct request *request, const struct http_request *http)
{
	struct traffic *traffic = request->traffic;
	struct client *client = request->client;
	struct forward forward = {
		.http = http,
		.app = request->app,
		.trusted = request_is_trusted(request),
		.peer = client->peer_port ? str_from(client->peer) : str_make(NULL, 0),
		.peer_port = client->peer_port,
		.request_id = request->id,
		.received_us = request->received_us,
		.upgrade = request->upgrade,
	};
	size_t len = request->app->type->protocol == APP_PROTOCOL_SESSION
	                     ? forward_session(&forward, traffic->head, sizeof(traffic->head))
	                     : forward_http(&forward, traffic->head, sizeof(traffic->head));
	if (len == 0)
		return false;
	request->head = arena_alloc(&request->arena, len + FORWARD_FINISH_BYTES);
	memcpy(request->head, traffic->head, len);
	request->head_len = len;
	return true;
}

/* OPTIONS * asks about the server itself (RFC 9110 section 9.3.7). */
static bool
request_about_server(struct request *request, const struct http_request *http)
{
	if (!str_equal(http->path, STR("*")))
		return false;
	if (http->framing != HTTP_FRAMING_NONE && !(http->framing == HTTP_FRAMING_LENGTH && http->content_length == 0))
		request->keep_alive = false;
	answer_ourselves(request, 200, STR("text/plain"),
	                 STR("Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"), str_make("", 0));
	return true;
}

/* A door's request: its process is given.  False: it has been answered. */
static bool
request_admit_direct(struct request *request, const struct http_request *http)
{
	struct client *client = request->client;
	struct process *process = client->listener->process;
	if (!direct_password_is_right(process, http)) {
		atomic_fetch_add_explicit(&process->board->refused, 1, memory_order_relaxed);
		log_warn("door of process %d: wrong or missing password from %s:%u", process->record.pid, client->peer,
		         client->peer_port);
		request->keep_alive = false;
		request_fail(request, REQUEST_END_PASSWORD, 403, "%s", direct_password_help);
		return false;
	}
	request->app = process->group->app;
	request->process = process;
	request->bypass = direct_wants_bypass(http);
	if (request->bypass && !process->record.bypass) {
		request_fail(request, REQUEST_END_NO_BYPASS, 400, "%s", direct_bypass_help);
		return false;
	}
	return true;
}

/* Where it goes.  False: it has been answered. */
static bool
request_route(struct request *request, const struct http_request *http)
{
	struct client *client = request->client;
	if (client->listener == NULL) {
		request->keep_alive = false;
		request_fail(request, REQUEST_END_PROCESS_GONE, 502, "This process has ended.");
		return false;
	}
	if (client->listener->kind == LISTENER_DOOR)
		return request_admit_direct(request, http);
	request->app = route_find(request->traffic->config, client->listener->config, http->authority, http->path);
	if (request->app == NULL) {
		request_fail(request, REQUEST_END_NO_ROUTE, 404, "No application is configured for http://%.*s%.*s",
		             STR_ARG(http->authority), STR_ARG(http->path));
		return false;
	}
	return true;
}

static void
request_refuse(struct request *request, enum http_error error)
{
	const struct http_error_row *row = http_error_row(error);
	/* Nothing behind it can be trusted to be a request. */
	request->keep_alive = false;
	request_fail(request, REQUEST_END_REFUSED, row->status, "The request can not be taken: %s.", row->text);
}

static void
request_start_body(struct request *request, const struct http_request *http, bool more_input)
{
	if (!upload_begin(request, http))
		return;
	if (upload_complete(request) || !request->app->buffer_upload) {
		if (upload_complete(request))
			request->expect_continue = false;
		request_dispatch(request);
		return;
	}
	request->state = REQUEST_READING;
	if (request->expect_continue && !more_input)
		answer_continue(request);
	request_progress(request);
}

/* One whole head of len bytes; skipped: empty lines before it. */
static void
request_begin(struct client *client, const char *data, size_t len, size_t skipped, bool more_input)
{
	struct http_request *http = &client->traffic->request;
	struct request *request = request_new(client);
	struct str head = arena_copy(&request->arena, str_make(data, len));
	enum http_error error = http_parse_request(http, head.data, head.len, skipped);
	if (error != HTTP_OK) {
		request_refuse(request, error);
		return;
	}
	request_describe(request, http);
	/* Until the body is known to have ended, an answer of ours ends the connection. */
	body_decoder_init(&request->body, http->framing, http->content_length);
	if (!request_route(request, http) || request_about_server(request, http))
		return;
	if (!request_build_head(request, http)) {
		request_refuse(request, HTTP_ERROR_HEAD_TOO_LARGE);
		return;
	}
	request_start_body(request, http, more_input);
}

/* ---- the client's events ---- */

static void
request_input_ended_early(struct client *client)
{
	enum http_error error = http_scan_end(&client->scan, HTTP_REQUEST, client->in.data, client->in.len);
	if (client->in.len == 0 || error == HTTP_OK) {
		client_close(client);
		return;
	}
	struct request *request = request_new(client);
	request_refuse(request, error);
}

static size_t
request_input_head(struct client *client, const char *data, size_t len)
{
	int head = http_scan(&client->scan, HTTP_REQUEST, data, len);
	if (head == 0 && client->input == CLIENT_INPUT_ENDED) {
		request_input_ended_early(client);
		return len;
	}
	if (head == 0) {
		/* Only blank lines so far are not the beginning of a request. */
		if (client->in.len == 0)
			client_deadline(client, client->traffic->config->head_timeout_ms);
		return 0;
	}
	if (head < 0) {
		struct request *request = request_new(client);
		request_refuse(request, (enum http_error)-head);
		return len;
	}
	request_begin(client, data, (size_t)head, client->scan.skipped, len > (size_t)head);
	return (size_t)head;
}

static size_t
request_input(struct client *client, const char *data, size_t len)
{
	size_t used = 0;
	/* One head a turn: whoever sends many at once lets the others in between. */
	if (client->request == NULL) {
		used = request_input_head(client, data, len);
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
request_input_ended(struct client *client)
{
	struct request *request = client->request;
	if (request == NULL) {
		request_input_ended_early(client);
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
			request_fail(request, REQUEST_END_REFUSED, 400, "The request body is malformed: %s.", body_error_text(error));
		return;
	}
	/* Shut on one side or closed altogether: over TCP the two look the same until something is written. */
	if (request->state == REQUEST_WAITING || request->state == REQUEST_SENDING)
		client_deadline(client, REQUEST_HALF_CLOSED_MS);
}

static void
request_drained(struct client *client)
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
request_client_gone(struct client *client)
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
request_too_silent(struct request *request)
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
	log_warn("application '%s', process %d: %.*s %.*s: no byte for response_timeout", request->app->name,
	         request->session.pid, STR_ARG(request->method), STR_ARG(request->target));
	request_fail(request, REQUEST_END_SILENT, 504, "The application has not answered in time.");
}

static void
request_timeout(struct client *client)
{
	struct request *request = client->request;
	if (client->state == CLIENT_CLOSING || (request == NULL && client->in.len == 0)) {
		client_abort(client);
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
	case REQUEST_WAITING: /* set only for a client that has shut its side */
		client_abort(client);
		return;
	case REQUEST_SENDING:
	case REQUEST_ANSWERING:
		request_too_silent(request);
		return;
	case REQUEST_FLUSHING:
		request->end = REQUEST_END_CLIENT_SLOW;
		client_abort(client);
		return;
	case REQUEST_TUNNEL:
	case REQUEST_STATE_N:
		return;
	}
}

const struct client_handler request_client_handler = {
	.input = request_input,
	.input_ended = request_input_ended,
	.drained = request_drained,
	.gone = request_client_gone,
	.timeout = request_timeout,
};
