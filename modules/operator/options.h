/*
 * options: `passenger options` prints what the ini can have.
 */
#ifndef OPERATOR_OPTIONS_H
#define OPERATOR_OPTIONS_H

#include "operator/command.h"

/* --ini (the default) prints passenger.ini, --markdown docs/options.md; argv[0] is the command's name. */
int options_command(int argc, char **argv);

extern const struct command command_options;

#endif
