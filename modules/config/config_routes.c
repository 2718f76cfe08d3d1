/*
 * Whether every request has at most one application that it can mean.
 */
#include "config/internal.h"

#include <stdlib.h>

/* One way in: a host name (empty: any) and a base URI. */
struct way {
	struct str host;
	const char *base_uri;
	const struct config_reading_app *app;
};

uint64_t
config_host_bit(struct str host)
{
	uint64_t hash = 0;
	for (size_t i = 0; i < host.len; i++)
		hash = (hash ^ (uint8_t)(host.data[i] | 0x20)) * UINT64_C(0x9e3779b97f4a7c15);
	return UINT64_C(1) << (hash >> 58);
}

uint64_t
config_host_mask(const char *names)
{
	struct str rest = str_from(names), name;
	uint64_t mask = names == NULL || strchr(names, '*') != NULL ? UINT64_MAX : 0;
	while (str_split(&rest, ' ', &name))
		if (name.len > 0)
			mask |= config_host_bit(name);
	return mask;
}

static int
compare_str(struct str a, struct str b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int order = len > 0 ? memcmp(a.data, b.data, len) : 0;
	return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int
compare_ways(const void *left, const void *right)
{
	const struct way *a = left, *b = right;
	int order = compare_str(a->host, b->host);
	if (order == 0)
		order = strcmp(a->base_uri, b->base_uri);
	/* Equal ones in the order of the ini, so that the later one is to blame. */
	return order != 0 ? order : (a->app > b->app) - (a->app < b->app);
}

static void
add_ways(const struct config_reading_app *app, struct buf *ways)
{
	struct way way = {.base_uri = app->app->base_uri, .app = app};
	struct str rest = str_from(app->app->host), word;
	if (app->app->host == NULL) {
		buf_append(ways, &way, sizeof way);
		return;
	}
	while (str_split(&rest, ' ', &word)) {
		way.host = str_trim(word);
		if (way.host.len > 0)
			buf_append(ways, &way, sizeof way);
	}
}

static bool
fail_same_way(struct config_reading *reading, const struct way *first, const struct way *second)
{
	struct str host = first->host.len > 0 ? first->host : STR("any host");
	char where[32];
	const struct config_section *section = &first->app->section;
	if (section->line != 0)
		str_format(where, sizeof where, " in line %u", (unsigned)section->line);
	else
		where[0] = 0;
	return config_fail(
		reading, second->app->section.line, second->app->section.title,
		"has the same requests as %s%s (%.*s, base_uri %s); expected another host or base_uri in one of "
		"the two",
		section->title, where, (int)(host.len < 200 ? host.len : 200), host.data, first->base_uri);
}

/* An application may name a host twice, but two may not name the same one. */
static bool
check_ways(struct config_reading *reading, struct buf *ways)
{
	struct way *list = (struct way *)(void *)ways->data;
	size_t count = ways->len / sizeof *list;
	if (count < 2)
		return true;
	qsort(list, count, sizeof *list, compare_ways);
	for (size_t i = 1; i < count; i++) {
		const struct way *a = &list[i - 1], *b = &list[i];
		if (a->app != b->app && compare_str(a->host, b->host) == 0 && strcmp(a->base_uri, b->base_uri) == 0)
			return fail_same_way(reading, a, b);
	}
	return true;
}

static bool
check_listener_app(struct config_reading *reading, const struct config_reading_listener *listener)
{
	const char *name = listener->listener->app;
	uint32_t line = listener->section.lines[config_row("app", OPTION_IN_LISTENER)];
	struct config_reading_app *nearest = NULL;
	size_t best = name != NULL ? strlen(name) / 3 + 2 : 0;
	for (size_t i = 0; name != NULL && i < reading->app_count; i++) {
		struct config_reading_app *app = &reading->apps[i];
		size_t distance = config_distance(str_from(name), str_from(app->app->name), best);
		if (strcmp(app->app->name, name) == 0) {
			app->app->listener_only = app->app->host == NULL &&
			                          app->section.lines[config_row("base_uri", OPTION_IN_APP)] == 0;
			return true;
		}
		if (distance < best) {
			best = distance;
			nearest = app;
		}
	}
	if (name == NULL)
		return true;
	return config_fail_value(reading, line, STR("app"), str_from(name), "there is no [app %s]%s%s%s", name,
	                         nearest != NULL ? "; did you mean " : "", nearest != NULL ? nearest->app->name : "",
	                         nearest != NULL ? "?" : "");
}

bool
config_resolve_routes(struct config_reading *reading)
{
	struct buf ways = {0};
	for (size_t i = 0; i < reading->listener_count; i++)
		if (!check_listener_app(reading, &reading->listeners[i]))
			return false;
	for (size_t i = 0; i < reading->app_count; i++)
		if (reading->apps[i].app->enabled && !reading->apps[i].app->listener_only)
			add_ways(&reading->apps[i], &ways);
	bool sound = check_ways(reading, &ways);
	buf_free(&ways);
	return sound;
}
