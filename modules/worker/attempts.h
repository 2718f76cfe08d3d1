/*
 * attempts: how the starts of each application's processes went: the last
 * failure, kept for status and the error page, and the back-off after it.
 */
#ifndef WORKER_ATTEMPTS_H
#define WORKER_ATTEMPTS_H

#include "base/buf.h"
#include "handover/message.h"
#include "handover/scoreboard.h"

enum {
	FAILURE_ID_CHARS = 8,
	FAILURE_SUMMARY_BYTES = 512,
	FAILURE_DETAILS_BYTES = 1400,
	ATTEMPTS_BACKOFF_MIN_MS = 1000,
	ATTEMPTS_BACKOFF_MAX_MS = 60000,
	ATTEMPTS_EARLY_MS = 5000, /* who ends by itself so soon, unused, did not start well */
};

struct failure {
	char id[FAILURE_ID_CHARS + 1];
	char summary[FAILURE_SUMMARY_BYTES];
	char details[FAILURE_DETAILS_BYTES]; /* how it ended, last output */
	int64_t unix_us;
};

struct attempts {
	uint32_t failures; /* in a row */
	uint32_t early;    /* that were ready, and ended early; in a row */
	uint64_t next_ms;  /* CLOCK_MONOTONIC before which no start is tried; 0: now */
	uint64_t total_failures;
	struct buf report;    /* of the newest failure, for the page that shows all */
	struct failure *last; /* NULL: the newest start worked, or there was none */
};

/* Draws the id and takes the time. */
void failure_init(struct failure *failure, const char *summary);

/* The start failed: keeps a copy and backs off. */
void attempts_failed(struct attempts *attempts, const struct failure *failure, uint64_t now_ms);
/* A start worked. */
void attempts_reset(struct attempts *attempts);
/* An operator wants the past forgotten. */
void attempts_forget(struct attempts *attempts);
/* One that was ready has ended by itself, early and unused.  True: as the one before, which makes it a failure. */
bool attempts_ended(struct attempts *attempts) must_check;
/* Milliseconds until the next start may be tried. */
uint64_t attempts_wait_ms(const struct attempts *attempts, uint64_t now_ms);
/* MESSAGE_SPAWN_FAILED of the failure. */
void attempts_message(struct message *message, uint32_t app_id, const struct failure *failure, uint64_t wait_ms);

#endif
