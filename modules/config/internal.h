/*
 * internal: what the files of config/ share among themselves and nobody else
 * uses: a configuration while it is being read.
 *
 * The walk of config_load(): ini (bytes to lines to name and value) → apply (each
 * line to its row, its section and its field) → resolve (defaults, listeners,
 * types, users, routing).  config_parse() walks the same way over canonical text,
 * where everything is resolved already.
 */
#ifndef CONFIG_INTERNAL_H
#define CONFIG_INTERNAL_H

#include "config/app_type.h"
#include "config/config.h"

enum {
	CONFIG_ROWS_MAX = 192, /* public and private ones */
	CONFIG_PRIVATE_ROWS_MAX = 16,
	CONFIG_TYPE_OPTIONS_MAX = 32, /* of one application type */
	/* Canonical text writes a byte as at most three. */
	CONFIG_CANONICAL_LINE_BYTES_MAX = 4 * CONFIG_LINE_BYTES_MAX,
	CONFIG_FILE_BYTES_MAX = 8 * 1024 * 1024,
};

/* What `group` takes besides accounts. */
#define CONFIG_GROUP_OF_STARTUP_FILE "!STARTUP_FILE!"

/* A type's own option as some section gives it. */
struct config_type_value {
	const struct option *option;
	char *text;
	uint32_t line;
};

/* One section of the ini while it is read; lines are 0 for what it does not give. */
struct config_section {
	uint32_t line; /* of its heading; 0: not in the ini (APP_DIR) */
	char *title;   /* "[app blog]", for errors */
	uint32_t lines[CONFIG_ROWS_MAX];
	struct config_type_value type_values[CONFIG_TYPE_OPTIONS_MAX];
	size_t type_value_count;
	struct config_pair *env; /* CONFIG_ENV_MAX of room once there is one */
	uint32_t *env_lines;
	size_t env_count;
};

struct config_reading_app {
	struct config_section section;
	struct app_config *app;
};

struct config_reading_listener {
	struct config_section section; /* of `listen`: only its line */
	struct listener_config *listener;
};

struct config_reading_runtime {
	struct config_section section;
	struct runtime_config *runtime;
};

struct config_reading {
	const struct config_source *source;  /* NULL: canonical text */
	const struct app_type *const *types; /* built in; after config_resolve_runtimes() the configured ones too */
	struct config *config;
	struct config_error *error;
	bool failed;
	bool canonical;
	const char *file; /* as the person wrote it, for errors */
	char *folder;     /* of the ini, absolute, without a slash at the end ("" is the root) */

	struct config_section *current; /* NULL: before the first heading */
	unsigned current_kind;          /* enum option_section bit */
	void *current_base;             /* the struct that takes the current section's values */

	struct config_section passenger;
	struct app_config defaults; /* [passenger]'s values for all applications */
	struct config_reading_app *apps;
	size_t app_count;
	struct config_reading_listener *listeners; /* CONFIG_LISTENERS_MAX of room */
	size_t listener_count;
	struct config_reading_runtime *runtimes; /* CONFIG_RUNTIMES_MAX of room */
	size_t runtime_count;
	size_t listen_count; /* those of `listen` or --listen so far */
};

/* --- memory: all of one generation, freed at once ---------------------------- */

void *config_alloc(struct config *config, size_t count, size_t size); /* zeroed; aborts when out */
char *config_strdup(struct config *config, struct str text);
char *config_format(struct config *config, const char *format, ...) printf_like(2, 3);

/* --- errors: the first one stays ---------------------------------------------- */

/* "FILE:LINE: SUBJECT: what"; line 0 leaves the place out.  Returns false, always. */
bool config_fail(struct config_reading *reading, uint32_t line, const char *subject, const char *format, ...)
	printf_like(4, 5);
/* The same with the subject "name = value". */
bool config_fail_value(struct config_reading *reading, uint32_t line, struct str name, struct str value,
                       const char *format, ...) printf_like(5, 6);

/* --- sections that were read --------------------------------------------------- */

/* Where an option of a section is given, else the section itself; 0: not in the ini. */
uint32_t config_line(const struct config_section *section, const char *name, unsigned kind);
/* What the section leaves out, from [passenger]'s defaults for all, else from the row. */
void config_fill_in(struct config_reading *reading, const struct config_section *section, unsigned kind, void *base);

/* --- table --------------------------------------------------------------------- */

/* Rows that only canonical text has: id, uid, … */
const struct option *config_private_options(size_t *count);
/* Index into config_options() of the row that this section takes; aborts when there is none: a literal name. */
size_t config_row(const char *name, unsigned section);

/* --- check: `check` functions of the rows -------------------------------------- */

bool config_check_name(struct str text, char *expected, size_t expected_size);
bool config_check_account(struct str text, char *expected, size_t expected_size);
bool config_check_group(struct str text, char *expected, size_t expected_size);
bool config_check_rlimits(struct str text, char *expected, size_t expected_size);
bool config_check_ip(struct str text, char *expected, size_t expected_size);
bool config_check_address(struct str text, char *expected, size_t expected_size);
bool config_check_addresses(struct str text, char *expected, size_t expected_size);
bool config_check_hosts(struct str text, char *expected, size_t expected_size);
bool config_check_base_uri(struct str text, char *expected, size_t expected_size);
bool config_check_uris(struct str text, char *expected, size_t expected_size);
bool config_check_paths(struct str text, char *expected, size_t expected_size);
bool config_check_cookie_name(struct str text, char *expected, size_t expected_size);
bool config_check_cookie_attributes(struct str text, char *expected, size_t expected_size);
bool config_check_word(struct str text, char *expected, size_t expected_size);
bool config_check_command(struct str text, char *expected, size_t expected_size);
bool config_check_protocol(struct str text, char *expected, size_t expected_size);
bool config_check_files(struct str text, char *expected, size_t expected_size);
/* In place: one leading slash, none doubled, none at the end but for "/" itself. */
void config_normalise_base_uri(char *uri);
/* In place: lower case, and spaces only. */
void config_normalise_hosts(char *hosts);

/* --- suggest: what a wrong name may have meant ---------------------------------- */

/* Appends "; did you mean X?", or the like, to the sentence; nothing when nothing is near. */
void config_suggest_option(const struct config_reading *reading, struct str name, unsigned section, char *sentence,
                           size_t sentence_size);
/* The row that the original calls so ("PassengerMaxPoolSize", "passenger_max_pool_size"), or NULL. */
const struct option *config_by_original(const struct config_reading *reading, struct str name);
/* Least number of single-letter changes and swaps between two words, folded; at most `limit` + 1. */
size_t config_distance(struct str a, struct str b, size_t limit);

/* --- ini, apply, resolve --------------------------------------------------------- */

/* Feeds each line to config_apply_section() and config_apply_option(); stops at the first error. */
bool config_read_ini(struct config_reading *reading, struct str text) must_check;
bool config_apply_section(struct config_reading *reading, struct str heading, uint32_t line) must_check;
bool config_apply_option(struct config_reading *reading, struct str name, struct str value, uint32_t line) must_check;
/* A listener of `listen`, --listen or the default. */
bool config_add_listen(struct config_reading *reading, struct str address, uint32_t line,
                       const char *subject) must_check;
struct config_reading_app *config_add_app(struct config_reading *reading, struct str name, uint32_t line);
bool config_has_option(const struct config_reading *reading, struct str name, const struct option **option,
                       unsigned section);

/* Everything after the last line. */
bool config_resolve(struct config_reading *reading) must_check;
bool config_resolve_canonical(struct config_reading *reading) must_check;
/* resolve's parts, each with a file of its own. */
bool config_resolve_runtimes(struct config_reading *reading) must_check;
/* What the type gives to the application: command, readiness, concurrency.  *section: the runtime's; NULL: built in. */
bool config_resolve_command(struct config_reading *reading, struct config_reading_app *app,
                            const struct config_section **section) must_check;
bool config_resolve_type(struct config_reading *reading, struct config_reading_app *app,
                         const struct config_section **runtime) must_check;
bool config_resolve_users(struct config_reading *reading) must_check;
bool config_resolve_routes(struct config_reading *reading) must_check;

#endif
