#include "handover/limit.h"

const char *
limit_name(enum limit limit)
{
	static const char *const names[LIMIT_N] = {
		[LIMIT_NONE] = "none",           [LIMIT_MAX_REQUEST_TIME] = "max_request_time",
		[LIMIT_MEMORY] = "memory_limit", [LIMIT_HARD_MEMORY] = "hard_memory_limit",
		[LIMIT_CPU] = "cpu_limit",       [LIMIT_RESPONSE] = "response_timeout",
		[LIMIT_START] = "start_timeout", [LIMIT_CGROUP_MEMORY] = "cgroup_memory_max",
		[LIMIT_DRAIN] = "drain_timeout",
	};

	return names[limit];
}
