/*
 * identity: which uid and gid the balancer runs as.
 */
#ifndef WORKER_IDENTITY_H
#define WORKER_IDENTITY_H

#include "config/config.h"

enum { IDENTITY_ERROR_BYTES = 256 };

/* Ours when we are not root; else that of the option `user`, else a uid that no account,
 * no application and no process on this machine has.  False and a sentence. */
bool identity_of_balancer(const struct config *config, uint32_t *uid, uint32_t *gid,
                          char error[IDENTITY_ERROR_BYTES]) must_check;

/* From here on the file system shows us what this user may see; (0, 0) ends it.  Nothing, when we are not root. */
void identity_see_as(uint32_t uid, uint32_t gid);

/* The account's name, or the number. */
void identity_user_name(uint32_t uid, char *out, size_t out_size);
void identity_group_name(uint32_t gid, char *out, size_t out_size);

#endif
