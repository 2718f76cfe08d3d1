/*
 * error_page: what a person reads when we answer instead of an application:
 * what happened, to what, and what to do.  HTML for browsers, plain text for
 * everything else.
 */
#ifndef TRAFFIC_ERROR_PAGE_H
#define TRAFFIC_ERROR_PAGE_H

#include "base/buf.h"
#include "wire/http.h"

/* text: one or a few plain sentences; id: the request's, may be empty. */
void error_page(struct buf *out, bool html, uint16_t status, struct str text, struct str id);
/* Its Content-Type. */
struct str error_page_type(bool html);
/* Header lines that belong to the status, each with CRLF. */
struct str error_page_fields(uint16_t status);

#endif
