#include "worker/identity.h"

#include "system/procfs.h"

#include <grp.h>
#include <pwd.h>
#include <sys/fsuid.h>
#include <unistd.h>

/* Debian's range for such uses, down to where systemd's dynamic users begin. */
enum { FREE_ID_FIRST = 64000, FREE_ID_LAST = 61200 };

void
identity_see_as(uint32_t uid, uint32_t gid)
{
	if (geteuid() != 0)
		return;
	setfsgid(gid);
	setfsuid(uid);
}

void
identity_user_name(uint32_t uid, char *out, size_t out_size)
{
	const struct passwd *entry = getpwuid(uid);

	if (entry != NULL)
		str_cut_z(out, out_size, str_from(entry->pw_name));
	else
		str_format(out, out_size, "%u", uid);
}

void
identity_group_name(uint32_t gid, char *out, size_t out_size)
{
	const struct group *entry = getgrgid(gid);

	if (entry != NULL)
		str_cut_z(out, out_size, str_from(entry->gr_name));
	else
		str_format(out, out_size, "%u", gid);
}

static bool
is_an_applications(const struct config *config, uint32_t id)
{
	for (size_t i = 0; i < config->app_count; i++)
		if (config->apps[i]->uid == id || config->apps[i]->gid == id)
			return true;
	return false;
}

static bool
by_option(const struct config *config, uint32_t *uid, uint32_t *gid, char error[IDENTITY_ERROR_BYTES])
{
	const struct passwd *entry = getpwnam(config->user);
	uint64_t number;

	if (entry != NULL) {
		*uid = entry->pw_uid;
		*gid = entry->pw_gid;
	} else if (str_to_u64(str_from(config->user), &number) && number <= INT32_MAX) {
		*uid = *gid = (uint32_t)number;
		entry = getpwuid(*uid);
		if (entry != NULL)
			*gid = entry->pw_gid;
	} else {
		str_format(error, IDENTITY_ERROR_BYTES,
		           "user = %s: there is no such user; make one, or leave the option out", config->user);
		return false;
	}
	if (*uid == 0) {
		str_format(error, IDENTITY_ERROR_BYTES, "user = %s: the balancer never runs as root; name another user",
		           config->user);
		return false;
	}
	return true;
}

bool
identity_of_balancer(const struct config *config, uint32_t *uid, uint32_t *gid, char error[IDENTITY_ERROR_BYTES])
{
	if (geteuid() != 0) {
		*uid = geteuid();
		*gid = getegid();
		return true;
	}
	if (config->user != NULL)
		return by_option(config, uid, gid, error);
	for (uint32_t id = FREE_ID_FIRST; id >= FREE_ID_LAST; id--) {
		if (getpwuid(id) != NULL || getgrgid(id) != NULL || is_an_applications(config, id) ||
		    procfs_uid_in_use(id))
			continue;
		*uid = *gid = id;
		return true;
	}
	str_format(error, IDENTITY_ERROR_BYTES,
	           "no free uid between %d and %d for the balancer; name one with the option user", FREE_ID_LAST,
	           FREE_ID_FIRST);
	return false;
}
