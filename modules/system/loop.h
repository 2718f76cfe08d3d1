/*
 * loop: one epoll loop.  A turn is: poll, watches, due timers, the soon-queue,
 * graves.  Nothing is called back into and nothing dies in the middle of a
 * turn: a watch that is removed is not called any more, memory goes with
 * loop_bury() at the turn's end.  Level-triggered.
 */
#ifndef SYSTEM_LOOP_H
#define SYSTEM_LOOP_H

#include "base/list.h"
#include "base/str.h"

#include <sys/epoll.h>

struct loop;
struct watch;
struct timer;

typedef void watch_ready(struct watch *watch, uint32_t events);
typedef void timer_due(struct timer *timer);

struct watch {
	int fd;
	uint32_t events;    /* EPOLLIN, EPOLLOUT; 0: only errors and hang-ups */
	watch_ready *ready; /* NULL: not watched */
};

struct timer {
	uint64_t at_ms;   /* when it is due; 0: not set */
	uint64_t heap_ms; /* private: its key in the heap, never later than at_ms */
	uint32_t place;   /* private: index in the heap + 1; 0: not in it */
	timer_due *due;
};

struct soon {
	struct list_node node;
	void (*run)(struct soon *soon);
};

struct grave {
	struct list_node node;
	void (*bury)(struct grave *grave); /* frees its owner */
};

struct loop {
	int epoll_fd;
	bool stopped;
	uint32_t turn;
	uint64_t now_ms; /* CLOCK_MONOTONIC, taken once a turn */
	struct epoll_event *events;
	int event_count, event_at;
	struct timer **heap;
	uint32_t heap_count, heap_cap;
	struct list soon;
	struct list graves;
};

bool loop_init(struct loop *loop) must_check;
void loop_free(struct loop *loop);
/* Runs until loop_stop(). */
void loop_run(struct loop *loop);
/* One turn; waits at most wait_ms (-1: until something happens). */
void loop_turn(struct loop *loop, int wait_ms);
void loop_stop(struct loop *loop);

/* CLOCK_MONOTONIC in milliseconds, now. */
uint64_t clock_monotonic_ms(void);
/* CLOCK_REALTIME in microseconds since 1970. */
int64_t clock_unix_us(void);

/* False and errno when the kernel refuses (ENOSPC, ENOMEM). The watch's memory stays the caller's. */
bool watch_add(struct loop *loop, struct watch *watch, int fd, uint32_t events, watch_ready *ready) must_check;
/* No system call when nothing changes. */
void watch_change(struct loop *loop, struct watch *watch, uint32_t events);
/* Does not close the descriptor. Nothing when it is not watched. */
void watch_remove(struct loop *loop, struct watch *watch);

/* Sets or moves; putting it off to a later time costs nothing. */
void timer_set(struct loop *loop, struct timer *timer, uint64_t after_ms);
void timer_cancel(struct loop *loop, struct timer *timer);

static inline bool
timer_is_set(const struct timer *timer)
{
	return timer->at_ms != 0;
}

/* run() is called after this turn's watches and timers; once, however often it was asked for. */
void loop_soon(struct loop *loop, struct soon *soon);
void loop_soon_cancel(struct soon *soon);
/* bury() is called at the very end of the turn. */
void loop_bury(struct loop *loop, struct grave *grave);

#endif
