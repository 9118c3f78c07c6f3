/* Evaluating the network, decoding and quantising a row: included once for each set of
 * instructions, after TARGET, push (sums += column * value), push_pair (sums += two columns * two
 * values) and push_inputs (sums += columns * values) have been defined for it. All three work on
 * whole vectors of LANES rows, `first` and `last` being multiples of it. */

/* Leaky ReLU with slope 1/8 of a sum, as an activation of 16 bits. */
TARGET INLINE int32_t activation(int32_t sum, unsigned shift)
{
    const int32_t value = sum >> shift;
    /* The larger of both is the right one; a branch on the sign would be wrong half of the time. */
    return clamp(value > value >> 3 ? value : value >> 3, INT16_MIN, INT16_MAX);
}

/* The neighbours' share of all sums. */
TARGET INLINE void begin_place(const block *b, worker *w, const surroundings *around, size_t x)
{
    const dcn_context *const m = b->model;
    const size_t units = PADDED(m->units[b->active]);
    const size_t linear = PADDED(b->active);
    sums *const s = &w->sums;
    memcpy(s->first, b->first_bias, units * sizeof *s->first);
    memcpy(s->second, m->hidden_bias, units * sizeof *s->second);
    memcpy(s->output, b->output_bias, PADDED(2 * b->active) * sizeof *s->output);
    memset(s->linear, 0, linear * sizeof *s->linear);
    size_t count = 0;
    for (unsigned k = 0; k < m->neighbours; k++) {
        const entry *list = around->rows[-m->offsets[k][0]];
        const size_t column = x + (size_t)(ptrdiff_t)m->offsets[k][1];
        if (list == NULL || column >= b->columns) {
            continue;
        }
        list += column * b->list_stride;
        for (unsigned i = 1; i <= list->channel; i++) {
            const int32_t value = clamp(list[i].value, -m->limit, m->limit);
            input *const in = &w->inputs[count++];
            in->column = (uint16_t)(k * m->channels + list[i].channel);
            in->clamped = (int16_t)value;
            in->squashed = (int16_t)(value < 0 ? -m->squash[-value] : m->squash[value]);
        }
    }
    push_inputs(s->first, m->neighbour_columns, m->unit_rows, w->inputs, count, units, 0);
    push_inputs(s->linear, m->linear_neighbour_columns, m->linear_rows, w->inputs, count, linear,
                1);
}

/* Mean and scale of channel c, once all channels before it are known. */
TARGET INLINE int32_t step(const block *b, worker *w, unsigned c, uint8_t *scale)
{
    const dcn_context *const m = b->model;
    sums *const s = &w->sums;
    const size_t first = m->units[c], end = m->units[c + 1];
    const size_t units = PADDED(m->units[b->active]);
    const size_t outputs = PADDED(2 * b->active);
    size_t pair = m->pairs[c];
    int32_t values[2 * (DCN_CONTEXT_MAX_HIDDEN / 2 + 1)];
    for (size_t u = first; u < end; u += 2, pair++) {
        int32_t *const v = values + (u - first);
        v[0] = activation(s->first[u], m->first_shift[u]);
        v[1] = u + 1 < end ? activation(s->first[u + 1], m->first_shift[u + 1]) : 0;
        push_pair(s->second, m->hidden_pairs + pair * m->unit_rows * 2, v[0], v[1],
                  first / LANES * LANES, units);
    }
    pair = m->pairs[c];
    for (size_t u = first; u < end; u += 2, pair++) {
        const int32_t *const v = values + (u - first);
        int32_t h[2] = {0, 0};
        for (size_t i = 0; i < 2 && u + i < end; i++) {
            h[i] = clamp(v[i] + activation(s->second[u + i], m->hidden_shift[u + i]), INT16_MIN,
                         INT16_MAX);
        }
        push_pair(s->output, m->output_pairs + pair * m->output_rows * 2, h[0], h[1],
                  2 * c / LANES * LANES, outputs);
    }
    const int64_t mean = ((int64_t)(s->output[2 * c] >> m->output_shift[2 * c]) +
                          (s->linear[c] >> m->linear_shift[c])) >>
                         4;
    const int32_t level = s->output[2 * c + 1] >> m->output_shift[2 * c + 1];
    *scale = (uint8_t)clamp(level, 0, (int32_t)m->scales - 1);
    return (int32_t)(mean < LEAST_MEAN ? LEAST_MEAN : mean > MOST_MEAN ? MOST_MEAN : mean);
}

/* Tell the channels behind c that its latent is `latent`, not 0. */
TARGET INLINE void known(const block *b, worker *w, unsigned c, int32_t latent)
{
    const dcn_context *const m = b->model;
    sums *const s = &w->sums;
    const int32_t value = clamp(latent, -m->limit, m->limit);
    push(s->first, m->before_columns + c * m->unit_rows,
         value < 0 ? -m->squash[-value] : m->squash[value], m->units[c + 1] / LANES * LANES,
         PADDED(m->units[b->active]));
    push(s->linear, m->linear_before_columns + c * m->linear_rows, value, (c + 1) / LANES * LANES,
         PADDED(b->active));
}

TARGET static void predict_place(const block *b, worker *w, const surroundings *around, size_t x)
{
    begin_place(b, w, around, x);
    const entry *const list = around->rows[0] + x * b->list_stride;
    unsigned next = 1;
    for (unsigned c = 0; c < b->active; c++) {
        w->means[c] = step(b, w, c, &w->scales[c]);
        if (next <= list->channel && list[next].channel == c) {
            known(b, w, c, list[next++].value);
        }
    }
}

/* One more word if the state has become small; 0 where there is none. */
TARGET INLINE int refill(stream *s)
{
    if (s->state < STATE_START) {
        if (s->end - s->at < 2) {
            return 0;
        }
        s->state = s->state << WORD_BITS | s->at[0] | (uint64_t)s->at[1] << 8;
        s->at += 2;
    }
    return 1;
}

TARGET INLINE int read_bits(stream *s, unsigned count, uint32_t *value)
{
    *value = (uint32_t)s->state & ((1U << count) - 1);
    s->state >>= count;
    return refill(s);
}

/* What stands behind an escape: how far the latent lies outside the table. */
TARGET INLINE int read_escape(stream *s, int64_t radius, int64_t *value)
{
    uint32_t negative, length, rest;
    if (!read_bits(s, 1, &negative) || !read_bits(s, LENGTH_BITS, &length) ||
        !read_bits(s, length, &rest)) {
        return 0;
    }
    const int64_t magnitude = radius + ((int64_t)1 << length | rest);
    *value = negative ? -magnitude : magnitude;
    return 1;
}

TARGET INLINE dcn_context_error read_latent(const dcn_context *m, stream *s, int32_t mean,
                                            uint8_t scale, int32_t *latent)
{
    const table *const t = table_of(m, mean, scale);
    const uint32_t slot = (uint32_t)s->state & ((1U << DCN_CONTEXT_PRECISION) - 1);
    uint32_t symbol = t->likely, frequency = t->likely_frequency;
    uint32_t offset = slot - t->likely_start;
    if (offset >= frequency) {
        const uint16_t *const cumulative = m->cumulative + t->start;
        symbol = m->hints[((size_t)(t - m->tables) << HINT_BITS) + (slot >> HINT_SHIFT)];
        while (cumulative[symbol + 1] <= slot) {
            symbol++;
        }
        frequency = cumulative[symbol + 1] - cumulative[symbol];
        offset = slot - cumulative[symbol];
    }
    s->state = frequency * (s->state >> DCN_CONTEXT_PRECISION) + offset;
    if (!refill(s)) {
        return DCN_CONTEXT_STREAM_CORRUPT;
    }
    int64_t value = (int64_t)symbol - t->radius;
    if (value > t->radius && !read_escape(s, t->radius, &value)) {
        return DCN_CONTEXT_STREAM_CORRUPT;
    }
    if (t->low_bits > 0) {
        uint32_t low;
        if (!read_bits(s, t->low_bits, &low)) {
            return DCN_CONTEXT_STREAM_CORRUPT;
        }
        value = value * ((int64_t)1 << t->low_bits) + low;
    }
    value += (mean >> 4);
    if (value < INT16_MIN || value > INT16_MAX) {
        return DCN_CONTEXT_LATENT_WRONG;
    }
    *latent = (int32_t)value;
    return DCN_CONTEXT_OK;
}

/* The places of a row in the ring of rows that become known. */
INLINE entry *ring_row(const block *b, size_t y)
{
    return b->lists + y % b->list_rows * b->columns * b->list_stride;
}

INLINE surroundings ring_rows(const block *b, size_t y)
{
    surroundings around;
    for (size_t i = 0; i < 3; i++) {
        around.rows[i] = i <= y ? ring_row(b, y - i) : NULL;
    }
    return around;
}

/* Wait for what place x of a row sees in the row above; 0 if decoding has failed meanwhile. */
INLINE int wait_above(const block *b, size_t y, size_t x)
{
    const size_t needed = x + 3 < b->columns ? x + 3 : b->columns;
    return y == 0 || dcn_context_wait(b, y - 1, (uint32_t)needed);
}

/* Keep the latent of channel c, not 0, and tell what sees it. */
TARGET INLINE void keep(block *b, worker *w, entry *list, unsigned c, size_t y, size_t x,
                        int32_t latent)
{
    known(b, w, c, latent);
    list[++list->channel] = (entry){(uint16_t)c, (int16_t)latent};
    b->latents[(c * b->rows + y) * b->columns + x] = (int16_t)latent;
}

TARGET static dcn_context_error decode_row(block *b, worker *w, size_t y)
{
    stream s = b->coded[y % b->streams]; /* a copy, because only what has no address is quick */
    const surroundings around = ring_rows(b, y);
    entry *list = ring_row(b, y);
    for (size_t x = 0; x < b->columns; x++, list += b->list_stride) {
        if (!wait_above(b, y, x)) {
            return DCN_CONTEXT_OK; /* another thread has the error */
        }
        begin_place(b, w, &around, x);
        list->channel = 0;
        for (unsigned c = 0; c < b->active; c++) {
            uint8_t scale;
            int32_t latent;
            const int32_t mean = step(b, w, c, &scale);
            const dcn_context_error error = read_latent(b->model, &s, mean, scale, &latent);
            if (error != DCN_CONTEXT_OK) {
                return error;
            }
            if (latent != 0) {
                keep(b, w, list, c, y, x, latent);
            }
        }
        __atomic_store_n(&b->progress[y], (uint32_t)x + 1, __ATOMIC_RELEASE);
    }
    b->coded[y % b->streams] = s;
    return DCN_CONTEXT_OK;
}

TARGET static void quantise_row(block *b, worker *w, size_t y)
{
    const surroundings around = ring_rows(b, y);
    entry *list = ring_row(b, y);
    for (size_t x = 0; x < b->columns; x++, list += b->list_stride) {
        (void)wait_above(b, y, x); /* nothing fails here */
        begin_place(b, w, &around, x);
        list->channel = 0;
        for (unsigned c = 0; c < b->active; c++) {
            uint8_t scale;
            const int32_t mean = step(b, w, c, &scale);
            const float target = b->targets[(c * b->rows + y) * b->columns + x];
            const int32_t latent = dcn_context_choose(b, mean, scale, target, b->weights[c]);
            if (latent != 0) {
                keep(b, w, list, c, y, x, latent);
            }
        }
        __atomic_store_n(&b->progress[y], (uint32_t)x + 1, __ATOMIC_RELEASE);
    }
}
