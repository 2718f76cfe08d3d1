#include "balancer/core.h"

#include "base/log.h"

void
core_end(struct balancer *balancer, int exit_code)
{
	if (balancer->state == BALANCER_ENDED)
		return;
	balancer->state = BALANCER_ENDED;
	balancer->exit_code = exit_code;
	loop_stop(&balancer->loop);
}

void
core_send(struct balancer *balancer, const struct message *message)
{
	if (channel_send(&balancer->channel, message, NULL, 0))
		return;
	log_critical("the spawner takes no messages any more");
	core_end(balancer, 1);
}
