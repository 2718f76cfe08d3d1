/*
 * sandbox: how a role gives its rights away.  Every step is checked, and
 * checked again by asking the kernel: a half-dropped privilege is a failure.
 */
#ifndef SYSTEM_SANDBOX_H
#define SYSTEM_SANDBOX_H

#include "base/str.h"

enum { SANDBOX_ERROR_BYTES = 160 };

/* The identity of an application or of the balancer: supplementary groups, gid
 * and uid (real, effective, saved), in that order, verified.  With user the
 * groups are those of /etc/group for it, without it none but gid.  We must be
 * root, or uid and gid must be ours already (then nothing is changed).
 * False and a sentence. */
bool sandbox_identity(uint32_t uid, uint32_t gid, const char *user, char error[SANDBOX_ERROR_BYTES]) must_check;

/* All that the balancer does before its first byte from the network, but for
 * the system call filter: identity, no new privileges, no core dumps, not
 * dumpable (so that no process of any other role reads its memory), killed
 * when the parent dies.  False and a sentence. */
bool sandbox_drop(uint32_t uid, uint32_t gid, char error[SANDBOX_ERROR_BYTES]) must_check;

/* Only the system calls that a balancer makes; every other one fails with
 * EPERM.  Needs sandbox_drop() before.  False and a sentence. */
bool sandbox_seccomp_balancer(char error[SANDBOX_ERROR_BYTES]) must_check;

#endif
