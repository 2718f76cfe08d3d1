/*
 * direct: what is special about a request that comes by a process's door: the
 * password, and the words about a process that is busy.  Everything else is an
 * ordinary request.
 */
#ifndef TRAFFIC_DIRECT_H
#define TRAFFIC_DIRECT_H

#include "base/buf.h"
#include "pool/pool.h"
#include "wire/http.h"

/* Exactly one X-Passenger-Connect-Password with the exact value, compared in constant time. */
bool direct_password_is_right(const struct process *process, const struct http_request *http) must_check;
/* X-Passenger-Connect-Bypass: 1 */
bool direct_wants_bypass(const struct http_request *http);
/* Names the request that occupies the process, its age and its client. */
void direct_describe_busy(struct buf *out, const struct process *process, uint64_t now_ms, uint64_t waited_ms);

extern const char direct_password_help[];
extern const char direct_bypass_help[];

#endif
