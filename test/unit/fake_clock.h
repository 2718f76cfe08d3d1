/*
 * fake_clock: a monotonic clock that the test turns by hand.  Included by the
 * test's own .c and nowhere else: it defines clock_gettime() for the whole
 * program, also for the modules that are linked to it.
 */
#ifndef TEST_UNIT_FAKE_CLOCK_H
#define TEST_UNIT_FAKE_CLOCK_H

#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

uint64_t fake_now_ms = 1000000;

int
clock_gettime(clockid_t clock, struct timespec *now)
{
	if (clock != CLOCK_MONOTONIC)
		return (int)syscall(SYS_clock_gettime, clock, now);
	now->tv_sec = (time_t)(fake_now_ms / 1000);
	now->tv_nsec = (long)(fake_now_ms % 1000) * 1000000;
	return 0;
}

#endif
