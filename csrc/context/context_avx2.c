/* The network with AVX2: 8 sums in a vector. */
#include "context_common.h"

#if HAS_X86_PATHS
#include <immintrin.h>

#define TARGET __attribute__((target("avx2,bmi2")))

/* 8 weights of 16 bits as pairs with a second weight, which is multiplied with 0. */
TARGET static inline __m256i widened(const int16_t *column)
{
    return _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(const void *)column));
}

TARGET static inline __m256i load(const void *at)
{
    return _mm256_loadu_si256((const __m256i *)at);
}

TARGET static inline void store(int32_t *at, __m256i value)
{
    _mm256_storeu_si256((__m256i *)(void *)at, value);
}

TARGET static inline void push(int32_t *sum, const int16_t *column, int32_t value, size_t first,
                               size_t last)
{
    const __m256i v = _mm256_set1_epi32(value & 0xffff);
    for (size_t r = first; r < last; r += 8) {
        store(sum + r, _mm256_add_epi32(load(sum + r), _mm256_madd_epi16(widened(column + r), v)));
    }
}

TARGET static inline void push_pair(int32_t *sum, const int16_t *pairs, int32_t a, int32_t b,
                                    size_t first, size_t last)
{
    const __m256i v = _mm256_set1_epi32((int32_t)((uint32_t)b << 16 | (a & 0xffff)));
    for (size_t r = first; r < last; r += 8) {
        store(sum + r, _mm256_add_epi32(load(sum + r), _mm256_madd_epi16(load(pairs + 2 * r), v)));
    }
}

/* 32 sums at a time stay in registers while all inputs are added. */
TARGET static inline void push_inputs(int32_t *sum, const int16_t *columns, size_t stride,
                                      const input *inputs, size_t count, size_t last, int linear)
{
    size_t r = 0;
    for (; r + 32 <= last; r += 32) {
        __m256i a = load(sum + r), b = load(sum + r + 8);
        __m256i c = load(sum + r + 16), d = load(sum + r + 24);
        for (size_t i = 0; i < count; i++) {
            const int16_t *const column = columns + inputs[i].column * stride + r;
            const int32_t value = linear ? inputs[i].clamped : inputs[i].squashed;
            const __m256i v = _mm256_set1_epi32(value & 0xffff);
            a = _mm256_add_epi32(a, _mm256_madd_epi16(widened(column), v));
            b = _mm256_add_epi32(b, _mm256_madd_epi16(widened(column + 8), v));
            c = _mm256_add_epi32(c, _mm256_madd_epi16(widened(column + 16), v));
            d = _mm256_add_epi32(d, _mm256_madd_epi16(widened(column + 24), v));
        }
        store(sum + r, a);
        store(sum + r + 8, b);
        store(sum + r + 16, c);
        store(sum + r + 24, d);
    }
    for (; r < last; r += 8) {
        __m256i a = load(sum + r);
        for (size_t i = 0; i < count; i++) {
            const int32_t value = linear ? inputs[i].clamped : inputs[i].squashed;
            a = _mm256_add_epi32(a,
                                 _mm256_madd_epi16(widened(columns + inputs[i].column * stride + r),
                                                   _mm256_set1_epi32(value & 0xffff)));
        }
        store(sum + r, a);
    }
}

#include "context_row.h"

const kernels dcn_context_avx2 = {DCN_CONTEXT_AVX2, predict_place, decode_row, quantise_row};
#endif
