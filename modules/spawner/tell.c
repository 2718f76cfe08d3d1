#include "spawner/tell.h"

#include <unistd.h>

void
tell(struct spawner *spawner, const struct message *message, int fd)
{
	supervisor_send(&spawner->supervisor, message, &fd, fd >= 0 ? 1 : 0);
}

void
tell_simple(struct spawner *spawner, enum message_type type, uint64_t number, int fd)
{
	struct message message;

	message_init(&message, type);
	message.number = number;
	tell(spawner, &message, fd);
}

void
tell_process(struct spawner *spawner, const struct worker *worker)
{
	struct message message;

	message_init(&message, MESSAGE_PROCESS);
	message.app_id = worker->record.app_id;
	message.slot = worker->record.slot;
	message.serial = worker->record.serial;
	message.process = worker->record;
	message.process.retiring = worker_is_leaving(worker);
	tell(spawner, &message, worker->door_fd);
	explicit_bzero(&message, offsetof(struct message, text));
}

void
tell_of_worker(struct spawner *spawner, enum message_type type, const struct worker *worker, const char *text)
{
	struct message message;

	message_init(&message, type);
	message.app_id = worker->app->id;
	message.slot = worker->record.slot;
	message.serial = worker->record.serial;
	message_set_text(&message, str_from(text));
	tell(spawner, &message, -1);
}

void
tell_everything(struct spawner *spawner)
{
	tell_simple(spawner, MESSAGE_HELLO, 0, spawner->board_fd);
	off_t config_bytes = lseek(spawner->config_fd, 0, SEEK_END);
	tell_simple(spawner, MESSAGE_CONFIG, (uint64_t)config_bytes, spawner->config_fd);
	tell_simple(spawner, MESSAGE_ACCESS_LOG, 0, spawner->logs.access_fd);
	tell_simple(spawner, MESSAGE_SLOW_LOG, 0, spawner->logs.slow_fd);
	for (size_t i = 0; i < spawner->listeners->count; i++)
		tell_simple(spawner, MESSAGE_LISTENER, i, spawner->listeners->bound[i].fd);
	for (size_t state = 0; state < WORKER_STATE_N; state++) {
		list_each (&spawner->workers.states[state], node) {
			const struct worker *worker = container_of(node, struct worker, node);
			if (worker->has_slot)
				tell_process(spawner, worker);
		}
	}
	for (size_t state = 0; state < WORKER_STATE_N; state++) {
		list_each (&spawner->workers.states[state], node) {
			const struct worker *worker = container_of(node, struct worker, node);
			if (state == WORKER_STARTING || (state == WORKER_FAILED && worker->failure != NULL))
				tell_of_worker(spawner, MESSAGE_SPAWNING, worker, "");
		}
	}
	tell_simple(spawner, MESSAGE_BEGIN, 0, -1);
}
