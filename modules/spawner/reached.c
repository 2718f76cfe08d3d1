#include "spawner/reached.h"

#include "base/log.h"

#include <stdio.h>

/* Before it is killed: the request that has run for longest is the one. */
static void
run_hook_too_long(const struct worker *worker)
{
	struct spawner *spawner = worker->table->owner;
	const struct scoreboard_process *board = &spawner->board->processes[worker->record.slot];
	struct scoreboard_request request, oldest = {0};
	char pid[16];

	for (size_t i = 0; i < SCOREBOARD_REQUESTS; i++)
		if (scoreboard_read_request(&board->requests[i], &request) && !request.upgraded &&
		    (oldest.since_ms == 0 || request.since_ms < oldest.since_ms))
			memcpy((void *)&oldest, &request, sizeof(oldest));
	const struct hook_fact facts[] = {{"PASSENGER_PROCESS_PID", pid},
	                                  {"PASSENGER_APP_ID", pid},
	                                  {"PASSENGER_REQUEST_PATH", oldest.path},
	                                  {"PASSENGER_REQUEST_HOST", oldest.host}};
	str_format(pid, sizeof(pid), "%d", worker->record.pid);
	hooks_run(&spawner->hooks, worker->app, CONFIG_HOOK_MAX_REQUEST_TIME_REACHED, facts, array_count(facts));
}

void
reached_limit(struct worker *worker, enum limit limit, const char *why)
{
	struct spawner *spawner = worker->table->owner;

	if (limit == LIMIT_MAX_REQUEST_TIME && worker->has_slot)
		run_hook_too_long(worker);
	evidence_limit(&spawner->evidence, worker, limit, why);
}

void
reached_end(struct worker *worker)
{
	struct spawner *spawner = worker->table->owner;
	uint64_t kills = cgroups_kills(&spawner->cgroups, worker->app);

	evidence_reaped(worker);
	if (kills == 0)
		return;
	spawner->evidence.records[worker->app->id].reached[LIMIT_CGROUP_MEMORY] += (uint32_t)kills;
	log_warn("application %s: beyond cgroup_memory_max the kernel has killed %llu of its processes",
	         worker->app->name, (unsigned long long)kills);
}
