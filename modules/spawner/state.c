#include "spawner/state.h"

#include "handover/message.h"
#include "handover/scoreboard.h"
#include "system/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STATE_MAGIC = 0x53535047 /* "GPSS" */, NAME_CHARS_MAX = 255 };

/* In front of the records. */
struct state_head {
	uint32_t magic, version;
	uint64_t layout; /* of what is shared beyond this text */
	uint64_t bytes;  /* of the records */
	uint64_t sum;    /* over them */
	char passenger_version[32];
};

/* In front of each record, and of each field (after its name). */
struct state_part {
	uint32_t kind, bytes;
};

static uint64_t
add_to_sum(uint64_t sum, const void *data, size_t len)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < len; i++)
		sum = (sum ^ bytes[i]) * 1099511628211ull; /* FNV-1a */
	return sum;
}

static uint64_t
sum_of(struct str text)
{
	return add_to_sum(14695981039346656037ull, text.data, text.len);
}

/* Balancers that live on read messages of the same form and write the same scoreboard. */
static uint64_t
layout(void)
{
	const uint64_t sizes[] = {SCOREBOARD_VERSION,
	                          sizeof(struct scoreboard),
	                          sizeof(struct scoreboard_group),
	                          sizeof(struct scoreboard_process),
	                          MESSAGE_VERSION,
	                          sizeof(struct message)};
	uint64_t sum = sum_of(str_make((const char *)sizes, sizeof(sizes)));

	for (int type = 0; type < MESSAGE_TYPE_N; type++) {
		const char *name = message_name((enum message_type)type);
		sum = add_to_sum(sum, name, strlen(name));
	}
	return sum;
}

/* --- writing -------------------------------------------------------------------- */

static void
put_part(struct buf *text, uint32_t kind, size_t bytes)
{
	const struct state_part part = {kind, (uint32_t)bytes};

	buf_append(text, &part, sizeof(part));
}

void
state_begin(struct state_writer *writer, enum state_record kind)
{
	writer->record_at = writer->text.len;
	put_part(&writer->text, kind, 0);
}

void
state_end(struct state_writer *writer)
{
	uint32_t bytes = (uint32_t)(writer->text.len - writer->record_at - sizeof(struct state_part));

	memcpy(writer->text.data + writer->record_at + offsetof(struct state_part, bytes), &bytes, sizeof(bytes));
}

static void
put_bytes(struct state_writer *writer, const struct state_field *field, const void *data, size_t len)
{
	put_part(&writer->text, (uint32_t)strlen(field->name), len);
	buf_append(&writer->text, field->name, strlen(field->name));
	buf_append(&writer->text, data, len);
}

static void
put_fd(struct state_writer *writer, const struct state_field *field, int fd)
{
	put_bytes(writer, field, &fd, sizeof(fd));
	if (fd < 0)
		return;
	if (writer->fd_count == writer->fd_cap) {
		writer->fd_cap = writer->fd_cap * 2 + 64;
		writer->fds = realloc(writer->fds, writer->fd_cap * sizeof(*writer->fds));
		if (writer->fds == NULL)
			abort();
	}
	writer->fds[writer->fd_count++] = fd;
}

void
state_put(struct state_writer *writer, const struct state_table *table, const void *base)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct state_field *field = &table->fields[i];
		const char *at = (const char *)base + field->offset;
		const struct watch *watch = (const void *)at;
		const struct buf *buf = (const void *)at;
		const void *memory;
		switch (field->kind) {
		case STATE_PLAIN:
			put_bytes(writer, field, at, field->size);
			break;
		case STATE_FD:
			put_fd(writer, field, *(const int *)(const void *)at);
			break;
		case STATE_WATCH:
			put_fd(writer, field, watch->ready != NULL ? watch->fd : -1);
			break;
		case STATE_TIMER:
			put_bytes(writer, field, &((const struct timer *)(const void *)at)->at_ms, sizeof(uint64_t));
			break;
		case STATE_BUF:
			put_bytes(writer, field, buf->data, buf->len);
			break;
		case STATE_MEMORY:
			memcpy(&memory, at, sizeof(memory));
			put_bytes(writer, field, memory, memory != NULL ? field->size : 0);
			break;
		}
	}
}

static bool
write_all(int fd, const void *data, size_t len, off_t at)
{
	while (len > 0) {
		ssize_t written = pwrite(fd, data, len, at);
		if (written <= 0 && errno != EINTR)
			return false;
		if (written > 0) {
			data = (const char *)data + written;
			len -= (size_t)written;
			at += written;
		}
	}
	return true;
}

bool
state_write(struct state_writer *writer, int fd)
{
	struct state_head head = {.magic = STATE_MAGIC, .version = STATE_VERSION, .layout = layout()};
	size_t bytes = writer->fd_count * sizeof(*writer->fds);

	put_part(&writer->text, STATE_RECORD_FDS, bytes);
	buf_append(&writer->text, writer->fds, bytes);
	head.bytes = writer->text.len;
	head.sum = sum_of(buf_str(&writer->text));
	str_cut_z(head.passenger_version, sizeof(head.passenger_version), STR(PASSENGER_VERSION));
	return ftruncate(fd, 0) == 0 && write_all(fd, &head, sizeof(head), 0) &&
	       write_all(fd, writer->text.data, writer->text.len, sizeof(head));
}

void
state_writer_free(struct state_writer *writer)
{
	if (writer->text.data != NULL)
		explicit_bzero(writer->text.data, writer->text.len); /* passwords */
	buf_free(&writer->text);
	free(writer->fds);
	*writer = (struct state_writer){.fds = NULL};
}

/* --- reading -------------------------------------------------------------------- */

static bool
refuse(struct state_reader *reader, const char *why)
{
	str_format(reader->error, sizeof(reader->error), "the state that was handed over %s", why);
	return false;
}

/* Cuts len bytes off; false: there are not so many. */
static bool
cut(struct str *rest, size_t len, struct str *piece)
{
	if (len > rest->len)
		return false;
	*piece = str_make(rest->data, len);
	*rest = str_make(rest->data + len, rest->len - len);
	return true;
}

static bool
cut_part(struct str *rest, struct state_part *part)
{
	struct str bytes;

	if (!cut(rest, sizeof(*part), &bytes))
		return false;
	memcpy(part, bytes.data, sizeof(*part));
	return true;
}

static bool
cut_field(struct str *rest, struct str *name, struct str *value)
{
	struct state_part part;

	return cut_part(rest, &part) && part.kind > 0 && part.kind <= NAME_CHARS_MAX && cut(rest, part.kind, name) &&
	       cut(rest, part.bytes, value);
}

/* Every record and field lies within its whole. */
static bool
is_well_formed(struct str rest)
{
	struct state_part part;
	struct str record, name, value;

	while (rest.len > 0) {
		if (!cut_part(&rest, &part) || !cut(&rest, part.bytes, &record))
			return false;
		if (part.kind == STATE_RECORD_FDS && record.len % sizeof(int) != 0)
			return false;
		while (part.kind != STATE_RECORD_FDS && record.len > 0)
			if (!cut_field(&record, &name, &value))
				return false;
	}
	return true;
}

static bool
read_all(struct buf *text, int fd)
{
	struct stat stat;

	if (fstat(fd, &stat) != 0 || stat.st_size < (off_t)sizeof(struct state_head) || stat.st_size > STATE_BYTES_MAX)
		return false;
	buf_reserve(text, (size_t)stat.st_size);
	while (text->len < (size_t)stat.st_size) {
		ssize_t len = pread(fd, text->data + text->len, (size_t)stat.st_size - text->len, (off_t)text->len);
		if (len <= 0)
			return false;
		text->len += (size_t)len;
	}
	return true;
}

bool
state_open(struct state_reader *reader, int fd)
{
	struct state_head head;

	if (!read_all(&reader->text, fd))
		return refuse(reader, "can not be read");
	memcpy(&head, reader->text.data, sizeof(head));
	head.passenger_version[sizeof(head.passenger_version) - 1] = '\0';
	state_rewind(reader);
	if (head.magic != STATE_MAGIC)
		return refuse(reader, "is none");
	if (head.version != STATE_VERSION || head.layout != layout()) {
		str_format(reader->error, sizeof(reader->error),
		           "passenger %s can not take over from passenger %s while it runs: what they share in memory "
		           "differs; restart passenger instead",
		           PASSENGER_VERSION, head.passenger_version);
		return false;
	}
	if (head.bytes != reader->rest.len || head.sum != sum_of(reader->rest))
		return refuse(reader, "is damaged");
	return is_well_formed(reader->rest) || refuse(reader, "is not well-formed");
}

void
state_rewind(struct state_reader *reader)
{
	reader->rest =
		str_make(reader->text.data + sizeof(struct state_head), reader->text.len - sizeof(struct state_head));
}

bool
state_next(struct state_reader *reader, enum state_record *kind, struct str *record)
{
	struct state_part part;

	if (!cut_part(&reader->rest, &part) || !cut(&reader->rest, part.bytes, record))
		return false;
	*kind = part.kind < STATE_RECORD_N ? (enum state_record)part.kind : STATE_RECORD_N;
	return true;
}

struct str
state_find(struct str record, const char *name)
{
	struct str found, value;

	while (cut_field(&record, &found, &value))
		if (str_equal(found, str_from(name)))
			return value;
	return (struct str){0};
}

static void
take_fd(const struct state_reader *reader, struct str value, int *fd)
{
	memcpy(fd, value.data, sizeof(*fd));
	if (!reader->live || *fd < 0 || fcntl(*fd, F_SETFD, FD_CLOEXEC) != 0)
		*fd = -1;
}

/* False: it has another size here. */
static bool
take_field(struct state_reader *reader, const struct state_field *field, struct str value, char *at)
{
	void *memory = NULL;

	switch (field->kind) {
	case STATE_PLAIN:
		if (value.len != field->size)
			return false;
		memcpy(at, value.data, value.len);
		return true;
	case STATE_FD:
	case STATE_WATCH:
		if (value.len != sizeof(int))
			return false;
		take_fd(reader, value, field->kind == STATE_FD ? (int *)(void *)at : &((struct watch *)(void *)at)->fd);
		return true;
	case STATE_TIMER:
		if (value.len != sizeof(uint64_t))
			return false;
		memcpy(&((struct timer *)(void *)at)->at_ms, value.data, value.len);
		return true;
	case STATE_BUF:
		buf_append((struct buf *)(void *)at, value.data, value.len);
		return true;
	case STATE_MEMORY:
		if (value.len != 0 && value.len != field->size)
			return false;
		if (value.len > 0 && (memory = malloc(value.len)) == NULL)
			abort();
		if (memory != NULL)
			memcpy(memory, value.data, value.len);
		memcpy(at, &memory, sizeof(memory));
		return true;
	}
	return false;
}

bool
state_take(struct state_reader *reader, struct str record, const struct state_table *table, void *base)
{
	struct str name, value;

	while (cut_field(&record, &name, &value)) {
		for (size_t i = 0; i < table->count; i++) {
			const struct state_field *field = &table->fields[i];
			if (!str_equal(name, str_from(field->name)))
				continue;
			if (take_field(reader, field, value, (char *)base + field->offset))
				break;
			str_format(reader->error, sizeof(reader->error),
			           "the state that was handed over: %s has %zu bytes, %u were expected", field->name,
			           value.len, field->size);
			return false;
		}
	}
	return true;
}

int *
state_fds_of(int state_fd, size_t *count)
{
	struct state_reader reader = {.live = false};
	enum state_record kind;
	struct str record;
	int *fds = NULL;

	*count = 0;
	bool sound = state_open(&reader, state_fd);
	while (sound && fds == NULL && state_next(&reader, &kind, &record)) {
		if (kind != STATE_RECORD_FDS)
			continue;
		fds = malloc(record.len + 1);
		if (fds == NULL)
			abort();
		memcpy(fds, record.data, record.len);
		*count = record.len / sizeof(*fds);
	}
	for (size_t i = 0; i < *count; i++)
		fcntl(fds[i], F_SETFD, FD_CLOEXEC);
	state_reader_free(&reader);
	return fds;
}

void
state_reader_free(struct state_reader *reader)
{
	if (reader->text.data != NULL)
		explicit_bzero(reader->text.data, reader->text.len);
	buf_free(&reader->text);
}
