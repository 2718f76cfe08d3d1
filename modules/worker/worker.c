#include "worker/worker.h"

#include "base/log.h"
#include "base/random.h"
#include "config/app_type.h"
#include "system/socket.h"
#include "worker/place.h"
#include "worker/report.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void
worker_move(struct worker *worker, enum worker_state state)
{
#define TO(state) [WORKER_##state] = true
	static const bool legal[WORKER_STATE_N][WORKER_STATE_N] = {
		[WORKER_STARTING] = {TO(RUNNING), TO(FAILED), TO(KILLED)},
		[WORKER_RUNNING] = {TO(CHOSEN), TO(RETIRING), TO(FAILED), TO(CONDEMNED), TO(KILLED)},
		[WORKER_CHOSEN] = {TO(BECOMING), TO(RETIRING), TO(CONDEMNED), TO(KILLED)},
		[WORKER_BECOMING] = {TO(RUNNING), TO(RETIRING), TO(CONDEMNED), TO(KILLED)},
		[WORKER_RETIRING] = {TO(TERMINATING), TO(CONDEMNED), TO(KILLED)},
		[WORKER_TERMINATING] = {TO(CONDEMNED), TO(KILLED)},
		[WORKER_CONDEMNED] = {TO(KILLED)},
		[WORKER_FAILED] = {TO(STARTING), TO(KILLED)},
	};
#undef TO

	assert(legal[worker->state][state]);
	list_remove(&worker->node);
	worker->state = state;
	list_append(&worker->table->states[state], &worker->node);
}

const char *
worker_step(const struct worker *worker)
{
	static const char *const steps[APP_READY_N] = {
		[APP_READY_CONTROL] = "loading the application",
		[APP_READY_PORT] = "listening on 127.0.0.1, port $PORT",
		[APP_READY_SOCKET] = "listening on the unix socket $PASSENGER_SOCKET",
		[APP_READY_DESCRIPTOR] = "accepting a first connection on descriptor 3",
	};
	/* `passenger exec` holds the other end until it has become the application */
	struct pollfd end = {.fd = worker->error_fd, .events = POLLIN};

	if (worker->record.pid == 0)
		return worker->preloader[0] != '\0' ? "forking it from the preloader" : "making its sockets and pipes";
	if (worker->error_fd >= 0 && poll(&end, 1, 0) >= 0 && (end.revents & (POLLIN | POLLHUP)) != POLLHUP)
		return worker->app->load_shell_envvars ? "its user's login shell (load_shell_envvars)"
		                                       : "becoming the application's user and program";
	return steps[worker->app->readiness];
}

/* --- slots --------------------------------------------------------------------- */

static bool
slot_take(struct worker *worker)
{
	struct workers *workers = worker->table;

	for (uint32_t i = 0; i < SCOREBOARD_PROCESSES; i++) {
		struct worker_slot *slot = &workers->slots[i];
		/* a balancer that has not read of the end of the one before may still write here */
		if (slot->worker != NULL || slot->rests_until_ms > workers->loop->now_ms)
			continue;
		slot->worker = worker;
		worker->has_slot = true;
		worker->record.slot = i;
		worker->record.serial = workers->next_serial++;
		memset((void *)&workers->board->processes[i], 0, sizeof(workers->board->processes[i]));
		return true;
	}
	return false;
}

/* --- the end --------------------------------------------------------------------- */

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void
close_control(struct worker *worker)
{
	int fd = worker->control.fd;

	if (worker->control.ready == NULL)
		return;
	watch_remove(worker->table->loop, &worker->control);
	close(fd);
}

void
worker_give_back(struct worker *worker)
{
	struct workers *workers = worker->table;
	const char *name = strrchr(worker->record.socket_path, '/');

	close_fd(&worker->door_fd);
	if (name != NULL)
		unlinkat(workers->apps_fd, name + 1, 0);
	if (name != NULL && worker->app->readiness == APP_READY_SOCKET)
		place_remove(workers->programs_fd, name + 1);
	worker->record.socket_path[0] = '\0';
	close_fd(&worker->listen_fd);
	if (!worker->has_slot)
		return;
	workers->slots[worker->record.slot] = (struct worker_slot){NULL, workers->loop->now_ms + WORKER_SLOT_REST_MS};
	worker->has_slot = false;
}

void
worker_reset(struct worker *worker)
{
	close_control(worker);
	close_fd(&worker->stdin_fd);
	close_fd(&worker->error_fd);
	close_fd(&worker->plan_fd);
	worker_give_back(worker);
	capture_free(&worker->capture);
	buf_free(&worker->control_out);
	timer_cancel(worker->table->loop, &worker->timer);
	timer_cancel(worker->table->loop, &worker->probe);
}

static void
worker_bury(struct grave *grave)
{
	struct worker *worker = container_of(grave, struct worker, grave);

	config_release(worker->app->config);
	free(worker->failure);
	free(worker);
}

void
worker_end(struct worker *worker)
{
	struct workers *workers = worker->table;

	worker_reset(worker);
	list_remove(&worker->node);
	if (worker->role != NULL)
		worker->role->ended(worker);
	explicit_bzero(worker->record.password, sizeof(worker->record.password));
	loop_bury(workers->loop, &worker->grave);
	workers->events->ended(workers);
}

/* --- failure ---------------------------------------------------------------------- */

static void failure_add(struct failure *failure, const char *format, ...) printf_like(2, 3);

static void
failure_add(struct failure *failure, const char *format, ...)
{
	size_t len = strlen(failure->details);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(failure->details + len, sizeof(failure->details) - len, format, arguments);
	va_end(arguments);
}

void
worker_report(struct worker *worker, const char *how)
{
	struct failure *failure = worker->failure;
	char last[FAILURE_DETAILS_BYTES];

	if (failure == NULL)
		return;
	worker->failure = NULL;
	failure_add(failure, "It failed at %s. The process %s.", worker->step, how);
	if (capture_last(&worker->capture, last, sizeof(last) - 128) > 0)
		failure_add(failure, "\nIts last output:\n%s", last);
	else
		failure_add(failure, " It wrote nothing.");
	report_write(&worker->table->attempts[worker->app->id].report, worker->app, worker->plan_fd);
	if (worker->role != NULL)
		worker->role->failed(worker, failure);
	else
		worker->table->events->failed(worker, failure);
	free(failure);
}

void
worker_refuse(struct worker *worker, const struct failure *failure)
{
	worker->table->events->failed(worker, failure);
	worker_end(worker);
}

static void fail(struct worker *worker, uint64_t grace_ms, const char *format, va_list arguments) printf_like(3, 0);

static void
fail(struct worker *worker, uint64_t grace_ms, const char *format, va_list arguments)
{
	char summary[FAILURE_SUMMARY_BYTES];

	vsnprintf(summary, sizeof(summary), format, arguments);
	/* an application's words go to hooks and terminals: in its own letters, but without what commands a terminal */
	for (char *c = summary; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	if (worker->step == NULL)
		worker->step = worker_step(worker);
	worker->failure = malloc(sizeof(*worker->failure));
	if (worker->failure == NULL)
		abort();
	failure_init(worker->failure, summary);
	timer_cancel(worker->table->loop, &worker->probe);
	worker_move(worker, WORKER_FAILED);
	if (grace_ms == 0)
		child_signal_group(&worker->child, SIGKILL);
	worker->term_ms = grace_ms; /* 0: the next rung is the report */
	timer_set(worker->table->loop, &worker->timer, grace_ms != 0 ? grace_ms : WORKER_REPORT_MS);
}

static void fail_now(struct worker *worker, const char *format, ...) printf_like(2, 3);

static void
fail_now(struct worker *worker, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fail(worker, 0, format, arguments);
	va_end(arguments);
}

static bool
is_starting(const struct worker *worker)
{
	return worker->state == WORKER_STARTING || worker_is_cold(worker);
}

void
worker_fail(struct worker *worker, uint64_t grace_ms, const char *format, ...)
{
	va_list arguments;

	if (!is_starting(worker))
		return;
	va_start(arguments, format);
	fail(worker, grace_ms, format, arguments);
	va_end(arguments);
}

void
worker_fail_port(struct worker *worker, const char *format, ...)
{
	va_list arguments;

	if (!is_starting(worker))
		return;
	worker->another_port = worker->port_tries < WORKER_PORT_TRIES;
	va_start(arguments, format);
	fail(worker, 0, format, arguments);
	va_end(arguments);
}

void
worker_abandon(struct worker *worker, const char *sentence)
{
	worker_fail(worker, 0, "%s", sentence);
	worker_report(worker, "was never started");
	worker_end(worker);
}

/* --- reaped ------------------------------------------------------------------------ */

/* `passenger exec`'s sentence, if there is one. */
static bool
exec_sentence(struct worker *worker, char out[PLAN_ERROR_BYTES])
{
	ssize_t len = worker->error_fd < 0 ? 0 : read(worker->error_fd, out, PLAN_ERROR_BYTES - 1);

	out[len > 0 ? len : 0] = '\0';
	return len > 0;
}

static void
ended_starting(struct worker *worker, const char *how)
{
	char sentence[PLAN_ERROR_BYTES];

	worker->step = worker_step(worker); /* before the sentence is read */
	if (exec_sentence(worker, sentence))
		worker_fail(worker, 0, "%s", sentence);
	else
		worker_fail(worker, 0, "the process %s before it %s", how,
		            worker_is_cold(worker) ? "had answered warmup_uris" : "was ready");
}

/* As if it had not started, when it was the second in a row to go so soon: what is started again without a pause then
 * would cost the machine and help nobody.  Not if a request was there, which the next one may serve, or SIGKILL; and
 * one that was told to go says nothing. */
static void
ended_ready(struct worker *worker, const struct child_end *end, const char *how)
{
	struct attempts *attempts = &worker->table->attempts[worker->app->id];
	const struct scoreboard_process *board = &worker->table->board->processes[worker->record.slot];
	/* those of warmup_uris came by its door */
	bool used = atomic_load(&board->processed) > atomic_load(&board->direct) ||
	            atomic_load(&board->sessions[0]) + atomic_load(&board->sessions[1]) > 0;
	bool killed = end->by_signal && end->number == SIGKILL;
	bool current = worker->record.generation == worker->table->generations[worker->app->id];
	uint64_t after_ms = worker->table->loop->now_ms - worker->warmed_ms;

	if (used || killed || after_ms >= ATTEMPTS_EARLY_MS) {
		attempts->early = 0;
	} else if (worker->state == WORKER_RUNNING && current && attempts_ended(attempts)) {
		worker->step = "serving";
		fail_now(worker,
		         "the process ended %llu ms after it was ready, before any request, as did the one before: %s",
		         (unsigned long long)after_ms, how);
	}
}

static void
ended_log(struct worker *worker, const struct child_end *end, const char *how, int32_t pid)
{
	const char *name = worker->app->name;

	if (worker->state == WORKER_RUNNING && (end->by_signal || end->number != 0))
		log_warn("application %s: %s %d ended: %s", name, worker->role != NULL ? "preloader" : "process", pid,
		         how);
	else if (worker->state == WORKER_RUNNING)
		log_notice("application %s: process %d ended by itself: %s", name, pid, how);
	else if (worker->has_slot)
		log_notice("application %s: process %d %s: %s", name, pid,
		           worker->state == WORKER_FAILED ? "ended" : "stopped", how);
}

static void
worker_ended(struct child *child, const struct child_end *end)
{
	struct worker *worker = container_of(child, struct worker, child);
	char how[CHILD_END_BYTES], told[CHILD_END_BYTES + 4];

	child_end_text(end, how);
	str_format(told, sizeof(told), "%s%s", end->by_signal ? "was " : "", how);
	capture_close(&worker->capture);
	/* its reason may lie there unread: one look reaps all who have ended */
	if (worker->state == WORKER_STARTING && worker->control.ready != NULL)
		worker->control.ready(&worker->control, EPOLLIN);
	worker->table->events->reaped(worker);
	if (is_starting(worker))
		ended_starting(worker, told);
	else if (worker->has_slot)
		ended_ready(worker, end, how);
	if (worker->state == WORKER_FAILED && worker->another_port && worker->again != NULL) {
		log_notice("application %s: %s; trying another port", worker->app->name, worker->failure->summary);
		free(worker->failure);
		worker->failure = NULL;
		worker->another_port = false;
		worker->step = NULL;
		worker_reset(worker);
		worker_move(worker, WORKER_STARTING);
		if (worker->again(worker))
			return;
	}
	worker_report(worker, told);
	ended_log(worker, end, how, worker->record.pid);
	if (worker->has_slot)
		worker->table->events->gone(worker, how);
	worker_end(worker);
}

/* --- the beginning ------------------------------------------------------------------ */

static void
worker_due(struct timer *timer)
{
	struct worker *worker = container_of(timer, struct worker, timer);

	worker->table->events->due(worker);
}

bool
worker_restore(struct workers *workers, struct worker *worker, const struct app_config *app)
{
	uint32_t slot = worker->record.slot;
	int32_t pid = worker->child.pid;

	worker->child.pid = 0;
	if (worker->state >= WORKER_STATE_N ||
	    (worker->has_slot && (slot >= SCOREBOARD_PROCESSES || workers->slots[slot].worker != NULL)))
		return false;
	worker->table = workers;
	worker->app = app;
	config_retain(app->config);
	worker->child.ended = worker_ended;
	worker->timer.due = worker_due;
	worker->grave.bury = worker_bury;
	if (worker->state == WORKER_FAILED)
		worker->step = worker_step(worker);
	if (worker->has_slot)
		workers->slots[slot].worker = worker;
	list_append(&workers->states[worker->state], &worker->node);
	if (pid != 0 && !child_restore(workers->children, &worker->child, pid))
		log_warn("application %s: process %d ended while passenger was replaced", app->name, pid);
	capture_restore(&worker->capture, workers->loop, &workers->sinks[app->id]);
	return true;
}

struct worker *
worker_new(struct workers *workers, const struct app_config *app)
{
	struct worker *worker = calloc(1, sizeof(*worker));

	if (worker == NULL)
		abort();
	worker->table = workers;
	worker->app = app;
	config_retain(app->config);
	worker->record.generation = workers->generations[app->id];
	worker->state = WORKER_STARTING;
	worker->child.pidfd = -1;
	worker->child.ended = worker_ended;
	worker->stdin_fd = worker->listen_fd = worker->door_fd = worker->error_fd = worker->plan_fd = -1;
	worker->timer.due = worker_due;
	worker->grave.bury = worker_bury;
	worker->launched_ms = workers->loop->now_ms;
	worker->spawn_start_unix_us = clock_unix_us();
	list_append(&workers->states[WORKER_STARTING], &worker->node);
	return worker;
}

static int
open_door(const struct config *config, uint16_t *port, char error[SOCKET_ERROR_BYTES])
{
	struct config_address address;
	char text[32];

	/* it was checked when it was read */
	str_format(text, sizeof(text), "%s:0", config->direct_instance_request_address);
	if (!config_address_parse(&address, str_from(text)))
		return -1;
	int fd = socket_listen_tcp(address.ip, 4, 0, (int)config->socket_backlog, error);
	*port = fd >= 0 ? socket_port(fd) : 0;
	return fd;
}

void
worker_ready(struct worker *worker, int32_t concurrency, bool bypass)
{
	char error[SOCKET_ERROR_BYTES] = "";
	struct workers *workers = worker->table;
	struct message_process *record = &worker->record;

	if (worker->state != WORKER_STARTING)
		return;
	timer_cancel(workers->loop, &worker->timer);
	timer_cancel(workers->loop, &worker->probe);
	if (worker->role != NULL) {
		close_fd(&worker->plan_fd);
		close_fd(&worker->error_fd);
		worker_move(worker, WORKER_RUNNING);
		worker->role->ready(worker);
		return;
	}
	worker->door_fd = open_door(workers->config, &record->door_port, error);
	if (worker->door_fd < 0) {
		worker_fail(worker, 0, "no door could be opened for it: %s", error);
		return;
	}
	if (!slot_take(worker)) {
		worker_fail(worker, 0, "there are %d processes already, more are not possible", SCOREBOARD_PROCESSES);
		return;
	}
	int64_t forced = worker->app->force_max_concurrent_requests_per_process;
	record->app_id = worker->app->id;
	record->pid = worker->child.pid;
	record->concurrency = forced >= 0 && forced <= INT32_MAX ? (int32_t)forced : concurrency;
	record->protocol = (uint8_t)worker->app->type->protocol;
	record->bypass = bypass;
	record->started_ms = workers->loop->now_ms;
	record->start_ms = (uint32_t)(record->started_ms - worker->launched_ms);
	random_password(record->password, PASSWORD_CHARS);
	worker->spawn_end_unix_us = clock_unix_us();
	close_fd(&worker->plan_fd);
	close_fd(&worker->error_fd);
	worker_move(worker, WORKER_RUNNING);
	record->cold = worker->app->warmup_uris != NULL;
	log_notice("application %s: process %d is ready after %llu ms (concurrency %d)%s", worker->app->name,
	           record->pid, (unsigned long long)(workers->loop->now_ms - worker->launched_ms), record->concurrency,
	           record->cold ? "; warmup_uris come next" : "");
	workers->events->ready(worker);
	if (!record->cold)
		worker_warmed(worker);
}

void
worker_warmed(struct worker *worker)
{
	struct workers *workers = worker->table;

	if (worker->record.cold)
		log_notice("application %s: process %d has answered warmup_uris after %llu ms", worker->app->name,
		           worker->record.pid, (unsigned long long)(workers->loop->now_ms - worker->record.started_ms));
	worker->record.cold = 0;
	worker->warmed_ms = workers->loop->now_ms;
	attempts_reset(&workers->attempts[worker->app->id]);
	workers->events->warmed(worker);
}
