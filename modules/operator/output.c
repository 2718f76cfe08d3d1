#include "operator/output.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

size_t
output_utf8(struct str text, uint32_t *code)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	if (text.len == 0)
		return 0;
	const unsigned char *at = (const unsigned char *)text.data;
	size_t len = at[0] < 0x80 ? 1 : at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : at[0] < 0xf5 ? 4 : 0;
	if (len == 0 || len > text.len)
		return 0;
	uint32_t value = len == 1 ? at[0] : at[0] & (0x7fU >> len);
	for (size_t i = 1; i < len; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (at[i] & 0x3fU);
	}
	if (value < smallest[len] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
		return 0;
	*code = value;
	return len;
}

/* What could move a cursor, or turn round what a person reads. */
static bool
is_harmless(uint32_t code)
{
	if (code < 0x20 || (code >= 0x7f && code < 0xa0))
		return false;
	if (code == 0xad || code == 0x61c || code == 0xfeff)
		return false;
	return !(code >= 0x200b && code <= 0x200f) && !(code >= 0x2028 && code <= 0x202e) &&
	       !(code >= 0x2060 && code <= 0x206f);
}

void
output_append(struct buf *out, struct str text, enum output_charset charset)
{
	while (text.len > 0) {
		uint32_t code = 0;
		size_t len = output_utf8(text, &code);
		bool plain = len > 0 && is_harmless(code) && (charset != OUTPUT_ASCII || code < 0x7f);
		if (charset == OUTPUT_LINES && (code == '\t' || code == '\n'))
			plain = true;
		if (len == 0)
			len = 1;
		if (plain)
			buf_append(out, text.data, len);
		else
			for (size_t i = 0; i < len; i++)
				buf_printf(out, "\\x%02X", (unsigned char)text.data[i]);
		text = str_make(text.data + len, text.len - len);
	}
}

void
output_append_duration(struct buf *out, uint64_t seconds)
{
	uint64_t minutes = seconds / 60, hours = minutes / 60, days = hours / 24;
	if (days > 0)
		buf_printf(out, "%" PRIu64 "d ", days);
	if (hours > 0)
		buf_printf(out, "%" PRIu64 "h ", hours % 24);
	if (minutes > 0)
		buf_printf(out, "%" PRIu64 "m ", minutes % 60);
	buf_printf(out, "%" PRIu64 "s", seconds % 60);
}

bool
output_write(int fd, const struct buf *out)
{
	size_t done = 0;
	while (done < out->len) {
		ssize_t n = write(fd, out->data + done, out->len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			output_complain("can not write the answer: %s", strerror(n < 0 ? errno : EIO));
			return false;
		}
		done += (size_t)n;
	}
	return true;
}

void
output_complain(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	fputs("passenger: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
}

void
output_complain_text(const char *text)
{
	struct buf line = {0};
	struct str rest = str_from(text), word;
	while (rest.len > 0 && rest.data[rest.len - 1] == '\n')
		rest.len--;
	while (str_split(&rest, '\n', &word)) {
		if (line.len > 0)
			buf_append_str(&line, STR("\n"));
		output_append(&line, word, OUTPUT_UTF8);
	}
	output_complain("%.*s", (int)line.len, line.len > 0 ? line.data : "");
	buf_free(&line);
}
