#include "config/option.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

enum { PATH_BYTES_MAX = 4096 }; /* PATH_MAX, with its NUL */

struct unit {
	const char *suffix;
	uint64_t factor;
};

static const struct unit duration_units[] = {
	{"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 3600 * 1000}, {"d", 24 * 3600 * 1000},
};

static const struct unit bytes_units[] = {
	{"b", 1},
	{"k", UINT64_C(1) << 10},
	{"m", UINT64_C(1) << 20},
	{"g", UINT64_C(1) << 30},
	{"t", UINT64_C(1) << 40},
};

/* A sum that overflows is as wrong as one above the row's limit. */
static bool
parse_amount(struct str text, const struct unit *units, size_t unit_count, uint64_t bare_factor, uint64_t *amount)
{
	size_t digits = 0;
	while (digits < text.len && text.data[digits] >= '0' && text.data[digits] <= '9')
		digits++;
	uint64_t number;
	if (!str_to_u64(str_make(text.data, digits), &number))
		return false;
	struct str suffix = str_make(text.data + digits, text.len - digits);
	uint64_t factor = suffix.len == 0 ? bare_factor : 0;
	for (size_t i = 0; i < unit_count && suffix.len > 0; i++)
		if (str_equal_nocase(suffix, str_from(units[i].suffix)))
			factor = units[i].factor;
	/* Amounts stay below 2^63, so that a reader may count with signs. */
	if (factor == 0 || number > INT64_MAX / factor)
		return false;
	*amount = number * factor;
	return true;
}

static bool
parse_int(struct str text, int64_t *number)
{
	bool negative = text.len > 0 && text.data[0] == '-';
	if (negative)
		text = str_make(text.data + 1, text.len - 1);
	uint64_t size;
	if (!str_to_u64(text, &size) || size > INT64_MAX)
		return false;
	*number = negative ? -(int64_t)size : (int64_t)size;
	return true;
}

static bool
parse_bool(struct str text, bool *on)
{
	static const char *const words[2][4] = {{"off", "no", "false", "0"}, {"on", "yes", "true", "1"}};
	for (size_t value = 0; value < array_count(words); value++) {
		for (size_t i = 0; i < array_count(words[value]); i++) {
			if (str_equal_nocase(text, str_from(words[value][i]))) {
				*on = value == 1;
				return true;
			}
		}
	}
	return false;
}

static bool
parse_mode(struct str text, uint32_t *mode)
{
	uint64_t sum = 0;
	if (text.len == 0 || text.len > 12)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] < '0' || text.data[i] > '7')
			return false;
		sum = sum * 8 + (uint64_t)(text.data[i] - '0');
	}
	if (sum > UINT32_MAX)
		return false;
	*mode = (uint32_t)sum;
	return true;
}

static bool
parse_choice(const struct option *option, struct str text, int *choice)
{
	for (int i = 0; option->choices[i] != NULL; i++) {
		if (str_equal_nocase(text, str_from(option->choices[i]))) {
			*choice = i;
			return true;
		}
	}
	return false;
}

static bool
in_range(const struct option *option, int64_t number)
{
	return number >= option->min && (option->max == 0 || number <= option->max);
}

static bool
is_in_milliseconds(const struct option *option)
{
	return str_ends(str_from(option->name), STR("_ms"));
}

static bool
is_in_megabytes(const struct option *option)
{
	return str_ends(str_from(option->name), STR("memory_limit"));
}

bool
option_parse(const struct option *option, struct str text, union option_value *value,
             char expected[OPTION_EXPECTED_BYTES])
{
	bool sound = false;
	*value = (union option_value){0};
	switch (option->type) {
	case OPTION_STRING:
	case OPTION_PATH:
		value->text = text;
		sound = text.len > 0 && memchr(text.data, 0, text.len) == NULL &&
		        (option->type == OPTION_STRING || text.len < PATH_BYTES_MAX);
		if (sound && option->check != NULL)
			return option->check(text, expected, OPTION_EXPECTED_BYTES);
		break;
	case OPTION_BOOL:
		sound = parse_bool(text, &value->on);
		break;
	case OPTION_INT:
		sound = parse_int(text, &value->number) && in_range(option, value->number);
		break;
	case OPTION_DURATION:
		sound = parse_amount(text, duration_units, array_count(duration_units),
		                     is_in_milliseconds(option) ? 1 : 1000, &value->amount) &&
		        in_range(option, (int64_t)value->amount);
		break;
	case OPTION_BYTES:
		sound = parse_amount(text, bytes_units, array_count(bytes_units), is_in_megabytes(option) ? 1 << 20 : 1,
		                     &value->amount) &&
		        in_range(option, (int64_t)value->amount);
		break;
	case OPTION_MODE:
		sound = parse_mode(text, &value->mode) && in_range(option, value->mode);
		break;
	case OPTION_CHOICE:
		sound = parse_choice(option, text, &value->choice);
		break;
	case OPTION_TYPE_N:
		break;
	}
	if (!sound)
		option_expected(option, expected);
	return sound;
}

/* The field's address; the rows are the only place that knows offsets. */
static void *
field_of(const struct option *option, void *base)
{
	assert(option->offset != OPTION_NO_FIELD);
	return (char *)base + option->offset;
}

static size_t
field_size(enum option_type type)
{
	static const size_t sizes[OPTION_TYPE_N] = {
		[OPTION_STRING] = sizeof(char *),     [OPTION_PATH] = sizeof(char *),
		[OPTION_BOOL] = sizeof(bool),         [OPTION_INT] = sizeof(int64_t),
		[OPTION_DURATION] = sizeof(uint64_t), [OPTION_BYTES] = sizeof(uint64_t),
		[OPTION_MODE] = sizeof(uint32_t),     [OPTION_CHOICE] = sizeof(int),
	};
	return sizes[type];
}

void
option_store(const struct option *option, void *base, const union option_value *value, char *text)
{
	void *field = field_of(option, base);
	const void *from = value;
	if (option->type == OPTION_STRING || option->type == OPTION_PATH)
		from = &text;
	memcpy(field, from, field_size(option->type));
}

void
option_copy(const struct option *option, void *to, const void *from)
{
	assert(option->offset != OPTION_NO_FIELD);
	memcpy(field_of(option, to), (const char *)from + option->offset, field_size(option->type));
}

bool
option_print(const struct option *option, const void *base, struct buf *out)
{
	assert(option->offset != OPTION_NO_FIELD);
	const char *field = (const char *)base + option->offset;
	union option_value value = {0};
	char *text = NULL;
	switch (option->type) {
	case OPTION_STRING:
	case OPTION_PATH:
		memcpy(&text, field, sizeof text);
		if (text != NULL)
			buf_append_str(out, str_from(text));
		return text != NULL;
	case OPTION_BOOL:
		memcpy(&value.on, field, sizeof value.on);
		buf_append_str(out, value.on ? STR("on") : STR("off"));
		break;
	case OPTION_INT:
		memcpy(&value.number, field, sizeof value.number);
		buf_printf(out, "%" PRId64, value.number);
		break;
	case OPTION_DURATION:
		memcpy(&value.amount, field, sizeof value.amount);
		buf_printf(out, "%" PRIu64 "ms", value.amount);
		break;
	case OPTION_BYTES:
		memcpy(&value.amount, field, sizeof value.amount);
		buf_printf(out, "%" PRIu64 "%s", value.amount, is_in_megabytes(option) ? "b" : "");
		break;
	case OPTION_MODE:
		memcpy(&value.mode, field, sizeof value.mode);
		buf_printf(out, "%04" PRIo32, value.mode);
		break;
	case OPTION_CHOICE:
		memcpy(&value.choice, field, sizeof value.choice);
		buf_append_str(out, str_from(option->choices[value.choice]));
		break;
	case OPTION_TYPE_N:
		break;
	}
	return true;
}

/* "10s" for 10000: the largest unit that divides. */
static void
print_limit(const struct option *option, int64_t limit, char *out, size_t out_size)
{
	const struct unit *units = NULL;
	size_t count = 0;
	if (option->type == OPTION_DURATION) {
		units = duration_units;
		count = array_count(duration_units);
	} else if (option->type == OPTION_BYTES) {
		units = bytes_units;
		count = array_count(bytes_units);
	}
	const struct unit *best = NULL;
	for (size_t i = 0; i < count && limit > 0; i++)
		if ((uint64_t)limit % units[i].factor == 0)
			best = &units[i];
	if (best == NULL || best->suffix[0] == 'b')
		snprintf(out, out_size, "%" PRId64, limit);
	else
		snprintf(out, out_size, "%" PRIu64 "%s", (uint64_t)limit / best->factor, best->suffix);
}

/* "a whole number" and the limits, so far as there are any. */
static void
expect_range(const struct option *option, const char *what, char *out, size_t out_size)
{
	char min[32], max[32];
	print_limit(option, option->min, min, sizeof min);
	print_limit(option, option->max, max, sizeof max);
	if (option->max != 0)
		snprintf(out, out_size, "%s%s from %s to %s", what, option->type == OPTION_INT ? "" : ",", min, max);
	else if (option->min != 0)
		snprintf(out, out_size, "%s, %s or more", what, min);
	else
		snprintf(out, out_size, "%s", what);
}

static void
expect_choice(const struct option *option, char *out, size_t out_size)
{
	size_t count = 0;
	while (option->choices[count] != NULL)
		count++;
	size_t len = 0;
	for (size_t i = 0; i < count && len < out_size; i++) {
		const char *joint = i == 0 ? "" : i + 1 == count ? " or " : ", ";
		int added = snprintf(out + len, out_size - len, "%s%s", joint, option->choices[i]);
		len += added > 0 ? (size_t)added : 0;
	}
}

void
option_expected(const struct option *option, char expected[OPTION_EXPECTED_BYTES])
{
	switch (option->type) {
	case OPTION_STRING:
		snprintf(expected, OPTION_EXPECTED_BYTES, "some text");
		if (option->check != NULL)
			(void)option->check(STR(""), expected, OPTION_EXPECTED_BYTES);
		break;
	case OPTION_PATH:
		snprintf(expected, OPTION_EXPECTED_BYTES, "a path of at most %d bytes", PATH_BYTES_MAX - 1);
		if (option->check != NULL)
			(void)option->check(STR(""), expected, OPTION_EXPECTED_BYTES);
		break;
	case OPTION_BOOL:
		snprintf(expected, OPTION_EXPECTED_BYTES, "on or off");
		break;
	case OPTION_INT:
		expect_range(option,
		             option->min == 0 && option->max == 0 ? "a whole number, 0 or more" : "a whole number",
		             expected, OPTION_EXPECTED_BYTES);
		break;
	case OPTION_DURATION:
		expect_range(option, "a time such as 500ms, 10s, 5m or 1h", expected, OPTION_EXPECTED_BYTES);
		break;
	case OPTION_BYTES:
		expect_range(option, "a size such as 512, 64k, 128m or 2g", expected, OPTION_EXPECTED_BYTES);
		break;
	case OPTION_MODE:
		snprintf(expected, OPTION_EXPECTED_BYTES, "an octal file mode such as 0660");
		break;
	case OPTION_CHOICE:
		expect_choice(option, expected, OPTION_EXPECTED_BYTES);
		break;
	case OPTION_TYPE_N:
		break;
	}
}
