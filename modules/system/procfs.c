#include "system/procfs.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <unistd.h>

enum { DESCENDANTS_MAX = 4096, SEARCH_DEPTH_MAX = 64 };

/* The whole of a small file, terminated; its length or -1. */
static ssize_t
file_read(const char *path, char *out, size_t out_size)
{
	size_t len = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return -1;
	while (len + 1 < out_size) {
		ssize_t got = read(fd, out + len, out_size - 1 - len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			if (got < 0 && len == 0)
				len = SIZE_MAX;
			break;
		}
		len += (size_t)got;
	}
	close(fd);
	if (len == SIZE_MAX)
		return -1;
	out[len] = '\0';
	return (ssize_t)len;
}

static ssize_t
process_file_read(int32_t pid, const char *name, char *out, size_t out_size)
{
	char path[64];

	str_format(path, sizeof(path), "/proc/%d/%s", pid, name);
	return file_read(path, out, out_size);
}

/* "Pss:     1234 kB" */
static bool
kb_of_line(struct str line, const char *name, uint64_t *value)
{
	struct str prefix = str_from(name);

	if (!str_starts(line, prefix))
		return false;
	const char *at = line.data + prefix.len;
	uint64_t number = 0;
	while (*at == ' ' || *at == '\t')
		at++;
	for (; *at >= '0' && *at <= '9'; at++)
		number = number * 10 + (uint64_t)(*at - '0');
	*value = number;
	return true;
}

bool
procfs_memory(int32_t pid, struct procfs_memory *memory)
{
	char text[4096];
	struct str line;

	memset(memory, 0, sizeof(*memory));
	ssize_t len = process_file_read(pid, "smaps_rollup", text, sizeof(text));
	if (len <= 0)
		return false;
	struct str rest = str_make(text, (size_t)len);
	while (str_split(&rest, '\n', &line))
		(void)(kb_of_line(line, "Rss:", &memory->rss) || kb_of_line(line, "Pss:", &memory->pss) ||
		       kb_of_line(line, "Private_Dirty:", &memory->private_dirty) ||
		       kb_of_line(line, "Swap:", &memory->swap));
	return memory->rss > 0;
}

uint64_t
procfs_swap_kb(int32_t pid)
{
	char text[4096];
	struct str line;
	uint64_t kb = 0;

	ssize_t len = process_file_read(pid, "status", text, sizeof(text));
	struct str rest = str_make(text, len > 0 ? (size_t)len : 0);
	while (str_split(&rest, '\n', &line) && !kb_of_line(line, "VmSwap:", &kb))
		continue;
	return kb;
}

/* Blank-separated words, at most max; how many. */
static size_t
words_of(const char *text, struct str *words, size_t max)
{
	size_t count = 0;
	while (count < max) {
		text += strspn(text, " \t\n");
		size_t len = strcspn(text, " \t\n");
		if (len == 0)
			break;
		words[count++] = str_make(text, len);
		text += len;
	}
	return count;
}

/* 0 when it is no number; so is hex_of(). */
static uint64_t
number_of(struct str word)
{
	uint64_t value;
	return str_to_u64(word, &value) ? value : 0;
}

static uint64_t
hex_of(struct str word)
{
	uint64_t value;
	return str_hex_to_u64(word, &value) ? value : 0;
}

enum { STAT_WORDS = 22, STATUS_UIDS = 4, ROW_WORDS = 10 };

bool
procfs_stat(int32_t pid, struct procfs_stat *stat)
{
	char text[1024];
	struct str words[STAT_WORDS];

	memset(stat, 0, sizeof(*stat));
	if (process_file_read(pid, "stat", text, sizeof(text)) <= 0)
		return false;
	/* the name in parentheses may hold anything, parentheses too */
	const char *after = strrchr(text, ')');
	if (after == NULL)
		return false;
	/* numbered as in proc_pid_stat(5), from the third field on */
	if (words_of(after + 1, words, STAT_WORDS) != STAT_WORDS)
		return false;
	stat->state = words[0].data[0];
	stat->parent = (int32_t)number_of(words[1]);
	stat->group = (int32_t)number_of(words[2]);
	stat->session = (int32_t)number_of(words[3]);
	stat->cpu_ticks = number_of(words[11]) + number_of(words[12]);
	stat->threads = (uint32_t)number_of(words[17]);
	stat->start_ticks = number_of(words[19]);
	stat->vsize_kb = number_of(words[20]) / 1024;
	stat->rss_kb = number_of(words[21]) * (uint64_t)getauxval(AT_PAGESZ) / 1024;
	return true;
}

uint32_t
procfs_descriptors(int32_t pid)
{
	char path[64];
	uint32_t count = 0;
	struct dirent *entry;

	str_format(path, sizeof(path), "/proc/%d/fd", pid);
	DIR *dir = opendir(path);
	if (dir == NULL)
		return 0;
	while ((entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			count++;
	closedir(dir);
	return count;
}

void
procfs_command(int32_t pid, char *out, size_t out_size)
{
	ssize_t len = process_file_read(pid, "cmdline", out, out_size);

	if (len < 0) {
		out[0] = '\0';
		return;
	}
	while (len > 0 && out[len - 1] == '\0')
		len--;
	for (ssize_t i = 0; i < len; i++)
		if (out[i] == '\0')
			out[i] = ' ';
	out[len] = '\0';
}

bool
procfs_variable(int32_t pid, struct str name, char *out, size_t out_size)
{
	char text[65536];
	struct str word;

	ssize_t len = process_file_read(pid, "environ", text, sizeof(text));
	if (len <= 0)
		return false;
	struct str rest = str_make(text, (size_t)len);
	while (str_split(&rest, '\0', &word))
		if (word.len > name.len && word.data[name.len] == '=' && str_starts(word, name))
			return str_copy_z(out, out_size, str_make(word.data + name.len + 1, word.len - name.len - 1));
	return false;
}

/* --- the tree of processes -------------------------------------------------- */

/* Calls back for each pid in /proc; stops when it returns true, and returns that. */
static bool
processes_each(bool (*look)(int32_t pid, void *with), void *with)
{
	struct dirent *entry;
	bool found = false;
	DIR *dir = opendir("/proc");

	if (dir == NULL)
		return false;
	while (!found && (entry = readdir(dir)) != NULL) {
		uint64_t pid;
		if (str_to_u64(str_from(entry->d_name), &pid) && pid <= INT32_MAX)
			found = look((int32_t)pid, with);
	}
	closedir(dir);
	return found;
}

struct children_search {
	int32_t parent;
	int32_t *out;
	size_t max, count;
};

static bool
children_look(int32_t pid, void *with)
{
	struct children_search *search = with;
	struct procfs_stat stat;

	if (procfs_stat(pid, &stat) && stat.parent == search->parent)
		search->out[search->count++] = pid;
	return search->count == search->max;
}

/* The kernel's own list, where it was built with it. */
static bool
children_of_task(int32_t pid, int32_t *out, size_t max, size_t *count)
{
	char path[64], text[16384];
	struct str word;

	str_format(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	ssize_t len = file_read(path, text, sizeof(text));
	if (len < 0)
		return false;
	struct str rest = str_make(text, (size_t)len);
	*count = 0;
	while (*count < max && str_split(&rest, ' ', &word)) {
		uint64_t number;
		if (str_to_u64(word, &number) && number <= INT32_MAX)
			out[(*count)++] = (int32_t)number;
	}
	return true;
}

size_t
procfs_children(int32_t pid, int32_t *out, size_t max)
{
	struct children_search search = {.parent = pid, .out = out, .max = max};

	/* only for a process with one thread is the task's list the whole; ours has one */
	if (max == 0)
		return 0;
	if (pid == getpid() && children_of_task(pid, out, max, &search.count))
		return search.count;
	processes_each(children_look, &search);
	return search.count;
}

static bool
process_has_socket(int32_t pid, const char *wanted)
{
	char path[64], target[64];
	struct dirent *entry;
	bool found = false;

	str_format(path, sizeof(path), "/proc/%d/fd", pid);
	DIR *dir = opendir(path);
	if (dir == NULL)
		return false;
	while (!found && (entry = readdir(dir)) != NULL) {
		ssize_t len = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
		if (len <= 0)
			continue;
		target[len] = '\0';
		found = strcmp(target, wanted) == 0;
	}
	closedir(dir);
	return found;
}

struct socket_search {
	int32_t root;
	char wanted[48]; /* "socket:[INODE]" */
};

static bool
descends_from(int32_t pid, int32_t root)
{
	struct procfs_stat stat;

	for (int depth = 0; depth < SEARCH_DEPTH_MAX && pid > 1; depth++) {
		if (pid == root)
			return true;
		if (!procfs_stat(pid, &stat))
			return false;
		/* one that went into the background is no descendant any more, but keeps the session */
		if (stat.session == root)
			return true;
		pid = stat.parent;
	}
	return false;
}

static bool
socket_look(int32_t pid, void *with)
{
	struct socket_search *search = with;

	return descends_from(pid, search->root) && process_has_socket(pid, search->wanted);
}

bool
procfs_holds_socket(int32_t pid, uint64_t inode)
{
	struct socket_search search = {.root = pid};

	if (inode == 0)
		return false;
	str_format(search.wanted, sizeof(search.wanted), "socket:[%llu]", (unsigned long long)inode);
	return process_has_socket(pid, search.wanted) || processes_each(socket_look, &search);
}

struct uid_search {
	uint32_t uid;
};

static bool
uid_look(int32_t pid, void *with)
{
	const struct uid_search *search = with;
	char text[2048];
	struct str ids[STATUS_UIDS];

	if (process_file_read(pid, "status", text, sizeof(text)) <= 0)
		return false;
	const char *line = str_search(str_from(text), STR("\nUid:"));
	if (line == NULL || words_of(line + strlen("\nUid:"), ids, STATUS_UIDS) != STATUS_UIDS)
		return false;
	for (int i = 0; i < STATUS_UIDS; i++)
		if (number_of(ids[i]) == search->uid)
			return true;
	return false;
}

bool
procfs_uid_in_use(uint32_t uid)
{
	struct uid_search search = {.uid = uid};

	return processes_each(uid_look, &search);
}

/* --- listening sockets ------------------------------------------------------- */

static void
bound_inet(struct procfs_listener *listener, struct str hex)
{
	/* the kernel prints the address's 32 bits as it holds them: network order read as a native number */
	uint32_t native = (uint32_t)hex_of(hex);
	struct in_addr address;

	memcpy(&address, &native, 4);
	inet_ntop(AF_INET, &address, listener->address, sizeof(listener->address));
	listener->bound = address.s_addr == htonl(INADDR_LOOPBACK) ? PROCFS_BOUND_LOOPBACK
	                  : address.s_addr == htonl(INADDR_ANY)    ? PROCFS_BOUND_WILDCARD
	                                                           : PROCFS_BOUND_OTHER;
}

static void
bound_inet6(struct procfs_listener *listener, struct str hex)
{
	struct in6_addr address;
	char text[40];

	for (size_t i = 0; i < 4; i++) {
		uint32_t native = (uint32_t)hex_of(str_make(hex.data + i * 8, 8));
		memcpy(&address.s6_addr[i * 4], &native, 4);
	}
	inet_ntop(AF_INET6, &address, text, sizeof(text));
	str_format(listener->address, sizeof(listener->address), "[%s]", text);
	static const uint8_t mapped_loopback[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1};
	static const uint8_t mapped_any[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0};
	listener->bound = memcmp(&address, mapped_loopback, 16) == 0 ? PROCFS_BOUND_LOOPBACK
	                  : IN6_IS_ADDR_UNSPECIFIED(&address) || memcmp(&address, mapped_any, 16) == 0
	                          ? PROCFS_BOUND_WILDCARD
	                          : PROCFS_BOUND_OTHER;
}

/* One row: "  0: 0100007F:1F90 00000000:0000 0A tx:rx tr:tm retrnsmt uid timeout inode …".
 * False when it is no listening socket: the kernel lists those first, so that is the end of them. */
static bool
row_read(const char *line, uint16_t port, struct procfs_listener *listener, bool *matches)
{
	struct str words[ROW_WORDS], place, address;

	*matches = false;
	if (words_of(line, words, ROW_WORDS) != ROW_WORDS || words[1].data[0] == 'l')
		return true; /* the heading */
	if (!str_equal(words[3], STR("0A")))
		return false;
	place = words[1];
	if (!str_split(&place, ':', &address) || place.len != 4 || hex_of(place) != port)
		return true;
	*matches = true;
	listener->uid = (uint32_t)number_of(words[7]);
	listener->inode = number_of(words[9]);
	if (address.len == 8)
		bound_inet(listener, address);
	else if (address.len == 32)
		bound_inet6(listener, address);
	else
		*matches = false;
	return true;
}

static size_t
table_search(const char *path, uint16_t port, struct procfs_listener *out, size_t max)
{
	char line[512];
	size_t count = 0;
	bool matches;
	FILE *file = fopen(path, "re");

	if (file == NULL)
		return 0;
	while (count < max && fgets(line, sizeof(line), file) != NULL && row_read(line, port, &out[count], &matches))
		if (matches)
			count++;
	fclose(file);
	return count;
}

size_t
procfs_listeners(uint16_t port, struct procfs_listener *out, size_t max)
{
	size_t count = table_search("/proc/net/tcp", port, out, max);

	return count + table_search("/proc/net/tcp6", port, out + count, max - count);
}
