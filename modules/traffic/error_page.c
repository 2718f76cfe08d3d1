#include "traffic/error_page.h"

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
page_text(struct buf *out, uint16_t status, struct str text, struct str id)
{
	struct str reason = http_reason(status);
	buf_printf(out, "%u %.*s\n\n%.*s\n", status, STR_ARG(reason), STR_ARG(text));
	if (id.len > 0)
		buf_printf(out, "\nRequest id: %.*s\n", STR_ARG(id));
}

static void
page_html(struct buf *out, uint16_t status, struct str text, struct str id)
{
	struct str reason = http_reason(status);
	buf_printf(out,
	           "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>%u %.*s</title>\n"
	           "<style>body{font:16px/1.5 sans-serif;max-width:42em;margin:4em auto;padding:0 1em;color:#222}"
	           "h1{font-size:1.4em}pre{white-space:pre-wrap;background:#f4f4f4;padding:1em}"
	           "small{color:#777}</style></head>\n<body><h1>%u %.*s</h1>\n<pre>",
	           status, STR_ARG(reason), status, STR_ARG(reason));
	append_html(out, text);
	buf_append_str(out, STR("</pre>\n"));
	if (id.len > 0) {
		buf_append_str(out, STR("<p><small>Request id: "));
		append_html(out, id);
		buf_append_str(out, STR("</small></p>\n"));
	}
	buf_append_str(out, STR("</body></html>\n"));
}

struct str
error_page_type(bool html)
{
	return html ? STR("text/html; charset=utf-8") : STR("text/plain; charset=utf-8");
}

void
error_page(struct buf *out, bool html, uint16_t status, struct str text, struct str id)
{
	if (html)
		page_html(out, status, text, id);
	else
		page_text(out, status, text, id);
}
