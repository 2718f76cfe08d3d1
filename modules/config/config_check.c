#include "config/internal.h"

#include <stdio.h>

static bool
is_letter_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool
is_one_of(char c, const char *others)
{
	return is_letter_or_digit(c) || (c != 0 && strchr(others, c) != NULL);
}

static bool
all_of(struct str text, const char *others)
{
	for (size_t i = 0; i < text.len; i++)
		if (!is_one_of(text.data[i], others))
			return false;
	return text.len > 0;
}

/* The next word of a blank-separated list. */
static bool
next_word(struct str *rest, struct str *word)
{
	*rest = str_trim(*rest);
	if (rest->len == 0)
		return false;
	size_t len = 0;
	while (len < rest->len && rest->data[len] != ' ' && rest->data[len] != '\t')
		len++;
	*word = str_make(rest->data, len);
	*rest = str_make(rest->data + len, rest->len - len);
	return true;
}

bool
config_check_name(struct str text, char *expected, size_t expected_size)
{
	/* Names become parts of paths: "." and ".." must not be among them. */
	if (all_of(text, "._-") && text.len <= CONFIG_NAME_BYTES_MAX && text.data[0] != '.')
		return true;
	snprintf(expected, expected_size, "a name of at most %d letters, digits, dots, hyphens and underscores",
	         CONFIG_NAME_BYTES_MAX);
	return false;
}

bool
config_check_account(struct str text, char *expected, size_t expected_size)
{
	if (all_of(text, "._-$") && text.len <= 255 && text.data[0] != '-')
		return true;
	snprintf(expected, expected_size, "a name or a number");
	return false;
}

bool
config_check_group(struct str text, char *expected, size_t expected_size)
{
	if (str_equal(text, str_from(CONFIG_GROUP_OF_STARTUP_FILE)) ||
	    config_check_account(text, expected, expected_size))
		return true;
	snprintf(expected, expected_size, "a name, a number or %s", CONFIG_GROUP_OF_STARTUP_FILE);
	return false;
}

bool
config_check_rlimits(struct str text, char *expected, size_t expected_size)
{
	struct config_rlimit limits[CONFIG_RLIMITS_MAX];
	if (config_rlimits_parse(limits, text) > 0)
		return true;
	snprintf(expected, expected_size,
	         "words such as core=unlimited nproc=200 as=2g stack=8m:64m, of as, core, cpu, data, fsize, memlock, "
	         "nofile, nproc and stack");
	return false;
}

bool
config_check_address(struct str text, char *expected, size_t expected_size)
{
	struct config_address address;
	if (config_address_parse(&address, text))
		return true;
	snprintf(expected, expected_size,
	         "an address such as unix:/path (absolute, at most %zu bytes), 127.0.0.1:3000 or [::1]:3000",
	         sizeof address.path - 1);
	return false;
}

bool
config_check_ip(struct str text, char *expected, size_t expected_size)
{
	struct config_address address;
	char with_port[32];
	if (str_format(with_port, sizeof with_port, "%.*s:0", STR_ARG(text)) &&
	    config_address_parse(&address, str_from(with_port)) && address.family == CONFIG_ADDRESS_INET)
		return true;
	snprintf(expected, expected_size, "an IPv4 address such as 127.0.0.1");
	return false;
}

bool
config_check_addresses(struct str text, char *expected, size_t expected_size)
{
	struct str rest = text, word;
	size_t count = 0;
	for (; next_word(&rest, &word); count++)
		if (!config_check_address(word, expected, expected_size))
			return false;
	return count > 0 || config_check_address(text, expected, expected_size);
}

static bool
is_host(struct str word)
{
	if (word.len > 255)
		return false;
	if (word.len > 2 && word.data[0] == '[' && word.data[word.len - 1] == ']')
		return all_of(str_make(word.data + 1, word.len - 2), ":.");
	if (str_starts(word, STR("*.")))
		word = str_make(word.data + 2, word.len - 2);
	return all_of(word, ".-_") && str_search(word, STR("..")) == NULL && word.data[0] != '.' &&
	       word.data[word.len - 1] != '.';
}

bool
config_check_hosts(struct str text, char *expected, size_t expected_size)
{
	struct str rest = text, word;
	size_t count = 0;
	for (; next_word(&rest, &word); count++)
		if (!is_host(word))
			break;
	if (rest.len == 0 && count > 0 && is_host(word))
		return true;
	snprintf(expected, expected_size,
	         "host names with blanks between, without a port, such as example.org *.example.org");
	return false;
}

/* Whether a segment of the path is "." or "..": it would never match a request as it looks. */
static bool
has_dot_segment(struct str uri)
{
	struct str segment;
	while (str_split(&uri, '/', &segment))
		if (str_equal(segment, STR(".")) || str_equal(segment, STR("..")))
			return true;
	return false;
}

bool
config_check_base_uri(struct str text, char *expected, size_t expected_size)
{
	/* RFC 3986 section 3.3: pchar and "/". */
	if (text.len > 0 && text.len <= 1024 && text.data[0] == '/' && all_of(text, "/-._~%!$&'()*+,;=:@") &&
	    !has_dot_segment(text))
		return true;
	snprintf(expected, expected_size, "a path such as /blog, without a query and without dot segments");
	return false;
}

/* They become request lines. */
bool
config_check_uris(struct str text, char *expected, size_t expected_size)
{
	struct str rest = text, word;
	bool sound = text.len > 0;
	while (sound && str_split(&rest, ' ', &word)) {
		sound = word.len == 0 || (word.data[0] == '/' && word.len <= 2000);
		for (size_t i = 0; sound && i < word.len; i++)
			sound = word.data[i] > ' ' && word.data[i] < 127 && word.data[i] != '#';
	}
	snprintf(expected, expected_size, "paths with blanks between, such as /up /products?page=1");
	return sound;
}

bool
config_check_paths(struct str text, char *expected, size_t expected_size)
{
	struct str rest = text, word;
	bool sound = text.len > 0;
	while (sound && str_split(&rest, ' ', &word))
		sound = word.len == 0 || config_check_base_uri(word, expected, expected_size);
	snprintf(expected, expected_size, "paths with blanks between, such as /cable /events");
	return sound;
}

bool
config_check_cookie_name(struct str text, char *expected, size_t expected_size)
{
	/* RFC 6265 section 4.1.1: a token. */
	snprintf(expected, expected_size, "a name of at most %d letters, digits and signs such as _ and -",
	         CONFIG_NAME_BYTES_MAX);
	return all_of(text, "!#$%&'*+-.^_`|~") && text.len <= CONFIG_NAME_BYTES_MAX;
}

bool
config_check_cookie_attributes(struct str text, char *expected, size_t expected_size)
{
	snprintf(expected, expected_size, "at most 512 characters such as SameSite=Lax; Secure;");
	for (size_t i = 0; i < text.len; i++)
		if (text.data[i] < ' ' || text.data[i] > '~')
			return false;
	return text.len <= 512;
}

bool
config_check_word(struct str text, char *expected, size_t expected_size)
{
	if (all_of(text, "._-") && text.len <= CONFIG_NAME_BYTES_MAX)
		return true;
	snprintf(expected, expected_size, "one word of letters, digits, dots, hyphens and underscores");
	return false;
}

bool
config_check_command(struct str text, char *expected, size_t expected_size)
{
	struct app_argv argv = {0};
	bool sound = app_argv_split(&argv, text) && argv.count > 0 && argv.words[0][0] != 0;
	app_argv_free(&argv);
	if (!sound)
		snprintf(expected, expected_size,
		         "a program and its arguments, at most %d words, with every quote and every ${ closed",
		         APP_ARGV_MAX);
	return sound;
}

bool
config_check_protocol(struct str text, char *expected, size_t expected_size)
{
	str_cut_z(expected, expected_size, STR("http (FastCGI is not spoken: docs/refusals.md)"));
	return str_equal(text, STR("http"));
}

bool
config_check_files(struct str text, char *expected, size_t expected_size)
{
	struct str rest = text, word;
	size_t count = 0;
	/* the list is split at blanks only: see list_files */
	bool sound = memchr(text.data, '\t', text.len) == NULL;
	while (next_word(&rest, &word)) {
		sound &= word.data[0] != '/' && !has_dot_segment(word) && memchr(word.data, ',', word.len) == NULL;
		count++;
	}
	if (sound && count > 0 && count < APP_STARTUP_FILES_MAX)
		return true;
	snprintf(expected, expected_size, "at most %d paths below root, with blanks between", APP_STARTUP_FILES_MAX - 1);
	return false;
}

bool
config_check_env_name(struct str text)
{
	return all_of(text, "_") && text.len <= 255 && !(text.data[0] >= '0' && text.data[0] <= '9');
}

void
config_normalise_base_uri(char *uri)
{
	size_t len = 0;
	for (size_t i = 0; uri[i] != 0; i++)
		if (uri[i] != '/' || len == 0 || uri[len - 1] != '/')
			uri[len++] = uri[i];
	if (len > 1 && uri[len - 1] == '/')
		len--;
	uri[len] = 0;
}

void
config_normalise_hosts(char *hosts)
{
	for (; *hosts != 0; hosts++) {
		if (*hosts >= 'A' && *hosts <= 'Z')
			*hosts = (char)(*hosts | 0x20);
		if (*hosts == '\t')
			*hosts = ' ';
	}
}
