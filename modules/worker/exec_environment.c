#include "worker/exec_environment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct variables {
	const char **words;
	size_t count;
};

/* Replaces one of the same name.  What is beyond the limit is left out: only a shell's start files get there. */
static void
set(struct variables *variables, const char *word)
{
	size_t name_len = strcspn(word, "=") + 1, at = 0;

	while (at < variables->count && strncmp(variables->words[at], word, name_len) != 0)
		at++;
	if (at == EXEC_VARIABLES_MAX)
		return;
	variables->words[at] = word;
	if (at == variables->count)
		variables->count++;
}

const char *
exec_environment_value(const char *const *variables, struct str name)
{
	for (; *variables != NULL; variables++)
		if (str_starts(str_from(*variables), name) && (*variables)[name.len] == '=')
			return *variables + name.len + 1;
	return NULL;
}

/* --- env_file --------------------------------------------------------------------- */

/* Its bytes, terminated, from malloc. */
static char *
read_file(const char *path, char error[PLAN_ERROR_BYTES])
{
	struct stat stat;
	size_t len = 0;
	char *text = malloc(EXEC_ENV_FILE_BYTES_MAX + 2);
	/* a FIFO or a terminal is not waited for */
	int fd = text == NULL ? -1 : open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &stat) != 0) {
		str_format(error, PLAN_ERROR_BYTES, "can not read the env_file %s as uid %u: %s", path,
		           (unsigned)geteuid(), strerror(errno));
		free(text);
		return NULL;
	}
	for (ssize_t got = 1; got > 0 && len <= EXEC_ENV_FILE_BYTES_MAX; len += (size_t)got) {
		got = read(fd, text + len, EXEC_ENV_FILE_BYTES_MAX + 1 - len);
		if (got < 0)
			break;
	}
	close(fd);
	text[len] = '\0';
	if (S_ISREG(stat.st_mode) && len <= EXEC_ENV_FILE_BYTES_MAX && strlen(text) == len)
		return text;
	str_format(error, PLAN_ERROR_BYTES, "the env_file %s %s", path,
	           !S_ISREG(stat.st_mode)          ? "is no regular file"
	           : len > EXEC_ENV_FILE_BYTES_MAX ? "is longer than 64 KiB"
	                                           : "is no text: there is a zero octet in it");
	free(text);
	return NULL;
}

/* In place: without the quotes around it; between double ones a backslash stands before ", \ and $, and \n is a
 * line's end.  False: a quote is not closed, or something follows it. */
static bool
unquote(char *value)
{
	char quote = value[0], *out = value, *at = value + 1;

	if (quote != '"' && quote != '\'')
		return true;
	for (; *at != quote; at++) {
		if (*at == '\\' && quote == '"' && at[1] != '\0' && strchr("\"\\$`n", at[1]) != NULL)
			*out++ = *++at == 'n' ? '\n' : *at;
		else if (*at == '\0')
			return false;
		else
			*out++ = *at;
	}
	*out = '\0';
	return at[1] == '\0';
}

/* One line, "NAME=value" afterwards; false: it is none such.  An empty string: nothing stands there. */
static bool
take_line(char *line, struct str text)
{
	text = str_trim(text);
	if (text.len > 0 && text.data[text.len - 1] == '\r')
		text = str_trim(str_make(text.data, text.len - 1));
	if (text.len > 7 && str_starts(text, STR("export ")))
		text = str_trim(str_make(text.data + 7, text.len - 7));
	memmove(line, text.data, text.len);
	line[text.len] = '\0';
	if (line[0] == '#')
		line[0] = '\0';
	ptrdiff_t equals = str_find(str_from(line), '=');
	return line[0] == '\0' ||
	       (equals > 0 && config_check_env_name(str_make(line, (size_t)equals)) && unquote(line + equals + 1));
}

/* The values may be secrets: they are in no error. */
static bool
set_from_file(struct variables *variables, const char *path, char error[PLAN_ERROR_BYTES])
{
	char *text = read_file(path, error);
	unsigned number = 0;

	for (char *next = text; next != NULL;) {
		char *line = next, *feed = strchr(line, '\n');
		next = feed != NULL ? feed + 1 : NULL;
		number++;
		if (!take_line(line, str_make(line, feed != NULL ? (size_t)(feed - line) : strlen(line)))) {
			str_format(error, PLAN_ERROR_BYTES,
			           "env_file %s:%u: expected NAME=value, the name of letters, digits and underscores, "
			           "every quote "
			           "closed and nothing behind it",
			           path, number);
			return false;
		}
		if (line[0] != '\0')
			set(variables, line);
	}
	return text != NULL;
}

/* ----------------------------------------------------------------------------------- */

const char **
exec_environment(const struct plan_read *plan, char *const *shell, char error[PLAN_ERROR_BYTES])
{
	struct variables variables = {.words = calloc(EXEC_VARIABLES_MAX + 1, sizeof(char *))};
	uint32_t at = 0;

	if (variables.words == NULL) {
		str_format(error, PLAN_ERROR_BYTES, "no memory for the environment");
		return NULL;
	}
	for (char *const *word = shell; word != NULL && *word != NULL; word++)
		set(&variables, *word);
	for (; at < plan->head->ours_count; at++)
		if (shell == NULL || at >= plan->head->soft_count)
			set(&variables, plan->variables[at]);
	/* after a login shell, which looks into its user's own HOME */
	bool is_last = shell != NULL || plan->shell[0] == '\0';
	if (is_last && plan->env_file[0] != '\0' && !set_from_file(&variables, plan->env_file, error))
		return NULL;
	for (; at < plan->head->variable_count; at++)
		set(&variables, plan->variables[at]);
	return variables.words;
}
