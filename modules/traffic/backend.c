#include "traffic/backend.h"

#include "base/log.h"
#include "wire/session_protocol.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	BACKEND_IDLE_MAX = 32,       /* kept for a process without a limit of its own */
	BACKEND_HTTP_IDLE_MS = 4000, /* less than what HTTP programs commonly allow: they must not be the ones to close */
};

static void backend_ready(struct watch *watch, uint32_t events);
static void backend_timed_out(struct timer *timer);

static int
connect_unix(const struct process *process)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (!str_copy_z(address.sun_path, sizeof(address.sun_path), str_from(process->record.socket_path))) {
		close(fd);
		errno = ENAMETOOLONG;
		return -1;
	}
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

static int
connect_port(const struct process *process)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(process->record.port)};
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 && errno != EINPROGRESS) {
		int error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

static struct backend *
backend_open(struct traffic *traffic, struct process *process)
{
	int fd = process->record.port != 0 ? connect_port(process) : connect_unix(process);
	if (fd < 0)
		return NULL;
	struct backend *backend = calloc(1, sizeof(*backend));
	if (backend == NULL)
		abort();
	if (!watch_add(traffic->loop, &backend->watch, fd, EPOLLIN, backend_ready)) {
		close(fd);
		free(backend);
		return NULL;
	}
	backend->traffic = traffic;
	backend->process = process;
	backend->timer.due = backend_timed_out;
	list_append(&process->backends, &backend->node);
	return backend;
}

/* Neither ended nor with bytes that nobody asked for. */
static bool
backend_is_quiet(const struct backend *backend)
{
	char byte;
	return recv(backend->watch.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static struct backend *
backend_take_idle(struct process *process, bool once)
{
	struct list_node *node;
	while ((node = list_take_first(&process->idle)) != NULL) {
		struct backend *backend = container_of(node, struct backend, idle_node);
		if (!once || backend_is_quiet(backend))
			return backend;
		backend_close(backend);
	}
	return NULL;
}

struct backend *
backend_take(struct traffic *traffic, struct process *process, bool once, const struct backend_handler *handler,
             void *owner)
{
	struct backend *backend = backend_take_idle(process, once);
	if (backend == NULL && (backend = backend_open(traffic, process)) == NULL)
		return NULL;
	backend->state = BACKEND_BUSY;
	backend->handler = handler;
	backend->owner = owner;
	return backend;
}

void
backend_give(struct backend *backend)
{
	assert(backend->state == BACKEND_BUSY);
	if (backend->process == NULL) {
		backend_close(backend);
		return;
	}
	backend->exchanges++;
	backend->handler = NULL;
	backend->owner = NULL;
	buf_free(&backend->in);
	backend->state = BACKEND_IDLE;
	backend_want(backend, true, false);
	/* The newest first: it is warm, and the others may go. */
	struct process *process = backend->process;
	list_prepend(&process->idle, &backend->idle_node);
	if (process->record.protocol == APP_PROTOCOL_HTTP)
		timer_set(backend->traffic->loop, &backend->timer, BACKEND_HTTP_IDLE_MS);
	if (process->idle.count > BACKEND_IDLE_MAX && process->idle.count > (uint32_t)process->record.concurrency)
		backend_close(container_of(process->idle.head.prev, struct backend, idle_node));
}

static void
backend_bury(struct grave *grave)
{
	struct backend *backend = container_of(grave, struct backend, grave);
	buf_free(&backend->in);
	free(backend);
}

void
backend_close(struct backend *backend)
{
	struct loop *loop = backend->traffic->loop;
	if (backend->state == BACKEND_DEAD)
		return;
	backend->state = BACKEND_DEAD;
	list_remove(&backend->idle_node);
	list_remove(&backend->node);
	timer_cancel(loop, &backend->timer);
	watch_remove(loop, &backend->watch);
	close(backend->watch.fd);
	backend->grave.bury = backend_bury;
	loop_bury(loop, &backend->grave);
}

ssize_t
backend_write(struct backend *backend, const struct iovec *pieces, int count)
{
	struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)pieces, .msg_iovlen = (size_t)count};
	ssize_t wrote = sendmsg(backend->watch.fd, &message, MSG_NOSIGNAL);
	if (wrote >= 0)
		return wrote;
	return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

void
backend_want(struct backend *backend, bool read, bool write)
{
	struct loop *loop = backend->traffic->loop;
	uint32_t events = (read ? (uint32_t)EPOLLIN : 0) | (write ? (uint32_t)EPOLLOUT : 0);
	if (events == 0) {
		/* Not merely no events: a hang-up would be told again and again while nobody reads. */
		watch_remove(loop, &backend->watch);
		return;
	}
	if (backend->watch.ready != NULL) {
		watch_change(loop, &backend->watch, events);
		return;
	}
	if (!watch_add(loop, &backend->watch, backend->watch.fd, events, backend_ready))
		abort();
}

/* ---- ping, and out-of-band work ---- */

/* On a connection of its own; NULL: it can not be asked. */
static struct backend *
backend_ask(struct traffic *traffic, struct process *process, enum backend_state state, struct str question)
{
	struct backend *backend = backend_open(traffic, process);
	struct iovec piece = {.iov_base = (char *)(uintptr_t)question.data, .iov_len = question.len};
	if (backend == NULL)
		return NULL;
	backend->state = state;
	if (backend_write(backend, &piece, 1) == (ssize_t)question.len)
		return backend;
	backend_close(backend);
	return NULL;
}

void
backend_work(struct traffic *traffic, struct process *process)
{
	char question[160];
	struct str text = str_make(question, SESSION_FRAME_BYTES);
	/* A program gets what the original sends; our own loader of Node knows the field, and Node no such method. */
	if (process->record.protocol == APP_PROTOCOL_SESSION) {
		session_frame(question, SESSION_FRAME_PING, SESSION_FLAG_WORK, 0);
	} else {
		str_format(question, sizeof(question),
		           "%s / HTTP/1.1\r\nHost: localhost\r\n!~Request-OOB-Work: true\r\nConnection: close\r\n\r\n",
		           process->record.port != 0 ? "OOBW" : "GET");
		text = str_from(question);
	}
	struct backend *backend = backend_ask(traffic, process, BACKEND_WORKING, text);
	if (backend != NULL)
		timer_set(traffic->loop, &backend->timer, process->group->app->oob_work_timeout_ms);
	else
		process_oob_done(process, false);
}

static void
backend_worked(struct backend *backend, const char *fault)
{
	struct process *process = backend->process;
	if (fault != NULL)
		log_warn("application %s, process %d: out-of-band work: %s", process->group->app->name,
		         process->record.pid, fault);
	backend_close(backend);
	process_oob_done(process, fault == NULL);
}

static void
backend_work_answered(struct backend *backend)
{
	char answer[512];
	ssize_t got = recv(backend->watch.fd, answer, sizeof(answer), 0);
	if (got >= 0 || (errno != EAGAIN && errno != EINTR))
		backend_worked(backend, got > 0 ? NULL : "it closed the connection without an answer");
}

void
backend_ping(struct traffic *traffic, struct process *process)
{
	/* RFC 9110 section 9.3.7 names this as HTTP's ping. */
	char question[80] = "OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
	struct str text = str_from(question);
	if (process->record.protocol == APP_PROTOCOL_SESSION) {
		session_frame(question, SESSION_FRAME_PING, 0, 0);
		text.len = SESSION_FRAME_BYTES;
	}
	struct backend *backend = backend_ask(traffic, process, BACKEND_PINGING, text);
	if (backend == NULL) {
		process_ask_later(process);
		return;
	}
	uint64_t patience_ms = process->patience_ms ? process->patience_ms : process->group->app->drain_timeout_ms;
	timer_set(traffic->loop, &backend->timer, patience_ms);
}

/* It has had all the time that a process gets to finish: it is stuck in something that nobody waits for. */
static void
backend_ping_unanswered(struct backend *backend)
{
	struct process *process = backend->process;
	backend_close(backend);
	process_unanswered(process);
}

static void
backend_timed_out(struct timer *timer)
{
	struct backend *backend = container_of(timer, struct backend, timer);
	if (backend->state == BACKEND_PINGING)
		backend_ping_unanswered(backend);
	else if (backend->state == BACKEND_WORKING)
		backend_worked(backend, "it takes longer than oob_work_timeout");
	else if (backend->state == BACKEND_IDLE)
		backend_close(backend);
	/* BUSY again: the clock is set anew when it becomes idle. */
}

static void
backend_pong(struct backend *backend)
{
	char answer[8];
	ssize_t got = recv(backend->watch.fd, answer, sizeof(answer), 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	struct process *process = backend->process;
	if (process->record.protocol == APP_PROTOCOL_HTTP) {
		/* Whatever it says, it lives. */
		backend_close(backend);
		process_trust(process);
		return;
	}
	if (got != 4 || memcmp(answer, "PONG", 4) != 0) {
		/* Closed or nonsense: most likely it ends, and its exit will tell. */
		backend_close(backend);
		process_ask_later(process);
		return;
	}
	timer_cancel(backend->traffic->loop, &backend->timer);
	backend->state = BACKEND_BUSY;
	backend_give(backend);
	process_trust(process);
}

/* ---- events ---- */

static void
backend_ready(struct watch *watch, uint32_t events)
{
	struct backend *backend = container_of(watch, struct backend, watch);
	switch (backend->state) {
	case BACKEND_IDLE:
		/* Closed by the process, or bytes that nobody asked for: not to be used again. */
		backend_close(backend);
		return;
	case BACKEND_PINGING:
		backend_pong(backend);
		return;
	case BACKEND_WORKING:
		backend_work_answered(backend);
		return;
	case BACKEND_BUSY:
		if (events & EPOLLOUT)
			backend->handler->writable(backend);
		if (backend->state == BACKEND_BUSY && (events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
			backend->handler->readable(backend, events);
		return;
	case BACKEND_DEAD:
		return;
	}
}

void
backend_close_idle(struct process *process)
{
	struct list_node *node;
	while ((node = list_first(&process->idle)) != NULL)
		backend_close(container_of(node, struct backend, idle_node));
}

void
backend_close_all(struct process *process)
{
	struct list_node *node;
	while ((node = list_first(&process->backends)) != NULL) {
		struct backend *backend = container_of(node, struct backend, node);
		if (backend->state == BACKEND_BUSY) {
			list_remove(&backend->node);
			backend->process = NULL;
		} else {
			backend_close(backend);
		}
	}
}
