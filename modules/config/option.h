/*
 * option: what a user can write in the ini, one row an option.  The parser,
 * passenger.ini, docs/options.md, `passenger options` and the error messages
 * all read these rows; nothing else knows an option's name.
 */
#ifndef CONFIG_OPTION_H
#define CONFIG_OPTION_H

#include "base/buf.h"
#include "base/str.h"

enum option_type {
	OPTION_STRING,   /* char *: any text; NULL when not given and no default */
	OPTION_PATH,     /* char *: absolute, or relative to the ini's folder */
	OPTION_BOOL,     /* bool: on/off, yes/no, true/false, 1/0 */
	OPTION_INT,      /* int64_t within min..max */
	OPTION_DURATION, /* uint64_t milliseconds: "10s", "500ms", "5m", "1h"; a bare number counts seconds, but
	                    milliseconds where the option's name ends in _ms */
	OPTION_BYTES,    /* uint64_t bytes: "64k", "128m", "2g", bare number = bytes, but MiB where the option's name
	                    ends in memory_limit, as in the original */
	OPTION_MODE,     /* uint32_t, octal file mode: 0660 */
	OPTION_CHOICE,   /* int: index into choices[] */
	OPTION_TYPE_N
};

enum option_section {
	OPTION_IN_PASSENGER = 1 << 0, /* [passenger] only */
	OPTION_IN_APP = 1 << 1,       /* [app NAME] only */
	OPTION_IN_LISTENER = 1 << 2,  /* [listener NAME] only */
	OPTION_IN_RUNTIME = 1 << 3,   /* [runtime NAME] only */
	/* IN_PASSENGER | IN_APP: an application's, with its default for all in [passenger] */
};

/* Where passenger.ini and docs/options.md show it. */
enum option_group {
	OPTION_GROUP_INSTANCE,
	OPTION_GROUP_LISTENERS,
	OPTION_GROUP_APPLICATION,
	OPTION_GROUP_POOL,
	OPTION_GROUP_LIMITS,
	OPTION_GROUP_BUFFERS,
	OPTION_GROUP_TIMEOUTS,
	OPTION_GROUP_LOGS,
	OPTION_GROUP_HOOKS,
	OPTION_GROUP_N
};

/* Offset of a row without a field of its own: `listen`, `env.NAME`. */
#define OPTION_NO_FIELD UINT32_MAX

enum { OPTION_EXPECTED_BYTES = 256 };

struct option {
	const char *name;     /* as in the ini: max_pool_size */
	const char *original; /* the original's name (PassengerMaxPoolSize), or NULL; several are blank-separated */
	const char *edition;  /* "open source", "enterprise" of the original, or NULL: ours alone */
	enum option_group group : 8;
	enum option_type type : 8;
	unsigned sections : 8;      /* enum option_section bits */
	bool no_reload : 1;         /* a change needs a restart of passenger */
	bool live : 1;              /* an application's: a change needs no new process */
	bool from_root : 1;         /* OPTION_PATH: a relative one is meant from the application's root */
	bool repeats : 1;           /* may be given several times; others only once a section */
	uint32_t offset;            /* into struct config, app_config or listener_config */
	const char *default_text;   /* as one would write it in the ini; NULL: none */
	const char *example;        /* shown where there is no default */
	int64_t min, max;           /* OPTION_INT, DURATION (ms), BYTES; max 0: no limit */
	const char *const *choices; /* OPTION_CHOICE, NULL-terminated */
	const char *help;           /* one or a few sentences; NULL: they are packed (config_help) */

	/* OPTION_STRING and OPTION_PATH: more than "some text".  False, and in expected a
	 * phrase that follows "expected ": "a number or a user name".  May be NULL. */
	bool (*check)(struct str text, char *expected, size_t expected_size);
};

/* A value that was read; which member counts follows from the row's type. */
union option_value {
	struct str text; /* STRING, PATH: the caller's bytes */
	bool on;
	int64_t number;
	uint64_t amount; /* DURATION in ms, BYTES */
	uint32_t mode;
	int choice;
};

/*
 * Reads one value.  On false, expected holds what the row takes, as a phrase:
 * "a whole number from 1 to 4096".
 */
bool option_parse(const struct option *option, struct str text, union option_value *value,
                  char expected[OPTION_EXPECTED_BYTES]) must_check;

/* Writes a value into the row's field of the struct at base.  Of STRING and PATH the field
 * becomes `text`, whose memory stays the caller's.  Not for OPTION_NO_FIELD. */
void option_store(const struct option *option, void *base, const union option_value *value, char *text);

/* Copies the row's field from one struct to another of the same kind. */
void option_copy(const struct option *option, void *to, const void *from);

/* Appends the field's value so that option_parse() reads the same one back, however the row is
 * named; STRING and PATH as they are.  False, and nothing appended: a NULL string. */
bool option_print(const struct option *option, const void *base, struct buf *out);

/* What the row takes, as in option_parse(). */
void option_expected(const struct option *option, char expected[OPTION_EXPECTED_BYTES]);

#endif
