#include "handover/instance.h"

#include "system/socket.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { INSTANCE_FILE_BYTES_MAX = 4096 };

void
instance_registry(char out[256], const char *explicit_dir)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	if (explicit_dir == NULL || explicit_dir[0] == '\0')
		explicit_dir = getenv("PASSENGER_INSTANCE_REGISTRY_DIR");
	if (explicit_dir != NULL && explicit_dir[0] != '\0')
		str_format(out, 256, "%s", explicit_dir);
	else if (geteuid() == 0)
		str_format(out, 256, "/run/passenger");
	else if (runtime != NULL && runtime[0] == '/')
		str_format(out, 256, "%s/passenger", runtime);
	else
		str_format(out, 256, "/tmp/passenger-%u", (unsigned)geteuid());
}

/* Anybody may ask: a lock could only be looked at by taking it.  A full backlog is an answer, too. */
static bool
somebody_serves(const char *dir)
{
	char path[280];

	if (!str_format(path, sizeof(path), "%s/control", dir))
		return false;
	int fd = socket_connect_seqpacket(path);
	if (fd < 0)
		return errno == EAGAIN || errno == EACCES;
	close(fd);
	return true;
}

static bool
field_text(struct str *rest, char *out, size_t out_size)
{
	struct str line;

	if (!str_split(rest, '\n', &line))
		return false;
	str_cut_z(out, out_size, line);
	return true;
}

static bool
field_number(struct str *rest, int64_t max, int64_t *out)
{
	struct str line;
	uint64_t number;

	if (!str_split(rest, '\n', &line) || !str_to_u64(line, &number) || number > (uint64_t)max)
		return false;
	*out = (int64_t)number;
	return true;
}

static bool
fields_read(struct str text, struct instance *out)
{
	int64_t pid;

	if (!field_text(&text, out->name, sizeof(out->name)) || !field_number(&text, INT32_MAX, &pid) ||
	    !field_text(&text, out->version, sizeof(out->version)) || !field_number(&text, INT64_MAX, &out->started) ||
	    !field_text(&text, out->config, sizeof(out->config)))
		return false;
	out->pid = (int32_t)pid;
	return out->name[0] != '\0';
}

bool
instance_read(const char *dir, struct instance *out)
{
	char path[280], text[INSTANCE_FILE_BYTES_MAX];
	struct stat stat;

	memset(out, 0, sizeof(*out));
	if (!str_copy_z(out->dir, sizeof(out->dir), str_from(dir)))
		return false;
	str_format(path, sizeof(path), "%s/lock", dir);
	if (lstat(path, &stat) != 0 || !S_ISREG(stat.st_mode))
		return false;
	str_format(path, sizeof(path), "%s/instance.txt", dir);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return false;
	ssize_t len = fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode) ? read(fd, text, sizeof(text)) : -1;
	close(fd);
	if (len <= 0 || !fields_read(str_make(text, (size_t)len), out))
		return false;
	out->alive = somebody_serves(dir);
	return true;
}

size_t
instance_list(const char *dir, struct instance *out, size_t max, bool with_dead)
{
	char path[256];
	struct dirent *entry;
	size_t count = 0;

	if (max == 0)
		return 0;
	if (instance_read(dir, out))
		return out->alive || with_dead ? 1 : 0;
	DIR *registry = opendir(dir);
	if (registry == NULL)
		return 0;
	while (count < max && (entry = readdir(registry)) != NULL) {
		if (entry->d_name[0] == '.' || !str_format(path, sizeof(path), "%s/%s", dir, entry->d_name))
			continue;
		if (instance_read(path, &out[count]) && (out[count].alive || with_dead))
			count++;
	}
	closedir(registry);
	return count;
}

/* A line feed in a path would shift the lines after it. */
static void
text_line(char *out, size_t out_size, const char *text)
{
	str_cut_z(out, out_size, str_from(text));
	for (char *at = out; *at != '\0'; at++)
		if (*at == '\n')
			*at = '?';
}

bool
instance_write(int dir_fd, const struct instance *instance)
{
	char text[INSTANCE_FILE_BYTES_MAX], config[sizeof(instance->config)];

	text_line(config, sizeof(config), instance->config);
	str_format(text, sizeof(text), "%s\n%d\n%s\n%lld\n%s\n", instance->name, instance->pid, instance->version,
	           (long long)instance->started, config);
	(void)unlinkat(dir_fd, "instance.txt.new", 0);
	int fd = openat(dir_fd, "instance.txt.new", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return false;
	bool done = fchmod(fd, 0644) == 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	int saved = done ? 0 : errno;
	close(fd);
	if (done && renameat(dir_fd, "instance.txt.new", dir_fd, "instance.txt") == 0)
		return true;
	if (done)
		saved = errno;
	unlinkat(dir_fd, "instance.txt.new", 0);
	errno = saved != 0 ? saved : ENOSPC;
	return false;
}
