/* What a run does with one strip: input, layers and output. */
#include <math.h>

#include "net_run.h"

/* Where a row of a plane begins, in elements. */
static size_t row_of(const view *v, size_t y)
{
    return y % v->rows * v->line;
}

/* --- what depends on the rate ----------------------------------------------------------------- */

/* out += a row of (knots, count) at a rate of 0..255: knots lie at 255 i / (knots - 1). */
static void add_at_rate(float *out, const float *table, size_t knots, size_t count, unsigned rate)
{
    const float place = (float)rate * ((float)(knots - 1) / MAX_RATE);
    const size_t first = (size_t)place;
    const size_t second = first + 1 < knots ? first + 1 : first;
    const float share = place - (float)first;
    for (size_t i = 0; i < count; i++) {
        out[i] += (1 - share) * table[first * count + i] + share * table[second * count + i];
    }
}

void dcn_net_set_rate(run *r, unsigned rate)
{
    const dcn_net *const n = r->net;
    for (size_t i = 0; i < n->layer_count; i++) {
        const layer *const l = &n->layers[i];
        if (l->rate_bias != NULL) {
            float *const bias = (float *)r->biases[i];
            memcpy(bias, l->bias, l->units * UNIT * sizeof *bias);
            add_at_rate(bias, l->rate_bias, n->knots, l->units * UNIT, rate);
        }
    }
    memset(r->gains, 0, n->channels * sizeof *r->gains);
    if (n->log_gains != NULL) {
        add_at_rate(r->gains, n->log_gains, n->knots, n->channels, rate);
    }
    for (size_t c = 0; c < n->channels; c++) {
        r->gains[c] = n->gain * expf(r->gains[c]);
    }
}

/* --- input and output ------------------------------------------------------------------------- */

static void keep(const view *v, size_t at, float value)
{
    if (v->wide != NULL) {
        v->wide[at] = value;
    }
    if (v->narrow != NULL) {
        v->narrow[at] = to_bf16(value);
    }
}

/* What a channel has beside its latents at (y, x), in code words. */
static float mean_at(const dcn_net_means *m, size_t channel, size_t y, size_t x)
{
    if (m->values == NULL || channel >= DCN_NET_MEANS) {
        return 0;
    }
    const size_t row = (m->top + y) / DCN_NET_MEANS_SIDE;
    const size_t column = (m->left + x) / DCN_NET_MEANS_SIDE;
    return (float)m->values[(channel * m->rows + row) * m->columns + column] / DCN_NET_MEANS_PARTS;
}

static void load_latents(const run *r, size_t y, size_t x, size_t count)
{
    const buffer *const b = &r->net->buffers[0];
    const size_t at = row_of(&r->planes[0], y) + x * b->step;
    for (size_t c = 0; c < b->step; c++) {
        const float gain = c < b->channels ? r->gains[c] : 0;
        const size_t channel = c < b->channels ? c : 0;
        const int16_t *const from = r->latents + channel * r->channel_step + y * r->row_step + x;
        for (size_t i = 0; i < count; i++) {
            const float exact = (float)from[i] + mean_at(&r->means, c, y, x + i);
            keep(&r->planes[0], at + i * b->step + c, exact * gain);
        }
    }
}

static void load_pixels(const run *r, size_t y, size_t x, size_t count)
{
    const uint8_t *const from = r->pixels + y * r->pitch + x * COLOURS;
    const size_t at = row_of(&r->planes[0], y) + x * PIXEL;
    for (size_t i = 0; i < count; i++) {
        for (size_t c = 0; c < COLOURS; c++) {
            const float value = (float)from[i * COLOURS + c] * (2 / 255.0F) - 1;
            keep(&r->planes[0], at + i * PIXEL + c, value);
        }
        keep(&r->planes[0], at + i * PIXEL + COLOURS, 0);
    }
}

/* Places of the last layer's grid as blocks of pixels. */
static void store_pixels(const run *r, const float *from, size_t step, size_t grid, size_t y,
                         size_t x, size_t count)
{
    const size_t side = r->net->stride / grid;
    const size_t run_length = side * COLOURS;
    uint8_t *const to = r->to_pixels + (y - r->part.top * grid) * side * r->pitch +
                        (x - r->part.left * grid) * run_length;
    for (size_t i = 0; i < count; i++) {
        for (size_t line = 0; line < side; line++) {
            const float *const in = from + i * step + line * run_length;
            uint8_t *const out = to + line * r->pitch + i * run_length;
            for (size_t j = 0; j < run_length; j++) {
                const float level = in[j] * 127.5F + 127.5F;
                const float clipped = level < 0 ? 0 : level > 255 ? 255 : level;
                /* 1.5 * 2^23 leaves a whole number in the lowest bits, rounded to the nearest. */
                const float shifted = clipped + 12582912.0F;
                uint32_t bits;
                memcpy(&bits, &shifted, sizeof bits);
                out[j] = (uint8_t)bits;
            }
        }
    }
}

static void store_latents(const run *r, const float *from, size_t step, size_t y, size_t x,
                          size_t count)
{
    const dcn_net_part *const p = &r->part;
    for (size_t c = 0; c < r->net->channels; c++) {
        float *const out = r->to_latents + (c * p->rows + y - p->top) * p->columns + x - p->left;
        for (size_t i = 0; i < count; i++) {
            out[i] = from[i * step + c] * r->gains[c];
        }
    }
}

/* --- layers ----------------------------------------------------------------------------------- */

/* A buffer's place (y, x) for the worker's strip, which begins there. */
static view at_place(const run *r, const worker *w, size_t number, size_t y, size_t x)
{
    const buffer *const b = &r->net->buffers[number];
    view v = b->local ? w->locals[number] : r->planes[number];
    const size_t offset = b->local ? 0 : row_of(&v, y) + x * b->step;
    v.wide = v.wide == NULL ? NULL : v.wide + offset;
    v.narrow = v.narrow == NULL ? NULL : v.narrow + offset;
    return v;
}

/* What a row of a layer's kernel covers for its grid's place (y, x). */
static const void *covered(const run *r, const worker *w, const layer *l, size_t line, size_t y,
                           size_t x)
{
    const buffer *const b = &r->net->buffers[l->input];
    const size_t size = l->narrow ? sizeof(uint16_t) : sizeof(float);
    /* Rows above the plane have numbers that are too large, too. */
    const size_t row = y * l->stride + line - l->padding;
    const size_t left = x * l->stride * b->step, before = l->padding * b->step;
    if (!b->local && row >= r->rows * b->scale) {
        return (const uint8_t *)r->zeros + (b->border * b->step + left - before) * size;
    }
    const view from = at_place(r, w, l->input, row, 0);
    const uint8_t *const begin =
        l->narrow ? (const uint8_t *)from.narrow : (const uint8_t *)from.wide;
    return b->local ? begin : begin + left * size - before * size;
}

static void run_layer(const run *r, const worker *w, size_t number, size_t y, size_t x,
                      size_t count)
{
    const dcn_net *const n = r->net;
    const layer *const l = &n->layers[number];
    const buffer *const in = &n->buffers[l->input], *const out = &n->buffers[l->output];
    const view to = at_place(r, w, l->output, y * l->shuffle, x * l->shuffle);
    const view open = l->gate == DCN_NET_NONE ? (view){0} : at_place(r, w, l->gate, y, x);
    const gate gate = {open.wide, open.wide == NULL ? open.narrow : NULL, n->slope};
    if (l->depthwise) {
        depthwise d = {.step = in->step,
                       .weights = l->matrix,
                       .bias = r->biases[number],
                       .gate = gate,
                       .wide = to.wide,
                       .narrow = to.narrow,
                       .slope = l->slope};
        for (size_t line = 0; line < 3; line++) {
            d.in[line] = covered(r, w, l, line, y, x);
        }
        n->kernels->filter(&d, count);
        return;
    }
    const size_t size = l->narrow ? sizeof(uint16_t) : sizeof(float);
    const view add = l->add == DCN_NET_NONE ? (view){0} : at_place(r, w, l->add, y, x);
    product p = {.in_step = l->stride * in->step * size,
                 .lines = l->side,
                 .words = l->words,
                 .matrix = l->matrix,
                 .units = l->units,
                 .bias = r->biases[number],
                 .add = add.wide,
                 .gate = gate,
                 .add_step = out->step,
                 .wide = to.wide,
                 .narrow = to.narrow,
                 .out_step = l->shuffle * out->step,
                 .out_line = to.line,
                 .slope = l->slope};
    for (size_t line = 0; line < l->side; line++) {
        p.in[line] = covered(r, w, l, line, y, x);
    }
    (l->narrow ? n->kernels->multiply_bf16 : n->kernels->multiply)(&p, count);
    if (l->compared) {
        dcn_net_compare(r, &to, out, y, x, count);
    }
}

void dcn_net_run_strip(const run *r, const worker *w, size_t number, size_t y, size_t x,
                       size_t count)
{
    const dcn_net *const n = r->net;
    if (number == n->stage_count) {
        (n->transform == DCN_NET_ANALYSIS ? load_pixels : load_latents)(r, y, x, count);
        return;
    }
    const stage *const s = &n->stages[number];
    for (size_t i = s->first; i < s->last; i++) {
        const layer *const l = &n->layers[i];
        if (!r->memo.known || !l->fixed) {
            run_layer(r, w, i, y, x, count);
        }
        if (r->memo.memory != NULL && l->kept) {
            const view to = at_place(r, w, l->output, y * l->shuffle, x * l->shuffle);
            dcn_net_remember(r, i, &to, y, x, count);
        }
        if (l->compared && r->to_latents == NULL) {
            return;
        }
    }
    if (s->last == n->layer_count) {
        const uint32_t output = n->layers[s->last - 1].output;
        const float *const from = w->locals[output].wide;
        const size_t step = n->buffers[output].step;
        if (n->transform == DCN_NET_SYNTHESIS) {
            store_pixels(r, from, step, s->grid, y, x, count);
        } else {
            store_latents(r, from, step, y, x, count);
        }
    }
}
