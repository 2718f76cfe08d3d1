/*
 * passenger.ini and docs/options.md, from the rows.
 */
#include "config/internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { COLUMNS = 100, EXPECTED_BYTES = OPTION_EXPECTED_BYTES, ORIGINALS_MAX = 2 * CONFIG_ROWS_MAX };

static const char *const group_titles[OPTION_GROUP_N] = {
	[OPTION_GROUP_INSTANCE] = "This instance",
	[OPTION_GROUP_LISTENERS] = "Listeners",
	[OPTION_GROUP_APPLICATION] = "Applications",
	[OPTION_GROUP_POOL] = "The pool",
	[OPTION_GROUP_LIMITS] = "Limits",
	[OPTION_GROUP_BUFFERS] = "Buffers",
	[OPTION_GROUP_TIMEOUTS] = "Times",
	[OPTION_GROUP_LOGS] = "Logs and error pages",
	[OPTION_GROUP_HOOKS] = "Hooks",
};

/* What most people look for first. */
static const enum option_group group_order[] = {
	OPTION_GROUP_LISTENERS, OPTION_GROUP_APPLICATION, OPTION_GROUP_POOL, OPTION_GROUP_LIMITS, OPTION_GROUP_BUFFERS,
	OPTION_GROUP_TIMEOUTS,  OPTION_GROUP_INSTANCE,    OPTION_GROUP_LOGS, OPTION_GROUP_HOOKS,
};

static const char ini_head[] =
	"# passenger.ini: every option of passenger, with its default.\n"
	"#\n"
	"# Lines that begin with # or ; are comments. A comment stands on a line of its own: what follows\n"
	"# the = is the value, to the end of the line, without the blanks around it.\n"
	"# Times: 500ms, 10s, 5m, 1h, 1d; a bare number counts seconds. Sizes: 64k, 128m, 2g; a bare number\n"
	"# counts bytes. Relative paths start at the folder of this file.\n"
	"#\n"
	"# `passenger serve --config FILE --check` checks a file and starts nothing.\n"
	"# `passenger options --ini` prints this text.\n"
	"\n"
	"# [passenger] is for all of passenger. Its options that are marked \"also in [app NAME]\" are the\n"
	"# default of every application, and stand for one application in its own section.\n"
	"\n"
	"[passenger]\n";

static const char ini_listener[] =
	"\n\n# A listener that needs more than an address has a section of its own, of any name:\n"
	"\n#[listener NAME]\n";

static const char ini_app[] =
	"\n\n# Every application has a section, of any name; status and the commands call it so:\n"
	"\n#[app NAME]\n";

static const char ini_runtime[] =
	"\n\n# Another language, by configuration alone: a section of any name that no built-in type has. It is a\n"
	"# type then, for `type = NAME` or by the files of an application. `passenger runtimes` lists all types.\n"
	"\n#[runtime NAME]\n";

static const char ini_examples[] =
	"\n\n# Examples: a web server in front that comes in by a unix socket, a Ruby application that has its\n"
	"# own host, and a program that speaks HTTP itself, below the path /reports of the same host.\n"
	"\n"
	"#[listener apache]\n"
	"#address = unix:/run/passenger/apache.sock\n"
	"#group = www-data\n"
	"\n"
	"#[app blog]\n"
	"#root = /srv/blog\n"
	"#type = ruby\n"
	"#host = blog.example.org\n"
	"#min_instances = 2\n"
	"#env.DATABASE_URL = postgres:///blog\n"
	"\n"
	"#[app reports]\n"
	"#root = /srv/reports\n"
	"#type = command\n"
	"#command = ./reports --listen 127.0.0.1 --port-from-environment\n"
	"#host = blog.example.org\n"
	"#base_uri = /reports\n"
	"#max_instances = 1\n"
	"\n"
	"# Other languages. All four were tried: with deno 2.9, bun 1.4, PHP 8.2 and uvicorn 0.17.\n"
	"\n"
	"#[runtime deno]\n"
	"#detect = deno.json deno.jsonc\n"
	"#startup_file = main.ts\n"
	"#command = deno serve --allow-env --allow-read=. --port $PORT --host 127.0.0.1 $PASSENGER_STARTUP_FILE\n"
	"#env.DENO_NO_UPDATE_CHECK = 1\n"
	"\n"
	"# Its program asks for process.env.PORT and hostname 127.0.0.1.\n"
	"#[runtime bun]\n"
	"#detect = bun.lock bun.lockb bunfig.toml\n"
	"#startup_file = index.ts\n"
	"#command = bun run $PASSENGER_STARTUP_FILE\n"
	"\n"
	"# One process takes one request at a time, and max_instances says how many.\n"
	"#[runtime php]\n"
	"#detect = index.php public/index.php\n"
	"#command = php -S 127.0.0.1:$PORT $PASSENGER_STARTUP_FILE\n"
	"#concurrency = 1\n"
	"\n"
	"#[runtime uvicorn]\n"
	"#detect = main.py\n"
	"#command = uvicorn --uds $PASSENGER_SOCKET main:app\n";

/* --- pieces ----------------------------------------------------------------------- */

static void
append_z(struct buf *out, const char *text)
{
	buf_append_str(out, str_from(text));
}

/* A paragraph of comment lines. */
static void
append_wrapped(struct buf *out, struct str text)
{
	struct str word;
	size_t column = 0;
	while (str_split(&text, ' ', &word)) {
		if (column == 0 || column + 1 + word.len > COLUMNS) {
			append_z(out, column == 0 ? "# " : "\n# ");
			column = 2;
		} else {
			buf_append_char(out, ' ');
			column++;
		}
		buf_append_str(out, word);
		column += word.len;
	}
	buf_append_char(out, '\n');
}

static void
append_types(struct buf *out, const struct app_type *const *types)
{
	for (size_t i = 0; types[i] != NULL; i++)
		buf_printf(out, "%s%s", i == 0 ? "" : types[i + 1] == NULL ? " or " : ", ", types[i]->name);
}

/* What the row takes, where this says more than its help. */
static void
append_takes(struct buf *out, const struct option *row, const struct app_type *const *types)
{
	char expected[EXPECTED_BYTES];
	option_expected(row, expected);
	if (row->sections == OPTION_IN_APP && strcmp(row->name, "type") == 0)
		append_types(out, types);
	else if (str_starts(str_from(row->name), STR("env.")))
		append_z(out, "any text");
	else if (row->type == OPTION_PATH)
		append_z(out, "a path");
	else
		append_z(out, expected);
}

/* "PassengerMaxInstances, PassengerMaxInstancesPerApp" */
static void
append_originals(struct buf *out, const struct option *row)
{
	struct str rest = str_from(row->original), word;
	for (size_t i = 0; str_split(&rest, ' ', &word); i++) {
		append_z(out, i == 0 ? "" : ", ");
		buf_append_str(out, word);
	}
}

static bool
is_shared(const struct option *row)
{
	return (row->sections & OPTION_IN_APP) != 0 && (row->sections & OPTION_IN_PASSENGER) != 0;
}

/* Each row that a person can write, those of the types last; NULL after the last. */
static const struct option *
row_at(size_t index, const struct app_type *const *types, const struct app_type **type)
{
	size_t count;
	const struct option *rows = config_options(&count);
	*type = NULL;
	if (index < count)
		return &rows[index];
	index -= count;
	for (size_t t = 0; types[t] != NULL; t++) {
		*type = types[t];
		if (index < types[t]->option_count)
			return &types[t]->options[index];
		index -= types[t]->option_count;
	}
	return NULL;
}

/* --- passenger.ini ------------------------------------------------------------------ */

static void
print_ini_option(struct buf *out, const struct option *row, const struct app_type *const *types)
{
	struct buf text = {0};
	buf_append_char(out, '\n');
	append_wrapped(out, str_from(config_help(row)));
	append_z(&text, "Takes ");
	append_takes(&text, row, types);
	append_z(&text, is_shared(row) ? "; also in [app NAME]" : "");
	append_z(&text, row->no_reload ? "; a change needs a restart" : "");
	append_z(&text, ".");
	if (row->original != NULL) {
		append_z(&text, " In the original: ");
		append_originals(&text, row);
		append_z(&text, strcmp(row->edition, "enterprise") == 0 ? " (enterprise)." : ".");
	}
	append_z(&text, row->default_text == NULL ? " No default; an example:" : "");
	append_wrapped(out, buf_str(&text));
	buf_free(&text);
	buf_printf(out, "#%s = %s\n", row->name, row->default_text != NULL ? row->default_text : row->example);
}

/* Those of one group that one section takes, below the group's title when there are any. */
static void
print_ini_group(struct buf *out, unsigned section, enum option_group group, const struct app_type *const *types)
{
	const struct app_type *type, *last_type = NULL;
	const struct option *row;
	bool titled = section != OPTION_IN_PASSENGER;
	for (size_t i = 0; (row = row_at(i, types, &type)) != NULL; i++) {
		bool is_ours =
			section == OPTION_IN_PASSENGER ? (row->sections & section) != 0 : row->sections == section;
		if (!is_ours || row->group != group)
			continue;
		if (!titled)
			buf_printf(out, "\n\n# ---- %s ----\n", group_titles[group]);
		titled = true;
		if (type != last_type)
			buf_printf(out, "\n# For type = %s, %s:\n", type->name, type->title);
		last_type = type;
		print_ini_option(out, row, types);
	}
}

void
config_print_ini(struct buf *out, const struct app_type *const *types)
{
	append_z(out, ini_head);
	for (size_t i = 0; i < array_count(group_order); i++)
		print_ini_group(out, OPTION_IN_PASSENGER, group_order[i], types);
	append_z(out, ini_listener);
	for (size_t i = 0; i < array_count(group_order); i++)
		print_ini_group(out, OPTION_IN_LISTENER, group_order[i], types);
	append_z(out, ini_app);
	for (size_t i = 0; i < array_count(group_order); i++)
		print_ini_group(out, OPTION_IN_APP, group_order[i], types);
	append_z(out, ini_runtime);
	for (size_t i = 0; i < array_count(group_order); i++)
		print_ini_group(out, OPTION_IN_RUNTIME, group_order[i], types);
	append_z(out, ini_examples);
}

/* --- docs/options.md ------------------------------------------------------------------ */

/* A cell of a table: a bar would end it, and <, * and _ would be markup. */
static void
append_cell(struct buf *out, struct str text)
{
	append_z(out, " ");
	for (size_t i = 0; i < text.len; i++) {
		if (strchr("|*_<>`", text.data[i]) != NULL)
			buf_append_char(out, '\\');
		buf_append_char(out, text.data[i]);
	}
	append_z(out, " |");
}

static void
append_code_cell(struct buf *out, const char *text)
{
	buf_printf(out, text != NULL ? " `%s` |" : " %s |", text != NULL ? text : "");
}

static const char *
place_of(const struct option *row)
{
	if (is_shared(row))
		return "[passenger], [app]";
	return (row->sections & OPTION_IN_PASSENGER) != 0  ? "[passenger]"
	       : (row->sections & OPTION_IN_LISTENER) != 0 ? "[listener]"
	       : (row->sections & OPTION_IN_RUNTIME) != 0  ? "[runtime]"
	                                                   : "[app]";
}

static void
print_markdown_option(struct buf *out, const struct option *row, const struct app_type *const *types)
{
	struct buf text = {0};
	buf_append_char(out, '|');
	append_code_cell(out, row->name);
	append_cell(out, str_from(place_of(row)));
	append_code_cell(out, row->default_text);
	append_takes(&text, row, types);
	append_cell(out, buf_str(&text));
	buf_clear(&text);
	if (row->original != NULL)
		append_originals(&text, row);
	append_cell(out, buf_str(&text));
	append_cell(out, str_from(row->edition != NULL ? row->edition : "ours alone"));
	append_cell(out, str_from(row->no_reload ? "restart" : "reload"));
	append_cell(out, str_from(config_help(row)));
	buf_append_char(out, '\n');
	buf_free(&text);
}

static void
print_markdown_group(struct buf *out, enum option_group group, const struct app_type *const *types)
{
	const struct app_type *type, *last_type = NULL;
	const struct option *row;
	static const char head[] = "\n| Option | Where | Default | Takes | In the original | Edition there | A change "
				   "needs | What it does |\n"
				   "|---|---|---|---|---|---|---|---|\n";
	buf_printf(out, "\n## %s\n%s", group_titles[group], head);
	for (size_t i = 0; (row = row_at(i, types, &type)) != NULL; i++) {
		if (row->group != group)
			continue;
		if (type != last_type)
			buf_printf(out, "\nOnly for `type = %s`, %s:\n%s", type->name, type->title, head);
		last_type = type;
		print_markdown_option(out, row, types);
	}
}

struct original {
	struct str name;
	const struct option *row;
};

static int
compare_originals(const void *left, const void *right)
{
	const struct original *a = left, *b = right;
	size_t len = a->name.len < b->name.len ? a->name.len : b->name.len;
	int order = memcmp(a->name.data, b->name.data, len);
	return order != 0 ? order : (a->name.len > b->name.len) - (a->name.len < b->name.len);
}

static void
print_markdown_originals(struct buf *out, const struct app_type *const *types)
{
	struct original originals[ORIGINALS_MAX];
	size_t count = 0;
	const struct app_type *type;
	const struct option *row;
	for (size_t i = 0; (row = row_at(i, types, &type)) != NULL; i++) {
		struct str rest = str_from(row->original), word;
		while (count < ORIGINALS_MAX && str_split(&rest, ' ', &word))
			originals[count++] = (struct original){word, row};
	}
	qsort(originals, count, sizeof originals[0], compare_originals);
	append_z(out, "\n## By the original's names\n\n| In the original | Here |\n|---|---|\n");
	for (size_t i = 0; i < count; i++) {
		buf_append_char(out, '|');
		append_cell(out, originals[i].name);
		buf_printf(out, " `%s` in %s |\n", originals[i].row->name, place_of(originals[i].row));
	}
}

void
config_print_markdown(struct buf *out, const struct app_type *const *types)
{
	append_z(out,
	         "# Options\n\n"
	         "Every line that passenger.ini can have. This page is what `passenger options --markdown` prints; "
	         "[passenger.ini](../passenger.ini) says the same as comments.\n\n"
	         "An option that stands in [passenger] and [app] is in [passenger] the default of every "
	         "application. \"A change needs\": reload is `passenger reload` or SIGHUP.\n");
	for (size_t i = 0; i < array_count(group_order); i++)
		print_markdown_group(out, group_order[i], types);
	print_markdown_originals(out, types);
}
