#include "worker/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LOCK_TRIES = 10, PATH_BYTES = 256, REMOVE_DEPTH_MAX = 8, REMOVE_MAX = 1000, SWEEP_MAX = 1000 * 1000 };

static bool
failed(char error[PLACE_ERROR_BYTES], const char *path, const char *what)
{
	str_format(error, PLACE_ERROR_BYTES, "%s: %s: %s", path, what, strerror(errno));
	return false;
}

/* --- the way there ---------------------------------------------------------------- */

/* May nobody but root and us change what is in this directory?  (In a sticky one nobody
 * changes what belongs to others.) */
static bool
is_safe(const struct stat *stat, bool is_last, const char *path, char error[PLACE_ERROR_BYTES])
{
	bool sticky = (stat->st_mode & S_ISVTX) != 0 && !is_last;
	bool foreign_owner = stat->st_uid != 0 && stat->st_uid != geteuid();
	bool group_writes = (stat->st_mode & S_IWGRP) != 0 && stat->st_gid != 0 && stat->st_gid != getegid();

	if (!S_ISDIR(stat->st_mode)) {
		str_format(error, PLACE_ERROR_BYTES, "%s is no directory", path);
		return false;
	}
	if (foreign_owner || (is_last && stat->st_uid != geteuid())) {
		str_format(
			error,
			PLACE_ERROR_BYTES, "%s belongs to uid %u, who could put files in our way; choose another place with --instance-dir",
			path, (unsigned)stat->st_uid);
		return false;
	}
	if (!sticky && ((stat->st_mode & S_IWOTH) != 0 || group_writes)) {
		str_format(error, PLACE_ERROR_BYTES,
		           "%s can be written by other users (mode %04o), who could put files in our way; chmod go-w "
		           "it, or "
		           "choose another place with --instance-dir",
		           path, (unsigned)(stat->st_mode & 07777));
		return false;
	}
	return true;
}

/* One step down; made when it is missing.  The new descriptor, or -1. */
static int
step(int parent, const char *name, const char *path, bool is_last, bool *made, char error[PLACE_ERROR_BYTES])
{
	struct stat stat;

	*made = false;
	if (mkdirat(parent, name, 0755) == 0)
		*made = true;
	else if (errno != EEXIST && errno != EROFS && errno != EACCES) {
		failed(error, path, "can not be made");
		return -1;
	}
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == EACCES && !is_last)
		fd = openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0) {
		failed(error, path, "can not be opened or made");
		return -1;
	}
	if ((*made && fchmod(fd, 0755) != 0) || fstat(fd, &stat) != 0) {
		failed(error, path, "can not be looked at");
		close(fd);
		return -1;
	}
	if (!is_safe(&stat, is_last, path, error)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Walks from the root; every directory on the way is held to is_safe(). */
static bool
walk(struct place *place, char error[PLACE_ERROR_BYTES])
{
	struct str rest = str_from(place->dir + 1), part;
	char name[NAME_MAX + 1];
	int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return failed(error, "/", "can not be opened");
	while (str_split(&rest, '/', &part)) {
		char path[PATH_BYTES];
		if (!str_copy_z(name, sizeof(name), part))
			break;
		str_format(path, sizeof(path), "%.*s", (int)(part.data + part.len - place->dir), place->dir);
		int next = step(fd, name, path, rest.data == NULL || rest.len == 0, &place->made, error);
		close(fd);
		if (next < 0)
			return false;
		fd = next;
	}
	place->dir_fd = fd;
	return true;
}

/* Absolute, without links in the part that exists, without "." and "..". */
static bool
absolute(const char *dir, char out[PATH_BYTES], char error[PLACE_ERROR_BYTES])
{
	char existing[PATH_MAX], real[PATH_MAX];
	size_t len, cut;

	if (dir[0] == '/')
		len = str_format(existing, sizeof(existing), "%s", dir) ? strlen(existing) : 0;
	else
		len = getcwd(real, sizeof(real)) != NULL && str_format(existing, sizeof(existing), "%s/%s", real, dir)
		              ? strlen(existing)
		              : 0;
	while (len > 1 && existing[len - 1] == '/')
		existing[--len] = '\0';
	const char *whole = len > 0 ? strdup(existing) : NULL;
	if (whole == NULL) {
		str_format(error, PLACE_ERROR_BYTES, "%s: the path is too long", dir);
		return false;
	}
	/* links are followed in what is there already: the walk will see the real directories */
	for (cut = len; realpath(cut > 0 ? existing : "/", real) == NULL && cut > 0; existing[cut] = '\0')
		while (cut > 0 && existing[--cut] != '/')
			;
	struct str rest = str_from(whole + cut);
	bool sound = str_search(rest, STR("/../")) == NULL && str_search(rest, STR("/./")) == NULL &&
	             !str_ends(rest, STR("/.."));
	sound = sound && str_format(out, PATH_BYTES, "%s%s", strcmp(real, "/") == 0 ? "" : real, whole + cut) &&
	        out[0] == '/';
	if (!sound)
		str_format(error, PLACE_ERROR_BYTES,
		           "%s: the path is too long, or has \"..\" in a part that does not exist", dir);
	union {
		const char *in;
		char *out;
	} memory = {.in = whole};
	free(memory.out);
	return sound;
}

/* --- the lock --------------------------------------------------------------------- */

static void
sleep_ms(long ms)
{
	struct timespec time = {0, ms * 1000000};

	nanosleep(&time, NULL);
}

static int32_t
lock_read(int fd, bool *made)
{
	char text[32];
	struct str line;
	uint64_t pid;

	ssize_t len = pread(fd, text, sizeof(text), 0);
	struct str rest = str_make(text, len > 0 ? (size_t)len : 0);
	if (!str_split(&rest, '\n', &line) || !str_to_u64(line, &pid) || pid > INT32_MAX)
		return 0;
	*made = str_equal(rest, STR("made\n"));
	return (int32_t)pid;
}

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Opens and locks it; the file that is locked is the one that stands there (its owner removes it at the end). */
static enum place_result
lock_take(struct place *place, char error[PLACE_ERROR_BYTES])
{
	struct stat locked, standing;

	for (int i = 0; i < LOCK_TRIES; i++) {
		place->lock_fd =
			openat(place->dir_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
		if (place->lock_fd < 0) {
			failed(error, place->dir, "its lock can not be opened");
			return PLACE_FAILED;
		}
		if (flock(place->lock_fd, LOCK_EX | LOCK_NB) == 0) {
			if (fstat(place->lock_fd, &locked) == 0 &&
			    fstatat(place->dir_fd, "lock", &standing, AT_SYMLINK_NOFOLLOW) == 0 &&
			    locked.st_ino == standing.st_ino && locked.st_dev == standing.st_dev)
				return PLACE_OURS;
		} else {
			bool made;
			place->other_pid = lock_read(place->lock_fd, &made);
			/* one that has just begun has not written its pid yet */
			if (place->other_pid != 0 || i + 1 == LOCK_TRIES) {
				/* An open lock means ours: nothing of the other's may be cleared away. */
				close_fd(&place->lock_fd);
				return PLACE_RUNNING;
			}
		}
		close(place->lock_fd);
		place->lock_fd = -1;
		sleep_ms(20);
	}
	str_format(error, PLACE_ERROR_BYTES, "%s: its lock changes all the time", place->dir);
	return PLACE_FAILED;
}

/* The pid; and whether the directory is of our making, for who may have to take it over. */
static bool
lock_write(struct place *place)
{
	char text[32];

	str_format(text, sizeof(text), "%d\n%s", (int)getpid(), place->made ? "made\n" : "");
	return ftruncate(place->lock_fd, 0) == 0 &&
	       pwrite(place->lock_fd, text, strlen(text), 0) == (ssize_t)strlen(text);
}

/* --- sweeping --------------------------------------------------------------------- */

static void remove_deep(int dir_fd, const char *name, unsigned depth, unsigned *left);

/* No link is followed on the way; however deep and full a tree is, it costs a descriptor a level and *left removals. */
static void
sweep_deep(int dir_fd, const char *name, unsigned depth, unsigned *left)
{
	struct dirent *entry;
	int copy = dir_fd < 0 ? -1 : openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);

	if (dir == NULL) {
		if (copy >= 0)
			close(copy);
		return;
	}
	while (*left > 0 && (entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			remove_deep(dirfd(dir), entry->d_name, depth, left);
	closedir(dir);
}

static void
remove_deep(int dir_fd, const char *name, unsigned depth, unsigned *left)
{
	--*left;
	if (unlinkat(dir_fd, name, 0) == 0 || errno != EISDIR || depth == REMOVE_DEPTH_MAX)
		return;
	sweep_deep(dir_fd, name, depth + 1, left);
	unlinkat(dir_fd, name, AT_REMOVEDIR);
}

void
place_remove(int dir_fd, const char *name)
{
	unsigned left = REMOVE_MAX;

	remove_deep(dir_fd, name, 0, &left);
}

static void
sweep(int dir_fd)
{
	unsigned left = SWEEP_MAX;

	sweep_deep(dir_fd, ".", 0, &left);
}

bool
place_make_folder(int programs_fd, const char *name, uint32_t uid, uint32_t gid)
{
	bool made = mkdirat(programs_fd, name, 0700) == 0 && fchmodat(programs_fd, name, 0700, 0) == 0;
	return made && (uid == geteuid() || fchownat(programs_fd, name, uid, gid, AT_SYMLINK_NOFOLLOW) == 0);
}

void
place_name_parts(struct place *place)
{
	str_format(place->apps_dir, sizeof(place->apps_dir), "%s/apps", place->dir);
	str_format(place->loaders_dir, sizeof(place->loaders_dir), "%s/loaders", place->dir);
	str_format(place->programs_dir, sizeof(place->programs_dir), "%s/programs", place->dir);
	str_format(place->control_path, sizeof(place->control_path), "%s/control", place->dir);
}

enum place_result
place_open(struct place *place, const char *dir, char error[PLACE_ERROR_BYTES])
{
	memset(place, 0, sizeof(*place));
	place->dir_fd = place->apps_fd = place->loaders_fd = place->programs_fd = place->lock_fd = -1;
	if (!absolute(dir, place->dir, error) || !walk(place, error))
		return PLACE_FAILED;
	place_name_parts(place);
	enum place_result result = lock_take(place, error);
	if (result != PLACE_OURS)
		return result;
	bool made = false;
	place->other_pid = lock_read(place->lock_fd, &made);
	place->taken_over = place->other_pid != 0;
	place->made = place->made || made;
	unlinkat(place->dir_fd, "control", 0);
	unlinkat(place->dir_fd, "instance.txt", 0);
	if (!lock_write(place)) {
		failed(error, place->dir, "its lock can not be written");
		return PLACE_FAILED;
	}
	return PLACE_OURS;
}

/* A directory in ours, with this mode and group, empty. */
static int
inner(struct place *place, const char *name, mode_t mode, uint32_t gid, char error[PLACE_ERROR_BYTES])
{
	if (mkdirat(place->dir_fd, name, 0700) != 0 && errno != EEXIST) {
		failed(error, place->dir, "a directory in it can not be made");
		return -1;
	}
	int fd = openat(place->dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0) {
		failed(error, place->dir, "a directory in it can not be opened");
		return -1;
	}
	sweep(fd);
	if ((gid != getegid() && fchown(fd, UINT32_MAX, gid) != 0) || fchmod(fd, mode) != 0) {
		failed(error, place->dir, "a directory in it can not be given its group and mode");
		close(fd);
		return -1;
	}
	return fd;
}

bool
place_fill(struct place *place, uint32_t apps_gid, char error[PLACE_ERROR_BYTES])
{
	place->apps_fd = inner(place, "apps", geteuid() == 0 ? 0710 : 0700, apps_gid, error);
	if (place->apps_fd < 0)
		return false;
	place->loaders_fd = inner(place, "loaders", 0755, getegid(), error);
	place->programs_fd = inner(place, "programs", 0711, getegid(), error);
	return place->loaders_fd >= 0 && place->programs_fd >= 0;
}

bool
place_add_loader(struct place *place, const char *name, const void *data, size_t len, char error[PLACE_ERROR_BYTES])
{
	static const char draft[] = ".new";

	unlinkat(place->loaders_fd, draft, 0);
	int fd = openat(place->loaders_fd, draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return failed(error, place->loaders_dir, "a loader can not be written");
	bool done = fchmod(fd, 0644) == 0;
	for (size_t at = 0; done && at < len;) {
		ssize_t written = write(fd, (const char *)data + at, len - at);
		if (written > 0)
			at += (size_t)written;
		else if (written == 0 || errno != EINTR)
			done = false;
	}
	/* a process that begins now finds the one or the other */
	done = done && renameat(place->loaders_fd, draft, place->loaders_fd, name) == 0;
	int saved = errno;
	close(fd);
	errno = saved;
	return done || failed(error, place->loaders_dir, "a loader can not be written");
}

void
place_close(struct place *place)
{
	if (place->lock_fd >= 0 && place->dir_fd >= 0) {
		sweep(place->apps_fd);
		sweep(place->loaders_fd);
		sweep(place->programs_fd);
		unlinkat(place->dir_fd, "programs", AT_REMOVEDIR);
		unlinkat(place->dir_fd, "apps", AT_REMOVEDIR);
		unlinkat(place->dir_fd, "loaders", AT_REMOVEDIR);
		unlinkat(place->dir_fd, "control", 0);
		unlinkat(place->dir_fd, "instance.txt", 0);
		/* the next one either sees no lock, or finds that the one it holds is not there any more */
		unlinkat(place->dir_fd, "lock", 0);
		if (place->made)
			rmdir(place->dir);
	}
	close_fd(&place->apps_fd);
	close_fd(&place->loaders_fd);
	close_fd(&place->programs_fd);
	close_fd(&place->dir_fd);
	close_fd(&place->lock_fd);
}
