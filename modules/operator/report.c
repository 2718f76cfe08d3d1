#include "operator/report.h"

#include "operator/output.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { NAME_COLUMNS = 13 };

void
report_open(struct report *report, bool is_json, const char *list)
{
	memset(report, 0, sizeof(*report));
	report->is_json = is_json;
	report->json = json_begin(&report->out);
	if (!is_json)
		return;
	json_begin_object(&report->json);
	json_key(&report->json, str_from(list));
	json_begin_array(&report->json);
}

void
report_begin(struct report *report, const char *name, const char *title)
{
	if (report->is_json) {
		json_begin_object(&report->json);
		report_value(report, name, title);
		return;
	}
	if (report->out.len > 0)
		buf_append_char(&report->out, '\n');
	output_append(&report->out, str_from(title), OUTPUT_UTF8);
	buf_append_char(&report->out, '\n');
}

void
report_value(struct report *report, const char *name, const char *value)
{
	if (report->is_json) {
		json_key(&report->json, str_from(name));
		json_string_z(&report->json, value);
	} else if (value != NULL) {
		buf_printf(&report->out, "  %-*s ", NAME_COLUMNS, name);
		output_append(&report->out, str_from(value), OUTPUT_UTF8);
		buf_append_char(&report->out, '\n');
	}
}

void
report_number(struct report *report, const char *name, int64_t value)
{
	char text[32];

	if (report->is_json) {
		json_key(&report->json, str_from(name));
		json_i64(&report->json, value);
		return;
	}
	str_format(text, sizeof(text), "%" PRId64, value);
	report_value(report, name, text);
}

void
report_list(struct report *report, const char *name, const char *const *items, size_t count)
{
	if (!report->is_json) {
		for (size_t i = 0; i < count; i++)
			report_value(report, i == 0 ? name : "", items[i]);
		return;
	}
	json_key(&report->json, str_from(name));
	json_begin_array(&report->json);
	for (size_t i = 0; i < count; i++)
		json_string_z(&report->json, items[i]);
	json_end_array(&report->json);
}

void
report_end(struct report *report)
{
	if (report->is_json)
		json_end_object(&report->json);
}

bool
report_close(struct report *report)
{
	if (report->is_json) {
		json_end_array(&report->json);
		json_end_object(&report->json);
		buf_append_char(&report->out, '\n');
	}
	bool written = output_write(STDOUT_FILENO, &report->out);
	buf_free(&report->out);
	return written;
}
