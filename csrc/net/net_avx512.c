/* Products with AVX-512, of bfloat16 with AVX512_BF16: 16 sums in a vector, 32 registers. */
#include "net_common.h"

#if HAS_X86_PATHS
#include <immintrin.h>

#define TARGET         __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#define TARGET_BF16    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))
#define VECTOR         __m512
#define LOAD(at)       _mm512_loadu_ps(at)
#define STORE(at, v)   _mm512_storeu_ps(at, v)
#define SPREAD(value)  _mm512_set1_ps(value)
#define ADD(a, b)      _mm512_add_ps(a, b)
#define MULTIPLY(a, b) _mm512_mul_ps(a, b)
#define LARGER(a, b)   _mm512_max_ps(a, b)
#define FUSED(a, b, c) _mm512_fmadd_ps(a, b, c)
#define NARROW(at, v)  narrow(at, v)
#define WIDEN(at)      widen(at)
#define CHOOSE(a, b, c)                                                                            \
    _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, _mm512_setzero_ps(), _CMP_GT_OQ), c, b)
#define PANELS(name, m)                                                                            \
    switch (n) {                                                                                   \
    case 1: name(p, matrix, m, 1, place, column); break;                                           \
    case 2: name(p, matrix, m, 2, place, column); break;                                           \
    case 3: name(p, matrix, m, 3, place, column); break;                                           \
    default: name(p, matrix, m, PANEL, place, column);                                             \
    }

enum { LANES = 16, PANEL = 4 };

/* As to_bf16, also where there are no instructions for bfloat16. */
TARGET static inline void narrow(uint16_t *at, __m512 v)
{
    const __m512i bits = _mm512_castps_si512(v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i sum = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    _mm256_storeu_si256((__m256i *)(void *)at, _mm512_cvtepi32_epi16(_mm512_srli_epi32(sum, 16)));
}

TARGET static inline __m512 widen(const uint16_t *at)
{
    const __m256i halves = _mm256_loadu_si256((const __m256i *)(const void *)at);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

#include "net_kernels.h"

#define DOT(a, b, c) _mm512_dpbf16_ps(c, (__m512bh)(a), (__m512bh)(b))

DEFINE_TILE(tile_bf16, TARGET_BF16, factor, DOT)
DEFINE_MULTIPLY(multiply_bf16, TARGET_BF16, tile_bf16, PANELS)

const kernels dcn_net_avx512 = {DCN_NET_AVX512, PANEL, multiply, multiply_bf16, filter};
#endif
