/* The network with AVX2: 8 sums in a vector. */
#include "context_common.h"

#if HAS_X86_PATHS
#include <immintrin.h>

#define TARGET __attribute__((target("avx2,bmi2")))

typedef struct {
    __m256i low, high;
} lanes;
enum { BLOCK = 4 };

TARGET INLINE __m256i load_8(const void *at)
{
    return _mm256_loadu_si256((const __m256i *)at);
}

TARGET INLINE lanes load(const void *at)
{
    return (lanes){load_8(at), load_8((const char *)at + sizeof(__m256i))};
}

TARGET INLINE void store(int32_t *at, lanes value)
{
    _mm256_storeu_si256((__m256i *)(void *)at, value.low);
    _mm256_storeu_si256((__m256i *)(void *)(at + 8), value.high);
}

TARGET INLINE lanes spread(int32_t pair)
{
    const __m256i value = _mm256_set1_epi32(pair);
    return (lanes){value, value};
}

TARGET INLINE lanes add_pairs(lanes sums, lanes weights, lanes values)
{
    return (lanes){_mm256_add_epi32(sums.low, _mm256_madd_epi16(weights.low, values.low)),
                   _mm256_add_epi32(sums.high, _mm256_madd_epi16(weights.high, values.high))};
}

/* Activations of LANES units. */
typedef __m256i values;

TARGET INLINE __m256i activations_of_8(__m256i sum, const uint8_t *shift)
{
    const __m256i shifts =
        _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)shift));
    const __m256i value = _mm256_srav_epi32(sum, shifts);
    return _mm256_max_epi32(value, _mm256_srai_epi32(value, 3));
}

TARGET INLINE values activations(lanes sum, const uint8_t *shift, unsigned from, unsigned to)
{
    static const int16_t ones[3 * LANES] = {[LANES] = -1, -1, -1, -1, -1, -1, -1, -1,
                                            -1,           -1, -1, -1, -1, -1, -1, -1};
    const __m256i some =
        _mm256_and_si256(load_8(ones + LANES - from), load_8(ones + 2 * LANES - to));
    const __m256i mixed =
        _mm256_packs_epi32(activations_of_8(sum.low, shift), activations_of_8(sum.high, shift + 8));
    return _mm256_and_si256(some, _mm256_permute4x64_epi64(mixed, 0xD8));
}

TARGET INLINE values plus(values a, values b)
{
    return _mm256_adds_epi16(a, b);
}

/* Values 2 i and 2 i + 1 in every lane. */
TARGET INLINE lanes pair(values v, unsigned i)
{
    const __m256i value = _mm256_permutevar8x32_epi32(v, _mm256_set1_epi32((int32_t)i));
    return (lanes){value, value};
}

#include "context_vectors.h"

#include "context_row.h"

const kernels dcn_context_avx2 = {DCN_CONTEXT_AVX2, predict_place, decode_rows, quantise_row};
#endif
