#include "pool/pool.h"

#include <assert.h>

enum { BUSYNESS_SHIFT = 32 };

/* An upgraded connection may keep its thread for as long as it likes. */
static const uint64_t PATIENCE_ENDLESS_MS = UINT64_MAX / 2;

uint64_t
process_busyness(const struct process *process)
{
	uint64_t used = (uint64_t)process->places + process->doubt + process->foreign;
	/* Without a limit nothing else spreads tunnels, which hold no place. */
	if (process->record.concurrency <= 0)
		return (uint64_t)process->active.count + process->doubt + process->foreign;
	/* And with one: among equals, who has fewer of those that hold none. */
	return (used << BUSYNESS_SHIFT) / (uint64_t)process->record.concurrency + process->active.count -
	       process->places;
}

bool
process_is_full(const struct process *process)
{
	int32_t concurrency = process->record.concurrency;
	if (process->state == PROCESS_DISABLED)
		return true;
	return concurrency > 0 && process->places + process->doubt + process->foreign >= (uint32_t)concurrency;
}

/* ---- the places that both balancers give out ---- */

static unsigned
claims_shift(const struct process *process)
{
	return process->group->pool->column * 32;
}

/* The other column of a word of claims. */
static uint32_t
claims_foreign(const struct process *process, uint64_t word)
{
	return (uint32_t)(word >> (32 - claims_shift(process)));
}

bool
process_claim(struct process *process)
{
	uint32_t limit = process->record.concurrency > 0 ? (uint32_t)process->record.concurrency : UINT32_MAX;
	uint64_t word = atomic_load_explicit(&process->shared->claims, memory_order_relaxed);
	do {
		uint32_t foreign = claims_foreign(process, word);
		if (foreign != process->foreign)
			process_look_aside(process);
		if ((uint64_t)process->places + process->doubt + foreign >= limit)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&process->shared->claims, &word,
	                                                word + ((uint64_t)1 << claims_shift(process)),
	                                                memory_order_acq_rel, memory_order_relaxed));
	process->claimed++;
	return true;
}

/* What is held no more is given back; what is held in doubt is still held. */
static void
process_unclaim(struct process *process)
{
	uint32_t held = process->places + process->doubt;
	if (held == process->claimed)
		return;
	uint64_t difference = (uint64_t)((int64_t)held - (int64_t)process->claimed);
	atomic_fetch_add_explicit(&process->shared->claims, difference << claims_shift(process), memory_order_acq_rel);
	process->claimed = held;
}

/* ---- what status sees ---- */

void
process_publish(struct process *process)
{
	atomic_store_explicit(&process->shared->sessions[process->group->pool->column],
	                      process->active.count + process->doubt, memory_order_relaxed);
	atomic_store_explicit(&process->board->state,
	                      process->state == PROCESS_WARMING   ? SCOREBOARD_WARMING
	                      : process->state > PROCESS_DISABLED ? SCOREBOARD_DETACHED
	                      : process->state != PROCESS_ENABLED ? SCOREBOARD_DISABLED
	                      : process->doubt > 0                ? SCOREBOARD_RECOVERING
	                                                          : SCOREBOARD_ENABLED,
	                      memory_order_relaxed);
}

static void
cell_begin(struct scoreboard_request *cell)
{
	/* Made odd, whatever a balancer that died in the middle of it has left. */
	uint32_t sequence = atomic_load_explicit(&cell->sequence, memory_order_relaxed);
	atomic_store_explicit(&cell->sequence, (sequence + 1) | 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

static void
cell_commit(struct scoreboard_request *cell)
{
	uint32_t sequence = atomic_load_explicit(&cell->sequence, memory_order_relaxed);
	atomic_store_explicit(&cell->sequence, (sequence | 1) + 1, memory_order_release);
}

static void
session_show(struct session *session)
{
	struct scoreboard_process *board = session->process->board;
	session->cell = 0;
	for (int i = 0; i < SCOREBOARD_REQUESTS; i++) {
		struct scoreboard_request *cell = &board->requests[i];
		if (cell->since_ms != 0)
			continue;
		cell_begin(cell);
		cell->direct = session_kind_is_direct(session->kind);
		cell->upgraded = 0;
		cell->given_up = 0;
		cell->status = 0;
		cell->since_ms = session->active_ms;
		str_cut_z(cell->method, sizeof(cell->method), session->label.method);
		str_cut_z(cell->path, sizeof(cell->path), session->label.path);
		str_cut_z(cell->client, sizeof(cell->client), session->label.client);
		str_cut_z(cell->host, sizeof(cell->host), session->label.host);
		str_cut_z(cell->id, sizeof(cell->id), session->label.id);
		cell_commit(cell);
		session->cell = (uint8_t)(i + 1);
		return;
	}
}

static struct scoreboard_request *
session_cell(struct session *session)
{
	return session->cell ? &session->process->board->requests[session->cell - 1] : NULL;
}

static void
cell_hide(struct scoreboard_request *cell)
{
	cell_begin(cell);
	cell->since_ms = 0;
	cell_commit(cell);
}

static void
session_hide(struct session *session)
{
	struct scoreboard_request *cell = session_cell(session);
	session->cell = 0;
	if (cell != NULL)
		cell_hide(cell);
}

/* It stays to be seen for as long as its place is in doubt. */
static void
session_give_up(struct session *session)
{
	struct scoreboard_request *cell = session_cell(session);
	session->cell = 0;
	if (cell == NULL)
		return;
	cell_begin(cell);
	cell->given_up = 1;
	cell_commit(cell);
}

void
session_note_status(struct session *session, uint16_t status)
{
	struct scoreboard_request *cell = session_cell(session);
	if (cell == NULL)
		return;
	cell_begin(cell);
	cell->status = status;
	cell_commit(cell);
}

/* The oldest request that it may still be at work on though nobody waits for it; all: every one. */
static void
process_hide_given_up(struct process *process, bool all)
{
	struct scoreboard_request *oldest = NULL;
	for (int i = 0; i < SCOREBOARD_REQUESTS; i++) {
		struct scoreboard_request *cell = &process->board->requests[i];
		if (cell->since_ms == 0 || !cell->given_up)
			continue;
		if (all)
			cell_hide(cell);
		else if (oldest == NULL || cell->since_ms < oldest->since_ms)
			oldest = cell;
	}
	if (oldest != NULL)
		cell_hide(oldest);
}

/* ---- places ---- */

static void
process_changed(struct process *process)
{
	process_unclaim(process);
	process_publish(process);
	group_heap_update(process);
}

void
process_look_aside(struct process *process)
{
	uint32_t foreign = claims_foreign(process, atomic_load_explicit(&process->shared->claims, memory_order_acquire));
	if (foreign == process->foreign)
		return;
	process->foreign = foreign;
	group_heap_update(process);
	loop_soon(process->group->pool->loop, &process->pump);
}

void
session_activate(struct process *process, struct session *session)
{
	uint64_t now = process->group->pool->loop->now_ms;
	assert(session->state == SESSION_NONE);
	session->state = SESSION_ACTIVE;
	session->group = process->group;
	session->process = process;
	session->pid = process->record.pid;
	session->active_ms = now;
	session->limit = LIMIT_NONE;
	list_append(&process->active, &session->node);
	if (session_kind_needs_place(session->kind))
		process->places++; /* process_claim() */
	process->last_used_ms = now;
	atomic_store_explicit(&process->board->last_used_ms, now, memory_order_relaxed);
	session_show(session);
	process_changed(process);
}

/* Whose turn is it: who waits at the door or in the group's queue, whoever came first. */
static struct session *
process_next(struct process *process)
{
	struct list_node *door = list_first(&process->waiting);
	struct list_node *queue = process->state == PROCESS_ENABLED ? list_first(&process->group->queue) : NULL;
	struct session *at_door = door ? container_of(door, struct session, node) : NULL;
	struct session *queued = queue ? container_of(queue, struct session, node) : NULL;
	if (at_door == NULL || queued == NULL)
		return at_door ? at_door : queued;
	return at_door->queued_ms <= queued->queued_ms ? at_door : queued;
}

bool
process_serve(struct process *process)
{
	struct group *group = process->group;
	struct session *session = process_is_full(process) ? NULL : process_next(process);
	if (session == NULL)
		return false;
	/* Who waits for any process gets the least busy one, unless somebody waits there for longer. */
	if (session->state == SESSION_QUEUED && group->heap[0] != process && !process_is_full(group->heap[0])) {
		process = group->heap[0];
		session = process_next(process);
	}
	if (!process_claim(process))
		return false;
	session_serve(process, session);
	return true;
}

void
session_serve(struct process *process, struct session *session)
{
	session_unwait(session);
	session_activate(process, session);
	session->event(session, SESSION_READY);
}

static void
process_pump(struct soon *soon)
{
	struct process *process = container_of(soon, struct process, pump);
	while (process_serve(process))
		continue;
	pool_retire_if_empty(process);
	group_touch(process->group);
}

/* In doubt only where concurrency is counted and somebody can find out. */
static bool
process_can_tell(const struct process *process)
{
	return process->record.concurrency > 0 && process->record.protocol == APP_PROTOCOL_SESSION;
}

/* Claims that nobody answers for any more are ours, in doubt where the process can tell. */
static void
process_adopt_claims(struct process *process, bool of_others)
{
	unsigned shift = claims_shift(process);
	uint64_t word = atomic_load_explicit(&process->shared->claims, memory_order_acquire);
	uint64_t mine, foreign;
	do {
		foreign = of_others ? claims_foreign(process, word) : 0;
		mine = (uint32_t)(word >> shift);
		/* a dead one may have written anything */
		if (mine + foreign > UINT32_MAX)
			mine = UINT32_MAX - foreign;
	} while (of_others &&
	         !atomic_compare_exchange_weak_explicit(&process->shared->claims, &word, (mine + foreign) << shift,
	                                                memory_order_acq_rel, memory_order_acquire));
	uint32_t left = (uint32_t)(mine + foreign) - process->claimed;
	uint32_t held = process->places + process->doubt;
	uint32_t limit = process_can_tell(process) ? (uint32_t)process->record.concurrency : 0;
	uint32_t room = limit > held ? limit - held : 0;
	process->claimed += left;
	process->doubt += left < room ? left : room;
	if (of_others)
		atomic_store_explicit(&process->shared->sessions[1 - process->group->pool->column], 0,
		                      memory_order_relaxed);
	process_unclaim(process);
}

void
process_inherit(struct process *process)
{
	struct pool *pool = process->group->pool;
	uint32_t before = process->doubt;
	process_adopt_claims(process, true);
	process->foreign = 0;
	process_changed(process);
	for (uint32_t i = process->doubt; i > before; i--)
		pool->hooks.doubted(pool->hooks.owner, process);
	loop_soon(pool->loop, &process->pump);
}

static void
process_init_lists(struct process *process)
{
	list_init(&process->active);
	list_init(&process->waiting);
	list_init(&process->idle);
	list_init(&process->backends);
	process->pump.run = process_pump;
}

void
process_init(struct process *process, struct group *group, const struct message_process *record,
             struct scoreboard_process *board)
{
	*process = (struct process){
		.group = group,
		.record = *record,
		.board = board,
		.shared = &group->pool->shared->processes[record->slot],
		.drain = {.due = process_drain_due},
		.doubted_ms = group->pool->loop->now_ms,
	};
	/* The spawner's clock may have been looked at later than ours. */
	if (process->record.started_ms > process->doubted_ms)
		process->record.started_ms = process->doubted_ms;
	/* An earlier balancer's word: it was out of rotation. */
	bool detached =
		record->detached || (atomic_load_explicit(&board->serial, memory_order_relaxed) == record->serial &&
	                             atomic_load_explicit(&board->state, memory_order_relaxed) == SCOREBOARD_DETACHED);
	process->state = record->retiring ? PROCESS_RETIRING
	                 : detached       ? PROCESS_DETACHED
	                 : record->cold   ? PROCESS_WARMING
	                                  : PROCESS_ENABLED;
	atomic_store_explicit(&board->serial, record->serial, memory_order_relaxed);
	process_init_lists(process);
	process->last_used_ms = process->record.started_ms;
	uint64_t used = atomic_load_explicit(&board->last_used_ms, memory_order_relaxed);
	if (used > process->last_used_ms)
		process->last_used_ms = used;
	/* What an earlier balancer had given it may still run: nobody can tell but the process itself. */
	bool accompanied = timer_is_set(&group->pool->aside);
	process_adopt_claims(process, !accompanied);
	if (accompanied)
		process->foreign =
			claims_foreign(process, atomic_load_explicit(&process->shared->claims, memory_order_acquire));
	process_keep_requests(process);
	process_publish(process);
}

bool
process_take(struct process *process, struct session *session, uint64_t wait_ms)
{
	assert(session->state == SESSION_NONE && session_kind_is_direct(session->kind));
	/* A place that came free in this turn belongs to who waits already, at the door or in the queue. */
	bool somebody_waits =
		process->waiting.count > 0 || (process->state == PROCESS_ENABLED && process->group->queue.count > 0);
	if (!session_kind_needs_place(session->kind) ||
	    (!process_is_full(process) && !somebody_waits && process_claim(process))) {
		session_activate(process, session);
		return true;
	}
	session_wait_at_door(process, session, wait_ms);
	return false;
}

static void
count(_Atomic uint64_t *counter)
{
	/* One balancer that takes over from another writes beside it for a moment. */
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* The exchange has left the process; what that means for its place is the caller's. */
static void
session_leave(struct session *session)
{
	struct process *process = session->process;
	session_hide(session);
	list_remove(&session->node);
	if (session->state == SESSION_ACTIVE && session_kind_needs_place(session->kind))
		process->places--;
	session->state = SESSION_NONE;
	session->process = NULL; /* it may be gone before the session is used again */
	count(&process->board->processed);
	if (session_kind_is_direct(session->kind))
		count(&process->board->direct);
	/* The first one: another number of processes is wanted from now on (pre_start). */
	if (atomic_load_explicit(&process->group->board->requests, memory_order_relaxed) == 0) {
		group_touch(process->group);
		pool_reap_later(process->group->pool);
	}
	count(&process->group->board->requests);
}

/* With the jitter, which every balancer finds to be the same. */
static uint64_t
process_requests_max(const struct process *process)
{
	const struct app_config *app = process->group->app;
	uint64_t spread = (process->record.serial * UINT64_C(0x9e3779b97f4a7c15)) >> 32;
	if (app->max_requests == 0)
		return 0;
	return (uint64_t)app->max_requests + spread % ((uint64_t)app->max_requests_jitter + 1);
}

void
process_rest(struct process *process)
{
	struct pool *pool = process->group->pool;
	if (!process_is_empty(process))
		return;
	pool_reap_later(pool);
	if (pool->starved.count > 0)
		pool_room(pool);
}

/* A place may be free: whoever waits is served in this turn, after the current callback. */
static void
process_freed(struct process *process)
{
	struct group *group = process->group;
	uint64_t limit = process_requests_max(process);
	process_changed(process);
	if (limit > 0 && process->state == PROCESS_ENABLED &&
	    atomic_load_explicit(&process->board->processed, memory_order_relaxed) >= limit)
		group_spend(process);
	if (process->waiting.count > 0 || group->queue.count > 0 || process->state != PROCESS_ENABLED)
		loop_soon(group->pool->loop, &process->pump);
	process->last_used_ms = group->pool->loop->now_ms;
	process_rest(process);
}

void
session_end(struct session *session)
{
	struct process *process = session->process;
	switch (session->state) {
	case SESSION_NONE:
		return;
	case SESSION_QUEUED:
	case SESSION_AT_DOOR:
		session_withdraw(session);
		return;
	case SESSION_ACTIVE:
	case SESSION_TUNNEL:
		session_leave(session);
		process_freed(process);
		return;
	case SESSION_STATE_N:
		break;
	}
	assert(!"session state");
}

bool
process_hold(struct process *process, uint64_t patience_ms)
{
	/* A program of its own is only asked whether it lives, when it was silent for long. */
	if (!process_can_tell(process) && (patience_ms == 0 || patience_ms == PATIENCE_ENDLESS_MS))
		return false;
	process->doubt++;
	process->doubted_ms = process->group->pool->loop->now_ms;
	process->patience_ms = patience_ms;
	process_changed(process);
	return true;
}

static void
process_doubt(struct process *process, uint64_t patience_ms)
{
	struct pool *pool = process->group->pool;
	if (process_hold(process, patience_ms))
		pool->hooks.doubted(pool->hooks.owner, process);
}

void
session_abandon(struct session *session)
{
	struct process *process = session->process;
	if (session->state != SESSION_ACTIVE || !session_kind_needs_place(session->kind)) {
		session_end(session);
		return;
	}
	uint64_t patience_ms = session->patience_ms;
	if (process_can_tell(process))
		patience_ms = process_patience_ms(process, session->active_ms, patience_ms);
	/* Until the end of one that is killed: evidence is being taken. */
	if (process_can_tell(process) || process->reached != LIMIT_NONE)
		session_give_up(session);
	session_leave(session);
	process_doubt(process, patience_ms);
	process_freed(process);
}

void
session_tunnel(struct session *session)
{
	struct process *process = session->process;
	assert(session->state == SESSION_ACTIVE);
	struct scoreboard_request *cell = session_cell(session);
	if (cell != NULL) {
		cell_begin(cell);
		cell->upgraded = 1;
		cell_commit(cell);
	}
	session->state = SESSION_TUNNEL;
	if (!session_kind_needs_place(session->kind)) {
		/* perhaps there are only tunnels now */
		loop_soon(process->group->pool->loop, &process->pump);
		return;
	}
	process->places--;
	process_doubt(process, PATIENCE_ENDLESS_MS);
	process_freed(process);
}

void
process_trust(struct process *process)
{
	if (process->doubt == 0)
		return;
	process->doubt--;
	process_hide_given_up(process, process->doubt == 0);
	process_freed(process);
}

struct session *
process_oldest(const struct process *process)
{
	list_each (&process->active, node) {
		struct session *session = container_of(node, struct session, node);
		if (session->state == SESSION_ACTIVE && session_kind_needs_place(session->kind))
			return session;
	}
	return NULL;
}

void
process_end_sessions(struct process *process)
{
	struct list_node *node;
	loop_soon_cancel(&process->pump);
	while ((node = list_first(&process->waiting)) != NULL) {
		struct session *session = container_of(node, struct session, node);
		session_unwait(session);
		session->event(session, SESSION_PROCESS_GONE);
	}
	while ((node = list_first(&process->active)) != NULL) {
		struct session *session = container_of(node, struct session, node);
		session_leave(session);
		session->event(session, SESSION_PROCESS_GONE);
	}
}
