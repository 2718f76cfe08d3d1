#include "wire/session_protocol.h"

void
session_data_frame(char out[SESSION_DATA_FRAME_BYTES], uint32_t length)
{
	for (int i = 0; i < SESSION_DATA_FRAME_BYTES; i++)
		out[i] = (char)(length >> (8 * (3 - i)) & 0xff);
}

void
session_frame(char out[SESSION_FRAME_BYTES], int type, unsigned flags, uint32_t length)
{
	out[0] = (char)type;
	out[1] = (char)flags;
	out[2] = out[3] = 0;
	session_data_frame(out + 4, length);
}
