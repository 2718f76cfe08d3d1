#include "traffic/error_page.h"

#include "wire/json.h"

static void
append_html(struct buf *out, struct str text)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.data[i];
		if (c == '<')
			buf_append_str(out, STR("&lt;"));
		else if (c == '>')
			buf_append_str(out, STR("&gt;"));
		else if (c == '&')
			buf_append_str(out, STR("&amp;"));
		else if (c == '"')
			buf_append_str(out, STR("&quot;"));
		else
			buf_append_char(out, c);
	}
}

/* Statuses after which the same request may well work a moment later. */
struct str
error_page_fields(uint16_t status)
{
	return status == 503 ? STR("Retry-After: 1\r\n") : str_make(NULL, 0);
}

static void
page_text(struct buf *out, const struct error_page *page)
{
	struct str reason = http_reason(page->status);
	buf_printf(out, "%u %.*s\n\n%.*s\n", page->status, STR_ARG(reason), STR_ARG(page->text));
	if (page->report.len > 0)
		buf_printf(out, "\n%.*s", STR_ARG(page->report));
	if (page->request_id.len > 0)
		buf_printf(out, "\nRequest id: %.*s\n", STR_ARG(page->request_id));
}

static void
append_report(struct buf *out, struct str report)
{
	struct str line;
	bool open = false;
	while (str_split(&report, '\n', &line)) {
		bool title = str_starts(line, STR("== "));
		if (title && open)
			buf_append_str(out, STR("</pre>\n"));
		if (title)
			buf_append_str(out, STR("<h2>"));
		append_html(out, title ? str_make(line.data + 3, line.len - 3) : line);
		buf_append_str(out, title ? STR("</h2>\n<pre>") : STR("\n"));
		open = open || title;
	}
	if (open)
		buf_append_str(out, STR("</pre>\n"));
}

static void
page_html(struct buf *out, const struct error_page *page)
{
	struct str reason = http_reason(page->status);
	buf_printf(out,
	           "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>%u %.*s</title>\n"
	           "<style>body{font:16px/1.5 sans-serif;max-width:42em;margin:4em auto;padding:0 1em;color:#222}"
	           "h1{font-size:1.4em}h2{font-size:1em}pre{white-space:pre-wrap;overflow-wrap:anywhere;"
	           "background:#f4f4f4;padding:1em}"
	           "small{color:#777}</style></head>\n<body><h1>%u %.*s</h1>\n<pre>",
	           page->status, STR_ARG(reason), page->status, STR_ARG(reason));
	append_html(out, page->text);
	buf_append_str(out, STR("</pre>\n"));
	append_report(out, page->report);
	if (page->request_id.len > 0) {
		buf_append_str(out, STR("<p><small>Request id: "));
		append_html(out, page->request_id);
		buf_append_str(out, STR("</small></p>\n"));
	}
	buf_append_str(out, STR("</body></html>\n"));
}

static void
put(struct json *json, struct str key, struct str value)
{
	if (value.len == 0)
		return;
	json_key(json, key);
	json_string(json, value);
}

static void
page_json(struct buf *out, const struct error_page *page)
{
	struct json json = json_begin(out);
	json_begin_object(&json);
	json_key(&json, STR("status"));
	json_u64(&json, page->status);
	put(&json, STR("reason"), http_reason(page->status));
	put(&json, STR("message"), page->text);
	put(&json, STR("error_id"), page->error_id);
	put(&json, STR("request_id"), page->request_id);
	put(&json, STR("report"), page->report);
	json_end_object(&json);
	buf_append_char(out, '\n');
}

/* The operator's page with our words in it. */
static void
page_custom(struct buf *out, const struct error_page *page)
{
	char digits[24];
	const struct {
		struct str mark, value;
	} words[] = {
		{STR("{{status}}"), str_from_u64(digits, page->status)},
		{STR("{{reason}}"), http_reason(page->status)},
		{STR("{{message}}"), page->text},
		{STR("{{error_id}}"), page->error_id},
		{STR("{{request_id}}"), page->request_id},
	};
	struct str rest = page->custom;
	while (rest.len > 0) {
		const char *at = memchr(rest.data, '{', rest.len);
		size_t len = at == NULL ? rest.len : (size_t)(at - rest.data);
		buf_append(out, rest.data, len);
		rest = str_make(rest.data + len, rest.len - len);
		size_t taken = rest.len > 0 ? 1 : 0;
		for (size_t i = 0; i < array_count(words) && taken == 1; i++) {
			if (!str_starts(rest, words[i].mark))
				continue;
			append_html(out, words[i].value);
			taken = words[i].mark.len;
		}
		if (taken == 1)
			buf_append_char(out, '{');
		rest = str_make(rest.data + taken, rest.len - taken);
	}
}

struct str
error_page_type(enum error_format format)
{
	return format == ERROR_FORMAT_HTML   ? STR("text/html; charset=utf-8")
	       : format == ERROR_FORMAT_JSON ? STR("application/json")
	                                     : STR("text/plain; charset=utf-8");
}

void
error_page(struct buf *out, const struct error_page *page)
{
	if (page->format == ERROR_FORMAT_JSON)
		page_json(out, page);
	else if (page->format == ERROR_FORMAT_TEXT)
		page_text(out, page);
	else if (page->custom.len > 0)
		page_custom(out, page);
	else
		page_html(out, page);
}
