/*
 * snapshot: builds what `passenger status` is answered with
 * (handover/snapshot.h), from the workers, the scoreboard and /proc.  It takes
 * a bounded time however many processes there are: memory figures that can not
 * be read within it are those of last time.
 */
#ifndef SPAWNER_SNAPSHOT_H
#define SPAWNER_SNAPSHOT_H

#include "spawner/listeners.h"
#include "spawner/supervisor.h"
#include "worker/evidence.h"
#include "worker/worker.h"

enum { SNAPSHOT_BUDGET_MS = 25, SNAPSHOT_CPU_FRESH_MS = 1000 };

struct snapshot_source {
	struct workers *workers;
	const struct supervisor *supervisor;
	const struct supervisor *before; /* the balancer that hands over, or IDLE */
	const struct listeners *listeners;
	const struct evidence_store *evidence;
	const char *instance_name;
	int64_t started_unix_us;
	uint32_t upgrade; /* enum snapshot_upgrade: what has become of the last one */
	int64_t upgrade_unix_us;
	char upgrade_text[256];
	uint64_t own_memory_at_ms, balancer_memory_at_ms;
	uint64_t own_pss_kb, balancer_pss_kb; /* last read */
};

/* Whose groups, and how much of them. */
struct snapshot_view {
	bool everything; /* else only groups of this uid */
	uint32_t uid;
	bool verbose; /* doors, passwords, addresses, output */
};

/* A sealed memfd, *bytes long; -1 and errno. */
int snapshot_take(struct snapshot_source *source, const struct snapshot_view *view, uint64_t *bytes) must_check;

/* Measures all of them, and writes to the scoreboard what limits are about. */
void snapshot_sample_all(struct workers *workers);
/* CPU figures of all processes whose last ones are at least this old. */
void snapshot_sample_cpu(struct workers *workers, uint64_t older_than_ms);

#endif
