/*
 * What the files of config/ share: memory of a generation, the one error, and
 * what a section that was read says and leaves out.
 */
#include "config/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { SHOWN_FILE_BYTES = 400, SHOWN_NAME_BYTES = 80, SHOWN_VALUE_BYTES = 160 };

/* --- memory -------------------------------------------------------------------- */

struct memory {
	struct memory *next;
	max_align_t data[];
};

void *
config_alloc(struct config *config, size_t count, size_t size)
{
	if (size != 0 && count > (SIZE_MAX / 2) / size)
		abort();
	struct memory *memory = calloc(1, sizeof *memory + count * size);
	if (memory == NULL)
		abort();
	memory->next = config->memory;
	config->memory = memory;
	return memory->data;
}

char *
config_strdup(struct config *config, struct str text)
{
	char *copy = config_alloc(config, text.len + 1, 1);
	if (text.len > 0)
		memcpy(copy, text.data, text.len);
	return copy;
}

char *
config_format(struct config *config, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	int len = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	if (len < 0)
		abort();
	char *text = config_alloc(config, (size_t)len + 1, 1);
	va_start(arguments, format);
	vsnprintf(text, (size_t)len + 1, format, arguments);
	va_end(arguments);
	return text;
}

void
config_free(struct config *config)
{
	if (config == NULL)
		return;
	for (struct memory *memory = config->memory, *next; memory != NULL; memory = next) {
		next = memory->next;
		free(memory);
	}
	free(config);
}

void
config_retain(struct config *config)
{
	if (config != NULL)
		config->users++;
}

void
config_release(struct config *config)
{
	if (config != NULL && --config->users == 0)
		config_free(config);
}

/* --- errors --------------------------------------------------------------------- */

__attribute__((format(printf, 4, 0))) static void
fail(struct config_reading *reading, uint32_t line, const char *subject, const char *format, va_list arguments)
{
	if (reading->failed)
		return;
	reading->failed = true;
	char *out = reading->error->text;
	size_t size = sizeof reading->error->text, used = 0;
	if (line != 0)
		used += (size_t)snprintf(out, size, "%.*s:%u: ", SHOWN_FILE_BYTES, reading->file, (unsigned)line);
	if (subject != NULL)
		used += (size_t)snprintf(out + used, size - used, "%.*s: ", SHOWN_FILE_BYTES, subject);
	vsnprintf(out + used, size - used, format, arguments);
}

bool
config_fail(struct config_reading *reading, uint32_t line, const char *subject, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	fail(reading, line, subject, format, arguments);
	va_end(arguments);
	return false;
}

static int
shown(struct str text, size_t most)
{
	return (int)(text.len < most ? text.len : most);
}

bool
config_fail_value(struct config_reading *reading, uint32_t line, struct str name, struct str value, const char *format,
                  ...)
{
	char subject[SHOWN_NAME_BYTES + SHOWN_VALUE_BYTES + 16];
	snprintf(subject, sizeof subject, "%.*s =%s%.*s%s", shown(name, SHOWN_NAME_BYTES), name.data,
	         value.len > 0 ? " " : "", shown(value, SHOWN_VALUE_BYTES), value.len > 0 ? value.data : "",
	         value.len > SHOWN_VALUE_BYTES ? "..." : "");
	va_list arguments;
	va_start(arguments, format);
	fail(reading, line, subject, format, arguments);
	va_end(arguments);
	return false;
}

/* --- sections ------------------------------------------------------------------- */

uint32_t
config_line(const struct config_section *section, const char *name, unsigned kind)
{
	uint32_t line = section->lines[config_row(name, kind)];
	return line != 0 ? line : section->line;
}

static void
store_default(struct config *config, const struct option *row, void *base)
{
	union option_value value;
	char expected[OPTION_EXPECTED_BYTES];
	struct str text = str_from(row->default_text);
	if (!option_parse(row, text, &value, expected))
		abort(); /* the table is wrong; a unit test holds every default */
	bool is_text = row->type == OPTION_STRING || row->type == OPTION_PATH;
	option_store(row, base, &value, is_text ? config_strdup(config, text) : NULL);
}

void
config_fill_in(struct config_reading *reading, const struct config_section *section, unsigned kind, void *base)
{
	size_t count;
	const struct option *rows = config_options(&count);
	for (size_t i = 0; i < count; i++) {
		const struct option *row = &rows[i];
		bool is_ours = kind == OPTION_IN_PASSENGER ? row->sections == OPTION_IN_PASSENGER
		                                           : (row->sections & kind) != 0;
		if (!is_ours || row->offset == OPTION_NO_FIELD || section->lines[i] != 0)
			continue;
		if (kind == OPTION_IN_APP && reading->passenger.lines[i] != 0 &&
		    (row->sections & OPTION_IN_PASSENGER) != 0)
			option_copy(row, base, &reading->defaults);
		else if (row->default_text != NULL)
			store_default(reading->config, row, base);
	}
}
