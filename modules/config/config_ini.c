/*
 * The ini's bytes to headings and lines, on inih.  inih splits a line; the reader
 * here sees every line first, because Debian's inih cuts long lines without a
 * word, goes on after an error, takes an indented line for a second value of the
 * option above, cuts values at " ;", cuts section names at 49 bytes, takes ':'
 * for '=', and does not tell the handler where it is.
 */
#include "config/internal.h"

#include <ini.h>

/* Debian's library has these as variables; where they are compiled in, they are not there. */
extern bool ini_use_stack __attribute__((weak));
extern int ini_max_line __attribute__((weak));
extern int ini_initial_alloc __attribute__((weak));

/* Stands for ';' on the way through inih; a control byte, so it is in no line that got so far. */
enum { SEMICOLON = 1 };

struct ini {
	struct config_reading *reading;
	struct str rest;
	uint32_t line;
	size_t line_bytes_max;
	struct buf value; /* scratch */
};

static void
set_up_inih(size_t line_bytes_max)
{
	int size = (int)line_bytes_max + 4;
	if (&ini_use_stack != NULL)
		ini_use_stack = false;
	if (&ini_max_line != NULL)
		ini_max_line = size;
	if (&ini_initial_alloc != NULL)
		ini_initial_alloc = size;
}

/* How many bytes of UTF-8 begin here (RFC 3629 section 4); 0: none. */
static size_t
utf8_length(const unsigned char *s, size_t len)
{
	unsigned char c = s[0];
	size_t size = c < 0x80                ? 1
	              : c >= 0xc2 && c < 0xe0 ? 2
	              : c >= 0xe0 && c < 0xf0 ? 3
	              : c >= 0xf0 && c < 0xf5 ? 4
	                                      : 0;
	if (size == 0 || size > len)
		return 0;
	for (size_t i = 1; i < size; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	bool overlong = (c == 0xe0 && s[1] < 0xa0) || (c == 0xf0 && s[1] < 0x90);
	bool surrogate = c == 0xed && s[1] >= 0xa0;
	bool too_high = c == 0xf4 && s[1] >= 0x90;
	return overlong || surrogate || too_high ? 0 : size;
}

static bool
check_bytes(struct ini *ini, struct str line)
{
	const unsigned char *bytes = (const unsigned char *)line.data;
	for (size_t i = 0; i < line.len;) {
		bool control = (bytes[i] < 0x20 && bytes[i] != '\t') || bytes[i] == 0x7f;
		size_t size = utf8_length(bytes + i, line.len - i);
		if (control || size == 0)
			return config_fail(
				ini->reading, ini->line, NULL,
				"byte 0x%02x at column %zu: expected text in UTF-8 without control characters",
				(unsigned)bytes[i], i + 1);
		i += size;
	}
	return true;
}

/* "PassengerMaxPoolSize 6", as Apache has it, gets a better answer than "no =". */
static bool
fail_no_equals(struct ini *ini, struct str line)
{
	size_t len = 0;
	while (len < line.len && line.data[len] != ' ' && line.data[len] != '\t')
		len++;
	struct str word = str_make(line.data, len);
	const struct option *option =
		str_starts_nocase(word, STR("passenger")) ? config_by_original(ini->reading, word) : NULL;
	if (option != NULL)
		return config_fail(ini->reading, ini->line, NULL, "%.*s: here this is written %s = value",
		                   STR_ARG(word), option->name);
	return config_fail(ini->reading, ini->line, NULL, "%.*s: expected name = value, or [section]",
	                   (int)(line.len < 80 ? line.len : 80), line.data);
}

/* A heading, or a line for inih (then *give is true), or nothing. */
static bool
take_line(struct ini *ini, struct str line, bool *give)
{
	*give = false;
	if (line.len > ini->line_bytes_max)
		return config_fail(ini->reading, ini->line, NULL, "expected a line of at most %zu bytes, not %zu",
		                   ini->line_bytes_max, line.len);
	if (!check_bytes(ini, line))
		return false;
	if (line.len == 0 || line.data[0] == '#' || line.data[0] == ';')
		return true;
	if (line.data[0] == '[') {
		if (line.data[line.len - 1] != ']')
			return config_fail(
				ini->reading, ini->line, NULL,
				"%.*s: expected a ] at the end of the line (comments stand on lines of their own)",
				(int)(line.len < 80 ? line.len : 80), line.data);
		return config_apply_section(ini->reading, str_trim(str_make(line.data + 1, line.len - 2)), ini->line);
	}
	ptrdiff_t equals = str_find(line, '='), colon = str_find(line, ':');
	if (equals < 0 || (colon >= 0 && colon < equals))
		return fail_no_equals(ini, line);
	if (equals == 0)
		return config_fail(ini->reading, ini->line, NULL, "expected a name before the =");
	*give = true;
	return true;
}

/* The next line without its end and without the blanks around it. */
static bool
next_line(struct ini *ini, struct str *line)
{
	if (ini->reading->failed || ini->rest.len == 0)
		return false;
	ptrdiff_t end = str_find(ini->rest, '\n');
	size_t len = end < 0 ? ini->rest.len : (size_t)end;
	*line = str_make(ini->rest.data, len);
	ini->rest = str_make(ini->rest.data + len + (end >= 0), ini->rest.len - len - (end >= 0));
	ini->line++;
	if (line->len > 0 && line->data[line->len - 1] == '\r')
		line->len--;
	if (ini->line == 1 && str_starts(*line, STR("\xef\xbb\xbf")))
		*line = str_make(line->data + 3, line->len - 3);
	*line = str_trim(*line);
	return true;
}

/* inih's reader: one line into out, which has `size` bytes.  NULL: the end. */
static char *
read_line(char *out, int size, void *stream)
{
	struct ini *ini = stream;
	struct str line;
	bool give = false;
	while (!give)
		if (!next_line(ini, &line) || !take_line(ini, line, &give))
			return NULL;
	if ((size_t)size < line.len + 2) {
		config_fail(ini->reading, ini->line, NULL, "expected a line of at most %d bytes, not %zu", size - 2,
		            line.len);
		return NULL;
	}
	for (size_t i = 0; i < line.len; i++)
		out[i] = line.data[i] == ';' ? SEMICOLON : line.data[i];
	out[line.len] = '\n';
	out[line.len + 1] = 0;
	return out;
}

static int
hex_value(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Canonical text has %xx for every byte that an ini line could not carry. */
static bool
decode(struct buf *text)
{
	size_t out = 0;
	for (size_t i = 0; i < text->len; i++) {
		char c = text->data[i];
		if (c == '%') {
			int high = i + 2 < text->len ? hex_value(text->data[i + 1]) : -1;
			int low = high >= 0 ? hex_value(text->data[i + 2]) : -1;
			if (low < 0 || high * 16 + low == 0)
				return false;
			c = (char)(high * 16 + low);
			i += 2;
		}
		text->data[out++] = c;
	}
	text->len = out;
	return true;
}

/* inih's handler: an option.  The section is known already. */
static int
take_option(void *user, const char *section, const char *name, const char *value)
{
	struct ini *ini = user;
	char name_z[256];
	(void)section;
	if (ini->reading->failed)
		return 0;
	str_cut_z(name_z, sizeof name_z, str_from(name));
	buf_clear(&ini->value);
	buf_append_str(&ini->value, str_from(value));
	for (size_t i = 0; name_z[i] != 0; i++)
		if (name_z[i] == SEMICOLON)
			name_z[i] = ';';
	for (size_t i = 0; i < ini->value.len; i++)
		if (ini->value.data[i] == SEMICOLON)
			ini->value.data[i] = ';';
	if (ini->reading->canonical && !decode(&ini->value))
		return config_fail(ini->reading, ini->line, name_z, "expected %%xx");
	return config_apply_option(ini->reading, str_from(name_z), buf_str(&ini->value), ini->line);
}

bool
config_read_ini(struct config_reading *reading, struct str text)
{
	struct ini ini = {
		.reading = reading,
		.rest = text,
		.line_bytes_max = reading->canonical ? CONFIG_CANONICAL_LINE_BYTES_MAX : CONFIG_LINE_BYTES_MAX,
	};
	set_up_inih(ini.line_bytes_max);
	int result = ini_parse_stream(read_line, &ini, take_option, &ini);
	buf_free(&ini.value);
	if (result != 0 && !reading->failed)
		return config_fail(reading, ini.line, NULL, "expected name = value, or [section]");
	return !reading->failed;
}
