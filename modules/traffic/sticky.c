#include "traffic/sticky.h"

/* name=value pairs with semicolons between (RFC 6265 section 4.2.1). */
static struct str
sticky_in(struct str pairs, struct str name, struct group *group)
{
	struct str pair;
	while (str_split(&pairs, ';', &pair)) {
		pair = str_trim(pair);
		if (!str_starts(pair, name) || pair.len <= name.len || pair.data[name.len] != '=')
			continue;
		struct str value = str_make(pair.data + name.len + 1, pair.len - name.len - 1);
		/* Applications below one another have each its own, and a client sends them all. */
		if (group_sticky_find(group, value) != NULL)
			return value;
	}
	return str_make(NULL, 0);
}

void
sticky_read(struct request *request, const struct http_request *http)
{
	struct str name = str_from(request->app->sticky_sessions_cookie_name);
	struct group *group = pool_group_of(request->traffic->pool, request->app);
	for (uint32_t i = 0; group != NULL && i < http->field_count && request->sticky.len == 0; i++)
		if (http->fields[i].id == HTTP_FIELD_COOKIE)
			request->sticky = sticky_in(http->fields[i].value, name, group);
}

bool
sticky_write(const struct request *request, char cookie[STICKY_COOKIE_BYTES])
{
	const struct app_config *app = request->app;
	const struct session *session = &request->session;
	char id[GROUP_STICKY_BYTES];
	if (session->state != SESSION_ACTIVE || session_kind_is_direct(session->kind) ||
	    str_equal(group_sticky_id(session->process, id), request->sticky))
		return false;
	str_format(cookie, STICKY_COOKIE_BYTES, "%s=%s; Path=%s%s%s", app->sticky_sessions_cookie_name, id,
	           app->base_uri, app->sticky_sessions_cookie_attributes[0] ? "; " : "",
	           app->sticky_sessions_cookie_attributes);
	return true;
}
