/*
 * image: another program in place of this one, in the same process: same pid,
 * same children, and the descriptors that it is to have.  The one that comes
 * can fall back to the one that was: when it gives up, when a fatal signal hits
 * it, or when it is not ready in time.  What the other has to know stands in a
 * memfd (spawner/state).
 *
 *     old: image_exec() -> new: image_begin(), image_guard() … image_is_ready() … image_release()
 *                            |  fatal signal, time, image_fall_back()
 *                            v
 *                          old: image_begin() tells why
 */
#ifndef SYSTEM_IMAGE_H
#define SYSTEM_IMAGE_H

#include "base/str.h"

enum { IMAGE_READY_WITHIN_S = 10 };

/* Why an image has been left for the one before. */
enum image_end {
	IMAGE_NEW,            /* it was not: this one takes over */
	IMAGE_GAVE_UP = 1000, /* it said why itself, in the log */
			      /* anything else: the number of the signal; SIGALRM: it was not ready in time */
};

/* What goes over.  The descriptors belong to the caller. */
struct image_load {
	int state_fd;
	const int *fds; /* that the other one gets, besides these two */
	size_t fd_count;
};

struct image_arrival {
	int state_fd; /* -1: nothing was handed over: an ordinary start */
	int back_fd;  /* the program that was before; -1: this one comes back */
	int end;      /* enum image_end */
};

/* First thing in main(): what was handed over, close-on-exec again. */
void image_arrive(struct image_arrival *arrival);
/* The arguments that this program was started with; kept by pointer. */
void image_arguments(char **argv);

/* From here on this image falls back to the program behind back_fd.  Without a load it ends as any program does. */
void image_guard(int back_fd);
/* What a fall-back hands over from now on; the load is the caller's until the next one is given. */
void image_carry(const struct image_load *load);
/* It need not be ready any more, for it is. */
void image_is_ready(void);
/* It has proved good. */
void image_release(void);
bool image_is_guarded(void);
/* Returns only when it can not be done. */
void image_fall_back(enum image_end end);

/* The program behind binary_fd takes this one's place; back_fd goes with it, or -1.  Returns false and errno: nothing
 * has changed. */
bool image_exec(int binary_fd, int back_fd, const struct image_load *load) must_check;

#endif
