/*
 * message: what spawner and balancer say to each other, over one
 * SOCK_SEQPACKET socket pair.  Every message is one fixed struct and at most
 * MESSAGE_FDS_MAX descriptors.  Neither side ever blocks: what the kernel does
 * not take at once waits in the channel's bounded queue.
 *
 * The spawner does not trust what comes up: every index is checked, and a
 * message that is not well-formed costs the balancer its life.
 */
#ifndef HANDOVER_MESSAGE_H
#define HANDOVER_MESSAGE_H

#include "base/list.h"
#include "base/str.h"
#include "config/app_type.h"
#include "handover/limit.h"
#include "system/loop.h"

enum {
	MESSAGE_VERSION = 1,
	MESSAGE_FDS_MAX = 2,
	MESSAGE_TEXT_BYTES = 2048,
	MESSAGE_LONG_TEXT_BYTES = 65536,
	PASSWORD_CHARS = 16,
	CHANNEL_QUEUE_MAX = 8192,
};

enum message_type {
	MESSAGE_NONE,

	/* Spawner to balancer.  At start, in this order: HELLO, CONFIG, ACCESS_LOG,
	 * SLOW_LOG, LISTENER …, PROCESS …, SPAWNING …, RESTART …, BEGIN. */
	MESSAGE_HELLO, /* fd: scoreboard memfd; number: its column there; slot 1: another balancer has the other column */
	MESSAGE_CONFIG, /* fd: sealed memfd with config_write()'s text; number = bytes.  Again at a reload, followed by all
	                       * LISTENERs and BEGIN, from which on it holds */
	MESSAGE_ACCESS_LOG, /* fd, opened O_APPEND; no fd: off.  Again after reopen-logs */
	MESSAGE_SLOW_LOG,   /* same */
	MESSAGE_LISTENER, /* fd: listening socket; number = index into config->listeners; slot, without fd: it is the one that
	                       * had the index slot - 1 */
	MESSAGE_PROCESS,      /* .process; fd: the door's listening socket */
	MESSAGE_SPAWNING,     /* app_id: a process of it is being started */
	MESSAGE_BEGIN,        /* everything is told: say READY; then, once more: accept */
	MESSAGE_PROCESS_GONE, /* slot, serial; text: how it ended ("killed by signal 9") */
	MESSAGE_SPAWN_FAILED, /* app_id; text: "ID\nsummary\ndetails and last output"; number = next try in ms,
	                       * 0: a restart overtook it, nobody is to blame; slot, serial: of a PROCESS that did not
	                       * warm up, serial 0: there was none */
	MESSAGE_RETIRED,      /* slot, serial: the process was asked to stop by the spawner (operator's detach …) */
	MESSAGE_DRAIN,        /* number = ms: accept nothing more, finish, then exit 0 */
	MESSAGE_STOP,         /* exit at once */
	MESSAGE_DETACH,       /* slot, serial: operator: take it out of rotation, drain, RETIRE */
	MESSAGE_RESTART, /* app_id: replace its processes of generations before number (old ones drain, new ones are
	                       * spawned); slot 1: all at once.  At start: what it was told last.
	                       * fd, O_PATH: its static_files_dir, if it has one */
	MESSAGE_LONG_TEXT, /* app_id; number: enum message_long_text; fd: memfd with it, of MESSAGE_LONG_TEXT_BYTES at most; no
	                       * fd: there is none */
	MESSAGE_LOG_FILE, /* fd: the new standard error */
	MESSAGE_HAND_OVER, /* another balancer serves from now on: accept nothing, give idle clients away, decide nothing,
	                    * finish what has begun within number ms */
	MESSAGE_ALONE,     /* the other balancer is gone */
	MESSAGE_MARK, /* number: say MARKED with it; what was told before is taken up then.  At start, after BEGIN, when there
	               * was one */

	/* Balancer to spawner. */
	MESSAGE_READY,  /* after BEGIN: it is going to accept */
	MESSAGE_SPAWN,  /* app_id: start one more process */
	MESSAGE_RETIRE, /* slot, serial: idle and out of rotation: stop it (stdin close, after number ms at most SIGTERM,
	                       * SIGKILL) */
	MESSAGE_WARMED, /* slot, serial: it has answered warmup_uris; text: it has not, and why: its start has failed */
	MESSAGE_WANT_RESTART, /* app_id: a request has come, and always_restart.txt is there */
	MESSAGE_LIMIT, /* slot, serial; number: enum limit that it has reached; text: how.  It is counted, evidence is
	                       * taken, and it is killed (LIMIT_MEMORY: only counted and logged) */
	MESSAGE_HOOK, /* app_id; number: enum config_hook, QUEUE_FULL; text: the request's host, a line end, its path */
	MESSAGE_DRAINED, /* everything is finished; it exits now */
	MESSAGE_MARKED,  /* number: that of MARK */

	/* From one that hands over, by the spawner, to the one that serves. */
	MESSAGE_CLIENT, /* fd: an idle connection; text: its listener's address; no text: of the door of slot, serial */

	MESSAGE_TYPE_N
};

enum message_long_text {
	MESSAGE_FAILURE_REPORT, /* of the newest failure; before SPAWN_FAILED, where it may be shown */
	MESSAGE_ERROR_PAGE,     /* custom_error_page; whenever RESTART is told */
	MESSAGE_MAINTENANCE,    /* the page that requests get instead of an answer; a line end alone: passenger's own */
	MESSAGE_LONG_TEXT_N
};

/* One living process. */
struct message_process {
	uint32_t app_id;
	uint32_t slot;   /* index into the scoreboard's processes */
	uint64_t serial; /* unique for ever: a slot is used again, a serial never */
	int32_t pid;
	int32_t concurrency; /* requests at once; 0: unlimited */
	uint8_t protocol;    /* enum app_protocol */
	uint8_t bypass;      /* the loader can run a bypass request on a spare thread */
	uint16_t port;       /* HTTP on 127.0.0.1:port, or 0: */
	uint16_t door_port;
	char socket_path[104];
	char password[PASSWORD_CHARS + 1];
	char gupid[40];
	uint64_t started_ms; /* CLOCK_MONOTONIC, when it was ready */
	uint32_t start_ms;   /* how long that took */
	uint32_t generation; /* how many restarts of its application had been asked for when it was started */
	uint8_t cold;        /* it must answer warmup_uris before it gets traffic: MESSAGE_WARMED */
	uint8_t retiring;    /* it was told to stop; serve its door and what runs, give it nothing new */
	uint8_t detached;    /* as by DETACH, of which a balancer before may not have heard */
};

struct message {
	uint32_t type;    /* enum message_type */
	uint32_t version; /* MESSAGE_VERSION */
	uint32_t app_id;
	uint32_t slot;
	uint64_t serial;
	uint64_t number;
	struct message_process process;
	uint32_t text_len;
	char text[MESSAGE_TEXT_BYTES]; /* only the first text_len bytes are sent */
};

void message_init(struct message *message, enum message_type type);
void message_set_text(struct message *message, struct str text); /* cuts what does not fit */
const char *message_name(enum message_type type);

/* One end of the pair. */
struct channel {
	struct watch watch;
	struct loop *loop;
	struct list queue; /* of waiting messages */
	void (*received)(struct channel *channel, struct message *message, int *fds, size_t fd_count);
	/* owns the fds: takes them by setting fds[i] = -1; the channel closes the rest */
	void (*closed)(struct channel *channel, const char *why); /* the other side is gone or talks nonsense */
	void *owner;
};

void channel_open(struct channel *channel, struct loop *loop, int fd);
/* Sends or queues; the descriptors are duplicated when it has to queue, so the
 * caller keeps its own.  False when the queue is full: the peer is hopeless. */
bool channel_send(struct channel *channel, const struct message *message, const int *fds, size_t fd_count) must_check;
/* Up to what the kernel takes; true when the queue is empty. */
bool channel_flush(struct channel *channel);
/* All that was sent and has not been read: the other side has ended, and what it said last counts. */
void channel_read_rest(struct channel *channel);
void channel_close(struct channel *channel);

#endif
