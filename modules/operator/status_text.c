#include "operator/status_format.h"

#include "operator/output.h"

#include <inttypes.h>
#include <time.h>

static void
append_field(struct buf *out, const char *field)
{
	output_append(out, str_from(field), OUTPUT_UTF8);
}

static void
append_title(struct buf *out, const struct status_style *style, const char *title)
{
	buf_printf(out, "%s----------- %s -----------%s\n", style->colour ? "\033[33m\033[44m\033[1m" : "", title,
	           style->colour ? "\033[0m" : "");
}

static void
append_date(struct buf *out, int64_t unix_us)
{
	time_t seconds = (time_t)(unix_us / 1000000);
	struct tm local = {0};
	char date[64] = "";
	if (localtime_r(&seconds, &local) != NULL)
		strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S %z", &local);
	buf_append_str(out, str_from(date));
}

static void
append_header(struct buf *out, const struct snapshot_head *head)
{
	buf_append_str(out, STR("Version : "));
	append_field(out, head->passenger_version);
	buf_append_str(out, STR("\nDate    : "));
	append_date(out, head->now_unix_us);
	buf_append_str(out, STR("\nInstance: "));
	append_field(out, head->instance_name);
	buf_append_str(out, STR(" ("));
	if (head->web_server[0] != 0) {
		append_field(out, head->web_server);
	} else {
		buf_append_str(out, STR("passenger "));
		append_field(out, head->passenger_version);
	}
	buf_append_str(out, STR(")\n"));
	if (head->upgrade != SNAPSHOT_UPGRADE_NONE) {
		buf_append_str(out, STR("Upgrade : "));
		append_date(out, head->upgrade_unix_us);
		buf_append_str(out, STR(": "));
		append_field(out, head->upgrade_text);
		buf_append_char(out, '\n');
	}
	buf_append_char(out, '\n');
}

static void
append_general(struct buf *out, const struct snapshot_head *head, const struct status_style *style)
{
	append_title(out, style, "General information");
	buf_printf(out, "Max pool size : %" PRIu32 "\n", head->max_pool_size);
	buf_printf(out, "App groups    : %" PRIu32 "\n", head->total_groups);
	buf_printf(out, "Processes     : %" PRIu32 "\n", head->total_processes);
	buf_printf(out, "Requests in top-level queue : %" PRIu32 "\n\n", head->top_level_queue);
}

static void
append_request(struct buf *out, const struct scoreboard_request *request)
{
	buf_append_str(out, STR("    Request : "));
	output_append(out, str_from(request->method), OUTPUT_ASCII);
	buf_append_char(out, ' ');
	output_append(out, str_from(request->path), OUTPUT_ASCII);
	buf_append_str(out, STR("  "));
	output_append_duration(out, request->since_ms / 1000);
	buf_append_str(out, STR("  "));
	output_append(out, str_from(request->client), OUTPUT_ASCII);
	if (request->direct)
		buf_append_str(out, STR("  direct"));
	if (request->upgraded)
		buf_append_str(out, STR("  upgraded"));
	if (request->given_up)
		buf_append_str(out, STR("  given up"));
	buf_append_char(out, '\n');
}

/* The two lines have the original's field widths, but not its 127 characters' limit. */
static void
append_process(struct buf *out, const struct snapshot_process *process, const struct status_style *style)
{
	char cpu[32], memory[32];
	str_format(cpu, sizeof(cpu), "%" PRIu64 "%%", process->has_metrics ? view_process_cpu_percent(process) : 0);
	str_format(memory, sizeof(memory), "%" PRIu64 "M",
	           process->has_metrics ? view_process_memory_kb(process) / 1024 : 0);
	buf_printf(out, "  * PID: %-5" PRId32 "   Sessions: %-2" PRIu32 "      Processed: %-5" PRIu64 "   Uptime: ",
	           process->pid, process->sessions, process->processed);
	output_append_duration(out, process->uptime_ms / 1000);
	buf_printf(out, "\n    CPU: %-5s   Memory  : %-5s   Last used: ", cpu, memory);
	output_append_duration(out, process->last_used_ms / 1000);
	buf_append_str(out, STR(" ago\n"));

	if (view_process_leaves(process))
		buf_append_str(out, STR("    Shutting down...\n"));
	else if (process->state == SCOREBOARD_DISABLED)
		buf_append_str(out, STR("    Out-of-band work...\n"));
	else if (process->state == SCOREBOARD_WARMING)
		buf_append_str(out, STR("    Warming up...\n"));
	else if (process->state == SCOREBOARD_RECOVERING)
		buf_append_str(out, STR("    Recovering...\n"));
	if (!style->verbose)
		return;
	if (process->door_port != 0)
		buf_printf(out, "    URL     : http://%s:%" PRIu32 "\n", process->door_ip, process->door_port);
	if (process->password[0] != 0) {
		buf_append_str(out, STR("    Password: "));
		output_append(out, str_from(process->password), OUTPUT_ASCII);
		buf_append_char(out, '\n');
	}
	for (size_t i = 0; i < SCOREBOARD_REQUESTS; i++)
		if (view_request(process, i) != NULL)
			append_request(out, view_request(process, i));
}

/* The first line of the report; JSON has all of it. */
static void
append_failure(struct buf *out, const struct snapshot_group *group, const struct snapshot_head *head)
{
	struct str rest = str_from(group->failure), line = {"", 0};
	int64_t age_us = head->now_unix_us - group->failure_unix_us;
	if (!str_split(&rest, '\n', &line))
		line = STR("");
	buf_append_str(out, STR("  Last spawn failure: ID "));
	output_append(out, str_from(group->failure_id), OUTPUT_ASCII);
	buf_append_str(out, STR("  "));
	output_append_duration(out, age_us > 0 ? (uint64_t)age_us / 1000000 : 0);
	buf_append_str(out, STR(" ago  "));
	output_append(out, line, OUTPUT_UTF8);
	buf_append_char(out, '\n');
	if (group->backoff_ms > 0) {
		buf_append_str(out, STR("  Next try in: "));
		output_append_duration(out, (group->backoff_ms + 999) / 1000);
		buf_append_char(out, '\n');
	}
}

static void
append_limits(struct buf *out, const struct snapshot_group *group)
{
	bool any = false;
	for (int i = 0; i < LIMIT_N; i++) {
		if (group->limits[i] == 0)
			continue;
		buf_printf(out, "%s%s %" PRIu32 "x", any ? ", " : "  Limits reached: ", limit_name((enum limit)i),
		           group->limits[i]);
		any = true;
	}
	if (any)
		buf_append_char(out, '\n');
	if (group->cgroup[0] != 0) {
		buf_append_str(out, STR("  Cgroup: "));
		append_field(out, group->cgroup);
		buf_append_char(out, '\n');
	}
	if (group->evidence[0] == 0)
		return;
	buf_append_str(out, STR("  Newest evidence: "));
	append_field(out, group->evidence);
	buf_append_char(out, '\n');
}

static void
append_group(struct buf *out, const struct view *view, uint32_t index, const struct status_style *style)
{
	const struct snapshot_group *group = &view->groups[index];
	append_field(out, group->name);
	buf_append_str(out, STR(":\n"));
	bool alone = true;
	for (uint32_t i = 0; i < view->head->group_count; i++)
		alone = alone && (i == index || strcmp(view->groups[i].name, group->name) != 0);
	if (!alone) {
		buf_append_str(out, STR("  App name: "));
		append_field(out, group->app_name);
		buf_append_char(out, '\n');
	}
	buf_append_str(out, STR("  App root: "));
	append_field(out, group->root);
	buf_append_char(out, '\n');
	if (group->spawning > 0)
		buf_printf(out, "  (spawning %" PRIu32 " new %s...)\n", group->spawning,
		           group->spawning == 1 ? "process" : "processes");
	if (group->roll == ROLL_RUNNING) {
		buf_append_str(out, STR("  (restarting...)\n"));
		buf_printf(out, "  Restart: %" PRIu32 " of %" PRIu32 " processes replaced\n", group->roll_replaced,
		           group->roll_of);
	}
	if (group->maintenance)
		buf_append_str(out, STR("  (maintenance: requests are answered 503)\n"));
	if (group->roll == ROLL_FAILED && view_process_count(view, index) > 0) {
		buf_append_str(out, STR("  (resisting deployment error: ID "));
		output_append(out, str_from(group->failure_id[0] != 0 ? group->failure_id : "in the log"), OUTPUT_ASCII);
		buf_append_str(out, STR(")\n"));
	}
	if (group->failure_id[0] != 0)
		append_failure(out, group, view->head);
	append_limits(out, group);
	if (view_waiting_for(view, index) != NULL)
		buf_printf(out, "  (requests wait for %s)\n", view_waiting_for(view, index));
	buf_printf(out, "  Requests in queue: %" PRIu32 "\n", group->queued);
	for (uint32_t i = 0; i < view_process_count(view, index); i++)
		append_process(out, view_process(view, index, i), style);
	buf_append_char(out, '\n');
}

void
status_text(struct buf *out, const struct view *view, const struct status_style *style)
{
	if (style->header)
		append_header(out, view->head);
	append_general(out, view->head, style);
	append_title(out, style, "Application groups");
	for (uint32_t i = 0; i < view->head->group_count; i++)
		append_group(out, view, i, style);
}
