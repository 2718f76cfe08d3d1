#include "worker/attempts.h"

#include "base/random.h"

#include <stdlib.h>

void
failure_init(struct failure *failure, const char *summary)
{
	uint32_t number;

	memset(failure, 0, sizeof(*failure));
	random_bytes(&number, sizeof(number));
	str_format(failure->id, sizeof(failure->id), "%08x", (unsigned)number);
	str_cut_z(failure->summary, sizeof(failure->summary), str_from(summary));
	for (char *at = failure->summary; *at != '\0'; at++)
		if (*at == '\n' || *at == '\r')
			*at = ' ';
	failure->unix_us = clock_unix_us();
}

void
attempts_failed(struct attempts *attempts, const struct failure *failure, uint64_t now_ms)
{
	uint32_t doublings = attempts->failures < 6 ? attempts->failures : 6;
	uint64_t wait_ms = (uint64_t)ATTEMPTS_BACKOFF_MIN_MS << doublings;

	if (wait_ms > ATTEMPTS_BACKOFF_MAX_MS)
		wait_ms = ATTEMPTS_BACKOFF_MAX_MS;
	attempts->failures++;
	attempts->total_failures++;
	attempts->next_ms = now_ms + wait_ms;
	if (attempts->last == NULL)
		attempts->last = malloc(sizeof(*attempts->last));
	if (attempts->last != NULL)
		*attempts->last = *failure;
}

void
attempts_reset(struct attempts *attempts)
{
	attempts->failures = 0;
	attempts->next_ms = 0;
	buf_free(&attempts->report);
	free(attempts->last);
	attempts->last = NULL;
}

void
attempts_forget(struct attempts *attempts)
{
	attempts_reset(attempts);
	attempts->early = 0;
}

bool
attempts_ended(struct attempts *attempts)
{
	attempts->early++;
	if (attempts->early < 2)
		return false;
	attempts->failures = attempts->early - 2;
	return true;
}

uint64_t
attempts_wait_ms(const struct attempts *attempts, uint64_t now_ms)
{
	return attempts->next_ms > now_ms ? attempts->next_ms - now_ms : 0;
}

void
attempts_message(struct message *message, uint32_t app_id, const struct failure *failure, uint64_t wait_ms)
{
	char text[MESSAGE_TEXT_BYTES];

	message_init(message, MESSAGE_SPAWN_FAILED);
	message->app_id = app_id;
	message->number = wait_ms;
	str_format(text, sizeof(text), "%s\n%s\n%s", failure->id, failure->summary, failure->details);
	message_set_text(message, str_from(text));
}
