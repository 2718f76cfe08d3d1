#include "operator/view.h"

#include <assert.h>
#include <stdlib.h>

size_t
view_bytes_max(void)
{
	return sizeof(struct snapshot_head) + SCOREBOARD_GROUPS * sizeof(struct snapshot_group) +
	       SCOREBOARD_PROCESSES * sizeof(struct snapshot_process);
}

#define terminated(array) (memchr((array), 0, sizeof(array)) != NULL)

static bool
head_is_whole(const struct snapshot_head *head)
{
	return terminated(head->passenger_version) && terminated(head->instance_name) && terminated(head->web_server) &&
	       terminated(head->listeners) && terminated(head->upgrade_text) && head->balancer_state <= 2;
}

static bool
group_is_whole(const struct snapshot_group *group)
{
	return group->app_id < SCOREBOARD_GROUPS && terminated(group->name) && terminated(group->app_name) &&
	       terminated(group->root) && terminated(group->type) && terminated(group->environment) &&
	       terminated(group->host) && terminated(group->base_uri) && terminated(group->user) &&
	       terminated(group->group) && terminated(group->failure_id) && terminated(group->failure);
}

static bool
process_is_whole(const struct snapshot_process *process)
{
	for (size_t i = 0; i < SCOREBOARD_REQUESTS; i++) {
		const struct scoreboard_request *request = &process->requests[i];
		if (!terminated(request->method) || !terminated(request->path) || !terminated(request->client) ||
		    !terminated(request->id))
			return false;
	}
	return process->app_id < SCOREBOARD_GROUPS && process->state < SCOREBOARD_STATE_N &&
	       process->door_port <= 65535 && terminated(process->door_ip) && terminated(process->password) &&
	       terminated(process->address) && terminated(process->gupid) && terminated(process->command) &&
	       terminated(process->user) && terminated(process->last_output);
}

/* Sizes first: nothing behind the head is touched before they are known to be true. */
static const char *
find_fault(struct view *view, const void *bytes, size_t len)
{
	const struct snapshot_head *head = bytes;
	if (len < sizeof(*head))
		return "it is too short";
	if (head->magic != SNAPSHOT_MAGIC)
		return "it is not a snapshot";
	if (head->version != SNAPSHOT_VERSION)
		return "it comes from another version of passenger";
	if (head->group_count > SCOREBOARD_GROUPS || head->process_count > SCOREBOARD_PROCESSES)
		return "its counts are impossible";
	if (len !=
	    sizeof(*head) + head->group_count * sizeof(*view->groups) + head->process_count * sizeof(*view->processes))
		return "its size does not fit its counts";
	view->head = head;
	view->groups = (const void *)((const char *)bytes + sizeof(*head));
	view->processes = (const void *)(view->groups + head->group_count);
	if (!head_is_whole(head))
		return "its head is damaged";
	for (uint32_t i = 0; i < head->group_count; i++)
		if (!group_is_whole(&view->groups[i]))
			return "a group is damaged";
	for (uint32_t i = 0; i < head->process_count; i++)
		if (!process_is_whole(&view->processes[i]))
			return "a process is damaged";
	return NULL;
}

static void *
allocate(size_t count, size_t size)
{
	void *memory = calloc(count, size);
	if (memory == NULL)
		abort();
	return memory;
}

/* Counting sort of the processes by group, and those that leave behind the others. */
static bool
sort_processes(struct view *view)
{
	enum { NOWHERE = UINT16_MAX };
	uint16_t place[SCOREBOARD_GROUPS];
	uint32_t groups = view->head->group_count, count = view->head->process_count;
	memset(place, 0xff, sizeof(place));
	for (uint32_t i = 0; i < groups; i++) {
		if (place[view->groups[i].app_id] != NOWHERE)
			return false;
		place[view->groups[i].app_id] = (uint16_t)i;
	}
	view->first = allocate(groups + 1, sizeof(*view->first));
	view->order = allocate(count + 1, sizeof(*view->order));
	for (uint32_t i = 0; i < count; i++) {
		if (place[view->processes[i].app_id] == NOWHERE)
			return false;
		view->first[place[view->processes[i].app_id] + 1]++;
	}
	for (uint32_t i = 0; i < groups; i++)
		view->first[i + 1] += view->first[i];
	uint32_t *next = allocate(groups + 1, sizeof(*next));
	memcpy(next, view->first, groups * sizeof(*next));
	for (int leaves = 0; leaves <= 1; leaves++)
		for (uint32_t i = 0; i < count; i++)
			if (view_process_leaves(&view->processes[i]) == leaves)
				view->order[next[place[view->processes[i].app_id]]++] = i;
	free(next);
	return true;
}

bool
view_open(struct view *view, const void *bytes, size_t len, char *error, size_t error_size)
{
	*view = (struct view){0};
	const char *fault = find_fault(view, bytes, len);
	if (fault == NULL && !sort_processes(view))
		fault = "its processes do not fit its groups";
	if (fault == NULL)
		return true;
	view_close(view);
	str_format(error, error_size, "the snapshot can not be read: %s", fault);
	return false;
}

void
view_close(struct view *view)
{
	free(view->first);
	free(view->order);
	*view = (struct view){0};
}

uint32_t
view_process_count(const struct view *view, uint32_t group)
{
	assert(group < view->head->group_count);
	return view->first[group + 1] - view->first[group];
}

const struct snapshot_process *
view_process(const struct view *view, uint32_t group, uint32_t index)
{
	assert(index < view_process_count(view, group));
	return &view->processes[view->order[view->first[group] + index]];
}

bool
view_process_leaves(const struct snapshot_process *process)
{
	return process->state == SCOREBOARD_DETACHED || process->retiring != 0;
}

uint64_t
view_process_memory_kb(const struct snapshot_process *process)
{
	return (process->pss_kb > 0 ? process->pss_kb : process->rss_kb) + process->swap_kb;
}

uint64_t
view_process_cpu_percent(const struct snapshot_process *process)
{
	return process->cpu_permille / 10 + (process->cpu_permille % 10 >= 5);
}

const struct scoreboard_request *
view_request(const struct snapshot_process *process, size_t index)
{
	return index < SCOREBOARD_REQUESTS && process->requests[index].since_ms > 0 ? &process->requests[index] : NULL;
}

const char *
view_waiting_for(const struct view *view, uint32_t index)
{
	const struct snapshot_group *group = &view->groups[index];
	bool full = view->head->total_processes >= view->head->max_pool_size;
	if (group->queued == 0)
		return NULL;
	if (group->spawning > 0)
		return "a process that is being started";
	if (group->backoff_ms > 0)
		return "the next try to start a process";
	if (group->max_instances > 0 && group->enabled_count >= group->max_instances)
		return "a free process: max_instances is reached";
	return full ? "a free process: max_pool_size is reached" : "a free process";
}
