/*
 * compat_musl: the glibc names that Debian's static archives ask for and musl
 * does not have.  libbearssl.a was compiled with _FORTIFY_SOURCE and wants the
 * *_chk functions; libinih.a was compiled for large files and wants fopen64
 * (musl 1.2.3 still carries it, 1.2.5 does not).  All are weak, so that a libc
 * which has its own keeps it.
 *
 * Only in the shipped binary, never in a glibc build; compiled with
 * -fno-builtin (else memcpy's body becomes a call of itself) and without
 * _GNU_SOURCE (else <stdio.h> turns fopen64 into a macro for fopen).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *__memcpy_chk(void *to, const void *from, size_t len, size_t room);
void *__memmove_chk(void *to, const void *from, size_t len, size_t room);
void *__memset_chk(void *to, int byte, size_t len, size_t room);
FILE *fopen64(const char *path, const char *mode);

#define weak __attribute__((weak))

weak void *
__memcpy_chk(void *to, const void *from, size_t len, size_t room)
{
	if (len > room)
		abort();
	return memcpy(to, from, len);
}

weak void *
__memmove_chk(void *to, const void *from, size_t len, size_t room)
{
	if (len > room)
		abort();
	return memmove(to, from, len);
}

weak void *
__memset_chk(void *to, int byte, size_t len, size_t room)
{
	if (len > room)
		abort();
	return memset(to, byte, len);
}

weak FILE *
fopen64(const char *path, const char *mode)
{
	return fopen(path, mode);
}
