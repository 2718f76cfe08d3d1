/*
 * snapshot: what the spawner tells `passenger status`, in a sealed memfd:
 * a head, then group_count groups, then process_count processes (ordered by
 * group, oldest first).  Only what the caller's uid may see is in it; without
 * `verbose` no address of a door and no password is.  Fixed structs, so that
 * any process can check and format them without a parser.
 */
#ifndef HANDOVER_SNAPSHOT_H
#define HANDOVER_SNAPSHOT_H

#include "handover/limit.h"
#include "handover/scoreboard.h"

enum { SNAPSHOT_MAGIC = 0x50534e31 /* "PSN1" */, SNAPSHOT_VERSION = 6 };

/* What has become of an upgrade in place. */
enum snapshot_upgrade { SNAPSHOT_UPGRADE_NONE, SNAPSHOT_UPGRADE_DONE, SNAPSHOT_UPGRADE_REFUSED, SNAPSHOT_UPGRADE_BACK };

struct snapshot_head {
	uint32_t magic, version;
	uint32_t group_count, process_count;    /* in this snapshot */
	uint32_t total_groups, total_processes; /* of the instance: what the text's totals count */
	uint32_t max_pool_size;
	uint32_t top_level_queue;
	uint32_t clients;
	uint32_t balancer_state; /* 0 serving, 1 starting, 2 hung (no beat for 3 s) */
	uint32_t balancer_starts;
	int32_t spawner_pid, balancer_pid;
	uint32_t verbose;
	uint64_t requests, connections;
	uint64_t beat_age_ms;
	uint64_t now_ms;     /* CLOCK_MONOTONIC when it was taken */
	int64_t now_unix_us; /* CLOCK_REALTIME, microseconds */
	int64_t started_unix_us;
	uint64_t spawner_pss_kb, balancer_pss_kb;
	uint32_t upgrade;         /* enum snapshot_upgrade: the last one */
	int32_t handing_over_pid; /* a balancer that finishes what it has; 0: none */
	int64_t upgrade_unix_us;
	char upgrade_text[256];
	char passenger_version[32];
	char instance_name[80];
	char web_server[64];  /* "Apache/2.4.62" when it is really known, else "" */
	char listeners[1024]; /* blank-separated addresses */
};

struct snapshot_group {
	uint32_t app_id;
	uint32_t queued, spawning;
	uint32_t enabled_count, detached_count; /* processes */
	uint32_t min_instances, max_instances;
	uint32_t roll;                   /* enum group_roll */
	uint32_t roll_replaced, roll_of; /* how far it is */
	uint32_t maintenance;
	uint32_t generation; /* restarts so far */
	uint32_t protocol;   /* enum app_protocol */
	uint32_t uid, gid;
	int32_t preloader_pid;     /* 0: none */
	uint64_t oldest_queued_ms; /* age */
	uint64_t requests, queue_full, spawn_failures;
	uint64_t backoff_ms; /* until the next try; 0: none */
	uint64_t status_class[6];
	uint64_t response_histogram[SCOREBOARD_HISTOGRAM];
	uint64_t queue_histogram[SCOREBOARD_HISTOGRAM];
	char name[256]; /* "/var/app (production)" */
	char app_name[80];
	char root[256];
	char type[32];
	char environment[64];
	char host[256], base_uri[128];
	char user[64], group[64];
	char failure_id[16]; /* the last spawn failure, "" when the newest spawn worked */
	char failure[512];
	int64_t failure_unix_us;
	uint32_t limits[LIMIT_N]; /* how often each was reached */
	int64_t evidence_unix_us; /* of the newest; 0: none */
	char evidence[256];       /* its path */
	char cgroup[256];         /* what it is limited in by cgroup, or why not; "": has no such limit */
};

struct snapshot_process {
	uint32_t app_id;
	int32_t pid;
	uint32_t slot;
	uint32_t state; /* enum scoreboard_process_state */
	uint32_t sessions;
	uint32_t concurrency; /* 0: unlimited */
	uint32_t door_port;   /* 0: not shown */
	char door_ip[16];
	uint32_t retiring; /* told to stop */
	uint32_t threads, descriptors;
	uint32_t protocol;
	uint32_t has_metrics;
	uint32_t generation; /* of its group when it was started */
	uint64_t processed, direct, refused, errors, bytes_in, bytes_out;
	uint64_t uptime_ms, last_used_ms; /* ages */
	uint64_t cpu_permille;            /* of one core over the last interval, 1000 = one core busy */
	uint64_t pss_kb, rss_kb, private_dirty_kb, swap_kb, vmsize_kb;
	int64_t spawn_start_unix_us, spawn_end_unix_us;
	char password[20]; /* "" when not shown */
	char address[128]; /* the process's own address: unix:/… or http://127.0.0.1:… ; only with verbose */
	char gupid[40];
	char command[128];
	char user[64];
	char last_output[512];                                   /* only with verbose */
	struct scoreboard_request requests[SCOREBOARD_REQUESTS]; /* since_ms is an age here; 0: none */
};

#endif
