#include "worker/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PLAN_MAGIC = 0x504c414e };

void
plan_draft_init(struct plan_draft *draft, const char *root, const char *env_file, const char *shell)
{
	memset(draft, 0, sizeof(*draft));
	draft->head.magic = PLAN_MAGIC;
	buf_append(&draft->words, root, strlen(root) + 1);
	buf_append(&draft->words, env_file, strlen(env_file) + 1);
	buf_append(&draft->words, shell, strlen(shell) + 1);
}

void
plan_draft_argument(struct plan_draft *draft, const char *word)
{
	buf_append(&draft->words, word, strlen(word) + 1);
	draft->head.argument_count++;
}

void
plan_draft_variable(struct plan_draft *draft, const char *name, const char *value)
{
	buf_append(&draft->words, name, strlen(name));
	buf_append_char(&draft->words, '=');
	buf_append(&draft->words, value, strlen(value) + 1);
	draft->head.variable_count++;
}

void
plan_draft_free(struct plan_draft *draft)
{
	buf_free(&draft->words);
}

static bool
write_all(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len > 0) {
		ssize_t written = write(fd, at, len);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return false;
		at += written;
		len -= (size_t)written;
	}
	return true;
}

int
plan_draft_seal(const struct plan_draft *draft)
{
	struct plan head = draft->head;

	if (draft->words.len > PLAN_BYTES_MAX || head.argument_count > PLAN_WORDS_MAX ||
	    head.variable_count > PLAN_WORDS_MAX) {
		errno = E2BIG;
		return -1;
	}
	head.word_bytes = (uint32_t)draft->words.len;
	int fd = memfd_create("passenger-plan", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -1;
	if (!write_all(fd, &head, sizeof(head)) || !write_all(fd, draft->words.data, draft->words.len) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0) {
		int saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

/* The next terminated word, or NULL. */
static const char *
next_word(const char **at, const char *end)
{
	const char *word = *at;
	const char *zero = word < end ? memchr(word, '\0', (size_t)(end - word)) : NULL;

	if (zero == NULL)
		return NULL;
	*at = zero + 1;
	return word;
}

bool
plan_read(struct plan_read *plan, int fd)
{
	struct stat stat;

	memset(plan, 0, sizeof(*plan));
	if (fstat(fd, &stat) != 0 || stat.st_size < (off_t)sizeof(struct plan) ||
	    stat.st_size > (off_t)(sizeof(struct plan) + PLAN_BYTES_MAX))
		return false;
	size_t size = (size_t)stat.st_size;
	char *memory = malloc(size);
	if (memory == NULL || pread(fd, memory, size, 0) != (ssize_t)size) {
		free(memory);
		return false;
	}
	plan->head = (const struct plan *)(const void *)memory;
	const char *at = memory + sizeof(struct plan), *end = memory + size;
	bool sound = plan->head->magic == PLAN_MAGIC && plan->head->word_bytes == size - sizeof(struct plan) &&
	             plan->head->argument_count <= PLAN_WORDS_MAX && plan->head->variable_count <= PLAN_WORDS_MAX &&
	             plan->head->soft_count <= plan->head->ours_count &&
	             plan->head->ours_count <= plan->head->variable_count &&
	             plan->head->limit_count <= CONFIG_RLIMITS_MAX && (plan->root = next_word(&at, end)) != NULL &&
	             (plan->env_file = next_word(&at, end)) != NULL && (plan->shell = next_word(&at, end)) != NULL;
	for (uint32_t i = 0; sound && i < plan->head->argument_count; i++)
		sound = (plan->arguments[i] = next_word(&at, end)) != NULL;
	for (uint32_t i = 0; sound && i < plan->head->variable_count; i++)
		sound = (plan->variables[i] = next_word(&at, end)) != NULL;
	if (!sound || plan->arguments[0] == NULL) {
		free(memory);
		plan->head = NULL;
		return false;
	}
	return true;
}

void
plan_release(struct plan_read *plan)
{
	union {
		const struct plan *in;
		void *out;
	} memory = {.in = plan->head};

	free(memory.out);
	plan->head = NULL;
}
