#include "operator/status_format.h"

#include "operator/output.h"

#include <inttypes.h>
#include <limits.h>

struct xml {
	struct buf *out;
	uint32_t depth;
};

/* XML 1.0 section 2.2 has no form at all for most control characters: they become U+FFFD. */
static void
append_escaped(struct buf *out, struct str text)
{
	while (text.len > 0) {
		uint32_t code = 0;
		size_t len = output_utf8(text, &code);
		if (code == '&')
			buf_append_str(out, STR("&amp;"));
		else if (code == '<')
			buf_append_str(out, STR("&lt;"));
		else if (code == '>')
			buf_append_str(out, STR("&gt;"));
		else if (code == '\n' || code == '\t')
			buf_append(out, text.data, 1);
		else if (len == 0 || code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0xfffe || code == 0xffff)
			buf_append_str(out, STR("\xef\xbf\xbd"));
		else
			buf_append(out, text.data, len);
		len += len == 0;
		text = str_make(text.data + len, text.len - len);
	}
}

static void
indent(struct xml *xml)
{
	buf_printf(xml->out, "%*s", (int)(2 * xml->depth), "");
}

/* tag may have attributes: only its name closes it, see close_tag(). */
static void
open_tag(struct xml *xml, const char *tag)
{
	indent(xml);
	buf_printf(xml->out, "<%s>\n", tag);
	xml->depth++;
}

static void
close_tag(struct xml *xml, const char *name)
{
	xml->depth--;
	indent(xml);
	buf_printf(xml->out, "</%s>\n", name);
}

static void
text(struct xml *xml, const char *name, const char *value)
{
	indent(xml);
	buf_printf(xml->out, "<%s>", name);
	append_escaped(xml->out, str_from(value));
	buf_printf(xml->out, "</%s>\n", name);
}

static void
number(struct xml *xml, const char *name, uint64_t value)
{
	indent(xml);
	buf_printf(xml->out, "<%s>%" PRIu64 "</%s>\n", name, value, name);
}

static void
signed_number(struct xml *xml, const char *name, int64_t value)
{
	indent(xml);
	buf_printf(xml->out, "<%s>%" PRId64 "</%s>\n", name, value, name);
}

static void
duration(struct xml *xml, const char *name, uint64_t ms, const char *after)
{
	indent(xml);
	buf_printf(xml->out, "<%s>", name);
	output_append_duration(xml->out, ms / 1000);
	buf_printf(xml->out, "%s</%s>\n", after, name);
}

/* The original's: sessions, or their share of the concurrency where 100 % is INT_MAX. */
static uint64_t
busyness(const struct snapshot_process *process)
{
	if (process->concurrency == 0)
		return process->sessions;
	return (uint64_t)process->sessions * INT_MAX / process->concurrency;
}

static void
append_metrics(struct xml *xml, const struct snapshot_process *process)
{
	if (!process->has_metrics)
		return;
	text(xml, "has_metrics", "true");
	number(xml, "cpu", view_process_cpu_percent(process));
	number(xml, "rss", process->rss_kb);
	number(xml, "pss", process->pss_kb);
	number(xml, "private_dirty", process->private_dirty_kb);
	number(xml, "swap", process->swap_kb);
	number(xml, "real_memory", view_process_memory_kb(process));
	number(xml, "vmsize", process->vmsize_kb);
	text(xml, "command", process->command);
}

/* The door; the password is of this process alone, so it stands here and not at the group. */
static void
append_socket(struct xml *xml, const struct snapshot_process *process)
{
	char address[64];
	open_tag(xml, "sockets");
	if (process->door_port != 0) {
		str_format(address, sizeof(address), "tcp://%s:%" PRIu32, process->door_ip, process->door_port);
		open_tag(xml, "socket");
		text(xml, "name", "http");
		text(xml, "address", address);
		text(xml, "protocol", "http");
		text(xml, "description", "direct access");
		number(xml, "concurrency", process->concurrency);
		text(xml, "accept_http_requests", "false");
		number(xml, "sessions", process->sessions);
		if (process->password[0] != 0)
			text(xml, "password", process->password);
		close_tag(xml, "socket");
	}
	close_tag(xml, "sockets");
}

static void
append_requests(struct xml *xml, const struct snapshot_process *process)
{
	open_tag(xml, "requests");
	for (size_t i = 0; i < SCOREBOARD_REQUESTS; i++) {
		const struct scoreboard_request *request = view_request(process, i);
		if (request == NULL)
			continue;
		open_tag(xml, "request");
		text(xml, "method", request->method);
		text(xml, "path", request->path);
		text(xml, "client", request->client);
		number(xml, "age_ms", request->since_ms);
		text(xml, "direct", request->direct ? "true" : "false");
		text(xml, "upgraded", request->upgraded ? "true" : "false");
		close_tag(xml, "request");
	}
	close_tag(xml, "requests");
}

static void
append_process(struct xml *xml, const struct view *view, const struct snapshot_process *process,
               const struct status_style *style)
{
	bool leaves = view_process_leaves(process);
	open_tag(xml, "process");
	signed_number(xml, "pid", process->pid);
	text(xml, "gupid", process->gupid);
	number(xml, "concurrency", process->concurrency);
	number(xml, "sessions", process->sessions);
	number(xml, "busyness", busyness(process));
	number(xml, "processed", process->processed);
	signed_number(xml, "spawn_start_time", process->spawn_start_unix_us);
	signed_number(xml, "spawn_end_time", process->spawn_end_unix_us);
	signed_number(xml, "last_used", view->head->now_unix_us - (int64_t)(process->last_used_ms * 1000));
	duration(xml, "last_used_desc", process->last_used_ms, " ago");
	duration(xml, "uptime", process->uptime_ms, "");
	text(xml, "life_status", process->retiring ? "SHUTDOWN_TRIGGERED" : "ALIVE");
	text(xml, "enabled", leaves ? "DETACHED" : "ENABLED");
	append_metrics(xml, process);
	if (style->verbose) {
		append_socket(xml, process);
		append_requests(xml, process);
	}
	close_tag(xml, "process");
}

static void
append_options(struct xml *xml, const struct snapshot_group *group)
{
	open_tag(xml, "options");
	text(xml, "app_root", group->root);
	text(xml, "app_group_name", group->name);
	text(xml, "app_type", group->type);
	text(xml, "environment", group->environment);
	text(xml, "base_uri", group->base_uri);
	text(xml, "user", group->user);
	text(xml, "group", group->group);
	number(xml, "min_processes", group->min_instances);
	number(xml, "max_processes", group->max_instances);
	close_tag(xml, "options");
}

static void
append_group(struct xml *xml, const struct view *view, uint32_t index, const struct status_style *style)
{
	const struct snapshot_group *group = &view->groups[index];
	open_tag(xml, "group default=\"true\"");
	text(xml, "name", group->name);
	text(xml, "component_name", group->name);
	text(xml, "app_root", group->root);
	text(xml, "app_type", group->type);
	text(xml, "environment", group->environment);
	number(xml, "enabled_process_count", group->enabled_count);
	number(xml, "disabling_process_count", 0);
	number(xml, "disabled_process_count", 0);
	number(xml, "capacity_used", (uint64_t)group->enabled_count + group->spawning);
	number(xml, "get_wait_list_size", group->queued);
	number(xml, "disable_wait_list_size", 0);
	number(xml, "processes_being_spawned", group->spawning);
	if (group->spawning > 0) {
		indent(xml);
		buf_append_str(xml->out, STR("<spawning/>\n"));
	}
	if (group->roll == ROLL_RUNNING) {
		indent(xml);
		buf_append_str(xml->out, STR("<restarting/>\n"));
	}
	text(xml, "life_status", "ALIVE");
	text(xml, "user", group->user);
	number(xml, "uid", group->uid);
	text(xml, "group", group->group);
	number(xml, "gid", group->gid);
	append_options(xml, group);
	open_tag(xml, "processes");
	for (uint32_t i = 0; i < view_process_count(view, index); i++)
		append_process(xml, view, view_process(view, index, i), style);
	close_tag(xml, "processes");
	close_tag(xml, "group");
}

static void
append_supergroup(struct xml *xml, const struct view *view, uint32_t index, const struct status_style *style)
{
	const struct snapshot_group *group = &view->groups[index];
	open_tag(xml, "supergroup");
	text(xml, "name", group->name);
	text(xml, "state", "READY");
	number(xml, "get_wait_list_size", 0);
	number(xml, "capacity_used", (uint64_t)group->enabled_count + group->spawning);
	append_group(xml, view, index, style);
	close_tag(xml, "supergroup");
}

void
status_xml(struct buf *out, const struct view *view, const struct status_style *style)
{
	const struct snapshot_head *head = view->head;
	struct xml xml = {.out = out};
	uint64_t capacity_used = head->total_processes;
	for (uint32_t i = 0; i < head->group_count; i++)
		capacity_used += view->groups[i].spawning;
	buf_append_str(out, STR("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"));
	open_tag(&xml, "info version=\"3\"");
	text(&xml, "passenger_version", head->passenger_version);
	number(&xml, "group_count", head->total_groups);
	number(&xml, "process_count", head->total_processes);
	number(&xml, "max", head->max_pool_size);
	number(&xml, "capacity_used", capacity_used);
	number(&xml, "get_wait_list_size", head->top_level_queue);
	open_tag(&xml, "supergroups");
	for (uint32_t i = 0; i < head->group_count; i++)
		append_supergroup(&xml, view, i, style);
	close_tag(&xml, "supergroups");
	close_tag(&xml, "info");
}
