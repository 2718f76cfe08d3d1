/*
 * exec: `passenger exec`, the command between the spawner and an application:
 * it takes a plan on descriptor PLAN_FD_PLAN, gives every right away that the
 * application shall not have, and becomes the application.  What goes wrong is
 * one sentence on PLAN_FD_ERROR.
 */
#ifndef WORKER_EXEC_H
#define WORKER_EXEC_H

/* Does not return when all is well; else 1. */
int exec_command(int argc, char **argv);

#endif
