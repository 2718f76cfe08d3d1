#include "worker/ladder.h"

#include "base/log.h"

#include <signal.h>
#include <unistd.h>

static void
failed_due(struct worker *worker)
{
	if (worker->term_ms != 0) {
		worker->term_ms = 0;
		child_signal_group(&worker->child, SIGKILL);
		timer_set(worker->table->loop, &worker->timer, WORKER_REPORT_MS);
	} else {
		worker->another_port = false;
		worker_report(worker, "was killed and has not ended yet");
	}
}

static void
starting_due(struct worker *worker)
{
	worker->step = worker_step(worker); /* evidence may cost its life */
	if (worker->app->readiness == APP_READY_CONTROL && worker->control.ready == NULL)
		worker_fail(worker, 0, "it closed its control descriptor before it was ready");
	else
		worker->table->events->limit(worker, LIMIT_START, "it is not ready");
}

void
ladder_give_up(struct worker *worker, const char *evidence)
{
	worker_fail(worker, 0, "it was not ready within start_timeout (%llu.%03llu s): still at %s%s%s",
	            (unsigned long long)worker->app->start_timeout_ms / 1000,
	            (unsigned long long)worker->app->start_timeout_ms % 1000, worker->step,
	            evidence != NULL ? "; evidence: " : "", evidence != NULL ? evidence : "");
}

/* By SIGSTOP and the like: it will not hear of it. */
static bool
is_stopped(const struct worker *worker)
{
	struct procfs_stat stat;

	return procfs_stat(worker->child.pid, &stat) && stat.state == 'T';
}

void
ladder_kill(struct worker *worker, const char *why)
{
	if (worker->state == WORKER_KILLED)
		return;
	if (worker->state == WORKER_STARTING && worker->child.pid == 0) {
		worker_end(worker); /* its preloader has not made it yet */
		return;
	}
	if (why != NULL)
		log_warn("application %s: killing process %d: %s", worker->app->name, worker->child.pid, why);
	/* reported, if it is a failure, when it is reaped */
	if (worker->state != WORKER_FAILED) {
		worker_move(worker, WORKER_KILLED);
		timer_cancel(worker->table->loop, &worker->timer);
		timer_cancel(worker->table->loop, &worker->probe);
	}
	child_signal_group(&worker->child, SIGKILL);
}

void
ladder_condemn(struct worker *worker, enum limit limit, const char *why)
{
	if (worker->state < WORKER_RUNNING || worker->state > WORKER_TERMINATING)
		return;
	if (worker_is_cold(worker)) {
		worker_fail(worker, 0, "%s", why);
		return;
	}
	worker_move(worker, WORKER_CONDEMNED);
	timer_cancel(worker->table->loop, &worker->timer);
	worker->table->events->limit(worker, limit, why);
}

void
ladder_retire(struct worker *worker, uint64_t drain_ms, uint64_t term_ms)
{
	if (worker->state == WORKER_STARTING) {
		ladder_kill(worker, NULL);
		return;
	}
	if (worker->state == WORKER_RUNNING && term_ms >= WORKER_TERM_MS && is_stopped(worker)) {
		ladder_condemn(worker, LIMIT_RESPONSE, "it is stopped by a signal (SIGSTOP or its like)");
		return;
	}
	if (worker->state <= WORKER_BECOMING) {
		worker_move(worker, WORKER_RETIRING);
		if (worker->stdin_fd >= 0)
			close(worker->stdin_fd);
		worker->stdin_fd = -1;
		/* a program of its own does not know our stdin */
		if (worker->app->readiness != APP_READY_CONTROL)
			child_signal(&worker->child, SIGTERM);
	} else if (worker->state == WORKER_TERMINATING && term_ms < worker->term_ms) {
		worker->term_ms = term_ms;
		timer_set(worker->table->loop, &worker->timer, term_ms);
		return;
	} else if (worker->state != WORKER_RETIRING || drain_ms >= worker->drain_ms) {
		return;
	}
	worker->drain_ms = drain_ms;
	worker->term_ms = term_ms;
	if (drain_ms == 0)
		ladder_due(worker);
	else
		timer_set(worker->table->loop, &worker->timer, drain_ms);
}

void
ladder_due(struct worker *worker)
{
	struct loop *loop = worker->table->loop;

	switch (worker->state) {
	case WORKER_STARTING:
		starting_due(worker);
		break;
	case WORKER_RETIRING:
		worker_move(worker, WORKER_TERMINATING);
		child_signal_group(&worker->child, SIGTERM);
		timer_set(loop, &worker->timer, worker->term_ms);
		break;
	case WORKER_TERMINATING:
		/* at once: somebody is in a hurry */
		if (worker->term_ms < WORKER_TERM_MS)
			ladder_kill(worker, "it did not stop at SIGTERM");
		else
			ladder_condemn(worker, LIMIT_DRAIN, "it did not stop at SIGTERM");
		break;
	case WORKER_FAILED:
		failed_due(worker);
		break;
	case WORKER_BECOMING:
		ladder_retire(worker, 0, WORKER_TERM_MS);
		break;
	case WORKER_RUNNING:
	case WORKER_CONDEMNED:
	case WORKER_CHOSEN:
	case WORKER_KILLED:
	case WORKER_STATE_N:
		break;
	}
}
