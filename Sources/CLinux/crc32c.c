#include "crc32c.h"

#include <pthread.h>
#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

// Eight tables of 256: table[k][v] is the checksum of v followed by k zero bytes, so eight bytes take eight independent look-ups.
static uint32_t table[8][256];
static pthread_once_t made = PTHREAD_ONCE_INIT;

static void make_table(void) {
    for (uint32_t value = 0; value < 256; value++) {
        uint32_t crc = value;
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0x82F63B78u & (0u - (crc & 1)));
        table[0][value] = crc;
    }
    for (uint32_t value = 0; value < 256; value++)
        for (int k = 1; k < 8; k++) table[k][value] = (table[k - 1][value] >> 8) ^ table[0][table[k - 1][value] & 0xFF];
}

uint32_t hansa_crc32c_portable(uint32_t crc, const void *bytes, size_t count) {
    pthread_once(&made, make_table);
    const unsigned char *p = bytes;
    crc = ~crc;
    for (; count >= 8; count -= 8, p += 8) {
        crc ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        crc = table[7][crc & 0xFF] ^ table[6][crc >> 8 & 0xFF] ^ table[5][crc >> 16 & 0xFF] ^ table[4][crc >> 24]
            ^ table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
    }
    for (; count > 0; count--, p++) crc = (crc >> 8) ^ table[0][(crc ^ *p) & 0xFF];
    return ~crc;
}

#if defined(__x86_64__) || defined(__aarch64__)

// The instruction takes three cycles and a new one can begin in each, so three stretches are taken at once. A state is linear in what came
// before: the state after a stretch, carried over the zeros of another one, is xored to that one's own.
enum { STRETCH = 4096 };
static uint32_t carried[4][256];
static pthread_once_t carried_made = PTHREAD_ONCE_INIT;

// carried[k][v] is the state v << 8k after a stretch of zeros.
static void make_carried(void) {
    static const unsigned char zeros[STRETCH];
    uint32_t bits[32];
    // The portable function inverts before and after, which leaves the state itself.
    for (int bit = 0; bit < 32; bit++) bits[bit] = ~hansa_crc32c_portable(~(1u << bit), zeros, STRETCH);
    for (int k = 0; k < 4; k++)
        for (int value = 0; value < 256; value++)
            for (int bit = 0; bit < 8; bit++)
                if (value >> bit & 1) carried[k][value] ^= bits[8 * k + bit];
}

static inline uint32_t carry(uint32_t state) {
    return carried[0][state & 0xFF] ^ carried[1][state >> 8 & 0xFF] ^ carried[2][state >> 16 & 0xFF] ^ carried[3][state >> 24];
}

static inline uint64_t word_at(const unsigned char *p) {
    uint64_t word;
    memcpy(&word, p, 8);
    return word;
}

#endif

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t crc32c_instruction(uint32_t crc, const unsigned char *p, size_t count) {
    uint64_t state = ~crc;
    if (count >= 3 * STRETCH) pthread_once(&carried_made, make_carried);
    for (; count >= 3 * STRETCH; count -= 3 * STRETCH, p += 3 * STRETCH) {
        uint64_t second = 0, third = 0;
        for (size_t i = 0; i < STRETCH; i += 8) {
            state = _mm_crc32_u64(state, word_at(p + i));
            second = _mm_crc32_u64(second, word_at(p + STRETCH + i));
            third = _mm_crc32_u64(third, word_at(p + 2 * STRETCH + i));
        }
        state = carry(carry((uint32_t)state) ^ (uint32_t)second) ^ (uint32_t)third;
    }
    for (; count >= 8; count -= 8, p += 8) {
        state = _mm_crc32_u64(state, word_at(p));
    }
    uint32_t rest = (uint32_t)state;
    for (; count > 0; count--, p++) rest = _mm_crc32_u8(rest, *p);
    return ~rest;
}

static int has_instruction(void) { return __builtin_cpu_supports("sse4.2"); }

#elif defined(__aarch64__)

__attribute__((target("crc"))) static uint32_t crc32c_instruction(uint32_t crc, const unsigned char *p, size_t count) {
    crc = ~crc;
    if (count >= 3 * STRETCH) pthread_once(&carried_made, make_carried);
    for (; count >= 3 * STRETCH; count -= 3 * STRETCH, p += 3 * STRETCH) {
        uint32_t second = 0, third = 0;
        for (size_t i = 0; i < STRETCH; i += 8) {
            crc = __crc32cd(crc, word_at(p + i));
            second = __crc32cd(second, word_at(p + STRETCH + i));
            third = __crc32cd(third, word_at(p + 2 * STRETCH + i));
        }
        crc = carry(carry(crc) ^ second) ^ third;
    }
    for (; count >= 8; count -= 8, p += 8) crc = __crc32cd(crc, word_at(p));
    for (; count > 0; count--, p++) crc = __crc32cb(crc, *p);
    return ~crc;
}

static int has_instruction(void) { return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0; }

#else

static uint32_t crc32c_instruction(uint32_t crc, const unsigned char *p, size_t count) { return hansa_crc32c_portable(crc, p, count); }
static int has_instruction(void) { return 0; }

#endif

uint32_t hansa_crc32c(uint32_t crc, const void *bytes, size_t count) {
    if (has_instruction()) return crc32c_instruction(crc, bytes, count);
    return hansa_crc32c_portable(crc, bytes, count);
}
