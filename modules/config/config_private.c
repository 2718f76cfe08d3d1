#include "config/config_fields.h"

#include <assert.h>

/* What config_load() has found out; both ends have the same binary, so octal numbers will do. */
static const struct option private_rows[] = {
	{.name = "generation", OF_CONFIG(generation), .type = OPTION_BYTES},
	{.name = "path", OF_CONFIG(path), .type = OPTION_STRING},
	{.name = "uid", OF_LISTENER(uid), .type = OPTION_MODE},
	{.name = "gid", OF_LISTENER(gid), .type = OPTION_MODE},
	{.name = "id", OF_APP(id), .live = true, .type = OPTION_MODE, .max = CONFIG_APPS_MAX - 1},
	{.name = "uid", OF_APP(uid), .type = OPTION_MODE},
	{.name = "gid", OF_APP(gid), .type = OPTION_MODE},
	{.name = "listener_only", OF_APP(listener_only), .live = true, .type = OPTION_BOOL},
};

static_assert(array_count(private_rows) <= CONFIG_PRIVATE_ROWS_MAX, "as config_table counts them");

const struct option *
config_private_options(size_t *count)
{
	*count = array_count(private_rows);
	return private_rows;
}
