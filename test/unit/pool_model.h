/*
 * pool_model: a simple model of the pool: tables and loops over them where the
 * pool has lists and a heap.  The walk (test_pool_walk.c) does everything to
 * both; here is what the model knows, and the comparison of the two.
 */
#ifndef TEST_UNIT_POOL_MODEL_H
#define TEST_UNIT_POOL_MODEL_H

#include "pool/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MODEL_APPS = 3, MODEL_SLOTS = 48, MODEL_SESSIONS = 40 };

/* assert_true() costs a call even when it is true, and there are billions of these. */
#define must(condition)                                                                        \
	do {                                                                                   \
		if (!(condition))                                                              \
			fail_msg("step %llu of seed %llu: %s", (unsigned long long)model_step, \
			         (unsigned long long)model_seed, #condition);                  \
	} while (0)

/* Out-of-band work: leaving rotation for it, at it. */
enum model_oob { MODEL_OOB_NONE, MODEL_OOB_DISABLING, MODEL_OOB_WORKING };

struct model_process {
	bool alive, warming, enabled, retired;
	unsigned app;
	struct process *real;
	uint64_t serial;
	uint32_t generation;
	uint32_t concurrency, used, doubt, processed;
	bool can_tell, asked;
	enum model_oob oob;
	uint64_t idle_since_ms, withdrawn_ms; /* the last that left its door unserved */
};

struct model_session {
	struct session real;
	enum session_state state;
	enum session_kind kind;
	unsigned app, slot;
	uint64_t since_ms, deadline_ms, ticket;
	bool again; /* it had another wish, and queues since that left rotation */
};

struct model_app {
	uint32_t spawning;
	bool failing;
	uint64_t backoff_until_ms, attached_ms, requests;
};

extern struct loop model_loop;
extern struct pool model_pool;
extern struct config model_config;
extern struct app_config model_configs[MODEL_APPS];
extern struct model_process model_processes[MODEL_SLOTS];
extern struct model_session model_sessions[MODEL_SESSIONS];
extern struct model_app model_apps[MODEL_APPS];
extern uint64_t model_seed, model_step;
extern bool model_draining;
extern unsigned model_evicted, model_reaped, model_replaced;

/* How many there are: processes that live, spawns that are not answered, processes of app in rotation. */
uint32_t model_living(void);
uint32_t model_spawning(void);
uint32_t model_enabled(unsigned app);
/* Asked for, or warming up. */
uint32_t model_coming(unsigned app);
/* Another one is wanted in place of one: how many more may be started for that now. */
bool model_replaces(unsigned app);
/* Sessions in this state, of this application or (slot >= 0) on this process; the one that came first. */
uint32_t model_sessions_in(enum session_state state, unsigned app, int slot);
struct model_session *model_first_in(enum session_state state, unsigned app, int slot);
uint32_t model_queued(unsigned app);
/* The same by what they wait for: a place, or any process. */
uint32_t model_queued_as(unsigned app, bool needs_place);
struct model_session *model_first_queued(unsigned app, bool needs_place);
/* Balanced ones that wait for one process. */
uint32_t model_sticky(unsigned app);
/* Out of rotation: who wants this one, but would take another, queues again; the ticket says since when. */
void model_leave_rotation(unsigned slot);
uint64_t model_ticket(uint64_t since_ms);
/* What counts against max_instances. */
uint64_t model_size(unsigned app);
uint64_t model_minimum(unsigned app);
uint64_t model_maximum(unsigned app);
bool model_full(const struct model_process *process);
bool model_empty(unsigned slot);
bool model_leaves(unsigned slot);
/* The one that must be chosen, full or not; NULL: none. */
struct model_process *model_least_busy(unsigned app);
/* The pool takes processes out of rotation by itself: only idle ones, and only with a reason. */
void model_learn_of_detached(void);

/* Everything that both know is the same. */
void model_check(void);
/* Nothing is left for the next turn: then nobody waits for what there is. */
void model_check_rest(void);

#endif
