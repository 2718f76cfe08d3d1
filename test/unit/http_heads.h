/*
 * http_heads: how the tests of wire/http read a head: always scanned in several
 * ways, which must agree, and from memory that ends with the head.
 */
#ifndef TEST_UNIT_HTTP_HEADS_H
#define TEST_UNIT_HTTP_HEADS_H

#include "wire/http.h"

#define HOST "Host: a\r\n"
#define GET "GET / HTTP/1.1\r\n" HOST
#define OK200 "HTTP/1.1 200 OK\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n"
#define UPGRADE "Connection: keep-alive, Upgrade\r\nUpgrade: "

/* What the last head meant; it points into a copy that stays until the next. */
extern struct http_request heads_request;
extern struct http_response heads_response;

/* The enum http_error of scan or parse, or -1: more bytes are wanted. */
int heads_read(enum http_kind kind, enum http_method method, const char *data, size_t len);
int heads_read_request(struct str text);
int heads_read_response(struct str text);
/* Like heads_read() of a request, with few splits: for long ones. */
int heads_read_large(const char *data, size_t len);

/* In memory of exactly this size; free() it. */
char *heads_copy(const char *data, size_t len);

void heads_assert_str(struct str s, const char *want);

#endif
