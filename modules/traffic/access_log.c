#include "traffic/access_log.h"

#include "base/buf.h"
#include "base/log.h"
#include "wire/json.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

enum { ACCESS_LOG_FLUSH_BYTES = 32 * 1024, ACCESS_FIELD_BYTES = 2048 };

/* One traffic a process, one log: the buffer lives with the file's functions. */
static struct buf log_pending;
static struct soon log_soon;
static struct traffic *log_traffic;

void
access_log_flush(struct traffic *traffic)
{
	if (log_pending.len > 0 && traffic->access_log_fd >= 0) {
		ssize_t wrote = write(traffic->access_log_fd, log_pending.data, log_pending.len);
		if (wrote != (ssize_t)log_pending.len)
			log_debug("access log: lines were lost: %s", strerror(errno));
	}
	buf_clear(&log_pending);
}

static void
access_log_soon(struct soon *soon)
{
	(void)soon;
	access_log_flush(log_traffic);
}

void
access_log_free(struct traffic *traffic)
{
	access_log_flush(traffic);
	loop_soon_cancel(&log_soon);
	buf_free(&log_pending);
}

static void
append_escaped(struct buf *out, struct str text, const char *if_empty)
{
	char escaped[ACCESS_FIELD_BYTES];
	if (text.len == 0) {
		buf_append_str(out, str_from(if_empty));
		return;
	}
	/* A quote would end the field that it stands in. */
	size_t len = log_escape(escaped, sizeof(escaped), text);
	for (size_t i = 0; i < len; i++) {
		if (escaped[i] == '"')
			buf_append(out, "\\x22", 4);
		else
			buf_append_char(out, escaped[i]);
	}
}

static void
append_time(struct buf *out, int64_t unix_us)
{
	char text[40];
	struct tm local;
	time_t seconds = (time_t)(unix_us / 1000000);
	localtime_r(&seconds, &local);
	strftime(text, sizeof(text), "%d/%b/%Y:%H:%M:%S %z", &local);
	buf_printf(out, "[%s]", text);
}

static void
append_text(struct buf *out, const struct access_record *record, bool combined)
{
	append_escaped(out, record->client, "-");
	buf_append_str(out, STR(" - "));
	append_escaped(out, record->user, "-");
	buf_append_char(out, ' ');
	append_time(out, record->received_us);
	buf_append_str(out, STR(" \""));
	append_escaped(out, record->method, "-");
	buf_append_char(out, ' ');
	append_escaped(out, record->target, "-");
	buf_printf(out, " HTTP/1.%u\" %u %llu", record->minor, record->status, (unsigned long long)record->bytes_out);
	if (combined) {
		buf_append_str(out, STR(" \""));
		append_escaped(out, record->referer, "-");
		buf_append_str(out, STR("\" \""));
		append_escaped(out, record->user_agent, "-");
		buf_append_char(out, '"');
	}
	buf_printf(out, " app=%s pid=%d%s total_ms=%llu queue_ms=%llu app_ms=%llu id=", record->app ? record->app : "-",
	           record->pid, record->direct ? " direct" : "", (unsigned long long)record->total_ms,
	           (unsigned long long)record->queue_ms, (unsigned long long)record->app_ms);
	append_escaped(out, record->id, "-");
	if (record->end != NULL)
		buf_printf(out, " end=\"%s\"", record->end);
	buf_append_char(out, '\n');
}

static void
json_text(struct json *json, const char *key, struct str value)
{
	json_key(json, str_from(key));
	json_string(json, value);
}

static void
append_json(struct buf *out, const struct access_record *record)
{
	struct json json = json_begin(out);
	json_begin_object(&json);
	json_key(&json, STR("time_unix_us"));
	json_i64(&json, record->received_us);
	json_text(&json, "client", record->client);
	if (record->user.len > 0)
		json_text(&json, "user", record->user);
	json_text(&json, "method", record->method);
	json_text(&json, "target", record->target);
	json_key(&json, STR("status"));
	json_u64(&json, record->status);
	json_key(&json, STR("bytes_out"));
	json_u64(&json, record->bytes_out);
	json_text(&json, "referer", record->referer);
	json_text(&json, "user_agent", record->user_agent);
	json_text(&json, "app", str_from(record->app));
	json_key(&json, STR("pid"));
	json_i64(&json, record->pid);
	json_key(&json, STR("direct"));
	json_bool(&json, record->direct);
	json_key(&json, STR("total_ms"));
	json_u64(&json, record->total_ms);
	json_key(&json, STR("queue_ms"));
	json_u64(&json, record->queue_ms);
	json_key(&json, STR("app_ms"));
	json_u64(&json, record->app_ms);
	json_text(&json, "id", record->id);
	if (record->end != NULL)
		json_text(&json, "end", str_from(record->end));
	json_end_object(&json);
	buf_append_char(out, '\n');
}

static void
slow_log(struct traffic *traffic, const struct access_record *record)
{
	struct buf line = {0};
	append_text(&line, record, false);
	if (traffic->slow_log_fd >= 0) {
		if (write(traffic->slow_log_fd, line.data, line.len) < 0)
			log_debug("slow-request log: a line was lost: %s", strerror(errno));
	} else {
		log_warn("slow request: %.*s", (int)line.len - 1, line.data);
	}
	buf_free(&line);
}

void
access_log_write(struct traffic *traffic, const struct access_record *record)
{
	const struct config *config = traffic->config;
	if (config->slow_request_threshold_ms > 0 && record->total_ms >= config->slow_request_threshold_ms)
		slow_log(traffic, record);
	if (config->access_log_format == CONFIG_LOG_OFF || traffic->access_log_fd < 0)
		return;
	if (config->access_log_format == CONFIG_LOG_JSON)
		append_json(&log_pending, record);
	else
		append_text(&log_pending, record, config->access_log_format == CONFIG_LOG_COMBINED);
	if (log_pending.len >= ACCESS_LOG_FLUSH_BYTES) {
		access_log_flush(traffic);
		return;
	}
	log_traffic = traffic;
	log_soon.run = access_log_soon;
	loop_soon(traffic->loop, &log_soon);
}
