/*
 * spool: bytes on their way that the other side does not take yet.  First in,
 * first out; the first ones in memory blocks, what goes over the memory limit
 * in one unlinked file.  How full it may get is the caller's to decide:
 * spool_bytes() against a mark.
 */
#ifndef TRAFFIC_SPOOL_H
#define TRAFFIC_SPOOL_H

#include "base/block.h"
#include "base/buf.h"
#include "base/str.h"

#include <sys/uio.h>

struct spool {
	struct block *first, *last; /* in memory, before everything in the file */
	uint64_t memory_bytes;
	uint64_t memory_max;
	int file_fd;       /* -1: none */
	bool file_is_lent; /* somebody's, which is only read: given up when everything is */
	uint64_t file_from, file_to;
	const char *dir; /* where the file goes; NULL: memory only */
	struct buf tail; /* behind the file: what spool_keep() could not write to it */
};

void spool_init(struct spool *spool, uint64_t memory_max, const char *dir);
/* False when it must go to a file and that cannot be had or is full (errno);
 * then nothing of it was added. */
bool spool_append(struct spool *spool, const char *data, size_t len) must_check;
/* Like spool_append(), but keeps it in memory when the file can not take it:
 * the caller must stop what feeds it while spool_is_stuck(). */
void spool_keep(struct spool *spool, const char *data, size_t len);
/* Bytes from … to of a file stand behind everything else; the descriptor is taken.  Nothing may be in the file so far. */
void spool_lend(struct spool *spool, int fd, uint64_t from, uint64_t to);
static inline bool
spool_is_stuck(const struct spool *spool)
{
	return spool->tail.len > 0;
}
static inline uint64_t
spool_bytes(const struct spool *spool)
{
	return spool->memory_bytes + (spool->file_to - spool->file_from) + spool->tail.len;
}
/* The next bytes in memory; brings a block in from the file when memory is
 * empty.  Empty when there is nothing (or, errno set, when the file fails). */
struct str spool_peek(struct spool *spool);
/* Sends the next bytes, max_bytes at most, to a socket: the count, or -1 and errno (EIO: the file has become shorter). */
ssize_t spool_send(struct spool *spool, int socket, size_t max_bytes) must_check;
void spool_consume(struct spool *spool, size_t len);
/* Everything goes back; usable again. */
void spool_free(struct spool *spool);

#endif
