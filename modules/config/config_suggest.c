#include "config/internal.h"

#include <stdio.h>

enum { WORD_BYTES_MAX = 64, NEAR_MAX = 3 };

static char
fold(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

static size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Optimal string alignment: three rows of the table are enough for swaps of neighbours. */
size_t
config_distance(struct str a, struct str b, size_t limit)
{
	size_t rows[3][WORD_BYTES_MAX + 1];
	if (a.len > WORD_BYTES_MAX || b.len > WORD_BYTES_MAX)
		return limit + 1;
	for (size_t j = 0; j <= b.len; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= a.len; i++) {
		size_t *now = rows[i % 3], *before = rows[(i + 2) % 3], *two_before = rows[(i + 1) % 3];
		now[0] = i;
		for (size_t j = 1; j <= b.len; j++) {
			bool same = fold(a.data[i - 1]) == fold(b.data[j - 1]);
			now[j] = least(least(before[j], now[j - 1]) + 1, before[j - 1] + !same);
			if (i > 1 && j > 1 && fold(a.data[i - 1]) == fold(b.data[j - 2]) &&
			    fold(a.data[i - 2]) == fold(b.data[j - 1]))
				now[j] = least(now[j], two_before[j - 2] + 1);
		}
	}
	return least(rows[a.len % 3][b.len], limit + 1);
}

/* Letters that are left when the original's prefix, case and underscores are taken off. */
static bool
bare_original(struct str name, char *out, size_t out_size)
{
	struct str prefix = STR("passenger");
	if (str_starts_nocase(name, prefix))
		name = str_make(name.data + prefix.len, name.len - prefix.len);
	size_t len = 0;
	for (size_t i = 0; i < name.len; i++) {
		if (name.data[i] == '_' || name.data[i] == '-')
			continue;
		if (len + 1 >= out_size)
			return false;
		out[len++] = fold(name.data[i]);
	}
	out[len] = 0;
	return len > 0;
}

static bool
is_original_of(const struct option *option, const char *bare)
{
	struct str rest = str_from(option->original), word;
	char other[WORD_BYTES_MAX];
	while (str_split(&rest, ' ', &word))
		if (bare_original(word, other, sizeof other) && strcmp(bare, other) == 0)
			return true;
	return false;
}

/* Calls visit for every row that a person can write, those of the types last; stops at true. */
static const struct option *
each_option(const struct config_reading *reading, bool (*visit)(const struct option *option, void *context),
            void *context)
{
	size_t count;
	const struct option *rows = config_options(&count);
	for (size_t i = 0; i < count; i++)
		if (visit(&rows[i], context))
			return &rows[i];
	for (size_t t = 0; reading->types[t] != NULL; t++)
		for (size_t i = 0; i < reading->types[t]->option_count; i++)
			if (visit(&reading->types[t]->options[i], context))
				return &reading->types[t]->options[i];
	return NULL;
}

static bool
visit_original(const struct option *option, void *context)
{
	return is_original_of(option, context);
}

const struct option *
config_by_original(const struct config_reading *reading, struct str name)
{
	char bare[WORD_BYTES_MAX];
	if (!bare_original(name, bare, sizeof bare))
		return NULL;
	return each_option(reading, visit_original, bare);
}

struct nearest {
	struct str name;
	unsigned section;
	const struct option *option;
	size_t distance;
};

static bool
visit_nearest(const struct option *option, void *context)
{
	struct nearest *nearest = context;
	size_t distance = config_distance(nearest->name, str_from(option->name), NEAR_MAX);
	/* Of equally near ones the section's own is meant. */
	bool closer = distance < nearest->distance;
	bool better_place = nearest->option != NULL && distance == nearest->distance &&
	                    (nearest->option->sections & nearest->section) == 0 &&
	                    (option->sections & nearest->section) != 0;
	if (closer || better_place) {
		nearest->option = option;
		nearest->distance = distance;
	}
	return false;
}

void
config_suggest_option(const struct config_reading *reading, struct str name, unsigned section, char *sentence,
                      size_t sentence_size)
{
	size_t used = strlen(sentence);
	/* A word of which more than a third is different is another word. */
	size_t limit = least(NEAR_MAX, name.len / 3 + 1);
	struct nearest nearest = {.name = name, .section = section, .distance = limit + 1};
	each_option(reading, visit_nearest, &nearest);
	if (nearest.option == NULL)
		return;
	const char *place = (nearest.option->sections & section) != 0               ? ""
	                    : (nearest.option->sections & OPTION_IN_PASSENGER) != 0 ? " in [passenger]"
	                    : (nearest.option->sections & OPTION_IN_LISTENER) != 0  ? " in [listener NAME]"
	                                                                            : " in [app NAME]";
	snprintf(sentence + used, sentence_size - used, "; did you mean %s%s?", nearest.option->name, place);
}
