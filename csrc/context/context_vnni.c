/* The network with AVX-512 and VNNI: 16 sums in a vector. */
#include "context_common.h"

#if HAS_X86_PATHS
#include <immintrin.h>

#define TARGET __attribute__((target("avx2,bmi2,avx512f,avx512bw,avx512vl,avx512vnni")))

TARGET INLINE __m512i load(const void *at)
{
    return _mm512_load_si512(at);
}

TARGET INLINE void push(int32_t *sum, const int16_t *pairs, int32_t value, size_t first,
                        size_t last)
{
    const __m512i v = _mm512_set1_epi32(value);
    for (size_t r = first; r < last; r += 16) {
        _mm512_store_si512(sum + r, _mm512_dpwssd_epi32(load(sum + r), load(pairs + 2 * r), v));
    }
}

/* Activations of LANES units. */
typedef __m256i values;

TARGET INLINE values activations(const int32_t *sum, const uint8_t *shift, unsigned from,
                                 unsigned to)
{
    const __m512i shifts =
        _mm512_cvtepu8_epi32(_mm_load_si128((const __m128i *)(const void *)shift));
    const __m512i value = _mm512_srav_epi32(load(sum), shifts);
    const __mmask16 lanes = (__mmask16)((1U << to) - (1U << from));
    return _mm512_maskz_cvtsepi32_epi16(lanes,
                                        _mm512_max_epi32(value, _mm512_srai_epi32(value, 3)));
}

TARGET INLINE values plus(values a, values b)
{
    return _mm256_adds_epi16(a, b);
}

/* Values 2 i and 2 i + 1 in every lane. */
TARGET INLINE __m512i pair(values v, unsigned i)
{
    return _mm512_permutexvar_epi32(_mm512_set1_epi32((int32_t)i), _mm512_castsi256_si512(v));
}

TARGET INLINE void push_pairs(int32_t *const *sum, size_t places, const int16_t *pairs,
                              size_t stride, const values *v, unsigned begin, unsigned end,
                              size_t first, size_t last)
{
    for (size_t r = first; r < last; r += 16) {
        __m512i total[TOGETHER];
        for (size_t p = 0; p < places; p++) {
            total[p] = load(sum[p] + r);
        }
        for (unsigned i = begin; i < end; i++) {
            const __m512i weights = load(pairs + i * stride + 2 * r);
            for (size_t p = 0; p < places; p++) {
                total[p] = _mm512_dpwssd_epi32(total[p], weights, pair(v[p], i));
            }
        }
        for (size_t p = 0; p < places; p++) {
            _mm512_store_si512(sum[p] + r, total[p]);
        }
    }
}

/* The next 16 * `vectors` sums stay in registers while all inputs are added. */
TARGET INLINE void push_some(int32_t *sum, const int16_t *pairs, size_t stride, const entry *inputs,
                             size_t count, size_t vectors, int linear)
{
    __m512i total[6];
    for (size_t j = 0; j < vectors; j++) {
        total[j] = load(sum + 16 * j);
    }
    for (size_t i = 0; i < count; i++) {
        const int16_t *const weights = pairs + inputs[i].pair * stride;
        const __m512i v = _mm512_set1_epi32(linear ? inputs[i].clamped : inputs[i].squashed);
        for (size_t j = 0; j < vectors; j++) {
            total[j] = _mm512_dpwssd_epi32(total[j], load(weights + 32 * j), v);
        }
    }
    for (size_t j = 0; j < vectors; j++) {
        _mm512_store_si512(sum + 16 * j, total[j]);
    }
}

TARGET INLINE void push_inputs(int32_t *sum, const int16_t *pairs, size_t stride,
                               const entry *inputs, size_t count, size_t last, int linear)
{
    size_t r = 0;
    for (; r + 96 <= last; r += 96) {
        push_some(sum + r, pairs + 2 * r, stride, inputs, count, 6, linear);
    }
    for (; r + 32 <= last; r += 32) {
        push_some(sum + r, pairs + 2 * r, stride, inputs, count, 2, linear);
    }
    if (r < last) {
        push_some(sum + r, pairs + 2 * r, stride, inputs, count, 1, linear);
    }
}

#include "context_row.h"

const kernels dcn_context_vnni = {DCN_CONTEXT_VNNI, predict_place, decode_rows, quantise_row};
#endif
