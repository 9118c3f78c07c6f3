/* Reading latents from a stream: included once for each set of instructions, after TARGET has been
 * defined for it. */

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
