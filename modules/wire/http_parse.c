#include "wire/http.h"

#include "wire/http_field.h"
#include "wire/http_line.h"
#include "wire/http_octet.h"

/* What the fields of one head mean together. */

#define LENGTH_MAX (UINT64_C(1) << 60) /* no body is longer; sums of such lengths do not overflow */

enum {
	CONNECTION_OPTIONS_MAX = 32, /* each is compared with each field name */
};

/* What the Connection fields say. */
struct connection {
	bool close;
	bool keep_alive;
	bool upgrade;
	uint32_t options;
};

/* Both kinds of head, as far as they have the same meaning. */
struct head {
	struct http_field *fields;
	uint32_t field_count;
	struct http_field_set set;
	uint8_t minor;
	struct connection connection;
	uint64_t content_length;
};

static struct str
field_value(const struct head *head, enum http_field_id id)
{
	return head->fields[head->set.place[id]].value;
}

static bool
is_token(struct str s)
{
	return s.len > 0 && http_octet_skip(s.data, s.data + s.len, HTTP_OCTET_TOKEN) == s.data + s.len;
}

/*
 * Content-Length
 */

static enum http_error
read_length(struct head *head)
{
	if (http_field_doubled(&head->set, HTTP_FIELD_CONTENT_LENGTH))
		return HTTP_ERROR_LENGTH;
	uint64_t length;
	if (!str_to_u64(field_value(head, HTTP_FIELD_CONTENT_LENGTH), &length) || length > INT64_MAX)
		return HTTP_ERROR_LENGTH;
	if (length > LENGTH_MAX)
		return HTTP_ERROR_LENGTH_TOO_LARGE;
	head->content_length = length;
	return HTTP_OK;
}

/*
 * Transfer-Encoding
 */

/* What a list of codings holds, over all its field lines. */
struct codings {
	uint32_t count;
	uint32_t chunked; /* how often */
	uint32_t known;   /* registered, and not chunked */
	bool chunked_last;
	bool malformed;
};

static bool
coding_known(struct str coding)
{
	static const struct str known[] = {
		STR("gzip"), STR("x-gzip"), STR("deflate"), STR("compress"), STR("x-compress"), STR("identity"),
	};
	for (size_t i = 0; i < array_count(known); i++)
		if (http_field_same(coding, known[i]))
			return true;
	return false;
}

static void
count_codings(struct codings *codings, struct str list)
{
	struct str word;
	while (str_split(&list, ',', &word)) {
		word = str_trim(word);
		codings->count++;
		codings->malformed |= !is_token(word);
		codings->chunked_last = http_field_same(word, STR("chunked"));
		codings->chunked += codings->chunked_last;
		codings->known += coding_known(word);
	}
}

/*
 * RFC 9112 section 6.1 and 6.3: chunked must be there once and last, or the
 * message has no known end.  A coding that we do not know is 501, but only when
 * nothing else is wrong with the list.
 */
static enum http_error
coding_error(const struct head *head)
{
	struct codings codings = {0};
	if (head->minor == 0)
		return HTTP_ERROR_CODING_VERSION;
	if (http_field_seen(&head->set, HTTP_FIELD_CONTENT_LENGTH))
		return HTTP_ERROR_LENGTH_AND_CODING;
	for (uint32_t i = 0; i < head->field_count; i++)
		if (head->fields[i].id == HTTP_FIELD_TRANSFER_ENCODING)
			count_codings(&codings, head->fields[i].value);
	if (codings.malformed)
		return HTTP_ERROR_CODING;
	if (codings.chunked_last && codings.count == 1)
		return HTTP_OK;
	if (codings.chunked_last && codings.chunked == 1)
		return HTTP_ERROR_CODING_UNKNOWN;
	return codings.chunked > 0 || codings.known == codings.count ? HTTP_ERROR_CODING : HTTP_ERROR_CODING_UNKNOWN;
}

/*
 * Connection
 */

/* Fields that no peer may have stripped by naming them: those that frame and
 * route the message, and those by which a proxy tells us about the client. */
static bool
field_protected(uint16_t id)
{
	switch (id) {
	case HTTP_FIELD_HOST:
	case HTTP_FIELD_CONTENT_LENGTH:
	case HTTP_FIELD_TRANSFER_ENCODING:
	case HTTP_FIELD_X_FORWARDED_FOR:
	case HTTP_FIELD_X_FORWARDED_PROTO:
	case HTTP_FIELD_X_FORWARDED_HOST:
	case HTTP_FIELD_X_FORWARDED_PORT:
	case HTTP_FIELD_X_FORWARDED_OTHER:
	case HTTP_FIELD_X_REMOTE_USER:
	case HTTP_FIELD_X_REQUEST_ID:
	case HTTP_FIELD_X_REQUEST_START:
	case HTTP_FIELD_CONNECT_PASSWORD:
	case HTTP_FIELD_CONNECT_BYPASS:
	case HTTP_FIELD_PASSENGER:
		return true;
	default:
		return false;
	}
}

static void
mark_hop(struct head *head, struct str name)
{
	for (uint32_t i = 0; i < head->field_count; i++) {
		struct http_field *field = &head->fields[i];
		if (str_equal_nocase(field->name, name) && !field_protected(field->id))
			field->flags |= HTTP_FIELD_HOP;
	}
}

static enum http_error
read_options(struct head *head, struct str list)
{
	struct connection *connection = &head->connection;
	struct str word;
	if (http_field_same(list, STR("keep-alive"))) {
		connection->keep_alive = true; /* what nearly all say */
		return HTTP_OK;
	}
	while (str_split(&list, ',', &word)) {
		word = str_trim(word);
		if (word.len == 0)
			continue; /* RFC 9110 section 5.6.1.2 */
		if (!is_token(word) || ++connection->options > CONNECTION_OPTIONS_MAX)
			return HTTP_ERROR_CONNECTION;
		if (http_field_same(word, STR("close")))
			connection->close = true;
		else if (http_field_same(word, STR("keep-alive")))
			connection->keep_alive = true;
		else if (http_field_same(word, STR("upgrade")))
			connection->upgrade = true;
		else
			mark_hop(head, word);
	}
	return HTTP_OK;
}

static enum http_error
read_connection(struct head *head)
{
	head->connection = (struct connection){0};
	if (!http_field_seen(&head->set, HTTP_FIELD_CONNECTION))
		return HTTP_OK;
	if (!http_field_doubled(&head->set, HTTP_FIELD_CONNECTION))
		return read_options(head, field_value(head, HTTP_FIELD_CONNECTION));
	for (uint32_t i = 0; i < head->field_count; i++) {
		if (head->fields[i].id != HTTP_FIELD_CONNECTION)
			continue;
		enum http_error error = read_options(head, head->fields[i].value);
		if (error != HTTP_OK)
			return error;
	}
	return HTTP_OK;
}

/* RFC 9112 section 9.3 */
static bool
stays_open(const struct head *head)
{
	return !head->connection.close && (head->minor >= 1 || head->connection.keep_alive);
}

/* The protocol asked for, or empty: HTTP/1.0 can not ask, and h2c is not
 * offered (RFC 9113 section 3.1), nor a list that holds it. */
static struct str
read_upgrade(const struct head *head)
{
	const struct str none = {NULL, 0};
	if (!head->connection.upgrade || head->minor == 0 || !http_field_seen(&head->set, HTTP_FIELD_UPGRADE) ||
	    http_field_doubled(&head->set, HTTP_FIELD_UPGRADE))
		return none;
	struct str value = field_value(head, HTTP_FIELD_UPGRADE), list = value, word;
	while (str_split(&list, ',', &word))
		if (http_field_same(str_trim(word), STR("h2c")))
			return none;
	return value;
}

/* The lengths of a head, both kinds of it checked. */
static enum http_error
read_framing(struct head *head, enum http_framing *framing, enum http_framing otherwise)
{
	head->content_length = 0;
	*framing = otherwise;
	if (http_field_seen(&head->set, HTTP_FIELD_TRANSFER_ENCODING)) {
		*framing = HTTP_FRAMING_CHUNKED;
		return coding_error(head);
	}
	if (http_field_seen(&head->set, HTTP_FIELD_CONTENT_LENGTH)) {
		*framing = HTTP_FRAMING_LENGTH;
		return read_length(head);
	}
	return HTTP_OK;
}

/*
 * Requests
 */

/* RFC 9112 section 3.2, for every minor version; empty is allowed. */
static enum http_error
read_host(struct http_request *request, const struct head *head)
{
	if (!http_field_seen(&head->set, HTTP_FIELD_HOST))
		return head->minor == 0 ? HTTP_OK : HTTP_ERROR_HOST;
	struct str host = field_value(head, HTTP_FIELD_HOST);
	if (http_field_doubled(&head->set, HTTP_FIELD_HOST) || (host.len > 0 && !http_line_authority_valid(host)))
		return HTTP_ERROR_HOST;
	if (request->authority.data == NULL)
		request->authority = host;
	return HTTP_OK;
}

/* token [ "=" … ]: what is not even that is no expectation, and is ignored. */
static bool
is_expectation(struct str word)
{
	const char *end = word.data + word.len;
	const char *stop = http_octet_skip(word.data, end, HTTP_OCTET_TOKEN);
	return stop > word.data && (stop == end || *stop == '=' || *stop == ';');
}

static enum http_error
read_expect_list(struct http_request *request, struct str list)
{
	struct str word;
	while (str_split(&list, ',', &word)) {
		word = str_trim(word);
		if (http_field_same(word, STR("100-continue")))
			request->expect_continue = true;
		else if (is_expectation(word))
			return HTTP_ERROR_EXPECT;
	}
	return HTTP_OK;
}

/* RFC 9110 section 10.1.1: HTTP/1.0 has no expectations, and without content
 * there is nothing to wait for. */
static enum http_error
read_expect(struct http_request *request, const struct head *head)
{
	request->expect_continue = false;
	if (!http_field_seen(&head->set, HTTP_FIELD_EXPECT) || head->minor == 0)
		return HTTP_OK;
	for (uint32_t i = 0; i < head->field_count; i++) {
		if (head->fields[i].id != HTTP_FIELD_EXPECT)
			continue;
		enum http_error error = read_expect_list(request, head->fields[i].value);
		if (error != HTTP_OK)
			return error;
	}
	request->expect_continue &= request->framing == HTTP_FRAMING_CHUNKED || request->content_length > 0;
	return HTTP_OK;
}

enum http_error
http_parse_request(struct http_request *request, const char *data, size_t len, size_t skipped)
{
	struct head head;
	const char *at = data + skipped, *end = data + len;
	enum http_error error = http_line_request(request, &at, end);
	if (error != HTTP_OK)
		return error;
	error = http_field_read(request->fields, &request->field_count, &head.set, at, end);
	if (error != HTTP_OK)
		return error;
	head.fields = request->fields;
	head.field_count = request->field_count;
	head.minor = request->minor;
	error = read_host(request, &head);
	if (error == HTTP_OK)
		error = read_framing(&head, &request->framing, HTTP_FRAMING_NONE);
	request->content_length = head.content_length;
	if (error == HTTP_OK)
		error = read_connection(&head);
	if (error == HTTP_OK)
		error = read_expect(request, &head);
	if (error != HTTP_OK)
		return error;
	request->keep_alive = stays_open(&head);
	request->upgrade = read_upgrade(&head);
	if (request->upgrade.len > 0 && (request->framing == HTTP_FRAMING_CHUNKED || request->content_length > 0))
		return HTTP_ERROR_UPGRADE_BODY;
	return HTTP_OK;
}

/*
 * Responses
 */

/* RFC 9112 section 6.3, rules 1 and 2 */
static bool
has_no_body(uint16_t status, enum http_method request_method)
{
	return status < 200 || status == 204 || status == 304 || request_method == HTTP_METHOD_HEAD;
}

enum http_error
http_parse_response(struct http_response *response, enum http_method request_method, const char *data, size_t len)
{
	struct head head;
	const char *at = data, *end = data + len;
	enum http_error error = http_line_status(response, &at, end);
	if (error != HTTP_OK)
		return error;
	error = http_field_read(response->fields, &response->field_count, &head.set, at, end);
	if (error != HTTP_OK)
		return error;
	head.fields = response->fields;
	head.field_count = response->field_count;
	head.minor = response->minor;
	error = read_framing(&head, &response->framing, HTTP_FRAMING_CLOSE);
	response->content_length = head.content_length;
	response->has_content_length = response->framing == HTTP_FRAMING_LENGTH;
	if (error == HTTP_OK)
		error = read_connection(&head);
	if (error != HTTP_OK)
		return error;
	if (has_no_body(response->status, request_method))
		response->framing = HTTP_FRAMING_NONE;
	response->upgrade = response->status == 101 ? read_upgrade(&head) : (struct str){NULL, 0};
	response->keep_alive = stays_open(&head) && response->framing != HTTP_FRAMING_CLOSE && response->status != 101;
	return HTTP_OK;
}
