/*
 * start_musl: the first instructions of the shipped binary.
 *
 * A static PIE relocates its own tables of pointers.  In the usual form a pointer costs 24
 * bytes of file, in the compact one (DT_RELR, System V ABI) a bit; musl's start code knows the
 * compact form only from 1.2.4 on, so it is applied here, before musl's _start.  Nothing stands
 * yet: no thread area, no stack protector, no pointer in a table.  RELRSZ is set to 0
 * afterwards, so that a musl which knows the form does not add the base a second time.
 *
 * Only in the shipped binary on x86-64; elsewhere the linker keeps the usual form (build.sh).
 */
#include <elf.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __x86_64__

#ifndef DT_RELR /* musl 1.2.3's <elf.h> */
#define DT_RELRSZ 35
#define DT_RELR 36
#endif

#define hidden __attribute__((visibility("hidden")))

extern char __ehdr_start[] hidden;
extern Elf64_Dyn _DYNAMIC[] hidden;

void start_relocate(void) hidden;

/* %rdx is the kernel's gift to _start; two pushes keep the stack aligned for the call. */
__asm__(".text\n"
        ".globl start_musl\n"
        ".type start_musl, @function\n"
        "start_musl:\n"
        "	push %rdx\n"
        "	push %rdx\n"
        "	call start_relocate\n"
        "	pop %rdx\n"
        "	pop %rdx\n"
        "	jmp _start\n"
        ".size start_musl, . - start_musl\n");

/* An even word is the address of one pointer; an odd one says, a bit each, which of the 63
 * words after the last one are pointers too. */
static void
apply(const uint64_t *entry, size_t count)
{
	uint64_t base = (uint64_t)(uintptr_t)__ehdr_start, *place = NULL;

	for (; count > 0; entry++, count--) {
		uint64_t bits = *entry >> 1;

		if ((*entry & 1) == 0) {
			place = (uint64_t *)(uintptr_t)(base + *entry);
			*place++ += base;
			continue;
		}
		for (uint64_t *at = place; bits != 0; bits >>= 1, at++) {
			if ((bits & 1) != 0)
				*at += base;
		}
		place += 63;
	}
}

void
start_relocate(void)
{
	const uint64_t *entries = NULL;
	size_t bytes = 0;

	for (Elf64_Dyn *row = _DYNAMIC; row->d_tag != DT_NULL; row++) {
		if (row->d_tag == DT_RELR)
			entries = (const uint64_t *)(uintptr_t)(__ehdr_start + row->d_un.d_ptr);
		if (row->d_tag == DT_RELRSZ) {
			bytes = row->d_un.d_val;
			row->d_un.d_val = 0;
		}
	}
	if (entries != NULL)
		apply(entries, bytes / sizeof *entries);
}

#endif
