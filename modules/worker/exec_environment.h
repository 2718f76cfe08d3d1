/*
 * exec_environment: the variables of the application that `passenger exec`
 * becomes: those of the plan, those of its env_file, those that a login shell
 * has made.  Runs as the application's user.
 */
#ifndef WORKER_EXEC_ENVIRONMENT_H
#define WORKER_EXEC_ENVIRONMENT_H

#include "worker/plan.h"

enum {
	EXEC_VARIABLES_MAX = 4096,
	EXEC_ENV_FILE_BYTES_MAX = 64 * 1024,
};

/* shell: NULL, or the environment that a login shell has left to us.  NULL-terminated, from malloc, with
 * the strings of its sources; NULL and a sentence. */
const char **exec_environment(const struct plan_read *plan, char *const *shell, char error[PLAN_ERROR_BYTES]) must_check;
/* Of one of these; NULL when it is not there. */
const char *exec_environment_value(const char *const *variables, struct str name);

#endif
