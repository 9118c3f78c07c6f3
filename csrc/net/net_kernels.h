/* Products with vectors: included once for each set of instructions, after these have been defined
 * for it: TARGET; VECTOR, of LANES numbers; LOAD, STORE, NARROW (store as bfloat16), WIDEN (load
 * bfloat16), SPREAD (one number to all lanes), ADD, MULTIPLY, LARGER, FUSED (a * b + c), CHOOSE
 * (where a > 0 b, else c); and PANEL, as many vectors as times TILE places stay in registers as
 * sums. */

enum { TILE = 6 };

/* Loops over what stays in registers must leave none of it in arrays. */
#define UNROLLED _Pragma("GCC unroll 8")

TARGET INLINE VECTOR bent(VECTOR v, float slope)
{
    return LARGER(v, MULTIPLY(v, SPREAD(slope)));
}

/* A vector of results as a gate leaves it that has its numbers there. */
TARGET INLINE VECTOR gated(const gate *g, size_t at, VECTOR v)
{
    if (g->wide == NULL && g->narrow == NULL) {
        return v;
    }
    const VECTOR open = g->wide != NULL ? LOAD(g->wide + at) : WIDEN(g->narrow + at);
    return CHOOSE(open, v, MULTIPLY(v, SPREAD(g->slope)));
}

TARGET INLINE void finish(const product *p, VECTOR sums[TILE][PANEL], size_t m, size_t n,
                          size_t place, size_t column)
{
    UNROLLED for (size_t j = 0; j < n; j++)
    {
        const size_t c = column + j * LANES;
        const size_t out = c / p->out_step * p->out_line + c % p->out_step;
        UNROLLED for (size_t i = 0; i < m; i++)
        {
            VECTOR v = bent(sums[i][j], p->slope);
            const size_t at = (place + i) * p->out_step + out;
            if (p->add != NULL) {
                v = ADD(v, LOAD(p->add + (place + i) * p->add_step + c));
            }
            v = gated(&p->gate, (place + i) * p->add_step + c, v);
            if (p->wide != NULL) {
                STORE(p->wide + at, v);
            }
            if (p->narrow != NULL) {
                NARROW(p->narrow + at, v);
            }
        }
    }
}

/* Defines a function for the sums of m places and n vectors of columns, both constants, with what
 * takes a factor for all lanes from memory, and multiplies it with a row and adds. */
#define DEFINE_TILE(NAME, FUNCTION_TARGET, FACTOR, STEP)                                           \
    FUNCTION_TARGET INLINE void NAME(const product *p, const float *matrix, size_t m, size_t n,    \
                                     size_t place, size_t column)                                  \
    {                                                                                              \
        VECTOR sums[TILE][PANEL];                                                                  \
        UNROLLED for (size_t j = 0; j < n; j++)                                                    \
        {                                                                                          \
            UNROLLED for (size_t i = 0; i < m; i++)                                                \
            {                                                                                      \
                sums[i][j] = LOAD(p->bias + column + j * LANES);                                   \
            }                                                                                      \
        }                                                                                          \
        for (size_t line = 0; line < p->lines; line++) {                                           \
            const unsigned char *in = p->in[line] + place * p->in_step;                            \
            for (size_t k = 0; k < p->words; k++, in += 4, matrix += n * LANES) {                  \
                VECTOR row[PANEL];                                                                 \
                UNROLLED for (size_t j = 0; j < n; j++)                                            \
                {                                                                                  \
                    row[j] = LOAD(matrix + j * LANES);                                             \
                }                                                                                  \
                UNROLLED for (size_t i = 0; i < m; i++)                                            \
                {                                                                                  \
                    const VECTOR a = FACTOR(in + i * p->in_step);                                  \
                    UNROLLED for (size_t j = 0; j < n; j++)                                        \
                    {                                                                              \
                        sums[i][j] = STEP(a, row[j], sums[i][j]);                                  \
                    }                                                                              \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
        finish(p, sums, m, n, place, column);                                                      \
    }

/* Defines a function for all places and columns of a product; PANELS(TILE, m) calls the tile with
 * the number of vectors as a constant. */
#define DEFINE_MULTIPLY(NAME, FUNCTION_TARGET, TILE_NAME, PANELS)                                  \
    FUNCTION_TARGET static void NAME(const product *p, size_t places)                              \
    {                                                                                              \
        const size_t vectors = p->units * (UNIT / LANES);                                          \
        const float *matrix = p->matrix;                                                           \
        for (size_t v = 0; v < vectors; v += PANEL) {                                              \
            const size_t n = vectors - v < PANEL ? vectors - v : PANEL;                            \
            const size_t column = v * LANES;                                                       \
            for (size_t place = 0; place < places; place += TILE) {                                \
                switch (places - place) {                                                          \
                case 1: PANELS(TILE_NAME, 1); break;                                               \
                case 2: PANELS(TILE_NAME, 2); break;                                               \
                case 3: PANELS(TILE_NAME, 3); break;                                               \
                case 4: PANELS(TILE_NAME, 4); break;                                               \
                case 5: PANELS(TILE_NAME, 5); break;                                               \
                default: PANELS(TILE_NAME, TILE);                                                  \
                }                                                                                  \
            }                                                                                      \
            matrix += p->lines * p->words * n * LANES;                                             \
        }                                                                                          \
    }

TARGET INLINE VECTOR factor(const unsigned char *at)
{
    float value;
    memcpy(&value, at, sizeof value);
    return SPREAD(value);
}

DEFINE_TILE(tile, TARGET, factor, FUSED)
DEFINE_MULTIPLY(multiply, TARGET, tile, PANELS)

TARGET static void filter(const depthwise *d, size_t places)
{
    for (size_t x = 0; x < places; x++) {
        for (size_t c = 0; c < d->step; c += LANES) {
            VECTOR sum = LOAD(d->bias + c);
            UNROLLED for (size_t line = 0; line < 3; line++)
            {
                const float *const at = d->in[line] + x * d->step + c;
                const float *const w = d->weights + 3 * line * d->step + c;
                sum = FUSED(LOAD(at), LOAD(w), sum);
                sum = FUSED(LOAD(at + d->step), LOAD(w + d->step), sum);
                sum = FUSED(LOAD(at + 2 * d->step), LOAD(w + 2 * d->step), sum);
            }
            sum = gated(&d->gate, x * d->step + c, bent(sum, d->slope));
            if (d->wide != NULL) {
                STORE(d->wide + x * d->step + c, sum);
            }
            if (d->narrow != NULL) {
                NARROW(d->narrow + x * d->step + c, sum);
            }
        }
    }
}
