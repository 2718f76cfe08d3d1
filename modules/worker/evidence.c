#include "worker/evidence.h"

#include "base/log.h"
#include "worker/evidence_text.h"
#include "worker/ladder.h"
#include "worker/ready.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SUFFIX_CHARS = 4, NAME_BYTES = 160, BALANCER_ROWS_MAX = 64 };

enum evidence_state {
	EVIDENCE_ASKED,    /* the loader was asked for the stacks */
	EVIDENCE_SIGNALLED /* and did not answer: the language was told by a signal */
};

struct evidence {
	enum evidence_state state;
	struct evidence_store *store;
	struct worker *worker;
	enum limit limit; /* NONE: an operator wants it */
	uint64_t who;
	struct timer timer;
	struct buf text;                 /* the file's beginning */
	struct buf stacks;               /* capture writes them */
	char output[CAPTURE_TAIL_BYTES]; /* before anybody was asked for stacks */
	char why[EVIDENCE_WHY_BYTES];
	struct grave grave;
};

/* --- the folder --------------------------------------------------------------------- */

void
evidence_open(struct evidence_store *store, int instance_fd, const char *instance_dir, const char *dir)
{
	const char *name = dir != NULL ? dir : "evidence";

	store->is_ours = dir == NULL;
	if (dir != NULL)
		str_cut_z(store->dir, sizeof(store->dir), str_from(dir));
	else
		str_format(store->dir, sizeof(store->dir), "%s/evidence", instance_dir);
	if (mkdirat(instance_fd, name, 0700) == 0 || errno == EEXIST)
		store->dir_fd = openat(instance_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (store->dir_fd < 0)
		log_error("no evidence will be kept: the folder %s can not be had: %s", store->dir, strerror(errno));
}

static bool
is_ours(const char *name)
{
	return str_starts(str_from(name), STR("20")) && str_ends(str_from(name), STR(".txt"));
}

/* Removes the oldest until at most keep are left.  Their names sort by time. */
static void
folder_trim(const struct evidence_store *store, size_t keep)
{
	char oldest[NAME_BYTES];
	size_t count;

	do {
		int fd = openat(store->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
		struct dirent *entry;
		if (dir == NULL) {
			if (fd >= 0)
				close(fd);
			return;
		}
		count = 0;
		while ((entry = readdir(dir)) != NULL) {
			if (!is_ours(entry->d_name))
				continue;
			if (count++ == 0 || strcmp(entry->d_name, oldest) < 0)
				str_cut_z(oldest, sizeof(oldest), str_from(entry->d_name));
		}
		closedir(dir);
	} while (count > keep && unlinkat(store->dir_fd, oldest, 0) == 0);
}

void
evidence_close(struct evidence_store *store, int instance_fd)
{
	if (store->dir_fd < 0)
		return;
	if (store->is_ours) {
		folder_trim(store, 0);
		unlinkat(instance_fd, "evidence", AT_REMOVEDIR);
	}
	close(store->dir_fd);
	store->dir_fd = -1;
}

/* --- a file --------------------------------------------------------------------------- */

static void
text_begin(struct buf *text, const char *what, const char *why, int32_t pid)
{
	time_t now = time(NULL);
	struct tm utc = {0};
	char date[40] = "";

	if (gmtime_r(&now, &utc) != NULL)
		strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S UTC", &utc);
	buf_printf(text, "passenger %s: %s\nTime: %s\nProcess: %d\nReason: %s\n", PASSENGER_VERSION, what, date, pid,
	           why);
}

/* The path of the new file, or why there is none; fd: for reading, or -1. */
static bool
file_write(struct evidence_store *store, const char *name, int32_t pid, struct str text, char path[EVIDENCE_PATH_BYTES],
           int *fd_out)
{
	int64_t now_us = clock_unix_us();
	time_t now = (time_t)(now_us / 1000000);
	struct tm utc = {0};
	char date[32] = "", file[NAME_BYTES];

	gmtime_r(&now, &utc);
	strftime(date, sizeof(date), "%Y%m%d-%H%M%S", &utc);
	str_format(file, sizeof(file), "%s.%06u-%s-%d.txt", date, (unsigned)(now_us % 1000000), name, pid);
	if (store->dir_fd >= 0)
		folder_trim(store, EVIDENCE_FILES_MAX - 1);
	else
		errno = ENOTDIR;
	int fd = store->dir_fd < 0
	                 ? -1
	                 : openat(store->dir_fd, file, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	bool done = fd >= 0;
	for (size_t at = 0; done && at < text.len;) {
		ssize_t wrote = write(fd, text.data + at, text.len - at);
		done = wrote > 0;
		at += done ? (size_t)wrote : 0;
	}
	if (done)
		str_format(path, EVIDENCE_PATH_BYTES, "%s/%s", store->dir, file);
	else
		str_format(path, EVIDENCE_PATH_BYTES, "it could not be written to %s: %s", store->dir, strerror(errno));
	if (fd_out != NULL && done)
		*fd_out = fd;
	else if (fd >= 0)
		close(fd);
	return done;
}

/* --- its end ---------------------------------------------------------------------------- */

static void
evidence_bury(struct grave *grave)
{
	struct evidence *evidence = container_of(grave, struct evidence, grave);

	buf_free(&evidence->text);
	buf_free(&evidence->stacks);
	free(evidence);
}

static void
text_end(struct evidence *evidence)
{
	struct buf *text = &evidence->text;
	struct worker *worker = evidence->worker;

	evidence_text_section(text, "Stacks of the language");
	if (evidence->stacks.len > 0)
		evidence_text_append(text, evidence->stacks.data, evidence->stacks.len, EVIDENCE_STACKS_BYTES_MAX);
	else
		buf_printf(text, "none: it %s\n",
		           worker->app->readiness == APP_READY_CONTROL
		                   ? "did not answer; something holds its interpreter, or it is stopped"
		                   : "is a program of its own, which said nothing at the signal");
	evidence_text_section(text, "Last output");
	evidence_text_append(text, evidence->output, strlen(evidence->output), sizeof(evidence->output));
}

/* Writes it, says so, and does what is to be done with the process. */
static void
evidence_end(struct evidence *evidence)
{
	struct worker *worker = evidence->worker;
	struct evidence_store *store = evidence->store;
	struct evidence_record *record = &store->records[worker->app->id];
	char path[EVIDENCE_PATH_BYTES];
	int fd = -1;

	text_end(evidence);
	bool written = file_write(store, worker->app->name, worker->record.pid, buf_str(&evidence->text), path,
	                          evidence->who != 0 ? &fd : NULL);
	if (written) {
		str_cut_z(record->path, sizeof(record->path), str_from(path));
		record->unix_us = clock_unix_us();
	}
	worker->evidence = NULL;
	worker->capture.copy = NULL;
	timer_cancel(worker->table->loop, &evidence->timer);
	evidence->grave.bury = evidence_bury;
	loop_bury(worker->table->loop, &evidence->grave);
	if (evidence->who != 0)
		store->answered(store, evidence->who, fd, path);
	if (evidence->limit != LIMIT_NONE)
		log_warn("application %s: process %d reached %s: %s; evidence: %s", worker->app->name,
		         worker->record.pid, limit_name(evidence->limit), evidence->why, path);
	if (fd >= 0)
		close(fd);
	if (evidence->limit == LIMIT_START)
		ladder_give_up(worker, written ? path : NULL);
	else if (evidence->limit != LIMIT_NONE && worker->child.pid != 0)
		ladder_kill(worker, NULL);
}

void
evidence_reaped(struct worker *worker)
{
	if (worker->evidence != NULL)
		evidence_end(worker->evidence);
}

/* --- the stacks --------------------------------------------------------------------------- */

static void
stacks_complete(struct capture *capture)
{
	struct worker *worker = container_of(capture, struct worker, capture);

	/* not in the middle of the reading of its output */
	if (worker->evidence != NULL)
		timer_set(worker->table->loop, &worker->evidence->timer, 0);
	worker->capture.copy_mode = CAPTURE_COPIED;
}

static void
evidence_due(struct timer *timer)
{
	struct evidence *evidence = container_of(timer, struct evidence, timer);
	struct worker *worker = evidence->worker;
	const struct app_type *type = worker->app->type;
	bool dies = evidence->limit != LIMIT_NONE;

	if (evidence->state == EVIDENCE_SIGNALLED || worker->capture.copy_mode == CAPTURE_COPIED ||
	    type->dump_signal == 0 || (type->dump_is_fatal && !dies)) {
		evidence_end(evidence);
		return;
	}
	evidence->state = EVIDENCE_SIGNALLED;
	/* what it writes now has no marks */
	worker->capture.copy_mode = CAPTURE_COPY_ALL;
	child_signal(&worker->child, type->dump_signal);
	timer_set(worker->table->loop, timer, EVIDENCE_SIGNAL_MS);
}

/* False: there is nobody to ask. */
static bool
stacks_ask(struct worker *worker)
{
	if (worker->role == NULL)
		return ready_command(worker, STR("BACKTRACE\n"));
	/* a preloader reads no commands */
	worker->capture.copy_mode = CAPTURE_COPY_ALL;
	child_signal(&worker->child, SIGQUIT);
	return true;
}

static void
evidence_begin(struct evidence_store *store, struct worker *worker, enum limit limit, const char *why, uint64_t who)
{
	struct evidence *evidence = calloc(1, sizeof(*evidence));
	const struct app_config *app = worker->app;
	uint64_t now_ms = clock_monotonic_ms(), since_ms = worker->launched_ms;

	if (evidence == NULL)
		abort();
	worker->evidence = evidence;
	evidence->store = store;
	evidence->worker = worker;
	evidence->limit = limit;
	evidence->who = who;
	evidence->timer.due = evidence_due;
	str_cut_z(evidence->why, sizeof(evidence->why), str_from(why));
	text_begin(&evidence->text, limit == LIMIT_NONE ? "as asked for" : limit_name(limit), why, worker->child.pid);
	buf_printf(&evidence->text, "Application: %s, %s, in %s, user %s\nAge: %" PRIu64 " s\n", app->name,
	           app->type->name, app->root, worker->user, (now_ms - since_ms) / 1000);
	evidence_text_section(&evidence->text, "Requests");
	if (worker->has_slot)
		evidence_text_requests(&evidence->text, &store->board->processes[worker->record.slot], now_ms);
	char state = evidence_text_process(&evidence->text, worker->child.pid);
	capture_last(&worker->capture, evidence->output, sizeof(evidence->output));
	worker->capture.copy = &evidence->stacks;
	worker->capture.copy_max = EVIDENCE_STACKS_BYTES_MAX;
	worker->capture.copy_mode = CAPTURE_COPY_MARKED;
	worker->capture.copied = stacks_complete;
	if (state == 'T' || state == 't' || state == 'Z')
		evidence->state = EVIDENCE_SIGNALLED; /* it can tell nothing */
	timer_set(worker->table->loop, &evidence->timer,
	          evidence->state == EVIDENCE_ASKED && stacks_ask(worker) ? EVIDENCE_ASK_MS : 0);
}

/* --- occasions ------------------------------------------------------------------------------- */

void
evidence_limit(struct evidence_store *store, struct worker *worker, enum limit limit, const char *why)
{
	struct evidence *evidence = worker->evidence;

	store->records[worker->app->id].reached[limit]++;
	if (limit == LIMIT_MEMORY) {
		log_notice("application %s: process %d reached memory_limit: %s; it is replaced after its requests",
		           worker->app->name, worker->record.pid, why);
	} else if (evidence == NULL) {
		evidence_begin(store, worker, limit, why, 0);
	} else {
		/* an operator has asked a moment ago: it serves both */
		evidence->limit = limit;
		str_cut_z(evidence->why, sizeof(evidence->why), str_from(why));
	}
}

bool
evidence_ask(struct evidence_store *store, struct worker *worker, uint64_t who)
{
	if (worker->evidence != NULL)
		return false;
	evidence_begin(store, worker, LIMIT_NONE, "an operator asked", who);
	return true;
}

void
evidence_balancer(struct evidence_store *store, int32_t pid, const char *why)
{
	struct buf text = {0};
	char path[EVIDENCE_PATH_BYTES];
	uint64_t now_ms = clock_monotonic_ms();
	size_t rows = 0;

	text_begin(&text, "the balancer", why, pid);
	buf_printf(&text, "Clients: %u\nRequests ended: %" PRIu64 "\n", atomic_load(&store->board->clients),
	           (uint64_t)atomic_load(&store->board->requests));
	evidence_text_section(&text, "Requests");
	for (size_t i = 0; i < SCOREBOARD_PROCESSES && rows < BALANCER_ROWS_MAX; i++) {
		size_t before = text.len;
		if (atomic_load(&store->board->processes[i].serial) != 0)
			evidence_text_requests(&text, &store->board->processes[i], now_ms);
		rows += text.len > before;
	}
	evidence_text_process(&text, pid);
	(void)file_write(store, "balancer", pid, buf_str(&text), path, NULL);
	log_critical("the balancer (pid %d) %s; killing it; evidence: %s", pid, why, path);
	buf_free(&text);
}
