/* Products with vectors of LANES sums, the same for all sets of instructions that have such:
 * included once for each, after what context_row.h wants of them and this have been defined:
 *
 *   spread      a pair of values in every lane
 *   pair        pair i of LANES values in every lane
 *   BLOCK       how many vectors of sums there are registers for
 *
 * Compilers would unroll a loop over few pairs as if there were many, hence its pragma. */

TARGET INLINE void push(int32_t *sum, const int16_t *pairs, int32_t value, size_t first,
                        size_t last)
{
    const lanes v = spread(value);
    for (size_t r = first; r < last; r += LANES) {
        store(sum + r, add_pairs(load(sum + r), load(pairs + 2 * r), v));
    }
}

TARGET INLINE void push_some(int32_t *const *sum, size_t places, const int16_t *pairs,
                             size_t stride, const values *v, unsigned begin, unsigned end,
                             size_t first, size_t last)
{
    for (size_t r = first; r < last; r += LANES) {
        lanes total[TOGETHER];
        for (size_t p = 0; p < places; p++) {
            total[p] = load(sum[p] + r);
        }
#pragma GCC unroll 1
        for (unsigned i = begin; i < end; i++) {
            const lanes weights = load(pairs + i * stride + 2 * r);
            for (size_t p = 0; p < places; p++) {
                total[p] = add_pairs(total[p], weights, pair(v[p], i));
            }
        }
        for (size_t p = 0; p < places; p++) {
            store(sum[p] + r, total[p]);
        }
    }
}

TARGET INLINE void push_all(int32_t *const *sum, size_t places, const int16_t *pairs, size_t stride,
                            const values *v, size_t first, size_t last)
{
    for (size_t r = first; r < last; r += LANES) {
        lanes total[TOGETHER];
        for (size_t p = 0; p < places; p++) {
            total[p] = load(sum[p] + r);
        }
        for (unsigned i = 0; i < LANES / 2; i++) {
            const lanes weights = load(pairs + i * stride + 2 * r);
            for (size_t p = 0; p < places; p++) {
                total[p] = add_pairs(total[p], weights, pair(v[p], i));
            }
        }
        for (size_t p = 0; p < places; p++) {
            store(sum[p] + r, total[p]);
        }
    }
}

enum { LONGEST = 6 };

/* The next `vectors` vectors of sums stay in registers while all inputs are added. */
TARGET INLINE void push_block(int32_t *const *sum, size_t places, const int16_t *pairs,
                              size_t stride, const input *inputs, size_t count, size_t r,
                              size_t vectors, int linear)
{
    lanes total[TOGETHER][LONGEST];
    for (size_t p = 0; p < places; p++) {
        for (size_t j = 0; j < vectors; j++) {
            total[p][j] = load(sum[p] + r + j * LANES);
        }
    }
    for (size_t i = 0; i < count; i++) {
        const int16_t *const weights = pairs + inputs[i].pair * stride + 2 * r;
        const int32_t *const value = linear ? inputs[i].clamped : inputs[i].squashed;
        lanes v[TOGETHER];
        for (size_t p = 0; p < places; p++) {
            v[p] = spread(value[p]);
        }
        for (size_t j = 0; j < vectors; j++) {
            const lanes w = load(weights + 2 * j * LANES);
            for (size_t p = 0; p < places; p++) {
                total[p][j] = add_pairs(total[p][j], w, v[p]);
            }
        }
    }
    for (size_t p = 0; p < places; p++) {
        for (size_t j = 0; j < vectors; j++) {
            store(sum[p] + r + j * LANES, total[p][j]);
        }
    }
}

TARGET INLINE void push_inputs(int32_t *const *sum, size_t places, const int16_t *pairs,
                               size_t stride, const input *inputs, size_t count, size_t last,
                               int linear)
{
    const size_t most = BLOCK / places < LONGEST ? BLOCK / places : LONGEST;
    size_t r = 0;
    for (; r + most * LANES <= last; r += most * LANES) {
        push_block(sum, places, pairs, stride, inputs, count, r, most, linear);
    }
    for (; r + 2 * LANES <= last; r += 2 * LANES) {
        push_block(sum, places, pairs, stride, inputs, count, r, 2, linear);
    }
    if (r < last) {
        push_block(sum, places, pairs, stride, inputs, count, r, 1, linear);
    }
}
