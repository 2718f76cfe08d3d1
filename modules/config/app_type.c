#include "config/app_type.h"

#include "base/buf.h"

#include <assert.h>
#include <stdlib.h>

void
app_argv_add(struct app_argv *argv, struct str word)
{
	assert(argv->count < APP_ARGV_MAX);
	argv->words[argv->count++] = str_dup_z(word);
	argv->words[argv->count] = NULL;
}

void
app_argv_free(struct app_argv *argv)
{
	for (size_t i = 0; i < argv->count; i++)
		free(argv->words[i]);
	*argv = (struct app_argv){0};
}

static bool
is_name_char(char c)
{
	return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* A $ at *at: the reference that it begins, or itself.  *at stays at its last byte.  False: "${" without a name and "}". */
static bool
take_reference(struct str text, size_t *at, struct buf *word)
{
	size_t begin = *at + 1;
	bool braced = begin < text.len && text.data[begin] == '{';
	size_t end = begin += braced;
	while (end < text.len && is_name_char(text.data[end]))
		end++;
	bool closed = end > begin && end < text.len && text.data[end] == '}';
	if (end == begin && !braced) {
		buf_append_char(word, '$');
		return true;
	}
	buf_append_char(word, APP_REFERENCE_BEGIN);
	buf_append(word, text.data + begin, end - begin);
	buf_append_char(word, APP_REFERENCE_END);
	*at = end - !braced;
	return !braced || closed;
}

bool
app_reference_next(struct str *rest, struct str *text, struct str *name)
{
	ptrdiff_t begin = str_find(*rest, APP_REFERENCE_BEGIN);
	*name = str_make(NULL, 0);
	*text = begin < 0 ? *rest : str_make(rest->data, (size_t)begin);
	if (begin == 0) {
		*rest = str_make(rest->data + 1, rest->len - 1);
		return str_split(rest, APP_REFERENCE_END, name);
	}
	*rest = str_make(rest->data + text->len, rest->len - text->len);
	return text->len > 0;
}

void
app_reference_show(struct buf *out, const char *word)
{
	struct str rest = str_from(word), text, name;

	while (app_reference_next(&rest, &text, &name))
		buf_printf(out, name.len > 0 ? "${%.*s}" : "%.*s", STR_ARG(name.len > 0 ? name : text));
}

/*
 * Takes one word off the front of *rest, without its quotes (POSIX.1-2017, Shell
 * Command Language, section 2.2).  False: a quote or a ${ is not closed, or the text
 * ends in a backslash.
 */
static bool
take_word(struct str *rest, struct buf *word)
{
	char quote = 0;
	size_t at = 0;
	for (; at < rest->len; at++) {
		char c = rest->data[at];
		if (quote == 0 && (c == ' ' || c == '\t' || c == '\n'))
			break;
		if (c == quote) {
			quote = 0;
		} else if (quote == 0 && (c == '\'' || c == '"')) {
			quote = c;
		} else if (c == '\\' && quote != '\'') {
			if (++at == rest->len)
				return false;
			/* Between double quotes a backslash is itself, unless it hides one of these. */
			if (quote == '"' && strchr("\"\\$`\n", rest->data[at]) == NULL)
				buf_append_char(word, '\\');
			buf_append_char(word, rest->data[at]);
		} else if (c == '$' && quote != '\'') {
			if (!take_reference(*rest, &at, word))
				return false;
		} else {
			buf_append_char(word, c);
		}
	}
	*rest = str_make(rest->data + at, rest->len - at);
	return quote == 0;
}

bool
app_argv_split(struct app_argv *argv, struct str command)
{
	struct buf word = {0};
	bool sound = command.len == 0 || memchr(command.data, 0, command.len) == NULL;
	while (sound) {
		while (command.len > 0 && strchr(" \t\n", command.data[0]) != NULL)
			command = str_make(command.data + 1, command.len - 1);
		if (command.len == 0)
			break;
		buf_clear(&word);
		sound = argv->count < APP_ARGV_MAX && take_word(&command, &word);
		if (sound)
			app_argv_add(argv, buf_str(&word));
	}
	buf_free(&word);
	return sound;
}
