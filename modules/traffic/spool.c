#include "traffic/spool.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SPOOL_PUNCH_BYTES = 1024 * 1024 };

void
spool_init(struct spool *spool, uint64_t memory_max, const char *dir)
{
	*spool = (struct spool){.memory_max = memory_max, .dir = dir, .file_fd = -1};
}

static bool
spool_open_file(struct spool *spool)
{
	if (spool->file_fd >= 0)
		return true;
	if (spool->dir == NULL) {
		errno = ENOBUFS;
		return false;
	}
	spool->file_fd = open(spool->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (spool->file_fd >= 0)
		return true;
	/* A file system without O_TMPFILE: a name for a moment. */
	char path[512];
	if (!str_format(path, sizeof(path), "%s/passenger-spool-XXXXXX", spool->dir))
		return false;
	spool->file_fd = mkostemp(path, O_CLOEXEC);
	if (spool->file_fd < 0)
		return false;
	unlink(path);
	return true;
}

static bool
spool_append_file(struct spool *spool, const char *data, size_t len)
{
	size_t done = 0;
	if (!spool_open_file(spool))
		return false;
	while (done < len) {
		ssize_t wrote = pwrite(spool->file_fd, data + done, len - done, (off_t)(spool->file_to + done));
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return false;
		done += (size_t)wrote;
	}
	spool->file_to += len;
	return true;
}

static void
spool_append_memory(struct spool *spool, const char *data, size_t len)
{
	while (len > 0) {
		struct block *last = spool->last;
		if (last == NULL || last->to == sizeof(last->data)) {
			last = block_take();
			if (spool->last == NULL)
				spool->first = last;
			else
				spool->last->next = last;
			spool->last = last;
		}
		size_t room = sizeof(last->data) - last->to;
		size_t part = len < room ? len : room;
		memcpy(last->data + last->to, data, part);
		last->to += (uint32_t)part;
		spool->memory_bytes += part;
		data += part;
		len -= part;
	}
}

bool
spool_append(struct spool *spool, const char *data, size_t len)
{
	if (len == 0)
		return true;
	/* Once the file is in use, what follows belongs behind it. */
	if (spool->file_to > spool->file_from || spool->memory_bytes + len > spool->memory_max)
		return spool_append_file(spool, data, len);
	spool_append_memory(spool, data, len);
	return true;
}

void
spool_lend(struct spool *spool, int fd, uint64_t from, uint64_t to)
{
	assert(spool->file_from == spool->file_to && spool->tail.len == 0 && from < to);
	if (spool->file_fd >= 0)
		close(spool->file_fd);
	spool->file_fd = fd;
	spool->file_is_lent = true;
	spool->file_from = from;
	spool->file_to = to;
}

void
spool_keep(struct spool *spool, const char *data, size_t len)
{
	if (spool->tail.len > 0 || !spool_append(spool, data, len))
		buf_append(&spool->tail, data, len);
}

/* Everything before it has been read. */
static void
spool_take_tail(struct spool *spool)
{
	spool_append_memory(spool, spool->tail.data, spool->tail.len);
	buf_free(&spool->tail);
}

/* What has been read of the file takes no room any more. */
static void
spool_used_of_file(struct spool *spool, uint64_t got)
{
	spool->file_from += got;
	uint64_t done = spool->file_from / SPOOL_PUNCH_BYTES * SPOOL_PUNCH_BYTES;
	if (spool->file_from == spool->file_to && spool->file_is_lent) {
		close(spool->file_fd);
		spool->file_from = spool->file_to = 0;
		spool->file_fd = -1;
		spool->file_is_lent = false;
	} else if (spool->file_from == spool->file_to) {
		/* Empty again: the next overflow begins at 0 and the disk gets its room back. */
		spool->file_from = spool->file_to = 0;
		if (ftruncate(spool->file_fd, 0) < 0)
			errno = 0;
	} else if (done > spool->file_from - got && !spool->file_is_lent) {
		/* It may never be empty (a long answer to a slow client): what was read takes no room on the disk. */
		if (fallocate(spool->file_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		              (off_t)(done - SPOOL_PUNCH_BYTES), SPOOL_PUNCH_BYTES) < 0)
			errno = 0;
	}
}

static void
spool_fill_from_file(struct spool *spool)
{
	uint64_t left = spool->file_to - spool->file_from;
	struct block *block = block_take();
	size_t want = left < sizeof(block->data) ? (size_t)left : sizeof(block->data);
	ssize_t got;
	do
		got = pread(spool->file_fd, block->data, want, (off_t)spool->file_from);
	while (got < 0 && errno == EINTR);
	if (got <= 0) {
		if (got == 0)
			errno = EIO;
		block_give(block);
		return;
	}
	block->to = (uint32_t)got;
	spool->first = spool->last = block;
	spool->memory_bytes = (uint64_t)got;
	spool_used_of_file(spool, (uint64_t)got);
}

struct str
spool_peek(struct spool *spool)
{
	errno = 0;
	if (spool->first == NULL && spool->file_to > spool->file_from)
		spool_fill_from_file(spool);
	else if (spool->first == NULL && spool->tail.len > 0)
		spool_take_tail(spool);
	struct block *block = spool->first;
	if (block == NULL)
		return str_make(NULL, 0);
	return str_make(block->data + block->from, block->to - block->from);
}

/* Not from a file of ours: its pages, still on their way, would be those that are given back to the disk.
 * What sendfile() can not take, or what has become shorter, is tried to be read. */
ssize_t
spool_send(struct spool *spool, int socket, size_t max_bytes)
{
	if (spool->first == NULL && spool->file_is_lent) {
		uint64_t left = spool->file_to - spool->file_from;
		off_t at = (off_t)spool->file_from;
		ssize_t sent = sendfile(socket, spool->file_fd, &at, left < max_bytes ? (size_t)left : max_bytes);
		if (sent > 0)
			spool_used_of_file(spool, (uint64_t)sent);
		if (sent > 0 || (sent < 0 && errno != EINVAL && errno != ENOSYS))
			return sent;
	}
	struct str next = spool_peek(spool);
	if (next.len == 0) {
		errno = EIO;
		return -1;
	}
	ssize_t sent = send(socket, next.data, next.len, MSG_NOSIGNAL);
	if (sent > 0)
		spool_consume(spool, (size_t)sent);
	return sent;
}

void
spool_consume(struct spool *spool, size_t len)
{
	while (len > 0) {
		struct block *block = spool->first;
		size_t here = block->to - block->from;
		size_t part = len < here ? len : here;
		block->from += (uint32_t)part;
		spool->memory_bytes -= part;
		len -= part;
		if (block->from == block->to) {
			spool->first = block->next;
			if (spool->first == NULL)
				spool->last = NULL;
			block_give(block);
		}
	}
}

void
spool_free(struct spool *spool)
{
	while (spool->first != NULL) {
		struct block *block = spool->first;
		spool->first = block->next;
		block_give(block);
	}
	buf_free(&spool->tail);
	if (spool->file_fd >= 0)
		close(spool->file_fd);
	spool_init(spool, spool->memory_max, spool->dir);
}
