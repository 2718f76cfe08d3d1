#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void
buf_reserve(struct buf *buf, size_t more)
{
	if (buf->cap - buf->len >= more)
		return;
	size_t cap = buf->cap ? buf->cap : 256;
	while (cap - buf->len < more)
		cap *= 2;
	char *data = realloc(buf->data, cap);
	if (data == NULL)
		abort();
	buf->data = data;
	buf->cap = cap;
}

void
buf_append(struct buf *buf, const void *data, size_t len)
{
	if (len == 0)
		return;
	buf_reserve(buf, len);
	memcpy(buf->data + buf->len, data, len);
	buf->len += len;
}

void
buf_append_char(struct buf *buf, char c)
{
	buf_append(buf, &c, 1);
}

void
buf_printf(struct buf *buf, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	int len = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	if (len < 0)
		abort();
	buf_reserve(buf, (size_t)len + 1);
	va_start(arguments, format);
	vsnprintf(buf->data + buf->len, (size_t)len + 1, format, arguments);
	va_end(arguments);
	buf->len += (size_t)len;
}

void
buf_consume(struct buf *buf, size_t len)
{
	buf->len -= len;
	if (buf->len > 0)
		memmove(buf->data, buf->data + len, buf->len);
}

void
buf_clear(struct buf *buf)
{
	buf->len = 0;
}

void
buf_free(struct buf *buf)
{
	free(buf->data);
	*buf = (struct buf){0};
}
