#include "spawner/listeners.h"

#include "base/log.h"
#include "system/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { PASSED_FIRST_FD = 3 };

/* --- systemd ---------------------------------------------------------------------- */

/* The text of a listening stream socket's address; "" when it is none. */
static void
address_of(int fd, char out[128])
{
	union {
		struct sockaddr any;
		struct sockaddr_un un;
		struct sockaddr_in inet;
		struct sockaddr_in6 inet6;
	} name = {.any = {0}};
	struct config_address address = {0};
	socklen_t len = sizeof(name), value_len = sizeof(int);
	int type = 0, listening = 0;

	out[0] = '\0';
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &value_len) != 0 || type != SOCK_STREAM ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &value_len) != 0 || !listening ||
	    getsockname(fd, &name.any, &len) != 0)
		return;
	if (name.any.sa_family == AF_UNIX && len > offsetof(struct sockaddr_un, sun_path) && name.un.sun_path[0] == '/') {
		address.family = CONFIG_ADDRESS_UNIX;
		str_cut_z(address.path, sizeof(address.path),
		          str_make(name.un.sun_path, strnlen(name.un.sun_path, sizeof(name.un.sun_path))));
	} else if (name.any.sa_family == AF_INET) {
		address.family = CONFIG_ADDRESS_INET;
		memcpy(address.ip, &name.inet.sin_addr, 4);
		address.port = ntohs(name.inet.sin_port);
	} else if (name.any.sa_family == AF_INET6) {
		address.family = CONFIG_ADDRESS_INET6;
		memcpy(address.ip, &name.inet6.sin6_addr, 16);
		address.port = ntohs(name.inet6.sin6_port);
	} else {
		return;
	}
	config_address_text(&address, out);
}

void
passed_sockets_take(struct passed_sockets *passed)
{
	const char *pid_text = getenv("LISTEN_PID"), *count_text = getenv("LISTEN_FDS");
	uint64_t pid, count;

	memset(passed, 0, sizeof(*passed));
	if (pid_text != NULL && count_text != NULL && str_to_u64(str_from(pid_text), &pid) &&
	    pid == (uint64_t)getpid() && str_to_u64(str_from(count_text), &count)) {
		for (uint64_t i = 0; i < count && i < LISTENERS_PASSED_MAX; i++) {
			int fd = PASSED_FIRST_FD + (int)i;
			if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
				continue;
			fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
			passed->fds[passed->count] = fd;
			address_of(fd, passed->addresses[passed->count++]);
		}
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}

void
passed_sockets_close(struct passed_sockets *passed)
{
	for (size_t i = 0; i < passed->count; i++) {
		if (passed->fds[i] >= 0) {
			log_warn("socket %s, passed by systemd, is no listener of the configuration; closed",
			         passed->addresses[i][0] != '\0' ? passed->addresses[i]
			                                         : "(not a listening stream socket)");
			close(passed->fds[i]);
		}
		passed->fds[i] = -1;
	}
}

static int
passed_sockets_find(struct passed_sockets *passed, const char *address)
{
	for (size_t i = 0; i < passed->count; i++) {
		int fd = passed->fds[i];
		if (fd >= 0 && strcmp(passed->addresses[i], address) == 0) {
			passed->fds[i] = -1;
			return fd;
		}
	}
	return -1;
}

/* --- binding ---------------------------------------------------------------------- */

static bool
bind_one(struct bound_listener *bound, const struct listener_config *listener, int backlog,
         char error[LISTENERS_ERROR_BYTES])
{
	const struct config_address *address = &listener->address;
	char reason[SOCKET_ERROR_BYTES] = "";

	if (address->family == CONFIG_ADDRESS_UNIX)
		bound->fd = socket_listen_unix(address->path, listener->mode, listener->uid, listener->gid, backlog,
		                               reason);
	else
		bound->fd = socket_listen_tcp(address->ip, address->family == CONFIG_ADDRESS_INET ? 4 : 16,
		                              address->port, backlog, reason);
	if (bound->fd < 0)
		str_format(error, LISTENERS_ERROR_BYTES, "listener %s: %s", listener->name, reason);
	return bound->fd >= 0;
}

/* passed: may be NULL. */
static bool
open_one(struct bound_listener *bound, const struct listener_config *listener, const struct config *config,
         struct passed_sockets *passed, char error[LISTENERS_ERROR_BYTES])
{
	struct config_address real = listener->address;

	*bound = (struct bound_listener){.fd = -1};
	config_address_text(&listener->address, bound->address);
	if (passed != NULL)
		bound->fd = passed_sockets_find(passed, bound->address);
	bound->passed = bound->fd >= 0;
	if (!bound->passed && !bind_one(bound, listener, (int)config->socket_backlog, error))
		return false;
	if (real.family != CONFIG_ADDRESS_UNIX) {
		real.port = bound->port = socket_port(bound->fd);
		config_address_text(&real, bound->address);
	}
	return true;
}

bool
listeners_open(struct listeners *listeners, const struct config *config, struct passed_sockets *passed,
               char error[LISTENERS_ERROR_BYTES])
{
	for (listeners->count = 0; listeners->count < config->listener_count; listeners->count++) {
		size_t i = listeners->count;
		if (!open_one(&listeners->bound[i], config->listeners[i], config, passed, error)) {
			listeners_close(listeners, config);
			return false;
		}
	}
	return true;
}

static void
close_one(struct bound_listener *bound, const struct listener_config *listener)
{
	if (bound->fd < 0)
		return;
	if (!bound->passed && listener->address.family == CONFIG_ADDRESS_UNIX)
		unlink(listener->address.path);
	close(bound->fd);
	bound->fd = -1;
}

void
listeners_close(struct listeners *listeners, const struct config *config)
{
	for (size_t i = 0; i < listeners->count; i++)
		close_one(&listeners->bound[i], config->listeners[i]);
}

/* --- another generation ----------------------------------------------------------- */

static bool
is_kept(const struct listeners_change *change, size_t before)
{
	for (size_t i = 0; i < change->listeners.count; i++)
		if (change->before[i] == before + 1)
			return true;
	return false;
}

bool
listeners_prepare(struct listeners_change *change, const struct listeners *before, const struct config *config_before,
                  const struct config *config, char error[LISTENERS_ERROR_BYTES])
{
	char wanted[128], had[128];

	memset(change, 0, sizeof(*change));
	for (size_t i = 0; i < config->listener_count; i++) {
		struct bound_listener *bound = &change->listeners.bound[i];
		config_address_text(&config->listeners[i]->address, wanted);
		for (size_t j = 0; j < before->count && change->before[i] == 0; j++) {
			config_address_text(&config_before->listeners[j]->address, had);
			if (strcmp(wanted, had) != 0 || is_kept(change, j))
				continue;
			*bound = before->bound[j];
			change->before[i] = j + 1;
		}
		if (change->before[i] == 0 && !open_one(bound, config->listeners[i], config, NULL, error)) {
			listeners_take_back(change, config);
			return false;
		}
		change->listeners.count++;
	}
	return true;
}

void
listeners_carry_out(struct listeners_change *change, struct listeners *before, const struct config *config_before)
{
	for (size_t i = 0; i < before->count; i++)
		if (!is_kept(change, i))
			close_one(&before->bound[i], config_before->listeners[i]);
	*before = change->listeners;
}

void
listeners_take_back(struct listeners_change *change, const struct config *config)
{
	for (size_t i = 0; i < change->listeners.count; i++)
		if (change->before[i] == 0)
			close_one(&change->listeners.bound[i], config->listeners[i]);
}

void
listeners_text(const struct listeners *listeners, char *out, size_t out_size)
{
	size_t len = 0;

	out[0] = '\0';
	for (size_t i = 0; i < listeners->count && len + 1 < out_size; i++) {
		str_format(out + len, out_size - len, "%s%s", i > 0 ? " " : "", listeners->bound[i].address);
		len = strlen(out);
	}
}
