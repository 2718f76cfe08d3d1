/*
 * pool_fake: a pool of FAKE_APPS applications whose spawner is the test: what
 * the pool asks for is written down, and the test answers.  Time stands still
 * until fake_pass().  The test's .c includes fake_clock.h.
 */
#ifndef TEST_UNIT_POOL_FAKE_H
#define TEST_UNIT_POOL_FAKE_H

#include "pool/pool.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { FAKE_APPS = 3, FAKE_EVENT_NONE = -1 };

struct fake_session {
	struct session session;
	int event;  /* the last one, or FAKE_EVENT_NONE */
	int events; /* how many */
	int order;  /* of its last event among all events */
};

extern uint64_t fake_now_ms;
extern struct loop fake_loop;
extern struct pool fake_pool;
extern struct scoreboard *fake_board;
extern struct config fake_config;
extern struct app_config fake_apps[FAKE_APPS]; /* a test may change them before it attaches or takes */

/* What the pool has asked for. */
extern unsigned fake_spawns[FAKE_APPS]; /* ever */
extern unsigned fake_retired, fake_gone_count, fake_doubts;
extern unsigned fake_oob;
extern unsigned fake_killed;  /* what a test has looked at it sets to 0: nothing else may be killed */
extern enum limit fake_limit; /* the newest that was reached */
extern const struct process *fake_last_retired;

int fake_set_up(void **state);
int fake_tear_down(void **state);

struct group *fake_group(unsigned app);
/* Turns until nothing is left for the next one. */
void fake_settle(void);
/* That much time passes, in one leap. */
void fake_pass(uint64_t ms);

struct message_process fake_record(unsigned app, int concurrency);
/* A process of the session protocol is there, and everything that follows from it has happened. */
struct process *fake_attach(unsigned app, int concurrency);
void fake_gone(struct process *process);
void fake_fail(unsigned app, const char *text, uint64_t next_try_ms);

/* A session that was never used; freed at the test's end. */
struct fake_session *fake_session(void);
/* A new one that wants any process; the answer must be this. */
struct fake_session *fake_take(unsigned app, enum group_answer answer);
/* A new one by the door; it must be active at once or wait. */
struct fake_session *fake_door(struct process *process, enum session_kind kind, bool active);

void fake_assert_event(const struct fake_session *session, int event);
void fake_assert_on(const struct fake_session *session, const struct process *process);

#endif
