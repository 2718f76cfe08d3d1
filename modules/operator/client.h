/*
 * client: finds a running instance and asks it one thing over its control
 * socket.  It decides nothing and trusts nothing: an answer is checked whole
 * before it is used.  What goes wrong is said on standard error, once, here.
 */
#ifndef OPERATOR_CLIENT_H
#define OPERATOR_CLIENT_H

#include "base/buf.h"
#include "handover/control.h"
#include "handover/instance.h"

/* Patient: on a machine that is short of processors and memory, one wait4() of the spawner has been seen to spin in the
 * kernel for more than 5 s. */
enum { CLIENT_DEADLINE_MS = 15000, CLIENT_REGISTRIES_MAX = 2 };

/* Which instance is meant. */
struct client_target {
	const char *instance_dir; /* --instance-dir; NULL: PASSENGER_INSTANCE_REGISTRY_DIR or the usual places */
	const char *name;         /* --instance: its name or how that begins; NULL: there is only one */
};

enum client_found {
	CLIENT_FOUND,
	CLIENT_NOT_RUNNING, /* none, or none of this name */
	CLIENT_AMBIGUOUS,   /* several; they were listed */
};

/* Living instances that the target's directory or the usual places hold (dead ones too when with_dead), the
 * name not regarded: a list from malloc for the caller, *count long.  NULL when the directory's name is too
 * long; it was said. */
struct instance *client_list(const struct client_target *target, bool with_dead, size_t *count) must_check;

/* The one that is meant.  Why it was not found is said. */
enum client_found client_find(const struct client_target *target, struct instance *instance) must_check;

/* The instance's lines of a list for people: head, rule, one line each. */
void client_append_list(struct buf *out, const struct instance *instances, size_t count);

enum client_result {
	CLIENT_ANSWERED, /* *answer is whole */
	CLIENT_TIMEOUT,  /* only from client_receive */
	CLIENT_GONE,     /* the instance closed the connection without an answer; said nothing */
	CLIENT_FAILED,   /* it was said */
};

/* Connects and asks.  A descriptor, or -1: it was said. */
int client_send(const struct instance *instance, const struct control_request *request) must_check;
/* With a descriptor, which stays the caller's; -1: none. */
int client_send_with(const struct instance *instance, const struct control_request *request, int passed) must_check;

/* Waits for the answer and, when there is one with it, the descriptor (else *fd = -1). */
enum client_result client_receive(const struct instance *instance, int connection, int timeout_ms,
                                  struct control_answer *answer, int *fd) must_check;

/* Both in one, with CLIENT_DEADLINE_MS; true when there is an answer, false: it was said. */
bool client_ask(const struct instance *instance, const struct control_request *request, struct control_answer *answer,
                int *fd) must_check;

/* What a command ends with (enum command_exit); a refusal's or failure's text goes to standard error. */
int client_exit_code(const struct instance *instance, const struct control_answer *answer);

/* All bytes of a snapshot that the answer announces; false: it was said.  Takes fd. */
bool client_read_snapshot(int fd, uint64_t bytes, struct buf *out) must_check;

#endif
