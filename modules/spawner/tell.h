/*
 * tell: the spawner's side of the messages to the balancer.
 */
#ifndef SPAWNER_TELL_H
#define SPAWNER_TELL_H

#include "spawner/core.h"

/* fd: -1 for none; it stays the caller's. */
void tell(struct spawner *spawner, const struct message *message, int fd);
/* A message that is its type, one number and a descriptor. */
void tell_simple(struct spawner *spawner, enum message_type type, uint64_t number, int fd);
/* The one that hands over counts what the other one has asked for. */
void tell_spawning_before(struct spawner *spawner, uint32_t app_id);
/* MESSAGE_PROCESS with its door. */
void tell_process(struct spawner *spawner, const struct worker *worker);
/* A message about a worker, with a text. */
void tell_of_worker(struct spawner *spawner, enum message_type type, const struct worker *worker, const char *text);
/* The configuration as the balancer gets it: a sealed memfd, or -1 and errno. */
int tell_config_fd(const struct config *config) must_check;
/* MESSAGE_RESTART of the generation that is wanted now. */
void tell_restart(struct spawner *spawner, uint32_t app_id, bool at_once);
/* From now on control.mark is another one: when the balancer says it, it has taken up what was told before. */
void tell_mark(struct spawner *spawner);
/* Everything that a new balancer has to know, in the order of handover/message.h. */
void tell_everything(struct spawner *spawner);

/* fd -1, or empty: there is none.  The descriptor stays the caller's. */
void tell_long_text(struct spawner *spawner, uint32_t app_id, enum message_long_text which, struct str text);
/* Whether the application is in maintenance, and its page. */
void tell_maintenance(struct spawner *spawner, const struct app_config *app);
/* A start has failed; cold: of a process that it knows (MESSAGE_SPAWN_FAILED). */
void tell_failure(struct spawner *spawner, const struct app_config *app, const struct worker *cold,
                  const struct failure *failure, uint64_t wait_ms);

#endif
