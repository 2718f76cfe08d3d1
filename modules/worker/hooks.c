#include "worker/hooks.h"

#include "base/log.h"
#include "config/app_type.h"
#include "worker/environment.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* As the original calls them in PASSENGER_HOOK_NAME. */
static const char *const names[CONFIG_HOOK_N] = {
	[CONFIG_HOOK_ATTACHED_PROCESS] = "attached_process",
	[CONFIG_HOOK_DETACHED_PROCESS] = "detached_process",
	[CONFIG_HOOK_SPAWN_FAILED] = "spawn_failed",
	[CONFIG_HOOK_QUEUE_FULL] = "queue_full_error",
	[CONFIG_HOOK_MAX_REQUEST_TIME_REACHED] = "max_request_time_reached",
};

static const struct capture_sink main_log = {.fd = -1};

struct hook {
	struct list_node node; /* hooks->running or waiting */
	struct hooks *hooks;
	struct child child;
	struct capture capture;
	struct timer timer;
	struct plan_draft plan;
	struct grave grave;
	char title[CONFIG_NAME_BYTES_MAX + 64]; /* "hook spawn_failed of application blog" */
};

void
hooks_init(struct hooks *hooks)
{
	list_init(&hooks->running);
	list_init(&hooks->waiting);
	hooks->time_ms = HOOKS_TIME_MS;
}

static void
hook_bury(struct grave *grave)
{
	free(container_of(grave, struct hook, grave));
}

static void
hook_end(struct hook *hook)
{
	list_remove(&hook->node);
	timer_cancel(hook->hooks->loop, &hook->timer);
	plan_draft_free(&hook->plan);
	if (hook->capture.loop != NULL)
		capture_free(&hook->capture);
	loop_bury(hook->hooks->loop, &hook->grave);
}

static void start_waiting(struct hooks *hooks);

static void
hook_ended(struct child *child, const struct child_end *end)
{
	struct hook *hook = container_of(child, struct hook, child);
	struct hooks *hooks = hook->hooks;
	char how[CHILD_END_BYTES];

	capture_close(&hook->capture);
	child_end_text(end, how);
	if (end->by_signal || end->number != 0)
		log_warn("%s: the program %s", hook->title, how);
	hook_end(hook);
	start_waiting(hooks);
	if (hooks_are_idle(hooks))
		hooks->idle(hooks);
}

static void
hook_due(struct timer *timer)
{
	struct hook *hook = container_of(timer, struct hook, timer);

	log_warn("%s: the program has not ended within %llu s and is killed", hook->title,
	         (unsigned long long)hook->hooks->time_ms / 1000);
	child_signal_group(&hook->child, SIGKILL);
	/* at the end of passenger those that wait behind one that hangs are left out */
	while (hook->hooks->time_ms == HOOKS_LAST_MS && hook->hooks->waiting.count > 0)
		hook_end(container_of(list_first(&hook->hooks->waiting), struct hook, node));
}

/* `passenger exec` becomes the program; what it has to complain of stands between the program's own output. */
static bool
start(struct hook *hook)
{
	static const char *const argv[] = {"passenger", "exec", NULL};
	static const char *const envp[] = {NULL};
	int output[2] = {-1, -1}, nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
	int plan = plan_draft_seal(&hook->plan);
	bool done = nothing >= 0 && plan >= 0 && pipe2(output, O_CLOEXEC) == 0 &&
	            fcntl(output[0], F_SETFL, O_NONBLOCK) == 0;
	const struct child_fd fds[] = {
		{nothing, 0}, {output[1], 1}, {output[1], 2}, {plan, PLAN_FD_PLAN}, {output[1], PLAN_FD_ERROR}};

	done = done && child_start(hook->hooks->children, &hook->child, argv, envp, fds, array_count(fds));
	int saved = errno, ours[] = {nothing, plan, output[1], done ? -1 : output[0]};
	for (size_t i = 0; i < array_count(ours); i++)
		if (ours[i] >= 0)
			close(ours[i]);
	errno = saved;
	if (done) {
		char prefix[sizeof(hook->title) + 32];
		str_format(prefix, sizeof(prefix), "%s (%d) output: ", hook->title, hook->child.pid);
		capture_open(&hook->capture, hook->hooks->loop, &main_log, output[0], prefix);
		timer_set(hook->hooks->loop, &hook->timer, hook->hooks->time_ms);
	}
	return done;
}

static void
start_waiting(struct hooks *hooks)
{
	while (hooks->running.count < HOOKS_RUNNING_MAX && hooks->waiting.count > 0) {
		struct hook *hook = container_of(list_first(&hooks->waiting), struct hook, node);
		list_remove(&hook->node);
		list_append(&hooks->running, &hook->node);
		if (start(hook))
			continue;
		log_error("%s: no process could be made for it: %s", hook->title, strerror(errno));
		hook_end(hook);
	}
}

/* What strangers have said: bounded, and on one line. */
static void
add_fact(struct plan_draft *plan, const char *name, const char *value)
{
	char text[HOOK_VALUE_BYTES];

	str_cut_z(text, sizeof(text), str_from(value));
	for (char *at = text; *at != '\0'; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			*at = '?';
	plan_draft_variable(plan, name, text);
}

static void
make_plan(struct hook *hook, const struct app_config *app, enum config_hook number, const struct hook_fact *facts,
          size_t fact_count)
{
	struct app_argv argv = {.count = 0};
	bool own_user = app->config->hook_user != NULL && geteuid() == 0;
	struct plan_draft *plan = &hook->plan;

	plan_draft_init(plan, "/", "", "");
	/* it was checked when it was read */
	if (app_argv_split(&argv, str_from(app->hooks[number])))
		for (size_t i = 0; i < argv.count; i++)
			plan_draft_argument(plan, argv.words[i]);
	app_argv_free(&argv);
	plan->head.descriptors_soft = hook->hooks->descriptors_soft;
	environment_of_user(plan, own_user ? app->config->hook_uid : app->uid,
	                    own_user ? app->config->hook_gid : app->gid);
	add_fact(plan, "PASSENGER_HOOK_NAME", names[number]);
	add_fact(plan, "PASSENGER_APP_NAME", app->name);
	add_fact(plan, "PASSENGER_APP_ROOT", app->root);
	add_fact(plan, "PASSENGER_APP_GROUP_NAME", app->app_group_name);
	for (size_t i = 0; i < fact_count; i++)
		add_fact(plan, facts[i].name, facts[i].value);
}

void
hooks_run(struct hooks *hooks, const struct app_config *app, enum config_hook number, const struct hook_fact *facts,
          size_t fact_count)
{
	if (app->hooks[number] == NULL)
		return;
	if (hooks->waiting.count >= HOOKS_WAITING_MAX) {
		log_warn("hook %s of application %s is left out: %d run and %d wait already", names[number], app->name,
		         HOOKS_RUNNING_MAX, HOOKS_WAITING_MAX);
		return;
	}
	struct hook *hook = calloc(1, sizeof(*hook));
	if (hook == NULL)
		abort();
	hook->hooks = hooks;
	hook->child.pidfd = -1;
	hook->child.ended = hook_ended;
	hook->timer.due = hook_due;
	hook->grave.bury = hook_bury;
	str_format(hook->title, sizeof(hook->title), "hook %s of application %s", names[number], app->name);
	make_plan(hook, app, number, facts, fact_count);
	list_append(&hooks->waiting, &hook->node);
	start_waiting(hooks);
}

void
hooks_hurry(struct hooks *hooks)
{
	if (hooks->time_ms == HOOKS_LAST_MS)
		return;
	hooks->time_ms = HOOKS_LAST_MS;
	list_each (&hooks->running, node)
		timer_set(hooks->loop, &container_of(node, struct hook, node)->timer, HOOKS_LAST_MS);
}
