/* The network in plain C, which the other paths are compared with. */
#include "context_common.h"

#define TARGET

static inline void push(int32_t *sum, const int16_t *column, int32_t value, size_t first,
                        size_t last)
{
    for (size_t r = first; r < last; r++) {
        sum[r] += column[r] * value;
    }
}

static inline void push_pair(int32_t *sum, const int16_t *pairs, int32_t a, int32_t b, size_t first,
                             size_t last)
{
    for (size_t r = first; r < last; r++) {
        sum[r] += pairs[2 * r] * a + pairs[2 * r + 1] * b;
    }
}

static inline void push_inputs(int32_t *sum, const int16_t *columns, size_t stride,
                               const input *inputs, size_t count, size_t last, int linear)
{
    for (size_t i = 0; i < count; i++) {
        push(sum, columns + inputs[i].column * stride,
             linear ? inputs[i].clamped : inputs[i].squashed, 0, last);
    }
}

#include "context_row.h"

const kernels dcn_context_plain = {DCN_CONTEXT_PLAIN, predict_place, decode_row, quantise_row};
