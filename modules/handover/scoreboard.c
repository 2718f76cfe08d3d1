#include "handover/scoreboard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_TRIES = 8 };

static struct scoreboard *
map(int fd)
{
	void *memory = mmap(NULL, sizeof(struct scoreboard), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

struct scoreboard *
scoreboard_create(int *fd)
{
	struct scoreboard *scoreboard = NULL;

	*fd = memfd_create("passenger-scoreboard", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (*fd < 0)
		return NULL;
	/* neither side can shrink it under the other's feet (SIGBUS) */
	if (ftruncate(*fd, sizeof(struct scoreboard)) == 0 &&
	    fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		scoreboard = map(*fd);
	if (scoreboard == NULL) {
		int saved = errno;
		close(*fd);
		*fd = -1;
		errno = saved;
		return NULL;
	}
	scoreboard->version = SCOREBOARD_VERSION;
	return scoreboard;
}

struct scoreboard *
scoreboard_map(int fd)
{
	struct stat stat;

	if (fstat(fd, &stat) != 0 || stat.st_size != (off_t)sizeof(struct scoreboard)) {
		errno = EINVAL;
		return NULL;
	}
	struct scoreboard *scoreboard = map(fd);
	if (scoreboard != NULL && scoreboard->version != SCOREBOARD_VERSION) {
		scoreboard_unmap(scoreboard);
		errno = EINVAL;
		return NULL;
	}
	return scoreboard;
}

void
scoreboard_unmap(struct scoreboard *scoreboard)
{
	if (scoreboard != NULL)
		munmap(scoreboard, sizeof(*scoreboard));
}

struct scoreboard *
scoreboard_private(void)
{
	void *memory = mmap(NULL, sizeof(struct scoreboard), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		abort();
	return memory;
}

/* --- counters ------------------------------------------------------------- */

struct counters {
	size_t offset, count;
};

#define COUNTERS(type, first)                                                                      \
	{                                                                                          \
		offsetof(struct type, first), sizeof(((struct type *)0)->first) / sizeof(uint64_t) \
	}

static const struct counters process_counters[] = {
	COUNTERS(scoreboard_process, processed), COUNTERS(scoreboard_process, direct),
	COUNTERS(scoreboard_process, refused),   COUNTERS(scoreboard_process, bytes_in),
	COUNTERS(scoreboard_process, bytes_out), COUNTERS(scoreboard_process, errors),
};

static const struct counters group_counters[] = {
	COUNTERS(scoreboard_group, requests),           COUNTERS(scoreboard_group, queue_full),
	COUNTERS(scoreboard_group, spawn_failures),     COUNTERS(scoreboard_group, status_class),
	COUNTERS(scoreboard_group, response_histogram), COUNTERS(scoreboard_group, queue_histogram),
};

static void
add_counters(void *into, void *from, const struct counters *counters, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		_Atomic uint64_t *to = (void *)((char *)into + counters[i].offset);
		_Atomic uint64_t *of = (void *)((char *)from + counters[i].offset);
		for (size_t j = 0; j < counters[i].count; j++)
			atomic_fetch_add(&to[j], atomic_exchange(&of[j], 0));
	}
}

void
scoreboard_add_process(struct scoreboard_process *into, struct scoreboard_process *from)
{
	add_counters(into, from, process_counters, array_count(process_counters));
}

void
scoreboard_add_group(struct scoreboard_group *into, struct scoreboard_group *from)
{
	add_counters(into, from, group_counters, array_count(group_counters));
}

/* The copy may be of anything: it is terminated and made printable before it is used. */
static void
make_printable(char *text, size_t size)
{
	text[size - 1] = '\0';
	for (char *at = text; *at != '\0'; at++)
		if (*at < 0x20 || *at > 0x7e)
			*at = '?';
}

bool
scoreboard_read_request(const struct scoreboard_request *cell, struct scoreboard_request *copy)
{
	for (int i = 0; i < READ_TRIES; i++) {
		uint32_t before = atomic_load_explicit(&cell->sequence, memory_order_acquire);
		if (before % 2 != 0)
			continue;
		/* the sequence tells afterwards whether these bytes belong together */
		memcpy(&copy->direct, &cell->direct, sizeof(*copy) - offsetof(struct scoreboard_request, direct));
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(&cell->sequence, memory_order_relaxed) != before)
			continue;
		atomic_store_explicit(&copy->sequence, before, memory_order_relaxed);
		make_printable(copy->method, sizeof(copy->method));
		make_printable(copy->path, sizeof(copy->path));
		make_printable(copy->client, sizeof(copy->client));
		make_printable(copy->host, sizeof(copy->host));
		make_printable(copy->id, sizeof(copy->id));
		return copy->since_ms != 0;
	}
	return false;
}
