#include "wire/http_line.h"

#include "wire/http_octet.h"

enum { VERSION_BYTES = sizeof("HTTP/1.1") - 1 };

enum http_error
http_line_octet_error(char c)
{
	return c == '\r' || c == '\n' ? HTTP_ERROR_LINE_END : HTTP_ERROR_OCTET;
}

static bool
at_line_end(const char *at, const char *end)
{
	return end - at >= 2 && at[0] == '\r' && at[1] == '\n';
}

/* Why the octet at `at` ends a line too early; at may be end. */
static enum http_error
line_broken(const char *at, const char *end, enum http_error otherwise)
{
	if (at == end || at_line_end(at, end))
		return HTTP_ERROR_LINE;
	if (*at == '\t')
		return HTTP_ERROR_LINE;
	if (http_octet_is(*at, HTTP_OCTET_CONTROL))
		return http_line_octet_error(*at);
	return otherwise;
}

/* HTTP/D.D and nothing else, or the error for it. */
static enum http_error
version_error(struct str version)
{
	if (version.len == 0 || str_find(version, ' ') >= 0)
		return HTTP_ERROR_LINE;
	if (version.len != VERSION_BYTES || memcmp(version.data, "HTTP/", 5) != 0 || version.data[6] != '.' ||
	    !http_octet_is(version.data[5], HTTP_OCTET_DIGIT) || !http_octet_is(version.data[7], HTTP_OCTET_DIGIT))
		return HTTP_ERROR_VERSION;
	return version.data[5] == '1' ? HTTP_OK : HTTP_ERROR_VERSION_MAJOR;
}

static enum http_error
read_version(uint8_t *minor, const char **at, const char *end)
{
	const char *begin = *at;
	const char *stop = begin + VERSION_BYTES;
	if (end - begin < VERSION_BYTES + 2 || !at_line_end(stop, end)) {
		stop = http_octet_find_no_line(begin, end);
		if (stop == end || !at_line_end(stop, end))
			return line_broken(stop, end, HTTP_ERROR_VERSION);
	}
	if (stop - begin != VERSION_BYTES || memcmp(begin, "HTTP/1.", 7) != 0 ||
	    !http_octet_is(begin[7], HTTP_OCTET_DIGIT)) {
		enum http_error error = version_error(str_make(begin, (size_t)(stop - begin)));
		return error != HTTP_OK ? error : HTTP_ERROR_VERSION;
	}
	*minor = begin[7] == '0' ? 0 : 1; /* RFC 9110 section 2.5: 1.2 is read as 1.1 */
	*at = stop + 2;
	return HTTP_OK;
}

/* Refused whatever they ask for: CONNECT and TRACE. */
enum { METHOD_REFUSED = HTTP_METHOD_N };

static bool
is_method(const char *name, const char *method, size_t len)
{
	return memcmp(name, method, len) == 0;
}

/* An enum http_method, or METHOD_REFUSED.  Names are case-sensitive (RFC 9110
 * section 9.1).  The lengths are constants, so no call is made. */
static unsigned int
method_find(const char *name, size_t len)
{
	switch (len) {
	case 3:
		return is_method(name, "GET", 3)   ? HTTP_METHOD_GET
		       : is_method(name, "PUT", 3) ? HTTP_METHOD_PUT
		                                   : HTTP_METHOD_OTHER;
	case 4:
		return is_method(name, "POST", 4)   ? HTTP_METHOD_POST
		       : is_method(name, "HEAD", 4) ? HTTP_METHOD_HEAD
		                                    : HTTP_METHOD_OTHER;
	case 5:
		return is_method(name, "PATCH", 5)   ? HTTP_METHOD_PATCH
		       : is_method(name, "TRACE", 5) ? METHOD_REFUSED
		                                     : HTTP_METHOD_OTHER;
	case 6:
		return is_method(name, "DELETE", 6) ? HTTP_METHOD_DELETE : HTTP_METHOD_OTHER;
	case 7:
		return is_method(name, "OPTIONS", 7)   ? HTTP_METHOD_OPTIONS
		       : is_method(name, "CONNECT", 7) ? METHOD_REFUSED
		                                       : HTTP_METHOD_OTHER;
	default:
		return HTTP_METHOD_OTHER;
	}
}

static enum http_error
read_method(struct http_request *request, bool *refused, const char **at, const char *end)
{
	const char *begin = *at;
	const char *stop = http_octet_skip(begin, end, HTTP_OCTET_TOKEN);
	if (stop == end || *stop != ' ')
		return line_broken(stop, end, HTTP_ERROR_METHOD);
	if (stop == begin)
		return HTTP_ERROR_METHOD;
	request->method = str_make(begin, (size_t)(stop - begin));
	unsigned int found = method_find(begin, request->method.len);
	*refused = found == METHOD_REFUSED;
	request->method_id = *refused ? HTTP_METHOD_OTHER : (enum http_method)found;
	*at = stop + 1;
	return HTTP_OK;
}

static enum http_error
read_target(struct http_request *request, const char **at, const char *end)
{
	const char *begin = *at, *question = NULL, *stop = begin;
	for (;;) {
		stop = http_octet_find_target_end(stop, end);
		if (stop == end || *stop != '?')
			break;
		if (question == NULL)
			question = stop;
		stop++;
	}
	if (stop == end || *stop != ' ')
		return line_broken(stop, end, HTTP_ERROR_TARGET);
	if (stop == begin)
		return HTTP_ERROR_LINE;
	request->target = str_make(begin, (size_t)(stop - begin));
	request->path = str_make(begin, (size_t)((question ? question : stop) - begin));
	request->query = question ? str_make(question + 1, (size_t)(stop - question - 1)) : (struct str){NULL, 0};
	*at = stop + 1;
	return HTTP_OK;
}

static bool
ipv6_valid(struct str address)
{
	if (address.len < 2)
		return false;
	for (size_t i = 0; i < address.len; i++)
		if (!http_octet_is(address.data[i], HTTP_OCTET_HEX) && address.data[i] != ':' && address.data[i] != '.')
			return false;
	return str_find(address, ':') >= 0;
}

/* The end of the registered name at the front (RFC 3986 section 3.2.2), or
 * NULL when it has a '%' without two digits. */
static const char *
name_end(const char *at, const char *end)
{
	for (;;) {
		at = http_octet_skip(at, end, HTTP_OCTET_HOST);
		if (at == end || *at != '%')
			return at;
		if (end - at < 3 || !http_octet_is(at[1], HTTP_OCTET_HEX) || !http_octet_is(at[2], HTTP_OCTET_HEX))
			return NULL;
		at += 3;
	}
}

/* [ ":" port ] and nothing else */
static bool
port_valid(const char *at, const char *end)
{
	uint64_t number;
	if (at == end)
		return true;
	if (*at != ':')
		return false;
	struct str port = str_make(at + 1, (size_t)(end - at - 1));
	return port.len == 0 || (str_to_u64(port, &number) && number <= 65535);
}

bool
http_line_authority_valid(struct str authority)
{
	const char *end = authority.data + authority.len;
	if (authority.len == 0)
		return false;
	if (authority.data[0] == '[') {
		ptrdiff_t close = str_find(authority, ']');
		return close > 0 && ipv6_valid(str_make(authority.data + 1, (size_t)close - 1)) &&
		       port_valid(authority.data + close + 1, end);
	}
	const char *stop = name_end(authority.data, end);
	return stop != NULL && stop > authority.data && port_valid(stop, end);
}

/* absolute-form (RFC 9112 section 3.2.2): path holds all before the '?' so far. */
static enum http_error
split_absolute(struct http_request *request)
{
	struct str rest = request->path;
	size_t scheme = str_starts_nocase(rest, STR("http://")) ? 7 : str_starts_nocase(rest, STR("https://")) ? 8 : 0;
	if (scheme == 0)
		return HTTP_ERROR_TARGET;
	rest = str_make(rest.data + scheme, rest.len - scheme);
	ptrdiff_t slash = str_find(rest, '/');
	request->authority = slash < 0 ? rest : str_make(rest.data, (size_t)slash);
	request->path = slash < 0 ? STR("/") : str_make(rest.data + slash, rest.len - (size_t)slash);
	return http_line_authority_valid(request->authority) ? HTTP_OK : HTTP_ERROR_TARGET;
}

static enum http_error
check_form(struct http_request *request)
{
	request->authority = (struct str){NULL, 0};
	if (request->target.data[0] == '/')
		return HTTP_OK;
	if (str_equal(request->target, STR("*")))
		return request->method_id == HTTP_METHOD_OPTIONS ? HTTP_OK : HTTP_ERROR_TARGET;
	return split_absolute(request);
}

enum http_error
http_line_request(struct http_request *request, const char **at, const char *end)
{
	bool refused = false;
	enum http_error error = read_method(request, &refused, at, end);
	if (error == HTTP_OK)
		error = read_target(request, at, end);
	if (error == HTTP_OK)
		error = read_version(&request->minor, at, end);
	if (error != HTTP_OK)
		return error;
	/* before the target's form: CONNECT has one that only it may have */
	if (refused)
		return HTTP_ERROR_METHOD_REFUSED;
	return check_form(request);
}

enum http_error
http_line_status(struct http_response *response, const char **at, const char *end)
{
	const char *line = *at;
	const char *stop = http_octet_find_control(line, line, end);
	if (stop == end)
		return HTTP_ERROR_STATUS;
	if (!at_line_end(stop, end))
		return http_line_octet_error(*stop);
	/* "HTTP/1.1 200 ": without a reason the last SP is often left out (php -S, gunicorn) */
	size_t begin_bytes = VERSION_BYTES + 4;
	size_t bytes = (size_t)(stop - line);
	if (bytes < begin_bytes || line[8] != ' ' || (bytes > begin_bytes && line[begin_bytes++] != ' '))
		return HTTP_ERROR_STATUS;
	if (version_error(str_make(line, VERSION_BYTES)) != HTTP_OK)
		return HTTP_ERROR_STATUS;
	uint64_t status;
	if (!str_to_u64(str_make(line + 9, 3), &status) || status < 100 || status > 599)
		return HTTP_ERROR_STATUS;
	response->status = (uint16_t)status;
	response->minor = line[7] == '0' ? 0 : 1;
	response->reason = str_make(line + begin_bytes, bytes - begin_bytes);
	*at = stop + 2;
	return HTTP_OK;
}
