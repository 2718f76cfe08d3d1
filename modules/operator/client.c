#include "operator/client.h"

#include "operator/command.h"
#include "operator/output.h"
#include "operator/view.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { REGISTRY_BYTES = 256 };

struct registries {
	char dirs[CLIENT_REGISTRIES_MAX][REGISTRY_BYTES];
	size_t count;
};

/*
 * What was said counts; else our own registry, and root's too: an application's
 * user asks an instance that root started.
 */
static bool
find_registries(const struct client_target *target, struct registries *registries)
{
	const char *dir = target->instance_dir, *named = dir ? dir : getenv("PASSENGER_INSTANCE_REGISTRY_DIR");
	*registries = (struct registries){0};
	if (named != NULL && strlen(named) >= REGISTRY_BYTES) {
		output_complain("the instance directory's name is longer than %d characters", REGISTRY_BYTES - 1);
		return false;
	}
	instance_registry(registries->dirs[registries->count++], dir);
	if ((named == NULL || named[0] == 0) && strcmp(registries->dirs[0], "/run/passenger") != 0)
		str_cut_z(registries->dirs[registries->count++], REGISTRY_BYTES, STR("/run/passenger"));
	return true;
}

static struct instance *
list_registries(const struct registries *registries, bool with_dead, size_t *count)
{
	struct instance *instances = calloc(INSTANCES_MAX, sizeof(*instances));
	if (instances == NULL)
		abort();
	*count = 0;
	for (size_t i = 0; i < registries->count && *count < INSTANCES_MAX; i++)
		*count += instance_list(registries->dirs[i], instances + *count, INSTANCES_MAX - *count, with_dead);
	return instances;
}

struct instance *
client_list(const struct client_target *target, bool with_dead, size_t *count)
{
	struct registries registries;
	*count = 0;
	return find_registries(target, &registries) ? list_registries(&registries, with_dead, count) : NULL;
}

void
client_append_list(struct buf *out, const struct instance *instances, size_t count)
{
	buf_printf(out, "%-25s  %-7s  %-7s  %s\n", "Name", "PID", "State", "Directory, configuration");
	buf_append_str(out, STR("--------------------------------------------------------------------------\n"));
	for (size_t i = 0; i < count; i++) {
		const struct instance *instance = &instances[i];
		size_t start = out->len;
		output_append(out, str_from(instance->name), OUTPUT_UTF8);
		while (out->len - start < 25)
			buf_append_char(out, ' ');
		buf_printf(out, "  %-7d  %-7s  ", instance->pid, instance->alive ? "running" : "dead");
		output_append(out, str_from(instance->dir), OUTPUT_UTF8);
		if (instance->config[0] != 0) {
			buf_append_str(out, STR(", "));
			output_append(out, str_from(instance->config), OUTPUT_UTF8);
		}
		buf_append_char(out, '\n');
	}
}

/* Keeps those whose name begins with name; one that is named exactly so is the only one. */
static size_t
select_named(struct instance *instances, size_t count, const char *name)
{
	size_t kept = 0;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(instances[i].name, name) == 0) {
			instances[0] = instances[i];
			return 1;
		}
		if (str_starts(str_from(instances[i].name), str_from(name)))
			instances[kept++] = instances[i];
	}
	return kept;
}

static void
complain_none(const struct client_target *target, const struct registries *registries)
{
	struct buf text = {0};
	if (target->name != NULL)
		buf_printf(&text, "no instance is running whose name begins with \"%s\"", target->name);
	else
		buf_append_str(&text, STR("no instance is running"));
	buf_printf(&text, " (looked in %s%s%s).\n", registries->dirs[0], registries->count > 1 ? " and " : "",
	           registries->count > 1 ? registries->dirs[1] : "");
	if (target->instance_dir == NULL)
		buf_append_str(&text, STR("If there is one elsewhere, name its directory with --instance-dir DIR or "
		                          "PASSENGER_INSTANCE_REGISTRY_DIR.\n"));
	buf_append_char(&text, 0);
	output_complain_text(text.data);
	buf_free(&text);
}

enum client_found
client_find(const struct client_target *target, struct instance *instance)
{
	struct registries registries;
	size_t all, count;
	if (!find_registries(target, &registries))
		return CLIENT_NOT_RUNNING;
	struct instance *instances = list_registries(&registries, false, &all);
	enum client_found found = CLIENT_FOUND;
	count = target->name != NULL ? select_named(instances, all, target->name) : all;
	if (count == 1) {
		*instance = instances[0];
	} else if (count == 0) {
		complain_none(target, &registries);
		found = CLIENT_NOT_RUNNING;
	} else {
		struct buf list = {0};
		client_append_list(&list, instances, count);
		output_complain("several instances are running. Name one with --instance NAME:\n\n%.*s", (int)list.len,
		                list.data);
		buf_free(&list);
		found = CLIENT_AMBIGUOUS;
	}
	free(instances);
	return found;
}

static int64_t
now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A path that is too long for a socket's address is reached through a descriptor of its directory. */
static bool
control_address(const struct instance *instance, struct sockaddr_un *address, int *directory)
{
	address->sun_family = AF_UNIX;
	*directory = -1;
	if (str_format(address->sun_path, sizeof(address->sun_path), "%s/control", instance->dir))
		return true;
	*directory = open(instance->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return *directory >= 0 &&
	       str_format(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/control", *directory);
}

static int
connect_control(const struct instance *instance)
{
	/* On a unix socket this timeout holds for connect too (a full backlog). */
	struct timeval timeout = {.tv_sec = CLIENT_DEADLINE_MS / 1000, .tv_usec = 0};
	struct sockaddr_un address = {0};
	int directory;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	bool connected = control_address(instance, &address, &directory) &&
	                 setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) == 0 &&
	                 connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
	int error = errno;
	if (directory >= 0)
		close(directory);
	if (connected)
		return fd;
	close(fd);
	errno = error;
	return -1;
}

static void
complain_no_connection(const struct instance *instance, int error)
{
	if (error == EAGAIN)
		output_complain("instance %s (%s, pid %d) does not answer within %d s: it is stopped or overloaded",
		                instance->name, instance->dir, instance->pid, CLIENT_DEADLINE_MS / 1000);
	else if (error == ENOENT || error == ECONNREFUSED || error == ECONNRESET || error == EPIPE)
		output_complain("instance %s (%s, pid %d) takes no commands: it is just starting or stopping",
		                instance->name, instance->dir, instance->pid);
	else
		output_complain("can not connect to %s/control: %s", instance->dir, strerror(error));
}

int
client_send(const struct instance *instance, const struct control_request *request)
{
	return client_send_with(instance, request, -1);
}

int
client_send_with(const struct instance *instance, const struct control_request *request, int passed)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
	struct control_request message = *request;
	struct iovec data = {.iov_base = &message, .iov_len = sizeof(message)};
	struct msghdr head = {.msg_iov = &data, .msg_iovlen = 1};
	message.magic = CONTROL_MAGIC;
	if (passed >= 0) {
		head.msg_control = control;
		head.msg_controllen = sizeof(control);
		struct cmsghdr *part = CMSG_FIRSTHDR(&head);
		part->cmsg_level = SOL_SOCKET;
		part->cmsg_type = SCM_RIGHTS;
		part->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(part), &passed, sizeof(int));
	}
	int fd = connect_control(instance);
	if (fd >= 0 && sendmsg(fd, &head, MSG_NOSIGNAL) == (ssize_t)sizeof(message))
		return fd;
	complain_no_connection(instance, errno);
	if (fd >= 0)
		close(fd);
	return -1;
}

/* The first descriptor of the message; any other is closed. */
static int
take_descriptor(struct msghdr *message)
{
	int taken = -1;
	for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL; part = CMSG_NXTHDR(message, part)) {
		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = CMSG_LEN(0); at + sizeof(int) <= part->cmsg_len; at += sizeof(int)) {
			int fd;
			memcpy(&fd, (char *)part + at, sizeof(fd));
			if (taken < 0)
				taken = fd;
			else
				close(fd);
		}
	}
	return taken;
}

static ssize_t
receive_message(int connection, struct control_answer *answer, int *fd, int *flags)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))];
	struct iovec data = {.iov_base = answer, .iov_len = sizeof(*answer)};
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	ssize_t len;
	do
		len = recvmsg(connection, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (len < 0 && errno == EINTR);
	if (len >= 0)
		*fd = take_descriptor(&message);
	*flags = message.msg_flags;
	return len;
}

static void
complain_unreadable(const struct instance *instance)
{
	if (strcmp(instance->version, PASSENGER_VERSION) == 0)
		output_complain("instance %s (%s) gave a damaged answer", instance->name, instance->dir);
	else
		output_complain(
			"instance %s gave an answer that this command can not read: it runs version %s of passenger, "
			"this is %s. Use the command of its version.",
			instance->name, instance->version[0] != 0 ? instance->version : "(not known)",
			PASSENGER_VERSION);
}

enum client_result
client_receive(const struct instance *instance, int connection, int timeout_ms, struct control_answer *answer, int *fd)
{
	int64_t end_ms = now_ms() + timeout_ms;
	ssize_t len = -1;
	int flags = 0;
	*fd = -1;
	*answer = (struct control_answer){0};
	do {
		int64_t left_ms = end_ms - now_ms();
		struct pollfd poll_fd = {.fd = connection, .events = POLLIN};
		int ready = poll(&poll_fd, 1, left_ms > 0 ? (int)left_ms : 0);
		if (ready == 0)
			return CLIENT_TIMEOUT;
		if (ready > 0)
			len = receive_message(connection, answer, fd, &flags);
	} while (len < 0 && (errno == EINTR || errno == EAGAIN));
	if (len == 0 || (len < 0 && errno == ECONNRESET))
		return CLIENT_GONE;
	if (len == (ssize_t)sizeof(*answer) && (flags & (MSG_TRUNC | MSG_CTRUNC)) == 0 &&
	    answer->magic == CONTROL_MAGIC && answer->code < CONTROL_CODE_N &&
	    memchr(answer->text, 0, sizeof(answer->text)) != NULL)
		return CLIENT_ANSWERED;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	complain_unreadable(instance);
	return CLIENT_FAILED;
}

bool
client_ask(const struct instance *instance, const struct control_request *request, struct control_answer *answer,
           int *fd)
{
	int connection = client_send(instance, request);
	if (connection < 0)
		return false;
	enum client_result result = client_receive(instance, connection, CLIENT_DEADLINE_MS, answer, fd);
	close(connection);
	if (result == CLIENT_TIMEOUT)
		complain_no_connection(instance, EAGAIN);
	else if (result == CLIENT_GONE)
		complain_no_connection(instance, ECONNRESET);
	return result == CLIENT_ANSWERED;
}

int
client_exit_code(const struct instance *instance, const struct control_answer *answer)
{
	static const struct {
		int exit_code;
		const char *text; /* when the instance gave none */
	} rows[CONTROL_CODE_N] = {
		[CONTROL_OK] = {COMMAND_OK, ""},
		[CONTROL_FAILED] = {COMMAND_FAILED, "the instance could not do it; its log says why"},
		[CONTROL_NOT_ALLOWED] =
			{COMMAND_REFUSED,
	                 "you may not do this. Root and the user who started the instance may: try sudo"},
		[CONTROL_NOT_FOUND] = {COMMAND_FAILED, "there is no such application or process"},
		[CONTROL_BAD] = {COMMAND_FAILED,
	                         "the instance does not understand this command: it runs another version of passenger"},
	};
	if (answer->code == CONTROL_OK)
		return COMMAND_OK;
	if (answer->text[0] != 0)
		output_complain_text(answer->text);
	else
		output_complain("%s: %s", instance->name, rows[answer->code].text);
	return rows[answer->code].exit_code;
}

bool
client_read_snapshot(int fd, uint64_t bytes, struct buf *out)
{
	struct stat stat;
	const char *fault = NULL;
	if (fd < 0)
		fault = "no descriptor came with it";
	else if (bytes > view_bytes_max() || fstat(fd, &stat) != 0 || !S_ISREG(stat.st_mode) ||
	         (uint64_t)stat.st_size != bytes)
		fault = "its size is wrong";
	if (fault == NULL)
		buf_reserve(out, bytes + 1);
	/* Read, not mapped: whoever holds the other end could cut it under a mapping. */
	while (fault == NULL && out->len < bytes) {
		ssize_t n = pread(fd, out->data + out->len, bytes - out->len, (off_t)out->len);
		if (n > 0)
			out->len += (size_t)n;
		else if (n == 0 || errno != EINTR)
			fault = "it can not be read";
	}
	if (fd >= 0)
		close(fd);
	if (fault != NULL)
		output_complain("the instance sent no whole snapshot: %s", fault);
	return fault == NULL;
}
