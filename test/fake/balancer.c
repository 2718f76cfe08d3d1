/*
 * A balancer that serves nobody, to try the spawner alone: it keeps
 * min_instances processes of every application alive, writes what it is told on
 * standard error, and takes one-line orders on its first listener:
 *
 *     spawn APP_ID | retire SLOT SERIAL | kill SLOT SERIAL | list | hang | die | nonsense
 *
 * Linked into a scratch program as its `balance` command.
 */
#include "balancer/balancer.h"

#include "apps/apps.h"
#include "base/buf.h"
#include "base/log.h"
#include "config/config.h"
#include "handover/message.h"
#include "handover/scoreboard.h"
#include "system/sandbox.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { KNOWN_MAX = 256 };

static struct loop loop;
static struct channel channel;
static struct scoreboard *board;
static struct config *config;
static struct watch listener;
static struct timer beat;
static struct message_process known[KNOWN_MAX];
static int doors[KNOWN_MAX];
static size_t known_count;

static void
ask(enum message_type type, uint32_t app_id, uint32_t slot, uint64_t serial)
{
	struct message message;

	message_init(&message, type);
	message.app_id = app_id;
	message.slot = slot;
	message.serial = serial;
	message.number = type == MESSAGE_LIMIT ? LIMIT_DRAIN : 0;
	message_set_text(&message, STR("the fake balancer was told to"));
	if (!channel_send(&channel, &message, NULL, 0))
		exit(1);
}

static void
order(char *line, int fd)
{
	unsigned a = 0;
	unsigned long long b = 0;
	char word[16] = "";

	sscanf(line, "%15s %u %llu", word, &a, &b);
	if (strcmp(word, "spawn") == 0)
		ask(MESSAGE_SPAWN, a, 0, 0);
	else if (strcmp(word, "retire") == 0)
		ask(MESSAGE_RETIRE, UINT64_MAX, a, b);
	else if (strcmp(word, "kill") == 0)
		ask(MESSAGE_LIMIT, 0, a, b);
	else if (strcmp(word, "nonsense") == 0)
		ask(MESSAGE_HELLO, 0, 0, 0);
	else if (strcmp(word, "hang") == 0)
		for (;;)
			pause();
	else if (strcmp(word, "die") == 0)
		abort();
	for (size_t i = 0; i < known_count; i++)
		dprintf(fd, "app=%u slot=%u serial=%llu pid=%d door=%u password=%s path=%s port=%u retiring=%u\n",
		        known[i].app_id, known[i].slot, (unsigned long long)known[i].serial, known[i].pid,
		        known[i].door_port, known[i].password, known[i].socket_path, known[i].port, known[i].retiring);
}

static void
accepted(struct watch *watch, uint32_t events)
{
	char line[256];
	int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC);

	(void)events;
	if (fd < 0)
		return;
	ssize_t len = read(fd, line, sizeof(line) - 1);
	line[len > 0 ? len : 0] = '\0';
	order(line, fd);
	close(fd);
}

static void
beat_due(struct timer *timer)
{
	atomic_store(&board->beat_ms, clock_monotonic_ms());
	timer_set(&loop, timer, 500);
}

static void
take_config(const struct message *message, int fd)
{
	struct config_error error;
	char *text = mmap(NULL, message->number, PROT_READ, MAP_PRIVATE, fd, 0);

	config = config_parse(str_make(text, message->number), app_types, &error);
	if (config == NULL) {
		fprintf(stderr, "fake: %s\n", error.text);
		exit(1);
	}
}

static void
begin(void)
{
	static bool ready;

	if (ready)
		return;
	ready = true;
	for (size_t i = 0; i < config->app_count; i++) {
		size_t have = 0;
		for (size_t j = 0; j < known_count; j++)
			have += known[j].app_id == config->apps[i]->id;
		for (; have < (size_t)config->apps[i]->min_instances; have++)
			ask(MESSAGE_SPAWN, config->apps[i]->id, 0, 0);
	}
	ask(MESSAGE_READY, 0, 0, 0);
}

static void
forget(const struct message *message)
{
	for (size_t i = 0; i < known_count; i++) {
		if (known[i].slot != message->slot || known[i].serial != message->serial)
			continue;
		close(doors[i]);
		known[i] = known[--known_count];
		doors[i] = doors[known_count];
		return;
	}
	fprintf(stderr, "fake: an unknown one is gone\n");
}

static void
remember(const struct message *message, int *fd)
{
	known[known_count] = message->process;
	doors[known_count++] = *fd;
	*fd = -1;
	struct scoreboard_process *process = &board->processes[message->slot];
	atomic_store(&process->serial, message->serial);
	atomic_store(&process->state, SCOREBOARD_ENABLED);
	atomic_fetch_add(&process->processed, 7);
}

static void
received(struct channel *from, struct message *message, int *fds, size_t fd_count)
{
	(void)from;
	fprintf(stderr, "fake: %s app=%u slot=%u serial=%llu number=%llu fds=%zu text=%.*s\n",
	        message_name(message->type), message->app_id, message->slot, (unsigned long long)message->serial,
	        (unsigned long long)message->number, fd_count, (int)message->text_len, message->text);
	switch (message->type) {
	case MESSAGE_HELLO:
		board = scoreboard_map(fds[0]);
		if (board == NULL)
			exit(1);
		beat_due(&beat);
		break;
	case MESSAGE_CONFIG:
		take_config(message, fds[0]);
		break;
	case MESSAGE_LISTENER:
		if (message->number == 0) {
			if (!watch_add(&loop, &listener, fds[0], EPOLLIN, accepted))
				exit(1);
			fds[0] = -1;
		}
		break;
	case MESSAGE_PROCESS:
		remember(message, &fds[0]);
		break;
	case MESSAGE_PROCESS_GONE:
		forget(message);
		break;
	case MESSAGE_DETACH:
		ask(MESSAGE_RETIRE, UINT64_MAX, message->slot, message->serial);
		break;
	case MESSAGE_BEGIN:
		begin();
		break;
	case MESSAGE_DRAIN:
		ask(MESSAGE_DRAINED, 0, 0, 0);
		exit(0);
	case MESSAGE_STOP:
		exit(0);
	default:
		break;
	}
}

static void
closed(struct channel *from, const char *why)
{
	(void)from;
	fprintf(stderr, "fake: the spawner is gone: %s\n", why);
	exit(1);
}

int
balance_command(int argc, char **argv)
{
	char error[SANDBOX_ERROR_BYTES];

	if (argc != 5 || !loop_init(&loop))
		return 1;
	log_init("fake", LOG_DEBUG);
	signal(SIGPIPE, SIG_IGN);
	channel.received = received;
	channel.closed = closed;
	beat.due = beat_due;
	if (!sandbox_drop((uint32_t)strtoul(argv[2], NULL, 10), (uint32_t)strtoul(argv[4], NULL, 10), error) ||
	    !sandbox_seccomp_balancer(error)) {
		fprintf(stderr, "fake: %s\n", error);
		return 1;
	}
	channel_open(&channel, &loop, 3);
	loop_run(&loop);
	return 0;
}
