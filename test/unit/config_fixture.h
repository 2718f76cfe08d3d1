/*
 * config_fixture: a folder with applications, and what loads an ini in it.
 */
#ifndef UNIT_CONFIG_FIXTURE_H
#define UNIT_CONFIG_FIXTURE_H

#include "apps/apps.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* The lines of the simplest application. */
#define BLOG "[app blog]\nroot = blog\n"

/* The folder: blog and shop are Ruby, empty is empty, both, other and mixed are for fixture_many_types. */
extern char fixture_dir[64];
int fixture_set_up(void **state);
int fixture_tear_down(void **state);
void fixture_make_file(const char *name, const char *text, size_t len);
void fixture_make_dir(const char *name);

extern const struct app_type *const fixture_types[];
/* With two types that detect alike, of which one has an option of the name of one of ruby's. */
extern const struct app_type *const fixture_many_types[];
extern const struct app_type fixture_alike_too;

/* Loads p.ini in the folder, which becomes this text; text NULL: no ini.  source->types NULL: fixture_types. */
struct config *fixture_load_source(struct config_source *source, const char *text, size_t len,
                                   struct config_error *error);
/* The same; an error fails the test. */
struct config *fixture_load_with(struct config_source *source, const char *text);
struct config *fixture_load(const char *text);

/* The text is refused with this error; in it the folder is ~, and "~/p.ini:" before a line number is left out. */
void fixture_assert_error_of(struct config_source *source, const char *text, size_t len, const char *expected);
void fixture_assert_error(const char *text, const char *expected);

/* What config_write() writes, config_parse() reads back without a difference. */
void fixture_assert_round_trip(const struct config *config, const struct app_type *const *types);

#endif
