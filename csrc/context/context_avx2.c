/* The network with AVX2: 8 sums in a vector. */
#include "context_common.h"

#if HAS_X86_PATHS
#include <immintrin.h>

#define TARGET __attribute__((target("avx2,bmi2")))

TARGET INLINE __m256i load(const void *at)
{
    return _mm256_loadu_si256((const __m256i *)at);
}

TARGET INLINE void store(int32_t *at, __m256i value)
{
    _mm256_storeu_si256((__m256i *)(void *)at, value);
}

TARGET INLINE __m256i add_products(__m256i sums, const int16_t *pairs, __m256i values)
{
    return _mm256_add_epi32(sums, _mm256_madd_epi16(load(pairs), values));
}

TARGET INLINE void push(int32_t *sum, const int16_t *pairs, int32_t value, size_t first,
                        size_t last)
{
    const __m256i v = _mm256_set1_epi32(value);
    for (size_t r = first; r < last; r += 8) {
        store(sum + r, add_products(load(sum + r), pairs + 2 * r, v));
    }
}

/* Activations of LANES units. */
typedef __m256i values;

TARGET INLINE __m256i activations_of_8(const int32_t *sum, const uint8_t *shift)
{
    const __m256i shifts =
        _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)shift));
    const __m256i value = _mm256_srav_epi32(load(sum), shifts);
    return _mm256_max_epi32(value, _mm256_srai_epi32(value, 3));
}

TARGET INLINE values activations(const int32_t *sum, const uint8_t *shift, unsigned from,
                                 unsigned to)
{
    static const int16_t ones[3 * LANES] = {[LANES] = -1, -1, -1, -1, -1, -1, -1, -1,
                                            -1,           -1, -1, -1, -1, -1, -1, -1};
    const __m256i lanes = _mm256_and_si256(load(ones + LANES - from), load(ones + 2 * LANES - to));
    const __m256i mixed =
        _mm256_packs_epi32(activations_of_8(sum, shift), activations_of_8(sum + 8, shift + 8));
    return _mm256_and_si256(lanes, _mm256_permute4x64_epi64(mixed, 0xD8));
}

TARGET INLINE values plus(values a, values b)
{
    return _mm256_adds_epi16(a, b);
}

/* Values 2 i and 2 i + 1 in every lane. */
TARGET INLINE __m256i pair(values v, unsigned i)
{
    return _mm256_permutevar8x32_epi32(v, _mm256_set1_epi32((int32_t)i));
}

TARGET INLINE void push_pairs(int32_t *const *sum, size_t places, const int16_t *pairs,
                              size_t stride, const values *v, unsigned begin, unsigned end,
                              size_t first, size_t last)
{
    for (size_t r = first; r < last; r += 8) {
        __m256i total[TOGETHER];
        for (size_t p = 0; p < places; p++) {
            total[p] = load(sum[p] + r);
        }
        for (unsigned i = begin; i < end; i++) {
            for (size_t p = 0; p < places; p++) {
                total[p] = add_products(total[p], pairs + i * stride + 2 * r, pair(v[p], i));
            }
        }
        for (size_t p = 0; p < places; p++) {
            store(sum[p] + r, total[p]);
        }
    }
}

/* The next 8 * `vectors` sums stay in registers while all inputs are added. */
TARGET INLINE void push_some(int32_t *sum, const int16_t *pairs, size_t stride, const entry *inputs,
                             size_t count, size_t vectors, int linear)
{
    __m256i total[8];
    for (size_t j = 0; j < vectors; j++) {
        total[j] = load(sum + 8 * j);
    }
    for (size_t i = 0; i < count; i++) {
        const int16_t *const weights = pairs + inputs[i].pair * stride;
        const __m256i v = _mm256_set1_epi32(linear ? inputs[i].clamped : inputs[i].squashed);
        for (size_t j = 0; j < vectors; j++) {
            total[j] = add_products(total[j], weights + 16 * j, v);
        }
    }
    for (size_t j = 0; j < vectors; j++) {
        store(sum + 8 * j, total[j]);
    }
}

TARGET INLINE void push_inputs(int32_t *sum, const int16_t *pairs, size_t stride,
                               const entry *inputs, size_t count, size_t last, int linear)
{
    size_t r = 0;
    for (; r + 64 <= last; r += 64) {
        push_some(sum + r, pairs + 2 * r, stride, inputs, count, 8, linear);
    }
    for (; r < last; r += 16) {
        push_some(sum + r, pairs + 2 * r, stride, inputs, count, 2, linear);
    }
}

#include "context_row.h"

const kernels dcn_context_avx2 = {DCN_CONTEXT_AVX2, predict_place, decode_rows, quantise_row};
#endif
