/*
 * block: 16 KiB buffers from a free list.  Taking one is a pointer move, so
 * that relaying needs no malloc in steady state; what a burst has taken beyond
 * BLOCK_KEEP goes back to the system.
 */
#ifndef BASE_BLOCK_H
#define BASE_BLOCK_H

#include <stddef.h>
#include <stdint.h>

enum { BLOCK_BYTES = 16 * 1024, BLOCK_KEEP = 64 };

struct block {
	struct block *next;
	uint32_t from, to; /* bytes from .. to of data are in use */
	char data[BLOCK_BYTES - sizeof(void *) - 2 * sizeof(uint32_t)];
};

/* Empty; aborts when memory is out (who holds many blocks is bounded elsewhere). */
struct block *block_take(void);
void block_give(struct block *block);
/* Blocks that are taken now: for tests and status. */
size_t block_in_use(void);
/* Frees what the list keeps. */
void block_trim(void);

#endif
