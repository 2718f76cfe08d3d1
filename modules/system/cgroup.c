#include "system/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { LINE_BYTES = 1024, FILE_BYTES = 1024 };

const char *
cgroup_name(enum cgroup_controller controller)
{
	static const char *const names[CGROUP_CONTROLLER_N] = {"memory", "cpu", "pids"};

	return names[controller];
}

/* Is the word one of the list's? */
static bool
has_word(struct str list, char separator, const char *word)
{
	struct str one;

	while (str_split(&list, separator, &one))
		if (str_equal(str_trim(one), str_from(word)))
			return true;
	return false;
}

/* What stands in DIR/FILE, terminated; its length or -1. */
static ssize_t
file_text(const char *dir, const char *file, char out[FILE_BYTES])
{
	char path[CGROUP_PATH_BYTES + 64];

	str_format(path, sizeof(path), "%s/%s", dir, file);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, out, FILE_BYTES - 1);
	if (fd >= 0)
		close(fd);
	out[len > 0 ? len : 0] = '\0';
	return len;
}

/* "4:memory:/path", "0::/path" (cgroups(7)): ours in this hierarchy. */
static bool
own_path(const char *controller, char out[CGROUP_PATH_BYTES])
{
	char line[LINE_BYTES];
	bool found = false;
	FILE *file = fopen("/proc/self/cgroup", "re");

	while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL) {
		struct str rest = str_trim(str_make(line, strcspn(line, "\n"))), number, list;
		if (str_split(&rest, ':', &number) && str_split(&rest, ':', &list))
			found = (controller == NULL ? list.len == 0 : has_word(list, ',', controller)) &&
			        str_copy_z(out, CGROUP_PATH_BYTES, rest);
	}
	if (file != NULL)
		fclose(file);
	return found;
}

/* "32 31 0:29 ROOT MOUNTPOINT rw,… … - TYPE SOURCE rw,OPTIONS" (proc_pid_mountinfo(5)). */
static bool
mount_row(struct str line, const char *type, const char *controller, struct str *root, struct str *point)
{
	struct str word, fields[5];

	for (size_t i = 0; i < array_count(fields); i++)
		if (!str_split(&line, ' ', &fields[i]))
			return false;
	while (str_split(&line, ' ', &word) && !str_equal(word, STR("-")))
		continue;
	if (!str_split(&line, ' ', &word) || !str_equal(word, str_from(type)) || !str_split(&line, ' ', &word))
		return false;
	*root = fields[3];
	*point = fields[4];
	return controller == NULL || has_word(line, ',', controller);
}

/* Of version 1 with this controller, or of version 2 (NULL). */
static bool
find_dir(const char *controller, char out[CGROUP_PATH_BYTES])
{
	char line[LINE_BYTES], path[CGROUP_PATH_BYTES];
	struct str root, point;
	bool found = false;
	FILE *file = fopen("/proc/self/mountinfo", "re");

	while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL) {
		struct str whole = str_make(line, strcspn(line, "\n"));
		if (!mount_row(whole, controller == NULL ? "cgroup2" : "cgroup", controller, &root, &point) ||
		    !own_path(controller, path))
			continue;
		/* what is mounted may be only a part of the tree */
		struct str below = str_from(path);
		if (root.len > 1 && str_starts(below, root))
			below = str_make(below.data + root.len, below.len - root.len);
		if (str_equal(below, STR("/")))
			below.len = 0;
		found = str_format(out, CGROUP_PATH_BYTES, "%.*s%.*s", STR_ARG(point), STR_ARG(below));
	}
	if (file != NULL)
		fclose(file);
	return found && access(out, F_OK) == 0;
}

bool
cgroup_find(enum cgroup_controller controller, struct cgroup_place *place)
{
	char controllers[FILE_BYTES];

	place->unified = false;
	if (find_dir(cgroup_name(controller), place->dir))
		return true;
	place->unified = true;
	if (find_dir(NULL, place->dir) && file_text(place->dir, "cgroup.controllers", controllers) > 0 &&
	    has_word(str_trim(str_make(controllers, strcspn(controllers, "\n"))), ' ', cgroup_name(controller)))
		return true;
	place->dir[0] = '\0';
	return false;
}

static bool
file_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	bool done = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	int saved = errno;
	close(fd);
	errno = saved;
	return done;
}

const char *
cgroup_enter(const struct cgroup_entrances *entrances)
{
	for (size_t i = 0; i < CGROUP_CONTROLLER_N; i++)
		if (entrances->procs[i][0] != '\0' && !file_write(entrances->procs[i], "0"))
			return entrances->procs[i];
	return NULL;
}

bool
cgroup_write(const char *dir, const char *file, const char *text)
{
	char path[CGROUP_PATH_BYTES + 64];

	str_format(path, sizeof(path), "%s/%s", dir, file);
	return file_write(path, text);
}

uint64_t
cgroup_read(const char *dir, const char *file, const char *word)
{
	char text[FILE_BYTES];
	uint64_t value;
	struct str rest, line, first;

	ssize_t len = file_text(dir, file, text);
	rest = str_make(text, len > 0 ? (size_t)len : 0);
	while (str_split(&rest, '\n', &line))
		if (str_split(&line, ' ', &first) && str_equal(first, str_from(word)) && str_to_u64(line, &value))
			return value;
	return 0;
}
