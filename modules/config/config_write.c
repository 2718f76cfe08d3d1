/*
 * A resolved generation as canonical text: every field of every row, one a line,
 * bytes that a line could not carry as %xx.  config_parse() reads it back.
 */
#include "config/internal.h"

/* Blanks too: a value may begin or end with one. */
static void
append_encoded(struct buf *out, struct str text)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.data[i];
		if (c > 0x20 && c < 0x7f && c != '%') {
			buf_append_char(out, (char)c);
			continue;
		}
		char code[3] = {'%', digits[c >> 4], digits[c & 15]};
		buf_append(out, code, sizeof code);
	}
}

static void
write_pair(struct buf *out, const char *prefix, const char *name, const char *value)
{
	buf_printf(out, "%s%s=", prefix, name);
	append_encoded(out, str_from(value));
	buf_append_char(out, '\n');
}

static void
write_row(struct buf *out, const struct option *row, const void *base)
{
	struct buf value = {0};
	if (option_print(row, base, &value)) {
		buf_printf(out, "%s=", row->name);
		append_encoded(out, buf_str(&value));
		buf_append_char(out, '\n');
	}
	buf_free(&value);
}

static void
write_rows(struct buf *out, unsigned kind, bool with_live, const void *base)
{
	size_t count, private_count;
	const struct option *rows = config_options(&count);
	const struct option *private_rows = config_private_options(&private_count);
	for (size_t i = 0; i < count + private_count; i++) {
		const struct option *row = i < count ? &rows[i] : &private_rows[i - count];
		bool is_ours = kind == OPTION_IN_PASSENGER ? row->sections == OPTION_IN_PASSENGER
		                                           : (row->sections & kind) != 0;
		if (is_ours && row->offset != OPTION_NO_FIELD && (with_live || !row->live))
			write_row(out, row, base);
	}
}

static void
write_app(struct buf *out, bool with_live, const struct app_config *app)
{
	buf_printf(out, "[app %s]\n", app->name);
	write_rows(out, OPTION_IN_APP, with_live, app);
	for (size_t i = 0; i < app->type->option_count; i++)
		if (app->type_values[i] != NULL)
			write_pair(out, "", app->type->options[i].name, app->type_values[i]);
	for (size_t i = 0; i < app->env_count; i++)
		write_pair(out, "env.", app->env[i].name, app->env[i].value);
}

void
config_write(const struct config *config, struct buf *out)
{
	buf_printf(out, "[passenger]\n");
	write_rows(out, OPTION_IN_PASSENGER, true, config);
	for (size_t i = 0; i < config->listener_count; i++) {
		buf_printf(out, "[listener %s]\n", config->listeners[i]->name);
		write_rows(out, OPTION_IN_LISTENER, true, config->listeners[i]);
	}
	for (size_t i = 0; i < config->runtime_count; i++) {
		buf_printf(out, "[runtime %s]\n", config->runtimes[i]->type.name);
		write_rows(out, OPTION_IN_RUNTIME, true, config->runtimes[i]);
	}
	for (size_t i = 0; i < config->app_count; i++)
		write_app(out, true, config->apps[i]);
}

/* --- what differs ---------------------------------------------------------------------- */

bool
config_same_start(const struct app_config *a, const struct app_config *b)
{
	struct buf first = {0}, second = {0};
	write_app(&first, false, a);
	write_app(&second, false, b);
	bool same = str_equal(buf_str(&first), buf_str(&second));
	buf_free(&first);
	buf_free(&second);
	return same;
}

static void
compare_rows(unsigned kind, const void *before, const void *after, struct buf *names)
{
	size_t count;
	const struct option *rows = config_options(&count);
	for (size_t i = 0; i < count; i++) {
		struct buf first = {0}, second = {0};
		if (!rows[i].no_reload || rows[i].sections != kind || rows[i].offset == OPTION_NO_FIELD)
			continue;
		write_row(&first, &rows[i], before);
		write_row(&second, &rows[i], after);
		if (!str_equal(buf_str(&first), buf_str(&second)))
			buf_printf(names, "%s%s", names->len > 0 ? " " : "", rows[i].name);
		buf_free(&first);
		buf_free(&second);
	}
}

void
config_needs_restart(const struct config *before, const struct config *after, struct buf *names)
{
	compare_rows(OPTION_IN_PASSENGER, before, after, names);
	for (size_t i = 0; i < after->listener_count; i++)
		for (size_t j = 0; j < before->listener_count; j++)
			if (strcmp(after->listeners[i]->address_text, before->listeners[j]->address_text) == 0)
				compare_rows(OPTION_IN_LISTENER, before->listeners[j], after->listeners[i], names);
}
