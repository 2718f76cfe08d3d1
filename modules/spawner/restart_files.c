#include "spawner/restart_files.h"

#include "base/log.h"
#include "worker/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

enum { FOLDER_EVENTS = IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM | IN_ATTRIB | IN_CLOSE_WRITE };

/* Of file systems where others change files too, and nobody is told: NFS, SMB, CIFS, SMB 2, FUSE, 9P, Ceph, AFS. */
static const uint32_t remote_types[] = {0x6969,     0x517b,     0xff534d42, 0xfe534d42,
                                        0x65735546, 0x01021997, 0x00c36400, 0x5346414f};

static const char *const names[RESTART_FILES_N] = {"restart.txt", "always_restart.txt"};

/* --- folders --------------------------------------------------------------------- */

static bool
is_watched(const struct restart_files *files, int number)
{
	for (size_t id = 0; id < SCOREBOARD_GROUPS; id++)
		for (size_t i = 0; i < RESTART_FOLDERS_N; i++)
			if (files->apps[id].watches[i] == number)
				return true;
	return false;
}

static void
set_watch(struct restart_files *files, int *watch, int number)
{
	int before = *watch;

	*watch = number > 0 ? number : 0;
	/* several applications may share a folder, and with it the number */
	if (before != 0 && before != number && !is_watched(files, before))
		inotify_rm_watch(files->watch.fd, before);
}

static void
watch_folders(struct restart_files *files, const struct app_config *app, const char *folder)
{
	struct restart_watched *watched = &files->apps[app->id];
	const char *slash = strrchr(app->root, '/');
	struct stat stat;
	struct statfs system;
	char parent[PATH_MAX];

	watched->remote = false;
	if (statfs(folder, &system) == 0 || statfs(app->root, &system) == 0)
		for (size_t i = 0; i < array_count(remote_types); i++)
			watched->remote |= (uint32_t)system.f_type == remote_types[i];

	if (files->watch.fd < 0)
		return;
	int number = inotify_add_watch(files->watch.fd, folder, FOLDER_EVENTS | IN_ONLYDIR);
	if (number < 0)
		number = inotify_add_watch(files->watch.fd, app->root, FOLDER_EVENTS | IN_ONLYDIR);
	set_watch(files, &watched->watches[0], number);
	number = 0;
	if (slash != NULL && lstat(app->root, &stat) == 0 && S_ISLNK(stat.st_mode) &&
	    str_format(parent, sizeof(parent), "%.*s/", (int)(slash - app->root), app->root))
		number = inotify_add_watch(files->watch.fd, parent, FOLDER_EVENTS | IN_ONLYDIR);
	set_watch(files, &watched->watches[1], number);
}

/* --- files ----------------------------------------------------------------------- */

/* Of a link: when what it leads to was, of which inotify does not tell. */
static uint64_t
modified_ns(struct restart_watched *watched, const char *folder, const char *name)
{
	struct stat file;
	char path[PATH_MAX];

	if (!str_format(path, sizeof(path), "%s/%s", folder, name) || lstat(path, &file) != 0)
		return 0;
	if (S_ISLNK(file.st_mode)) {
		watched->remote = true;
		(void)!stat(path, &file);
	}
	return (uint64_t)file.st_mtim.tv_sec * 1000000000 + (uint64_t)file.st_mtim.tv_nsec;
}

static void
look(struct restart_files *files, const struct app_config *app)
{
	struct restart_watched *watched = &files->apps[app->id];
	const char *news = NULL;
	char folder[PATH_MAX];

	if (!app_config_path(app->root, app->restart_dir, folder, sizeof(folder)))
		return;
	identity_see_as(app->uid, app->gid);
	/* first the watch, then the look: what happens in between is seen twice, not never */
	watch_folders(files, app, folder);
	for (size_t i = 0; i < RESTART_FILES_N; i++) {
		uint64_t now_ns = modified_ns(watched, folder, names[i]);
		/* the other one only has to be there, see group_restart_always() */
		if (i == 0 && watched->known && now_ns != 0 && now_ns != watched->modified_ns[i])
			news = names[i];
		watched->modified_ns[i] = now_ns;
	}
	identity_see_as(0, 0);
	watched->known = true;
	atomic_store_explicit(&files->board->groups[app->id].always_restart, watched->modified_ns[1] != 0,
	                      memory_order_relaxed);
	if (news != NULL)
		files->touched(files, app, news);
}

/* False: there is none that has to be looked at often. */
static bool
look_at(struct restart_files *files, bool all)
{
	bool remote = false;

	for (size_t i = 0; i < files->config->app_count; i++) {
		const struct app_config *app = files->config->apps[i];
		if (app->enabled && (all || files->apps[app->id].remote))
			look(files, app);
		remote = remote || (app->enabled && files->apps[app->id].remote);
	}
	return remote;
}

/* --- when ------------------------------------------------------------------------ */

static void
poll_due(struct timer *timer)
{
	struct restart_files *files = container_of(timer, struct restart_files, poll);
	uint64_t now_ms = files->loop->now_ms, rate_ms = files->config->stat_throttle_rate_ms;
	bool all = now_ms >= files->all_ms;

	if (all)
		files->all_ms = now_ms + rate_ms;
	bool often = look_at(files, all) && rate_ms > RESTART_FILES_REMOTE_MS;
	timer_set(files->loop, timer, often ? RESTART_FILES_REMOTE_MS : files->all_ms - now_ms);
}

static void
settle_due(struct timer *timer)
{
	struct restart_files *files = container_of(timer, struct restart_files, settle);

	files->all_ms = 0;
	poll_due(&files->poll);
}

/* Of files only ours are meant, and the link that `root` may be. */
static bool
is_news(const struct restart_files *files, const struct inotify_event *event)
{
	if (event->len == 0 || (event->mask & IN_ISDIR) != 0)
		return (event->mask & IN_IGNORED) == 0;
	for (size_t i = 0; i < RESTART_FILES_N; i++)
		if (strcmp(event->name, names[i]) == 0)
			return true;
	for (size_t id = 0; id < SCOREBOARD_GROUPS; id++)
		if (files->apps[id].watches[1] == event->wd)
			return true;
	return false;
}

static void
events_ready(struct watch *watch, uint32_t events)
{
	struct restart_files *files = container_of(watch, struct restart_files, watch);
	_Alignas(struct inotify_event) char block[4096];
	bool news = false;

	(void)events;
	ssize_t len = read(watch->fd, block, sizeof(block));
	for (ssize_t at = 0; at < len;) {
		const struct inotify_event *event = (const struct inotify_event *)(const void *)(block + at);
		news = news || is_news(files, event);
		at += (ssize_t)(sizeof(*event) + event->len);
	}
	if (news && !timer_is_set(&files->settle))
		timer_set(files->loop, &files->settle, RESTART_FILES_SETTLE_MS);
}

/* --- all of it ------------------------------------------------------------------- */

/* The generation before looked at the same files for the same application. */
static bool
is_known(const struct restart_files *files, const struct config *config, uint32_t id)
{
	const struct app_config *app = config_app_by_id(config, id);
	const struct app_config *before = files->config != NULL ? config_app_by_id(files->config, id) : NULL;

	return files->apps[id].known && app != NULL && before != NULL && before->enabled &&
	       strcmp(app->name, before->name) == 0 && strcmp(app->root, before->root) == 0 &&
	       strcmp(app->restart_dir, before->restart_dir) == 0;
}

void
restart_files_configure(struct restart_files *files, const struct config *config)
{
	for (uint32_t id = 0; id < SCOREBOARD_GROUPS; id++) {
		/* a touch that was not looked at yet is still one */
		files->apps[id].known = is_known(files, config, id);
		for (size_t i = 0; i < RESTART_FOLDERS_N; i++)
			set_watch(files, &files->apps[id].watches[i], 0);
	}
	files->config = config;
	files->all_ms = 0;
	poll_due(&files->poll);
}

void
restart_files_open(struct restart_files *files, const struct config *config)
{
	files->poll.due = poll_due;
	files->settle.due = settle_due;
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (fd < 0 || !watch_add(files->loop, &files->watch, fd, EPOLLIN, events_ready)) {
		log_warn("restart.txt is only looked at from time to time (stat_throttle_rate): %s", strerror(errno));
		if (fd >= 0)
			close(fd);
		files->watch.fd = -1;
	}
	restart_files_configure(files, config);
}

void
restart_files_restore(struct restart_files *files, uint32_t app_id, const struct restart_watched *seen)
{
	struct restart_watched *watched = &files->apps[app_id];

	watched->known = seen->known;
	memcpy(watched->modified_ns, seen->modified_ns, sizeof(watched->modified_ns));
	timer_set(files->loop, &files->settle, RESTART_FILES_SETTLE_MS);
}

void
restart_files_close(struct restart_files *files)
{
	if (files->watch.ready == NULL)
		return;
	watch_remove(files->loop, &files->watch);
	close(files->watch.fd);
}
