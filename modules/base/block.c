#include "base/block.h"

#include <stdlib.h>

static struct block *block_free;
static size_t block_free_count;
static size_t block_taken;

struct block *
block_take(void)
{
	struct block *block = block_free;
	if (block != NULL) {
		block_free = block->next;
		block_free_count--;
	} else {
		block = malloc(sizeof(*block));
		if (block == NULL)
			abort();
	}
	block->next = NULL;
	block->from = block->to = 0;
	block_taken++;
	return block;
}

void
block_give(struct block *block)
{
	block_taken--;
	if (block_free_count >= BLOCK_KEEP) {
		free(block);
		return;
	}
	block->next = block_free;
	block_free = block;
	block_free_count++;
}

size_t
block_in_use(void)
{
	return block_taken;
}

void
block_trim(void)
{
	while (block_free != NULL) {
		struct block *block = block_free;
		block_free = block->next;
		free(block);
	}
	block_free_count = 0;
}
