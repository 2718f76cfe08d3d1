/*
 * fuzz_config: any bytes as an ini and as canonical text.  The first byte chooses;
 * whatever is accepted must survive the round trip through config_write().
 */
#include "apps/apps.h"
#include "config/internal.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* The build makes these from the loader; what is in it does not matter here. */
const unsigned char loader_ruby_rb[] __attribute__((weak)) = "";
const size_t loader_ruby_rb_size __attribute__((weak)) = 0;

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static const struct app_type *const types[] = {&app_type_ruby, &app_type_command, NULL};

static void
check_round_trip(const struct config *config)
{
	struct config_error error;
	struct buf first = {0}, second = {0};
	config_write(config, &first);
	struct config *again = config_parse(buf_str(&first), types, &error);
	if (again == NULL) {
		fprintf(stderr, "%s\n%.*s\n", error.text, (int)first.len, first.data);
		abort();
	}
	config_write(again, &second);
	if (!str_equal(buf_str(&first), buf_str(&second)))
		abort();
	config_free(again);
	buf_free(&first);
	buf_free(&second);
}

/* config_load() reads a path: the same memfd for all runs. */
static const char *
put_in_file(const unsigned char *data, size_t size)
{
	static char path[64];
	static int fd = -1;
	if (fd < 0)
		fd = memfd_create("ini", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return path;
}

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	if (size == 0)
		return 0;
	struct config_error error = {{0}};
	struct config *config;
	if ((data[0] & 1) != 0) {
		config = config_parse(str_make((const char *)data + 1, size - 1), types, &error);
	} else {
		struct config_source source = {
			.path = put_in_file(data + 1, size - 1),
			.types = types,
			.privileged = (data[0] & 2) != 0,
		};
		config = config_load(&source, &error);
	}
	/* Either all or one error. */
	assert((config == NULL) == (error.text[0] != 0));
	assert(memchr(error.text, 0, sizeof error.text) != NULL);
	if (config != NULL)
		check_round_trip(config);
	config_free(config);
	return 0;
}
