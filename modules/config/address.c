#include "config/config.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>

static bool
parse_port(struct str text, uint16_t *port)
{
	uint64_t number;
	if (text.len > 5 || !str_to_u64(text, &number) || number > UINT16_MAX)
		return false;
	*port = (uint16_t)number;
	return true;
}

static bool
parse_unix(struct config_address *address, struct str path)
{
	address->family = CONFIG_ADDRESS_UNIX;
	/* Relative paths would mean another place to every reader; a trailing slash names no file. */
	return path.len > 1 && path.data[0] == '/' && path.data[path.len - 1] != '/' &&
	       str_copy_z(address->path, sizeof address->path, path);
}

bool
config_address_parse(struct config_address *address, struct str text)
{
	*address = (struct config_address){0};
	struct str prefix = STR("unix:");
	if (str_starts(text, prefix))
		return parse_unix(address, str_make(text.data + prefix.len, text.len - prefix.len));

	bool bracketed = text.len > 0 && text.data[0] == '[';
	ptrdiff_t end = bracketed ? str_find(text, ']') : str_find(text, ':');
	if (end < 0)
		return false;
	struct str host = str_make(text.data + bracketed, (size_t)end - bracketed);
	struct str rest = str_make(text.data + end + bracketed, text.len - (size_t)end - bracketed);
	char host_z[INET6_ADDRSTRLEN];
	if (rest.len < 2 || rest.data[0] != ':' || !str_copy_z(host_z, sizeof host_z, host) ||
	    !parse_port(str_make(rest.data + 1, rest.len - 1), &address->port))
		return false;
	address->family = bracketed ? CONFIG_ADDRESS_INET6 : CONFIG_ADDRESS_INET;
	return inet_pton(bracketed ? AF_INET6 : AF_INET, host_z, address->ip) == 1;
}

void
config_address_text(const struct config_address *address, char out[128])
{
	char host[INET6_ADDRSTRLEN];
	const char *known;
	switch (address->family) {
	case CONFIG_ADDRESS_UNIX:
		snprintf(out, 128, "unix:%s", address->path);
		return;
	case CONFIG_ADDRESS_INET:
		known = inet_ntop(AF_INET, address->ip, host, sizeof host);
		assert(known != NULL);
		snprintf(out, 128, "%s:%u", host, (unsigned)address->port);
		return;
	case CONFIG_ADDRESS_INET6:
		known = inet_ntop(AF_INET6, address->ip, host, sizeof host);
		assert(known != NULL);
		snprintf(out, 128, "[%s]:%u", host, (unsigned)address->port);
		return;
	}
}
