/*
 * socket: making, finding and asking sockets.  Everything is non-blocking and
 * CLOEXEC from birth.
 */
#ifndef SYSTEM_SOCKET_H
#define SYSTEM_SOCKET_H

#include "base/str.h"

enum { SOCKET_KEEP_ID = UINT32_MAX, SOCKET_ERROR_BYTES = 256 };

/* A unix stream socket that listens at path, with mode, owner and group (or
 * SOCKET_KEEP_ID).  A socket file on which nobody listens is replaced, anything
 * else that stands there is not.  -1 and a sentence in error. */
int socket_listen_unix(const char *path, uint32_t mode, uint32_t uid, uint32_t gid, int backlog,
                       char error[SOCKET_ERROR_BYTES]) must_check;

/* Same, SOCK_SEQPACKET: the control socket. */
int socket_listen_seqpacket(const char *path, uint32_t mode, char error[SOCKET_ERROR_BYTES]) must_check;

/* TCP; ip has 4 or 16 bytes in network order, port 0 is any free one.  -1 and a sentence in error. */
int socket_listen_tcp(const uint8_t *ip, size_t ip_bytes, uint16_t port, int backlog,
                      char error[SOCKET_ERROR_BYTES]) must_check;

/* 127.0.0.1 on a free port, which is told.  -1 and errno. */
int socket_listen_loopback(uint16_t *port, int backlog) must_check;

/* This port of 127.0.0.1 (0: any) if it is free at this moment; 0 and errno. */
uint16_t socket_free_port(uint16_t wanted) must_check;

/* Connection begun (or done) without waiting; -1 and errno.  A unix socket whose
 * backlog is full is -1 and EAGAIN. */
int socket_connect_unix(const char *path) must_check;
int socket_connect_seqpacket(const char *path) must_check;
int socket_connect_loopback(uint16_t port) must_check;

/* Who is at the other end of a unix socket (as it was at connect). */
bool socket_peer(int fd, int32_t *pid, uint32_t *uid, uint32_t *gid) must_check;

/* The port to which a TCP socket is bound; 0 when it is none. */
uint16_t socket_port(int fd);

#endif
