#include "handover/message.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MESSAGES_A_TURN = 64 };

/* A message that the kernel did not take yet. */
struct waiting {
	struct list_node node;
	int fds[MESSAGE_FDS_MAX];
	size_t fd_count;
	struct message message; /* allocated up to its text */
};

static const char *const names[MESSAGE_TYPE_N] = {
	[MESSAGE_NONE] = "NONE",
	[MESSAGE_HELLO] = "HELLO",
	[MESSAGE_CONFIG] = "CONFIG",
	[MESSAGE_ACCESS_LOG] = "ACCESS_LOG",
	[MESSAGE_SLOW_LOG] = "SLOW_LOG",
	[MESSAGE_LISTENER] = "LISTENER",
	[MESSAGE_PROCESS] = "PROCESS",
	[MESSAGE_SPAWNING] = "SPAWNING",
	[MESSAGE_BEGIN] = "BEGIN",
	[MESSAGE_PROCESS_GONE] = "PROCESS_GONE",
	[MESSAGE_SPAWN_FAILED] = "SPAWN_FAILED",
	[MESSAGE_RETIRED] = "RETIRED",
	[MESSAGE_DRAIN] = "DRAIN",
	[MESSAGE_STOP] = "STOP",
	[MESSAGE_DETACH] = "DETACH",
	[MESSAGE_RESTART] = "RESTART",
	[MESSAGE_LONG_TEXT] = "LONG_TEXT",
	[MESSAGE_LOG_FILE] = "LOG_FILE",
	[MESSAGE_HAND_OVER] = "HAND_OVER",
	[MESSAGE_ALONE] = "ALONE",
	[MESSAGE_MARK] = "MARK",
	[MESSAGE_READY] = "READY",
	[MESSAGE_SPAWN] = "SPAWN",
	[MESSAGE_RETIRE] = "RETIRE",
	[MESSAGE_WARMED] = "WARMED",
	[MESSAGE_WANT_RESTART] = "WANT_RESTART",
	[MESSAGE_LIMIT] = "LIMIT",
	[MESSAGE_HOOK] = "HOOK",
	[MESSAGE_DRAINED] = "DRAINED",
	[MESSAGE_MARKED] = "MARKED",
	[MESSAGE_CLIENT] = "CLIENT",
};

const char *
message_name(enum message_type type)
{
	return type < MESSAGE_TYPE_N && names[type] != NULL ? names[type] : "unknown";
}

void
message_init(struct message *message, enum message_type type)
{
	/* not the text: only what is set of it is sent */
	memset(message, 0, offsetof(struct message, text));
	message->text[0] = '\0';
	message->type = type;
	message->version = MESSAGE_VERSION;
}

void
message_set_text(struct message *message, struct str text)
{
	message->text_len = text.len < MESSAGE_TEXT_BYTES ? (uint32_t)text.len : MESSAGE_TEXT_BYTES;
	memcpy(message->text, text.data, message->text_len);
}

static size_t
message_size(const struct message *message)
{
	return offsetof(struct message, text) + message->text_len;
}

/* Comes from a process that may be compromised: whatever is not exactly as sent by us is refused. */
static bool
message_is_sound(struct message *message, size_t size)
{
	if (size < offsetof(struct message, text) || message->version != MESSAGE_VERSION ||
	    message->type == MESSAGE_NONE || message->type >= MESSAGE_TYPE_N ||
	    message->text_len > MESSAGE_TEXT_BYTES || size != message_size(message))
		return false;
	struct message_process *process = &message->process;
	process->socket_path[sizeof(process->socket_path) - 1] = '\0';
	process->password[sizeof(process->password) - 1] = '\0';
	process->gupid[sizeof(process->gupid) - 1] = '\0';
	return true;
}

/* --- sending ------------------------------------------------------------------ */

/* 1 sent, 0 later, -1 and errno. */
static int
send_now(int socket, const struct message *message, const int *fds, size_t fd_count)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int) * MESSAGE_FDS_MAX)];
	} control;
	struct iovec vector;
	struct msghdr head = {.msg_iov = &vector, .msg_iovlen = 1};

	/* struct iovec has no const; sendmsg() only reads */
	memcpy(&vector.iov_base, &message, sizeof(message));
	vector.iov_len = message_size(message);
	if (fd_count > 0) {
		memset(&control, 0, sizeof(control));
		head.msg_control = control.space;
		head.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
		struct cmsghdr *part = CMSG_FIRSTHDR(&head);
		part->cmsg_level = SOL_SOCKET;
		part->cmsg_type = SCM_RIGHTS;
		part->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		memcpy(CMSG_DATA(part), fds, sizeof(int) * fd_count);
	}
	for (;;) {
		if (sendmsg(socket, &head, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return 1;
		if (errno == EINTR)
			continue;
		/* ETOOMANYREFS: more descriptors on their way than we may have; they are taken out over there */
		return errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM || errno == ETOOMANYREFS ? 0 : -1;
	}
}

static void
waiting_free(struct waiting *waiting)
{
	for (size_t i = 0; i < waiting->fd_count; i++)
		close(waiting->fds[i]);
	free(waiting);
}

static bool
enqueue(struct channel *channel, const struct message *message, const int *fds, size_t fd_count)
{
	size_t size = message_size(message);

	if (channel->queue.count >= CHANNEL_QUEUE_MAX)
		return false;
	struct waiting *waiting = malloc(offsetof(struct waiting, message) + size);
	if (waiting == NULL)
		return false;
	waiting->node = (struct list_node){0};
	waiting->fd_count = 0;
	memcpy(&waiting->message, message, size);
	for (size_t i = 0; i < fd_count; i++) {
		int copy = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
		if (copy < 0) {
			waiting_free(waiting);
			return false;
		}
		waiting->fds[waiting->fd_count++] = copy;
	}
	list_append(&channel->queue, &waiting->node);
	watch_change(channel->loop, &channel->watch, EPOLLIN | EPOLLOUT);
	return true;
}

bool
channel_send(struct channel *channel, const struct message *message, const int *fds, size_t fd_count)
{
	assert(fd_count <= MESSAGE_FDS_MAX && message->text_len <= MESSAGE_TEXT_BYTES);
	if (channel->watch.fd < 0)
		return false;
	if (channel->queue.count == 0) {
		int sent = send_now(channel->watch.fd, message, fds, fd_count);
		/* a broken pair is told by the loop, once, not by every sender */
		if (sent != 0)
			return true;
	}
	return enqueue(channel, message, fds, fd_count);
}

bool
channel_flush(struct channel *channel)
{
	struct list_node *node;

	while ((node = list_first(&channel->queue)) != NULL) {
		struct waiting *waiting = container_of(node, struct waiting, node);
		int sent = send_now(channel->watch.fd, &waiting->message, waiting->fds, waiting->fd_count);
		if (sent == 0)
			return false;
		list_remove(node);
		waiting_free(waiting);
	}
	if (channel->watch.ready != NULL)
		watch_change(channel->loop, &channel->watch, EPOLLIN);
	return true;
}

/* --- receiving ---------------------------------------------------------------- */

/* Descriptors of one packet; false when there were more than may be. All taken ones are in fds. */
static bool
take_fds(struct msghdr *head, int fds[MESSAGE_FDS_MAX], size_t *fd_count)
{
	bool sound = (head->msg_flags & (MSG_CTRUNC | MSG_TRUNC)) == 0;

	*fd_count = 0;
	for (struct cmsghdr *part = CMSG_FIRSTHDR(head); part != NULL; part = CMSG_NXTHDR(head, part)) {
		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(fd));
			if (*fd_count < MESSAGE_FDS_MAX) {
				fds[(*fd_count)++] = fd;
			} else {
				close(fd);
				sound = false;
			}
		}
	}
	return sound;
}

static void
close_fds(const int *fds, size_t fd_count)
{
	for (size_t i = 0; i < fd_count; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* One message. False when there is no more now, or never again. */
static bool
receive_one(struct channel *channel)
{
	static struct message message; /* one loop, one thread, never called from itself */
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int) * MESSAGE_FDS_MAX)];
	} control;
	struct iovec vector = {.iov_base = &message, .iov_len = sizeof(message)};
	struct msghdr head = {.msg_iov = &vector,
	                      .msg_iovlen = 1,
	                      .msg_control = control.space,
	                      .msg_controllen = sizeof(control.space)};
	int fds[MESSAGE_FDS_MAX];
	size_t fd_count;

	ssize_t len = recvmsg(channel->watch.fd, &head, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (len < 0) {
		if (errno != EAGAIN && errno != EINTR)
			channel->closed(channel, strerror(errno));
		return false;
	}
	bool sound = take_fds(&head, fds, &fd_count);
	if (len == 0) {
		close_fds(fds, fd_count);
		channel->closed(channel, "the other side closed it");
		return false;
	}
	if (!sound || !message_is_sound(&message, (size_t)len)) {
		close_fds(fds, fd_count);
		channel->closed(channel, "a message was not well-formed");
		return false;
	}
	channel->received(channel, &message, fds, fd_count);
	close_fds(fds, fd_count);
	return channel->watch.ready != NULL;
}

static void
channel_ready(struct watch *watch, uint32_t events)
{
	struct channel *channel = container_of(watch, struct channel, watch);

	/* what was sent before the other side went away still counts: read first */
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		for (int i = 0; i < MESSAGES_A_TURN && receive_one(channel); i++)
			;
	if ((events & EPOLLOUT) && watch->ready != NULL)
		channel_flush(channel);
}

void
channel_open(struct channel *channel, struct loop *loop, int fd)
{
	channel->loop = loop;
	list_init(&channel->queue);
	if (!watch_add(loop, &channel->watch, fd, EPOLLIN, channel_ready)) {
		/* without its channel a role is nothing */
		abort();
	}
}

void
channel_read_rest(struct channel *channel)
{
	while (channel->watch.ready != NULL && receive_one(channel))
		;
}

void
channel_close(struct channel *channel)
{
	struct list_node *node;
	int fd = channel->watch.fd;

	if (channel->watch.ready == NULL)
		return;
	watch_remove(channel->loop, &channel->watch);
	while ((node = list_take_first(&channel->queue)) != NULL)
		waiting_free(container_of(node, struct waiting, node));
	channel->watch.fd = -1;
	close(fd);
}
