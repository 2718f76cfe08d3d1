/*
 * capture: what an application process writes on its standard output and
 * error, forwarded to our log line by line, and the last of it remembered for
 * the report of a failure.  It never waits for anybody: it reads what is there,
 * a bounded amount a turn, and the log drops what the disk refuses.
 */
#ifndef WORKER_CAPTURE_H
#define WORKER_CAPTURE_H

#include "base/buf.h"
#include "system/loop.h"

enum {
	CAPTURE_TAIL_BYTES = 4096,
	CAPTURE_LINE_BYTES_MAX = 8000, /* a longer one is forwarded in parts */
	CAPTURE_TURN_BYTES_MAX = 65536,
	CAPTURE_END_BYTES_MAX = 262144, /* read after the end of the process: more than a pipe holds */
};

/* Where the lines of an application go. */
struct capture_sink {
	int fd;    /* its own log; -1: ours */
	bool bare; /* without the prefix */
};

/* What is done with lines while somebody wants stacks. */
enum capture_copy_mode {
	CAPTURE_COPY_MARKED, /* those from "========== Process" to "========== end" are copied instead of logged */
	CAPTURE_IN_MARKS,
	CAPTURE_COPY_ALL,
	CAPTURE_COPIED /* the end was seen: nothing more */
};

struct capture {
	const struct capture_sink *sink;
	struct watch watch;
	struct loop *loop;
	char prefix[128]; /* "App blog 4711 output: " */
	struct buf line;  /* begun and not ended */
	char *tail;       /* ring, from malloc when there is something */
	size_t tail_at, tail_len;
	struct buf *copy; /* NULL: nobody wants stacks; set with the other three */
	size_t copy_max;
	enum capture_copy_mode copy_mode;
	void (*copied)(struct capture *capture); /* the end was seen */
};

/* Takes the descriptor: the non-blocking read end of a pipe.  sink outlives the capture, and may change. */
void capture_open(struct capture *capture, struct loop *loop, const struct capture_sink *sink, int fd,
                  const char *prefix);
/* The same for one that an earlier image has begun: what it remembers stays. */
void capture_restore(struct capture *capture, struct loop *loop, const struct capture_sink *sink);
/* The process is gone: reads what the pipe still holds, and closes it. */
void capture_close(struct capture *capture);
/* Frees what is remembered. */
void capture_free(struct capture *capture);
/* The last whole lines that fit, terminated; returns its length. */
size_t capture_last(const struct capture *capture, char *out, size_t out_size);

#endif
