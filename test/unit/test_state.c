#include "apps/apps.h"
#include "base/random.h"
#include "spawner/carry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

const struct app_type *const app_types[] = {&app_type_ruby, &app_type_command, NULL};

/* Where the head has what (spawner/state.c). */
enum { HEAD_VERSION = 4, HEAD_LAYOUT = 8, HEAD_BYTES = 16, HEAD_SUM = 24, HEAD_SIZE = 64 };

struct thing {
	uint32_t number;
	char text[8];
	int fd;
	struct watch watch;
	struct timer timer;
	struct buf buf;
	char *memory;
	uint64_t later;
};

static const struct state_field thing_fields[] = {
	STATE_ROW(thing, number, STATE_PLAIN), STATE_ROW(thing, text, STATE_PLAIN),  STATE_ROW(thing, fd, STATE_FD),
	STATE_ROW(thing, watch, STATE_WATCH),  STATE_ROW(thing, timer, STATE_TIMER), STATE_ROW(thing, buf, STATE_BUF),
	STATE_MEMORY_ROW(thing, memory, 16),   STATE_ROW(thing, later, STATE_PLAIN),
};
static const struct state_table thing_table = STATE_TABLE(thing_fields);

static int
memory_fd(void)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/* The thing in a state of its own. */
static int
write_thing(const struct thing *thing, const struct state_table *table)
{
	struct state_writer writer = {.fds = NULL};
	int fd = memory_fd();

	state_begin(&writer, STATE_RECORD_SLOT);
	state_put(&writer, table, thing);
	state_end(&writer);
	assert_true(state_write(&writer, fd));
	state_writer_free(&writer);
	return fd;
}

static bool
read_thing(int fd, bool live, const struct state_table *table, struct thing *thing, char error[STATE_ERROR_BYTES])
{
	struct state_reader reader = {.live = live};
	enum state_record kind;
	struct str record;
	bool sound = state_open(&reader, fd);

	while (sound && state_next(&reader, &kind, &record))
		if (kind == STATE_RECORD_SLOT)
			sound = state_take(&reader, record, table, thing);
	memcpy(error, reader.error, STATE_ERROR_BYTES);
	state_reader_free(&reader);
	return sound;
}

static void
free_thing(struct thing *thing)
{
	buf_free(&thing->buf);
	free(thing->memory);
	*thing = (struct thing){.fd = 0};
}

static void
never(struct watch *watch, uint32_t events)
{
	(void)watch;
	(void)events;
}

static struct thing
some_thing(void)
{
	struct thing thing = {.number = 7, .text = "seven", .later = 9, .timer.at_ms = 99};

	thing.fd = memory_fd();
	thing.watch = (struct watch){.fd = memory_fd(), .ready = never};
	buf_printf(&thing.buf, "a buffer");
	thing.memory = calloc(1, 16);
	assert_non_null(thing.memory);
	memcpy(thing.memory, "sixteen bytes...", 16);
	return thing;
}

static void
test_there_and_back(void **state)
{
	(void)state;
	struct thing one = some_thing(), other = {.number = 0};
	char error[STATE_ERROR_BYTES];
	size_t count;

	int fd = write_thing(&one, &thing_table);
	fcntl(one.fd, F_SETFD, 0); /* as it arrives in another image */
	int *fds = state_fds_of(fd, &count);
	assert_non_null(fds);
	assert_int_equal(count, 2);
	assert_int_equal(fds[0], one.fd);
	assert_int_equal(fds[1], one.watch.fd);
	assert_int_equal(fcntl(one.fd, F_GETFD), FD_CLOEXEC);
	free(fds);
	assert_true(read_thing(fd, true, &thing_table, &other, error));
	assert_int_equal(other.number, 7);
	assert_string_equal(other.text, "seven");
	assert_int_equal(other.fd, one.fd);
	assert_int_equal(other.watch.fd, one.watch.fd);
	assert_null(other.watch.ready);
	assert_int_equal(other.timer.at_ms, 99);
	assert_true(str_equal(buf_str(&other.buf), STR("a buffer")));
	assert_memory_equal(other.memory, "sixteen bytes...", 16);
	free_thing(&other);
	/* for who only looks there are no descriptors, and neither for one that is closed */
	assert_true(read_thing(fd, false, &thing_table, &other, error));
	assert_int_equal(other.fd, -1);
	free_thing(&other);
	close(one.fd);
	assert_true(read_thing(fd, true, &thing_table, &other, error));
	assert_int_equal(other.fd, -1);
	assert_int_equal(other.watch.fd, one.watch.fd);
	free_thing(&other);
	close(one.watch.fd);
	free_thing(&one);
	close(fd);
}

/* A newer one has a field more, an older one a field less; one of another size is nobody's. */
static void
test_other_versions(void **state)
{
	(void)state;
	struct state_field fields[array_count(thing_fields)];
	struct state_table fewer = {thing_fields, array_count(thing_fields) - 1},
			   resized = {fields, array_count(fields)};
	struct thing one = some_thing(), other = {.number = 0};
	char error[STATE_ERROR_BYTES];

	int fd = write_thing(&one, &thing_table);
	assert_true(read_thing(fd, true, &fewer, &other, error));
	assert_int_equal(other.later, 0);
	free_thing(&other);
	close(fd);
	fd = write_thing(&one, &fewer);
	assert_true(read_thing(fd, true, &thing_table, &other, error));
	assert_int_equal(other.later, 0);
	free_thing(&other);
	memcpy(fields, thing_fields, sizeof(fields));
	fields[0].size = 2;
	assert_false(read_thing(fd, true, &resized, &other, error));
	assert_non_null(strstr(error, "number has 4 bytes, 2 were expected"));
	free_thing(&other);
	close(one.fd);
	close(one.watch.fd);
	free_thing(&one);
	close(fd);
}

/* --- what is no state -------------------------------------------------------------- */

static struct buf
bytes_of(int fd)
{
	struct buf bytes = {0};
	off_t size = lseek(fd, 0, SEEK_END);

	buf_reserve(&bytes, (size_t)size);
	assert_int_equal(pread(fd, bytes.data, (size_t)size, 0), size);
	bytes.len = (size_t)size;
	return bytes;
}

static int
fd_of(const char *data, size_t len)
{
	int fd = memory_fd();
	assert_int_equal(write(fd, data, len), (ssize_t)len);
	return fd;
}

/* So that the form is looked at, not only the sum. */
static void
set_sum(struct buf *bytes)
{
	uint64_t sum = 14695981039346656037ull, len = bytes->len - HEAD_SIZE;

	for (size_t i = HEAD_SIZE; i < bytes->len; i++)
		sum = (sum ^ (uint8_t)bytes->data[i]) * 1099511628211ull;
	memcpy(bytes->data + HEAD_SUM, &sum, sizeof(sum));
	memcpy(bytes->data + HEAD_BYTES, &len, sizeof(len));
}

static void
assert_refused(const char *data, size_t len, const char *why)
{
	struct thing thing = {.number = 0};
	char error[STATE_ERROR_BYTES];
	int fd = fd_of(data, len);

	assert_false(read_thing(fd, false, &thing_table, &thing, error));
	if (why != NULL && strstr(error, why) == NULL)
		fail_msg("%s", error);
	free_thing(&thing);
	close(fd);
}

static void
test_refused(void **state)
{
	(void)state;
	struct thing one = some_thing();
	int fd = write_thing(&one, &thing_table);
	struct buf bytes = bytes_of(fd);

	for (size_t len = 0; len < bytes.len; len++)
		assert_refused(bytes.data, len, len < HEAD_SIZE ? "can not be read" : "is damaged");
	for (size_t at = 0; at < bytes.len - 32; at++) {
		bool in_name = at >= 32 && at < HEAD_SIZE; /* of the version: only said */
		bytes.data[at] ^= 0x20;
		if (!in_name)
			assert_refused(bytes.data, bytes.len, NULL);
		bytes.data[at] ^= 0x20;
	}
	bytes.data[HEAD_VERSION]++;
	assert_refused(bytes.data, bytes.len, "restart passenger instead");
	bytes.data[HEAD_VERSION]--;
	bytes.data[HEAD_LAYOUT]++;
	assert_refused(bytes.data, bytes.len, "restart passenger instead");
	bytes.data[HEAD_LAYOUT]--;
	assert_refused("", 0, "can not be read");
	buf_append(&bytes, "more", 4);
	assert_refused(bytes.data, bytes.len, "is damaged");
	set_sum(&bytes);
	assert_refused(bytes.data, bytes.len, "not well-formed");
	buf_free(&bytes);
	close(one.fd);
	close(one.watch.fd);
	free_thing(&one);
	close(fd);
}

/* --- a spawner's ------------------------------------------------------------------- */

static const char ini[] =
	"[passenger]\ngeneration=3\npath=%2fetc%2fp.ini\n[listener one]\naddress=127.0.0.1:4000\n"
	"[app shop]\nroot=%2fsrv%2fshop\napp_group_name=shop\nbase_uri=%2f\ntype=command\ncommand=true\n";

static struct spawner *
some_spawner(void)
{
	static struct place place;
	static struct listeners listeners;
	static const char *const listen[] = {"127.0.0.1:4000", "unix:/tmp/x"};
	static const struct config_source source = {.path = "/etc/p.ini", .listen = listen, .listen_count = 2};
	struct spawner *spawner = calloc(1, sizeof(*spawner));
	struct config_error error;

	assert_non_null(spawner);
	assert_true(loop_init(&spawner->loop));
	spawner->config = config_parse(str_from(ini), app_types, &error);
	if (spawner->config == NULL)
		fail_msg("%s", error.text);
	place = (struct place){.dir = "/run/here", .made = true, .dir_fd = -1, .apps_fd = -1, .loaders_fd = -1};
	listeners = (struct listeners){.count = 1, .bound[0] = {.fd = -1, .port = 4000, .address = "127.0.0.1:4000"}};
	spawner->source = &source;
	spawner->place = &place;
	spawner->listeners = &listeners;
	spawner->state = SPAWNER_SERVING;
	spawner->board_fd = spawner->logs.access_fd = spawner->logs.slow_fd = spawner->notify.fd = -1;
	str_cut_z(spawner->instance_name, sizeof(spawner->instance_name), STR("here"));
	workers_init(&spawner->workers);
	list_init(&spawner->control.clients);
	spawner->workers.loop = &spawner->loop;
	spawner->workers.generations[0] = 5;
	spawner->workers.next_serial = 77;
	spawner->supervisor.uid = 4711;
	struct worker *worker = worker_new(&spawner->workers, spawner->config->apps[0]);
	worker->record.serial = 76;
	worker->record.slot = 3;
	buf_printf(&worker->control_out, "not yet taken");
	return spawner;
}

static int
save(struct spawner *spawner)
{
	struct state_writer writer = {.fds = NULL};
	struct image_load load = {.state_fd = -1};

	assert_true(carry_save(spawner, &writer, &load));
	state_writer_free(&writer);
	return load.state_fd;
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

static struct carry *
read_carry(int fd, bool *sound)
{
	struct carry *carry = calloc(1, sizeof(*carry));

	assert_non_null(carry);
	*sound = carry_read(carry, fd, false, app_types);
	return carry;
}

static void
test_spawner(void **state)
{
	(void)state;
	struct spawner *spawner = some_spawner();
	int fd = save(spawner);
	bool sound;
	struct carry *carry = read_carry(fd, &sound);

	if (!sound)
		fail_msg("%s", carry->reader.error);
	assert_string_equal(carry->source.path, "/etc/p.ini");
	assert_null(carry->source.app_dir);
	assert_int_equal(carry->source.listen_count, 2);
	assert_string_equal(carry->source.listen[1], "unix:/tmp/x");
	assert_string_equal(carry->place.apps_dir, "/run/here/apps");
	assert_true(carry->place.made);
	assert_int_equal(carry->listeners.bound[0].port, 4000);
	assert_int_equal(carry->balancer_uid, 4711);
	assert_string_equal(carry->instance_name, "here");
	assert_int_equal(carry->generations[0]->generation, 3);
	assert_string_equal(carry->generations[0]->path, "/etc/p.ini");
	assert_string_equal(carry->generations[0]->apps[0]->name, "shop");
	free_carry(carry);

	/* Any byte may be another one, also where the sum is right: it is refused or read, and nothing else happens. */
	struct buf bytes = bytes_of(fd);
	unsigned refused = 0;
	for (size_t at = HEAD_SIZE; at < bytes.len; at += 1 + at / 64) {
		char before = bytes.data[at];
		bytes.data[at] = (char)(before ^ (1 << at % 8));
		set_sum(&bytes);
		int other = fd_of(bytes.data, bytes.len);
		carry = read_carry(other, &sound);
		refused += !sound;
		assert_true(sound == (carry->reader.error[0] == '\0'));
		free_carry(carry);
		close(other);
		bytes.data[at] = before;
	}
	assert_true(refused > 20);
	buf_free(&bytes);
	close(fd);
	struct worker *worker = container_of(list_first(&spawner->workers.states[0]), struct worker, node);
	buf_free(&worker->control_out);
	config_release(worker->app->config);
	free(worker);
	config_release(spawner->config);
	loop_free(&spawner->loop);
	free(spawner);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_other_versions),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_spawner),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
