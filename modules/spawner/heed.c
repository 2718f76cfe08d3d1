#include "spawner/heed.h"

#include "base/log.h"
#include "spawner/ending.h"
#include "spawner/refork.h"
#include "spawner/reload.h"
#include "spawner/restart.h"
#include "spawner/tell.h"
#include "spawner/upgrade.h"
#include "worker/ladder.h"
#include "worker/preloader.h"

#include <signal.h>
#include <unistd.h>

enum { PROCESSES_SPARE = 64 /* beyond 4 × max_pool_size: while old ones drain */ };

static void
refuse_spawn(struct spawner *spawner, uint32_t app_id, const char *why, uint64_t wait_ms)
{
	struct failure failure;
	struct message message;

	failure_init(&failure, why);
	attempts_message(&message, app_id, &failure, wait_ms);
	tell(spawner, &message, -1);
}

static void
do_spawn(struct spawner *spawner, uint32_t app_id)
{
	const struct app_config *app = config_app_by_id(spawner->config, app_id);
	struct workers *workers = &spawner->workers;

	if (app == NULL || app_id >= SCOREBOARD_GROUPS) {
		log_error("the balancer asked for a process of application %u, which is none of ours", app_id);
		refuse_spawn(spawner, app_id, "there is no such application", ATTEMPTS_BACKOFF_MAX_MS);
		return;
	}
	struct attempts *attempts = &workers->attempts[app_id];
	uint64_t wait_ms = attempts_wait_ms(attempts, spawner->loop.now_ms);
	if (spawner->state >= SPAWNER_DRAINING) {
		refuse_spawn(spawner, app_id, "passenger is stopping", ATTEMPTS_BACKOFF_MAX_MS);
	} else if (wait_ms > 0 && attempts->last != NULL) {
		/* the last report once more: nothing was tried */
		tell_failure(spawner, app, NULL, attempts->last, wait_ms);
	} else if (workers_count(workers) >= (uint64_t)spawner->config->max_pool_size * 4 + PROCESSES_SPARE) {
		log_error("application %s: no process more: %u are there, far beyond max_pool_size = %lld", app->name,
		          workers_count(workers), (long long)spawner->config->max_pool_size);
		refuse_spawn(spawner, app_id, "too many processes are starting and stopping", ATTEMPTS_BACKOFF_MIN_MS);
	} else {
		preloader_spawn(workers, app);
	}
}

/* Which are the balancer's to tell, and not more often than HOOKS_CROWD_MS, whatever it says. */
static void
do_hook(struct spawner *spawner, const struct message *message)
{
	const struct app_config *app = config_app_by_id(spawner->config, message->app_id);
	char path[HOOK_VALUE_BYTES], host[HOOK_VALUE_BYTES];
	const struct hook_fact facts[] = {{"PASSENGER_REQUEST_PATH", path}, {"PASSENGER_REQUEST_HOST", host}};
	struct str rest = str_make(message->text, message->text_len), first = STR("");

	if (app == NULL || app->id >= SCOREBOARD_GROUPS || message->number != CONFIG_HOOK_QUEUE_FULL ||
	    spawner->crowd_ms[app->id] + HOOKS_CROWD_MS > spawner->loop.now_ms)
		return;
	spawner->crowd_ms[app->id] = spawner->loop.now_ms;
	(void)str_split(&rest, '\n', &first);
	str_cut_z(host, sizeof(host), first);
	str_cut_z(path, sizeof(path), rest);
	hooks_run(&spawner->hooks, app, CONFIG_HOOK_QUEUE_FULL, facts, array_count(facts));
}

/* From one that hands over: what it still decides is the other one's to carry out.  False: a message like any other's. */
static bool
from_balancer_before(struct spawner *spawner, struct message *message, const int *fds, size_t fd_count)
{
	struct worker *worker = workers_by_serial(&spawner->workers, message->slot, message->serial);
	struct message passed;

	switch (message->type) {
	case MESSAGE_SPAWN:
		message_init(&passed, MESSAGE_SPAWNING);
		passed.app_id = message->app_id;
		supervisor_send(&spawner->supervisor, &passed, NULL, 0);
		do_spawn(spawner, message->app_id);
		return true;
	case MESSAGE_RETIRE:
		if (worker != NULL)
			upgrade_retire(spawner, worker, UPGRADE_UNUSED_BEFORE, 0);
		return true;
	case MESSAGE_CLIENT:
		if (fd_count != 1 || spawner->supervisor.state != SUPERVISOR_SERVING)
			return true;
		message_init(&passed, MESSAGE_CLIENT);
		passed.slot = message->slot;
		passed.serial = message->serial;
		message_set_text(&passed, str_make(message->text, message->text_len));
		supervisor_send(&spawner->supervisor, &passed, fds, 1);
		return true;
	default:
		return false;
	}
}

static void
from_balancer(struct supervisor *supervisor, struct message *message, int *fds, size_t fd_count)
{
	struct spawner *spawner = supervisor->owner;
	struct worker *worker = workers_by_serial(&spawner->workers, message->slot, message->serial);
	char why[EVIDENCE_WHY_BYTES];

	if (supervisor == &spawner->before && from_balancer_before(spawner, message, fds, fd_count))
		return;
	switch (message->type) {
	case MESSAGE_SPAWN:
		if (spawner->before.state != SUPERVISOR_IDLE)
			tell_spawning_before(spawner, message->app_id);
		do_spawn(spawner, message->app_id);
		break;
	case MESSAGE_WANT_RESTART:
		restart_always(spawner, message->app_id);
		break;
	case MESSAGE_RETIRE:
		/* one that is gone meanwhile: it was told, the messages crossed */
		if (worker != NULL && !refork_turn(worker))
			upgrade_retire(spawner, worker, UPGRADE_UNUSED_SERVING, message->number);
		break;
	case MESSAGE_LIMIT:
		log_escape(why, sizeof(why), str_make(message->text, message->text_len));
		if (message->number == LIMIT_NONE || message->number >= LIMIT_N) {
			log_critical("the balancer named a limit that there is not; killing it");
			child_signal_group(&supervisor->child, SIGKILL);
		} else if (worker != NULL && message->number == LIMIT_MEMORY) {
			evidence_limit(&spawner->evidence, worker, LIMIT_MEMORY, why);
		} else if (worker != NULL) {
			ladder_condemn(worker, (enum limit)message->number, why);
		}
		break;
	case MESSAGE_WARMED:
		log_escape(why, sizeof(why), str_make(message->text, message->text_len));
		if (worker != NULL && worker_is_cold(worker) && message->text_len > 0)
			worker_fail(worker, 0, "%s", why);
		else if (worker != NULL && worker_is_cold(worker))
			worker_warmed(worker);
		break;
	case MESSAGE_HOOK:
		do_hook(spawner, message);
		break;
	case MESSAGE_MARKED:
		control_server_marked(&spawner->control, message->number);
		reload_taken_up(spawner, message->number);
		break;
	case MESSAGE_DRAINED:
		/* it exits now; see supervisor_end() */
		log_info("the balancer has finished everything");
		break;
	default:
		log_critical("the balancer sent %s, which is not its to send; killing it", message_name(message->type));
		child_signal_group(&supervisor->child, SIGKILL);
		break;
	}
}

static void
balancer_started(struct supervisor *supervisor)
{
	tell_everything(supervisor->owner);
}

static void
balancer_hung(struct supervisor *supervisor, const char *why)
{
	struct spawner *spawner = supervisor->owner;

	evidence_balancer(&spawner->evidence, supervisor->child.pid, why);
}

static void
balancer_ended(struct supervisor *supervisor)
{
	struct spawner *spawner = supervisor->owner;

	if (supervisor == &spawner->before) {
		tell_simple(spawner, MESSAGE_ALONE, 0, -1);
		upgrade_retire_unused(spawner);
		log_notice("the balancer before has gone");
	}
	ending_balancer_gone(spawner);
}

static void
balancer_serving(struct supervisor *supervisor)
{
	struct spawner *spawner = supervisor->owner;
	char addresses[1024];

	if (spawner->state != SPAWNER_STARTING) {
		log_notice("a new balancer (pid %d) serves", supervisor->child.pid);
		upgrade_serving(spawner);
		return;
	}
	spawner->state = SPAWNER_SERVING;
	listeners_text(spawner->listeners, addresses, sizeof(addresses));
	char apps[512] = "";
	for (size_t i = 0; i < spawner->config->app_count; i++) {
		size_t len = strlen(apps);
		if (spawner->config->apps[i]->enabled)
			str_format(apps + len, sizeof(apps) - len, "%s%s", len > 0 ? ", " : "",
			           spawner->config->apps[i]->name);
	}
	log_notice("passenger %s serves %s on %s (pid %d, instance %s in %s)", PASSENGER_VERSION, apps, addresses,
	           (int)getpid(), spawner->instance_name, spawner->place->dir);
	notify_send(&spawner->notify, "READY=1\nMAINPID=%d\nSTATUS=serves %.400s on %.400s", (int)getpid(), apps,
	            addresses);
}

const struct supervisor_events heed_events = {
	.started = balancer_started,
	.message = from_balancer,
	.serving = balancer_serving,
	.hung = balancer_hung,
	.ended = balancer_ended,
};
