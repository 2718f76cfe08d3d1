/*
 * output: what the commands print with.  Text is made in a buf and written at
 * the end, so that a reader never sees half an answer.  What comes from
 * applications or from the network is made harmless for a terminal here.
 */
#ifndef OPERATOR_OUTPUT_H
#define OPERATOR_OUTPUT_H

#include "base/buf.h"

enum output_charset {
	OUTPUT_ASCII, /* printable ASCII stays, any other octet becomes \xNN */
	OUTPUT_UTF8,  /* well-formed UTF-8 stays too, but for control and direction characters */
	OUTPUT_LINES, /* and so do tabs and ends of lines */
};

void output_append(struct buf *out, struct str text, enum output_charset charset);

/*
 * Length of the well-formed UTF-8 sequence at the beginning of text (RFC 3629:
 * no overlong form, no surrogate, at most U+10FFFF) and its code point; 0 when
 * there is none.
 */
size_t output_utf8(struct str text, uint32_t *code) must_check;

/* "5s", "3m 5s", "1h 0m 5s", "2d 1h 0m 5s": the original's form. */
void output_append_duration(struct buf *out, uint64_t seconds);

/* Writes all of it; false (and a line on standard error) when the reader is gone or the disk is full. */
bool output_write(int fd, const struct buf *out) must_check;

/* One line for a person on standard error: "passenger: …". */
void output_complain(const char *format, ...) printf_like(1, 2);

/* A text of several lines, each made harmless, on standard error after "passenger: ". */
void output_complain_text(const char *text);

#endif
