#include "worker/cgroups.h"

#include "base/log.h"
#include "system/procfs.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PERIOD_US = 100000, CHILDREN_MAX = 1024 };

#define PREFIX "passenger-"

/* What a controller limits, in both versions. */
static const struct row {
	const char *unified, *separate; /* its file */
	const char *endless;            /* in version 1 */
} rows[CGROUP_CONTROLLER_N] = {
	[CGROUP_MEMORY] = {"memory.max", "memory.limit_in_bytes", "-1"},
	[CGROUP_CPU] = {"cpu.max", "cpu.cfs_quota_us", "-1"},
	[CGROUP_PIDS] = {"pids.max", "pids.max", "max"},
};

static uint64_t
wanted(const struct app_config *app, size_t controller)
{
	const uint64_t values[CGROUP_CONTROLLER_N] = {
		[CGROUP_MEMORY] = app->cgroup_memory_max,
		[CGROUP_CPU] = (uint64_t)app->cgroup_cpu_max * PERIOD_US / 100,
		[CGROUP_PIDS] = (uint64_t)app->cgroup_pids_max,
	};

	return values[controller];
}

static void
group_dir(const struct cgroup_place *place, const struct app_config *app, char out[CGROUP_PATH_BYTES])
{
	str_format(out, CGROUP_PATH_BYTES, "%s/" PREFIX "%d-%s", place->dir, (int)getpid(), app->name);
}

/* --- finding ---------------------------------------------------------------------- */

/* Groups of instances that were killed; who is in use can not be removed. */
static void
sweep(const char *dir)
{
	struct dirent *entry;
	char path[CGROUP_PATH_BYTES + 256];
	uint64_t pid;
	DIR *open_dir = opendir(dir);

	while (open_dir != NULL && (entry = readdir(open_dir)) != NULL) {
		struct str rest = str_from(entry->d_name), number;
		if (!str_starts(rest, STR(PREFIX)))
			continue;
		rest = str_make(rest.data + strlen(PREFIX), rest.len - strlen(PREFIX));
		if (!str_split(&rest, '-', &number) || !str_to_u64(number, &pid) || pid > INT32_MAX ||
		    kill((pid_t)pid, 0) == 0 || errno != ESRCH)
			continue;
		str_format(path, sizeof(path), "%s/%s", dir, entry->d_name);
		rmdir(path);
	}
	if (open_dir != NULL)
		closedir(open_dir);
}

/* Version 2: we leave the group, so that it may have groups with this controller. */
static bool
make_way(struct cgroup_place *place, const char *name)
{
	char own[CGROUP_PATH_BYTES + 32], text[32];
	int32_t children[CHILDREN_MAX];

	str_format(text, sizeof(text), "+%s", name);
	if (cgroup_write(place->dir, "cgroup.subtree_control", text))
		return true;
	str_format(own, sizeof(own), "%s/" PREFIX "%d", place->dir, (int)getpid());
	if (mkdir(own, 0755) != 0 && errno != EEXIST)
		return false;
	bool moved = cgroup_write(own, "cgroup.procs", "0");
	size_t count = moved ? procfs_children(getpid(), children, CHILDREN_MAX) : 0;
	for (size_t i = 0; i < count; i++) {
		char pid[16];
		str_format(pid, sizeof(pid), "%d", children[i]);
		/* one that is in another group already, or gone, is no matter */
		if (!cgroup_write(own, "cgroup.procs", pid))
			continue;
	}
	return moved && cgroup_write(place->dir, "cgroup.subtree_control", text);
}

/* We may have moved into the one of our own already. */
static bool
find(size_t controller, struct cgroup_place *place)
{
	char mine[32];

	if (!cgroup_find((enum cgroup_controller)controller, place))
		return false;
	str_format(mine, sizeof(mine), "/" PREFIX "%d", (int)getpid());
	if (place->unified && str_ends(str_from(place->dir), str_from(mine)))
		place->dir[strlen(place->dir) - strlen(mine)] = '\0';
	return true;
}

static void
seek(struct cgroups *cgroups, size_t controller)
{
	struct cgroup_place *place = &cgroups->places[controller];
	char *why = cgroups->why_not[controller];
	const char *name = cgroup_name((enum cgroup_controller)controller);

	if (!find(controller, place)) {
		str_format(why, sizeof(cgroups->why_not[0]), "this machine shows no cgroup controller \"%s\"", name);
		return;
	}
	sweep(place->dir);
	if (place->unified && !make_way(place, name))
		str_format(why, sizeof(cgroups->why_not[0]), "%.60s can not be divided: %.20s; systemd: Delegate=yes",
		           place->dir, strerror(errno));
}

/* --- limits ----------------------------------------------------------------------- */

static bool
limit_write(const struct cgroup_place *place, const char *dir, size_t controller, uint64_t value)
{
	char text[48];

	if (value == 0)
		str_format(text, sizeof(text), "%s", place->unified ? "max" : rows[controller].endless);
	else if (controller == CGROUP_CPU && place->unified)
		str_format(text, sizeof(text), "%" PRIu64 " %d", value, PERIOD_US);
	else
		str_format(text, sizeof(text), "%" PRIu64, value);
	if (controller == CGROUP_CPU && !place->unified && !cgroup_write(dir, "cpu.cfs_period_us", "100000"))
		return false;
	return cgroup_write(dir, place->unified ? rows[controller].unified : rows[controller].separate, text);
}

/* False: it has none, and why stands in the text. */
static bool
group_prepare(struct cgroups *cgroups, const struct app_config *app, size_t controller, char out[CGROUP_PATH_BYTES],
              char why[CGROUPS_TEXT_BYTES])
{
	const struct cgroup_place *place = &cgroups->places[controller];

	str_format(why, CGROUPS_TEXT_BYTES, "%s", cgroups->why_not[controller]);
	if (why[0] != '\0')
		return false;
	group_dir(place, app, out);
	if ((mkdir(out, 0755) == 0 || errno == EEXIST) && limit_write(place, out, controller, wanted(app, controller))) {
		bool fresh = (cgroups->apps[app->id].made & (1u << controller)) == 0;
		cgroups->apps[app->id].made |= 1u << controller;
		/* what another image of ours has seen is not seen again */
		if (fresh && controller == CGROUP_MEMORY)
			(void)cgroups_kills(cgroups, app);
		return true;
	}
	str_format(why, CGROUPS_TEXT_BYTES, "%.180s: %.40s", out, strerror(errno));
	return false;
}

void
cgroups_prepare(struct cgroups *cgroups, const struct app_config *app, struct cgroup_entrances *entrances)
{
	char text[CGROUPS_TEXT_BYTES] = "", dir[CGROUP_PATH_BYTES], why[CGROUPS_TEXT_BYTES];
	bool failed = false;

	memset(entrances, 0, sizeof(*entrances));
	for (size_t i = 0; i < CGROUP_CONTROLLER_N; i++) {
		size_t len = strlen(text);
		const char *name = cgroup_name((enum cgroup_controller)i);
		if (wanted(app, i) == 0 && (cgroups->apps[app->id].made & (1u << i)) == 0)
			continue;
		if (!cgroups->sought)
			for (size_t j = 0; j < CGROUP_CONTROLLER_N; j++)
				seek(cgroups, j);
		cgroups->sought = true;
		bool done = group_prepare(cgroups, app, i, dir, why);
		failed = failed || !done;
		if (done)
			str_format(entrances->procs[i], CGROUP_PATH_BYTES, "%.300s/cgroup.procs", dir);
		str_format(text + len, sizeof(text) - len, "%s%s %s%s", len > 0 ? ", " : "", name,
		           done ? "limited" : "NOT limited: ", done ? "" : why);
	}
	if (strcmp(text, cgroups->apps[app->id].text) != 0 && failed)
		log_warn("application %s: limits by cgroup: %s", app->name, text);
	str_cut_z(cgroups->apps[app->id].text, CGROUPS_TEXT_BYTES, str_from(text));
}

void
cgroups_update(struct cgroups *cgroups, const struct config *config)
{
	struct cgroup_entrances entrances;

	for (size_t i = 0; i < config->app_count; i++)
		if (config->apps[i]->enabled)
			cgroups_prepare(cgroups, config->apps[i], &entrances);
}

uint64_t
cgroups_kills(struct cgroups *cgroups, const struct app_config *app)
{
	const struct cgroup_place *place = &cgroups->places[CGROUP_MEMORY];
	char dir[CGROUP_PATH_BYTES];

	if ((cgroups->apps[app->id].made & (1u << CGROUP_MEMORY)) == 0)
		return 0;
	group_dir(place, app, dir);
	uint64_t all = cgroup_read(dir, place->unified ? "memory.events" : "memory.oom_control", "oom_kill");
	uint64_t before = cgroups->apps[app->id].kills;
	cgroups->apps[app->id].kills = all;
	return all > before ? all - before : 0;
}

/* --- the end ------------------------------------------------------------------------ */

/* All of ours, also of applications that the configuration has no more. */
static void
remove_all(const char *dir)
{
	struct dirent *entry;
	char mine[32], path[CGROUP_PATH_BYTES + 256];
	DIR *open_dir = opendir(dir);

	str_format(mine, sizeof(mine), PREFIX "%d-", (int)getpid());
	while (open_dir != NULL && (entry = readdir(open_dir)) != NULL) {
		if (!str_starts(str_from(entry->d_name), str_from(mine)))
			continue;
		str_format(path, sizeof(path), "%s/%s", dir, entry->d_name);
		if (rmdir(path) != 0)
			log_warn("the cgroup %s can not be removed: %s", path, strerror(errno));
	}
	if (open_dir != NULL)
		closedir(open_dir);
}

void
cgroups_close(struct cgroups *cgroups)
{
	char text[32], own[CGROUP_PATH_BYTES + 32];

	for (size_t i = 0; i < CGROUP_CONTROLLER_N; i++) {
		/* the binary that was before this one (an upgrade) may have made them */
		struct cgroup_place *place = &cgroups->places[i];
		if (place->dir[0] == '\0' && !find(i, place))
			continue;
		remove_all(place->dir);
		str_format(own, sizeof(own), "%s/" PREFIX "%d", place->dir, (int)getpid());
		str_format(text, sizeof(text), "-%s", cgroup_name((enum cgroup_controller)i));
		/* back to where we came from; the folder goes when the last controller is gone */
		if (place->unified && access(own, F_OK) == 0 &&
		    cgroup_write(place->dir, "cgroup.subtree_control", text) &&
		    cgroup_write(place->dir, "cgroup.procs", "0"))
			rmdir(own);
	}
}
