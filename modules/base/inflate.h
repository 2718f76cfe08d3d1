/*
 * inflate: unpacks the texts that the build packs into the binary with gzip.
 */
#ifndef BASE_INFLATE_H
#define BASE_INFLATE_H

#include "base/str.h"

/*
 * What gzip -n made of a text of some kilobytes (RFC 1952): a deflate stream (RFC 1951) whose
 * blocks bring codes of their own.  Its length in out; 0: it is something else or does not fit.
 */
size_t inflate_gzip(struct str packed, char *out, size_t size) must_check;

#endif
