/*
 * fuzz_state: any records as the state that an earlier image hands over.  What is refused is refused with a sentence;
 * what is taken can be used.
 */
#include "apps/apps.h"
#include "heads.h"
#include "spawner/carry.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const struct app_type *const types[] = {&app_type_ruby, &app_type_command, NULL};

static void
check_taken(const struct carry *carry)
{
	const struct config_source *source = &carry->source;

	FUZZ_CHECK(source->path != NULL || source->app_dir != NULL);
	for (size_t i = 0; i < source->listen_count; i++)
		FUZZ_CHECK(strlen(source->listen[i]) < carry->strings.listen.len);
	FUZZ_CHECK(strlen(carry->instance_name) < sizeof(carry->instance_name));
	FUZZ_CHECK(carry->listeners.count == carry->generations[0]->listener_count);
}

static void
free_carry(struct carry *carry)
{
	for (size_t i = 0; i < carry->generation_count; i++)
		config_release(carry->generations[i]);
	buf_free(&carry->strings.path);
	buf_free(&carry->strings.app_dir);
	buf_free(&carry->strings.instance_dir);
	buf_free(&carry->strings.listen);
	state_reader_free(&carry->reader);
	free(carry);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static int fd = -1;
	struct state_writer writer = {.fds = NULL};
	struct carry *carry = calloc(1, sizeof(*carry));

	if (fd < 0)
		fd = memfd_create("state", MFD_CLOEXEC);
	buf_append(&writer.text, data, len);
	FUZZ_CHECK(fd >= 0 && carry != NULL && state_write(&writer, fd));
	state_writer_free(&writer);
	bool taken = carry_read(carry, fd, false, types);
	FUZZ_CHECK(taken || carry->reader.error[0] != '\0');
	if (taken)
		check_taken(carry);
	free_carry(carry);
	return 0;
}
