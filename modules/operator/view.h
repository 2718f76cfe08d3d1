/*
 * view: a snapshot (handover/snapshot.h) as the formatters read it.  It is
 * checked whole before anything is looked at: magic, version, exact size,
 * terminated strings, known enums, and that each process belongs to a group
 * that is there.  It keeps no copy: the bytes are the caller's and must
 * outlive it.
 */
#ifndef OPERATOR_VIEW_H
#define OPERATOR_VIEW_H

#include "handover/snapshot.h"

struct view {
	const struct snapshot_head *head;
	const struct snapshot_group *groups;
	const struct snapshot_process *processes;
	uint32_t *first; /* private: first[g] .. first[g + 1] are group g's places in order[] */
	uint32_t *order;
};

/* The largest snapshot there can be, in bytes. */
size_t view_bytes_max(void);

/* bytes: aligned as from malloc.  False and a sentence in error when it is no whole snapshot of our version. */
bool view_open(struct view *view, const void *bytes, size_t len, char *error, size_t error_size) must_check;
void view_close(struct view *view);

/* The processes of a group: those in rotation first, then those that leave; each oldest first. */
uint32_t view_process_count(const struct view *view, uint32_t group);
const struct snapshot_process *view_process(const struct view *view, uint32_t group, uint32_t index);

/* Out of rotation: it finishes what it has and is stopped. */
bool view_process_leaves(const struct snapshot_process *process);

/* Its share of memory: PSS and swap; RSS and swap where PSS can not be read.  KB */
uint64_t view_process_memory_kb(const struct snapshot_process *process);

/* Of one core over the last interval, rounded. */
uint64_t view_process_cpu_percent(const struct snapshot_process *process);

/* A request cell of a process, or NULL when it is empty. */
/* Why requests of this group wait: what they wait for; NULL: none does. */
const char *view_waiting_for(const struct view *view, uint32_t group);

const struct scoreboard_request *view_request(const struct snapshot_process *process, size_t index);

#endif
