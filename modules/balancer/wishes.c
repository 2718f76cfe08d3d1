#include "balancer/wishes.h"

#include "traffic/warmup.h"

/* process: NULL where it is about the application. */
static void
wish(struct balancer *balancer, enum message_type type, const struct group *group, const struct process *process,
     uint64_t number, const char *text)
{
	struct message message;
	message_init(&message, type);
	message.app_id = group->app->id;
	if (process != NULL) {
		message.slot = process->record.slot;
		message.serial = process->record.serial;
	}
	message.number = number;
	message_set_text(&message, str_from(text));
	core_send(balancer, &message);
}

static void
wish_spawn(void *owner, struct group *group)
{
	wish(owner, MESSAGE_SPAWN, group, NULL, 0, "");
}

static void
wish_restart(void *owner, struct group *group)
{
	wish(owner, MESSAGE_WANT_RESTART, group, NULL, 0, "");
}

static void
wish_retire(void *owner, struct process *process)
{
	wish(owner, MESSAGE_RETIRE, process->group, process, process_time_left_ms(process), "");
}

static void
wish_reached(void *owner, struct process *process, enum limit limit, const char *how)
{
	wish(owner, MESSAGE_LIMIT, process->group, process, limit, how);
}

static void
wish_queue_full(void *owner, struct group *group, const struct session *session)
{
	char text[MESSAGE_TEXT_BYTES];
	str_format(text, sizeof(text), "%.*s\n%.*s", STR_ARG(session->label.host), STR_ARG(session->label.path));
	wish(owner, MESSAGE_HOOK, group, NULL, CONFIG_HOOK_QUEUE_FULL, text);
}

static void
wish_gone(void *owner, struct process *process)
{
	(void)owner;
	warmup_cancel(process);
	backend_close_all(process);
	if (process->door != NULL)
		listener_close(process->door);
	process->door = NULL;
}

static void
wish_oob(void *owner, struct process *process)
{
	struct balancer *balancer = owner;
	backend_work(&balancer->traffic, process);
}

static void
wish_doubted(void *owner, struct process *process)
{
	struct balancer *balancer = owner;
	backend_ping(&balancer->traffic, process);
}

/* Whether it is in rotation is ours to say, that its start has failed the spawner's. */
void
wishes_warmed(struct traffic *traffic, struct process *process, const char *why)
{
	struct balancer *balancer = container_of(traffic, struct balancer, traffic);
	if (process->state != PROCESS_WARMING)
		return;
	if (balancer->state == BALANCER_HANDING_OVER) {
		/* the other one tells the spawner; who waits here waits for no more than this */
		if (why == NULL)
			pool_warmed(process);
		return;
	}
	wish(balancer, MESSAGE_WARMED, process->group, process, 0, why != NULL ? why : "");
	/* Else it stays as it is until the spawner says that it has failed: so no other one is asked for before. */
	if (why == NULL)
		pool_warmed(process);
}

void
wishes_init(struct balancer *balancer)
{
	const struct pool_hooks hooks = {
		.spawn = wish_spawn,
		.retire = wish_retire,
		.restart = wish_restart,
		.reached = wish_reached,
		.queue_full = wish_queue_full,
		.gone = wish_gone,
		.oob = wish_oob,
		.doubted = wish_doubted,
		.owner = balancer,
	};
	pool_init(&balancer->pool, &balancer->loop, balancer->scoreboard, &hooks);
}
