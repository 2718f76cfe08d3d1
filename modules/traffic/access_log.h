/*
 * access_log: one line a request, written once a turn of the loop; and the
 * slow-request log.
 */
#ifndef TRAFFIC_ACCESS_LOG_H
#define TRAFFIC_ACCESS_LOG_H

#include "traffic/context.h"

struct access_record {
	struct str client; /* address */
	struct str user;
	struct str method, target;
	unsigned minor;
	struct str referer, user_agent, id;
	const char *app;     /* NULL: none */
	int32_t pid;         /* 0: no process */
	bool direct;         /* by a door */
	uint16_t status;     /* 0: closed without an answer */
	uint64_t bytes_out;  /* body bytes */
	int64_t received_us; /* unix microseconds */
	uint64_t total_ms, queue_ms, app_ms;
	const char *end; /* how it ended, in a few words; NULL: as it should */
};

void access_log_write(struct traffic *traffic, const struct access_record *record);
/* Everything buffered goes out. */
void access_log_flush(struct traffic *traffic);
void access_log_free(struct traffic *traffic);

#endif
