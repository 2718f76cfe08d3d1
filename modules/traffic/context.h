/*
 * context: what every room of traffic shares: the loop, the pool, the living
 * configuration and the buffers that are only used inside one callback.
 */
#ifndef TRAFFIC_CONTEXT_H
#define TRAFFIC_CONTEXT_H

#include "config/app_type.h"
#include "pool/pool.h"
#include "wire/http.h"

enum {
	TRAFFIC_SCRATCH_BYTES = 64 * 1024,
	TRAFFIC_HEAD_BYTES = HTTP_HEAD_BYTES_MAX + 40 * 1024, /* a rewritten head: the peer's and what we add */
};

struct client;

enum traffic_state {
	TRAFFIC_SERVING,
	TRAFFIC_HANDING_OVER, /* another balancer accepts; idle clients go there */
	TRAFFIC_DRAINING,
};

struct traffic {
	struct loop *loop;
	struct pool *pool;
	const struct config *config;
	struct scoreboard *scoreboard;
	enum traffic_state state;
	struct list listeners; /* front listeners and doors */
	struct list clients;
	uint32_t requests;            /* that are not ended */
	int folders[CONFIG_APPS_MAX]; /* static_files_dir by application id, O_PATH; -1: none */
	const char *spool_dir;        /* for bodies that do not fit into memory */
	int access_log_fd;            /* -1: off */
	int slow_log_fd;              /* -1: the main log */
	void (*warmed)(struct traffic *traffic, struct process *process, const char *why); /* NULL: it has warmed up */
	void (*quiet)(struct traffic *traffic); /* draining, and the last request has ended */
	void (*idle)(struct client *client);    /* HANDING_OVER: its request has ended, and it waits for the next one */

	/* Valid inside one callback only. */
	char scratch[TRAFFIC_SCRATCH_BYTES];
	char head[TRAFFIC_HEAD_BYTES];
	struct http_request request;
	struct http_response response;
};

#endif
