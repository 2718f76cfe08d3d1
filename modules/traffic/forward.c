#include "traffic/forward.h"

#include "wire/session_protocol.h"

#include <arpa/inet.h>

/* ---- a bounded writer ---- */

struct writer {
	char *at;
	char *end; /* NULL once something did not fit */
};

static void
put(struct writer *writer, struct str s)
{
	if (writer->end == NULL || (size_t)(writer->end - writer->at) < s.len) {
		writer->end = NULL;
		return;
	}
	if (s.len > 0)
		memcpy(writer->at, s.data, s.len);
	writer->at += s.len;
}

static void
put_char(struct writer *writer, char c)
{
	if (writer->end == NULL || writer->at == writer->end) {
		writer->end = NULL;
		return;
	}
	*writer->at++ = c;
}

static size_t
written(const struct writer *writer, const char *out)
{
	return writer->end ? (size_t)(writer->at - out) : 0;
}

/* ---- whom to believe ---- */

static struct str
field_value(const struct http_request *http, enum http_field_id id)
{
	for (uint32_t i = http->field_count; i > 0; i--)
		if (http->fields[i - 1].id == id)
			return http->fields[i - 1].value;
	return str_make(NULL, 0);
}

/* The element that the nearest proxy added: the last one of the last line. */
static struct str
last_element(struct str list)
{
	for (size_t i = list.len; i > 0; i--)
		if (list.data[i - 1] == ',')
			return str_trim(str_make(list.data + i, list.len - i));
	return str_trim(list);
}

static bool
is_address(struct str text)
{
	char z[INET6_ADDRSTRLEN], out[sizeof(struct in6_addr)];
	return str_copy_z(z, sizeof(z), text) && (inet_pton(AF_INET, z, out) == 1 || inet_pton(AF_INET6, z, out) == 1);
}

struct str
forward_client_address(const struct http_request *http, bool trusted, struct str peer)
{
	struct str list = field_value(http, HTTP_FIELD_X_FORWARDED_FOR);
	if (!trusted || list.data == NULL)
		return peer;
	struct str address = last_element(list);
	/* A client that can not be told is never taken for one on this machine. */
	return is_address(address) ? address : STR("0.0.0.0");
}

bool
forward_id_is_sound(struct str id)
{
	if (id.len == 0 || id.len > 128)
		return false;
	for (size_t i = 0; i < id.len; i++) {
		char c = id.data[i];
		bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
		if (!letter && (c == 0 || strchr("._:/+=@-", c) == NULL))
			return false;
	}
	return true;
}

struct origin {
	struct str host; /* without port */
	struct str port;
	struct str client;
	bool https;
};

static void
split_host(struct str authority, struct str *host, struct str *port)
{
	*host = authority;
	*port = str_make(NULL, 0);
	for (size_t i = authority.len; i > 0; i--) {
		char c = authority.data[i - 1];
		if (c == ']')
			return;
		if (c == ':') {
			*host = str_make(authority.data, i - 1);
			*port = str_make(authority.data + i, authority.len - i);
			return;
		}
	}
}

static struct origin
request_origin(const struct forward *forward)
{
	const struct http_request *http = forward->http;
	struct origin origin = {.client = forward_client_address(http, forward->trusted, forward->peer)};
	struct str authority = http->authority;
	struct str forwarded_port = str_make(NULL, 0);
	if (forward->trusted) {
		struct str forwarded_host = last_element(field_value(http, HTTP_FIELD_X_FORWARDED_HOST));
		if (forwarded_host.len > 0)
			authority = forwarded_host;
		origin.https =
			str_equal_nocase(last_element(field_value(http, HTTP_FIELD_X_FORWARDED_PROTO)), STR("https"));
		forwarded_port = last_element(field_value(http, HTTP_FIELD_X_FORWARDED_PORT));
	}
	split_host(authority, &origin.host, &origin.port);
	uint64_t number;
	if (forwarded_port.len > 0 && str_to_u64(forwarded_port, &number) && number > 0 && number < 65536)
		origin.port = forwarded_port;
	if (origin.port.len == 0)
		origin.port = origin.https ? STR("443") : STR("80");
	if (origin.host.len == 0)
		origin.host = STR("localhost");
	if (origin.client.len == 0)
		origin.client = STR("127.0.0.1");
	return origin;
}

static bool
has_request_start(const struct forward *forward)
{
	return forward->trusted && field_value(forward->http, HTTP_FIELD_X_REQUEST_START).len > 0;
}

/* Fields that no application sees, whatever it speaks. */
static bool
field_passes(const struct forward *forward, const struct http_field *field)
{
	if (field->flags & (HTTP_FIELD_HOP | HTTP_FIELD_NAME_DIRTY))
		return false;
	switch (field->id) {
	case HTTP_FIELD_HOST:
	case HTTP_FIELD_CONNECTION:
	case HTTP_FIELD_CONTENT_LENGTH:
	case HTTP_FIELD_TRANSFER_ENCODING:
	case HTTP_FIELD_TE:
	case HTTP_FIELD_TRAILER:
	case HTTP_FIELD_UPGRADE:
	case HTTP_FIELD_EXPECT:
	case HTTP_FIELD_KEEP_ALIVE:
	case HTTP_FIELD_PROXY_CONNECTION:
	case HTTP_FIELD_PROXY:
	case HTTP_FIELD_PROXY_AUTHENTICATE:
	case HTTP_FIELD_PROXY_AUTHORIZATION:
	case HTTP_FIELD_HTTP2_SETTINGS:
	case HTTP_FIELD_SENDFILE_TYPE:
	case HTTP_FIELD_CONNECT_PASSWORD:
	case HTTP_FIELD_CONNECT_BYPASS:
	case HTTP_FIELD_PASSENGER:
	case HTTP_FIELD_X_REQUEST_ID:
		return false;
	case HTTP_FIELD_X_REMOTE_USER:
		return forward->trusted;
	case HTTP_FIELD_X_REQUEST_START:
		return has_request_start(forward);
	default:
		return true;
	}
}

/* ---- the session protocol's environment ---- */

static void
put_pair(struct writer *writer, struct str name, struct str value)
{
	put(writer, name);
	put_char(writer, 0);
	put(writer, value);
	put_char(writer, 0);
}

/* Accept-Language → HTTP_ACCEPT_LANGUAGE (RFC 3875 section 4.1.18) */
static void
put_cgi_name(struct writer *writer, struct str name)
{
	put(writer, STR("HTTP_"));
	if (writer->end == NULL || (size_t)(writer->end - writer->at) < name.len) {
		writer->end = NULL;
		return;
	}
	for (size_t i = 0; i < name.len; i++) {
		char c = name.data[i];
		*writer->at++ = (char)(c == '-' ? '_' : c >= 'a' && c <= 'z' ? c - 32 : c);
	}
}

static void
put_field_begin(struct writer *writer, const struct http_field *field)
{
	if (field->id == HTTP_FIELD_CONTENT_TYPE)
		put(writer, STR("CONTENT_TYPE"));
	else
		put_cgi_name(writer, field->name);
	put_char(writer, 0);
	put(writer, field->value);
}

/* The next field of this name after at, or field_count. */
static uint32_t
next_of_name(const struct http_request *http, const struct http_field *field, uint32_t at)
{
	while (++at < http->field_count) {
		const struct http_field *next = &http->fields[at];
		if (next->name.len == field->name.len && next->id == field->id &&
		    str_equal_nocase(next->name, field->name))
			break;
	}
	return at;
}

/* What comes several times: each as it was sent, and then, for who takes the last of a name, all in one; cookies only so. */
static void
put_fields(struct writer *writer, const struct forward *forward)
{
	const struct http_request *http = forward->http;
	uint64_t merged[(HTTP_FIELDS_MAX + 63) / 64] = {0};
	for (uint32_t i = 0; i < http->field_count; i++) {
		const struct http_field *field = &http->fields[i];
		bool cookie = field->id == HTTP_FIELD_COOKIE;
		if ((merged[i / 64] >> (i % 64) & 1) || !field_passes(forward, field))
			continue;
		put_field_begin(writer, field);
		uint32_t second = next_of_name(http, field, i);
		for (uint32_t j = second; j < http->field_count; j = next_of_name(http, field, j)) {
			merged[j / 64] |= (uint64_t)1 << (j % 64);
			if (cookie)
				continue;
			put_char(writer, 0);
			put_field_begin(writer, &http->fields[j]);
		}
		if (second < http->field_count && !cookie) {
			put_char(writer, 0);
			put_field_begin(writer, field);
		}
		for (uint32_t j = second; j < http->field_count; j = next_of_name(http, field, j)) {
			put(writer, cookie ? STR("; ") : STR(", "));
			put(writer, http->fields[j].value);
		}
		put_char(writer, 0);
	}
}

/* base_uri is a prefix of path here: the route has seen to it. */
static void
put_paths(struct writer *writer, const struct forward *forward)
{
	const struct http_request *http = forward->http;
	struct str script = str_from(forward->app->base_uri);
	if (script.len <= 1 || !str_starts(http->path, script))
		script = str_make("", 0);
	put_pair(writer, STR("SCRIPT_NAME"), script);
	put_pair(writer, STR("PATH_INFO"), str_make(http->path.data + script.len, http->path.len - script.len));
	put_pair(writer, STR("QUERY_STRING"), http->query);
	put(writer, STR("REQUEST_URI"));
	put_char(writer, 0);
	put(writer, http->path);
	if (http->query.data != NULL) {
		put_char(writer, '?');
		put(writer, http->query);
	}
	put_char(writer, 0);
}

static void
put_times(struct writer *writer, const struct forward *forward)
{
	char text[24];
	put_pair(writer, STR("HTTP_X_REQUEST_ID"), forward->request_id);
	if (has_request_start(forward))
		return;
	put(writer, STR("HTTP_X_REQUEST_START"));
	put_char(writer, 0);
	put(writer, STR("t="));
	put(writer, str_from_u64(text, (uint64_t)forward->received_us));
	put_char(writer, 0);
}

size_t
forward_session(const struct forward *forward, char *out, size_t out_size)
{
	const struct http_request *http = forward->http;
	struct origin origin = request_origin(forward);
	struct writer writer = {.at = out + SESSION_FRAME_BYTES, .end = out + out_size - FORWARD_FINISH_BYTES};
	char port[24];
	if (out_size < SESSION_FRAME_BYTES + FORWARD_FINISH_BYTES)
		return 0;
	put_pair(&writer, STR("REQUEST_METHOD"), http->method);
	put_paths(&writer, forward);
	put_pair(&writer, STR("SERVER_PROTOCOL"), http->minor ? STR("HTTP/1.1") : STR("HTTP/1.0"));
	put_pair(&writer, STR("SERVER_NAME"), origin.host);
	put_pair(&writer, STR("SERVER_PORT"), origin.port);
	put_pair(&writer, STR("REMOTE_ADDR"), origin.client);
	put_pair(&writer, STR("REMOTE_PORT"), str_from_u64(port, forward->peer_port));
	if (origin.https)
		put_pair(&writer, STR("HTTPS"), STR("on"));
	if (http->authority.len > 0)
		put_pair(&writer, STR("HTTP_HOST"), http->authority);
	if (forward->trusted && field_value(http, HTTP_FIELD_X_REMOTE_USER).len > 0)
		put_pair(&writer, STR("REMOTE_USER"), field_value(http, HTTP_FIELD_X_REMOTE_USER));
	put_fields(&writer, forward);
	if (forward->upgrade.len > 0) {
		put_pair(&writer, STR("HTTP_CONNECTION"), STR("Upgrade"));
		put_pair(&writer, STR("HTTP_UPGRADE"), forward->upgrade);
	}
	put_times(&writer, forward);
	return written(&writer, out);
}

size_t
forward_finish_session(char *out, size_t len, enum http_framing framing, uint64_t content_length, bool bypass)
{
	struct writer writer = {.at = out + len, .end = out + len + FORWARD_FINISH_BYTES};
	unsigned flags = bypass ? SESSION_FLAG_BYPASS : 0;
	if (framing == HTTP_FRAMING_LENGTH) {
		char text[24];
		put_pair(&writer, STR("CONTENT_LENGTH"), str_from_u64(text, content_length));
		if (content_length > 0)
			flags |= SESSION_FLAG_BODY;
	} else if (framing == HTTP_FRAMING_CHUNKED) {
		flags |= SESSION_FLAG_FRAMES;
	}
	len = written(&writer, out);
	session_frame(out, SESSION_FRAME_REQUEST, flags, (uint32_t)(len - SESSION_FRAME_BYTES));
	return len;
}

/* ---- HTTP/1.1 ---- */

static void
put_field(struct writer *writer, struct str name, struct str value)
{
	put(writer, name);
	put(writer, STR(": "));
	put(writer, value);
	put(writer, STR("\r\n"));
}

/* The chain of proxies as a program behind one expects it; a trusted listener's peer is our own proxy, not a client. */
static void
put_forwarded_for(struct writer *writer, const struct forward *forward)
{
	const struct http_request *http = forward->http;
	struct str before = STR("X-Forwarded-For: ");
	bool any = false;
	for (uint32_t i = 0; i < http->field_count; i++) {
		const struct http_field *field = &http->fields[i];
		if (field->id != HTTP_FIELD_X_FORWARDED_FOR || field->value.len == 0)
			continue;
		put(writer, before);
		put(writer, field->value);
		before = STR(", ");
		any = true;
	}
	if (!forward->trusted && forward->peer.len > 0) {
		put(writer, before);
		put(writer, forward->peer);
		any = true;
	}
	if (any)
		put(writer, STR("\r\n"));
}

size_t
forward_http(const struct forward *forward, char *out, size_t out_size)
{
	const struct http_request *http = forward->http;
	struct writer writer = {.at = out, .end = out + out_size - FORWARD_FINISH_BYTES};
	if (out_size < FORWARD_FINISH_BYTES)
		return 0;
	put(&writer, http->method);
	put_char(&writer, ' ');
	put(&writer, http->path);
	if (http->query.data != NULL) {
		put_char(&writer, '?');
		put(&writer, http->query);
	}
	put(&writer, STR(" HTTP/1.1\r\n"));
	bool has_host = http->minor > 0 || http->authority.len > 0;
	put_field(&writer, STR("Host"), has_host ? http->authority : STR("localhost"));
	for (uint32_t i = 0; i < http->field_count; i++) {
		const struct http_field *field = &http->fields[i];
		if (field->id != HTTP_FIELD_X_FORWARDED_FOR && field_passes(forward, field))
			put_field(&writer, field->name, field->value);
	}
	put_forwarded_for(&writer, forward);
	put_field(&writer, STR("X-Request-Id"), forward->request_id);
	if (!has_request_start(forward)) {
		char text[24];
		put(&writer, STR("X-Request-Start: t="));
		put(&writer, str_from_u64(text, (uint64_t)forward->received_us));
		put(&writer, STR("\r\n"));
	}
	if (forward->upgrade.len > 0) {
		put_field(&writer, STR("Connection"), STR("Upgrade"));
		put_field(&writer, STR("Upgrade"), forward->upgrade);
	}
	return written(&writer, out);
}

size_t
forward_finish_http(char *out, size_t len, enum http_framing framing, uint64_t content_length)
{
	struct writer writer = {.at = out + len, .end = out + len + FORWARD_FINISH_BYTES};
	if (framing == HTTP_FRAMING_LENGTH) {
		char text[24];
		put_field(&writer, STR("Content-Length"), str_from_u64(text, content_length));
	} else if (framing == HTTP_FRAMING_CHUNKED) {
		put_field(&writer, STR("Transfer-Encoding"), STR("chunked"));
	}
	put(&writer, STR("\r\n"));
	return written(&writer, out);
}
