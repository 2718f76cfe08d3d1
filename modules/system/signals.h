/*
 * signals: the signals that a role listens to, as events of its loop.  They are
 * blocked and read from a signalfd; SIGPIPE is ignored.
 */
#ifndef SYSTEM_SIGNALS_H
#define SYSTEM_SIGNALS_H

#include "system/loop.h"

struct signals {
	struct watch watch;
	void (*received)(struct signals *signals, int number, int32_t sender_pid);
	void *owner;
};

/* received and owner are set before; false and errno. */
bool signals_open(struct signals *signals, struct loop *loop, const int *numbers, size_t count) must_check;
void signals_close(struct signals *signals, struct loop *loop);

#endif
