/*
 * session_protocol: the frames that the balancer sends to our own loaders
 * (docs/session-protocol.md).
 */
#ifndef WIRE_SESSION_PROTOCOL_H
#define WIRE_SESSION_PROTOCOL_H

#include "base/str.h"

enum {
	SESSION_FRAME_BYTES = 8,
	SESSION_DATA_FRAME_BYTES = 4,
	SESSION_PAYLOAD_MAX = 128 * 1024,

	SESSION_FRAME_REQUEST = 'R',
	SESSION_FRAME_PING = 'P',

	SESSION_FLAG_BODY = 1,   /* CONTENT_LENGTH raw bytes follow */
	SESSION_FLAG_FRAMES = 2, /* data frames follow, an empty one ends them */
	SESSION_FLAG_BYPASS = 4,

	SESSION_FLAG_WORK = 1, /* of a ping: out-of-band work comes first */
};

/* The head of a message; length is the payload's, in bytes. */
void session_frame(char out[SESSION_FRAME_BYTES], int type, unsigned flags, uint32_t length);
/* The head of a data frame; 0 ends the body. */
void session_data_frame(char out[SESSION_DATA_FRAME_BYTES], uint32_t length);

#endif
