#include "spawner/ending.h"

#include "base/log.h"
#include "spawner/tell.h"
#include "spawner/upgrade.h"
#include "worker/ladder.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

enum {
	DRAIN_MARGIN_MS = 2000,     /* what a balancer has beyond shutdown_timeout */
	STOP_APPLICATION_MS = 5000, /* of each rung, when all requests are done */
	STOP_AT_ONCE_MS = 500,
	STRAYS_MAX = 256,
	STRAYS_AGAIN_MS = 500,
	LAST_WAITS = 50, /* of 20 ms, for killed children to end */
};

/* What a preloader forked has the preloader's mark. */
static bool
worker_is_marked(const struct worker *worker, int32_t pid, const char *mark)
{
	return worker->child.pid == pid || strcmp(worker->record.gupid, mark) == 0 ||
	       strcmp(worker->preloader, mark) == 0;
}

/* What an application process left behind (a daemon of its own) is ours now, by its mark: no living
 * process has it.  One that wiped its environment is only found at the end, when all go. */
static size_t
kill_strays(struct spawner *spawner)
{
	int32_t pids[STRAYS_MAX];
	char mark[64];
	size_t killed = 0, count = procfs_children(getpid(), pids, STRAYS_MAX);

	for (size_t i = 0; i < count; i++) {
		if (pids[i] == spawner->supervisor.child.pid || pids[i] == spawner->before.child.pid ||
		    !procfs_variable(pids[i], STR("PASSENGER_PROCESS"), mark, sizeof(mark)))
			continue;
		bool lives = false;
		for (size_t state = 0; !lives && state < WORKER_STATE_N; state++)
			list_each (&spawner->workers.states[state], node)
				lives = lives ||
				        worker_is_marked(container_of(node, struct worker, node), pids[i], mark);
		if (!lives && kill(pids[i], SIGKILL) == 0)
			killed++;
	}
	if (killed > 0)
		log_notice("killed %zu processes that ended applications left behind", killed);
	return killed;
}

void
ending_strays_due(struct timer *timer)
{
	struct spawner *spawner = container_of(timer, struct spawner, strays);

	/* the children of those that were killed just now become ours in a moment */
	if (kill_strays(spawner) > 0)
		timer_set(&spawner->loop, timer, STRAYS_AGAIN_MS);
}

static bool
balancers_are_gone(const struct spawner *spawner)
{
	return spawner->supervisor.state == SUPERVISOR_IDLE && spawner->before.state == SUPERVISOR_IDLE;
}

void
ending_look(struct spawner *spawner)
{
	if (spawner->state != SPAWNER_STOPPING || !balancers_are_gone(spawner) || workers_count(&spawner->workers) > 0)
		return;
	/* those of the processes that ended just now, for one */
	if (!spawner->at_once && !hooks_are_idle(&spawner->hooks)) {
		hooks_hurry(&spawner->hooks);
		return;
	}
	spawner->state = SPAWNER_ENDED;
	loop_stop(&spawner->loop);
}

static void
stop_applications(struct spawner *spawner)
{
	uint64_t drain_ms = spawner->at_once ? 0 : STOP_APPLICATION_MS;
	uint64_t term_ms = spawner->at_once ? STOP_AT_ONCE_MS : STOP_APPLICATION_MS;

	spawner->state = SPAWNER_STOPPING;
	for (size_t state = 0; state < WORKER_STATE_N; state++)
		list_each (&spawner->workers.states[state], node)
			ladder_retire(container_of(node, struct worker, node), drain_ms, term_ms);
	ending_look(spawner);
}

void
ending_balancer_gone(struct spawner *spawner)
{
	if (spawner->state == SPAWNER_DRAINING && balancers_are_gone(spawner))
		stop_applications(spawner);
	else
		ending_look(spawner);
}

void
ending_worker_gone(struct spawner *spawner)
{
	if (!timer_is_set(&spawner->strays))
		timer_set(&spawner->loop, &spawner->strays, 1);
	ending_look(spawner);
}

static void
end_balancers(struct spawner *spawner, uint64_t within_ms)
{
	supervisor_end(&spawner->supervisor, within_ms);
	supervisor_end(&spawner->before, within_ms);
}

static void
stop_at_once(struct spawner *spawner)
{
	spawner->at_once = true;
	tell_simple(spawner, MESSAGE_STOP, 0, -1);
	stop_applications(spawner);
	end_balancers(spawner, STOP_AT_ONCE_MS);
}

void
ending_stop(struct spawner *spawner, bool at_once, const char *who)
{
	if (spawner->state >= SPAWNER_STOPPING && spawner->at_once)
		return;
	if (spawner->state >= SPAWNER_DRAINING && !at_once)
		return;
	log_notice("%s: stopping%s", who, at_once ? " at once" : "; requests that have begun are finished");
	notify_send(&spawner->notify, "STOPPING=1\nSTATUS=stopping");
	upgrade_cancel(spawner, "passenger is stopping");
	bool draining = spawner->state == SPAWNER_DRAINING || spawner->state == SPAWNER_STOPPING;
	if (!draining) {
		spawner->state = SPAWNER_DRAINING;
		/* first the balancer, who still has the sockets, then our own */
		if (!at_once)
			tell_simple(spawner, MESSAGE_DRAIN, spawner->config->shutdown_timeout_ms, -1);
		listeners_close(spawner->listeners, spawner->config);
	}
	if (at_once)
		stop_at_once(spawner);
	else
		end_balancers(spawner, spawner->config->shutdown_timeout_ms + DRAIN_MARGIN_MS);
}

/* What is still a child of ours has no business to be. */
static void
kill_all_children(struct spawner *spawner)
{
	const struct timespec moment = {0, 20 * 1000000};
	int32_t pid;

	/* what they leave behind becomes ours in turn */
	for (int i = 0; i < LAST_WAITS && children_kill_all() > 0; i++) {
		nanosleep(&moment, NULL);
		children_reap(&spawner->children);
	}
	if (procfs_children(getpid(), &pid, 1) > 0)
		log_warn("process %d does not end even when it is killed", pid);
}

void
ending_finish(struct spawner *spawner)
{
	kill_all_children(spawner);
	listeners_close(spawner->listeners, spawner->config);
	/* who waits for the end may start the next one in this directory right away */
	cgroups_close(&spawner->cgroups);
	evidence_close(&spawner->evidence, spawner->place->dir_fd);
	place_close(spawner->place);
	log_notice("passenger has stopped");
	control_server_answer_waiting(&spawner->control, CONTROL_OK, "");
	control_server_close(&spawner->control);
	log_files_close(&spawner->logs);
	log_files_close_sinks(spawner->workers.sinks, array_count(spawner->workers.sinks));
	notify_close(&spawner->notify);
	restart_files_close(&spawner->restart_files);
	signals_close(&spawner->signals, &spawner->loop);
	scoreboard_unmap(spawner->board);
	if (spawner->board_fd >= 0)
		close(spawner->board_fd);
	if (spawner->config_fd >= 0)
		close(spawner->config_fd);
}
