/*
 * procfs: what the kernel says of processes and of listening TCP sockets, read
 * from /proc.  Plain reads of local files; nothing is kept open, and nothing
 * that a process writes about itself is believed except for display (its
 * command line).
 */
#ifndef SYSTEM_PROCFS_H
#define SYSTEM_PROCFS_H

#include "base/str.h"

struct procfs_memory { /* KiB */
	uint64_t rss, pss, private_dirty, swap;
};

struct procfs_stat {
	int32_t parent, group, session;
	char state;         /* R S D Z T (stopped) t (by a debugger) … */
	uint64_t cpu_ticks; /* user and system, of the process without its children; USER_HZ a second */
	uint32_t threads;
	uint64_t vsize_kb, rss_kb;
	uint64_t start_ticks;
};

/* /proc/PID/smaps_rollup; where we may not read that (a process that can not
 * be dumped), pss is false's case: rss from stat is all there is. */
bool procfs_memory(int32_t pid, struct procfs_memory *memory) must_check;
/* VmSwap of /proc/PID/status; 0 when it is not known. */
uint64_t procfs_swap_kb(int32_t pid);
bool procfs_stat(int32_t pid, struct procfs_stat *stat) must_check;
/* Open descriptors; 0 when they can not be counted. */
uint32_t procfs_descriptors(int32_t pid);
/* The arguments with blanks between them, cut to fit; as the process shows them. */
void procfs_command(int32_t pid, char *out, size_t out_size);
/* Children of a process; count, at most max. */
size_t procfs_children(int32_t pid, int32_t *out, size_t max);
/* The variable's value in the environment with which the process was started (it may have
 * overwritten that since); false when it is not there or does not fit. */
bool procfs_variable(int32_t pid, struct str name, char *out, size_t out_size) must_check;
/* Is any process running under this uid (real, effective, saved or of its files)? */
bool procfs_uid_in_use(uint32_t uid);

enum procfs_bound {
	PROCFS_BOUND_LOOPBACK, /* 127.0.0.1 or ::ffff:127.0.0.1: where we would connect to */
	PROCFS_BOUND_WILDCARD, /* 0.0.0.0 or :: */
	PROCFS_BOUND_OTHER     /* any other address, ::1 too */
};

struct procfs_listener {
	enum procfs_bound bound;
	uint32_t uid;
	uint64_t inode;
	char address[48]; /* "0.0.0.0", "[::1]" */
};

/* Who listens on this TCP port, by /proc/net/tcp and tcp6; count, at most max. */
size_t procfs_listeners(uint16_t port, struct procfs_listener *out, size_t max);

/* Has the process, a descendant of it, or a process of its session a
 * descriptor of this socket? */
bool procfs_holds_socket(int32_t pid, uint64_t inode);

#endif
