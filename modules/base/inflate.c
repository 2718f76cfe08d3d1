#include "base/inflate.h"

enum {
	GZIP_HEAD_BYTES = 10,
	CODE_BITS_MAX = 15,
	LENGTH_CODES = 19, /* of the code lengths themselves */
	LITERALS = 288,
	DISTANCES = 32,
	END_OF_BLOCK = 256,
	BLOCK_DYNAMIC = 2,
};

struct bits {
	struct str rest;
	uint32_t held;
	unsigned count;
};

/* Huffman's: how many codes of each length there are, and what they mean, in their order. */
struct code {
	uint16_t counts[CODE_BITS_MAX + 1];
	uint16_t symbols[LITERALS];
};

struct output {
	char *data;
	size_t len, size;
};

/* At most 16; zeros after the end. */
static unsigned
take(struct bits *bits, unsigned count)
{
	while (bits->count < count) {
		if (bits->rest.len > 0) {
			bits->held |= (uint32_t)(unsigned char)bits->rest.data[0] << bits->count;
			bits->rest = str_make(bits->rest.data + 1, bits->rest.len - 1);
		}
		bits->count += 8;
	}
	unsigned value = bits->held & ((1U << count) - 1);
	bits->held >>= count;
	bits->count -= count;
	return value;
}

static void
code_make(struct code *code, const uint8_t *lengths, unsigned count)
{
	unsigned filled = 0;

	for (unsigned length = 0; length <= CODE_BITS_MAX; length++) {
		unsigned before = filled;
		for (unsigned symbol = 0; symbol < count; symbol++)
			if (length > 0 && lengths[symbol] == length)
				code->symbols[filled++] = (uint16_t)symbol;
		code->counts[length] = (uint16_t)(filled - before);
	}
}

/* The next symbol; -1: no code begins so. */
static int
symbol_take(struct bits *bits, const struct code *code)
{
	unsigned value = 0, first = 0, at = 0;

	for (unsigned length = 1; length <= CODE_BITS_MAX; length++) {
		value |= take(bits, 1);
		unsigned count = code->counts[length];
		if (value - first < count)
			return code->symbols[at + value - first];
		at += count;
		first = (first + count) << 1;
		value <<= 1;
	}
	return -1;
}

/* The codes of a block: their lengths are packed themselves. */
static bool
codes_take(struct bits *bits, struct code *literals, struct code *distances)
{
	static const uint8_t order[LENGTH_CODES] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
	uint8_t lengths[LITERALS + DISTANCES] = {0};
	unsigned literal_count = take(bits, 5) + 257, distance_count = take(bits, 5) + 1, count = take(bits, 4) + 4;

	for (unsigned i = 0; i < count; i++)
		lengths[order[i]] = (uint8_t)take(bits, 3);
	code_make(literals, lengths, LENGTH_CODES);
	count = literal_count + distance_count;
	for (unsigned at = 0; at < count;) {
		int symbol = symbol_take(bits, literals);
		unsigned times = symbol == 16   ? 3 + take(bits, 2)
		                 : symbol == 17 ? 3 + take(bits, 3)
		                 : symbol == 18 ? 11 + take(bits, 7)
		                                : 1;
		uint8_t length = symbol < 16 ? (uint8_t)symbol : symbol == 16 && at > 0 ? lengths[at - 1] : 0;
		if (symbol < 0 || times > count - at)
			return false;
		memset(lengths + at, length, times);
		at += times;
	}
	code_make(literals, lengths, literal_count);
	code_make(distances, lengths + literal_count, distance_count);
	return true;
}

/* What was there before, once more; it may run into itself. */
static bool
copy_take(struct bits *bits, const struct code *distances, unsigned symbol, struct output *out)
{
	unsigned step = symbol - 257;
	unsigned extra = step < 8 || step >= 28 ? 0 : step / 4 - 1;
	unsigned length = step >= 28 ? 258 : step < 8 ? 3 + step : 3 + ((4 + step % 4) << extra) + take(bits, extra);
	int far = symbol_take(bits, distances);

	extra = far < 4 ? 0 : (unsigned)far / 2 - 1;
	size_t distance = 1 + (far < 4 ? (unsigned)far : ((2 + (unsigned)far % 2) << extra) + take(bits, extra));
	if (far < 0 || far >= 30 || distance > out->len || length > out->size - out->len)
		return false;
	for (; length > 0; length--, out->len++)
		out->data[out->len] = out->data[out->len - distance];
	return true;
}

static bool
block_take(struct bits *bits, struct output *out)
{
	struct code literals, distances;
	int symbol;

	if (take(bits, 2) != BLOCK_DYNAMIC || !codes_take(bits, &literals, &distances))
		return false;
	while ((symbol = symbol_take(bits, &literals)) != END_OF_BLOCK) {
		if (symbol > END_OF_BLOCK) {
			if (!copy_take(bits, &distances, (unsigned)symbol, out))
				return false;
		} else if (symbol < 0 || out->len == out->size) {
			return false;
		} else {
			out->data[out->len++] = (char)symbol;
		}
	}
	return true;
}

size_t
inflate_gzip(struct str packed, char *out, size_t size)
{
	struct output output = {.data = out, .size = size};
	bool last = false;

	if (packed.len <= GZIP_HEAD_BYTES)
		return 0;
	struct bits bits = {.rest = str_make(packed.data + GZIP_HEAD_BYTES, packed.len - GZIP_HEAD_BYTES)};
	while (!last) {
		last = take(&bits, 1) != 0;
		if (!block_take(&bits, &output))
			return 0;
	}
	return output.len;
}
