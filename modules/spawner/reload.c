#include "spawner/reload.h"

#include "base/log.h"
#include "spawner/restart.h"
#include "spawner/tell.h"
#include "worker/preloader.h"

#include <errno.h>
#include <unistd.h>

struct reload_counts {
	unsigned added, removed, changed;
};

/* The application of the same name, or NULL. */
static const struct app_config *
same_app(const struct config *config, const struct app_config *app)
{
	const struct app_config *other = config_app_by_id(config, app->id);

	return other != NULL && strcmp(other->name, app->name) == 0 ? other : NULL;
}

static void
tell_generation(struct spawner *spawner, const struct listeners_change *change)
{
	struct message message;

	tell_simple(spawner, MESSAGE_CONFIG, (uint64_t)lseek(spawner->config_fd, 0, SEEK_END), spawner->config_fd);
	for (size_t i = 0; i < change->listeners.count; i++) {
		message_init(&message, MESSAGE_LISTENER);
		message.number = i;
		message.slot = (uint32_t)change->before[i];
		tell(spawner, &message, change->before[i] == 0 ? change->listeners.bound[i].fd : -1);
	}
	tell_simple(spawner, MESSAGE_BEGIN, 0, -1);
}

/* A process stays with the options that it was started with; if these have not changed, with the new limits. */
static void
rebind_workers(struct workers *workers, const struct config *config)
{
	for (size_t state = 0; state < WORKER_STATE_N; state++) {
		list_each (&workers->states[state], node) {
			struct worker *worker = container_of(node, struct worker, node);
			const struct app_config *app = same_app(config, worker->app), *before = worker->app;
			bool unborn = state == WORKER_STARTING && worker->child.pid == 0;
			/* a type of the ini is another one in each generation */
			if (app == NULL || strcmp(app->type->name, before->type->name) != 0 ||
			    (!unborn && !config_same_start(before, app)))
				continue;
			config_retain(app->config);
			worker->app = app;
			config_release(before->config);
		}
	}
}

static void
add_app(struct workers *workers, const struct app_config *app)
{
	/* the id may have been another one's */
	attempts_forget(&workers->attempts[app->id]);
	buf_free(&workers->maintenance[app->id]);
	buf_free(&workers->roots[app->id]);
	memset((void *)&workers->board->groups[app->id], 0, sizeof(workers->board->groups[app->id]));
}

/* Ready processes are the balancer's affair. */
static void
remove_app(struct workers *workers, const struct app_config *app)
{
	workers->generations[app->id]++;
	restart_give_up_starts(workers, app, NULL, "the application has been taken out of the configuration");
	preloader_renew(workers, app->id);
	log_notice("application %s: removed", app->name);
}

static void
reconcile_apps(struct spawner *spawner, const struct config *before, struct reload_counts *counts)
{
	const struct config *config = spawner->config;

	for (size_t i = 0; i < before->app_count; i++) {
		const struct app_config *app = before->apps[i], *now = same_app(config, app);
		if (app->enabled && (now == NULL || !now->enabled)) {
			remove_app(&spawner->workers, app);
			counts->removed++;
		}
	}
	for (size_t i = 0; i < config->app_count; i++) {
		const struct app_config *app = config->apps[i], *had = same_app(before, app);
		if (!app->enabled)
			continue;
		if (had != NULL && had->enabled && !config_same_start(had, app)) {
			restart_begin(spawner, app, RESTART_ROLLING, "restart, as its options have changed");
			counts->changed++;
			continue;
		}
		if (had == NULL || !had->enabled) {
			log_notice("application %s: added", app->name);
			counts->added++;
		}
		tell_restart(spawner, app->id, false);
	}
}

static void
note_unchanged(const struct config *before, const struct config *after)
{
	struct buf names = {0};

	config_needs_restart(before, after, &names);
	if (names.len > 0)
		log_warn("reload: %.*s: a change needs a restart of passenger; the old value holds until then",
		         (int)names.len, names.data);
	buf_free(&names);
}

/* The generation can be taken from here on. */
static void
carry_out(struct spawner *spawner, struct config *fresh, int config_fd, struct listeners_change *change,
          struct reload_counts *counts)
{
	struct config *before = spawner->config;
	char error[LOG_FILES_ERROR_BYTES];

	note_unchanged(before, fresh);
	close(spawner->config_fd);
	spawner->config_fd = config_fd;
	spawner->config = fresh;
	spawner->workers.config = fresh;
	log_set_level((enum log_level)fresh->log_level);
	for (size_t i = 0; i < fresh->app_count; i++)
		if (same_app(before, fresh->apps[i]) == NULL)
			add_app(&spawner->workers, fresh->apps[i]);
	rebind_workers(&spawner->workers, fresh);
	tell_generation(spawner, change);
	listeners_carry_out(change, spawner->listeners, before);
	if (!log_files_open(&spawner->logs, fresh, error))
		log_error("%s; the old one is written on", error);
	if (!log_files_open_sinks(spawner->workers.sinks, fresh, error))
		log_error("%s", error);
	tell_simple(spawner, MESSAGE_ACCESS_LOG, 0, spawner->logs.access_fd);
	tell_simple(spawner, MESSAGE_SLOW_LOG, 0, spawner->logs.slow_fd);
	reconcile_apps(spawner, before, counts);
	restart_files_configure(&spawner->restart_files, fresh);
	config_release(before);
}

/* The balancer's user, when it has one of its own, is nobody else's. */
static const struct app_config *
app_of_balancers_user(const struct spawner *spawner, const struct config *config)
{
	for (size_t i = 0; i < config->app_count && spawner->supervisor.uid != geteuid(); i++)
		if (config->apps[i]->uid == spawner->supervisor.uid)
			return config->apps[i];
	return NULL;
}

static struct config *
load(struct spawner *spawner, struct listeners_change *change, int *config_fd, char *text, size_t text_size)
{
	struct config_source source = *spawner->source;
	struct config_error error;
	char reason[LISTENERS_ERROR_BYTES];

	source.previous = spawner->config;
	struct config *fresh = config_load(&source, &error);
	if (fresh == NULL) {
		str_format(text, text_size, "the configuration is wrong, and nothing was changed: %s", error.text);
		return NULL;
	}
	const struct app_config *app = app_of_balancers_user(spawner, fresh);
	if (app != NULL) {
		str_format(text, text_size,
		           "nothing was changed: application %s runs as uid %u, which the balancer has; restart "
		           "passenger, or set `user` in [passenger]",
		           app->name, app->uid);
		config_release(fresh);
		return NULL;
	}
	if (!listeners_prepare(change, spawner->listeners, spawner->config, fresh, reason)) {
		str_format(text, text_size, "nothing was changed: %s", reason);
		config_release(fresh);
		return NULL;
	}
	*config_fd = tell_config_fd(fresh);
	if (*config_fd < 0) {
		str_format(text, text_size, "nothing was changed: the configuration can not be put into memory: %s",
		           strerror(errno));
		listeners_take_back(change, fresh);
		config_release(fresh);
		return NULL;
	}
	return fresh;
}

bool
reload_begin(struct spawner *spawner, char *text, size_t text_size)
{
	static struct listeners_change change; /* large */
	struct reload_counts counts = {.added = 0};
	struct config *fresh;
	int config_fd;

	if (spawner->upgrade.state == UPGRADE_TAKING_OVER) {
		str_format(text, text_size, "an upgrade is under way, and nothing was changed; try again in a moment");
		return false;
	}
	if (spawner->state != SPAWNER_SERVING) {
		str_format(text, text_size, "passenger is %s: nothing was changed",
		           spawner->state == SPAWNER_STARTING ? "starting" : "stopping");
		return false;
	}
	notify_send(&spawner->notify, "RELOADING=1\nMONOTONIC_USEC=%llu",
	            (unsigned long long)clock_monotonic_ms() * 1000);
	fresh = load(spawner, &change, &config_fd, text, text_size);
	if (fresh != NULL) {
		carry_out(spawner, fresh, config_fd, &change, &counts);
		cgroups_update(&spawner->cgroups, fresh);
		str_format(text, text_size, "reloaded: %u application%s added, %u removed, %u restarted", counts.added,
		           counts.added == 1 ? "" : "s", counts.removed, counts.changed);
		tell_mark(spawner);
		spawner->reload_mark = spawner->control.mark;
		log_notice("%s", text);
	} else {
		notify_send(&spawner->notify, "READY=1");
		log_error("%s", text);
	}
	return fresh != NULL;
}

void
reload_taken_up(struct spawner *spawner, uint64_t mark)
{
	if (spawner->reload_mark == 0 || mark < spawner->reload_mark)
		return;
	spawner->reload_mark = 0;
	notify_send(&spawner->notify, "READY=1");
}
