#include "pool/route.h"

/* How well a host fits: exact names before patterns, longer patterns before shorter ones, any host last. */
enum { ROUTE_HOST_ANY = 1, ROUTE_HOST_PATTERN = 2, ROUTE_HOST_EXACT = 1 << 20 };

static struct str
without_port(struct str host)
{
	for (size_t i = host.len; i > 0; i--) {
		if (host.data[i - 1] == ']')
			break;
		if (host.data[i - 1] == ':')
			return str_make(host.data, i - 1);
	}
	return host;
}

static int
host_fit(const char *names, struct str host)
{
	struct str rest = str_from(names), name;
	int best = 0;
	if (names == NULL)
		return ROUTE_HOST_ANY;
	while (str_split(&rest, ' ', &name)) {
		if (name.len == 0)
			continue;
		if (str_equal_nocase(name, host))
			return ROUTE_HOST_EXACT;
		/* "*.example.org": at least one label more */
		struct str tail = str_make(name.data + 1, name.len - 1);
		if (name.data[0] == '*' && name.len > 1 && host.len > tail.len &&
		    str_equal_nocase(str_make(host.data + host.len - tail.len, tail.len), tail)) {
			int fit = ROUTE_HOST_PATTERN + (int)tail.len;
			best = fit > best ? fit : best;
		}
	}
	return best;
}

/* Whole segments only. */
static bool
base_fits(struct str base, struct str path)
{
	return str_starts(path, base) && (path.len == base.len || path.data[base.len] == '/');
}

/* The length of the base URI when the path lies under it, else -1. */
static int
base_fit(const char *base_uri, struct str path)
{
	struct str base = str_from(base_uri);
	if (base.len <= 1)
		return 0;
	return base_fits(base, path) ? (int)base.len : -1;
}

const struct app_config *
route_find(const struct config *config, const struct listener_config *listener, struct str host, struct str path)
{
	const struct app_config *best = NULL;
	int best_host = 0, best_base = -1;
	host = without_port(host);
	uint64_t bit = config_host_bit(host);
	for (size_t i = 0; i < config->app_count; i++) {
		const struct app_config *app = config->apps[i];
		bool bound = listener != NULL && listener->app != NULL;
		/* Of hundreds of applications nearly all end here. */
		if (!bound && app->host_mask != 0 && (app->host_mask & bit) == 0)
			continue;
		if (!app->enabled || (bound && strcmp(listener->app, app->name) != 0) || (!bound && app->listener_only))
			continue;
		int host_score = bound ? ROUTE_HOST_EXACT : host_fit(app->host, host);
		int base_score = base_fit(app->base_uri, path);
		if (host_score == 0 || base_score < 0)
			continue;
		if (host_score > best_host || (host_score == best_host && base_score > best_base)) {
			best = app;
			best_host = host_score;
			best_base = base_score;
		}
	}
	return best;
}

bool
route_is_unlimited(const struct app_config *app, struct str path)
{
	struct str rest = str_from(app->unlimited_concurrency_paths), prefix;
	while (str_split(&rest, ' ', &prefix)) {
		if (prefix.len > 1 && prefix.data[prefix.len - 1] == '/')
			prefix.len--;
		if (prefix.len == 1 || (prefix.len > 0 && base_fits(prefix, path)))
			return true;
	}
	return false;
}
