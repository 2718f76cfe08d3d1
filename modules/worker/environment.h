/*
 * environment: what an application process is started with, as a plan: its
 * arguments, its variables, its user, its limits.  All that is known to
 * the spawner; what only the user himself can read (env_file, a login shell's
 * start files) is added by `passenger exec`.
 *
 * From the weakest to the strongest: PATH and language settings · the login
 * shell · HOME, RAILS_ENV and what else passenger gives · env_file · env.NAME · PORT and what else its readiness gives
 */
#ifndef WORKER_ENVIRONMENT_H
#define WORKER_ENVIRONMENT_H

#include "worker/plan.h"
#include "worker/worker.h"

/* The plan of this worker's process, to be freed by plan_draft_free().  False and a sentence. */
bool environment_plan(struct worker *worker, struct plan_draft *draft, char *sentence, size_t sentence_size) must_check;

/* PATH, HOME and the like, user and groups of a program that is no application.  After its arguments. */
void environment_of_user(struct plan_draft *draft, uint32_t uid, uint32_t gid);

#endif
