/*
 * control: what an operator's command asks over the control socket, and what
 * it is answered.  One SOCK_SEQPACKET message each way (stop sends its answer
 * when the work is done).  The spawner decides by SO_PEERCRED who may do what.
 */
#ifndef HANDOVER_CONTROL_H
#define HANDOVER_CONTROL_H

#include "base/str.h"

enum { CONTROL_MAGIC = 0x50534731 /* "PSG1" */, CONTROL_TEXT_BYTES = 4096, CONTROL_NAME_BYTES = 256 };

enum control_verb {
	CONTROL_STATUS, /* answer: fd of a sealed memfd, see handover/snapshot.h */
	CONTROL_STOP,   /* number: 0 drain, 1 at once; answered when applications are gone */
	CONTROL_REOPEN_LOGS,
	CONTROL_RESTART, /* number: bits of enum control_restart; answer: number = applications that are meant (LOOK: that
	                  * are not done); FAILED with LOOK: a restart has failed */
	CONTROL_DETACH, /* number: pid */
	CONTROL_RELOAD,
	CONTROL_BACKTRACE,   /* number: pid; answer: fd of the evidence file, text: its path */
	CONTROL_UPGRADE,     /* name: path of the program, ""; number 1: only check; answered when it is over */
	CONTROL_MAINTENANCE, /* number: bits of enum control_restart; fd: a sealed memfd with the page, of
	                      * CONTROL_PAGE_BYTES at most */
	CONTROL_VERB_N
};

enum { CONTROL_PAGE_BYTES = 65536 };

enum control_restart {
	CONTROL_RESTART_NAME = 1 << 0, /* exactly an application's or a group's name ("/srv/shop (production)"); else an
	                                   * application's, or a prefix of its root when it begins with '/' */
	CONTROL_RESTART_AT_ONCE = 1 << 1, /* else rolling */
	CONTROL_RESTART_LOOK = 1 << 2,    /* begin none: what has become of the last one? */
	CONTROL_MAINTENANCE_ON = 1 << 3,  /* else it is over */
};

enum control_code {
	CONTROL_OK,
	CONTROL_FAILED,      /* understood, did not work: text says why */
	CONTROL_NOT_ALLOWED, /* exit 2 */
	CONTROL_NOT_FOUND,   /* no such application or process */
	CONTROL_BAD,         /* not understood (another version) */
	CONTROL_CODE_N
};

struct control_request {
	uint32_t magic;
	uint32_t verb; /* enum control_verb */
	uint64_t number;
	uint32_t verbose; /* STATUS: addresses and passwords are wanted */
	char name[CONTROL_NAME_BYTES];
};

struct control_answer {
	uint32_t magic;
	uint32_t code;                 /* enum control_code */
	uint64_t number;               /* STATUS: bytes of the snapshot */
	char text[CONTROL_TEXT_BYTES]; /* for a person; "" when there is nothing to say */
};

#endif
