#include "traffic/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/passenger-test-spool-XXXXXX";

static int
set_up(void **state)
{
	(void)state;
	return mkdtemp(dir) == NULL ? -1 : 0;
}

static int
tear_down(void **state)
{
	(void)state;
	return rmdir(dir); /* nothing may be left in it */
}

/* The bytes that go through are those of a stream that anybody can compute. */
static char
byte_at(uint64_t place)
{
	return (char)((place * 2654435761U) >> 13 ^ place);
}

struct stream {
	struct spool spool;
	uint64_t in, out;
};

static char scratch[1 << 20];

static bool
put_in(struct stream *stream, size_t len)
{
	for (size_t i = 0; i < len; i++)
		scratch[i] = byte_at(stream->in + i);
	if (!spool_append(&stream->spool, scratch, len))
		return false;
	stream->in += len;
	assert_int_equal(spool_bytes(&stream->spool), stream->in - stream->out);
	return true;
}

/* Takes at most len of what one peek shows; returns how many. */
static size_t
take_out(struct stream *stream, size_t len)
{
	struct str next = spool_peek(&stream->spool);
	assert_int_equal(errno, 0);
	assert_int_equal(next.len == 0, stream->in == stream->out);
	if (len > next.len)
		len = next.len;
	for (size_t i = 0; i < len; i++)
		if (next.data[i] != byte_at(stream->out + i))
			fail_msg("byte %llu is wrong", (unsigned long long)(stream->out + i));
	spool_consume(&stream->spool, len);
	stream->out += len;
	assert_int_equal(spool_bytes(&stream->spool), stream->in - stream->out);
	return len;
}

static void
take_all(struct stream *stream)
{
	while (take_out(stream, SIZE_MAX) > 0)
		continue;
	assert_true(stream->in == stream->out);
}

static uint64_t
disk_bytes(const struct stream *stream)
{
	struct stat file;
	assert_int_equal(fstat(stream->spool.file_fd, &file), 0);
	return (uint64_t)file.st_blocks * 512;
}

static void
test_memory_only(void **state)
{
	struct stream stream = {0};
	(void)state;
	spool_init(&stream.spool, 100000, NULL);
	assert_int_equal(take_out(&stream, 1), 0);
	assert_true(put_in(&stream, 0));
	assert_true(put_in(&stream, 99999));
	assert_true(put_in(&stream, 1));
	errno = 0;
	assert_false(put_in(&stream, 1)); /* no folder: it has to wait */
	assert_int_equal(errno, ENOBUFS);
	assert_int_equal(spool_bytes(&stream.spool), 100000);
	assert_int_equal(stream.spool.file_fd, -1);
	take_out(&stream, 10);
	assert_true(put_in(&stream, 10));
	take_all(&stream);
	assert_int_equal(block_in_use(), 0);
	spool_free(&stream.spool);
}

/* Memory, then file, then memory again; each byte once and in order. */
static void
test_over_the_limit(void **state)
{
	struct stream stream = {0};
	(void)state;
	spool_init(&stream.spool, 20000, dir);
	for (int round = 0; round < 3; round++) {
		assert_true(put_in(&stream, 20000));
		assert_int_equal(stream.spool.file_to, 0);
		assert_true(put_in(&stream, 1));
		assert_true(stream.spool.file_fd >= 0);
		assert_true(put_in(&stream, 500000));
		take_out(&stream, 5000);
		/* There is room in memory, but what comes now belongs behind the file. */
		assert_true(put_in(&stream, 100));
		assert_int_equal(stream.spool.file_to - stream.spool.file_from, 500101);
		take_all(&stream);
		assert_int_equal(stream.spool.file_to, 0);
		assert_int_equal(disk_bytes(&stream), 0);
		assert_int_equal(block_in_use(), 0);
	}
	assert_true(put_in(&stream, 300000));
	spool_free(&stream.spool); /* with everything in it */
	assert_int_equal(stream.spool.file_fd, -1);
	assert_int_equal(block_in_use(), 0);
	stream.in = stream.out = 0;
	assert_true(put_in(&stream, 30000)); /* usable again */
	take_all(&stream);
	spool_free(&stream.spool);
}

/* One append that is over the limit by itself goes to the file whole. */
static void
test_no_memory_at_all(void **state)
{
	struct stream stream = {0};
	(void)state;
	spool_init(&stream.spool, 0, dir);
	for (int i = 0; i < 10; i++)
		assert_true(put_in(&stream, 7777));
	take_all(&stream);
	spool_free(&stream.spool);
}

static void
test_random(void **state)
{
	(void)state;
	for (int round = 0; round < 30; round++) {
		struct stream stream = {0};
		uint64_t memory_max = (uint64_t)rand() % 200000;
		spool_init(&stream.spool, memory_max, dir);
		for (int step = 0; step < 2000; step++) {
			if (rand() % 2 && spool_bytes(&stream.spool) < 3000000)
				assert_true(put_in(&stream, (size_t)rand() % (rand() % 8 ? 3000 : 60000)));
			else
				take_out(&stream, (size_t)rand() % 40000);
			/* The memory that it uses is bounded whatever is in the file. */
			assert_true(stream.spool.memory_bytes <= memory_max || stream.spool.memory_bytes <= BLOCK_BYTES);
			assert_true(block_in_use() <= memory_max / BLOCK_BYTES + 3);
		}
		take_all(&stream);
		spool_free(&stream.spool);
	}
	assert_int_equal(block_in_use(), 0);
}

/* A long answer to a client that is always behind: the file is never empty, but what was read is given back. */
static void
test_disk_is_given_back(void **state)
{
	struct stream stream = {0};
	uint64_t most = 0;
	(void)state;
	spool_init(&stream.spool, 10000, dir);
	while (stream.in < 64 << 20) {
		assert_true(put_in(&stream, 1 << 20));
		while (spool_bytes(&stream.spool) > 4 << 20)
			take_out(&stream, SIZE_MAX);
		assert_true(stream.in < 8 << 20 || stream.spool.file_to > stream.spool.file_from);
		uint64_t used = disk_bytes(&stream);
		most = used > most ? used : most;
	}
	assert_true(most < 16 << 20);
	take_all(&stream);
	spool_free(&stream.spool);
}

/* ---- when the disk fails ---- */

static void
test_bad_folder(void **state)
{
	struct stream stream = {0};
	(void)state;
	spool_init(&stream.spool, 1000, "/nowhere/at/all");
	assert_true(put_in(&stream, 600));
	errno = 0;
	assert_false(put_in(&stream, 600));
	assert_int_equal(errno, ENOENT);
	assert_int_equal(spool_bytes(&stream.spool), 600); /* nothing of it was added */
	assert_true(put_in(&stream, 400));
	take_all(&stream);
	spool_free(&stream.spool);
	spool_init(&stream.spool, 0, "/proc/self"); /* neither nameless nor named files */
	assert_false(spool_append(&stream.spool, "x", 1));
	spool_free(&stream.spool);
}

/* The disk is full after a part: as if nothing had been added. */
static void
test_full_disk(void **state)
{
	struct stream stream = {0};
	struct rlimit before, small;
	(void)state;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
	spool_init(&stream.spool, 1000, dir);
	assert_true(put_in(&stream, 5000));
	small = (struct rlimit){.rlim_cur = 20000, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	bool fits = put_in(&stream, 100000);
	int error = errno;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, handler);
	assert_false(fits);
	assert_int_equal(error, EFBIG);
	assert_int_equal(spool_bytes(&stream.spool), 5000);
	assert_true(put_in(&stream, 3000)); /* over the half-written part */
	take_all(&stream);
	spool_free(&stream.spool);
}

/* Somebody has cut the file: an empty peek with errno set, not a hang and not wrong bytes. */
static void
test_lost_file(void **state)
{
	struct stream stream = {0};
	(void)state;
	spool_init(&stream.spool, 0, dir);
	assert_true(put_in(&stream, 50000));
	assert_int_equal(ftruncate(stream.spool.file_fd, 20000), 0);
	assert_true(take_out(&stream, SIZE_MAX) > 0);
	assert_true(take_out(&stream, SIZE_MAX) > 0);
	struct str next = spool_peek(&stream.spool);
	assert_int_equal(next.len, 0);
	assert_int_equal(errno, EIO);
	assert_int_equal(spool_bytes(&stream.spool), 30000);
	spool_free(&stream.spool);
	assert_int_equal(block_in_use(), 0);
}

/* A file of somebody else: what is in memory before it, all of it, given up; what shrinks is told. */
static void
test_lent(void **state)
{
	(void)state;
	int pair[2];
	char path[64], got[65536];
	struct spool spool;
	snprintf(path, sizeof(path), "%s/lent", dir);
	FILE *file = fopen(path, "w");
	for (int i = 0; i < 100000; i++)
		assert_int_not_equal(putc(byte_at((uint64_t)i), file), EOF);
	fclose(file);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	for (int round = 0; round < 2; round++) {
		int fd = open(path, O_RDONLY);
		uint64_t seen = 0;
		spool_init(&spool, 1000, dir);
		assert_true(spool_append(&spool, "head", 4));
		spool_lend(&spool, fd, 10, 100000);
		assert_int_equal(spool_bytes(&spool), 4 + 99990);
		assert_int_equal(spool_send(&spool, pair[0], 30000), 4);
		assert_int_equal(read(pair[1], got, sizeof(got)), 4);
		if (round == 1)
			assert_int_equal(truncate(path, 50000), 0);
		ssize_t sent;
		while (spool_bytes(&spool) > 0 && (sent = spool_send(&spool, pair[0], 30000)) > 0) {
			for (ssize_t left = sent, part; left > 0; left -= part) {
				part = read(pair[1], got, (size_t)left < sizeof(got) ? (size_t)left : sizeof(got));
				assert_true(part > 0);
				for (ssize_t i = 0; i < part; i++)
					assert_int_equal(got[i], byte_at(10 + seen++));
			}
		}
		assert_int_equal(seen, round == 0 ? 99990 : 49990);
		if (round == 0) {
			assert_int_equal(fcntl(fd, F_GETFD), -1);
			/* and it is an ordinary one again */
			char block[2000] = {0};
			assert_true(spool_append(&spool, block, sizeof(block)));
		} else {
			assert_int_equal(sent, -1);
			assert_int_equal(errno, EIO);
		}
		spool_free(&spool);
		assert_int_equal(fcntl(fd, F_GETFD), -1);
	}
	close(pair[0]);
	close(pair[1]);
	unlink(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory_only),
		cmocka_unit_test(test_over_the_limit),
		cmocka_unit_test(test_no_memory_at_all),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_disk_is_given_back),
		cmocka_unit_test(test_bad_folder),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_lost_file),
		cmocka_unit_test(test_lent),
	};
	int failed = cmocka_run_group_tests(tests, set_up, tear_down);
	block_trim();
	return failed;
}
