/*
 * Who runs what.  Root gives every application a user: the one that is written,
 * else the owner of its startup file, else default_user; never root unless the
 * ini says so in so many words.  With user_switching = off it is default_user
 * for all.  Who is not root can only be himself.
 */
#include "config/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOBODY = 65534, GROUPS_MAX = 1024 };

static bool
to_id(struct str text, uint32_t *id)
{
	uint64_t number;
	/* UINT32_MAX means "leave it" to chown and setresuid. */
	if (!str_to_u64(text, &number) || number >= UINT32_MAX)
		return false;
	*id = (uint32_t)number;
	return true;
}

/* *has_gid: the passwd file knows the user's group. */
static bool
find_user(const char *text, uint32_t *uid, uint32_t *gid, bool *has_gid)
{
	const struct passwd *entry = getpwnam(text);
	if (entry == NULL && to_id(str_from(text), uid)) {
		entry = getpwuid(*uid);
		*has_gid = entry != NULL;
		if (entry != NULL)
			*gid = entry->pw_gid;
		return true;
	}
	if (entry == NULL)
		return false;
	*uid = entry->pw_uid;
	*gid = entry->pw_gid;
	*has_gid = true;
	return true;
}

static bool
find_group(const char *text, uint32_t *gid)
{
	const struct group *entry = getgrnam(text);
	if (entry == NULL)
		return to_id(str_from(text), gid);
	*gid = entry->gr_gid;
	return true;
}

static bool
fail_no_account(struct config_reading *reading, uint32_t line, const char *option, const char *text, const char *kind)
{
	return config_fail_value(reading, line, str_from(option), str_from(text),
	                         "there is no such %s; expected a name from /etc/%s or a number", kind,
	                         strcmp(kind, "user") == 0 ? "passwd" : "group");
}

/* The user and group for applications of root's. */
static bool
resolve_default_user(struct config_reading *reading, uint32_t *uid, uint32_t *gid)
{
	const struct config *config = reading->config;
	const struct config_section *section = &reading->passenger;
	bool has_gid = false;
	if (!find_user(config->default_user, uid, gid, &has_gid)) {
		if (strcmp(config->default_user, "nobody") != 0)
			return fail_no_account(reading, config_line(section, "default_user", OPTION_IN_PASSENGER),
			                       "default_user", config->default_user, "user");
		/* A container without a passwd file: the number is the same everywhere. */
		*uid = NOBODY;
	}
	if (!has_gid)
		*gid = NOBODY;
	if (config->default_group != NULL && !find_group(config->default_group, gid))
		return fail_no_account(reading, config_line(section, "default_group", OPTION_IN_PASSENGER),
		                       "default_group", config->default_group, "group");
	if (*uid == 0)
		return config_fail_value(reading, config_line(section, "default_user", OPTION_IN_PASSENGER),
		                         STR("default_user"), str_from(config->default_user),
		                         "expected a user that is not root");
	return true;
}

/* The owner of the startup file itself, not of what a link points at; of root when there is no file. */
static bool
find_owner(struct config_reading *reading, const struct config_reading_app *app, struct stat *status)
{
	const struct app_config *of = app->app;
	int root = open(of->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	bool sound = root >= 0 &&
	             (of->startup_file != NULL ? fstatat(root, of->startup_file, status, AT_SYMLINK_NOFOLLOW) == 0
	                                       : fstat(root, status) == 0);
	int error = errno;
	if (root >= 0)
		close(root);
	return sound || config_fail(reading, app->section.line, app->section.title, "%s can not be looked at: %s",
	                            of->root, strerror(error));
}

static bool
resolve_written_user(struct config_reading *reading, struct config_reading_app *app)
{
	struct app_config *of = app->app;
	uint32_t line = config_line(&app->section, "user", OPTION_IN_APP);
	bool has_gid = false;
	if (!find_user(of->user, &of->uid, &of->gid, &has_gid))
		return fail_no_account(reading, line, "user", of->user, "user");
	if (of->uid == 0 && strcmp(of->user, "root") != 0)
		return config_fail_value(reading, line, STR("user"), str_from(of->user),
		                         "this is root; expected user = root, if the application really is to be root");
	if (!has_gid && of->group == NULL)
		return config_fail_value(reading, line, STR("user"), str_from(of->user),
		                         "this number is not in /etc/passwd; expected a line group = NAME as well");
	return true;
}

static bool
resolve_owner(struct config_reading *reading, struct config_reading_app *app)
{
	struct app_config *of = app->app;
	struct stat status;
	if (!find_owner(reading, app, &status))
		return false;
	if (status.st_uid == 0)
		return resolve_default_user(reading, &of->uid, &of->gid);
	const struct passwd *entry = getpwuid(status.st_uid);
	of->uid = status.st_uid;
	/* An owner without a name (a container's volume) has the group of the file. */
	of->gid = entry != NULL ? entry->pw_gid : status.st_gid != 0 ? status.st_gid : NOBODY;
	return true;
}

/* The written group, or the one of the startup file. */
static bool
resolve_group(struct config_reading *reading, struct config_reading_app *app)
{
	struct app_config *of = app->app;
	uint32_t line = config_line(&app->section, "group", OPTION_IN_APP);
	struct stat status;
	if (strcmp(of->group, CONFIG_GROUP_OF_STARTUP_FILE) != 0)
		return find_group(of->group, &of->gid) || fail_no_account(reading, line, "group", of->group, "group");
	if (!find_owner(reading, app, &status))
		return false;
	of->gid = status.st_gid;
	if (of->gid == 0 && of->uid != 0)
		return config_fail_value(
			reading, line, STR("group"), str_from(of->group),
			"the startup file's group is root's; expected a group by name, or a startup file "
			"of another group");
	return true;
}

/* user_switching = off: nobody is somebody else. */
static bool
resolve_unswitched(struct config_reading *reading, struct config_reading_app *app)
{
	static const char *const names[] = {"user", "group"};
	for (size_t i = 0; i < array_count(names); i++) {
		uint32_t line = app->section.lines[config_row(names[i], OPTION_IN_APP)];
		if (line != 0)
			return config_fail(reading, line, names[i],
			                   "can not be chosen while user_switching is off: all applications run as "
			                   "default_user");
	}
	return resolve_default_user(reading, &app->app->uid, &app->app->gid);
}

static bool
resolve_app_of_root(struct config_reading *reading, struct config_reading_app *app)
{
	const struct app_config *of = app->app;
	if (!reading->config->user_switching)
		return resolve_unswitched(reading, app);
	if (!(of->user != NULL ? resolve_written_user(reading, app) : resolve_owner(reading, app)))
		return false;
	return of->group == NULL || resolve_group(reading, app);
}

static bool
resolve_app_of_user(struct config_reading *reading, struct config_reading_app *app)
{
	struct app_config *of = app->app;
	uint32_t gid;
	bool has_gid;
	of->uid = geteuid();
	of->gid = getegid();
	uint32_t uid = of->uid;
	if (of->user != NULL && !find_user(of->user, &uid, &gid, &has_gid))
		return fail_no_account(reading, config_line(&app->section, "user", OPTION_IN_APP), "user", of->user,
		                       "user");
	if (uid != of->uid)
		return config_fail_value(reading, config_line(&app->section, "user", OPTION_IN_APP), STR("user"),
		                         str_from(of->user),
		                         "only root can run an application as another user; start passenger as root");
	gid = of->gid;
	if (of->group != NULL && strcmp(of->group, CONFIG_GROUP_OF_STARTUP_FILE) != 0 && !find_group(of->group, &gid))
		return fail_no_account(reading, config_line(&app->section, "group", OPTION_IN_APP), "group", of->group,
		                       "group");
	if (gid != of->gid)
		return config_fail_value(reading, config_line(&app->section, "group", OPTION_IN_APP), STR("group"),
		                         str_from(of->group),
		                         "only root can run an application in another group; start passenger as root");
	return true;
}

/* The balancer's own user. */
static bool
check_balancer_user(struct config_reading *reading)
{
	const struct config *config = reading->config;
	uint32_t line = config_line(&reading->passenger, "user", OPTION_IN_PASSENGER), uid, gid;
	bool has_gid;
	if (config->user == NULL)
		return true;
	if (!find_user(config->user, &uid, &gid, &has_gid))
		return fail_no_account(reading, line, "user", config->user, "user");
	if (reading->source->privileged && uid == 0)
		return config_fail_value(
			reading, line, STR("user"), str_from(config->user),
			"the balancer reads from the network and is never root; expected another user, or "
			"no such line");
	if (!reading->source->privileged && uid != geteuid())
		return config_fail_value(reading, line, STR("user"), str_from(config->user),
		                         "only root can choose the balancer's user; start passenger as root");
	return true;
}

static bool
resolve_hook_user(struct config_reading *reading)
{
	struct config *config = reading->config;
	uint32_t line = config_line(&reading->passenger, "hook_user", OPTION_IN_PASSENGER);
	bool has_gid = false;
	if (config->hook_user == NULL)
		return true;
	config->hook_gid = NOBODY;
	if (!find_user(config->hook_user, &config->hook_uid, &config->hook_gid, &has_gid))
		return fail_no_account(reading, line, "hook_user", config->hook_user, "user");
	if (reading->source->privileged && config->hook_uid == 0 && strcmp(config->hook_user, "root") != 0)
		return config_fail_value(reading, line, STR("hook_user"), str_from(config->hook_user),
		                         "this is root; expected hook_user = root, if hooks really are to be root");
	if (!reading->source->privileged && config->hook_uid != geteuid())
		return config_fail_value(reading, line, STR("hook_user"), str_from(config->hook_user),
		                         "only root can choose the user of hooks; start passenger as root");
	return true;
}

static bool
is_own_group(uint32_t gid)
{
	gid_t groups[GROUPS_MAX];
	int count = getgroups(GROUPS_MAX, groups);
	for (int i = 0; i < count; i++)
		if (groups[i] == gid)
			return true;
	return gid == getegid();
}

static bool
resolve_listener(struct config_reading *reading, struct config_reading_listener *listener)
{
	struct listener_config *of = listener->listener;
	bool privileged = reading->source->privileged, has_gid;
	uint32_t gid;
	uint32_t owner_line = config_line(&listener->section, "owner", OPTION_IN_LISTENER);
	uint32_t group_line = config_line(&listener->section, "group", OPTION_IN_LISTENER);
	if (of->owner != NULL && !find_user(of->owner, &of->uid, &gid, &has_gid))
		return fail_no_account(reading, owner_line, "owner", of->owner, "user");
	if (of->owner != NULL && !privileged && of->uid != geteuid())
		return config_fail_value(reading, owner_line, STR("owner"), str_from(of->owner),
		                         "only root can give a socket to another user; start passenger as root");
	if (of->group != NULL && !find_group(of->group, &of->gid))
		return fail_no_account(reading, group_line, "group", of->group, "group");
	if (of->group != NULL && !privileged && !is_own_group(of->gid))
		return config_fail_value(reading, group_line, STR("group"), str_from(of->group),
		                         "only root can give a socket to a group that passenger's user is not in");
	return true;
}

bool
config_resolve_users(struct config_reading *reading)
{
	bool privileged = reading->source->privileged;
	uint32_t uid, gid;
	if (!check_balancer_user(reading) || !resolve_hook_user(reading) ||
	    (privileged && !resolve_default_user(reading, &uid, &gid)))
		return false;
	for (size_t i = 0; i < reading->listener_count; i++)
		if (!resolve_listener(reading, &reading->listeners[i]))
			return false;
	for (size_t i = 0; i < reading->app_count; i++)
		if (!(privileged ? resolve_app_of_root : resolve_app_of_user)(reading, &reading->apps[i]))
			return false;
	return true;
}
