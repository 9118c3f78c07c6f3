/* The network with AVX-512 and VNNI: 16 sums in a vector. */
#include "context_common.h"

#if HAS_X86_PATHS
#include <immintrin.h>

#define TARGET __attribute__((target("avx2,bmi2,avx512f,avx512bw,avx512vl,avx512vnni")))

typedef __m512i lanes;
enum { BLOCK = 24 };

TARGET INLINE lanes load(const void *at)
{
    return _mm512_load_si512(at);
}

TARGET INLINE void store(int32_t *at, lanes value)
{
    _mm512_store_si512(at, value);
}

TARGET INLINE lanes spread(int32_t pair)
{
    return _mm512_set1_epi32(pair);
}

TARGET INLINE lanes add_pairs(lanes sums, lanes weights, lanes values)
{
    return _mm512_dpwssd_epi32(sums, weights, values);
}

/* Activations of LANES units. */
typedef __m256i values;

TARGET INLINE values activations(lanes sum, const uint8_t *shift, unsigned from, unsigned to)
{
    const __m512i shifts =
        _mm512_cvtepu8_epi32(_mm_load_si128((const __m128i *)(const void *)shift));
    const __m512i value = _mm512_srav_epi32(sum, shifts);
    const __mmask16 some = (__mmask16)((1U << to) - (1U << from));
    return _mm512_maskz_cvtsepi32_epi16(some, _mm512_max_epi32(value, _mm512_srai_epi32(value, 3)));
}

TARGET INLINE values plus(values a, values b)
{
    return _mm256_adds_epi16(a, b);
}

/* Values 2 i and 2 i + 1 in every lane. */
TARGET INLINE lanes pair(values v, unsigned i)
{
    return _mm512_permutexvar_epi32(_mm512_set1_epi32((int32_t)i), _mm512_castsi256_si512(v));
}

#include "context_vectors.h"

#include "context_row.h"

const kernels dcn_context_vnni = {DCN_CONTEXT_VNNI, predict_place, decode_rows, quantise_row};
#endif
