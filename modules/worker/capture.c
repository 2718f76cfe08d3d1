#include "worker/capture.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { READ_BYTES = 16384 };

/* Belongs to the stacks that somebody wants. */
static bool
copied(struct capture *capture, struct str text)
{
	bool ends = str_starts(text, STR("========== end"));

	if (capture->copy_mode == CAPTURE_COPY_MARKED && str_starts(text, STR("========== Process")))
		capture->copy_mode = CAPTURE_IN_MARKS;
	if (capture->copy_mode != CAPTURE_IN_MARKS && capture->copy_mode != CAPTURE_COPY_ALL)
		return false;
	if (capture->copy->len + text.len < capture->copy_max) {
		buf_append_str(capture->copy, text);
		buf_append_char(capture->copy, '\n');
	}
	if (ends)
		capture->copied(capture);
	return true;
}

static void
forward(struct capture *capture, struct str text)
{
	if (capture->copy != NULL && copied(capture, text))
		return;
	if (text.len > 0 && text.data[text.len - 1] == '\r')
		text.len--;
	const struct capture_sink *sink = capture->sink;
	log_output(sink->fd >= 0 ? sink->fd : STDERR_FILENO, sink->bare ? STR("") : str_from(capture->prefix), text,
	           sink->bare && sink->fd >= 0);
}

static void
remember(struct capture *capture, const char *data, size_t len)
{
	if (capture->tail == NULL) {
		capture->tail = malloc(CAPTURE_TAIL_BYTES);
		if (capture->tail == NULL)
			return;
	}
	if (len > CAPTURE_TAIL_BYTES) {
		data += len - CAPTURE_TAIL_BYTES;
		len = CAPTURE_TAIL_BYTES;
	}
	for (size_t i = 0; i < len; i++) {
		capture->tail[capture->tail_at] = data[i];
		capture->tail_at = (capture->tail_at + 1) % CAPTURE_TAIL_BYTES;
	}
	capture->tail_len += len;
	if (capture->tail_len > CAPTURE_TAIL_BYTES)
		capture->tail_len = CAPTURE_TAIL_BYTES;
}

/* Whole lines go at once, without a copy; what is begun waits. */
static void
cut_lines(struct capture *capture, const char *data, size_t len)
{
	while (len > 0) {
		const char *feed = memchr(data, '\n', len);
		size_t part = feed != NULL ? (size_t)(feed - data) : len;
		size_t room = CAPTURE_LINE_BYTES_MAX - capture->line.len;
		bool whole = feed != NULL && part <= room;

		if (part > room)
			part = room;
		if (whole && capture->line.len == 0) {
			forward(capture, str_make(data, part));
		} else {
			buf_append(&capture->line, data, part);
			if (whole || capture->line.len == CAPTURE_LINE_BYTES_MAX) {
				forward(capture, buf_str(&capture->line));
				buf_free(&capture->line);
			}
		}
		data += part + (whole ? 1 : 0);
		len -= part + (whole ? 1 : 0);
	}
}

/* Reads up to max bytes, *taken in all; false when there is nothing more, for ever. */
static bool
take(struct capture *capture, size_t max, size_t *taken)
{
	char data[READ_BYTES];

	for (*taken = 0; *taken < max;) {
		ssize_t len = read(capture->watch.fd, data, sizeof(data));
		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0)
			return errno == EAGAIN;
		if (len == 0)
			return false;
		remember(capture, data, (size_t)len);
		cut_lines(capture, data, (size_t)len);
		*taken += (size_t)len;
		if ((size_t)len < sizeof(data))
			return true;
	}
	return true;
}

static void
end_reading(struct capture *capture)
{
	int fd = capture->watch.fd;

	if (capture->watch.ready == NULL)
		return;
	watch_remove(capture->loop, &capture->watch);
	close(fd);
	if (capture->line.len > 0)
		forward(capture, buf_str(&capture->line));
	buf_free(&capture->line);
}

static void
capture_ready(struct watch *watch, uint32_t events)
{
	struct capture *capture = container_of(watch, struct capture, watch);

	size_t taken;

	(void)events;
	if (!take(capture, CAPTURE_TURN_BYTES_MAX, &taken))
		end_reading(capture);
}

void
capture_open(struct capture *capture, struct loop *loop, const struct capture_sink *sink, int fd, const char *prefix)
{
	str_cut_z(capture->prefix, sizeof(capture->prefix), str_from(prefix));
	capture->watch.fd = fd;
	capture_restore(capture, loop, sink);
}

void
capture_restore(struct capture *capture, struct loop *loop, const struct capture_sink *sink)
{
	int fd = capture->watch.fd;

	capture->sink = sink;
	capture->loop = loop;
	if (fd >= 0 && !watch_add(loop, &capture->watch, fd, EPOLLIN, capture_ready)) {
		log_error("%scan not be read: %s", capture->prefix, strerror(errno));
		close(fd);
	}
}

void
capture_close(struct capture *capture)
{
	size_t taken, all = 0;

	if (capture->watch.ready == NULL)
		return;
	/* the write end may live on in a process that outlived this one: read what is there and no more */
	while (all < CAPTURE_END_BYTES_MAX && take(capture, CAPTURE_TURN_BYTES_MAX, &taken) && taken > 0)
		all += taken;
	end_reading(capture);
}

void
capture_free(struct capture *capture)
{
	end_reading(capture);
	free(capture->tail);
	capture->tail = NULL;
	capture->tail_len = 0;
}

size_t
capture_last(const struct capture *capture, char *out, size_t out_size)
{
	size_t len = capture->tail_len, cut = 0;

	if (len > out_size - 1)
		len = out_size - 1;
	bool whole = len == capture->tail_len && len < CAPTURE_TAIL_BYTES;
	for (size_t i = 0; i < len; i++)
		out[i] = capture->tail[(capture->tail_at + CAPTURE_TAIL_BYTES - len + i) % CAPTURE_TAIL_BYTES];
	out[len] = '\0';
	/* the first line is cut off where it was not kept whole, unless it is the only one */
	char *feed = whole ? NULL : memchr(out, '\n', len);
	if (feed != NULL && feed + 1 < out + len)
		cut = (size_t)(feed + 1 - out);
	memmove(out, out + cut, len - cut + 1);
	return len - cut;
}
