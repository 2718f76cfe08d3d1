#include "traffic/direct.h"

#include <inttypes.h>

const char direct_password_help[] =
	"This is the private address of one application process. It wants the header\n"
	"X-Passenger-Connect-Password, exactly once, with this process's own password.\n"
	"`passenger status --verbose` shows it, to root and to the owner of this passenger.";

const char direct_bypass_help[] =
	"X-Passenger-Connect-Bypass: this process has no spare thread. direct_bypass must be on for its\n"
	"application, and its type must be one with a loader of ours (a program of type command has none).";

bool
direct_password_is_right(const struct process *process, const struct http_request *http)
{
	struct str wanted = str_make(process->record.password, PASSWORD_CHARS);
	unsigned found = 0;
	bool equal = true;
	for (uint32_t i = 0; i < http->field_count; i++) {
		if (http->fields[i].id != HTTP_FIELD_CONNECT_PASSWORD)
			continue;
		found++;
		equal &= str_equal_secret(http->fields[i].value, wanted);
	}
	return found == 1 && equal;
}

bool
direct_wants_bypass(const struct http_request *http)
{
	for (uint32_t i = 0; i < http->field_count; i++)
		if (http->fields[i].id == HTTP_FIELD_CONNECT_BYPASS && str_equal(http->fields[i].value, STR("1")))
			return true;
	return false;
}

void
direct_describe_busy(struct buf *out, const struct process *process, uint64_t now_ms, uint64_t waited_ms)
{
	const struct session *busy = process_oldest(process);
	const uint64_t worked_ms = busy != NULL ? now_ms - busy->active_ms : 0;
	if (busy == NULL)
		buf_printf(out, "Process %d is busy with a request that its client has given up.\n",
		           process->record.pid);
	else
		buf_printf(out,
		           "Process %d is busy: it has been working for %" PRIu64 ".%" PRIu64
		           " s on %.*s %.*s for %.*s.\n",
		           process->record.pid, worked_ms / 1000, worked_ms / 100 % 10, STR_ARG(busy->label.method),
		           STR_ARG(busy->label.path), STR_ARG(busy->label.client));
	buf_printf(out, "This request has waited %" PRIu64 ".%" PRIu64 " s for a free place (direct_wait_ms).",
	           waited_ms / 1000, waited_ms / 100 % 10);
}
