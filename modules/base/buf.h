/*
 * buf: a growable run of bytes that owns its memory.  Growing aborts when
 * memory is out, so nothing whose size a peer chooses is put in one without a
 * limit of the caller's.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/str.h"

struct buf {
	char *data;
	size_t len;
	size_t cap;
};

void buf_reserve(struct buf *buf, size_t more);
void buf_append(struct buf *buf, const void *data, size_t len);
void buf_append_char(struct buf *buf, char c);
void buf_printf(struct buf *buf, const char *format, ...) printf_like(2, 3);
/* Drops len bytes at the front. */
void buf_consume(struct buf *buf, size_t len);
void buf_clear(struct buf *buf);
void buf_free(struct buf *buf);

static inline void
buf_append_str(struct buf *buf, struct str s)
{
	buf_append(buf, s.data, s.len);
}

static inline struct str
buf_str(const struct buf *buf)
{
	return str_make(buf->data, buf->len);
}

#endif
