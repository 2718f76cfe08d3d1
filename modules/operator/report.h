/*
 * report: named values and lists of them, as text for people or as JSON, from the
 * same calls.
 */
#ifndef OPERATOR_REPORT_H
#define OPERATOR_REPORT_H

#include "wire/json.h"

struct report {
	struct buf out;
	struct json json;
	bool is_json;
};

/* JSON: one object with one list of this name, in which every report_begin() begins an object. */
void report_open(struct report *report, bool is_json, const char *list);
void report_begin(struct report *report, const char *name, const char *title);
void report_value(struct report *report, const char *name, const char *value); /* NULL: null, and nothing in text */
void report_number(struct report *report, const char *name, int64_t value);
void report_list(struct report *report, const char *name, const char *const *items, size_t count);
void report_end(struct report *report);
/* Writes it; false when it could not be written. */
bool report_close(struct report *report) must_check;

#endif
