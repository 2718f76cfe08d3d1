#include "spawner/serve.h"

#include "apps/apps.h"
#include "base/log.h"
#include "base/random.h"
#include "spawner/spawner.h"
#include "worker/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static const char help_text[] =
	"Usage: passenger serve [OPTIONS] [APP_DIR]\n"
	"\n"
	"Serves applications until it is told to stop: SIGTERM, SIGINT or SIGQUIT let requests that have\n"
	"begun finish, a second one stops at once; SIGHUP reloads the configuration; SIGUSR1 opens logs anew;\n"
	"SIGUSR2 lets the program that stands at this one's path take over (see passenger upgrade --help).\n"
	"\n"
	"  APP_DIR             the application's directory; its type is found by its files\n"
	"  --config FILE       the configuration; without it and without APP_DIR ./passenger.ini, then\n"
	"                      /etc/passenger/passenger.ini, then the application in the current directory\n"
	"  --listen ADDRESS    unix:/path, 127.0.0.1:3000, [::1]:3000; may be given several times; takes the\n"
	"                      place of `listen` in the configuration\n"
	"  --instance-dir DIR  the directory of this instance: its lock, control socket and applications' sockets\n"
	"                      (default: one of its own in /run/passenger, $XDG_RUNTIME_DIR/passenger or\n"
	"                      /tmp/passenger-UID, or in $PASSENGER_INSTANCE_REGISTRY_DIR)\n"
	"  --check             checks the command line and the configuration, and does nothing else\n"
	"  --help              this text\n"
	"\n"
	"Exit codes: 0 stopped as it was told (or --check found nothing wrong), 1 it could not start or go on,\n"
	"2 the command line or the configuration is wrong, 3 another passenger serves in this instance directory.\n"
	"\n"
	"Sockets that systemd passes are used for the listeners of the same address, or, when no listener is\n"
	"configured, as the listeners.\n";

enum { LISTEN_MAX = CONFIG_LISTENERS_MAX, INSTANCE_NAME_BYTES = 80 };

struct command_line {
	const char *config, *instance_dir, *app_dir;
	const char *listen[LISTEN_MAX];
	size_t listen_count;
	bool check, help;
};

/* --- the command line ------------------------------------------------------------------- */

/* "--name VALUE" or "--name=VALUE"; NULL: it is another option.  "" and *wrong: no value. */
static const char *
option_value(const char *name, int argc, char **argv, int *at, bool *wrong)
{
	size_t len = strlen(name);

	if (strncmp(argv[*at], name, len) != 0)
		return NULL;
	if (argv[*at][len] == '=' && argv[*at][len + 1] != '\0')
		return argv[*at] + len + 1;
	if (argv[*at][len] != '\0' && argv[*at][len] != '=')
		return NULL;
	if (argv[*at][len] == '\0' && *at + 1 < argc && argv[*at + 1][0] != '\0')
		return argv[++*at];
	fprintf(stderr, "passenger serve: %s needs a value; see passenger serve --help\n", name);
	*wrong = true;
	return "";
}

static bool
read_option(struct command_line *line, int argc, char **argv, int *at)
{
	const char *value;
	bool wrong = false;

	if (strcmp(argv[*at], "--check") == 0) {
		line->check = true;
	} else if (strcmp(argv[*at], "--help") == 0 || strcmp(argv[*at], "-h") == 0) {
		line->help = true;
	} else if ((value = option_value("--config", argc, argv, at, &wrong)) != NULL) {
		line->config = value;
	} else if ((value = option_value("--instance-dir", argc, argv, at, &wrong)) != NULL) {
		line->instance_dir = value;
	} else if ((value = option_value("--listen", argc, argv, at, &wrong)) != NULL) {
		if (line->listen_count == LISTEN_MAX) {
			fprintf(stderr, "passenger serve: more than %d times --listen\n", LISTEN_MAX);
			return false;
		}
		line->listen[line->listen_count++] = value;
	} else {
		fprintf(stderr, "passenger serve: %s is no option of it; see passenger serve --help\n", argv[*at]);
		return false;
	}
	return !wrong;
}

static bool
read_command_line(struct command_line *line, int argc, char **argv)
{
	bool options = true;

	for (int i = 1; i < argc; i++) {
		if (options && strcmp(argv[i], "--") == 0) {
			options = false;
		} else if (options && argv[i][0] == '-' && argv[i][1] != '\0') {
			if (!read_option(line, argc, argv, &i))
				return false;
		} else if (line->app_dir == NULL) {
			line->app_dir = argv[i];
		} else {
			fprintf(stderr,
			        "passenger serve: %s: only one APP_DIR can be given; several applications stand in a "
			        "configuration\n",
			        argv[i]);
			return false;
		}
	}
	return true;
}

/* --- the configuration ------------------------------------------------------------------- */

static void
find_config(struct config_source *source, const struct command_line *line)
{
	source->path = line->config;
	source->app_dir = line->app_dir;
	config_find(source);
}

/* Nobody configured a listener: there is the default one alone. */
static bool
has_default_listener_only(const struct config *config)
{
	char text[128];

	if (config->listener_count != 1)
		return false;
	config_address_text(&config->listeners[0]->address, text);
	return strcmp(text, "127.0.0.1:3000") == 0;
}

static bool
was_passed(const struct passed_sockets *passed, const char *address)
{
	for (size_t i = 0; i < passed->count; i++)
		if (strcmp(passed->addresses[i], address) == 0)
			return true;
	return false;
}

/* Loads it; sockets of systemd's become the listeners where there are no others. */
static struct config *
load_config(struct config_source *source, struct command_line *line, const struct passed_sockets *passed,
            struct config_error *error)
{
	struct config *config = config_load(source, error);

	if (config == NULL || passed->count == 0 || line->listen_count > 0 || !has_default_listener_only(config) ||
	    was_passed(passed, "127.0.0.1:3000"))
		return config;
	for (size_t i = 0; i < passed->count; i++)
		if (passed->addresses[i][0] != '\0')
			line->listen[line->listen_count++] = passed->addresses[i];
	source->listen_count = line->listen_count;
	config_free(config);
	return config_load(source, error);
}

/* --- the instance ------------------------------------------------------------------------ */

static void
name_instance(const struct config *config, char out[INSTANCE_NAME_BYTES])
{
	const char *path = config->path != NULL    ? config->path
	                   : config->app_count > 0 ? config->apps[0]->root
	                                           : "passenger";
	char absolute[PATH_MAX], folder[PATH_MAX];
	uint64_t hash = 14695981039346656037ull; /* FNV-1a */

	if (config->instance_name != NULL) {
		str_cut_z(out, INSTANCE_NAME_BYTES, str_from(config->instance_name));
		return;
	}
	if (realpath(path, absolute) == NULL)
		str_format(absolute, sizeof(absolute), "%s", path);
	for (const char *at = absolute; *at != '\0'; at++)
		hash = (hash ^ (uint8_t)*at) * 1099511628211ull;
	str_format(folder, sizeof(folder), "%s", absolute);
	char *slash = strrchr(folder, '/');
	if (config->path != NULL && slash != NULL) {
		*slash = '\0'; /* the ini's folder */
		slash = strrchr(folder, '/');
	}
	char base[48];
	str_cut_z(base, sizeof(base), str_from(slash != NULL ? slash + 1 : folder));
	for (char *at = base; *at != '\0'; at++)
		if (!((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9') ||
		      *at == '_' || *at == '-' || (*at == '.' && at != base)))
			*at = '_';
	str_format(out, INSTANCE_NAME_BYTES, "%s-%06x", base[0] != '\0' ? base : "root",
	           (unsigned)((hash ^ (hash >> 24) ^ (hash >> 48)) & 0xffffff));
}

static bool
add_loaders(struct place *place, char error[PLACE_ERROR_BYTES])
{
	for (const struct app_type *const *type = app_types; *type != NULL; type++) {
		const char *line = (*type)->loader_line;
		char packed[64];

		if ((*type)->loader == NULL)
			continue;
		str_format(packed, sizeof packed, "%s.gz", (*type)->loader_name);
		if (!place_add_loader(place, packed, (*type)->loader, *(*type)->loader_size, error) ||
		    !place_add_loader(place, (*type)->loader_name, line, strlen(line), error))
			return false;
	}
	return true;
}

static int
open_place(struct place *place, const struct config *config, const char *name)
{
	char registry[256], dir[PATH_MAX], error[PLACE_ERROR_BYTES];

	if (config->instance_dir != NULL) {
		str_format(dir, sizeof(dir), "%s", config->instance_dir);
	} else {
		instance_registry(registry, NULL);
		str_format(dir, sizeof(dir), "%s/%s", registry, name);
	}
	switch (place_open(place, dir, error)) {
	case PLACE_OURS:
		break;
	case PLACE_RUNNING:
		if (place->other_pid != 0)
			log_error("already running as pid %d in %s; nothing was changed", place->other_pid, place->dir);
		else
			log_error("already running in %s; nothing was changed", place->dir);
		return SERVE_RUNNING;
	case PLACE_FAILED:
		log_critical("the instance directory %s", error);
		return SERVE_FAILED;
	}
	if (place->taken_over)
		log_warn("took over %s from passenger pid %d, which ended without stopping; its applications ended "
		         "with it",
		         place->dir, place->other_pid);
	return SERVE_OK;
}

/* As many descriptors as we may have; what we were given is what applications get.  No core
 * dumps: we know the passwords of all doors. */
static uint64_t
set_limits(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_CORE, &limit) == 0) {
		limit.rlim_cur = 0;
		setrlimit(RLIMIT_CORE, &limit);
	}

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 0;
	uint64_t soft = limit.rlim_cur;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	return soft;
}

static int
serve(struct config *config, const struct config_source *source, struct passed_sockets *passed, struct place *place)
{
	static struct listeners listeners; /* large */
	char name[INSTANCE_NAME_BYTES], error[PLACE_ERROR_BYTES];
	struct spawner_start start = {
		.config = config, .source = source, .place = place, .listeners = &listeners, .instance_name = name};

	/* root's groups are nobody else's: not those of whom we look at files for */
	if (geteuid() == 0 && setgroups(0, NULL) != 0)
		log_warn("root's groups can not be given up: %s", strerror(errno));
	name_instance(config, name);
	int code = open_place(place, config, name);
	if (code != SERVE_OK)
		return code;
	if (!identity_of_balancer(config, &start.balancer_uid, &start.balancer_gid, error)) {
		log_critical("%s", error);
		return SERVE_USAGE;
	}
	if (!place_fill(place, start.balancer_gid, error) || !add_loaders(place, error)) {
		log_critical("the instance directory %s", error);
		return SERVE_FAILED;
	}
	if (!listeners_open(&listeners, config, passed, error)) {
		log_critical("%s", error);
		return SERVE_FAILED;
	}
	passed_sockets_close(passed);
	start.descriptors_soft = set_limits();
	return spawner_run(&start);
}

/* Descriptors 0, 1, 2 are open, so that nothing of ours ever gets one of these numbers. */
static bool
open_standard_descriptors(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return false;
	return true;
}

/* In place of another image of passenger, or back in one's own. */
static int
take_over(const struct image_arrival *arrival)
{
	static struct carry carry; /* large */
	struct spawner_start start = {.carry = &carry, .arrival = *arrival};
	struct image_load load = {.state_fd = arrival->state_fd};
	char error[PLACE_ERROR_BYTES] = "";

	load.fds = state_fds_of(arrival->state_fd, &load.fd_count);
	image_carry(&load);
	if (arrival->back_fd >= 0)
		image_guard(arrival->back_fd);
	if (!carry_read(&carry, arrival->state_fd, true, app_types)) {
		log_critical("%s", carry.reader.error);
	} else if (!random_init() || !add_loaders(&carry.place, error)) {
		log_critical("the instance directory %s", error);
	} else {
		start.config = carry.generations[0];
		start.source = &carry.source;
		start.place = &carry.place;
		start.listeners = &carry.listeners;
		start.instance_name = carry.instance_name;
		start.balancer_uid = carry.balancer_uid;
		start.balancer_gid = carry.balancer_gid;
		start.descriptors_soft = carry.descriptors_soft;
		log_set_level((enum log_level)start.config->log_level);
		return spawner_run(&start);
	}
	image_fall_back(IMAGE_GAVE_UP);
	return SERVE_FAILED;
}

int
serve_command(int argc, char **argv)
{
	struct image_arrival arrival;
	static struct passed_sockets passed;
	struct command_line line = {.config = NULL};
	struct config_source source = {.types = app_types, .privileged = geteuid() == 0};
	struct config_error error;
	char text[LOG_FILES_ERROR_BYTES];
	struct place place = {.dir_fd = -1, .apps_fd = -1, .loaders_fd = -1, .programs_fd = -1, .lock_fd = -1};

	if (!open_standard_descriptors())
		return SERVE_FAILED;
	log_init("spawner", LOG_NOTICE);
	image_arrive(&arrival);
	if (arrival.state_fd >= 0)
		return take_over(&arrival);
	passed_sockets_take(&passed);
	if (!read_command_line(&line, argc, argv))
		return SERVE_USAGE;
	if (line.help) {
		fputs(help_text, stdout);
		return SERVE_OK;
	}
	find_config(&source, &line);
	source.listen = line.listen;
	source.listen_count = line.listen_count;
	source.instance_dir = line.instance_dir;
	struct config *config = load_config(&source, &line, &passed, &error);
	if (config == NULL) {
		fprintf(stderr, "passenger serve: %s\n", error.text);
		return SERVE_USAGE;
	}
	if (line.check) {
		printf("%s: nothing wrong\n", config->path != NULL ? config->path : "the application");
		config_free(config);
		return SERVE_OK;
	}
	log_set_level((enum log_level)config->log_level);
	log_files_never_wait();
	int code = SERVE_FAILED;
	if (!random_init())
		log_critical("no source of random numbers on this machine: passwords can not be drawn");
	else if (!log_files_main(config, text))
		log_critical("%s", text);
	else
		code = serve(config, &source, &passed, &place);
	place_close(&place);
	config_release(config);
	return code;
}
