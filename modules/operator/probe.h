/*
 * probe: asks an interpreter what it is and what an application lacks, as the
 * user, in the folder and with the environment that the application would have:
 * `passenger exec` becomes it, as it would become the application.
 */
#ifndef OPERATOR_PROBE_H
#define OPERATOR_PROBE_H

#include "config/app_type.h"
#include "worker/plan.h"

struct probe {
	struct buf text;         /* what it wrote; the others lie in it */
	const char *path;        /* of the interpreter; NULL: it is not there */
	const char *version;     /* NULL: not known */
	const char *other;       /* the last line before that of the path */
	const char *missing[16]; /* sentences */
	const char *notes[16];
	size_t missing_count, note_count;
};

/* What serve would start for it, in a plan to be freed by plan_draft_free().  False and a sentence. */
bool probe_plan(const struct app_config *app, struct plan_draft *draft, char *sentence, size_t sentence_size) must_check;

/* app: as it is configured; of one that is none root, uid, gid and type have to be there. */
void probe_run(struct probe *probe, const struct app_config *app, const char *interpreter);
void probe_free(struct probe *probe);

#endif
