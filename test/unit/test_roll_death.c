/*
 * A balancer dies at every point of a rolling restart, a drain, a full pool's turn and a back-off: whatever had been
 * said and done by then, the next one goes on from there, and what comes out is the same.
 */
#include "fake_clock.h"
#include "pool/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SIZE = 3, PROCESSES = 32, STEPS_MAX = 400, DRAIN_MS = 5000, BACKOFF_MS = 1000, STEP_MS = 20 };

/* What the spawner knows of a process. */
struct fact {
	struct message_process record;
	bool lives, told_to_stop;
	bool works; /* at a request that ends when it likes */
};

struct scenario {
	const char *name;
	int64_t max_pool_size;
	bool one_works;       /* a request that outlasts drain_timeout */
	unsigned failures;    /* starts of the new version that fail; SIZE and more: all */
	unsigned starts_most; /* of the new version, tried */
	enum group_roll ends;
};

static const struct scenario *scenario;
static struct loop loop;
static struct pool pool;
static struct scoreboard *board;
static struct app_config app;
static struct config config;
static struct fact facts[PROCESSES];
static uint32_t fact_count, generation;
static unsigned wanted; /* starts that are asked for */
static unsigned tried;  /* starts that were tried */
static unsigned killed;
static uint64_t backs_off_until_ms;
static struct session work;

/* --- the spawner ---------------------------------------------------------------------- */

static void
hook_spawn(void *owner, struct group *group)
{
	(void)owner;
	(void)group;
	wanted++;
}

static void
hook_retire(void *owner, struct process *process)
{
	(void)owner;
	facts[process->record.slot].told_to_stop = true;
}

static void
hook_reached(void *owner, struct process *process, enum limit limit, const char *how)
{
	(void)owner;
	(void)limit;
	(void)how;
	killed++;
	facts[process->record.slot].told_to_stop = true;
	facts[process->record.slot].works = false;
}

static void
hook_process(void *owner, struct process *process)
{
	(void)owner;
	(void)process;
}

static void
heard(struct session *session, enum session_event event)
{
	(void)session;
	assert_int_equal(event, SESSION_PROCESS_GONE);
}

static struct group *
group(void)
{
	struct group *found = pool_group(&pool, 0);
	assert_non_null(found);
	return found;
}

static void
attach(void)
{
	struct fact *fact = &facts[fact_count];
	assert_true(fact_count < PROCESSES);
	*fact = (struct fact){.lives = true,
	                      .record = {.slot = fact_count,
	                                 .serial = fact_count + 1,
	                                 .pid = 100 + (int32_t)fact_count,
	                                 .concurrency = 1,
	                                 .protocol = APP_PROTOCOL_SESSION,
	                                 .generation = generation,
	                                 .started_ms = fake_now_ms}};
	fact_count++;
	assert_non_null(pool_attach(&pool, &fact->record));
}

/* One start that was asked for: as spawner/spawner.c does it. */
static void
answer_spawn(void)
{
	wanted--;
	if (fake_now_ms < backs_off_until_ms) {
		pool_spawn_failed(&pool, 0, false, STR("id\nthe last report once more\n"),
		                  backs_off_until_ms - fake_now_ms);
		return;
	}
	tried++;
	if (tried > scenario->failures) {
		attach();
		return;
	}
	backs_off_until_ms = fake_now_ms + BACKOFF_MS;
	pool_spawn_failed(&pool, 0, false, STR("id\nit does not start\n"), BACKOFF_MS);
}

static bool
bury_one(void)
{
	for (uint32_t i = 0; i < fact_count; i++) {
		struct fact *fact = &facts[i];
		if (!fact->lives || !fact->told_to_stop || fact->works)
			continue;
		fact->lives = false;
		pool_gone(&pool, fact->record.slot, fact->record.serial);
		return true;
	}
	return false;
}

/* --- balancers ------------------------------------------------------------------------ */

static void
start(void)
{
	const struct pool_hooks hooks = {.spawn = hook_spawn,
	                                 .retire = hook_retire,
	                                 .reached = hook_reached,
	                                 .gone = hook_process,
	                                 .doubted = hook_process};
	pool_init(&pool, &loop, board, &hooks);
	pool_configure(&pool, &config);
	for (uint32_t i = 0; i < fact_count; i++) {
		struct message_process record = facts[i].record;
		record.retiring = facts[i].told_to_stop;
		if (facts[i].lives)
			assert_non_null(pool_attach(&pool, &record));
	}
	for (unsigned i = 0; i < wanted; i++)
		pool_spawning(&pool, 0);
	group_restart(group(), generation, false);
	pool_begin(&pool);
}

static void
die(void)
{
	if (work.state != SESSION_NONE) {
		work.state = SESSION_NONE;
		list_remove(&work.node);
	}
	for (uint32_t i = 0; i < fact_count; i++) {
		struct process *process = pool.by_slot[i];
		if (process == NULL)
			continue;
		loop_soon_cancel(&process->pump);
		timer_cancel(&loop, &process->ask_again);
		timer_cancel(&loop, &process->drain);
	}
	pool_free(&pool);
}

/* --- one run ---------------------------------------------------------------------------- */

static void
set_up_scenario(void)
{
	static const struct app_type type = {.name = "ruby", .protocol = APP_PROTOCOL_SESSION};
	static char name[] = "one";
	static struct app_config *list[1] = {&app};
	int fd;

	app = (struct app_config){.name = name,
	                          .type = &type,
	                          .thread_count = 1,
	                          .force_max_concurrent_requests_per_process = -1,
	                          .drain_timeout_ms = DRAIN_MS,
	                          .min_instances = SIZE,
	                          .max_instances = SIZE,
	                          .enabled = true};
	config = (struct config){
		.max_pool_size = scenario->max_pool_size, .max_concurrent_spawns = 4, .apps = list, .app_count = 1};
	fact_count = generation = wanted = tried = killed = 0;
	backs_off_until_ms = 0;
	board = scoreboard_create(&fd);
	assert_non_null(board);
	close(fd);
	assert_true(loop_init(&loop));
	start();
	wanted = 0;
	for (int i = 0; i < SIZE; i++)
		attach();
	loop_turn(&loop, 0);
	wanted = 0;
	if (scenario->one_works) {
		work = (struct session){.event = heard};
		assert_int_equal(group_take(group(), &work), GROUP_TAKEN);
		facts[work.process->record.slot].works = true;
	}
}

/* The smallest thing that can happen next: a turn of the balancer, a message's effect, or time. */
static void
step(unsigned number)
{
	switch (number % 3) {
	case 0:
		loop_turn(&loop, 0);
		break;
	case 1:
		if (wanted > 0)
			answer_spawn();
		break;
	case 2:
		if (!bury_one())
			fake_now_ms += STEP_MS;
		break;
	}
}

static void
assert_outcome(unsigned death)
{
	unsigned enabled = 0, newest = 0;

	list_each (&group()->processes[PROCESS_ENABLED], node) {
		const struct process *process = container_of(node, struct process, node);
		enabled++;
		newest += process->record.generation == generation;
	}
	bool sound = enabled == SIZE && newest == (scenario->ends == ROLL_NONE ? SIZE : 0) && wanted == 0 &&
	             group()->roll == scenario->ends && tried <= scenario->starts_most &&
	             killed <= (scenario->one_works && scenario->ends == ROLL_NONE ? 1 : 0);
	if (!sound)
		fail_msg("%s, death at step %u: %u processes, %u of them new, %u starts tried, %u asked for, roll %d, "
		         "%u killed",
		         scenario->name, death, enabled, newest, tried, wanted, group()->roll, killed);
}

/* death, another: before which steps the balancer dies; the number of steps that it took. */
static unsigned
run(unsigned death, unsigned another)
{
	unsigned number, quiet = 0;

	set_up_scenario();
	generation++;
	group_restart(group(), generation, false);
	for (number = 0; quiet < 60 * 3; number++) {
		assert_true(number < STEPS_MAX * 10);
		if (number == death || number == another) {
			die();
			start();
		}
		bool moves = wanted > 0 || group()->roll == ROLL_RUNNING || loop.soon.count > 0 ||
		             group()->processes[PROCESS_DETACHED].count > 0 ||
		             group()->processes[PROCESS_RETIRING].count > 0;
		quiet = moves ? 0 : quiet + 1;
		step(number);
	}
	assert_outcome(death);
	die();
	scoreboard_unmap(board);
	loop_free(&loop);
	return number;
}

static const struct scenario scenarios[] = {
	{"room for one more", SIZE + 1, false, 0, SIZE, ROLL_NONE},
	{"room for many", 20, false, 0, SIZE, ROLL_NONE},
	{"a full pool", SIZE, false, 0, SIZE, ROLL_NONE},
	{"one that works and drains", SIZE + 1, true, 0, SIZE, ROLL_NONE},
	{"a full pool, one that drains", SIZE, true, 0, SIZE, ROLL_NONE},
	{"a new version that does not start", SIZE + 1, false, 100, 1, ROLL_FAILED},
};

static void
test_every_point(void **state)
{
	unsigned runs = 0;
	(void)state;
	for (size_t i = 0; i < array_count(scenarios); i++) {
		scenario = &scenarios[i];
		unsigned steps = run(UINT32_MAX, UINT32_MAX);
		for (unsigned death = 0; death < steps; death++, runs++)
			run(death, UINT32_MAX);
		/* and twice, the second time soon after the first */
		for (unsigned death = 0; death < steps; death += 3, runs++)
			run(death, death + 1 + death % 7);
	}
	printf("%u runs\n", runs);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_point),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
