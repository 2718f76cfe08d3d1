/*
 * random: BearSSL's HMAC_DRBG (SHA-256), seeded by its system seeder and by
 * getrandom(2).  A block is drawn at a time, each byte is given out once.
 */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include "base/str.h"

/* Once at start; false when nothing seeds (then the program must not go on). */
bool random_init(void) must_check;
void random_bytes(void *out, size_t len);
/* Uniform in 0 .. bound-1. */
uint32_t random_below(uint32_t bound);
/* len characters of [A-Za-z0-9], no modulo bias, terminated; out has len + 1 bytes. */
void random_password(char *out, size_t len);

#endif
