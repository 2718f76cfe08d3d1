#include "base/arena.h"

#include "base/block.h"

#include <stdlib.h>

struct arena_piece {
	struct arena_piece *next;
	uint64_t data[];
};

static void *
arena_alloc_large(struct arena *arena, size_t size)
{
	struct arena_piece *piece = malloc(sizeof(*piece) + size);
	if (piece == NULL)
		abort();
	piece->next = arena->pieces;
	arena->pieces = piece;
	return piece->data;
}

void *
arena_alloc(struct arena *arena, size_t size)
{
	struct block *block = arena->blocks;
	size = (size + 7) & ~(size_t)7;
	if (block == NULL || sizeof(block->data) - block->to < size) {
		if (size > sizeof(block->data) / 2)
			return arena_alloc_large(arena, size);
		block = block_take();
		block->next = arena->blocks;
		arena->blocks = block;
	}
	void *memory = block->data + block->to;
	block->to += (uint32_t)size;
	return memory;
}

struct str
arena_copy(struct arena *arena, struct str s)
{
	char *copy = arena_alloc(arena, s.len);
	if (s.len > 0)
		memcpy(copy, s.data, s.len);
	return str_make(copy, s.len);
}

void
arena_reset(struct arena *arena)
{
	while (arena->blocks != NULL) {
		struct block *block = arena->blocks;
		arena->blocks = block->next;
		block_give(block);
	}
	while (arena->pieces != NULL) {
		struct arena_piece *piece = arena->pieces;
		arena->pieces = piece->next;
		free(piece);
	}
}
