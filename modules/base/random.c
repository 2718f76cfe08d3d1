#include "base/random.h"

#include <assert.h>
#include <bearssl.h>
#include <sys/random.h>

/* Drawing costs about 4 µs whatever its size, so a block is drawn at a time. */
enum { RANDOM_BLOCK_BYTES = 256, RANDOM_SEED_BYTES = 48 };

static br_hmac_drbg_context random_generator;
static unsigned char random_block[RANDOM_BLOCK_BYTES];
static size_t random_used = RANDOM_BLOCK_BYTES;
static bool random_ready;

static void
random_forget(void *data, size_t len)
{
	explicit_bzero(data, len);
}

bool
random_init(void)
{
	unsigned char seed[RANDOM_SEED_BYTES];
	bool seeded = false;
	br_hmac_drbg_init(&random_generator, &br_sha256_vtable, NULL, 0);

	/* BearSSL's seeder knows RDRAND or /dev/urandom, one of them; the kernel's getrandom is fed besides. */
	br_prng_seeder seeder = br_prng_seeder_system(NULL);
	if (seeder != NULL && seeder(&random_generator.vtable))
		seeded = true;
	if (getrandom(seed, sizeof(seed), 0) == (ssize_t)sizeof(seed)) {
		br_hmac_drbg_update(&random_generator, seed, sizeof(seed));
		seeded = true;
	}
	random_forget(seed, sizeof(seed));
	random_used = RANDOM_BLOCK_BYTES;
	random_ready = seeded;
	return seeded;
}

static unsigned char
random_byte(void)
{
	assert(random_ready);
	if (random_used == RANDOM_BLOCK_BYTES) {
		br_hmac_drbg_generate(&random_generator, random_block, sizeof(random_block));
		random_used = 0;
	}
	unsigned char byte = random_block[random_used];
	random_block[random_used++] = 0;
	return byte;
}

void
random_bytes(void *out, size_t len)
{
	unsigned char *bytes = out;
	for (size_t i = 0; i < len; i++)
		bytes[i] = random_byte();
}

uint32_t
random_below(uint32_t bound)
{
	assert(bound > 0);
	uint32_t unfair = (uint32_t)(0x100000000ULL % bound); /* values at the top that would be biased */
	uint32_t value;
	do
		random_bytes(&value, sizeof(value));
	while (unfair != 0 && value >= (uint32_t)(0x100000000ULL - unfair));
	return value % bound;
}

void
random_password(char *out, size_t len)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	enum { LETTERS = sizeof(alphabet) - 1, FAIR = 256 - 256 % LETTERS };
	for (size_t i = 0; i < len; i++) {
		unsigned char byte;
		do
			byte = random_byte();
		while (byte >= FAIR);
		out[i] = alphabet[byte % LETTERS];
	}
	out[len] = 0;
}
