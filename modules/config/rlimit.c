#include "config/config.h"

#include <sys/resource.h>

static const struct {
	const char *name;
	int resource;
	bool bytes; /* takes 64k, 2g */
} resources[] = {
	{"as", RLIMIT_AS, true},          {"core", RLIMIT_CORE, true},    {"cpu", RLIMIT_CPU, false},
	{"data", RLIMIT_DATA, true},      {"fsize", RLIMIT_FSIZE, true},  {"memlock", RLIMIT_MEMLOCK, true},
	{"nofile", RLIMIT_NOFILE, false}, {"nproc", RLIMIT_NPROC, false}, {"stack", RLIMIT_STACK, true},
};

const char *
config_rlimit_name(size_t index, int *resource)
{
	if (index >= array_count(resources))
		return NULL;
	*resource = resources[index].resource;
	return resources[index].name;
}

static bool
parse_value(struct str text, bool bytes, uint64_t *value)
{
	static const struct option size = {.name = "", .type = OPTION_BYTES};
	char expected[OPTION_EXPECTED_BYTES];
	union option_value parsed;

	if (str_equal_nocase(text, STR("unlimited"))) {
		*value = UINT64_MAX;
		return true;
	}
	if (!bytes)
		return str_to_u64(text, value);
	if (!option_parse(&size, text, &parsed, expected))
		return false;
	*value = parsed.amount;
	return true;
}

/* "NAME=SOFT" or "NAME=SOFT:HARD" */
static bool
parse_word(struct str word, struct config_rlimit *limit)
{
	struct str name, soft;

	if (!str_split(&word, '=', &name) || !str_split(&word, ':', &soft))
		return false;
	for (size_t i = 0; i < array_count(resources); i++) {
		if (!str_equal(name, str_from(resources[i].name)))
			continue;
		limit->resource = resources[i].resource;
		if (!parse_value(soft, resources[i].bytes, &limit->soft))
			return false;
		limit->hard = limit->soft;
		return word.data == NULL ||
		       (parse_value(word, resources[i].bytes, &limit->hard) && limit->soft <= limit->hard);
	}
	return false;
}

size_t
config_rlimits_parse(struct config_rlimit limits[CONFIG_RLIMITS_MAX], struct str text)
{
	struct str word;
	size_t count = 0;

	while (str_split(&text, ' ', &word)) {
		if (word.len == 0)
			continue;
		if (count == array_count(resources) || !parse_word(word, &limits[count]))
			return 0;
		for (size_t i = 0; i < count; i++)
			if (limits[i].resource == limits[count].resource)
				return 0;
		count++;
	}
	return count;
}
