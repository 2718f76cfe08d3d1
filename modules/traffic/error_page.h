/*
 * error_page: what a person reads when we answer instead of an application:
 * what happened, to what, and what to do.  HTML for browsers, JSON for programs
 * that ask for it, plain text for everything else.
 */
#ifndef TRAFFIC_ERROR_PAGE_H
#define TRAFFIC_ERROR_PAGE_H

#include "base/buf.h"
#include "wire/http.h"

enum error_format { ERROR_FORMAT_TEXT, ERROR_FORMAT_HTML, ERROR_FORMAT_JSON };

struct error_page {
	enum error_format format;
	uint16_t status;
	struct str text;       /* one or a few plain sentences */
	struct str request_id; /* may be empty, as all that follow */
	struct str error_id;   /* of a process that could not be started */
	struct str report;     /* sections, each a line "== Title" and lines after it: only for who may see all */
	struct str custom;     /* HTML of the operator's, with {{status}} and the like in it; instead of ours */
};

void error_page(struct buf *out, const struct error_page *page);
/* Its Content-Type. */
struct str error_page_type(enum error_format format);
/* Header lines that belong to the status, each with CRLF. */
struct str error_page_fields(uint16_t status);

#endif
