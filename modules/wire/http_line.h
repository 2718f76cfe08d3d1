/*
 * http_line: the first line of a head (RFC 9112 section 3 and 4), strictly:
 * one SP between its parts, CRLF at its end, nothing before.
 */
#ifndef WIRE_HTTP_LINE_H
#define WIRE_HTTP_LINE_H

#include "wire/http.h"

/*
 * Reads the request line at *at, which may not go beyond end, and moves *at
 * behind its CRLF.  Fills method, method_id, target, path, query, minor, and
 * authority for an absolute-form (else it is empty, with data NULL).
 */
enum http_error http_line_request(struct http_request *request, const char **at, const char *end) must_check;

/* The same for a status line: status, reason, minor. */
enum http_error http_line_status(struct http_response *response, const char **at, const char *end) must_check;

/* What a control octet, or the CR that does not begin a CRLF, is called. */
enum http_error http_line_octet_error(char c);

/*
 * A host with an optional port: a name of unreserved octets and %HH, or an
 * IPv6 address in brackets; digits up to 65535 after the colon.  RFC 3986 would
 * allow ! $ & ' ( ) * + , ; = in a name too, but no host is called so.
 */
bool http_line_authority_valid(struct str authority);

#endif
