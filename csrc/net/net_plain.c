/* Products in plain C, which the other paths are compared with. */
#include "net_common.h"

static float bent(float value, float slope)
{
    const float low = value * slope;
    return value > low ? value : low;
}

static float gated(const gate *g, size_t at, float value)
{
    if (g->wide == NULL && g->narrow == NULL) {
        return value;
    }
    const float open = g->wide != NULL ? g->wide[at] : from_bf16(g->narrow[at]);
    return open > 0 ? value : value * g->slope;
}

/* What a product of one place and a unit of columns becomes. */
static void finish(const product *p, const float *sums, size_t place, size_t column)
{
    const size_t out =
        place * p->out_step + column / p->out_step * p->out_line + column % p->out_step;
    for (size_t j = 0; j < UNIT; j++) {
        float value = bent(sums[j], p->slope);
        if (p->add != NULL) {
            value += p->add[place * p->add_step + column + j];
        }
        value = gated(&p->gate, place * p->add_step + column + j, value);
        if (p->wide != NULL) {
            p->wide[out + j] = value;
        }
        if (p->narrow != NULL) {
            p->narrow[out + j] = to_bf16(value);
        }
    }
}

/* Adds four bytes of input times a row: a factor, or two of bfloat16. */
INLINE void add_word(float *sums, const unsigned char *in, const float *row, int bf16)
{
    if (!bf16) {
        float a;
        memcpy(&a, in, sizeof a);
        for (size_t j = 0; j < UNIT; j++) {
            sums[j] += a * row[j];
        }
        return;
    }
    uint16_t a[2], b[2 * UNIT];
    memcpy(a, in, sizeof a);
    memcpy(b, row, sizeof b);
    for (size_t j = 0; j < UNIT; j++) {
        sums[j] +=
            from_bf16(a[0]) * from_bf16(b[2 * j]) + from_bf16(a[1]) * from_bf16(b[2 * j + 1]);
    }
}

INLINE void multiply_words(const product *p, size_t places, int bf16)
{
    const float *matrix = p->matrix;
    for (size_t column = 0; column < p->units * UNIT; column += UNIT) {
        for (size_t place = 0; place < places; place++) {
            float sums[UNIT];
            memcpy(sums, p->bias + column, sizeof sums);
            const float *row = matrix;
            for (size_t line = 0; line < p->lines; line++) {
                const unsigned char *const in = p->in[line] + place * p->in_step;
                for (size_t k = 0; k < p->words; k++, row += UNIT) {
                    add_word(sums, in + 4 * k, row, bf16);
                }
            }
            finish(p, sums, place, column);
        }
        matrix += p->lines * p->words * UNIT;
    }
}

static void multiply(const product *p, size_t places)
{
    multiply_words(p, places, 0);
}

static void multiply_bf16(const product *p, size_t places)
{
    multiply_words(p, places, 1);
}

static void filter(const depthwise *d, size_t places)
{
    for (size_t x = 0; x < places; x++) {
        for (size_t c = 0; c < d->step; c++) {
            float sum = d->bias[c];
            for (size_t tap = 0; tap < 9; tap++) {
                sum += d->in[tap / 3][(x + tap % 3) * d->step + c] * d->weights[tap * d->step + c];
            }
            sum = gated(&d->gate, x * d->step + c, bent(sum, d->slope));
            if (d->wide != NULL) {
                d->wide[x * d->step + c] = sum;
            }
            if (d->narrow != NULL) {
                d->narrow[x * d->step + c] = to_bf16(sum);
            }
        }
    }
}

const kernels dcn_net_plain = {DCN_NET_PLAIN, 1, multiply, multiply_bf16, filter};
