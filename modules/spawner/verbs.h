/*
 * verbs: what an operator can ask of the spawner, over the control socket or
 * by a signal, and who may.
 */
#ifndef SPAWNER_VERBS_H
#define SPAWNER_VERBS_H

#include "spawner/core.h"

/* As evidence_store.answered. */
void verbs_evidence(struct evidence_store *store, uint64_t who, int fd, const char *text);

extern const struct control_events verbs_control_events;

/* Opens all logs anew and hands them on; false and a sentence. */
bool verbs_reopen_logs(struct spawner *spawner, char *error, size_t error_size);

#endif
