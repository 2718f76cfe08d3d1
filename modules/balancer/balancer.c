#include "balancer/balancer.h"

#include "apps/apps.h"
#include "base/log.h"
#include "base/random.h"
#include "balancer/core.h"
#include "balancer/leave.h"
#include "balancer/wishes.h"
#include "system/sandbox.h"
#include "traffic/access_log.h"
#include "traffic/warmup.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	BALANCER_CHANNEL_FD = 3,
	BALANCER_BEAT_MS = 1000,
	BALANCER_CONFIG_BYTES_MAX = 16 * 1024 * 1024,
};

/* ---- time ---- */

static void
balancer_beat(struct timer *timer)
{
	struct balancer *balancer = container_of(timer, struct balancer, beat);
	atomic_store_explicit(&balancer->scoreboard->beat_ms, balancer->loop.now_ms, memory_order_relaxed);
	leave_add_figures(balancer);
	timer_set(&balancer->loop, timer, BALANCER_BEAT_MS);
}

/* ---- what the spawner says ---- */

static bool
balancer_hello(struct balancer *balancer, const struct message *message, int fd)
{
	if (balancer->scoreboard != NULL || (balancer->scoreboard = scoreboard_map(fd)) == NULL)
		return false;
	balancer->shared = balancer->scoreboard;
	wishes_init(balancer);
	balancer->pool.column = message->number % SCOREBOARD_COLUMNS;
	if (message->slot != 0)
		pool_accompany(&balancer->pool, true);
	balancer->traffic.loop = &balancer->loop;
	balancer->traffic.pool = &balancer->pool;
	balancer->traffic.scoreboard = balancer->scoreboard;
	balancer->traffic.access_log_fd = balancer->traffic.slow_log_fd = -1;
	for (size_t i = 0; i < CONFIG_APPS_MAX; i++)
		balancer->traffic.folders[i] = -1;
	balancer->traffic.quiet = leave_quiet;
	balancer->traffic.warmed = wishes_warmed;
	list_init(&balancer->traffic.listeners);
	list_init(&balancer->traffic.clients);
	balancer->beat.due = balancer_beat;
	balancer->drain.due = leave_due;
	balancer_beat(&balancer->beat);
	return true;
}

static void
balancer_spool_dir(struct balancer *balancer)
{
	const char *dir = balancer->config->data_buffer_dir;
	if (dir == NULL && (dir = getenv("TMPDIR")) == NULL)
		dir = "/tmp";
	if (balancer->traffic.spool_dir != NULL && strcmp(balancer->traffic.spool_dir, dir) == 0)
		return;
	/* The one before is never freed: connections name it. */
	balancer->traffic.spool_dir = strdup(dir);
	if (balancer->traffic.spool_dir == NULL)
		abort();
}

/* The generation that was told holds from now on; at a start, listeners and processes come later. */
static void
balancer_reconcile(struct balancer *balancer)
{
	struct config *before = balancer->config, *config = balancer->next;
	balancer->config = config;
	balancer->traffic.config = config;
	balancer->next = NULL;
	balancer_spool_dir(balancer);
	log_set_level((enum log_level)config->log_level);
	for (size_t i = 0; i < CONFIG_LISTENERS_MAX; i++) {
		if (balancer->state != BALANCER_OPENING && balancer->fronts[i] != NULL)
			listener_close(balancer->fronts[i]);
		balancer->fronts[i] = balancer->next_fronts[i];
		balancer->next_fronts[i] = NULL;
		if (balancer->fronts[i] == NULL)
			continue;
		balancer->fronts[i]->config = config->listeners[i];
		listener_resume(balancer->fronts[i]);
	}
	pool_configure(&balancer->pool, config);
	config_release(before);
}

static bool
balancer_config(struct balancer *balancer, int fd, uint64_t bytes)
{
	struct config_error error = {0};
	if (balancer->scoreboard == NULL || balancer->next != NULL || bytes == 0 || bytes > BALANCER_CONFIG_BYTES_MAX)
		return false;
	char *text = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	if (text == MAP_FAILED)
		return false;
	struct config *config = config_parse(str_make(text, bytes), app_types, &error);
	munmap(text, bytes);
	if (config == NULL) {
		log_critical("the configuration that was handed over can not be read: %s", error.text);
		return false;
	}
	balancer->next = config;
	if (balancer->config == NULL)
		balancer_reconcile(balancer);
	return true;
}

static void
replace_fd(int *place, int *fds, size_t fd_count)
{
	if (*place >= 0)
		close(*place);
	*place = -1;
	if (fd_count > 0) {
		*place = fds[0];
		fds[0] = -1;
	}
}

static bool
balancer_listener(struct balancer *balancer, const struct message *message, int *fds, size_t fd_count)
{
	const struct config *config = balancer->next != NULL ? balancer->next : balancer->config;
	struct listener **fronts = balancer->next != NULL ? balancer->next_fronts : balancer->fronts;
	uint64_t index = message->number, before = message->slot;
	if (index >= config->listener_count || fronts[index] != NULL || (before != 0) != (fd_count == 0))
		return false;
	if (before == 0) {
		fronts[index] = listener_open(&balancer->traffic, LISTENER_FRONT, fds[0], &request_client_handler);
		fds[0] = -1;
		fronts[index]->config = config->listeners[index];
		return true;
	}
	if (balancer->next == NULL || before > CONFIG_LISTENERS_MAX || balancer->fronts[before - 1] == NULL)
		return false;
	fronts[index] = balancer->fronts[before - 1];
	balancer->fronts[before - 1] = NULL;
	return true;
}

static bool
balancer_process(struct balancer *balancer, const struct message *message, int *fds, size_t fd_count)
{
	if (balancer->config == NULL || fd_count != 1)
		return false;
	const struct app_config *app = config_app_by_id(balancer->config, message->process.app_id);
	struct process *process = NULL;
	if (app != NULL && app->type->protocol == (enum app_protocol)message->process.protocol)
		process = pool_attach(&balancer->pool, &message->process);
	if (process == NULL && balancer->state == BALANCER_HANDING_OVER)
		return true; /* of a newer configuration */
	if (process == NULL) {
		struct message retire;
		log_notice("process %d is of no application any more", message->process.pid);
		message_init(&retire, MESSAGE_RETIRE);
		retire.slot = message->process.slot;
		retire.serial = message->process.serial;
		retire.number = UINT64_MAX;
		core_send(balancer, &retire);
		return true;
	}
	struct listener *door = listener_open(&balancer->traffic, LISTENER_DOOR, fds[0], &request_client_handler);
	fds[0] = -1;
	door->process = process;
	process->door = door;
	if (balancer->state >= BALANCER_SERVING)
		listener_resume(door);
	if (process->state == PROCESS_WARMING)
		warmup_begin(&balancer->traffic, process);
	return true;
}

static bool
balancer_begin(struct balancer *balancer)
{
	struct message message;
	char error[SANDBOX_ERROR_BYTES];
	if (balancer->next != NULL) {
		balancer_reconcile(balancer);
		return true;
	}
	if (balancer->state == BALANCER_READY) {
		balancer->state = BALANCER_SERVING;
		list_each (&balancer->traffic.listeners, node)
			listener_resume(container_of(node, struct listener, node));
		pool_begin(&balancer->pool);
		return true;
	}
	if (balancer->state != BALANCER_OPENING)
		return false;
	if (!sandbox_seccomp_balancer(error)) {
		log_critical("the system call filter can not be set: %s", error);
		return false;
	}
	balancer->state = BALANCER_READY;
	message_init(&message, MESSAGE_READY);
	core_send(balancer, &message);
	return true;
}

static void
balancer_mark(struct balancer *balancer, uint64_t number)
{
	struct message marked;
	message_init(&marked, MESSAGE_MARKED);
	marked.number = number;
	core_send(balancer, &marked);
}

/* One that the balancer before had accepted. */
static void
balancer_client(struct balancer *balancer, const struct message *message, int *fds)
{
	const struct process *process = pool_find(&balancer->pool, message->slot, message->serial);
	struct listener *listener = message->text_len == 0 && process != NULL ? process->door : NULL;
	size_t count = message->text_len > 0 ? balancer->config->listener_count : 0;
	for (size_t i = 0; i < count; i++)
		if (balancer->fronts[i] != NULL && str_equal(str_from(balancer->config->listeners[i]->address_text),
		                                             str_make(message->text, message->text_len)))
			listener = balancer->fronts[i];
	if (listener == NULL)
		return; /* nobody listens there any more: the channel closes it */
	listener_take_over(listener, fds[0]);
	fds[0] = -1;
}

static void
balancer_restart(struct balancer *balancer, const struct message *message, int *fds, size_t fd_count)
{
	struct group *group = pool_group(&balancer->pool, message->app_id);
	if (message->app_id < CONFIG_APPS_MAX)
		replace_fd(&balancer->traffic.folders[message->app_id], fds, fd_count);
	if (group != NULL)
		group_restart(group, (uint32_t)message->number, message->slot != 0);
}

static void
balancer_long_text(struct balancer *balancer, const struct message *message, const int *fds, size_t fd_count)
{
	struct group *group = pool_group(&balancer->pool, message->app_id);
	char block[4096];
	if (group == NULL || message->number >= MESSAGE_LONG_TEXT_N)
		return;
	struct buf *text = &group->long_texts[message->number];
	buf_free(text);
	ssize_t len = 1;
	while (fd_count > 0 && len > 0 && text->len < MESSAGE_LONG_TEXT_BYTES) {
		len = pread(fds[0], block, sizeof(block), (off_t)text->len);
		buf_append(text, block, len > 0 ? (size_t)len : 0);
	}
}

static void
balancer_detach(struct balancer *balancer, const struct message *message)
{
	struct process *process = pool_find(&balancer->pool, message->slot, message->serial);
	if (process != NULL)
		group_detach(process);
}

static void
balancer_spawn_failed(struct balancer *balancer, const struct message *message)
{
	struct process *cold = pool_find(&balancer->pool, message->slot, message->serial);
	if (cold != NULL)
		group_detach(cold);
	pool_spawn_failed(&balancer->pool, message->app_id, message->serial != 0,
	                  str_make(message->text, message->text_len), message->number);
}

/* False: nonsense. */
static bool
balancer_heed(struct balancer *balancer, struct message *message, int *fds, size_t fd_count)
{
	switch ((enum message_type)message->type) {
	case MESSAGE_HELLO:
		return fd_count == 1 && balancer_hello(balancer, message, fds[0]);
	case MESSAGE_CONFIG:
		return fd_count == 1 && balancer_config(balancer, fds[0], message->number);
	default:
		break;
	}
	if (balancer->config == NULL)
		return false;
	switch ((enum message_type)message->type) {
	case MESSAGE_ACCESS_LOG:
		access_log_flush(&balancer->traffic);
		replace_fd(&balancer->traffic.access_log_fd, fds, fd_count);
		return true;
	case MESSAGE_SLOW_LOG:
		replace_fd(&balancer->traffic.slow_log_fd, fds, fd_count);
		return true;
	case MESSAGE_LOG_FILE:
		return fd_count == 1 && dup2(fds[0], STDERR_FILENO) >= 0;
	case MESSAGE_LISTENER:
		return balancer_listener(balancer, message, fds, fd_count);
	case MESSAGE_PROCESS:
		return balancer_process(balancer, message, fds, fd_count);
	case MESSAGE_SPAWNING:
		pool_spawning(&balancer->pool, message->app_id);
		return true;
	case MESSAGE_BEGIN:
		return balancer_begin(balancer);
	case MESSAGE_PROCESS_GONE:
		pool_gone(&balancer->pool, message->slot, message->serial);
		return true;
	case MESSAGE_LONG_TEXT:
		balancer_long_text(balancer, message, fds, fd_count);
		return true;
	case MESSAGE_SPAWN_FAILED:
		balancer_spawn_failed(balancer, message);
		return true;
	case MESSAGE_DRAIN:
		leave_drain(balancer);
		return true;
	case MESSAGE_HAND_OVER:
		leave_to_another(balancer, message->number);
		return true;
	case MESSAGE_ALONE:
		pool_accompany(&balancer->pool, false);
		return true;
	case MESSAGE_MARK:
		balancer_mark(balancer, message->number);
		return true;
	case MESSAGE_CLIENT:
		if (fd_count == 1)
			balancer_client(balancer, message, fds);
		return fd_count == 1;
	case MESSAGE_STOP:
		core_end(balancer, 0);
		return true;
	case MESSAGE_DETACH:
	case MESSAGE_RETIRED:
		balancer_detach(balancer, message);
		return true;
	case MESSAGE_RESTART:
		balancer_restart(balancer, message, fds, fd_count);
		return true;
	default:
		return false;
	}
}

static void
balancer_received(struct channel *channel, struct message *message, int *fds, size_t fd_count)
{
	struct balancer *balancer = channel->owner;
	if (balancer_heed(balancer, message, fds, fd_count))
		return;
	log_critical("the spawner's message %s can not be taken", message_name((enum message_type)message->type));
	core_end(balancer, 1);
}

static void
balancer_orphaned(struct channel *channel, const char *why)
{
	struct balancer *balancer = channel->owner;
	if (balancer->state != BALANCER_DRAINING)
		log_error("the spawner is gone: %s", why);
	core_end(balancer, 1);
}

/* ---- main ---- */

static bool
parse_ids(int argc, char **argv, uint32_t *uid, uint32_t *gid)
{
	uint64_t values[2] = {0};
	if (argc != 5 || strcmp(argv[1], "--uid") != 0 || strcmp(argv[3], "--gid") != 0)
		return false;
	if (!str_to_u64(str_from(argv[2]), &values[0]) || !str_to_u64(str_from(argv[4]), &values[1]) ||
	    values[0] > UINT32_MAX || values[1] > UINT32_MAX)
		return false;
	*uid = (uint32_t)values[0];
	*gid = (uint32_t)values[1];
	return true;
}

static void
raise_descriptor_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void
ignore_signals(void)
{
	/* The spawner decides when a balancer ends; a terminal's ^C or a group's SIGHUP does not. */
	static const int ignored[] = {SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};
	for (size_t i = 0; i < array_count(ignored); i++)
		signal(ignored[i], SIG_IGN);
}

static void
balancer_free(struct balancer *balancer)
{
	access_log_free(&balancer->traffic);
	channel_close(&balancer->channel);
	/* Connections, requests and processes end with the process. */
	request_free_spares();
	loop_free(&balancer->loop);
	config_free(balancer->config);
}

int
balance_command(int argc, char **argv)
{
	static struct balancer balancer;
	char error[SANDBOX_ERROR_BYTES];
	uint32_t uid, gid;
	log_init("balancer", LOG_NOTICE);
	if (!parse_ids(argc, argv, &uid, &gid)) {
		log_critical("`passenger balance` is started by `passenger serve`, not by hand");
		return 2;
	}
	ignore_signals();
	raise_descriptor_limit();
	if (!sandbox_drop(uid, gid, error)) {
		log_critical("the balancer can not give its rights away: %s", error);
		return 1;
	}
	if (!random_init() || !loop_init(&balancer.loop)) {
		log_critical("the balancer can not start: %s", strerror(errno));
		return 1;
	}
	balancer.channel.received = balancer_received;
	balancer.channel.closed = balancer_orphaned;
	balancer.channel.owner = &balancer;
	channel_open(&balancer.channel, &balancer.loop, BALANCER_CHANNEL_FD);
	loop_run(&balancer.loop);
	int exit_code = balancer.exit_code;
	balancer_free(&balancer);
	return exit_code;
}
