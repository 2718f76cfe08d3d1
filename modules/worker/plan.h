/*
 * plan: all that `passenger exec` has to do to become an application process,
 * written by the spawner into a sealed memfd.  It names no password and holds
 * nothing that the application may not know.
 */
#ifndef WORKER_PLAN_H
#define WORKER_PLAN_H

#include "base/buf.h"
#include "system/cgroup.h"
#include "config/config.h"

enum {
	PLAN_WORDS_MAX = 1024, /* arguments and variables together */
	PLAN_BYTES_MAX = 1024 * 1024,
	PLAN_ERROR_BYTES = 1024,

	/* The child's descriptors when `passenger exec` begins. */
	PLAN_FD_LISTEN = 3,  /* kept; loaders, and programs that are passed a socket */
	PLAN_FD_CONTROL = 4, /* loaders only, kept */
	PLAN_FD_PLAN = 5,
	PLAN_FD_ERROR = 6,   /* a sentence when it fails; end of file when the application runs */
	PLAN_FD_PROGRAM = 7, /* while a login shell runs: this program */
};

struct plan {
	uint32_t magic;
	int32_t parent; /* the spawner's pid: without it the process must not live */
	uint32_t uid, gid;
	uint32_t readiness; /* enum app_readiness: which of PLAN_FD_LISTEN and PLAN_FD_CONTROL stay open */
	uint32_t argument_count, variable_count;
	/* Of the variables the first are what a login shell may change (soft); up to `ours` what the env_file may
	 * change; the others hold. */
	uint32_t soft_count, ours_count;
	uint32_t limit_count;
	struct config_rlimit limits[CONFIG_RLIMITS_MAX];
	uint64_t descriptors_soft; /* RLIMIT_NOFILE as we were given it; what limits say goes before */
	struct cgroup_entrances cgroups;
	char user[64]; /* whose supplementary groups; "": none */
	uint32_t word_bytes;
	/* then, each terminated: root, env_file, login shell ("": none), arguments …, variables "NAME=VALUE" … */
};

/* A plan being written. */
struct plan_draft {
	struct plan head;
	struct buf words;
};

/* env_file, shell: "" for none */
void plan_draft_init(struct plan_draft *draft, const char *root, const char *env_file, const char *shell);
void plan_draft_argument(struct plan_draft *draft, const char *word); /* all of them before the first variable */
void plan_draft_variable(struct plan_draft *draft, const char *name, const char *value);
void plan_draft_free(struct plan_draft *draft);
/* A sealed memfd with it; -1 and errno (E2BIG: too much). */
int plan_draft_seal(const struct plan_draft *draft) must_check;

/* A plan as read; everything lies in one block from malloc. */
struct plan_read {
	const struct plan *head;
	const char *root, *env_file, *shell;
	const char *arguments[PLAN_WORDS_MAX + 1]; /* NULL-terminated */
	const char *variables[PLAN_WORDS_MAX + 1];
};

bool plan_read(struct plan_read *plan, int fd) must_check;
void plan_release(struct plan_read *plan);

#endif
