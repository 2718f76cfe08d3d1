/*
 * arena: memory that is freed all at once; one a request.  Small pieces come
 * from 16 KiB blocks, a piece over that has its own malloc.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/str.h"

struct block;
struct arena_piece;

struct arena {
	struct block *blocks;       /* newest first */
	struct arena_piece *pieces; /* the large ones */
};

/* Aligned to 8 bytes, not zeroed; aborts when memory is out. */
void *arena_alloc(struct arena *arena, size_t size);
struct str arena_copy(struct arena *arena, struct str s);
/* Frees everything; the arena is empty and usable again. */
void arena_reset(struct arena *arena);

#endif
