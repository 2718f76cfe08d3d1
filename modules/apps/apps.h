/*
 * apps: the application types that this binary knows.  One row a language, each
 * in a file of its own; passenger.c lists them.
 */
#ifndef APPS_APPS_H
#define APPS_APPS_H

#include "config/app_type.h"

extern const struct app_type app_type_ruby;
extern const struct app_type app_type_python;
extern const struct app_type app_type_node;
extern const struct app_type app_type_command;

/* All of them, NULL-terminated, most specific first; defined in passenger.c. */
extern const struct app_type *const app_types[];

#endif
