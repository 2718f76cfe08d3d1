#include "traffic/warmup.h"

#include "traffic/listener.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WARMUP_HEAD_BYTES = 8192, WARMUP_STATUS_AT = 9 /* "HTTP/1.1 200 OK" */, WARMUP_STATUS_BYTES = 12 };

struct warmup {
	struct watch watch;
	struct timer timer; /* for all of them */
	struct traffic *traffic;
	struct process *process;
	char *uris; /* ours: a reload may change the application's */
	struct str rest, uri;
	char status[WARMUP_STATUS_BYTES];
	size_t got;
	struct grave grave;
};

static void
warmup_bury(struct grave *grave)
{
	struct warmup *warmup = container_of(grave, struct warmup, grave);
	free(warmup->uris);
	free(warmup);
}

static void
warmup_hang_up(struct warmup *warmup)
{
	int fd = warmup->watch.fd;
	if (warmup->watch.ready == NULL)
		return;
	watch_remove(warmup->traffic->loop, &warmup->watch);
	close(fd);
}

void
warmup_cancel(struct process *process)
{
	struct warmup *warmup = process->warmup;
	if (warmup == NULL)
		return;
	process->warmup = NULL;
	warmup_hang_up(warmup);
	timer_cancel(warmup->traffic->loop, &warmup->timer);
	warmup->grave.bury = warmup_bury;
	loop_bury(warmup->traffic->loop, &warmup->grave);
}

/* why NULL: it is warm. */
static void
warmup_end(struct warmup *warmup, const char *why)
{
	struct process *process = warmup->process;
	struct traffic *traffic = warmup->traffic;
	char text[512];
	str_format(text, sizeof(text), "warmup_uris: GET %.*s %s", (int)(warmup->uri.len < 300 ? warmup->uri.len : 300),
	           warmup->uri.data, why ? why : "");
	warmup_cancel(process);
	traffic->warmed(traffic, process, why ? text : NULL);
}

static void
warmup_due(struct timer *timer)
{
	warmup_end(container_of(timer, struct warmup, timer), "was not answered in time (warmup_timeout)");
}

static void warmup_ready(struct watch *watch, uint32_t events);

/* The first of the application's names, in case that it looks. */
static struct str
warmup_host(const struct app_config *app)
{
	struct str rest = str_from(app->host ? app->host : ""), word;
	while (str_split(&rest, ' ', &word))
		if (word.len > 0 && word.data[0] != '*')
			return word;
	return STR("localhost");
}

/* HTTP/1.0: one answer, no interim ones, and then the end. */
static bool
warmup_ask(struct warmup *warmup)
{
	const struct process *process = warmup->process;
	char head[WARMUP_HEAD_BYTES];
	int pair[2];
	if (!str_format(head, sizeof(head),
	                "GET %.*s HTTP/1.0\r\nHost: %.*s\r\nUser-Agent: passenger-warmup\r\nAccept: */*\r\n"
	                "X-Passenger-Connect-Password: %s\r\n\r\n",
	                STR_ARG(warmup->uri), STR_ARG(warmup_host(process->group->app)), process->record.password) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
		return false;
	ssize_t sent = send(pair[0], head, strlen(head), MSG_NOSIGNAL);
	explicit_bzero(head, sizeof(head));
	listener_take_over(process->door, pair[1]);
	warmup->got = 0;
	if (sent > 0 && watch_add(warmup->traffic->loop, &warmup->watch, pair[0], EPOLLIN, warmup_ready))
		return true;
	close(pair[0]);
	return false;
}

static void
warmup_next(struct warmup *warmup)
{
	do {
		if (!str_split(&warmup->rest, ' ', &warmup->uri)) {
			warmup_end(warmup, NULL);
			return;
		}
	} while (warmup->uri.len == 0);
	if (!warmup_ask(warmup))
		warmup_end(warmup, "could not be asked; are there descriptors left?");
}

/* It is over, and was it good? */
static void
warmup_answered(struct warmup *warmup)
{
	char why[64];
	const char *status = warmup->status + WARMUP_STATUS_AT;
	warmup_hang_up(warmup);
	if (warmup->got < WARMUP_STATUS_BYTES)
		warmup_end(warmup, "got no answer");
	else if (status[0] == '2' || status[0] == '3')
		warmup_next(warmup);
	else {
		str_format(why, sizeof(why), "was answered %.3s; 2xx or 3xx is expected", status);
		warmup_end(warmup, why);
	}
}

static void
warmup_ready(struct watch *watch, uint32_t events)
{
	struct warmup *warmup = container_of(watch, struct warmup, watch);
	char *scratch = warmup->traffic->scratch;
	(void)events;
	ssize_t got = recv(watch->fd, scratch, TRAFFIC_SCRATCH_BYTES, 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		warmup_answered(warmup);
		return;
	}
	size_t wanted = WARMUP_STATUS_BYTES - warmup->got, used = (size_t)got < wanted ? (size_t)got : wanted;
	memcpy(warmup->status + warmup->got, scratch, used);
	warmup->got += used;
}

void
warmup_begin(struct traffic *traffic, struct process *process)
{
	const struct app_config *app = process->group->app;
	struct warmup *warmup = calloc(1, sizeof(*warmup));
	if (warmup == NULL || (warmup->uris = strdup(app->warmup_uris ? app->warmup_uris : "")) == NULL)
		abort();
	warmup->traffic = traffic;
	warmup->process = process;
	warmup->rest = str_from(warmup->uris);
	warmup->timer.due = warmup_due;
	process->warmup = warmup;
	timer_set(traffic->loop, &warmup->timer, app->warmup_timeout_ms);
	warmup_next(warmup);
}
