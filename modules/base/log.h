/*
 * log: lines for people on standard error, one write a line, bounded and
 * printable.  Log once, where it is decided.
 *
 *     [ N 2026-11-22 18:20:01.123 4711/balancer ] text
 *
 * The letter is C E W N I D.  Control octets and octets over 0x7e are escaped
 * as \xNN.  Lines that the disk refuses are counted and dropped.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/str.h"

enum log_level { LOG_CRITICAL, LOG_ERROR, LOG_WARN, LOG_NOTICE, LOG_INFO, LOG_DEBUG, LOG_LEVEL_N };

enum { LOG_LINE_BYTES_MAX = 8192 };

/* role: "spawner", "balancer" …, a literal. */
void log_init(const char *role, enum log_level level);
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
void log_line(enum log_level level, const char *format, ...) printf_like(2, 3);
/* A line without our prefix (an application's output), bounded; control octets are escaped unless raw.  fd: another
 * file than standard error. */
void log_output(int fd, struct str prefix, struct str text, bool raw);
uint64_t log_dropped(void);

#define log_critical(...) log_line(LOG_CRITICAL, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_notice(...) log_line(LOG_NOTICE, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...)                                    \
	do {                                              \
		if (log_get_level() >= LOG_DEBUG)         \
			log_line(LOG_DEBUG, __VA_ARGS__); \
	} while (0)

/* Escapes text for a log: printable ASCII stays, the rest is \xNN; returns the length written (out is terminated). */
size_t log_escape(char *out, size_t out_size, struct str text);

#endif
