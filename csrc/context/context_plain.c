/* The network in plain C, which the other paths are compared with. */
#include "context_common.h"

#define TARGET

INLINE void push(int32_t *sum, const int16_t *pairs, int32_t value, size_t first, size_t last)
{
    const int16_t a = (int16_t)value, b = (int16_t)(value >> 16);
    for (size_t r = first; r < last; r++) {
        sum[r] += pairs[2 * r] * a + pairs[2 * r + 1] * b;
    }
}

/* LANES sums. */
typedef struct {
    int32_t sums[LANES];
} lanes;

INLINE lanes load(const int32_t *at)
{
    lanes l;
    memcpy(l.sums, at, sizeof l.sums);
    return l;
}

/* Activations of LANES units. */
typedef struct {
    int16_t units[LANES];
} values;

INLINE values activations(lanes sum, const uint8_t *shift, unsigned from, unsigned to)
{
    values v = {{0}};
    for (unsigned i = from; i < to; i++) {
        const int32_t value = sum.sums[i] >> shift[i];
        v.units[i] = (int16_t)clamp(value > value >> 3 ? value : value >> 3, INT16_MIN, INT16_MAX);
    }
    return v;
}

INLINE values plus(values a, values b)
{
    for (size_t i = 0; i < LANES; i++) {
        a.units[i] = (int16_t)clamp(a.units[i] + b.units[i], INT16_MIN, INT16_MAX);
    }
    return a;
}

INLINE void push_some(int32_t *const *sum, size_t places, const int16_t *pairs, size_t stride,
                      const values *v, unsigned begin, unsigned end, size_t first, size_t last)
{
    for (size_t p = 0; p < places; p++) {
        for (unsigned i = begin; i < end; i++) {
            const int32_t value = half(v[p].units[2 * i], 0) | half(v[p].units[2 * i + 1], 1);
            push(sum[p], pairs + i * stride, value, first, last);
        }
    }
}

INLINE void push_all(int32_t *const *sum, size_t places, const int16_t *pairs, size_t stride,
                     const values *v, size_t first, size_t last)
{
    push_some(sum, places, pairs, stride, v, 0, LANES / 2, first, last);
}

INLINE void push_inputs(int32_t *const *sum, size_t places, const int16_t *pairs, size_t stride,
                        const input *inputs, size_t count, size_t last, int linear)
{
    for (size_t i = 0; i < count; i++) {
        const int32_t *const value = linear ? inputs[i].clamped : inputs[i].squashed;
        for (size_t p = 0; p < places; p++) {
            if (value[p] != 0) {
                push(sum[p], pairs + inputs[i].pair * stride, value[p], 0, last);
            }
        }
    }
}

#include "context_row.h"

const kernels dcn_context_plain = {DCN_CONTEXT_PLAIN, predict_place, decode_rows, quantise_row};
