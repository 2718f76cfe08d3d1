/*
 * status_format: the three forms of `passenger status`, made from one view.
 * They read nothing but the view: no clock, no file, no descriptor (local
 * time comes from the C library's TZ).  docs/status.md describes them.
 */
#ifndef OPERATOR_STATUS_FORMAT_H
#define OPERATOR_STATUS_FORMAT_H

#include "base/buf.h"
#include "operator/view.h"

struct status_style {
	bool verbose;          /* addresses, passwords, current requests, failures */
	bool header;           /* text: Version, Date, Instance */
	bool colour;           /* text */
	const char *directory; /* the instance's, for JSON; NULL: not known */
};

/* The original's grammar (docs/status.md). */
void status_text(struct buf *out, const struct view *view, const struct status_style *style);

/* One object and a newline. */
void status_json(struct buf *out, const struct view *view, const struct status_style *style);

/* The original's `info version="3"`, UTF-8. */
void status_xml(struct buf *out, const struct view *view, const struct status_style *style);

#endif
