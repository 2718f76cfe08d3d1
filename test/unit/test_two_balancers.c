/*
 * Two pools on one scoreboard, as while one balancer takes over from another: a random walk of requests, hand-overs and
 * deaths.  Whatever happens, no process is given more than it has places, and in the end everybody who waits is served.
 */
#include "fake_clock.h"
#include "pool/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { PROCESSES = 4, EXCHANGES = 64, SHOWN = 3 };

/* One that a process works at, whoever knows of it. */
struct exchange {
	struct session session; /* SESSION_NONE: nobody's any more */
	int pool;               /* whose session it is; -1: of a dead one, or given up */
	int slot;               /* of the process that works at it; -1: none yet, or it has ended */
};

static struct loop loop;
static struct scoreboard *board, *figures;
static struct app_config app;
static struct config config;
static struct pool pools[2]; /* by column */
static bool lives[2], hands_over[2];
static struct message_process records[PROCESSES];
static struct exchange exchanges[EXCHANGES];
static unsigned pings[2][PROCESSES]; /* asked and not answered */
static unsigned served, hand_overs, deaths, most;

static uint32_t
roll(uint32_t sides)
{
	static uint64_t seed = 88172645463325252ull;
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 33) % sides;
}

static void
hook_group(void *owner, struct group *group)
{
	(void)owner;
	(void)group;
}

static void
hook_process(void *owner, struct process *process)
{
	(void)owner;
	(void)process;
}

static void
hook_limit(void *owner, struct process *process, enum limit limit, const char *why)
{
	(void)owner;
	(void)process;
	(void)limit;
	fail_msg("%s", why);
}

static void
hook_doubted(void *owner, struct process *process)
{
	struct pool *pool = owner;
	pings[pool - pools][process->record.slot]++;
}

static void
heard(struct session *session, enum session_event event)
{
	struct exchange *exchange = container_of(session, struct exchange, session);
	assert_int_equal(event, SESSION_READY);
	exchange->slot = (int)session->process->record.slot;
}

/* What the processes really do. */
static unsigned
running(int slot)
{
	unsigned count = 0;
	for (int i = 0; i < EXCHANGES; i++)
		count += exchanges[i].slot == slot;
	return count;
}

static void
settle(void)
{
	for (int turn = 0; turn == 0 || loop.soon.count > 0 || loop.graves.count > 0; turn++) {
		loop_turn(&loop, 0);
		assert_true(turn < 100);
	}
}

static void
check(void)
{
	for (int slot = 0; slot < PROCESSES; slot++) {
		uint64_t word = atomic_load(&board->processes[slot].claims);
		unsigned held = 0, at_work = running(slot);
		if (at_work > (unsigned)records[slot].concurrency)
			fail_msg("process %d has %u requests and %d places", slot, at_work, records[slot].concurrency);
		most += at_work == (unsigned)records[slot].concurrency;
		for (int column = 0; column < 2; column++) {
			uint32_t claimed = (uint32_t)(word >> (32 * column));
			const struct process *process = lives[column] ? pools[column].by_slot[slot] : NULL;
			if (process != NULL)
				assert_int_equal(claimed, process->places + process->doubt);
			held += claimed;
		}
		assert_true(held >= at_work && held <= (unsigned)records[slot].concurrency);
	}
}

/* --- balancers --------------------------------------------------------------------- */

static void
start(int column)
{
	const struct pool_hooks hooks = {.spawn = hook_group,
	                                 .retire = hook_process,
	                                 .reached = hook_limit,
	                                 .gone = hook_process,
	                                 .doubted = hook_doubted,
	                                 .owner = &pools[column]};
	memset(pings[column], 0, sizeof(pings[column]));
	pool_init(&pools[column], &loop, board, &hooks);
	pools[column].column = (uint32_t)column;
	if (lives[1 - column])
		pool_accompany(&pools[column], true);
	pool_configure(&pools[column], &config);
	for (int slot = 0; slot < PROCESSES; slot++)
		assert_non_null(pool_attach(&pools[column], &records[slot]));
	pool_begin(&pools[column]);
	lives[column] = true;
	hands_over[column] = false;
}

/* What it had goes on in the processes; who waited with it is gone. */
static void
die(int column)
{
	for (int i = 0; i < EXCHANGES; i++) {
		if (exchanges[i].pool != column)
			continue;
		timer_cancel(&loop, &exchanges[i].session.timer);
		exchanges[i].session.state = SESSION_NONE;
		exchanges[i].session.node = (struct list_node){0};
		exchanges[i].pool = -1;
	}
	for (int slot = 0; slot < PROCESSES; slot++) {
		struct process *process = pools[column].by_slot[slot];
		loop_soon_cancel(&process->pump);
		timer_cancel(&loop, &process->ask_again);
		list_init(&process->active);
		list_init(&process->waiting);
	}
	list_init(&pool_group(&pools[column], 0)->queue);
	pool_free(&pools[column]);
	lives[column] = false;
}

/* As the spawner goes on after it. */
static void
end_one(int column)
{
	bool handed_over = hands_over[column];
	die(column);
	if (handed_over)
		pool_accompany(&pools[1 - column], false);
	else
		start(column);
}

static void
begin_hand_over(int column)
{
	start(1 - column);
	pool_hand_over(&pools[column], figures);
	hands_over[column] = true;
	hand_overs++;
}

/* --- requests ------------------------------------------------------------------------ */

static void
take(int column)
{
	struct exchange *exchange = &exchanges[roll(EXCHANGES)];
	if (exchange->pool >= 0 || exchange->slot >= 0)
		return;
	*exchange = (struct exchange){.pool = column, .slot = -1, .session.event = heard};
	if (roll(4) == 0) {
		struct process *process = pools[column].by_slot[roll(PROCESSES)];
		exchange->session.kind = SESSION_DIRECT;
		if (process_take(process, &exchange->session, 1u << 30))
			exchange->slot = (int)process->record.slot;
		return;
	}
	switch (group_take(pool_group(&pools[column], 0), &exchange->session)) {
	case GROUP_TAKEN:
		exchange->slot = (int)exchange->session.process->record.slot;
		break;
	case GROUP_WAITS:
		break;
	default:
		fail_msg("a request was not taken");
	}
}

static void
answer_pings(int slot)
{
	for (int column = 0; column < 2; column++) {
		unsigned known = 0;
		for (int i = 0; i < EXCHANGES; i++)
			known += exchanges[i].slot == slot && exchanges[i].pool < 0;
		/* as many answers as threads are free that nobody has said anything of */
		struct process *process = lives[column] ? pools[column].by_slot[slot] : NULL;
		while (process != NULL && pings[column][slot] > 0 && process->doubt > known) {
			pings[column][slot]--;
			process_trust(process);
		}
	}
}

static void
step_exchange(struct exchange *exchange)
{
	int slot = exchange->slot;
	bool gives_up = roll(4) == 0;
	if (exchange->pool >= 0 && gives_up) {
		if (slot < 0 || exchange->session.kind == SESSION_BYPASS)
			session_end(&exchange->session);
		else
			session_abandon(&exchange->session);
		exchange->pool = -1;
		return;
	}
	if (slot < 0)
		return;
	/* the process has finished it */
	exchange->slot = -1;
	served++;
	if (exchange->pool >= 0)
		session_end(&exchange->session);
	exchange->pool = -1;
}

static void
step(void)
{
	int column = (int)roll(2);
	if (!lives[column])
		column = 1 - column;
	bool both = lives[0] && lives[1];
	uint32_t what = roll(200);
	if (what < 90)
		take(column);
	else if (what < 190)
		step_exchange(&exchanges[roll(EXCHANGES)]);
	else if (what < 193)
		deaths++, end_one(column);
	else if (what < 196 && !both)
		begin_hand_over(column);
	else if (what < 197 && both)
		end_one(hands_over[column] ? column : 1 - column);
	else
		fake_now_ms += 1 + roll(20);
	settle();
	for (int slot = 0; slot < PROCESSES; slot++)
		answer_pings(slot);
	settle();
	check();
}

static void
test_walk(void **state)
{
	(void)state;
	const char *steps = getenv("TEST_STEPS");
	for (long i = steps != NULL ? atol(steps) : 100000; i > 0; i--)
		step();
	/* Nobody gives up any more: in the end all have been served, and nothing is held. */
	for (int i = 0; i < 1000; i++) {
		for (int j = 0; j < EXCHANGES; j++)
			if (exchanges[j].slot >= 0) {
				exchanges[j].slot = -1;
				if (exchanges[j].pool >= 0)
					session_end(&exchanges[j].session);
				exchanges[j].pool = -1;
			}
		for (int slot = 0; slot < PROCESSES; slot++)
			answer_pings(slot);
		fake_now_ms += POOL_ASIDE_MS;
		settle();
	}
	for (int j = 0; j < EXCHANGES; j++)
		assert_int_equal(exchanges[j].pool, -1);
	for (int slot = 0; slot < PROCESSES; slot++)
		assert_true(atomic_load(&board->processes[slot].claims) == 0);
	printf("%u requests, %u hand-overs, %u deaths, %u times a process was full\n", served, hand_overs, deaths, most);
	assert_true(served > 100 && hand_overs > 10 && deaths > 10 && most > 1000);
	for (int column = 0; column < 2; column++)
		if (lives[column])
			die(column);
}

/* What is counted while another one serves is added to what status shows. */
static void
test_figures(void **state)
{
	(void)state;
	static struct exchange exchange;
	exchange.session.event = heard;
	scoreboard_unmap(figures);
	figures = scoreboard_private();
	start(0);
	uint64_t before = atomic_load(&board->groups[0].requests);
	uint64_t processed = atomic_load(&board->processes[0].processed);
	assert_int_equal(group_take(pool_group(&pools[0], 0), &exchange.session), GROUP_TAKEN);
	begin_hand_over(0);
	session_end(&exchange.session);
	assert_true(atomic_load(&board->groups[0].requests) == before);
	pool_add_figures(&pools[0]);
	pool_add_figures(&pools[0]);
	assert_true(atomic_load(&board->groups[0].requests) == before + 1);
	assert_true(atomic_load(&board->processes[0].processed) == processed + 1);
	settle();
	die(0);
	pool_accompany(&pools[1], false);
	die(1);
}

static int
set_up(void **state)
{
	static const struct app_type type = {.name = "ruby", .protocol = APP_PROTOCOL_SESSION};
	static char name[] = "one";
	static struct app_config *list[1] = {&app};
	int fd;
	(void)state;
	app = (struct app_config){.name = name,
	                          .type = &type,
	                          .thread_count = 1,
	                          .force_max_concurrent_requests_per_process = -1,
	                          .drain_timeout_ms = 60000,
	                          .min_instances = PROCESSES,
	                          .max_instances = PROCESSES,
	                          .enabled = true};
	config = (struct config){.max_pool_size = PROCESSES, .max_concurrent_spawns = 4, .apps = list, .app_count = 1};
	board = scoreboard_create(&fd);
	if (board == NULL || !loop_init(&loop))
		return -1;
	close(fd);
	figures = scoreboard_private();
	for (int slot = 0; slot < PROCESSES; slot++)
		records[slot] = (struct message_process){.slot = (uint32_t)slot,
		                                         .serial = (uint64_t)slot + 1,
		                                         .pid = 100 + slot,
		                                         .concurrency = slot < 2 ? 1 : SHOWN,
		                                         .protocol = APP_PROTOCOL_SESSION};
	for (int i = 0; i < EXCHANGES; i++)
		exchanges[i].pool = exchanges[i].slot = -1;
	start(0);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	for (int column = 0; column < 2; column++)
		if (lives[column])
			die(column);
	scoreboard_unmap(board);
	scoreboard_unmap(figures);
	loop_free(&loop);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_figures),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
