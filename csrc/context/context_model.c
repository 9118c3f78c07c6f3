/* Laying the parameters of a model out for evaluation. */
#include "context_model.h"

int dcn_context_is_error(size_t result)
{
    return result > CONTEXT_ERROR(DCN_CONTEXT_LATENT_WRONG + 1);
}

dcn_context_error dcn_context_error_code(size_t result)
{
    return dcn_context_is_error(result) ? (dcn_context_error)((size_t)0 - result) : DCN_CONTEXT_OK;
}

const char *dcn_context_error_name(dcn_context_error code)
{
    switch (code) {
    case DCN_CONTEXT_OK: return "no error";
    case DCN_CONTEXT_SHAPE_WRONG: return "a size is out of range";
    case DCN_CONTEXT_OFFSET_WRONG: return "a neighbour is too far or not known yet";
    case DCN_CONTEXT_SQUASH_WRONG: return "the squash table is not 0 at 0 or negative";
    case DCN_CONTEXT_SHIFT_WRONG: return "a shift is above 31";
    case DCN_CONTEXT_MASK_WRONG: return "a weight uses what is not known yet";
    case DCN_CONTEXT_OVERFLOW: return "a sum might not fit 32 bits";
    case DCN_CONTEXT_TABLE_WRONG: return "a table of frequencies is not valid";
    case DCN_CONTEXT_MEMORY_TOO_SMALL: return "too little memory was given";
    case DCN_CONTEXT_PATH_MISSING: return "the processor lacks these instructions";
    case DCN_CONTEXT_BLOCK_WRONG: return "rows, columns or rate out of range";
    case DCN_CONTEXT_DST_TOO_SMALL: return "destination too small";
    case DCN_CONTEXT_HEADER_CORRUPT: return "damaged stream table";
    case DCN_CONTEXT_STREAM_CORRUPT: return "damaged stream";
    case DCN_CONTEXT_LATENT_WRONG: return "latent outside 16 bits";
    }
    return "unknown error";
}

static size_t channel_pairs(const dcn_context_parameters *p)
{
    return (p->channels + 1) / 2;
}

/* Hands out parts of the memory, or only counts them where there is none. */
typedef struct {
    uint8_t *memory;
    size_t used;
} arena;

static void *take(arena *a, size_t count, size_t size)
{
    void *const part = a->memory == NULL ? NULL : a->memory + a->used;
    /* Counts are products of the sizes below, which are far below 1 << 32. */
    a->used += (count * size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return part;
}

/* The arrays of a model, before they are constant. */
typedef struct {
    dcn_context *model;
    int16_t *squash, *first_pairs, *linear_pairs, *hidden_pairs, *output_pairs;
    int32_t *first_bias, *hidden_bias, *output_bias;
    uint8_t *first_shift, *hidden_shift, *output_shift, *linear_shift;
    table *tables;
    uint16_t *cumulative;
    uint8_t *hints;
} arrays;

static void lay_out(arrays *r, arena *a, const dcn_context_parameters *p)
{
    const size_t inputs = (p->neighbours + 1) * channel_pairs(p) * 2;
    const size_t unit_rows = PADDED(p->hidden), output_rows = PADDED(2 * p->channels);
    const size_t linear_rows = PADDED(p->channels);
    r->model = take(a, 1, sizeof *r->model);
    r->squash = take(a, 2 * p->squash_size - 1, sizeof *r->squash);
    r->first_pairs = take(a, inputs * unit_rows, sizeof *r->first_pairs);
    r->linear_pairs = take(a, inputs * linear_rows, sizeof *r->linear_pairs);
    r->hidden_pairs = take(a, unit_rows * unit_rows, sizeof *r->hidden_pairs);
    r->output_pairs = take(a, unit_rows * output_rows, sizeof *r->output_pairs);
    r->first_bias = take(a, p->knots * unit_rows, sizeof *r->first_bias);
    r->hidden_bias = take(a, unit_rows, sizeof *r->hidden_bias);
    r->output_bias = take(a, p->knots * output_rows, sizeof *r->output_bias);
    r->first_shift = take(a, unit_rows, 1);
    r->hidden_shift = take(a, unit_rows, 1);
    r->output_shift = take(a, 2 * p->channels, 1);
    r->linear_shift = take(a, p->channels, 1);
    r->tables = take(a, p->scales * DCN_CONTEXT_FRACTIONS, sizeof *r->tables);
    r->hints = take(a, p->scales * DCN_CONTEXT_FRACTIONS, 1 << HINT_BITS);
    r->cumulative =
        take(a, p->frequency_count + p->scales * DCN_CONTEXT_FRACTIONS, sizeof *r->cumulative);
}

size_t dcn_context_model_size(const dcn_context_parameters *p)
{
    const size_t error = dcn_context_check_sizes(p);
    if (error != 0) {
        return error;
    }
    arrays r;
    arena a = {NULL, ALIGNMENT - 1}; /* so that any memory can be aligned */
    lay_out(&r, &a, p);
    return a.used;
}

/* Cumulative frequencies and hints; 0 if a table is not valid. */
static int fill_tables(arrays *r, const dcn_context_parameters *p)
{
    const uint32_t whole = 1U << DCN_CONTEXT_PRECISION;
    const uint16_t *frequency = p->frequencies;
    uint32_t start = 0;
    for (size_t cell = 0; cell < (size_t)p->scales * DCN_CONTEXT_FRACTIONS; cell++) {
        const size_t scale = cell / DCN_CONTEXT_FRACTIONS;
        const size_t count = symbols(p, scale);
        table *const t = r->tables + cell;
        uint16_t *const cumulative = r->cumulative + start;
        t->start = start;
        t->radius = p->radius[scale];
        t->low_bits = p->low_bits[scale];
        uint32_t total = 0;
        for (size_t s = 0; s < count; s++) {
            cumulative[s] = (uint16_t)total;
            if (frequency[s] == 0 || frequency[s] > whole - total) {
                return 0;
            }
            if (frequency[s] > t->likely_frequency) {
                t->likely = (uint8_t)s;
                t->likely_start = (uint16_t)total;
                t->likely_frequency = frequency[s];
            }
            total += frequency[s];
        }
        if (total != whole) {
            return 0;
        }
        cumulative[count] = (uint16_t)total;
        size_t symbol = 0;
        for (uint32_t h = 0; h < 1U << HINT_BITS; h++) {
            while (cumulative[symbol + 1] <= h << HINT_SHIFT) {
                symbol++;
            }
            r->hints[cell << HINT_BITS | h] = (uint8_t)symbol;
        }
        frequency += count;
        start += (uint32_t)count + 1;
    }
    return 1;
}

/* Columns `begin`..`begin + count - 1` of weights (rows, columns) as pairs (pairs, stride, 2). */
static void fill_pairs(int16_t *pairs, size_t stride, const int16_t *weights, size_t rows,
                       size_t columns, size_t begin, size_t count)
{
    for (size_t r = 0; r < rows; r++) {
        for (size_t i = 0; i < count; i++) {
            pairs[(i / 2 * stride + r) * 2 + i % 2] = weights[r * columns + begin + i];
        }
    }
}

/* What the channels of all neighbours and of the place itself are multiplied with. */
static void fill_inputs(int16_t *pairs, size_t stride, const int16_t *neighbours,
                        const int16_t *before, size_t rows, const dcn_context_parameters *p)
{
    const size_t N = p->channels, size = channel_pairs(p) * stride * 2;
    for (size_t k = 0; k < p->neighbours; k++, pairs += size) {
        fill_pairs(pairs, stride, neighbours, rows, p->neighbours * N, k * N, N);
    }
    fill_pairs(pairs, stride, before, rows, N, 0, N);
}

/* Rows of both weights in turn. */
static void fill_outputs(int16_t *pairs, size_t stride, const dcn_context_parameters *p)
{
    const size_t H = p->hidden;
    for (size_t c = 0; c < p->channels; c++) {
        fill_pairs(pairs + 4 * c, stride, p->mean_weight + c * H, 1, H, 0, H);
        fill_pairs(pairs + 4 * c + 2, stride, p->scale_weight + c * H, 1, H, 0, H);
    }
}

static void fill_spans(dcn_context *m)
{
    for (size_t u = 0; u < m->hidden; u += LANES) {
        /* Behind the last unit channels may follow that have none. */
        const size_t begin = u * m->channels / m->hidden;
        const size_t end =
            u + LANES <= m->hidden ? (u + LANES - 1) * m->channels / m->hidden : m->channels - 1;
        m->spans[u / LANES] = (span){
            .hidden_begin = (uint16_t)(m->units[begin] / LANES * LANES),
            .output_begin = (uint16_t)(2 * begin / LANES * LANES),
            .output_end = (uint16_t)PADDED(2 * (end + 1)),
        };
    }
}

static void fill(arrays *r, const dcn_context_parameters *p)
{
    dcn_context *const m = r->model;
    const size_t N = p->channels, H = p->hidden;
    m->channels = p->channels;
    m->hidden = p->hidden;
    m->neighbours = p->neighbours;
    m->knots = p->knots;
    m->scales = p->scales;
    m->limit = (int32_t)p->squash_size - 1;
    m->channel_pairs = channel_pairs(p);
    m->unit_rows = PADDED(H);
    m->output_rows = PADDED(2 * N);
    m->linear_rows = PADDED(N);
    memcpy(m->offsets, p->offsets, 2 * (size_t)p->neighbours);
    for (unsigned c = 0; c <= N; c++) {
        m->units[c] = (uint16_t)first_unit(p, c);
    }
    fill_spans(m);
    for (int32_t i = 0; i <= m->limit; i++) {
        r->squash[m->limit + i] = p->squash[i];
        r->squash[m->limit - i] = (int16_t)-p->squash[i];
    }
    fill_inputs(r->first_pairs, m->unit_rows, p->neighbour_weight, p->before_weight, H, p);
    fill_inputs(r->linear_pairs, m->linear_rows, p->linear_neighbour_weight,
                p->linear_before_weight, N, p);
    fill_pairs(r->hidden_pairs, m->unit_rows, p->hidden_weight, H, H, 0, H);
    fill_outputs(r->output_pairs, m->output_rows, p);
    memcpy(r->hidden_bias, p->hidden_bias, H * sizeof *r->hidden_bias);
    memcpy(r->first_shift, p->first_shift, H);
    memcpy(r->hidden_shift, p->hidden_shift, H);
    memcpy(r->linear_shift, p->linear_shift, N);
    for (size_t k = 0; k < p->knots; k++) {
        memcpy(r->first_bias + k * m->unit_rows, p->first_bias + k * H, H * sizeof *r->first_bias);
        for (size_t c = 0; c < N; c++) {
            r->output_bias[k * m->output_rows + 2 * c] = p->mean_bias[c];
            r->output_bias[k * m->output_rows + 2 * c + 1] = p->scale_bias[k * N + c];
        }
    }
    for (size_t c = 0; c < N; c++) {
        r->output_shift[2 * c] = p->mean_shift[c];
        r->output_shift[2 * c + 1] = p->scale_shift[c];
    }
    m->squash = r->squash + m->limit;
    m->first_pairs = r->first_pairs;
    m->linear_pairs = r->linear_pairs;
    m->hidden_pairs = r->hidden_pairs;
    m->output_pairs = r->output_pairs;
    m->first_bias = r->first_bias;
    m->hidden_bias = r->hidden_bias;
    m->output_bias = r->output_bias;
    m->first_shift = r->first_shift;
    m->hidden_shift = r->hidden_shift;
    m->output_shift = r->output_shift;
    m->linear_shift = r->linear_shift;
    m->tables = r->tables;
    m->cumulative = r->cumulative;
    m->hints = r->hints;
}

static const kernels *choose(dcn_context_path path)
{
#if HAS_X86_PATHS
    if ((path == DCN_CONTEXT_AUTO || path == DCN_CONTEXT_VNNI) &&
        __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("bmi2")) {
        return &dcn_context_vnni;
    }
    if ((path == DCN_CONTEXT_AUTO || path == DCN_CONTEXT_AVX2) && __builtin_cpu_supports("avx2") &&
        __builtin_cpu_supports("bmi2")) {
        return &dcn_context_avx2;
    }
#endif
    return path == DCN_CONTEXT_AUTO || path == DCN_CONTEXT_PLAIN ? &dcn_context_plain : NULL;
}

size_t dcn_context_init(const dcn_context **model, void *memory, size_t size,
                        const dcn_context_parameters *p, dcn_context_path path)
{
    *model = NULL;
    const size_t needed = dcn_context_model_size(p);
    if (dcn_context_is_error(needed)) {
        return needed;
    }
    const dcn_context_error error = dcn_context_check(p);
    if (error != DCN_CONTEXT_OK) {
        return CONTEXT_ERROR(error);
    }
    const kernels *const chosen = choose(path);
    if (chosen == NULL) {
        return CONTEXT_ERROR(DCN_CONTEXT_PATH_MISSING);
    }
    if (size < needed) {
        return CONTEXT_ERROR(DCN_CONTEXT_MEMORY_TOO_SMALL);
    }
    memset(memory, 0, needed);
    arrays r;
    arena a = {memory, (size_t)(0 - (uintptr_t)memory) % ALIGNMENT};
    lay_out(&r, &a, p);
    fill(&r, p);
    r.model->kernels = chosen;
    if (!fill_tables(&r, p)) {
        return CONTEXT_ERROR(DCN_CONTEXT_TABLE_WRONG);
    }
    *model = r.model;
    return 0;
}
