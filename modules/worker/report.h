/*
 * report: what a person wants to see of a process that could not be started,
 * besides what it said: its program, its user, its limits, its variables.  The
 * values of variables that the configuration gives are secrets until the
 * contrary is known, and are left out.
 *
 * Text: sections, each a line "== Title" and lines after it.
 */
#ifndef WORKER_REPORT_H
#define WORKER_REPORT_H

#include "config/config.h"

/* In place of what is in out.  plan_fd: what it was started with, or -1. */
void report_write(struct buf *out, const struct app_config *app, int plan_fd);

#endif
