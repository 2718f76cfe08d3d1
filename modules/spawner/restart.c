#include "spawner/restart.h"

#include "base/log.h"
#include "spawner/tell.h"
#include "worker/preloader.h"

void
restart_give_up_starts(struct workers *workers, const struct app_config *app, const struct app_config *keep,
                       const char *why)
{
	list_each (&workers->states[WORKER_STARTING], node) {
		struct worker *worker = container_of(node, struct worker, node);
		if (worker->app->id != app->id || worker->role != NULL)
			continue;
		if (worker->child.pid != 0)
			worker_fail(worker, 0, "%s", why);
		else if (worker->app == keep)
			/* the new preloader will make it */
			worker->record.generation = workers->generations[app->id];
		else
			worker_abandon(worker, why);
	}
}

void
restart_begin(struct spawner *spawner, const struct app_config *app, enum restart_how how, const char *why)
{
	struct workers *workers = &spawner->workers;
	bool at_once = how == RESTART_AT_ONCE;

	if (how != RESTART_WARM)
		buf_free(&workers->roots[app->id]);
	/* who restarts has mended what was wrong: no need to wait */
	attempts_forget(&workers->attempts[app->id]);
	workers->generations[app->id]++;
	log_notice("application %s: %s%s", app->name, why, at_once ? ", at once" : "");
	tell_restart(spawner, app->id, at_once);
	restart_give_up_starts(workers, app, app, "a restart came before it was ready");
	preloader_renew(workers, app->id);
}

void
restart_always(struct spawner *spawner, uint32_t app_id)
{
	const struct app_config *app = config_app_by_id(spawner->config, app_id);

	if (app != NULL && app->id < SCOREBOARD_GROUPS && spawner->state <= SPAWNER_SERVING &&
	    atomic_load(&spawner->board->groups[app->id].always_restart) != 0)
		restart_begin(spawner, app, RESTART_AT_ONCE, "restart for a request, as always_restart.txt is there");
}
