#include "config/config.h"

#include "base/inflate.h"
#include "config/option.h"

#include <assert.h>

enum { HELP_BYTES = 32 * 1024 };

/* Embedded by build.sh: what HELP() encloses in the table of options, in the order of the rows, each text with
 * its NUL, and all of it packed: nobody but `passenger options` reads it. */
extern const char help_texts[];
extern const size_t help_texts_size;

const char *
config_help(const struct option *row)
{
	static char texts[HELP_BYTES];
	static size_t len;
	size_t count;
	const char *text = texts;

	if (row->help != NULL)
		return row->help;
	if (len == 0)
		len = inflate_gzip(str_make(help_texts, help_texts_size), texts, sizeof(texts));
	assert(len > 0);
	for (const struct option *before = config_options(&count); before < row; before++)
		text += strlen(text) + 1;
	return text;
}
