#include "system/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { LOOP_EVENTS = 128 };

uint64_t
clock_monotonic_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int64_t
clock_unix_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

bool
loop_init(struct loop *loop)
{
	*loop = (struct loop){.now_ms = clock_monotonic_ms()};
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		return false;
	loop->events = calloc(LOOP_EVENTS, sizeof(*loop->events));
	if (loop->events == NULL)
		abort();
	list_init(&loop->soon);
	list_init(&loop->graves);
	return true;
}

static void
loop_run_graves(struct loop *loop)
{
	struct list_node *node;
	while ((node = list_take_first(&loop->graves)) != NULL) {
		struct grave *grave = container_of(node, struct grave, node);
		grave->bury(grave);
	}
}

void
loop_free(struct loop *loop)
{
	loop_run_graves(loop);
	close(loop->epoll_fd);
	free(loop->events);
	free(loop->heap);
	*loop = (struct loop){.epoll_fd = -1};
}

void
loop_stop(struct loop *loop)
{
	loop->stopped = true;
}

void
loop_run(struct loop *loop)
{
	while (!loop->stopped)
		loop_turn(loop, -1);
}

/* ---- watches ---- */

bool
watch_add(struct loop *loop, struct watch *watch, int fd, uint32_t events, watch_ready *ready)
{
	struct epoll_event event = {.events = events, .data.ptr = watch};
	assert(watch->ready == NULL);
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return false;
	watch->fd = fd;
	watch->events = events;
	watch->ready = ready;
	return true;
}

void
watch_change(struct loop *loop, struct watch *watch, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = watch};
	assert(watch->ready != NULL);
	if (watch->events == events)
		return;
	watch->events = events;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event) < 0)
		abort(); /* a watched descriptor was closed behind our back */
}

void
watch_remove(struct loop *loop, struct watch *watch)
{
	if (watch->ready == NULL)
		return;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
	watch->ready = NULL;
	/* Events of this turn that wait behind the current one are no longer for it. */
	for (int i = loop->event_at; i < loop->event_count; i++)
		if (loop->events[i].data.ptr == watch)
			loop->events[i].data.ptr = NULL;
}

/* ---- timers: a binary heap ordered by heap_ms ---- */

static void
heap_put(struct loop *loop, uint32_t place, struct timer *timer)
{
	loop->heap[place - 1] = timer;
	timer->place = place;
}

static void
heap_up(struct loop *loop, struct timer *timer)
{
	uint32_t place = timer->place;
	while (place > 1 && loop->heap[place / 2 - 1]->heap_ms > timer->heap_ms) {
		heap_put(loop, place, loop->heap[place / 2 - 1]);
		place /= 2;
	}
	heap_put(loop, place, timer);
}

static void
heap_down(struct loop *loop, struct timer *timer)
{
	uint32_t place = timer->place;
	while (place * 2 <= loop->heap_count) {
		uint32_t child = place * 2;
		if (child < loop->heap_count && loop->heap[child]->heap_ms < loop->heap[child - 1]->heap_ms)
			child++;
		if (loop->heap[child - 1]->heap_ms >= timer->heap_ms)
			break;
		heap_put(loop, place, loop->heap[child - 1]);
		place = child;
	}
	heap_put(loop, place, timer);
}

static void
heap_insert(struct loop *loop, struct timer *timer)
{
	if (loop->heap_count == loop->heap_cap) {
		uint32_t cap = loop->heap_cap ? loop->heap_cap * 2 : 64;
		struct timer **heap = realloc(loop->heap, cap * sizeof(*heap));
		if (heap == NULL)
			abort();
		loop->heap = heap;
		loop->heap_cap = cap;
	}
	loop->heap_count++;
	heap_put(loop, loop->heap_count, timer);
	heap_up(loop, timer);
}

static void
heap_remove(struct loop *loop, struct timer *timer)
{
	struct timer *last = loop->heap[loop->heap_count - 1];
	uint32_t place = timer->place;
	loop->heap_count--;
	timer->place = 0;
	if (last == timer)
		return;
	heap_put(loop, place, last);
	heap_up(loop, last);
	heap_down(loop, last);
}

void
timer_set(struct loop *loop, struct timer *timer, uint64_t after_ms)
{
	assert(timer->due != NULL);
	timer->at_ms = loop->now_ms + after_ms;
	if (timer->place != 0) {
		/* Later than its key: the heap notices when the old key comes up. */
		if (timer->at_ms >= timer->heap_ms)
			return;
		timer->heap_ms = timer->at_ms;
		heap_up(loop, timer);
		return;
	}
	timer->heap_ms = timer->at_ms;
	heap_insert(loop, timer);
}

void
timer_cancel(struct loop *loop, struct timer *timer)
{
	if (timer->place != 0)
		heap_remove(loop, timer);
	timer->at_ms = 0;
}

static void
loop_run_timers(struct loop *loop)
{
	while (loop->heap_count > 0 && loop->heap[0]->heap_ms <= loop->now_ms) {
		struct timer *timer = loop->heap[0];
		if (timer->at_ms > loop->now_ms) {
			timer->heap_ms = timer->at_ms;
			heap_down(loop, timer);
			continue;
		}
		heap_remove(loop, timer);
		timer->at_ms = 0;
		timer->due(timer);
	}
}

/* ---- soon and graves ---- */

void
loop_soon(struct loop *loop, struct soon *soon)
{
	if (!list_contains(&soon->node))
		list_append(&loop->soon, &soon->node);
}

void
loop_soon_cancel(struct soon *soon)
{
	list_remove(&soon->node);
}

void
loop_bury(struct loop *loop, struct grave *grave)
{
	if (!list_contains(&grave->node))
		list_append(&loop->graves, &grave->node);
}

/* Only what waited at the beginning: what asks for itself again comes next turn. */
static void
loop_run_soon(struct loop *loop)
{
	for (uint32_t left = loop->soon.count; left > 0; left--) {
		struct list_node *node = list_take_first(&loop->soon);
		if (node == NULL)
			return;
		struct soon *soon = container_of(node, struct soon, node);
		soon->run(soon);
	}
}

/* ---- the turn ---- */

static int
loop_wait_ms(const struct loop *loop, int wait_ms)
{
	if (loop->soon.count > 0 || loop->graves.count > 0)
		return 0;
	if (loop->heap_count == 0)
		return wait_ms;
	uint64_t first = loop->heap[0]->heap_ms;
	uint64_t now = clock_monotonic_ms();
	uint64_t until = first > now ? first - now : 0;
	if (until > 3600 * 1000)
		until = 3600 * 1000;
	return wait_ms >= 0 && (uint64_t)wait_ms < until ? wait_ms : (int)until;
}

void
loop_turn(struct loop *loop, int wait_ms)
{
	int count = epoll_wait(loop->epoll_fd, loop->events, LOOP_EVENTS, loop_wait_ms(loop, wait_ms));
	if (count < 0) {
		assert(errno == EINTR);
		count = 0;
	}
	loop->turn++;
	loop->now_ms = clock_monotonic_ms();
	loop->event_count = count;
	for (loop->event_at = 0; loop->event_at < loop->event_count;) {
		struct epoll_event event = loop->events[loop->event_at++];
		struct watch *watch = event.data.ptr;
		if (watch == NULL || watch->ready == NULL)
			continue;
		/* What an earlier callback of this turn does not want any more is not told. */
		uint32_t events = event.events & (watch->events | EPOLLERR | EPOLLHUP);
		if (events != 0)
			watch->ready(watch, events);
	}
	loop->event_count = loop->event_at = 0;
	loop_run_timers(loop);
	loop_run_soon(loop);
	loop_run_graves(loop);
}
