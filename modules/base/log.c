#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static const char *log_role = "passenger";
static enum log_level log_max = LOG_NOTICE;
static uint64_t log_dropped_lines;

static const char log_letters[LOG_LEVEL_N] = {
	[LOG_CRITICAL] = 'C', [LOG_ERROR] = 'E', [LOG_WARN] = 'W',
	[LOG_NOTICE] = 'N',   [LOG_INFO] = 'I',  [LOG_DEBUG] = 'D',
};

void
log_init(const char *role, enum log_level level)
{
	log_role = role;
	log_max = level;
}

void
log_set_level(enum log_level level)
{
	log_max = level;
}

enum log_level
log_get_level(void)
{
	return log_max;
}

uint64_t
log_dropped(void)
{
	return log_dropped_lines;
}

size_t
log_escape(char *out, size_t out_size, struct str text)
{
	static const char hex[] = "0123456789abcdef";
	size_t at = 0;
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.data[i];
		if (c >= 0x20 && c < 0x7f && c != '\\') {
			if (at + 1 >= out_size)
				break;
			out[at++] = (char)c;
		} else {
			if (at + 4 >= out_size)
				break;
			out[at++] = '\\';
			out[at++] = 'x';
			out[at++] = hex[c >> 4];
			out[at++] = hex[c & 15];
		}
	}
	if (out_size > 0)
		out[at] = 0;
	return at;
}

/* One write a line: lines of several processes do not mix in an O_APPEND file or a pipe (up to PIPE_BUF). */
static void
log_write(int fd, const char *line, size_t len)
{
	int saved = errno;
	ssize_t written;
	do
		written = write(fd, line, len);
	while (written < 0 && errno == EINTR);
	if (written != (ssize_t)len)
		log_dropped_lines++;
	errno = saved;
}

void
log_line(enum log_level level, const char *format, ...)
{
	if (level > log_max)
		return;
	int saved = errno;
	char text[LOG_LINE_BYTES_MAX / 2];
	char line[LOG_LINE_BYTES_MAX];
	va_list arguments;
	va_start(arguments, format);
	int text_len = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (text_len < 0)
		text_len = 0;
	if ((size_t)text_len >= sizeof(text))
		text_len = (int)sizeof(text) - 1;

	struct timespec now;
	struct tm local;
	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &local);
	char when[32];
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &local);
	int head = snprintf(line, sizeof(line), "[ %c %s.%03ld %d/%s ] ", log_letters[level], when,
	                    now.tv_nsec / 1000000, (int)getpid(), log_role);
	size_t len = (size_t)head;
	len += log_escape(line + len, sizeof(line) - len - 1, str_make(text, (size_t)text_len));
	line[len++] = '\n';
	log_write(STDERR_FILENO, line, len);
	errno = saved;
}

void
log_output(int fd, struct str prefix, struct str text, bool raw)
{
	char line[LOG_LINE_BYTES_MAX];
	size_t len = 0;
	size_t room = sizeof(line) - 1;
	for (size_t i = 0; i < prefix.len && len < room; i++)
		line[len++] = prefix.data[i];
	/* An application's own text: octets over 0x7e are its encoding and stay, control octets do not. */
	for (size_t i = 0; i < text.len && len + 4 < room; i++) {
		unsigned char c = (unsigned char)text.data[i];
		if (raw || (c >= 0x20 && c != 0x7f) || c == '\t')
			line[len++] = (char)c;
		else
			len += log_escape(line + len, room - len, str_make(text.data + i, 1));
	}
	line[len++] = '\n';
	log_write(fd, line, len);
}
