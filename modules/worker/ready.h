/*
 * ready: how a process that was started becomes one that serves: a loader says
 * so on its control descriptor, a plain program is seen to listen on the port or
 * unix socket that it was given, or to accept on the descriptor.  Of what a process says only the line's form and two
 * numbers are believed; who listens on a port is asked of the kernel.
 */
#ifndef WORKER_READY_H
#define WORKER_READY_H

#include "worker/worker.h"

/* The process runs; control_fd is our end of a loader's control descriptor
 * (taken), or -1 for a program, which is looked at until it is. */
void ready_begin(struct worker *worker, int control_fd);

/* One line to the loader, when it takes it.  False: there is none. */
bool ready_command(struct worker *worker, struct str line) must_check;
/* The same for one that an earlier image has begun; its timers are set by the caller. */
void ready_restore(struct worker *worker, int control_fd);

/* What a line of a loader says. */
enum ready_line { READY_LINE_READY, READY_LINE_ERROR, READY_LINE_OTHER };
enum ready_line ready_line_read(struct str line, int32_t *concurrency, bool *bypass, struct str *error);

/* What the listening sockets of a port mean for a process. */
enum ready_port { READY_PORT_NOT_YET, READY_PORT_OURS, READY_PORT_FOREIGN, READY_PORT_OPEN, READY_PORT_ELSEWHERE };
/* holds[i]: the process or a descendant has rows[i]'s socket; *which is the row that decided. */
enum ready_port ready_port_judge(const struct procfs_listener *rows, const bool *holds, size_t count, uint32_t uid,
                                 size_t *which);

#endif
