#include "traffic/request.h"

#include "base/log.h"
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
	REQUEST_REPEAT_AFTER_MS = 50,
	REQUEST_LAST_WORDS_MS = 2000, /* for an answer to come through after its process has ended */
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
	[REQUEST_END_MAINTENANCE] = "in maintenance",
	[REQUEST_END_CLIENT_GONE] = "client gone",
	[REQUEST_END_CLIENT_SLOW] = "client too slow",
	[REQUEST_END_PROCESS_GONE] = "process ended",
	[REQUEST_END_PROCESS_CLOSED] = "process closed without an answer",
	[REQUEST_END_BAD_ANSWER] = "malformed answer",
	[REQUEST_END_SILENT] = "application silent",
	[REQUEST_END_TOO_LONG] = "max_request_time",
	[REQUEST_END_CUT] = "answer cut short",
	[REQUEST_END_TUNNEL_SILENT] = "upgraded connection silent",
};

const char *
request_end_text(enum request_end end)
{
	return request_end_texts[end];
}

/* ---- memory ---- */

static struct request *request_spares[REQUEST_SPARES_MAX];
static unsigned request_spare_count;

struct request *
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

void
request_set_app(struct request *request, const struct app_config *app)
{
	request->app = app;
	if (app == NULL || app->config == NULL)
		return;
	config_retain(app->config);
	app->config->requests++;
}

static void
request_release(struct request *request)
{
	if (request->app != NULL && request->app->config != NULL) {
		request->app->config->requests--;
		config_release(request->app->config);
	}
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

/* What was handed to a client that is gone and what it got are not the same. */
static uint64_t
request_bytes_out(const struct request *request)
{
	uint64_t pending = client_pending(request->client);
	return request->answer_bytes > pending ? request->answer_bytes - pending : 0;
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
		.direct = session_kind_is_direct(request->kind),
		.status = request->status,
		.bytes_out = request_bytes_out(request),
		.received_us = request->received_us,
		.total_ms = now - request->received_ms,
		.queue_ms = request->sent_ms ? request->sent_ms - request->received_ms : now - request->received_ms,
		.app_ms = request->sent_ms ? (request->answered_ms ? request->answered_ms : now) - request->sent_ms : 0,
		.end = request->end == REQUEST_END_OK ? NULL : request_end_text(request->end),
	};
	access_log_write(traffic, &record);
}

void
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
	if (--traffic->requests == 0 && traffic->state != TRAFFIC_SERVING)
		traffic->quiet(traffic);
}

void
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
	if (client->traffic->state == TRAFFIC_HANDING_OVER)
		client->traffic->idle(client);
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

void
request_let_go(struct request *request)
{
	bool given = request->backend != NULL && request->head_sent > 0;
	request_drop_backend(request);
	if (given)
		session_abandon(&request->session);
	else
		session_end(&request->session);
}

/* What the application's group knows for its page. */
static void
add_group(const struct request *request, struct error_page *page)
{
	const struct app_config *app = request->app;
	struct group *group = app != NULL ? pool_group_of(request->traffic->pool, app) : NULL;
	if (group == NULL)
		return;
	if (request->end == REQUEST_END_SPAWN_FAILED) {
		struct str rest = str_from(group->failure);
		if (!str_split(&rest, '\n', &page->error_id))
			page->error_id = STR("");
		if (app->friendly_error_pages)
			page->report = buf_str(&group->long_texts[MESSAGE_FAILURE_REPORT]);
	}
	const struct buf *own = &group->long_texts[MESSAGE_MAINTENANCE];
	if (request->end == REQUEST_END_MAINTENANCE && own->len > 1) {
		page->custom = buf_str(own);
		page->format = ERROR_FORMAT_HTML;
	} else if (page->status >= 500 && page->report.len == 0)
		page->custom = buf_str(&group->long_texts[MESSAGE_ERROR_PAGE]);
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
	struct error_page page = {.format = (enum error_format)request->error_format,
	                          .status = status,
	                          .text = str_from(text),
	                          .request_id = request->id};
	struct buf out = {0};
	add_group(request, &page);
	error_page(&out, &page);
	answer_ourselves(request, status, error_page_type(page.format),
	                 end == REQUEST_END_MAINTENANCE ? STR("Retry-After: 60\r\nCache-Control: no-store\r\n")
	                                                : error_page_fields(status),
	                 buf_str(&out));
	buf_free(&out);
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
		client_deadline(client, request->app->upgrade_idle_timeout_ms);
		return;
	case REQUEST_STATE_N:
		return;
	}
}

/* ---- a process for it ---- */

/* What is small goes in one piece, body and all, which is kept until there is an answer. */
static void
request_join_body(struct request *request)
{
	size_t len = request->head_len;
	if (!upload_complete(request) || len + spool_bytes(&request->up) > REQUEST_AT_ONCE_BYTES)
		return;
	request->whole = true;
	if (request->body_bytes == 0)
		return;
	char *joined = arena_alloc(&request->arena, len + spool_bytes(&request->up));
	memcpy(joined, request->head, len);
	for (struct str next; (next = spool_peek(&request->up)).len > 0; len += next.len) {
		memcpy(joined + len, next.data, next.len);
		spool_consume(&request->up, next.len);
	}
	request->head = joined;
	request->head_len = len;
}

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
		request->head_len = forward_finish_session(request->head, request->head_len, framing, length,
		                                           request->kind == SESSION_BYPASS);
	else
		request->head_len = forward_finish_http(request->head, request->head_len, framing, length);
	assert(request->head_len > 0);
	request_join_body(request);
}

/* Nothing of it has been used up that can not be sent again. */
static bool
request_can_repeat(const struct request *request)
{
	bool has_process = !session_kind_is_direct(request->kind) || request->process != NULL;
	return has_process && request->session.limit == LIMIT_NONE && request->tries < REQUEST_TRIES_MAX &&
	       request->client->state == CLIENT_OPEN &&
	       (request->whole || request->body_bytes == 0 || request->head_sent == 0) && upload_complete(request);
}

static void
request_connect(struct request *request)
{
	struct process *process = request->session.process;
	bool once = !http_method_safe(request->method_id);
	request->state = REQUEST_SENDING;
	request->tries++;
	request->head_sent = request->writes = 0;
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

void
request_take_process(struct request *request)
{
	const struct app_config *app = request->app;
	request->state = REQUEST_WAITING;
	request->session.event = request_session_event;
	request->session.kind = request->kind;
	if (session_kind_is_direct(request->kind)) {
		if (process_take(request->process, &request->session, app->direct_wait_ms))
			request_connect(request);
		else
			request_progress(request);
		return;
	}
	struct group *group = pool_group_of(request->traffic->pool, app);
	if (group != NULL)
		group_restart_always(group);
	request->session.wish =
		group != NULL && request->sticky.len > 0 ? group_sticky_find(group, request->sticky) : NULL;
	switch (group != NULL ? group_take(group, &request->session) : GROUP_STOPPED) {
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
	bool again = request_can_repeat(request) &&
	             (unsent || (http_method_safe(request->method_id) && request->repeats++ < REQUEST_REPEATS_MAX));
	request_drop_backend(request);
	if (process != NULL && unsent && process->record.port != 0 && process->state != PROCESS_WARMING)
		group_detach(process); /* its port is closed: it is going, whatever else */
	/* Until it is known to live, nobody else is sent there: the place stays in doubt. */
	session_abandon(&request->session);
	if (again && session_kind_is_direct(request->kind)) {
		/* There is no other process for it; perhaps only this connection was closing. */
		request_take_process(request);
		return;
	}
	if (again) {
		log_info("request %.*s: process %d: %s; it is given to another process", STR_ARG(request->id), pid, why);
		/* Not at once: the process is most likely dying, and a moment later that is known. */
		request->state = REQUEST_WAITING;
		client_deadline(request->client, REQUEST_REPEAT_AFTER_MS);
		return;
	}
	if (request->session.limit == LIMIT_MAX_REQUEST_TIME) {
		request_fail(request, REQUEST_END_TOO_LONG, 504, "The request has run for max_request_time.");
		return;
	}
	log_warn("request %.*s %.*s: process %d: %s", STR_ARG(request->method), STR_ARG(request->target), pid, why);
	request_fail(request, end, 502,
	             "The application process ended the exchange without an answer. The log says more.");
}

static void
request_spawn_failed(struct request *request)
{
	const struct app_config *app = request->app;
	struct group *group = pool_group_of(request->traffic->pool, app);
	struct str details = str_from(group ? group->failure : ""), id;
	uint16_t status = (uint16_t)app->spawn_exception_status_code;
	if (!str_split(&details, '\n', &id) || id.len == 0)
		id = STR("?");
	if (app->friendly_error_pages)
		request_fail(request, REQUEST_END_SPAWN_FAILED, status,
		             "The application '%s' could not be started.\nError id: %.*s\n\n%.*s", app->name,
		             STR_ARG(id), STR_ARG(details));
	else
		request_fail(
			request, REQUEST_END_SPAWN_FAILED,
			status, "The application could not be started.\nError id: %.*s (the log and `passenger status` say more)",
			STR_ARG(id));
}

/* The kernel still has what the process said before it ended, and tells the end of the connection after it. */
static void
request_process_gone(struct request *request)
{
	request->process = NULL;
	if (request->state == REQUEST_WAITING)
		request_fail(request, REQUEST_END_PROCESS_GONE, 502,
		             "This process has ended while the request waited for it.");
	else if (request->state == REQUEST_SENDING)
		client_deadline(request->client, REQUEST_LAST_WORDS_MS);
}

static void
request_waited_too_long(struct request *request)
{
	uint64_t now = request->traffic->loop->now_ms;
	if (!session_kind_is_direct(request->kind)) {
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
	case SESSION_TUNNEL_OVER:
		tunnel_end(request);
		return;
	case SESSION_STOPPED:
		request_fail(request, REQUEST_END_STOPPING, 503,
		             "The server is stopping, or this application has just been taken out or changed.");
		return;
	}
}
