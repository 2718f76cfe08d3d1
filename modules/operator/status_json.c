#include "operator/status_format.h"

#include "config/app_type.h"
#include "wire/json.h"

/* key: NULL in an array */
static void
open_object(struct json *json, const char *key)
{
	if (key != NULL)
		json_key(json, str_from(key));
	json_begin_object(json);
}

static void
open_array(struct json *json, const char *key)
{
	json_key(json, str_from(key));
	json_begin_array(json);
}

static void
put_text(struct json *json, const char *key, const char *text)
{
	json_key(json, str_from(key));
	json_string_z(json, text);
}

static void
put_number(struct json *json, const char *key, uint64_t number)
{
	json_key(json, str_from(key));
	json_u64(json, number);
}

static void
put_signed(struct json *json, const char *key, int64_t number)
{
	json_key(json, str_from(key));
	json_i64(json, number);
}

static void
put_bool(struct json *json, const char *key, bool value)
{
	json_key(json, str_from(key));
	json_bool(json, value);
}

static void
put_null(struct json *json, const char *key)
{
	json_key(json, str_from(key));
	json_null(json);
}

/* What is not known or not set is null. */
static void
text_or_null(struct json *json, const char *key, const char *text)
{
	put_text(json, key, text[0] != 0 ? text : NULL);
}

static const char *
protocol_name(uint32_t protocol)
{
	return protocol == APP_PROTOCOL_SESSION ? "session" : "http";
}

static void
append_instance(struct json *json, const struct snapshot_head *head, const struct status_style *style)
{
	struct str rest = str_from(head->listeners), word;
	open_object(json, "instance");
	put_text(json, "name", head->instance_name);
	text_or_null(json, "directory", style->directory ? style->directory : "");
	put_signed(json, "started_unix_us", head->started_unix_us);
	text_or_null(json, "web_server", head->web_server);
	open_array(json, "listeners");
	while (str_split(&rest, ' ', &word)) {
		if (word.len > 0)
			json_string(json, word);
	}
	json_end_array(json);
	json_end_object(json);
}

static void
append_roles(struct json *json, const struct snapshot_head *head)
{
	static const char *const states[] = {"serving", "starting", "hung"};
	static const char *const upgrades[] = {
		[SNAPSHOT_UPGRADE_DONE] = "done",
		[SNAPSHOT_UPGRADE_REFUSED] = "refused",
		[SNAPSHOT_UPGRADE_BACK] = "rolled_back",
	};
	open_object(json, "spawner");
	put_signed(json, "pid", head->spawner_pid);
	put_number(json, "pss_kb", head->spawner_pss_kb);
	json_end_object(json);

	open_object(json, "balancer");
	put_signed(json, "pid", head->balancer_pid);
	put_text(json, "state", states[head->balancer_state]);
	put_number(json, "starts", head->balancer_starts);
	put_number(json, "beat_age_ms", head->beat_age_ms);
	put_number(json, "pss_kb", head->balancer_pss_kb);
	put_number(json, "clients", head->clients);
	put_number(json, "connections", head->connections);
	put_number(json, "requests", head->requests);
	if (head->handing_over_pid != 0)
		put_signed(json, "before_pid", head->handing_over_pid);
	else
		put_null(json, "before_pid");
	json_end_object(json);

	if (head->upgrade == SNAPSHOT_UPGRADE_NONE || head->upgrade > SNAPSHOT_UPGRADE_BACK) {
		put_null(json, "upgrade");
		return;
	}
	open_object(json, "upgrade");
	put_text(json, "outcome", upgrades[head->upgrade]);
	put_signed(json, "unix_us", head->upgrade_unix_us);
	put_text(json, "text", head->upgrade_text);
	json_end_object(json);
}

static void
append_histogram(struct json *json, const char *key, const uint64_t counts[SCOREBOARD_HISTOGRAM])
{
	open_array(json, key);
	for (uint32_t i = 0; i < SCOREBOARD_HISTOGRAM; i++) {
		open_object(json, NULL);
		if (i + 1 < SCOREBOARD_HISTOGRAM)
			put_number(json, "below_ms", UINT64_C(1) << i);
		else
			put_null(json, "below_ms");
		put_number(json, "count", counts[i]);
		json_end_object(json);
	}
	json_end_array(json);
}

static void
append_request(struct json *json, const struct scoreboard_request *request)
{
	open_object(json, NULL);
	put_text(json, "method", request->method);
	put_text(json, "path", request->path);
	put_text(json, "client", request->client);
	put_text(json, "host", request->host);
	text_or_null(json, "id", request->id);
	put_number(json, "age_ms", request->since_ms);
	if (request->status != 0)
		put_number(json, "status", request->status);
	else
		put_null(json, "status");
	put_bool(json, "direct", request->direct != 0);
	put_bool(json, "upgraded", request->upgraded != 0);
	put_bool(json, "given_up", request->given_up != 0);
	json_end_object(json);
}

static void
append_metrics(struct json *json, const struct snapshot_process *process)
{
	if (!process->has_metrics) {
		put_null(json, "metrics");
		return;
	}
	open_object(json, "metrics");
	put_number(json, "cpu_permille", process->cpu_permille);
	put_number(json, "memory_kb", view_process_memory_kb(process));
	put_number(json, "pss_kb", process->pss_kb);
	put_number(json, "rss_kb", process->rss_kb);
	put_number(json, "private_dirty_kb", process->private_dirty_kb);
	put_number(json, "swap_kb", process->swap_kb);
	put_number(json, "vmsize_kb", process->vmsize_kb);
	put_number(json, "threads", process->threads);
	put_number(json, "descriptors", process->descriptors);
	json_end_object(json);
}

static void
append_secrets(struct json *json, const struct snapshot_process *process)
{
	char url[64] = "";
	if (process->door_port != 0)
		str_format(url, sizeof(url), "http://%s:%u", process->door_ip, process->door_port);
	text_or_null(json, "url", url);
	text_or_null(json, "password", process->password);
	text_or_null(json, "address", process->address);
	text_or_null(json, "last_output", process->last_output);
}

static void
append_process(struct json *json, const struct snapshot_process *process, const struct status_style *style)
{
	const char *state = view_process_leaves(process)              ? "detached"
	                    : process->state == SCOREBOARD_RECOVERING ? "recovering"
	                    : process->state == SCOREBOARD_DISABLED   ? "out_of_band"
	                    : process->state == SCOREBOARD_WARMING    ? "warming"
	                                                              : "enabled";
	open_object(json, NULL);
	put_signed(json, "pid", process->pid);
	text_or_null(json, "gupid", process->gupid);
	put_number(json, "slot", process->slot);
	put_number(json, "generation", process->generation);
	put_text(json, "state", state);
	put_bool(json, "told_to_stop", process->retiring != 0);
	put_text(json, "protocol", protocol_name(process->protocol));
	put_number(json, "concurrency", process->concurrency);
	put_number(json, "sessions", process->sessions);
	put_number(json, "processed", process->processed);
	put_number(json, "processed_direct", process->direct);
	put_number(json, "refused_direct", process->refused);
	put_number(json, "errors", process->errors);
	put_number(json, "received_bytes", process->bytes_in);
	put_number(json, "sent_bytes", process->bytes_out);
	put_signed(json, "spawn_start_unix_us", process->spawn_start_unix_us);
	put_signed(json, "spawn_end_unix_us", process->spawn_end_unix_us);
	put_number(json, "uptime_ms", process->uptime_ms);
	put_number(json, "last_used_ago_ms", process->last_used_ms);
	text_or_null(json, "user", process->user);
	text_or_null(json, "command", process->command);
	append_metrics(json, process);
	if (style->verbose)
		append_secrets(json, process);
	open_array(json, "requests");
	for (size_t i = 0; i < SCOREBOARD_REQUESTS; i++)
		if (view_request(process, i) != NULL)
			append_request(json, view_request(process, i));
	json_end_array(json);
	json_end_object(json);
}

static void
append_counts(struct json *json, const struct snapshot_group *group)
{
	static const char *const classes[] = {"no_answer", "1xx", "2xx", "3xx", "4xx", "5xx"};
	put_number(json, "queued", group->queued);
	put_number(json, "oldest_queued_ms", group->oldest_queued_ms);
	put_number(json, "queue_full", group->queue_full);
	put_number(json, "requests", group->requests);
	open_object(json, "answers");
	for (size_t i = 0; i < array_count(classes); i++)
		put_number(json, classes[i], group->status_class[i]);
	json_end_object(json);
	append_histogram(json, "application_time", group->response_histogram);
	append_histogram(json, "queue_time", group->queue_histogram);
}

static void
append_failure(struct json *json, const struct snapshot_group *group)
{
	if (group->preloader_pid != 0)
		put_signed(json, "preloader_pid", group->preloader_pid);
	else
		put_null(json, "preloader_pid");
	put_number(json, "spawn_failures", group->spawn_failures);
	put_number(json, "next_spawn_in_ms", group->backoff_ms);
	if (group->failure_id[0] == 0) {
		put_null(json, "last_spawn_failure");
		return;
	}
	open_object(json, "last_spawn_failure");
	put_text(json, "id", group->failure_id);
	put_signed(json, "unix_us", group->failure_unix_us);
	put_text(json, "text", group->failure);
	json_end_object(json);
}

static void
append_limits(struct json *json, const struct snapshot_group *group)
{
	open_object(json, "limits_reached");
	for (int i = LIMIT_NONE + 1; i < LIMIT_N; i++)
		put_number(json, limit_name((enum limit)i), group->limits[i]);
	json_end_object(json);
	text_or_null(json, "newest_evidence", group->evidence);
	text_or_null(json, "cgroup", group->cgroup);
}

static void
append_group(struct json *json, const struct view *view, uint32_t index, const struct status_style *style)
{
	const struct snapshot_group *group = &view->groups[index];
	open_object(json, NULL);
	put_text(json, "name", group->name);
	put_text(json, "app_name", group->app_name);
	put_number(json, "app_id", group->app_id);
	put_text(json, "root", group->root);
	put_text(json, "type", group->type);
	put_text(json, "protocol", protocol_name(group->protocol));
	put_text(json, "environment", group->environment);
	text_or_null(json, "host", group->host);
	put_text(json, "base_uri", group->base_uri);
	text_or_null(json, "user", group->user);
	put_number(json, "uid", group->uid);
	text_or_null(json, "group", group->group);
	put_number(json, "gid", group->gid);
	put_number(json, "min_instances", group->min_instances);
	put_number(json, "max_instances", group->max_instances);
	put_number(json, "processes_enabled", group->enabled_count);
	put_number(json, "processes_detached", group->detached_count);
	put_number(json, "processes_spawning", group->spawning);
	put_number(json, "generation", group->generation);
	put_text(json, "restart",
	         group->roll == ROLL_RUNNING  ? "running"
	         : group->roll == ROLL_FAILED ? "failed"
	                                      : "none");
	put_number(json, "restart_replaced", group->roll == ROLL_NONE ? 0 : group->roll_replaced);
	put_number(json, "restart_of", group->roll == ROLL_NONE ? 0 : group->roll_of);
	put_bool(json, "maintenance", group->maintenance != 0);
	append_failure(json, group);
	put_text(json, "waiting_for", view_waiting_for(view, index));
	append_counts(json, group);
	append_limits(json, group);
	open_array(json, "processes");
	for (uint32_t i = 0; i < view_process_count(view, index); i++)
		append_process(json, view_process(view, index, i), style);
	json_end_array(json);
	json_end_object(json);
}

void
status_json(struct buf *out, const struct view *view, const struct status_style *style)
{
	const struct snapshot_head *head = view->head;
	struct json json = json_begin(out);
	open_object(&json, NULL);
	put_number(&json, "format_version", 1);
	put_text(&json, "passenger_version", head->passenger_version);
	put_signed(&json, "taken_unix_us", head->now_unix_us);
	put_bool(&json, "verbose", style->verbose);
	append_instance(&json, head, style);
	append_roles(&json, head);
	open_object(&json, "pool");
	put_number(&json, "max_pool_size", head->max_pool_size);
	put_number(&json, "applications", head->total_groups);
	put_number(&json, "processes", head->total_processes);
	put_number(&json, "top_level_queue", head->top_level_queue);
	json_end_object(&json);
	open_array(&json, "applications");
	for (uint32_t i = 0; i < head->group_count; i++)
		append_group(&json, view, i, style);
	json_end_array(&json);
	json_end_object(&json);
	buf_append_char(out, '\n');
}
