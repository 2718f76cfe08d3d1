/*
 * log_files: the files that logs are written to, opened by the spawner (who may),
 * written by both roles: always appended to, never waited for.
 */
#ifndef SPAWNER_LOG_FILES_H
#define SPAWNER_LOG_FILES_H

#include "config/config.h"

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

#endif
