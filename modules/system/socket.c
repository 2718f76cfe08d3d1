#include "system/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { CONTROL_BACKLOG = 128 };

static bool
unix_address(struct sockaddr_un *address, const char *path)
{
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	if (path[0] == '\0' || !str_copy_z(address->sun_path, sizeof(address->sun_path), str_from(path))) {
		errno = ENAMETOOLONG;
		return false;
	}
	return true;
}

static int
connect_unix(const char *path, int type)
{
	struct sockaddr_un address;

	if (!unix_address(&address, path))
		return -1;
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 && errno != EINPROGRESS) {
		int saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

int
socket_connect_unix(const char *path)
{
	return connect_unix(path, SOCK_STREAM);
}

int
socket_connect_seqpacket(const char *path)
{
	return connect_unix(path, SOCK_SEQPACKET);
}

int
socket_connect_loopback(uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	int one = 1;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 && errno != EINPROGRESS) {
		int saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

/* Removes a socket file that nobody serves; false and a sentence when something else is there. */
static bool
remove_stale(const char *path, int type, char error[SOCKET_ERROR_BYTES])
{
	struct stat stat;

	if (lstat(path, &stat) != 0) {
		if (errno == ENOENT)
			return true;
		str_format(error, SOCKET_ERROR_BYTES, "%s: %s", path, strerror(errno));
		return false;
	}
	if (!S_ISSOCK(stat.st_mode)) {
		str_format(error, SOCKET_ERROR_BYTES, "%s exists and is no socket; remove it or choose another path",
		           path);
		return false;
	}
	int fd = connect_unix(path, type);
	if (fd >= 0 || errno != ECONNREFUSED) {
		/* EPROTOTYPE, EAGAIN, EACCES: somebody is there, too */
		if (fd >= 0)
			close(fd);
		str_format(error, SOCKET_ERROR_BYTES, "another program listens on %s; stop it or choose another path",
		           path);
		return false;
	}
	if (unlink(path) != 0 && errno != ENOENT) {
		str_format(error, SOCKET_ERROR_BYTES, "can not remove the stale socket %s: %s", path, strerror(errno));
		return false;
	}
	return true;
}

/* Gives the socket file that was just bound to its owner, and never another file that was put in its place. */
static bool
give_to_owner(const char *path, uint32_t uid, uint32_t gid)
{
	struct stat stat;

	if (uid == SOCKET_KEEP_ID && gid == SOCKET_KEEP_ID)
		return true;
	int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return false;
	errno = EEXIST;
	bool done = fstat(fd, &stat) == 0 && S_ISSOCK(stat.st_mode) && stat.st_uid == geteuid() && stat.st_nlink == 1 &&
	            fchownat(fd, "", uid, gid, AT_EMPTY_PATH) == 0;
	int saved = errno;
	close(fd);
	errno = saved;
	return done;
}

static int
listen_unix(const char *path, int type, uint32_t mode, uint32_t uid, uint32_t gid, int backlog,
            char error[SOCKET_ERROR_BYTES])
{
	struct sockaddr_un address;

	if (!unix_address(&address, path)) {
		str_format(error, SOCKET_ERROR_BYTES, "%s: a unix socket's path has at most %zu characters", path,
		           sizeof(address.sun_path) - 1);
		return -1;
	}
	if (!remove_stale(path, type, error))
		return -1;
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		str_format(error, SOCKET_ERROR_BYTES, "%s: %s", path, strerror(errno));
		return -1;
	}
	/* the file is born with the socket's own mode: there is no moment in which it is open to more */
	mode_t mask = umask(0);
	bool done = fchmod(fd, mode) == 0 && bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
	int saved = errno;
	umask(mask);
	if (!done) {
		str_format(error, SOCKET_ERROR_BYTES, "can not bind %s: %s", path, strerror(saved));
	} else if (!give_to_owner(path, uid, gid)) {
		str_format(error, SOCKET_ERROR_BYTES, "can not give %s to its owner and group: %s", path,
		           strerror(errno));
		done = false;
		unlink(path);
	} else if (listen(fd, backlog) != 0) {
		str_format(error, SOCKET_ERROR_BYTES, "can not listen on %s: %s", path, strerror(errno));
		done = false;
		unlink(path);
	}
	if (!done) {
		close(fd);
		return -1;
	}
	return fd;
}

int
socket_listen_unix(const char *path, uint32_t mode, uint32_t uid, uint32_t gid, int backlog,
                   char error[SOCKET_ERROR_BYTES])
{
	return listen_unix(path, SOCK_STREAM, mode, uid, gid, backlog, error);
}

int
socket_listen_seqpacket(const char *path, uint32_t mode, char error[SOCKET_ERROR_BYTES])
{
	return listen_unix(path, SOCK_SEQPACKET, mode, SOCKET_KEEP_ID, SOCKET_KEEP_ID, CONTROL_BACKLOG, error);
}

static int
listen_inet(const struct sockaddr *address, socklen_t address_len, int backlog)
{
	int one = 1;
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	/* [::] and 0.0.0.0 are two addresses: each is served where it was asked for */
	if (address->sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, address, address_len) != 0 || listen(fd, backlog) != 0) {
		int saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

int
socket_listen_tcp(const uint8_t *ip, size_t ip_bytes, uint16_t port, int backlog, char error[SOCKET_ERROR_BYTES])
{
	struct sockaddr_in inet = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 inet6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	char text[INET6_ADDRSTRLEN] = "";
	int fd;

	if (ip_bytes == 4) {
		memcpy(&inet.sin_addr, ip, 4);
		inet_ntop(AF_INET, ip, text, sizeof(text));
		fd = listen_inet((const struct sockaddr *)&inet, sizeof(inet), backlog);
	} else {
		memcpy(&inet6.sin6_addr, ip, 16);
		inet_ntop(AF_INET6, ip, text, sizeof(text));
		fd = listen_inet((const struct sockaddr *)&inet6, sizeof(inet6), backlog);
	}
	if (fd < 0)
		str_format(error, SOCKET_ERROR_BYTES,
		           ip_bytes == 4 ? "can not listen on %s:%u: %s" : "can not listen on [%s]:%u: %s", text, port,
		           strerror(errno));
	return fd;
}

uint16_t
socket_port(int fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_in inet;
		struct sockaddr_in6 inet6;
	} address;
	socklen_t len = sizeof(address);

	if (getsockname(fd, &address.any, &len) != 0)
		return 0;
	if (address.any.sa_family == AF_INET)
		return ntohs(address.inet.sin_port);
	return address.any.sa_family == AF_INET6 ? ntohs(address.inet6.sin6_port) : 0;
}

int
socket_listen_loopback(uint16_t *port, int backlog)
{
	struct sockaddr_in address = {.sin_family = AF_INET};

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = listen_inet((const struct sockaddr *)&address, sizeof(address), backlog);
	if (fd >= 0)
		*port = socket_port(fd);
	return fd;
}

uint16_t
socket_free_port(uint16_t wanted)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(wanted)};
	uint16_t port = 0;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		port = socket_port(fd);
	close(fd);
	return port;
}

bool
socket_peer(int fd, int32_t *pid, uint32_t *uid, uint32_t *gid)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
		return false;
	*pid = peer.pid;
	*uid = peer.uid;
	*gid = peer.gid;
	return true;
}
