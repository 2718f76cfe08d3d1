/*
 * fuzz_message: any packets from the other role: the first byte of each says how long it is.  What is handed on is
 * within its bounds, and after what is not sound nothing more is heard.
 */
#include "handover/message.h"
#include "heads.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static unsigned closed;

static void
received(struct channel *channel, struct message *message, int *fds, size_t fd_count)
{
	(void)channel;
	(void)fds;
	FUZZ_CHECK(closed == 0 && fd_count == 0);
	FUZZ_CHECK(message->type > MESSAGE_NONE && message->type < MESSAGE_TYPE_N);
	FUZZ_CHECK(strlen(message_name((enum message_type)message->type)) > 0);
	FUZZ_CHECK(message->text_len <= MESSAGE_TEXT_BYTES);
	FUZZ_CHECK(memchr(message->process.socket_path, '\0', sizeof(message->process.socket_path)) != NULL);
	FUZZ_CHECK(memchr(message->process.password, '\0', sizeof(message->process.password)) != NULL);
	FUZZ_CHECK(memchr(message->process.gupid, '\0', sizeof(message->process.gupid)) != NULL);
}

static void
lost(struct channel *channel, const char *why)
{
	FUZZ_CHECK(why[0] != '\0');
	closed++;
	channel_close(channel);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct loop loop;
	struct channel channel = {.received = received, .closed = lost};
	struct message message;
	int pair[2];

	FUZZ_CHECK(loop.now_ms != 0 || loop_init(&loop));
	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
	closed = 0;
	channel_open(&channel, &loop, pair[0]);
	/* a bit says whether the packet has the right version and length, since chance finds neither */
	while (len > 1) {
		size_t bytes = len - 1 < data[0] ? len - 1 : data[0];
		memset(&message, 0, sizeof(message));
		memcpy(&message, data + 1, bytes);
		size_t size = bytes;
		if (data[0] & 1) {
			message.version = MESSAGE_VERSION;
			message.text_len %= 2 * MESSAGE_TEXT_BYTES;
			size = offsetof(struct message, text) + message.text_len;
		}
		if (size > 0 && size <= sizeof(message))
			FUZZ_CHECK(send(pair[1], &message, size, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 || closed != 0);
		data += 1 + bytes;
		len -= 1 + bytes;
		if (closed == 0)
			channel_read_rest(&channel);
	}
	close(pair[1]);
	if (closed == 0)
		channel_read_rest(&channel);
	FUZZ_CHECK(closed == 1);
	return 0;
}
