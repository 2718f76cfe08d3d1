/*
 * config_fields: the short words in which the tables of options say where a
 * value goes and how far it may go.
 */
#ifndef CONFIG_CONFIG_FIELDS_H
#define CONFIG_CONFIG_FIELDS_H

#include "config/internal.h"

#include <stddef.h>

/* The help of a row in the table, which build.sh takes from here (config_help.c). */
#ifndef HELP
#define HELP(text) NULL
#endif

#define IN_BOTH (OPTION_IN_PASSENGER | OPTION_IN_APP)
#define OPEN_SOURCE "open source"
#define ENTERPRISE "enterprise"

#define OF_CONFIG(field) .sections = OPTION_IN_PASSENGER, .offset = offsetof(struct config, field)
#define OF_LISTENER(field) .sections = OPTION_IN_LISTENER, .offset = offsetof(struct listener_config, field)
#define OF_RUNTIME(field) .sections = OPTION_IN_RUNTIME, .offset = offsetof(struct runtime_config, field)
#define OF_APP(field) .sections = OPTION_IN_APP, .offset = offsetof(struct app_config, field)
#define OF_APPS(field) .sections = IN_BOTH, .offset = offsetof(struct app_config, field)

/* A year: whatever is longer is a slip, and sums of times stay far from overflow. */
#define TIME_MAX (INT64_C(365) * 24 * 3600 * 1000)
#define KIB (INT64_C(1) << 10)
#define GIB (INT64_C(1) << 30)
#define TIB (INT64_C(1) << 40)

#endif
