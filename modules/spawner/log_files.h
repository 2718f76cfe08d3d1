/*
 * log_files: the files that logs are written to, opened by the spawner (who may),
 * written by both roles: always appended to, never waited for.
 *
 * Root may be writing: a link is followed only where nobody but root could have put it, and a file with a
 * second name is refused.  An application's own log is opened as the application's user, to whom it then
 * belongs; where that user may not write, as root in the same careful way, and given to him.
 */
#ifndef SPAWNER_LOG_FILES_H
#define SPAWNER_LOG_FILES_H

#include "config/config.h"
#include "worker/capture.h"

enum { LOG_FILES_ERROR_BYTES = 512 };

struct log_files {
	int access_fd; /* -1: off */
	int slow_fd;   /* -1: off */
};

/* Standard error as it was given to us: a pipe or socket whose reader sleeps must not stop us;
 * lines are dropped then. */
void log_files_never_wait(void);
/* log_file becomes descriptor 2.  Nothing when there is no such option.  False and a sentence. */
bool log_files_main(const struct config *config, char error[LOG_FILES_ERROR_BYTES]) must_check;
/* Opens the others, or opens all anew: what can not be opened stays as it is, and is told. */
bool log_files_open(struct log_files *files, const struct config *config, char error[LOG_FILES_ERROR_BYTES]) must_check;
void log_files_close(struct log_files *files);

/* The same for app_log_file of each application: sinks by id.  One that can not be opened stays as it is. */
bool log_files_open_sinks(struct capture_sink *sinks, const struct config *config,
                          char error[LOG_FILES_ERROR_BYTES]) must_check;
void log_files_close_sinks(struct capture_sink *sinks, size_t count);

#endif
