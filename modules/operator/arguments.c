#include "operator/arguments.h"

#include "base/buf.h"
#include "operator/output.h"

#include <assert.h>
#include <unistd.h>

static void
print_help(const struct arguments_table *table)
{
	enum { COLUMN = 34 };
	struct buf out = {0};
	buf_printf(&out, "Usage: %s\n\n%s\nOptions:\n", table->usage, table->help);
	for (const struct argument *option = table->options; option->name != NULL; option++) {
		if (option->help == NULL)
			continue;
		size_t start = out.len;
		if (option->letter != 0)
			buf_printf(&out, "  -%c, --%s", option->letter, option->name);
		else
			buf_printf(&out, "  --%s", option->name);
		if (option->value != NULL)
			buf_printf(&out, " %s", option->value);
		int used = (int)(out.len - start);
		buf_printf(&out, "%*s%s\n", used < COLUMN - 1 ? COLUMN - used : 2, "", option->help);
	}
	buf_printf(&out, "%-*s%s\n", COLUMN, "  -h, --help", "this text");
	if (!output_write(STDOUT_FILENO, &out))
		output_complain("the help was not printed");
	buf_free(&out);
}

static const struct argument *
find_option(const struct arguments_table *table, struct str name)
{
	for (const struct argument *option = table->options; option->name != NULL; option++)
		if (str_equal(str_from(option->name), name) ||
		    (name.len == 1 && option->letter != 0 && option->letter == name.data[0]))
			return option;
	return NULL;
}

static enum arguments_result
wrong(const struct arguments_table *table, const char *what, const char *word)
{
	struct buf line = {0};
	output_append(&line, str_from(word), OUTPUT_UTF8);
	output_complain("%s: %.*s\nUsage: %s   (--help says more)", what, (int)line.len, line.len > 0 ? line.data : "",
	                table->usage);
	buf_free(&line);
	return ARGUMENTS_WRONG;
}

/* One option at argv[*at], and its value when that is the next word. */
static enum arguments_result
read_option(const struct arguments_table *table, char **argv, int *at, struct arguments *out)
{
	const char *word = argv[*at];
	bool is_long = word[1] == '-';
	struct str name = str_from(word + (is_long ? 2 : 1)), value = {NULL, 0};
	ptrdiff_t equals = is_long ? str_find(name, '=') : -1;
	if (equals >= 0) {
		value = str_make(name.data + equals + 1, name.len - (size_t)equals - 1);
		name.len = (size_t)equals;
	}
	if (str_equal(name, is_long ? STR("help") : STR("h"))) {
		print_help(table);
		return ARGUMENTS_HELP;
	}
	const struct argument *option = (name.len == 1) == !is_long ? find_option(table, name) : NULL;
	if (option == NULL)
		return wrong(table, "there is no such option", word);
	if (option->value == NULL) {
		if (equals >= 0)
			return wrong(table, "this option takes no value", word);
		value = STR("");
	} else if (equals < 0) {
		if (argv[*at + 1] == NULL)
			return wrong(table, "this option needs a value", word);
		value = str_from(argv[++*at]);
	}
	out->values[option - table->options] = value.data; /* the end of an argv word or of a literal: terminated */
	return ARGUMENTS_READ;
}

enum arguments_result
arguments_read(const struct arguments_table *table, int argc, char **argv, struct arguments *out)
{
	bool options_over = false;
	*out = (struct arguments){0};
	assert(table->words_max <= ARGUMENTS_WORDS_MAX);
	for (int i = 1; i < argc; i++) {
		if (!options_over && strcmp(argv[i], "--") == 0) {
			options_over = true;
		} else if (!options_over && argv[i][0] == '-' && argv[i][1] != 0) {
			enum arguments_result result = read_option(table, argv, &i, out);
			if (result != ARGUMENTS_READ)
				return result;
		} else {
			if (out->word_count == table->words_max)
				return wrong(table, "there is a word too many", argv[i]);
			out->words[out->word_count++] = argv[i];
		}
	}
	return ARGUMENTS_READ;
}
