#include "worker/environment.h"

#include "base/log.h"
#include "config/app_type.h"

#include <pwd.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define STANDARD_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

enum { PATH_BYTES = 512 };

struct account {
	char name[64], home[256], shell[128];
};

static void
find_account(uint32_t uid, struct account *account)
{
	const struct passwd *entry = getpwuid(uid);

	str_format(account->name, sizeof(account->name), "%u", uid);
	str_cut_z(account->home, sizeof(account->home), STR("/"));
	str_cut_z(account->shell, sizeof(account->shell), STR("/bin/sh"));
	if (entry == NULL)
		return;
	str_cut_z(account->name, sizeof(account->name), str_from(entry->pw_name));
	str_cut_z(account->home, sizeof(account->home), str_from(entry->pw_dir));
	if (entry->pw_shell != NULL && entry->pw_shell[0] != '\0')
		str_cut_z(account->shell, sizeof(account->shell), str_from(entry->pw_shell));
}

/* The shells that take -l and -c and leave our descriptors alone; "" is passed by: nologin has no start files. */
static const char *
login_shell(const struct app_config *app, const struct account *account)
{
	static const char *const names[] = {"bash", "zsh", "ksh", "ksh93", "mksh", "sh", "dash", "ash"};
	const char *slash = strrchr(account->shell, '/');

	if (!app->load_shell_envvars)
		return "";
	for (size_t i = 0; slash != NULL && i < array_count(names); i++)
		if (strcmp(slash + 1, names[i]) == 0)
			return account->shell;
	log_info("application %s: load_shell_envvars does nothing: %s is no bash, zsh, ksh or sh", app->name,
	         account->shell);
	return "";
}

/* Given by the application's own env.NAME?  app: NULL, what is no application has none. */
static const char *
own_variable(const struct app_config *app, const char *name)
{
	for (size_t i = 0; app != NULL && i < app->env_count; i++)
		if (strcmp(app->env[i].name, name) == 0)
			return app->env[i].value;
	return NULL;
}

static void
add_variable(struct plan_draft *draft, const struct app_config *app, const char *name, const char *value)
{
	if (own_variable(app, name) == NULL)
		plan_draft_variable(draft, name, value);
}

/* The language settings of ours; without any, UTF-8, which is what applications are written for. */
static void
add_locale(struct plan_draft *draft, const struct app_config *app)
{
	static const char *const names[] = {"LANG",        "LC_ALL",  "LC_CTYPE",    "LC_COLLATE",
	                                    "LC_MESSAGES", "LC_TIME", "LC_MONETARY", "LC_NUMERIC"};
	bool any = false;

	for (size_t i = 0; i < array_count(names); i++) {
		const char *value = getenv(names[i]);
		if (value == NULL)
			continue;
		add_variable(draft, app, names[i], value);
		any = true;
	}
	if (!any)
		add_variable(draft, app, "LANG", "C.UTF-8");
}

static void
add_path(struct plan_draft *draft, const struct app_config *app)
{
	const char *path = getenv("PATH");

	add_variable(draft, app, "PATH", path != NULL && path[0] != '\0' ? path : STANDARD_PATH);
	add_locale(draft, app);
}

static void
add_account(struct plan_draft *draft, const struct app_config *app, const struct account *account)
{
	add_variable(draft, app, "HOME", account->home);
	add_variable(draft, app, "USER", account->name);
	add_variable(draft, app, "LOGNAME", account->name);
	add_variable(draft, app, "SHELL", account->shell);
}

static void
set_identity(struct plan *plan, uint32_t uid, uint32_t gid, const struct account *account)
{
	plan->parent = getpid();
	plan->uid = uid;
	plan->gid = gid;
	/* an account that is only a number has no groups but its own */
	if (getpwuid(uid) != NULL)
		str_cut_z(plan->user, sizeof(plan->user), str_from(account->name));
}

/* What the original gives, under its names. */
static void
add_ours(struct plan_draft *draft, const struct worker *worker, const struct account *account)
{
	static const char *const env_names[] = {"RAILS_ENV", "RACK_ENV", "WSGI_ENV", "NODE_ENV", "PASSENGER_APP_ENV"};
	static const char *const base_names[] = {"RAILS_RELATIVE_URL_ROOT", "RACK_BASE_URI"};
	const struct app_config *app = worker->app;

	add_account(draft, app, account);
	add_variable(draft, app, "PWD", workers_root(worker->table, app));
	for (size_t i = 0; i < array_count(env_names); i++)
		add_variable(draft, app, env_names[i], app->app_env);
	add_variable(draft, app, "IN_PASSENGER", "1");
	add_variable(draft, app, "PYTHONUNBUFFERED", "1");
	add_variable(draft, app, "PASSENGER_BASE_URI", app->base_uri);
	for (size_t i = 0; i < array_count(base_names) && strcmp(app->base_uri, "/") != 0; i++)
		add_variable(draft, app, base_names[i], app->base_uri);
}

/* What its readiness gives. */
static void
add_given(struct plan_draft *draft, const struct worker *worker)
{
	char text[PATH_BYTES];

	switch ((enum app_readiness)worker->app->readiness) {
	case APP_READY_PORT:
		str_format(text, sizeof(text), "%u", worker->record.port);
		plan_draft_variable(draft, "PORT", text);
		break;
	case APP_READY_SOCKET:
		str_format(text, sizeof(text), "%s%s/socket", worker->table->programs_dir,
		           strrchr(worker->record.socket_path, '/'));
		plan_draft_variable(draft, "PASSENGER_SOCKET", text);
		break;
	case APP_READY_DESCRIPTOR:
		plan_draft_variable(draft, "LISTEN_FDS", "1");
		plan_draft_variable(draft, "LISTEN_FDNAMES", "http");
		plan_draft_variable(draft, "LISTEN_PID", ""); /* `passenger exec` knows it */
		break;
	case APP_READY_CONTROL:
	case APP_READY_N:
		break;
	}
}

static void
add_variables(struct plan_draft *draft, const struct worker *worker, const struct account *account)
{
	const struct app_config *app = worker->app;
	char word[CONFIG_NAME_BYTES_MAX * 4];

	add_path(draft, app);
	draft->head.soft_count = draft->head.variable_count;
	add_ours(draft, worker, account);
	if (app->type->takes_command) {
		add_variable(draft, app, "PASSENGER_INTERPRETER", app_config_interpreter(app, word));
		if (app->startup_file != NULL)
			add_variable(draft, app, "PASSENGER_STARTUP_FILE", app->startup_file);
	}
	draft->head.ours_count = draft->head.variable_count;
	/* by this mark what the process leaves behind is found; it is no secret */
	plan_draft_variable(draft, "PASSENGER_PROCESS", worker->record.gupid);
	for (size_t i = 0; i < app->env_count; i++)
		plan_draft_variable(draft, app->env[i].name, app->env[i].value);
	add_given(draft, worker);
}

/* What is written in so many words goes before app_file_descriptor_ulimit. */
static void
add_limits(struct plan *plan, const struct app_config *app)
{
	if (app->rlimits != NULL)
		plan->limit_count = (uint32_t)config_rlimits_parse(plan->limits, str_from(app->rlimits));
	for (uint32_t i = 0; i < plan->limit_count; i++)
		if (plan->limits[i].resource == RLIMIT_NOFILE)
			return;
	uint64_t files = (uint64_t)app->app_file_descriptor_ulimit;
	if (files > 0)
		plan->limits[plan->limit_count++] = (struct config_rlimit){RLIMIT_NOFILE, files, files};
}

bool
environment_plan(struct worker *worker, struct plan_draft *draft, char *sentence, size_t sentence_size)
{
	const struct app_config *app = worker->app;
	struct app_argv argv = {.count = 0};
	struct account account;
	char loader[512] = "", error[256] = "";

	if (app->type->loader != NULL)
		str_format(loader, sizeof(loader), "%s/%s", worker->table->loaders_dir, app->type->loader_name);
	if (!app->type->argv(app, app->type->loader != NULL ? loader : NULL, &argv, error, sizeof(error))) {
		str_format(sentence, sentence_size, "%s", error);
		return false;
	}
	find_account(app->uid, &account);
	str_cut_z(worker->user, sizeof(worker->user), str_from(account.name));
	plan_draft_init(draft, workers_root(worker->table, app), app->env_file != NULL ? app->env_file : "",
	                login_shell(app, &account));
	set_identity(&draft->head, app->uid, app->gid, &account);
	draft->head.readiness = (uint32_t)app->readiness;
	draft->head.descriptors_soft = worker->table->descriptors_soft;
	add_limits(&draft->head, app);
	for (size_t i = 0; i < argv.count; i++)
		plan_draft_argument(draft, argv.words[i]);
	add_variables(draft, worker, &account);
	app_argv_free(&argv);
	return true;
}

void
environment_of_user(struct plan_draft *draft, uint32_t uid, uint32_t gid)
{
	struct account account;

	find_account(uid, &account);
	set_identity(&draft->head, uid, gid, &account);
	add_path(draft, NULL);
	add_account(draft, NULL, &account);
}
