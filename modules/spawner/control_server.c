#include "spawner/control_server.h"

#include "base/log.h"
#include "system/socket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void
client_bury(struct grave *grave)
{
	struct control_client *client = container_of(grave, struct control_client, grave);

	free(client->held);
	free(client);
}

static void
client_close(struct control_client *client)
{
	struct loop *loop = client->server->loop;
	int fd = client->watch.fd;

	list_remove(&client->node);
	timer_cancel(loop, &client->deadline);
	watch_remove(loop, &client->watch);
	close(fd);
	loop_bury(loop, &client->grave);
}

/* One message; a client that does not take it at once does without: an empty socket buffer holds it. */
static void
client_answer(struct control_client *client, const struct control_answer *answer, int fd)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {.space = {0}};
	struct iovec vector = {.iov_len = sizeof(*answer)};
	struct msghdr head = {.msg_iov = &vector, .msg_iovlen = 1};

	memcpy(&vector.iov_base, &answer, sizeof(answer)); /* struct iovec has no const; it is only read */
	if (fd >= 0) {
		head.msg_control = control.space;
		head.msg_controllen = sizeof(control.space);
		struct cmsghdr *part = CMSG_FIRSTHDR(&head);
		part->cmsg_level = SOL_SOCKET;
		part->cmsg_type = SCM_RIGHTS;
		part->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(part), &fd, sizeof(int));
	}
	if (sendmsg(client->watch.fd, &head, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_info("a command of uid %u did not take its answer: %s", client->uid, strerror(errno));
	client_close(client);
}

/* Nothing more is read from it; held: what it will be told, or NULL: that is not known yet. */
static void
client_wait(struct control_client *client, const struct control_answer *held)
{
	struct control_server *server = client->server;

	client->state = CLIENT_WAITING;
	timer_cancel(server->loop, &client->deadline);
	if (held == NULL)
		return;
	client->held = malloc(sizeof(*held));
	if (client->held == NULL)
		abort();
	*client->held = *held;
	client->mark = server->mark;
	timer_set(server->loop, &client->deadline, CONTROL_MARK_MS);
}

static void
client_request(struct control_client *client, struct control_request *request)
{
	enum control_reply reply = CONTROL_REPLY_NOW;
	struct control_server *server = client->server;
	struct control_answer answer = {.magic = CONTROL_MAGIC, .code = CONTROL_BAD};
	enum control_right right = server->events->right(server, client->uid);
	int fd = -1;

	server->serving = client->id;
	request->name[sizeof(request->name) - 1] = '\0';
	if (request->magic != CONTROL_MAGIC || request->verb >= CONTROL_VERB_N) {
		str_cut_z(answer.text, sizeof(answer.text), STR("that is no request of this version of passenger"));
	} else if (right == CONTROL_RIGHT_NONE ||
	           (right == CONTROL_RIGHT_OWN_STATUS && request->verb != CONTROL_STATUS)) {
		answer.code = CONTROL_NOT_ALLOWED;
		str_format(answer.text, sizeof(answer.text),
		           right == CONTROL_RIGHT_NONE ? "uid %u may not see this instance: only root, the user that "
		                                         "started it and the users of its "
		                                         "applications may; try it with sudo"
		                                       : "uid %u is the user of an application and may see its status, "
		                                         "but not change anything; try it "
		                                         "with sudo",
		           client->uid);
		log_notice("a command of uid %u was refused (request %u)", client->uid, request->verb);
	} else {
		reply = server->events->request(server, request, client->uid, right, &answer, &fd);
	}
	if (reply != CONTROL_REPLY_NOW) {
		client_wait(client, reply == CONTROL_REPLY_MARKED ? &answer : NULL);
		return;
	}
	client_answer(client, &answer, fd);
	if (fd >= 0)
		close(fd);
}

static void
client_ready(struct watch *watch, uint32_t events)
{
	struct control_client *client = container_of(watch, struct control_client, watch);
	struct control_request request;
	/* one octet more, to tell a longer message */
	char extra;
	struct iovec vectors[2] = {{&request, sizeof(request)}, {&extra, 1}};
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
	/* CMSG_SPACE is room for two: the kernel would hand over a second one, which nobody takes */
	struct msghdr head = {
		.msg_iov = vectors, .msg_iovlen = 2, .msg_control = control, .msg_controllen = CMSG_LEN(sizeof(int))};

	(void)events;
	ssize_t len = recvmsg(watch->fd, &head, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	struct control_server *server = client->server;
	const struct cmsghdr *part = len >= 0 ? CMSG_FIRSTHDR(&head) : NULL;
	server->passed = -1;
	if (part != NULL && part->cmsg_type == SCM_RIGHTS && part->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&server->passed, CMSG_DATA(part), sizeof(int));
	if (len != (ssize_t)sizeof(request))
		memset(&request, 0, sizeof(request)); /* answered as what it is: no request of ours */
	if (len <= 0 || client->state != CLIENT_READING)
		client_close(client);
	else
		client_request(client, &request);
	if (server->passed >= 0)
		close(server->passed);
}

static void
client_due(struct timer *timer)
{
	struct control_client *client = container_of(timer, struct control_client, deadline);

	if (client->held == NULL) {
		client_close(client);
		return;
	}
	size_t len = strlen(client->held->text);
	str_format(client->held->text + len, sizeof(client->held->text) - len,
	           "%sthe balancer has not taken it up yet; it will", len > 0 ? "; " : "");
	client_answer(client, client->held, -1);
}

static void
accept_one(struct control_server *server, int fd)
{
	int32_t pid;
	uint32_t uid, gid;

	if (server->clients.count >= CONTROL_CLIENTS_MAX || !socket_peer(fd, &pid, &uid, &gid))
		close(fd);
	else
		control_server_add(server,
		                   &(struct control_client){.watch.fd = fd, .uid = uid, .id = ++server->last_id});
}

void
control_server_add(struct control_server *server, const struct control_client *known)
{
	int fd = known->watch.fd;

	struct control_client *client = calloc(1, sizeof(*client));
	if (client == NULL)
		abort();
	client->server = server;
	client->uid = known->uid;
	client->id = known->id;
	client->state = known->state;
	client->mark = known->mark;
	client->held = known->held;
	client->deadline.due = client_due;
	client->grave.bury = client_bury;
	if (!watch_add(server->loop, &client->watch, fd, EPOLLIN, client_ready)) {
		close(fd);
		free(client->held);
		free(client);
		return;
	}
	list_append(&server->clients, &client->node);
	if (client->state == CLIENT_READING || client->held != NULL)
		timer_set(server->loop, &client->deadline, client->held != NULL ? CONTROL_MARK_MS : CONTROL_DEADLINE_MS);
}

static void
server_ready(struct watch *watch, uint32_t events)
{
	struct control_server *server = container_of(watch, struct control_server, watch);

	(void)events;
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0)
			return;
		accept_one(server, fd);
	}
}

bool
control_server_open(struct control_server *server, struct loop *loop, const char *path, char *error, size_t error_size)
{
	char reason[SOCKET_ERROR_BYTES] = "";
	int fd = server->watch.fd;

	server->loop = loop;
	list_init(&server->clients);
	if (path != NULL)
		fd = socket_listen_seqpacket(path, 0666, reason);
	if (fd < 0) {
		str_format(error, error_size, "the control socket: %s", reason);
		return false;
	}
	if (!watch_add(loop, &server->watch, fd, EPOLLIN, server_ready)) {
		str_format(error, error_size, "the control socket: %s", strerror(errno));
		close(fd);
		return false;
	}
	return true;
}

void
control_server_answer(struct control_server *server, uint64_t id, enum control_code code, const char *text, int fd)
{
	struct control_answer answer = {.magic = CONTROL_MAGIC, .code = code};

	str_cut_z(answer.text, sizeof(answer.text), str_from(text));
	list_each (&server->clients, node) {
		struct control_client *client = container_of(node, struct control_client, node);
		if (client->state == CLIENT_WAITING && client->id == id)
			client_answer(client, &answer, fd);
	}
}

void
control_server_marked(struct control_server *server, uint64_t mark)
{
	list_each (&server->clients, node) {
		struct control_client *client = container_of(node, struct control_client, node);
		if (client->held != NULL && client->mark <= mark)
			client_answer(client, client->held, -1);
	}
}

void
control_server_answer_waiting(struct control_server *server, enum control_code code, const char *text)
{
	struct control_answer answer = {.magic = CONTROL_MAGIC, .code = code};

	if (server->watch.ready == NULL)
		return;
	str_cut_z(answer.text, sizeof(answer.text), str_from(text));
	list_each (&server->clients, node) {
		struct control_client *client = container_of(node, struct control_client, node);
		if (client->state == CLIENT_WAITING)
			client_answer(client, client->held != NULL ? client->held : &answer, -1);
	}
}

void
control_server_close(struct control_server *server)
{
	int fd = server->watch.fd;

	if (server->watch.ready == NULL)
		return;
	list_each (&server->clients, node)
		client_close(container_of(node, struct control_client, node));
	watch_remove(server->loop, &server->watch);
	close(fd);
}
