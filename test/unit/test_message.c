#include "handover/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEPT_MAX = 16, FDS_LOOKED_AT = 256 };

/* One end under test, and what it was told. */
struct end {
	struct channel channel;
	uint32_t types[KEPT_MAX];
	uint64_t last_number;
	char last_text[MESSAGE_TEXT_BYTES + 1];
	size_t received, closed, fds;
	int taken_fd;
	bool close_in_callback;
	char why[64];
};

static struct loop loop;

static void
received(struct channel *channel, struct message *message, int *fds, size_t fd_count)
{
	struct end *end = channel->owner;

	if (end->received < KEPT_MAX)
		end->types[end->received] = message->type;
	end->received++;
	end->last_number = message->number;
	memcpy(end->last_text, message->text, message->text_len);
	end->last_text[message->text_len] = '\0';
	end->fds += fd_count;
	if (fd_count > 0) {
		end->taken_fd = fds[0];
		fds[0] = -1;
	}
	if (end->close_in_callback)
		channel_close(channel);
}

static void
closed(struct channel *channel, const char *why)
{
	struct end *end = channel->owner;

	end->closed++;
	str_cut_z(end->why, sizeof(end->why), str_from(why));
	channel_close(channel);
}

static void
end_open(struct end *end, int fd)
{
	memset(end, 0, sizeof(*end));
	end->taken_fd = -1;
	end->channel.owner = end;
	end->channel.received = received;
	end->channel.closed = closed;
	channel_open(&end->channel, &loop, fd);
}

static void
pair_open(struct end *a, struct end *b)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	end_open(a, pair[0]);
	if (b != NULL)
		end_open(b, pair[1]);
	else
		a->taken_fd = pair[1]; /* the raw other side */
}

static void
turns(int count)
{
	for (int i = 0; i < count; i++)
		loop_turn(&loop, 0);
}

static size_t
open_fds(void)
{
	size_t count = 0;

	for (int fd = 0; fd < FDS_LOOKED_AT; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void
test_round_trip(void **state)
{
	(void)state;
	size_t before = open_fds();
	struct end a, b;
	struct message message;
	struct stat sent, arrived;
	pair_open(&a, &b);

	message_init(&message, MESSAGE_PROCESS);
	message.number = UINT64_MAX;
	message_set_text(&message, STR("how it went"));
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_true(channel_send(&a.channel, &message, &fd, 1));
	turns(2);
	assert_int_equal(b.received, 1);
	assert_int_equal(b.types[0], MESSAGE_PROCESS);
	assert_true(b.last_number == UINT64_MAX);
	assert_string_equal(b.last_text, "how it went");
	assert_int_equal(b.fds, 1);
	assert_int_equal(fstat(fd, &sent), 0);
	assert_int_equal(fstat(b.taken_fd, &arrived), 0);
	assert_true(sent.st_rdev == arrived.st_rdev);
	assert_int_equal(fcntl(b.taken_fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	close(b.taken_fd);
	close(fd);
	channel_close(&a.channel);
	turns(2);
	assert_int_equal(b.closed, 1);
	assert_int_equal(open_fds(), before);
}

static void
test_text(void **state)
{
	(void)state;
	static char text[MESSAGE_TEXT_BYTES + 100];
	struct message message;
	struct end a, b;
	pair_open(&a, &b);

	memset(text, 'x', sizeof(text));
	message_init(&message, MESSAGE_SPAWN_FAILED);
	message_set_text(&message, str_make(text, sizeof(text)));
	assert_int_equal(message.text_len, MESSAGE_TEXT_BYTES);
	assert_true(channel_send(&a.channel, &message, NULL, 0));
	turns(2);
	assert_int_equal(strlen(b.last_text), MESSAGE_TEXT_BYTES);
	for (int type = MESSAGE_HELLO; type < MESSAGE_TYPE_N; type++)
		assert_string_not_equal(message_name((enum message_type)type), "unknown");
	assert_string_equal(message_name(MESSAGE_TYPE_N), "unknown");
	channel_close(&a.channel);
	channel_close(&b.channel);
}

/* More than the kernel takes: all arrive, in order, with their descriptors, and none is left open. */
static void
test_queue(void **state)
{
	(void)state;
	size_t before = open_fds();
	struct end a, b;
	struct message message;
	pair_open(&a, &b);
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	message_init(&message, MESSAGE_LISTENER);
	for (uint64_t i = 0; i < 2000; i++) {
		message.number = i;
		assert_true(channel_send(&a.channel, &message, &fd, i % 100 == 0));
	}
	assert_true(a.channel.queue.count > 0);
	size_t fds_taken = 0;
	for (int i = 0; i < 200 && b.received < 2000; i++) {
		turns(1);
		if (b.taken_fd >= 0) {
			close(b.taken_fd);
			b.taken_fd = -1;
			fds_taken++;
		}
	}
	assert_int_equal(b.received, 2000);
	assert_true(b.last_number == 1999);
	assert_int_equal(b.fds, 20);
	assert_true(fds_taken > 0);
	assert_int_equal(a.channel.queue.count, 0);
	assert_true(channel_flush(&a.channel));
	close(fd);
	channel_close(&a.channel);
	channel_close(&b.channel);
	assert_true(open_fds() <= before + 20); /* those that came within one turn were not all kept by this test */
}

static void
test_queue_is_bounded(void **state)
{
	(void)state;
	size_t before = open_fds();
	struct end a, b;
	struct message message;
	pair_open(&a, &b);

	message_init(&message, MESSAGE_SPAWN);
	size_t sent = 0;
	while (sent < 3 * CHANNEL_QUEUE_MAX && channel_send(&a.channel, &message, NULL, 0))
		sent++;
	assert_true(sent >= CHANNEL_QUEUE_MAX && sent < 3 * CHANNEL_QUEUE_MAX);
	assert_int_equal(a.channel.queue.count, CHANNEL_QUEUE_MAX);
	channel_close(&a.channel);
	assert_false(channel_send(&a.channel, &message, NULL, 0));
	channel_close(&b.channel);
	assert_int_equal(open_fds(), before);
}

/* Each of these costs the sender the channel, and nothing of it is believed. */
static void
test_nonsense(void **state)
{
	(void)state;
	static const char *const cases[] = {"short",       "version",    "type none", "type beyond",
	                                    "text beyond", "text short", "text long", "many descriptors"};

	for (size_t i = 0; i < array_count(cases); i++) {
		size_t before = open_fds();
		struct end a;
		struct message message;
		pair_open(&a, NULL);
		int raw = a.taken_fd;
		message_init(&message, MESSAGE_SPAWN);
		size_t size = offsetof(struct message, text);
		switch (i) {
		case 0:
			size--;
			break;
		case 1:
			message.version++;
			break;
		case 2:
			message.type = MESSAGE_NONE;
			break;
		case 3:
			message.type = MESSAGE_TYPE_N;
			break;
		case 4:
			message.text_len = UINT32_MAX;
			break;
		case 5:
			message.text_len = 5;
			break;
		case 6:
			size += 7;
			break;
		default:
			break;
		}
		char space[CMSG_SPACE(sizeof(int) * 4)] = {0};
		struct iovec vector = {&message, size};
		struct msghdr head = {.msg_iov = &vector, .msg_iovlen = 1};
		if (i == 7) {
			int fds[4] = {0, 0, 0, 0};
			head.msg_control = space;
			head.msg_controllen = sizeof(space);
			struct cmsghdr *part = CMSG_FIRSTHDR(&head);
			part->cmsg_level = SOL_SOCKET;
			part->cmsg_type = SCM_RIGHTS;
			part->cmsg_len = CMSG_LEN(sizeof(fds));
			memcpy(CMSG_DATA(part), fds, sizeof(fds));
		}
		assert_true(sendmsg(raw, &head, MSG_NOSIGNAL) >= 0);
		turns(2);
		assert_int_equal(a.received, 0);
		assert_int_equal(a.closed, 1);
		close(raw);
		if (open_fds() != before)
			fail_msg("case %s leaves descriptors open", cases[i]);
	}
}

static void
test_strings_end(void **state)
{
	(void)state;
	struct end a;
	struct message message;
	pair_open(&a, NULL);

	message_init(&message, MESSAGE_PROCESS);
	memset(&message.process, 'x', sizeof(message.process));
	assert_true(send(a.taken_fd, &message, offsetof(struct message, text), 0) > 0);
	close(a.taken_fd);
	turns(2);
	assert_int_equal(a.received, 1);
	assert_int_equal(a.closed, 1);
}

/* What was said before the other side went away is still heard. */
static void
test_last_words(void **state)
{
	(void)state;
	struct end a, b;
	struct message message;
	pair_open(&a, &b);

	message_init(&message, MESSAGE_DRAINED);
	assert_true(channel_send(&a.channel, &message, NULL, 0));
	channel_close(&a.channel);
	turns(2);
	assert_int_equal(b.received, 1);
	assert_int_equal(b.closed, 1);
	assert_string_equal(b.why, "the other side closed it");
}

static void
test_close_in_callback(void **state)
{
	(void)state;
	size_t before = open_fds();
	struct end a, b;
	struct message message;
	pair_open(&a, &b);
	b.close_in_callback = true;

	message_init(&message, MESSAGE_READY);
	for (int i = 0; i < 5; i++)
		assert_true(channel_send(&a.channel, &message, NULL, 0));
	turns(3);
	assert_int_equal(b.received, 1);
	assert_int_equal(b.closed, 0);
	channel_close(&a.channel);
	assert_int_equal(open_fds(), before);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_text),
		cmocka_unit_test(test_queue),      cmocka_unit_test(test_queue_is_bounded),
		cmocka_unit_test(test_nonsense),   cmocka_unit_test(test_strings_end),
		cmocka_unit_test(test_last_words), cmocka_unit_test(test_close_in_callback),
	};
	if (!loop_init(&loop))
		return 1;
	int failed = cmocka_run_group_tests_name("message", tests, NULL, NULL);
	loop_free(&loop);
	return failed;
}
