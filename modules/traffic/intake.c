#include "traffic/request.h"

#include "base/log.h"
#include "base/random.h"
#include "pool/route.h"
#include "traffic/direct.h"
#include "traffic/error_page.h"
#include "traffic/forward.h"
#include "traffic/static_files.h"
#include "traffic/sticky.h"

enum { REQUEST_ID_BYTES = 16 };

static struct str
field_value(const struct http_request *http, enum http_field_id id)
{
	for (uint32_t i = 0; i < http->field_count; i++)
		if (http->fields[i].id == id)
			return http->fields[i].value;
	return str_make(NULL, 0);
}

static void
intake_choose_id(struct request *request, const struct http_request *http)
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

/* A browser takes JSON too, in some way, but what it is after is a page; at a door there are none. */
static enum error_format
choose_format(const struct http_request *http, bool front)
{
	struct str accept = {0};
	for (uint32_t i = 0; i < http->field_count; i++)
		if (str_equal_nocase(http->fields[i].name, STR("Accept")))
			accept = http->fields[i].value;
	if (front && str_search(accept, STR("text/html")) != NULL)
		return ERROR_FORMAT_HTML;
	if (str_search(accept, STR("application/json")) != NULL)
		return ERROR_FORMAT_JSON;
	return ERROR_FORMAT_TEXT;
}

static bool
intake_is_trusted(const struct request *request)
{
	const struct listener *listener = request->client->listener;
	return listener != NULL && listener->kind == LISTENER_FRONT && listener->config->trusted;
}

/* http's strings lie in the arena: they outlive the parse. */
static void
intake_describe(struct request *request, const struct http_request *http)
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
	request->error_format =
		(uint8_t)choose_format(http, client->listener != NULL && client->listener->kind == LISTENER_FRONT);
	request->remote = forward_client_address(http, intake_is_trusted(request), str_from(client->peer));
	if (intake_is_trusted(request))
		request->user = field_value(http, HTTP_FIELD_X_REMOTE_USER);
	intake_choose_id(request, http);
	request->session.label = (struct session_label){
		.method = request->method,
		.path = request->target,
		.client = str_from(client->label),
		.host = request->authority,
		.id = request->id,
	};
}

static bool
intake_build_head(struct request *request, const struct http_request *http)
{
	struct traffic *traffic = request->traffic;
	struct client *client = request->client;
	struct forward forward = {
		.http = http,
		.app = request->app,
		.trusted = intake_is_trusted(request),
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
intake_about_server(struct request *request, const struct http_request *http)
{
	if (!str_equal(http->path, STR("*")))
		return false;
	if (http->framing != HTTP_FRAMING_NONE && !(http->framing == HTTP_FRAMING_LENGTH && http->content_length == 0))
		request->keep_alive = false;
	answer_ourselves(request, 200, STR("text/plain"),
	                 STR("Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"), str_make("", 0));
	return true;
}

/* Two users are none: whoever set them did not unset the client's own. */
static bool
intake_has_two_users(const struct http_request *http)
{
	unsigned found = 0;
	for (uint32_t i = 0; i < http->field_count; i++)
		found += http->fields[i].id == HTTP_FIELD_X_REMOTE_USER;
	return found > 1;
}

/* A door's request: its process is given.  False: it has been answered. */
static bool
intake_admit_direct(struct request *request, const struct http_request *http)
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
	request_set_app(request, process->group->app);
	request->process = process;
	request->kind = direct_wants_bypass(http) ? SESSION_BYPASS : SESSION_DIRECT;
	if (request->kind == SESSION_BYPASS && !process->record.bypass) {
		request_fail(request, REQUEST_END_NO_BYPASS, 400, "%s", direct_bypass_help);
		return false;
	}
	return true;
}

/* Where it goes.  False: it has been answered. */
static bool
intake_route(struct request *request, const struct http_request *http)
{
	struct client *client = request->client;
	if (client->listener == NULL) {
		request->keep_alive = false;
		request_fail(request, REQUEST_END_PROCESS_GONE, 502, "This process has ended.");
		return false;
	}
	if (client->listener->kind == LISTENER_DOOR)
		return intake_admit_direct(request, http);
	const struct app_config *app;
	request_set_app(request,
	                route_find(request->traffic->config, client->listener->config, http->authority, http->path));
	if (request->app == NULL) {
		request_fail(request, REQUEST_END_NO_ROUTE, 404, "No application is configured for http://%.*s%.*s",
		             STR_ARG(http->authority), STR_ARG(http->path));
		return false;
	}
	app = request->app;
	const struct group *group = pool_group(request->traffic->pool, app->id);
	if (group != NULL && group->long_texts[MESSAGE_MAINTENANCE].len > 0) {
		request_fail(request, REQUEST_END_MAINTENANCE, 503,
		             "This application is down for maintenance. Please try again in a few minutes.");
		return false;
	}
	if (app->unlimited_concurrency_paths != NULL && route_is_unlimited(app, http->path))
		request->kind = SESSION_UNLIMITED;
	if (app->sticky_sessions)
		sticky_read(request, http);
	return true;
}

static void
intake_answer(struct request *request, enum http_error error)
{
	const struct http_error_row *row = http_error_row(error);
	/* Nothing behind it can be trusted to be a request. */
	request->keep_alive = false;
	request_fail(request, REQUEST_END_REFUSED, row->status, "The request can not be taken: %s.", row->text);
}

static void
intake_start_body(struct request *request, const struct http_request *http, bool more_input)
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

void
intake_begin(struct client *client, const char *data, size_t len, size_t skipped, bool more_input)
{
	struct http_request *http = &client->traffic->request;
	struct request *request = request_new(client);
	struct str head = arena_copy(&request->arena, str_make(data, len));
	enum http_error error = http_parse_request(http, head.data, head.len, skipped);
	if (error != HTTP_OK) {
		intake_answer(request, error);
		return;
	}
	intake_describe(request, http);
	/* Until the body is known to have ended, an answer of ours ends the connection. */
	body_decoder_init(&request->body, http->framing, http->content_length);
	if (intake_is_trusted(request) && intake_has_two_users(http)) {
		request_fail(request, REQUEST_END_REFUSED, 400,
		             "The request can not be taken: X-Remote-User stands in it twice.");
		return;
	}
	if (!intake_route(request, http) || intake_about_server(request, http))
		return;
	if (static_files_answer(request, http))
		return;
	if (!intake_build_head(request, http)) {
		intake_answer(request, HTTP_ERROR_HEAD_TOO_LARGE);
		return;
	}
	intake_start_body(request, http, more_input);
}

void
intake_refuse(struct client *client, enum http_error error)
{
	intake_answer(request_new(client), error);
}
