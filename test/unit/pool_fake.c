#include "pool_fake.h"

#include <stdlib.h>
#include <unistd.h>

enum { FAKE_SESSIONS = 65536 };

struct loop fake_loop;
struct pool fake_pool;
struct scoreboard *fake_board;
struct config fake_config;
struct app_config fake_apps[FAKE_APPS];
unsigned fake_spawns[FAKE_APPS];
unsigned fake_killed, fake_oob;
enum limit fake_limit;
unsigned fake_retired, fake_gone_count, fake_doubts;
const struct process *fake_last_retired;

static const struct app_type fake_type = {.name = "ruby", .protocol = APP_PROTOCOL_SESSION};
static struct app_config *fake_app_list[FAKE_APPS];
static struct fake_session *fake_sessions[FAKE_SESSIONS];
static unsigned fake_session_count;
static int fake_order;
static uint32_t fake_slot;
static uint64_t fake_serial;

/* ---- hooks ---- */

static void
hook_spawn(void *owner, struct group *group)
{
	(void)owner;
	fake_spawns[group->app->id]++;
}

static void
hook_retire(void *owner, struct process *process)
{
	(void)owner;
	assert_int_equal(process->state, PROCESS_RETIRING);
	fake_retired++;
	fake_last_retired = process;
}

static void
hook_reached(void *owner, struct process *process, enum limit limit, const char *why)
{
	(void)owner;
	(void)process;
	assert_non_null(why);
	fake_limit = limit;
	if (limit != LIMIT_MEMORY)
		fake_killed++;
}

static void
hook_gone(void *owner, struct process *process)
{
	(void)owner;
	assert_int_equal(process->active.count, 0);
	assert_int_equal(process->waiting.count, 0);
	fake_gone_count++;
}

static void
hook_oob(void *owner, struct process *process)
{
	(void)owner;
	assert_int_equal(process->state, PROCESS_DISABLED);
	fake_oob++;
}

static void
hook_doubted(void *owner, struct process *process)
{
	(void)owner;
	assert_true(process->doubt > 0);
	fake_doubts++;
}

/* ---- set up ---- */

static void
make_app(unsigned i)
{
	static char names[FAKE_APPS][8] = {"one", "two", "three"};
	fake_apps[i] = (struct app_config){
		.id = i,
		.name = names[i],
		.type = &fake_type,
		.thread_count = 1,
		.force_max_concurrent_requests_per_process = -1,
		.pool_idle_time_ms = 0,
		.drain_timeout_ms = 60000,
		.enabled = true,
	};
	fake_app_list[i] = &fake_apps[i];
}

int
fake_set_up(void **state)
{
	const struct pool_hooks hooks = {
		.spawn = hook_spawn,
		.retire = hook_retire,
		.reached = hook_reached,
		.gone = hook_gone,
		.oob = hook_oob,
		.doubted = hook_doubted,
	};
	int fd;
	(void)state;
	for (unsigned i = 0; i < FAKE_APPS; i++) {
		make_app(i);
		fake_spawns[i] = 0;
	}
	fake_config = (struct config){
		.max_pool_size = 100, .max_concurrent_spawns = 4, .apps = fake_app_list, .app_count = FAKE_APPS};
	fake_killed = fake_oob = 0;
	fake_limit = LIMIT_NONE;
	fake_retired = fake_gone_count = fake_doubts = 0;
	fake_last_retired = NULL;
	fake_slot = 0;
	fake_board = scoreboard_create(&fd);
	if (fake_board == NULL || !loop_init(&fake_loop))
		return -1;
	close(fd);
	pool_init(&fake_pool, &fake_loop, fake_board, &hooks);
	pool_configure(&fake_pool, &fake_config);
	pool_begin(&fake_pool);
	return 0;
}

int
fake_tear_down(void **state)
{
	(void)state;
	for (unsigned i = 0; i < fake_session_count; i++) {
		session_end(&fake_sessions[i]->session);
		free(fake_sessions[i]);
	}
	fake_session_count = 0;
	assert_int_equal(fake_killed, 0);
	pool_free(&fake_pool);
	loop_free(&fake_loop);
	scoreboard_unmap(fake_board);
	return 0;
}

/* ---- what a test does ---- */

struct group *
fake_group(unsigned app)
{
	struct group *group = pool_group(&fake_pool, app);
	assert_non_null(group);
	return group;
}

void
fake_settle(void)
{
	int turns = 0;
	do {
		loop_turn(&fake_loop, 0);
		assert_true(turns++ < 100); /* else it never comes to rest */
	} while (fake_loop.soon.count > 0 || fake_loop.graves.count > 0);
}

void
fake_pass(uint64_t ms)
{
	fake_now_ms += ms;
	fake_settle();
}

struct message_process
fake_record(unsigned app, int concurrency)
{
	fake_serial++;
	return (struct message_process){
		.app_id = app,
		.slot = fake_slot++,
		.serial = fake_serial,
		.pid = 1000 + (int32_t)fake_serial,
		.concurrency = concurrency,
		.protocol = APP_PROTOCOL_SESSION,
		.generation = app < FAKE_APPS ? fake_group(app)->generation : 0,
		.started_ms = fake_now_ms,
		.start_ms = 500, /* its turn is POOL_PATIENCE_MS */
	};
}

struct process *
fake_attach(unsigned app, int concurrency)
{
	struct message_process record = fake_record(app, concurrency);
	struct process *process = pool_attach(&fake_pool, &record);
	assert_non_null(process);
	fake_settle();
	return process;
}

void
fake_gone(struct process *process)
{
	pool_gone(&fake_pool, process->record.slot, process->record.serial);
	fake_settle();
}

void
fake_fail(unsigned app, const char *text, uint64_t next_try_ms)
{
	pool_spawn_failed(&fake_pool, app, false, str_from(text), next_try_ms);
	fake_settle();
}

static void
session_heard(struct session *session, enum session_event event)
{
	struct fake_session *fake = container_of(session, struct fake_session, session);
	assert_int_equal(session->state, event == SESSION_READY         ? SESSION_ACTIVE
	                                 : event == SESSION_TUNNEL_OVER ? SESSION_TUNNEL
	                                                                : SESSION_NONE);
	fake->event = (int)event;
	fake->events++;
	fake->order = ++fake_order;
}

struct fake_session *
fake_session(void)
{
	struct fake_session *fake = calloc(1, sizeof(*fake));
	assert_non_null(fake);
	assert_true(fake_session_count < FAKE_SESSIONS);
	fake_sessions[fake_session_count++] = fake;
	fake->event = FAKE_EVENT_NONE;
	fake->session.event = session_heard;
	fake->session.label.method = STR("GET");
	fake->session.label.path = STR("/path");
	fake->session.label.client = STR("192.0.2.1:5");
	fake->session.label.id = STR("id");
	return fake;
}

struct fake_session *
fake_take(unsigned app, enum group_answer answer)
{
	struct fake_session *fake = fake_session();
	assert_int_equal(group_take(fake_group(app), &fake->session), answer);
	assert_int_equal(fake->session.state, answer == GROUP_TAKEN   ? SESSION_ACTIVE
	                                      : answer == GROUP_WAITS ? SESSION_QUEUED
	                                                              : SESSION_NONE);
	return fake;
}

struct fake_session *
fake_door(struct process *process, enum session_kind kind, bool active)
{
	struct fake_session *fake = fake_session();
	fake->session.kind = kind;
	assert_int_equal(process_take(process, &fake->session, process->group->app->direct_wait_ms), active);
	assert_int_equal(fake->session.state, active ? SESSION_ACTIVE : SESSION_AT_DOOR);
	return fake;
}

void
fake_assert_event(const struct fake_session *session, int event)
{
	assert_int_equal(session->event, event);
	assert_int_equal(session->events, event == FAKE_EVENT_NONE ? 0 : 1);
}

void
fake_assert_on(const struct fake_session *session, const struct process *process)
{
	assert_int_equal(session->session.state, SESSION_ACTIVE);
	assert_ptr_equal(session->session.process, process);
}
