/* Products with AVX2 and FMA: 8 numbers in a vector, 16 registers. */
#include "net_common.h"

#if HAS_X86_PATHS
#include <immintrin.h>

#define TARGET            __attribute__((target("avx2,fma")))
#define VECTOR            __m256
#define LOAD(at)          _mm256_loadu_ps(at)
#define STORE(at, v)      _mm256_storeu_ps(at, v)
#define SPREAD(value)     _mm256_set1_ps(value)
#define ADD(a, b)         _mm256_add_ps(a, b)
#define MULTIPLY(a, b)    _mm256_mul_ps(a, b)
#define LARGER(a, b)      _mm256_max_ps(a, b)
#define FUSED(a, b, c)    _mm256_fmadd_ps(a, b, c)
#define NARROW(at, v)     narrow(at, v)
#define WIDEN(at)         widen(at)
#define CHOOSE(a, b, c)   _mm256_blendv_ps(c, b, _mm256_cmp_ps(a, _mm256_setzero_ps(), _CMP_GT_OQ))
#define PANELS(tile_m, m) tile_m(p, matrix, m, PANEL, place, column)

enum { LANES = 8, PANEL = 2 };

/* No processor with these instructions alone multiplies bfloat16. */
TARGET static inline void narrow(uint16_t *at, __m256 v)
{
    float values[8];
    _mm256_storeu_ps(values, v);
    for (size_t i = 0; i < 8; i++) {
        at[i] = to_bf16(values[i]);
    }
}

TARGET static inline __m256 widen(const uint16_t *at)
{
    const __m128i halves = _mm_loadu_si128((const __m128i *)(const void *)at);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

#include "net_kernels.h"

const kernels dcn_net_avx2 = {DCN_NET_AVX2, 1, multiply, NULL, filter};
#endif
