// Two SHA-256 hashes at once, for the price of one where the processor has the instructions.
//
// `sha256rnds2` needs the result of the one before it, and its unit stands idle for most of that wait: one hash uses half of the unit at best.
// Two hashes that know nothing of each other fill it. Every content byte is hashed twice, as part of its chunk and of its file, so this is
// the time of one of the two.
//
// Only the compression of whole blocks is ours (FIPS 180-4 §6.2.2, in the order that Intel's "SHA Extensions" lays down); beginnings, ends and
// padding are libcrypto's, whose context it works on. Before the first use it is compared with libcrypto's own compression, and left alone
// for the life of the process where they differ.
#include "COpenSSL.h"

#include <pthread.h>
#include <string.h>

enum { BLOCK = 64 };

static void update_each(SHA256_CTX *one, const uint8_t *a, size_t a_count, SHA256_CTX *other, const uint8_t *b, size_t b_count) {
    if (a_count > 0) SHA256_Update(one, a, a_count);
    if (b_count > 0) SHA256_Update(other, b, b_count);
}

#if defined(__x86_64__)
#include <immintrin.h>

// FIPS 180-4 §4.2.2.
static const uint32_t constants[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

#define WITH_SHA __attribute__((target("sha,sse4.1,ssse3")))

// The instructions keep the eight words as (a, b, e, f) and (c, d, g, h).
typedef struct {
    __m128i abef, cdgh;
} State;

WITH_SHA static inline __attribute__((always_inline)) State load(const SHA_LONG *h) {
    __m128i dcba = _mm_loadu_si128((const __m128i *)h), hgfe = _mm_loadu_si128((const __m128i *)(h + 4));
    __m128i cdab = _mm_shuffle_epi32(dcba, 0xB1), efgh = _mm_shuffle_epi32(hgfe, 0x1B);
    return (State){_mm_alignr_epi8(cdab, efgh, 8), _mm_blend_epi16(efgh, cdab, 0xF0)};
}

WITH_SHA static inline __attribute__((always_inline)) void store(State state, SHA_LONG *h) {
    __m128i feba = _mm_shuffle_epi32(state.abef, 0x1B), dchg = _mm_shuffle_epi32(state.cdgh, 0xB1);
    _mm_storeu_si128((__m128i *)h, _mm_blend_epi16(feba, dchg, 0xF0));
    _mm_storeu_si128((__m128i *)(h + 4), _mm_alignr_epi8(dchg, feba, 8));
}

// Four big-endian words of a block.
WITH_SHA static inline __attribute__((always_inline)) __m128i words(const uint8_t *at) {
    const __m128i reversed = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)at), reversed);
}

// The next four words of the schedule from the last sixteen.
WITH_SHA static inline __attribute__((always_inline)) __m128i next(__m128i w0, __m128i w4, __m128i w8, __m128i w12) {
    __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w4), _mm_alignr_epi8(w12, w8, 4));
    return _mm_sha256msg2_epu32(sum, w12);
}

WITH_SHA static inline __attribute__((always_inline)) void four_rounds(State *state, __m128i w, int group) {
    __m128i wk = _mm_add_epi32(w, _mm_load_si128((const __m128i *)(constants + 4 * group)));
    state->cdgh = _mm_sha256rnds2_epu32(state->cdgh, state->abef, wk);
    state->abef = _mm_sha256rnds2_epu32(state->abef, state->cdgh, _mm_shuffle_epi32(wk, 0x0E));
}

WITH_SHA static void compress_two(SHA_LONG *h1, const uint8_t *a, SHA_LONG *h2, const uint8_t *b, size_t blocks) {
    State s1 = load(h1), s2 = load(h2);
    for (; blocks > 0; blocks--, a += BLOCK, b += BLOCK) {
        const State before1 = s1, before2 = s2;
        __m128i w1[4], w2[4];
#pragma clang loop unroll(full)
        for (int group = 0; group < 16; group++) {
            const int i = group & 3;
            if (group < 4) {
                w1[i] = words(a + 16 * group);
                w2[i] = words(b + 16 * group);
            } else {
                w1[i] = next(w1[i], w1[(i + 1) & 3], w1[(i + 2) & 3], w1[(i + 3) & 3]);
                w2[i] = next(w2[i], w2[(i + 1) & 3], w2[(i + 2) & 3], w2[(i + 3) & 3]);
            }
            four_rounds(&s1, w1[i], group);
            four_rounds(&s2, w2[i], group);
        }
        s1 = (State){_mm_add_epi32(s1.abef, before1.abef), _mm_add_epi32(s1.cdgh, before1.cdgh)};
        s2 = (State){_mm_add_epi32(s2.abef, before2.abef), _mm_add_epi32(s2.cdgh, before2.cdgh)};
    }
    store(s1, h1);
    store(s2, h2);
}

static int usable = 0;
static pthread_once_t checked = PTHREAD_ONCE_INIT;

// Three blocks from two states that have nothing in common, against libcrypto.
static void check(void) {
    if (!__builtin_cpu_supports("sha") || !__builtin_cpu_supports("sse4.1") || !__builtin_cpu_supports("ssse3")) return;
    uint8_t bytes[4 * BLOCK];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 167 + (i >> 3) * 29 + 1);
    SHA256_CTX ours[2], theirs[2];
    for (int i = 0; i < 2; i++) {
        SHA256_Init(&theirs[i]);
        if (i == 1) SHA256_Update(&theirs[i], bytes, BLOCK);
        ours[i] = theirs[i];
        SHA256_Update(&theirs[i], bytes + i * BLOCK, 3 * BLOCK);
    }
    compress_two(ours[0].h, bytes, ours[1].h, bytes + BLOCK, 3);
    usable = memcmp(ours[0].h, theirs[0].h, sizeof ours[0].h) == 0 && memcmp(ours[1].h, theirs[1].h, sizeof ours[1].h) == 0;
}

int hansa_sha256_pairs(void) {
    pthread_once(&checked, check);
    return usable;
}

// libcrypto counts the message's bits in two words.
static void count_bytes(SHA256_CTX *context, size_t count) {
    uint64_t bits = ((uint64_t)context->Nh << 32 | context->Nl) + ((uint64_t)count << 3);
    context->Nl = (SHA_LONG)bits;
    context->Nh = (SHA_LONG)(bits >> 32);
}

// Fills a block that was begun; its bytes are gone from `bytes` and `count` then.
static void end_block(SHA256_CTX *context, const uint8_t **bytes, size_t *count) {
    size_t missing = (BLOCK - context->num) % BLOCK;
    if (missing > *count) missing = *count;
    if (missing > 0) SHA256_Update(context, *bytes, missing);
    *bytes += missing;
    *count -= missing;
}

void hansa_sha256_update_two(
    SHA256_CTX *one, const uint8_t *a, size_t a_count, SHA256_CTX *other, const uint8_t *b, size_t b_count) {
    // Fewer blocks are not worth the looking.
    if (a_count >= 4 * BLOCK && b_count >= 4 * BLOCK && hansa_sha256_pairs()) {
        end_block(one, &a, &a_count);
        end_block(other, &b, &b_count);
        size_t blocks = (a_count < b_count ? a_count : b_count) / BLOCK;
        compress_two(one->h, a, other->h, b, blocks);
        count_bytes(one, blocks * BLOCK);
        count_bytes(other, blocks * BLOCK);
        a += blocks * BLOCK;
        a_count -= blocks * BLOCK;
        b += blocks * BLOCK;
        b_count -= blocks * BLOCK;
    }
    update_each(one, a, a_count, other, b, b_count);
}

#else

int hansa_sha256_pairs(void) { return 0; }

void hansa_sha256_update_two(
    SHA256_CTX *one, const uint8_t *a, size_t a_count, SHA256_CTX *other, const uint8_t *b, size_t b_count) {
    update_each(one, a, a_count, other, b, b_count);
}

#endif
