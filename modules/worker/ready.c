#include "worker/ready.h"

#include "base/log.h"
#include "config/app_type.h"
#include "system/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	PROBE_MIN_MS = 20,
	PROBE_MAX_MS = 100,
	PROBES_ELSEWHERE_MAX = 20,
	PORT_ROWS_MAX = 16,
	CONTROL_CLOSED_GRACE_MS = 500,
};

/* --- a loader's control descriptor ----------------------------------------------- */

static bool
number_after(struct str word, struct str name, uint64_t max, uint64_t *value)
{
	return str_starts(word, name) && str_to_u64(str_make(word.data + name.len, word.len - name.len), value) &&
	       *value <= max;
}

enum ready_line
ready_line_read(struct str line, int32_t *concurrency, bool *bypass, struct str *error)
{
	struct str word;
	uint64_t number;

	*concurrency = 1;
	*bypass = false;
	*error = (struct str){0};
	if (!str_split(&line, ' ', &word))
		return READY_LINE_OTHER;
	if (str_equal(word, STR("ERROR"))) {
		*error = str_trim(line);
		return READY_LINE_ERROR;
	}
	if (!str_equal(word, STR("READY")))
		return READY_LINE_OTHER;
	while (str_split(&line, ' ', &word)) {
		if (number_after(word, STR("concurrency="), 1000000, &number))
			*concurrency = (int32_t)number;
		else if (number_after(word, STR("bypass="), 1, &number))
			*bypass = number == 1;
		else if (str_equal(word, STR("preloader=1")))
			continue; /* as it was told to */
		else
			return READY_LINE_OTHER;
	}
	return READY_LINE_READY;
}

static void
control_end(struct worker *worker)
{
	int fd = worker->control.fd;

	watch_remove(worker->table->loop, &worker->control);
	close(fd);
	buf_free(&worker->control_out);
	/* it may be ending with a sentence of its own: that says more than this */
	if (worker->state == WORKER_STARTING)
		timer_set(worker->table->loop, &worker->timer, CONTROL_CLOSED_GRACE_MS);
}

static void
control_line(struct worker *worker, struct str line)
{
	char text[FAILURE_SUMMARY_BYTES];
	int32_t concurrency;
	struct str error;
	bool bypass;

	enum ready_line kind = ready_line_read(line, &concurrency, &bypass, &error);
	if (worker->state == WORKER_BECOMING && kind == READY_LINE_READY)
		worker->table->events->preloads(worker);
	if (worker->state != WORKER_STARTING)
		return; /* nothing else that it says after READY means anything yet */
	switch (kind) {
	case READY_LINE_READY:
		if (worker->child.pid != 0) /* else it has ended since */
			worker_ready(worker, concurrency, bypass);
		break;
	case READY_LINE_ERROR:
		/* as it is: whoever shows it makes it harmless, as it does with the last output */
		worker_fail(worker, WORKER_ERROR_GRACE_MS, "%.*s", STR_ARG(error));
		break;
	case READY_LINE_OTHER:
		log_escape(text, sizeof(text), line);
		worker_fail(worker, 0, "it wrote a line on its control descriptor that means nothing: %s", text);
		break;
	}
}

static void
control_lines(struct worker *worker)
{
	struct str rest = str_make(worker->control_line, worker->control_len);
	ptrdiff_t feed;

	while ((feed = str_find(rest, '\n')) >= 0) {
		control_line(worker, str_make(rest.data, (size_t)feed));
		rest = str_make(rest.data + feed + 1, rest.len - (size_t)feed - 1);
	}
	memmove(worker->control_line, rest.data, rest.len);
	worker->control_len = rest.len;
	if (worker->control_len == sizeof(worker->control_line)) {
		control_line(worker, str_make(worker->control_line, 80));
		worker->control_len = 0;
	}
}

static void
control_read(struct worker *worker)
{
	ssize_t len = recv(worker->control.fd, worker->control_line + worker->control_len,
	                   sizeof(worker->control_line) - worker->control_len, MSG_DONTWAIT);

	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (len <= 0) {
		control_end(worker);
		return;
	}
	worker->control_len += (size_t)len;
	control_lines(worker);
}

static void
control_write(struct worker *worker)
{
	if (worker->control_out.len > 0) {
		ssize_t len = send(worker->control.fd, worker->control_out.data, worker->control_out.len,
		                   MSG_DONTWAIT | MSG_NOSIGNAL);
		if (len > 0)
			buf_consume(&worker->control_out, (size_t)len);
		else if (errno != EAGAIN && errno != EINTR)
			buf_clear(&worker->control_out); /* gone: the end of file is read next */
	}
	if (worker->control_out.len == 0) {
		buf_free(&worker->control_out);
		watch_change(worker->table->loop, &worker->control, EPOLLIN);
	}
}

static void
control_ready(struct watch *watch, uint32_t events)
{
	struct worker *worker = container_of(watch, struct worker, control);

	if (events & EPOLLOUT)
		control_write(worker);
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && watch->ready != NULL)
		control_read(worker);
}

bool
ready_command(struct worker *worker, struct str line)
{
	if (worker->control.ready == NULL)
		return false;
	buf_append_str(&worker->control_out, line);
	watch_change(worker->table->loop, &worker->control, EPOLLIN | EPOLLOUT);
	return true;
}

/* --- a program's port ------------------------------------------------------------- */

enum ready_port
ready_port_judge(const struct procfs_listener *rows, const bool *holds, size_t count, uint32_t uid, size_t *which)
{
	enum ready_port result = READY_PORT_NOT_YET;

	*which = 0;
	for (size_t i = 0; i < count; i++) {
		bool ours = holds[i] && rows[i].uid == uid;
		enum ready_port row = READY_PORT_NOT_YET;
		if (rows[i].bound == PROCFS_BOUND_LOOPBACK)
			row = ours ? READY_PORT_OURS : READY_PORT_FOREIGN;
		else if (rows[i].bound == PROCFS_BOUND_WILDCARD)
			row = holds[i] ? READY_PORT_OPEN : READY_PORT_FOREIGN;
		else if (holds[i] && strcmp(rows[i].address, "[::1]") != 0)
			row = READY_PORT_OPEN;
		else if (holds[i] && result == READY_PORT_NOT_YET)
			row = READY_PORT_ELSEWHERE;
		/* the worst counts: open to others, somebody else's, then ours */
		bool worse =
			row == READY_PORT_OPEN || (row == READY_PORT_FOREIGN && result != READY_PORT_OPEN) ||
			(row == READY_PORT_OURS && (result == READY_PORT_NOT_YET || result == READY_PORT_ELSEWHERE)) ||
			row == READY_PORT_ELSEWHERE;
		if (worse) {
			result = row;
			*which = i;
		}
	}
	return result;
}

static void
probe_port(struct worker *worker)
{
	struct procfs_listener rows[PORT_ROWS_MAX];
	bool holds[PORT_ROWS_MAX];
	uint16_t port = worker->record.port;
	size_t which;

	size_t count = procfs_listeners(port, rows, PORT_ROWS_MAX);
	for (size_t i = 0; i < count; i++)
		holds[i] = procfs_holds_socket(worker->child.pid, rows[i].inode);
	enum ready_port judged = ready_port_judge(rows, holds, count, worker->app->uid, &which);
	worker->probes_elsewhere = judged == READY_PORT_ELSEWHERE ? worker->probes_elsewhere + 1 : 0;
	switch (judged) {
	case READY_PORT_OURS:
		worker_ready(worker, (int32_t)worker->app->concurrency, false);
		return;
	case READY_PORT_FOREIGN:
		worker_fail_port(worker, "a program that is not the application's own (uid %u) listens on port %u of %s",
		                 rows[which].uid, port, rows[which].address);
		return;
	case READY_PORT_OPEN:
		worker_fail(
			worker, 0,
			"it listens on %s, port %u, where other machines can reach it; let it listen on 127.0.0.1 only",
			rows[which].address, port);
		return;
	case READY_PORT_ELSEWHERE:
		if (worker->probes_elsewhere < PROBES_ELSEWHERE_MAX)
			break;
		worker_fail(worker, 0, "it listens on %s, port %u; let it listen on 127.0.0.1", rows[which].address,
		            port);
		return;
	case READY_PORT_NOT_YET:
		break;
	}
}

/* --- a unix socket --------------------------------------------------------------------- */

/* Somebody accepts what we have connected: then our end of the listening socket has nothing left to accept. */
static void
probe_descriptor(struct worker *worker)
{
	struct pollfd waiting = {.fd = worker->listen_fd, .events = POLLIN};

	if (poll(&waiting, 1, 0) == 0)
		worker_ready(worker, (int32_t)worker->app->concurrency, false);
}

/*
 * The program's own socket file gets a second name in the directory of sockets, which
 * is the balancer's way to it: what the program does to the first name later leads
 * nobody astray.  False: there is none yet, or it can not be given.
 */
static bool
take_socket(struct worker *worker, int fd)
{
	const struct workers *workers = worker->table;
	const char *name = strrchr(worker->record.socket_path, '/') + 1;
	char self[32];
	struct stat stat;

	str_format(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (fstat(fd, &stat) != 0 || !S_ISSOCK(stat.st_mode) || stat.st_uid != worker->app->uid)
		return false;
	if (workers->socket_gid != SOCKET_KEEP_ID &&
	    (fchownat(fd, "", UINT32_MAX, workers->socket_gid, AT_EMPTY_PATH) != 0 ||
	     chmod(self, (stat.st_mode & 0777) | 0060) != 0))
		return false;
	unlinkat(workers->apps_fd, name, 0);
	return linkat(AT_FDCWD, self, workers->apps_fd, name, AT_SYMLINK_FOLLOW) == 0;
}

static void
probe_socket(struct worker *worker)
{
	char path[64];
	int32_t pid;
	uint32_t uid, gid;

	str_format(path, sizeof(path), "%s/socket", strrchr(worker->record.socket_path, '/') + 1);
	int file = openat(worker->table->programs_fd, path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (file < 0)
		return;
	bool taken = take_socket(worker, file);
	close(file);
	int fd = taken ? socket_connect_unix(worker->record.socket_path) : -1;
	if (fd < 0)
		return;
	bool ours = socket_peer(fd, &pid, &uid, &gid) && uid == worker->app->uid;
	close(fd);
	if (ours)
		worker_ready(worker, (int32_t)worker->app->concurrency, false);
	else
		worker_fail(worker, 0, "another user than the application's own listens on its socket");
}

static void
probe_due(struct timer *timer)
{
	static void (*const probes[APP_READY_N])(struct worker *) = {
		[APP_READY_PORT] = probe_port,
		[APP_READY_SOCKET] = probe_socket,
		[APP_READY_DESCRIPTOR] = probe_descriptor,
	};
	struct worker *worker = container_of(timer, struct worker, probe);

	if (worker->state == WORKER_STARTING)
		probes[worker->app->readiness](worker);
	if (worker->state != WORKER_STARTING)
		return;
	worker->probe_ms = worker->probe_ms * 5 / 4 < PROBE_MAX_MS ? worker->probe_ms * 5 / 4 : PROBE_MAX_MS;
	timer_set(worker->table->loop, &worker->probe, worker->probe_ms);
}

void
ready_restore(struct worker *worker, int control_fd)
{
	uint32_t events = EPOLLIN | (worker->control_out.len > 0 ? (uint32_t)EPOLLOUT : 0);

	worker->probe.due = probe_due;
	if (control_fd < 0 || watch_add(worker->table->loop, &worker->control, control_fd, events, control_ready))
		return;
	close(control_fd);
	worker_fail(worker, 0, "its control descriptor can not be watched: %s", strerror(errno));
}

void
ready_begin(struct worker *worker, int control_fd)
{
	struct loop *loop = worker->table->loop;

	timer_set(loop, &worker->timer, worker->app->start_timeout_ms);
	if (control_fd < 0) {
		worker->probe.due = probe_due;
		worker->probe_ms = PROBE_MIN_MS;
		worker->probes_elsewhere = 0;
		timer_set(loop, &worker->probe, worker->probe_ms);
		int fd = worker->listen_fd >= 0 ? socket_connect_unix(worker->record.socket_path) : -1;
		if (fd >= 0)
			close(fd); /* it waits to be accepted all the same */
		else if (worker->listen_fd >= 0)
			worker_fail(worker, 0, "its socket can not be connected to: %s", strerror(errno));
		return;
	}
	worker->control_len = 0;
	if (!watch_add(loop, &worker->control, control_fd, EPOLLIN | EPOLLOUT, control_ready)) {
		close(control_fd);
		worker_fail(worker, 0, "its control descriptor can not be watched: %s", strerror(errno));
	}
}
