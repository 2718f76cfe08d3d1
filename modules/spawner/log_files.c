#include "spawner/log_files.h"

#include "worker/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINKS_MAX = 16, FLAGS = O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW, MODE = 0640 };

/* --- the way there ------------------------------------------------------------------- */

/* May nobody but root and us have made this link in this directory? */
static bool
is_trusted_link(int dir, const struct stat *link)
{
	struct stat stat;

	if (fstat(dir, &stat) != 0 || (stat.st_uid != 0 && stat.st_uid != geteuid()))
		return false;
	if ((stat.st_mode & (S_IWGRP | S_IWOTH)) == 0)
		return true;
	return (stat.st_mode & S_ISVTX) != 0 && (link->st_uid == 0 || link->st_uid == geteuid());
}

/* A step down to `name`: *dir becomes it, or, where it is a link, what it says goes before what is left to go. */
static bool
step(int *dir, const char *name, char left[PATH_MAX], int *links)
{
	char both[PATH_MAX];
	struct stat stat;
	int fd = openat(*dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), from = fd;
	bool done = fd >= 0 && fstat(fd, &stat) == 0;

	if (done && S_ISLNK(stat.st_mode)) {
		ssize_t len = readlinkat(fd, "", both, sizeof(both));
		errno = ELOOP;
		done = len > 0 && len < PATH_MAX && ++*links <= LINKS_MAX && is_trusted_link(*dir, &stat);
		done = done && str_format(both + len, sizeof(both) - (size_t)len, "/%s", left);
		if (done)
			memcpy(left, both, strlen(both) + 1);
		from = done && both[0] == '/' ? open("/", O_PATH | O_CLOEXEC) : dup(*dir);
		close(fd);
	}
	close(*dir);
	*dir = from;
	return done && from >= 0;
}

/* The directory of the absolute path's last part, which becomes name; -1 and errno. */
static int
open_folder(const char *path, char name[NAME_MAX + 1])
{
	char left[PATH_MAX];
	int dir = open("/", O_PATH | O_CLOEXEC), links = 0;
	bool going = str_format(left, sizeof(left), "%s", path);

	while (going && dir >= 0) {
		struct str rest = str_from(left), part;
		if (!str_split(&rest, '/', &part) || !str_copy_z(name, NAME_MAX + 1, part)) {
			errno = ENAMETOOLONG;
			break;
		}
		if (rest.data == NULL)
			return dir;
		memmove(left, rest.data, rest.len + 1);
		going = name[0] == '\0' || step(&dir, name, left, &links);
	}
	int saved = errno;
	if (dir >= 0)
		close(dir);
	errno = saved;
	return -1;
}

/* --- opening ------------------------------------------------------------------------- */

static bool
has_second_name(int fd)
{
	struct stat stat;

	return fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode) && stat.st_nlink > 1;
}

/* As we are.  *made: it was not there.  A FIFO without a reader is refused (ENXIO) instead of waited for. */
static int
open_carefully(const char *path, bool *made)
{
	char name[NAME_MAX + 1];
	int dir = open_folder(path, name);

	if (dir < 0)
		return -1;
	int fd = openat(dir, name, FLAGS | O_CREAT | O_EXCL, MODE);
	*made = fd >= 0;
	if (fd < 0 && errno == EEXIST)
		fd = openat(dir, name, FLAGS);
	int saved = errno;
	close(dir);
	errno = saved;
	if (fd >= 0 && has_second_name(fd)) {
		close(fd);
		fd = -1;
		errno = EMLINK;
	}
	return fd;
}

static void
explain(char error[LOG_FILES_ERROR_BYTES], const char *path)
{
	if (errno == ELOOP)
		str_format(
			error, LOG_FILES_ERROR_BYTES,
			"the log %s is a symbolic link, or others than root could have made one on the way to it; name "
			"the file itself",
			path);
	else if (errno == EMLINK)
		str_format(error, LOG_FILES_ERROR_BYTES,
		           "the log %s has a second name (a hard link), and is not written to", path);
	else
		str_format(error, LOG_FILES_ERROR_BYTES, "the log %s can not be opened: %s", path, strerror(errno));
}

static int
open_log(const char *path, char error[LOG_FILES_ERROR_BYTES])
{
	bool made;
	int fd = open_carefully(path, &made);

	if (fd < 0)
		explain(error, path);
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

/* --- of the applications ---------------------------------------------------------------- */

/* First as its user, who can reach with it only what is his anyway. */
static int
open_sink(const struct app_config *app, const char *path, char error[LOG_FILES_ERROR_BYTES])
{
	bool made = false;

	identity_see_as(app->uid, app->gid);
	int fd = open(path, FLAGS | O_CREAT, MODE);
	int saved = errno;
	identity_see_as(0, 0);
	errno = saved;
	if (fd < 0 && errno == EACCES && geteuid() == 0)
		fd = open_carefully(path, &made);
	if (fd < 0)
		explain(error, path);
	else if (made && fchown(fd, app->uid, app->gid) != 0) {
		/* then it is ours: written to it is all the same */
	}
	return fd;
}

bool
log_files_open_sinks(struct capture_sink *sinks, const struct config *config, char error[LOG_FILES_ERROR_BYTES])
{
	char path[PATH_MAX];
	bool done = true;

	for (size_t i = 0; i < config->app_count; i++) {
		const struct app_config *app = config->apps[i];
		struct capture_sink *sink = &sinks[app->id];
		const char *file = app->app_log_file;
		int fd = -1;
		sink->bare = app->disable_log_prefix;
		if (file != NULL) {
			if (app_config_path(app->root, file, path, sizeof(path)))
				fd = open_sink(app, path, error);
			else
				str_format(error, LOG_FILES_ERROR_BYTES, "the path of the log %s is too long", file);
			done = done && fd >= 0;
			if (fd < 0)
				continue;
		}
		if (sink->fd >= 0)
			close(sink->fd);
		sink->fd = fd;
	}
	return done;
}

void
log_files_close_sinks(struct capture_sink *sinks, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (sinks[i].fd >= 0)
			close(sinks[i].fd);
		sinks[i].fd = -1;
	}
}
