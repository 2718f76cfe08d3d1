/*
 * state: what a spawner hands over to the image that takes its place, as bytes.
 * It is a row of records, each of a kind and with named fields; the fields are
 * rows of tables (spawner/carry.c) and lie where they are in the structs.
 *
 * Both ways must work, to a newer passenger and back to an older one: a field
 * that the reader does not know is passed over, one that the writer did not
 * know stays zero.  Whoever gives a field another meaning or size gives it
 * another name.  What the two do not share (layout of the scoreboard and of
 * the messages to a balancer that lives on) is compared as a whole, and an
 * upgrade in place is refused where it differs.
 */
#ifndef SPAWNER_STATE_H
#define SPAWNER_STATE_H

#include "base/buf.h"

enum { STATE_VERSION = 1, STATE_BYTES_MAX = 64 * 1024 * 1024, STATE_ERROR_BYTES = 256, STATE_FDS_MAX = 65536 };

enum state_field_kind {
	STATE_PLAIN,  /* the bytes of the field */
	STATE_FD,     /* int; -1: none */
	STATE_WATCH,  /* struct watch: its descriptor, if it is watched; read: fd, or -1 */
	STATE_TIMER,  /* struct timer: when it is due; set by state_timer() */
	STATE_BUF,    /* struct buf */
	STATE_MEMORY, /* pointer to `size` bytes from malloc, or NULL */
};

struct state_field {
	const char *name;
	uint32_t offset;
	uint32_t size : 28;
	enum state_field_kind kind : 4;
};

#define STATE_ROW(type, field, kind)                                                          \
	{                                                                                     \
#field, offsetof(struct type, field), sizeof(((struct type *)0)->field), kind \
	}
#define STATE_MEMORY_ROW(type, field, bytes)                              \
	{                                                                 \
#field, offsetof(struct type, field), bytes, STATE_MEMORY \
	}

struct state_table {
	const struct state_field *fields;
	size_t count;
};

#define STATE_TABLE(fields)                 \
	{                                   \
		fields, array_count(fields) \
	}

/* Kinds of records: numbers that stay. */
enum state_record {
	STATE_RECORD_FDS, /* all descriptors in it, so that the reader has them before it knows what they are */
	STATE_RECORD_SPAWNER,
	STATE_RECORD_GENERATION, /* of the configuration: its text */
	STATE_RECORD_BALANCER,
	STATE_RECORD_LISTENER,
	STATE_RECORD_APP,
	STATE_RECORD_SLOT,
	STATE_RECORD_WORKER,
	STATE_RECORD_CONTROL_CLIENT,
	STATE_RECORD_N
};

struct state_writer {
	struct buf text;
	size_t record_at;
	int *fds;
	size_t fd_count, fd_cap;
};

void state_begin(struct state_writer *writer, enum state_record kind);
void state_put(struct state_writer *writer, const struct state_table *table, const void *base);
void state_end(struct state_writer *writer);
/* The whole, into this descriptor from its beginning; false and errno.  Nothing more is written with it. */
bool state_write(struct state_writer *writer, int fd) must_check;
void state_writer_free(struct state_writer *writer);

struct state_reader {
	struct buf text; /* owned */
	struct str rest;
	bool live; /* descriptors are ours: made close-on-exec, or -1 where there is none */
	char error[STATE_ERROR_BYTES];
};

/* Reads all of it and checks its form; false and a sentence.  To be freed either way. */
bool state_open(struct state_reader *reader, int fd) must_check;
void state_rewind(struct state_reader *reader);
/* The next record; false at the end. */
bool state_next(struct state_reader *reader, enum state_record *kind, struct str *record);
/* The fields of a record that are in the table; false and a sentence: one has another size. */
bool state_take(struct state_reader *reader, struct str record, const struct state_table *table, void *base) must_check;
/* A field's bytes that are no struct's; empty: it is not there. */
struct str state_find(struct str record, const char *name);
/* The descriptors of STATE_RECORD_FDS, from malloc, all of them close-on-exec from now on; NULL: it can not be read. */
int *state_fds_of(int state_fd, size_t *count);
void state_reader_free(struct state_reader *reader);

#endif
