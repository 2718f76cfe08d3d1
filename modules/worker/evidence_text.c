#include "worker/evidence_text.h"

#include "system/procfs.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { THREADS_MAX = 128, DESCRIPTORS_MAX = 512, FILE_BYTES = 8192, WORD_BYTES = 256 };

void
evidence_text_append(struct buf *out, const char *text, size_t len, size_t max)
{
	for (size_t i = 0; i < len && i < max; i++) {
		unsigned char c = (unsigned char)text[i];
		buf_append_char(out, (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f ? '?' : (char)c);
	}
	if (len > max)
		buf_printf(out, "\n(%zu octets more)\n", len - max);
}

void
evidence_text_section(struct buf *out, const char *title)
{
	buf_printf(out, "\n--- %s ---\n", title);
}

void
evidence_text_requests(struct buf *out, const struct scoreboard_process *process, uint64_t now_ms)
{
	struct scoreboard_request request;

	for (size_t i = 0; i < SCOREBOARD_REQUESTS; i++) {
		if (!scoreboard_read_request(&process->requests[i], &request))
			continue;
		uint64_t age_ms = request.since_ms < now_ms ? now_ms - request.since_ms : 0;
		buf_printf(out, "%s %s\n    began %" PRIu64 ".%03" PRIu64 " s ago, from %s, %s, id %s%s%s\n",
		           request.method, request.path, age_ms / 1000, age_ms % 1000, request.client,
		           request.direct ? "by the process's door" : "by the front", request.id,
		           request.upgraded ? ", upgraded" : "",
		           request.given_up ? ", given up: nobody waits for it" : "");
	}
}

/* --- /proc ------------------------------------------------------------------------ */

static void
add_file(struct buf *out, const char *path)
{
	char text[FILE_BYTES];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t len = fd >= 0 ? read(fd, text, sizeof(text)) : -1;

	if (fd >= 0)
		close(fd);
	if (len <= 0)
		return;
	evidence_text_append(out, text, (size_t)len, sizeof(text));
	if (text[len - 1] != '\n')
		buf_append_char(out, '\n');
}

/* Calls back for each numbered entry of /proc/PID/NAME, at most max; how many there are. */
static size_t
each_number(int32_t pid, const char *name, size_t max, struct buf *out,
            void (*add)(struct buf *out, const char *path, const char *number))
{
	char path[64], entry_path[WORD_BYTES + 80];
	struct dirent *entry;
	size_t count = 0;

	str_format(path, sizeof(path), "/proc/%d/%s", pid, name);
	DIR *dir = opendir(path);
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.' || count++ >= max)
			continue;
		str_format(entry_path, sizeof(entry_path), "%s/%s", path, entry->d_name);
		add(out, entry_path, entry->d_name);
	}
	if (dir != NULL)
		closedir(dir);
	return count;
}

/* Name, state, where it waits in the kernel. */
static void
add_thread(struct buf *out, const char *path, const char *number)
{
	static const char *const files[] = {"stat", "wchan", "syscall", "stack"};
	char file[WORD_BYTES + 96];

	buf_printf(out, "thread %s: ", number);
	for (size_t i = 0; i < array_count(files); i++) {
		if (i > 0)
			buf_printf(out, "    %s: ", files[i]);
		str_format(file, sizeof(file), "%s/%s", path, files[i]);
		size_t before = out->len;
		add_file(out, file);
		if (out->len == before)
			buf_append_str(out, STR("-\n"));
	}
}

static void
add_descriptor(struct buf *out, const char *path, const char *number)
{
	char target[WORD_BYTES];
	ssize_t len = readlink(path, target, sizeof(target));

	buf_printf(out, "%s -> ", number);
	evidence_text_append(out, target, len > 0 ? (size_t)len : 0, sizeof(target));
	buf_append_char(out, '\n');
}

char
evidence_text_process(struct buf *out, int32_t pid)
{
	static const char *const files[] = {"status", "smaps_rollup", "limits", "io", "cgroup"};
	struct procfs_stat stat;
	char text[FILE_BYTES];

	if (!procfs_stat(pid, &stat))
		stat.state = '?';
	procfs_command(pid, text, 1024);
	buf_append_str(out, STR("Command: "));
	evidence_text_append(out, text, strlen(text), 1024);
	buf_append_char(out, '\n');
	for (size_t i = 0; i < array_count(files); i++) {
		/* Who waits in the kernel may hold what this would wait for. */
		if (stat.state == 'D' && strcmp(files[i], "smaps_rollup") == 0)
			continue;
		evidence_text_section(out, files[i]);
		str_format(text, sizeof(text), "/proc/%d/%s", pid, files[i]);
		add_file(out, text);
	}
	evidence_text_section(out, "Threads (kernel)");
	each_number(pid, "task", THREADS_MAX, out, add_thread);
	evidence_text_section(out, "Open descriptors");
	buf_printf(out, "%zu in all\n", each_number(pid, "fd", DESCRIPTORS_MAX, out, add_descriptor));
	return stat.state;
}
