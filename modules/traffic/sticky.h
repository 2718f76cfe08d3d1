/*
 * sticky: the cookie by which a client finds the process that served it
 * before.  What stands in it is the pool's (group_sticky_id).
 */
#ifndef TRAFFIC_STICKY_H
#define TRAFFIC_STICKY_H

#include "traffic/request.h"

enum { STICKY_COOKIE_BYTES = 2048 }; /* name, value, path and attributes are bounded by their checks */

/* request->sticky becomes the first such cookie that names a process in rotation.  http lives in the request's arena. */
void sticky_read(struct request *request, const struct http_request *http);

/* The value of Set-Cookie; false when the client has no need of one: it has been served by the process it knows. */
bool sticky_write(const struct request *request, char cookie[STICKY_COOKIE_BYTES]) must_check;

#endif
