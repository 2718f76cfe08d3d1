#include "spawner/log_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* A FIFO without a reader is refused here (ENXIO) instead of waited for; a link in the last
 * part is not followed, since root may be writing. */
static int
open_log(const char *path, char error[LOG_FILES_ERROR_BYTES])
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW, 0640);

	if (fd < 0 && errno == ELOOP)
		str_format(error, LOG_FILES_ERROR_BYTES, "the log %s is a symbolic link; name the file itself", path);
	else if (fd < 0)
		str_format(error, LOG_FILES_ERROR_BYTES, "the log %s can not be opened: %s", path, strerror(errno));
	return fd;
}

void
log_files_never_wait(void)
{
	struct stat stat;

	if (fstat(STDERR_FILENO, &stat) != 0)
		return;
	if (S_ISSOCK(stat.st_mode)) {
		fcntl(STDERR_FILENO, F_SETFL, fcntl(STDERR_FILENO, F_GETFL) | O_NONBLOCK);
	} else if (S_ISFIFO(stat.st_mode)) {
		/* opened anew: the flag is ours alone, and not that of all who have the pipe */
		int fd = open("/proc/self/fd/2", O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC);
		if (fd >= 0) {
			dup2(fd, STDERR_FILENO);
			close(fd);
		}
	}
}

bool
log_files_main(const struct config *config, char error[LOG_FILES_ERROR_BYTES])
{
	if (config->log_file == NULL)
		return true;
	int fd = open_log(config->log_file, error);
	if (fd < 0)
		return false;
	bool done = dup2(fd, STDERR_FILENO) >= 0;
	close(fd);
	return done;
}

static bool
open_one(int *fd, const char *path, char error[LOG_FILES_ERROR_BYTES])
{
	int fresh = open_log(path, error);

	if (fresh < 0)
		return false;
	if (*fd >= 0)
		close(*fd);
	*fd = fresh;
	return true;
}

bool
log_files_open(struct log_files *files, const struct config *config, char error[LOG_FILES_ERROR_BYTES])
{
	bool done = true;

	if (config->access_log_format != CONFIG_LOG_OFF && config->access_log != NULL)
		done = open_one(&files->access_fd, config->access_log, error);
	else if (config->access_log_format != CONFIG_LOG_OFF && files->access_fd < 0)
		files->access_fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	if (config->slow_request_threshold_ms != 0 && config->slow_request_log != NULL)
		done = open_one(&files->slow_fd, config->slow_request_log, error) && done;
	return done;
}

void
log_files_close(struct log_files *files)
{
	if (files->access_fd >= 0)
		close(files->access_fd);
	if (files->slow_fd >= 0)
		close(files->slow_fd);
	files->access_fd = files->slow_fd = -1;
}
