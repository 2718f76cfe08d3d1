/*
 * arguments: a command's options, one row an option: the reader and --help
 * use the same rows.  Long options ("--name VALUE", "--name=VALUE"), single
 * letters ("-v"), words, and "--" that ends the options.
 */
#ifndef OPERATOR_ARGUMENTS_H
#define OPERATOR_ARGUMENTS_H

#include "base/str.h"

enum { ARGUMENTS_OPTIONS_MAX = 16, ARGUMENTS_WORDS_MAX = 4 };

struct argument {
	const char *name;  /* "instance"; NULL ends a table */
	const char *value; /* what --help calls its value ("NAME"); NULL: a switch */
	const char *help;  /* NULL: accepted for old scripts, not shown */
	char letter;       /* 'v', or 0 */
};

struct arguments_table {
	const char *usage;              /* "passenger stop [OPTIONS]" */
	const char *help;               /* a few sentences, lines end with \n */
	const struct argument *options; /* at most ARGUMENTS_OPTIONS_MAX */
	size_t words_max;               /* at most ARGUMENTS_WORDS_MAX */
};

struct arguments {
	const char *values[ARGUMENTS_OPTIONS_MAX]; /* parallel to the table: NULL not given; a switch: "" */
	const char *words[ARGUMENTS_WORDS_MAX];
	size_t word_count;
};

enum arguments_result { ARGUMENTS_READ, ARGUMENTS_HELP, ARGUMENTS_WRONG };

/*
 * Reads argv[1] and on.  HELP: --help or -h was given, the help is printed,
 * the command ends with 0.  WRONG: the fault is printed, it ends with 2.
 */
enum arguments_result arguments_read(const struct arguments_table *table, int argc, char **argv,
                                     struct arguments *out) must_check;

/* The rows that every command for an instance has, for its table. */
#define ARGUMENT_INSTANCE                                                                           \
	{                                                                                           \
		.name = "instance", .value = "NAME", .help = "the instance, or how its name begins" \
	}
#define ARGUMENT_INSTANCE_DIR                                                      \
	{                                                                          \
		.name = "instance-dir", .value = "DIR",                            \
		.help = "where instances are (or PASSENGER_INSTANCE_REGISTRY_DIR)" \
	}

#endif
