/*
 * app_type: the plugin row.  One const struct a language; passenger.c lists
 * them.  Nothing outside modules/apps/ names a language.
 */
#ifndef CONFIG_APP_TYPE_H
#define CONFIG_APP_TYPE_H

#include "config/config.h"

/* How the balancer talks to a process. */
enum app_protocol {
	APP_PROTOCOL_SESSION, /* docs/session-protocol.md */
	APP_PROTOCOL_HTTP,    /* HTTP/1.1 */
};

/* How a process is reached and how it tells that it is ready. */
enum app_readiness {
	APP_READY_PORT,   /* binds 127.0.0.1:$PORT itself; ready when the port is listened on by it or a descendant */
	APP_READY_SOCKET, /* binds the unix socket $PASSENGER_SOCKET itself; ready when its user listens there */
	APP_READY_DESCRIPTOR, /* listening unix socket on fd 3, as systemd passes one; ready when it has accepted a connection */
	APP_READY_CONTROL, /* listening unix socket on fd 3, READY line on fd 4 */
	APP_READY_N
};

/* Whether its loader can load an application once and be forked, and whether spawn_method = auto has it do so. */
enum app_preload { APP_PRELOAD_NEVER, APP_PRELOAD_WHEN_ASKED, APP_PRELOAD_ALWAYS };

enum { APP_STARTUP_FILES_MAX = 8, APP_ARGV_MAX = 64 };

struct app_argv {
	char *words[APP_ARGV_MAX + 1]; /* NULL-terminated, from malloc */
	size_t count;
};
void app_argv_add(struct app_argv *argv, struct str word); /* aborts when full: rows add few words */
void app_argv_free(struct app_argv *argv);
/*
 * Splits as a shell does: blanks, '…', "…", backslash.  $NAME and ${NAME} outside of '…' become references, which
 * `passenger exec` replaces with the variable's value.  false: unbalanced or too many words.
 */
bool app_argv_split(struct app_argv *argv, struct str command) must_check;

/* Around a variable's name in a word; control bytes, so they are in no line of an ini. */
enum { APP_REFERENCE_BEGIN = 1, APP_REFERENCE_END = 2 };
/* Takes a reference off the front of *rest, or the text before it (then *name is empty); false: nothing is left. */
bool app_reference_next(struct str *rest, struct str *text, struct str *name);
struct buf;
/* Appends the word for people: references stand again as they were written. */
void app_reference_show(struct buf *out, const char *word);

struct app_type {
	const char *name;  /* "ruby"; what `type =` takes */
	const char *title; /* "Ruby (Rack)" */
	enum app_protocol protocol;
	enum app_readiness readiness; /* where it takes a command: what `readiness` and the command say goes before this */
	int64_t concurrency;          /* of a process when it does not say itself; 0: unlimited */
	enum app_preload preload;
	const char *startup_files[APP_STARTUP_FILES_MAX]; /* detection: first that exists in root; NULL-terminated */
	const char *startup_file; /* what to start when none of these is it; NULL: the one that was found */
	/* True when the application's own options say what to start, so that none of these files has to be there.  May be NULL. */
	bool (*starts_without_file)(const struct app_config *app);
	bool takes_command; /* runs `command =`: then it is the type when `type` is not written; others refuse `command` */
	int detect_score;             /* 0..100 when one of these exists; the highest wins */
	const struct option *options; /* its own, by offset = index into type_values; the interpreter first */
	size_t option_count;

	/* A signal at which the program writes its stacks to its standard error by itself, even when its loader does
	 * not answer; 0: none.  fatal: it ends by it, so that only one that is to be killed is asked so. */
	int dump_signal;
	bool dump_is_fatal;

	/* The loader, packed by gzip; NULL for programs that are run as they are.  The spawner
	 * writes it to <instance>/loaders/<loader_name>.gz, and to <loader_name> the line of the
	 * language itself that unpacks and runs it. */
	const unsigned char *loader;
	const size_t *loader_size;
	const char *loader_name; /* "ruby.rb" */
	const char *loader_line;

	/* For `passenger check`: the interpreter's option before a program that says its version, and in lines that begin with
	 * "!" what is missing, with "?" what is odd.  Its arguments: the values of the type's options.  NULL: none. */
	const char *probe_option, *probe;

	/* More than "is there a startup file": false and a sentence in error when the
	 * application's options can not work (missing command, …).  May be NULL. */
	bool (*check)(const struct app_config *app, char *error, size_t error_size);

	/* What to execute, interpreter first; loader_path is NULL when there is none.  False and a sentence in error. */
	bool (*argv)(const struct app_config *app, const char *loader_path, struct app_argv *argv, char *error,
	             size_t error_size);
};

/* A type by configuration alone: [runtime NAME].  The built-in type that takes a command is what it is made of. */
struct runtime_config {
	struct app_type type;
	char *detect; /* file names with blanks between; NULL: only by `type = NAME` */
	char *command;
	char *startup_file;
	char *interpreter;
	int64_t weight;
	int64_t concurrency;
	char *protocol; /* "http": there is no other */
	int readiness;
	uint32_t line; /* of its heading */
};

#endif
