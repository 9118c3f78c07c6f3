/* The network with AVX-512 and VNNI: 16 sums in a vector. */
#include "context_common.h"

#if HAS_X86_PATHS
#include <immintrin.h>

#define TARGET __attribute__((target("avx2,bmi2,avx512f,avx512bw,avx512vl,avx512vnni")))

/* 16 weights of 16 bits as pairs with a second weight, which is multiplied with 0. */
TARGET static inline __m512i widened(const int16_t *column)
{
    return _mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)column));
}

TARGET static inline __m512i load(const void *at)
{
    return _mm512_loadu_si512(at);
}

TARGET static inline void push(int32_t *sum, const int16_t *column, int32_t value, size_t first,
                               size_t last)
{
    const __m512i v = _mm512_set1_epi32(value & 0xffff);
    for (size_t r = first; r < last; r += 16) {
        _mm512_storeu_si512(sum + r, _mm512_dpwssd_epi32(load(sum + r), widened(column + r), v));
    }
}

TARGET static inline void push_pair(int32_t *sum, const int16_t *pairs, int32_t a, int32_t b,
                                    size_t first, size_t last)
{
    const __m512i v = _mm512_set1_epi32((int32_t)((uint32_t)b << 16 | (a & 0xffff)));
    for (size_t r = first; r < last; r += 16) {
        _mm512_storeu_si512(sum + r, _mm512_dpwssd_epi32(load(sum + r), load(pairs + 2 * r), v));
    }
}

/* 64 sums at a time stay in registers while all inputs are added. */
TARGET static inline void push_inputs(int32_t *sum, const int16_t *columns, size_t stride,
                                      const input *inputs, size_t count, size_t last, int linear)
{
    size_t r = 0;
    for (; r + 64 <= last; r += 64) {
        __m512i a = load(sum + r), b = load(sum + r + 16);
        __m512i c = load(sum + r + 32), d = load(sum + r + 48);
        for (size_t i = 0; i < count; i++) {
            const int16_t *const column = columns + inputs[i].column * stride + r;
            const int32_t value = linear ? inputs[i].clamped : inputs[i].squashed;
            const __m512i v = _mm512_set1_epi32(value & 0xffff);
            a = _mm512_dpwssd_epi32(a, widened(column), v);
            b = _mm512_dpwssd_epi32(b, widened(column + 16), v);
            c = _mm512_dpwssd_epi32(c, widened(column + 32), v);
            d = _mm512_dpwssd_epi32(d, widened(column + 48), v);
        }
        _mm512_storeu_si512(sum + r, a);
        _mm512_storeu_si512(sum + r + 16, b);
        _mm512_storeu_si512(sum + r + 32, c);
        _mm512_storeu_si512(sum + r + 48, d);
    }
    for (; r < last; r += 16) {
        __m512i a = load(sum + r);
        for (size_t i = 0; i < count; i++) {
            const int32_t value = linear ? inputs[i].clamped : inputs[i].squashed;
            a = _mm512_dpwssd_epi32(a, widened(columns + inputs[i].column * stride + r),
                                    _mm512_set1_epi32(value & 0xffff));
        }
        _mm512_storeu_si512(sum + r, a);
    }
}

#include "context_row.h"

const kernels dcn_context_vnni = {DCN_CONTEXT_VNNI, predict_place, decode_row, quantise_row};
#endif
