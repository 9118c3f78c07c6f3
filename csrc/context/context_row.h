/* Evaluating the network, decoding and quantising rows: included once for each set of
 * instructions, after TARGET and these have been defined for it:
 *
 *   values       activations of LANES units, 16 bits each
 *   activations  leaky ReLU with slope 1/8 of sums, each shifted right first, in lanes `from` to
 *                `to` - 1, elsewhere 0
 *   plus         sums of values, saturated
 *   push         sums of one place += a pair of columns * a pair of values
 *   push_some    the sums of up to TOGETHER places += the same for few of LANES values
 *   push_all     the same for all of them
 *   push_inputs  the same for inputs, squashed or clamped
 *
 * All of them work on whole vectors of LANES rows: `first` and `last` are multiples of it. */
#include "context_read.h"

/* A place outside of the block. */
static const entry nothing[MASKS + (DCN_CONTEXT_MAX_CHANNELS + 1) / 2];

INLINE const entry *neighbour_of(const block *b, const surroundings *around, size_t x, unsigned k)
{
    const int8_t *const offset = b->model->offsets[k];
    const entry *const row = around->rows[-offset[0]];
    const size_t column = x + (size_t)(ptrdiff_t)offset[1];
    return row != NULL && column < b->columns ? row + column * b->place_entries : nothing;
}

/* Append what is not 0 at all of some places; `first` is the number of their pair 0. */
TARGET INLINE size_t add_inputs(input *inputs, size_t count, const entry *const *known,
                                size_t places, size_t first)
{
    for (unsigned mask = 0; mask < MASKS; mask++) {
        uint64_t some = 0;
        for (size_t p = 0; p < places; p++) {
            some |= known[p][mask].some;
        }
        for (; some != 0; some &= some - 1) {
            const unsigned i = mask * MASK_BITS + (unsigned)__builtin_ctzll(some);
            input *const added = inputs + count++;
            added->pair = (uint32_t)first + i;
            for (size_t p = 0; p < places; p++) {
                added->squashed[p] = known[p][MASKS + i].pair.squashed;
                added->clamped[p] = known[p][MASKS + i].pair.clamped;
            }
        }
    }
    return count;
}

/* The neighbours' share of all sums at up to TOGETHER places x, each with its surroundings, and
 * that of the places' own latents where they are known. */
TARGET INLINE void begin_places(const block *b, worker *w, size_t places,
                                const surroundings *around, const size_t *x, const entry *own)
{
    const dcn_context *const m = b->model;
    const size_t units = PADDED(m->units[b->active]);
    const size_t linear = PADDED(b->active);
    int32_t *first_sums[TOGETHER], *linear_sums[TOGETHER];
    for (size_t p = 0; p < places; p++) {
        sums *const s = w->sums + p;
        memcpy(s->first, b->first_bias, units * sizeof *s->first);
        memcpy(s->second, m->hidden_bias, units * sizeof *s->second);
        memcpy(s->output, b->output_bias, PADDED(2 * b->active) * sizeof *s->output);
        memset(s->linear, 0, linear * sizeof *s->linear);
        first_sums[p] = s->first;
        linear_sums[p] = s->linear;
    }
    size_t count = 0;
    for (unsigned k = 0; k < m->neighbours; k++) {
        const entry *known[TOGETHER];
        for (size_t p = 0; p < places; p++) {
            known[p] = neighbour_of(b, around + p, x[p], k);
        }
        count = add_inputs(w->inputs, count, known, places, k * m->channel_pairs);
    }
    if (own != NULL) {
        count = add_inputs(w->inputs, count, &own, 1, m->neighbours * m->channel_pairs);
    }
    push_inputs(first_sums, places, m->first_pairs, 2 * m->unit_rows, w->inputs, count, units, 0);
    push_inputs(linear_sums, places, m->linear_pairs, 2 * m->linear_rows, w->inputs, count, linear,
                1);
}

TARGET INLINE int32_t mean_and_scale(const block *b, const sums *s, unsigned c, uint8_t *scale)
{
    const dcn_context *const m = b->model;
    const int64_t mean = ((int64_t)(s->output[2 * c] >> m->output_shift[2 * c]) +
                          (s->linear[c] >> m->linear_shift[c])) >>
                         4;
    const int32_t level = s->output[2 * c + 1] >> m->output_shift[2 * c + 1];
    *scale = (uint8_t)clamp(level, 0, (int32_t)m->scales - 1);
    return (int32_t)(mean < LEAST_MEAN ? LEAST_MEAN : mean > MOST_MEAN ? MOST_MEAN : mean);
}

/* The columns of LANES units from u on. */
INLINE const int16_t *hidden_of(const dcn_context *m, size_t u)
{
    return m->hidden_pairs + u * m->unit_rows;
}

INLINE const int16_t *output_of(const dcn_context *m, size_t u)
{
    return m->output_pairs + u * m->output_rows;
}

/* What the units `from` to `to` - 1 behind u give at a place: in the first layer, and with the
 * second one added. */
TARGET INLINE values first_values(const dcn_context *m, const sums *s, size_t u, unsigned from,
                                  unsigned to)
{
    return activations(load(s->first + u), m->first_shift + u, from, to);
}

TARGET INLINE values hidden_values(const dcn_context *m, const sums *s, size_t u, unsigned from,
                                   unsigned to)
{
    return plus(first_values(m, s, u, from, to),
                activations(load(s->second + u), m->hidden_shift + u, from, to));
}

/* Mean and scale of channel c at up to TOGETHER places, once all channels before it are known
 * there. They share every load of a weight.
 *
 * What stands on the way to the next channel is kept short: a channel's units are added at once
 * only to sums in the same vector, or that the channel itself needs; to all others later, together
 * with the rest of their vector. */
TARGET INLINE void step(const block *b, sums *s, size_t places, unsigned c, int32_t *means,
                        uint8_t *scales)
{
    const dcn_context *const m = b->model;
    const size_t first = m->units[c], end = m->units[c + 1], begin = first / LANES * LANES;
    const size_t units = PADDED(m->units[b->active]), outputs = PADDED(2 * b->active);
    int32_t *second[TOGETHER], *output[TOGETHER];
    values v[TOGETHER];
    for (size_t p = 0; p < places; p++) {
        second[p] = s[p].second;
        output[p] = s[p].output;
    }
    for (size_t u = begin; u < end; u += LANES) {
        const unsigned from = (unsigned)(first > u ? first - u : 0);
        const unsigned to = (unsigned)(end - u < LANES ? end - u : LANES);
        for (size_t p = 0; p < places; p++) {
            v[p] = first_values(m, s + p, u, from, to);
        }
        push_some(second, places, hidden_of(m, u), 2 * m->unit_rows, v, from / 2, (to + 1) / 2,
                  begin, u + LANES);
        if (to == LANES) {
            for (size_t p = 0; p < places; p++) {
                v[p] = first_values(m, s + p, u, 0, LANES);
            }
            push_all(second, places, hidden_of(m, u), 2 * m->unit_rows, v, u + LANES, units);
        }
    }
    for (size_t u = begin; u < end; u += LANES) {
        const unsigned from = (unsigned)(first > u ? first - u : 0);
        const unsigned to = (unsigned)(end - u < LANES ? end - u : LANES);
        const size_t middle = m->spans[u / LANES].output_end;
        for (size_t p = 0; p < places; p++) {
            v[p] = hidden_values(m, s + p, u, from, to);
        }
        push_some(output, places, output_of(m, u), 2 * m->output_rows, v, from / 2, (to + 1) / 2,
                  2 * c / LANES * LANES, middle < outputs ? middle : outputs);
        if (to == LANES) {
            for (size_t p = 0; p < places; p++) {
                v[p] = hidden_values(m, s + p, u, 0, LANES);
            }
            push_all(output, places, output_of(m, u), 2 * m->output_rows, v, middle, outputs);
        }
    }
    for (size_t p = 0; p < places; p++) {
        means[p] = mean_and_scale(b, s + p, c, &scales[p]);
    }
}

/* Add the latent of channel c, not 0, to the sums of the channels behind it. */
TARGET INLINE void push_latent(const block *b, sums *s, unsigned c, int32_t latent)
{
    const dcn_context *const m = b->model;
    const int32_t value = clamp(latent, -m->limit, m->limit);
    const size_t pair = m->neighbours * m->channel_pairs + c / 2;
    push(s->first, m->first_pairs + pair * m->unit_rows * 2, half(m->squash[value], c % 2),
         m->units[c + 1] / LANES * LANES, PADDED(m->units[b->active]));
    push(s->linear, m->linear_pairs + pair * m->linear_rows * 2, half(value, c % 2),
         (c + 1) / LANES * LANES, PADDED(b->active));
}

TARGET static void predict_place(const block *b, worker *w, const surroundings *around, size_t x)
{
    const dcn_context *const m = b->model;
    const size_t units = PADDED(m->units[b->active]), outputs = PADDED(2 * b->active);
    sums *const s = w->sums;
    int32_t *const second = s->second, *const output = s->output;
    begin_places(b, w, 1, around, &x, around->rows[0] + x * b->place_entries);
    for (size_t u = 0; u < units; u += LANES) {
        const values v = first_values(m, s, u, 0, LANES);
        push_all(&second, 1, hidden_of(m, u), 2 * m->unit_rows, &v,
                 m->spans[u / LANES].hidden_begin, units);
    }
    for (size_t u = 0; u < units; u += LANES) {
        const values h = hidden_values(m, s, u, 0, LANES);
        push_all(&output, 1, output_of(m, u), 2 * m->output_rows, &h,
                 m->spans[u / LANES].output_begin, outputs);
    }
    for (unsigned c = 0; c < b->active; c++) {
        w->means[c] = mean_and_scale(b, s, c, &w->scales[c]);
    }
}

/* The places of a row in the ring of rows that become known. */
INLINE entry *ring_row(const block *b, size_t y)
{
    return b->ring + y % b->ring_rows * b->columns * b->place_entries;
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
    const size_t needed = x + LAG < b->columns ? x + LAG : b->columns;
    return y == 0 || dcn_context_wait(b, y - 1, (uint32_t)needed);
}

/* Keep the latent of channel c, not 0, and tell what sees it. */
TARGET INLINE void keep(block *b, sums *s, entry *place, unsigned c, size_t y, size_t x,
                        int32_t latent)
{
    push_latent(b, s, c, latent);
    tell(b->model, place, c, latent);
    b->latents[(c * b->rows + y) * b->columns + x] = (int16_t)latent;
}

/* Rows that are being decoded, each up to its place x. */
typedef struct {
    stream streams[TOGETHER];
    surroundings around[TOGETHER];
    size_t y, x[TOGETHER]; /* the rows are those from y on */
} open_rows;

/* A place of which nothing is known yet. */
INLINE entry *begin_known(const block *b, size_t y, size_t x)
{
    entry *const place = ring_row(b, y) + x * b->place_entries;
    memset(place, 0, b->place_entries * sizeof *place);
    return place;
}

/* Decode the next place of up to TOGETHER rows, from number `from` on. */
TARGET INLINE dcn_context_error decode_places(block *b, worker *w, open_rows *rows, size_t from,
                                              size_t places)
{
    stream streams[TOGETHER]; /* copies, because only what has no address is quick */
    entry *known[TOGETHER];
    begin_places(b, w, places, rows->around + from, rows->x + from, NULL);
    for (size_t p = 0; p < places; p++) {
        streams[p] = rows->streams[from + p];
        known[p] = begin_known(b, rows->y + from + p, rows->x[from + p]);
    }
    for (unsigned c = 0; c < b->active; c++) {
        int32_t means[TOGETHER], latent;
        uint8_t scales[TOGETHER];
        step(b, w->sums, places, c, means, scales);
        for (size_t p = 0; p < places; p++) {
            const dcn_context_error error =
                read_latent(b->model, &streams[p], means[p], scales[p], &latent);
            if (error != DCN_CONTEXT_OK) {
                return error;
            }
            if (latent != 0) {
                keep(b, w->sums + p, known[p], c, rows->y + from + p, rows->x[from + p], latent);
            }
        }
    }
    for (size_t p = 0; p < places; p++) {
        const size_t y = rows->y + from + p, x = ++rows->x[from + p];
        rows->streams[from + p] = streams[p];
        if (x == b->columns) {
            /* Once the row is known as a whole, another thread may go on with its stream. */
            b->coded[y % b->streams] = streams[p];
        }
        __atomic_store_n(&b->progress[y], (uint32_t)x, __ATOMIC_RELEASE);
    }
    return DCN_CONTEXT_OK;
}

/* With a number of places that the compiler knows. */
TARGET static dcn_context_error decode_some(block *b, worker *w, open_rows *rows, size_t from,
                                            size_t places)
{
    dcn_context_error error = DCN_CONTEXT_OK;
    if (places == TOGETHER) {
        return decode_places(b, w, rows, from, TOGETHER);
    }
    if (places >= 2) {
        error = decode_places(b, w, rows, from, 2);
    }
    if (places % 2 == 1 && error == DCN_CONTEXT_OK) {
        error = decode_places(b, w, rows, from + places - 1, 1);
    }
    return error;
}

TARGET static dcn_context_error decode_rows(block *b, worker *w, size_t y, size_t count)
{
    open_rows rows = {.y = y};
    for (size_t i = 0; i < count; i++) {
        rows.streams[i] = b->coded[(y + i) % b->streams];
        rows.around[i] = ring_rows(b, y + i);
    }
    for (size_t first = 0, last = 0; first < count;) {
        /* Each row is LAG places behind the one above. */
        while (last + 1 < count && (rows.x[last] >= LAG || rows.x[last] == b->columns)) {
            last++;
        }
        if (first == 0 && !wait_above(b, y, rows.x[0])) {
            return DCN_CONTEXT_OK; /* another thread has the error */
        }
        const dcn_context_error error = decode_some(b, w, &rows, first, last - first + 1);
        if (error != DCN_CONTEXT_OK) {
            return error;
        }
        first += rows.x[first] == b->columns;
    }
    return DCN_CONTEXT_OK;
}

TARGET static void quantise_row(block *b, worker *w, size_t y)
{
    const surroundings around = ring_rows(b, y);
    for (size_t x = 0; x < b->columns; x++) {
        (void)wait_above(b, y, x); /* nothing fails here */
        entry *const known = begin_known(b, y, x);
        begin_places(b, w, 1, &around, &x, NULL);
        for (unsigned c = 0; c < b->active; c++) {
            int32_t mean;
            uint8_t scale;
            step(b, w->sums, 1, c, &mean, &scale);
            const float target = b->targets[(c * b->rows + y) * b->columns + x];
            const int32_t latent = dcn_context_choose(b, mean, scale, target, b->weights[c]);
            if (latent != 0) {
                keep(b, w->sums, known, c, y, x, latent);
            }
        }
        __atomic_store_n(&b->progress[y], (uint32_t)x + 1, __ATOMIC_RELEASE);
    }
}
