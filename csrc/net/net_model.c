/* Checking the description of a network and laying it out for evaluation. */
#include <math.h>

#include "net_common.h"

int dcn_net_is_error(size_t result)
{
    return result > NET_ERROR(DCN_NET_WINDOW_WRONG + 1);
}

dcn_net_error dcn_net_error_code(size_t result)
{
    return dcn_net_is_error(result) ? (dcn_net_error)((size_t)0 - result) : DCN_NET_OK;
}

const char *dcn_net_error_name(dcn_net_error code)
{
    switch (code) {
    case DCN_NET_OK: return "no error";
    case DCN_NET_SHAPE_WRONG: return "a number is out of range";
    case DCN_NET_BUFFER_WRONG:
        return "a layer reads what is not known or writes what is still read";
    case DCN_NET_MAP_WRONG: return "a map leads out of the weights";
    case DCN_NET_NOT_FINITE: return "a weight is not finite";
    case DCN_NET_MEMORY_TOO_SMALL: return "too little memory was given";
    case DCN_NET_PATH_MISSING: return "the processor lacks these instructions";
    case DCN_NET_WINDOW_WRONG: return "rows, columns, part or rate out of range";
    }
    return "unknown error";
}

#if HAS_X86_PATHS
static int has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}
#endif

int dcn_net_has_bf16(void)
{
#if HAS_X86_PATHS
    return has_avx512() && __builtin_cpu_supports("avx512bf16");
#else
    return 0;
#endif
}

static const kernels *choose(dcn_net_path path, int bf16)
{
    if (path == DCN_NET_PLAIN) {
        return &dcn_net_plain;
    }
#if HAS_X86_PATHS
    const int fits = bf16 ? dcn_net_has_bf16() : has_avx512();
    if (fits && (path == DCN_NET_AUTO || path == DCN_NET_AVX512)) {
        return &dcn_net_avx512;
    }
    if (!bf16 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        (path == DCN_NET_AUTO || path == DCN_NET_AVX2)) {
        return &dcn_net_avx2;
    }
#else
    (void)bf16;
#endif
    return path == DCN_NET_AUTO ? &dcn_net_plain : NULL;
}

/* --- tensors ---------------------------------------------------------------------------------- */

static size_t width(const dcn_net_tensor *t)
{
    return t->type == DCN_NET_F32 ? 4 : 2;
}

static uint32_t bits_of(const dcn_net_tensor *t, size_t i)
{
    const uint8_t *const at = (const uint8_t *)t->data + i * width(t);
    const uint32_t low = at[0] | (uint32_t)at[1] << 8;
    return t->type == DCN_NET_F32 ? low | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24 : low;
}

static float as_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* A finite element. */
static float element(const dcn_net_tensor *t, size_t i)
{
    const uint32_t bits = bits_of(t, i);
    if (t->type == DCN_NET_F16) {
        /* The exponent's bias is 112 smaller; the product is exact, and so for subnormals, too. */
        const float magnitude = as_float((bits & 0x7fff) << 13) * 0x1p112F;
        return bits & 0x8000 ? -magnitude : magnitude;
    }
    return as_float(t->type == DCN_NET_BF16 ? bits << 16 : bits);
}

int dcn_net_is_finite(const dcn_net_tensor *t)
{
    const uint32_t exponent = t->type == DCN_NET_F32   ? 0x7f800000
                              : t->type == DCN_NET_F16 ? 0x7c00
                                                       : 0x7f80;
    uint32_t wrong = 0;
    for (size_t i = 0; i < t->count; i++) {
        wrong |= (bits_of(t, i) & exponent) == exponent;
    }
    return !wrong;
}

static dcn_net_error check_tensor(const dcn_net_tensor *t, size_t count)
{
    if (t->data == NULL || t->count != count || t->type > DCN_NET_BF16) {
        return DCN_NET_SHAPE_WRONG;
    }
    return dcn_net_is_finite(t) ? DCN_NET_OK : DCN_NET_NOT_FINITE;
}

/* --- checks ----------------------------------------------------------------------------------- */

static int in_range(uint32_t value, uint32_t least, uint32_t most)
{
    return value >= least && value <= most;
}

static size_t step_of(const dcn_net_parameters *p, uint32_t number)
{
    return number == 0 && !p->synthesis ? PIXEL : padded(p->buffers[number].channels);
}

static dcn_net_error check_buffers(const dcn_net_parameters *p)
{
    for (size_t i = 0; i < p->buffer_count; i++) {
        const dcn_net_buffer *const b = &p->buffers[i];
        if (!in_range(b->channels, 1, DCN_NET_MAX_CHANNELS) ||
            !in_range(b->scale, 1, DCN_NET_MAX_SCALE) || (b->scale & (b->scale - 1)) != 0) {
            return DCN_NET_SHAPE_WRONG;
        }
    }
    const dcn_net_buffer *const first = p->buffers;
    const uint32_t channels = p->synthesis ? p->channels : COLOURS;
    const uint32_t scale = p->synthesis ? 1 : p->stride;
    return first->local || first->channels != channels || first->scale != scale
               ? DCN_NET_SHAPE_WRONG
               : DCN_NET_OK;
}

static dcn_net_error check_numbers(const dcn_net_parameters *p, const dcn_net_layer *l)
{
    if (l->input >= p->buffer_count || l->output >= p->buffer_count || l->output == 0 ||
        (l->add != DCN_NET_NONE && l->add >= p->buffer_count) ||
        !in_range(l->side, 1, DCN_NET_MAX_SIDE) || !in_range(l->stride, 1, DCN_NET_MAX_SIDE) ||
        l->padding >= l->side || !in_range(l->shuffle, 1, DCN_NET_MAX_SCALE)) {
        return DCN_NET_SHAPE_WRONG;
    }
    const dcn_net_buffer *const in = &p->buffers[l->input], *const out = &p->buffers[l->output];
    const uint32_t grid = out->scale / l->shuffle;
    /* As many places as the output has: the kernel covers none further than the padding. */
    if (grid * l->shuffle != out->scale || grid == 0 || grid * l->stride != in->scale ||
        l->side > l->stride + 2 * l->padding) {
        return DCN_NET_SHAPE_WRONG;
    }
    if (l->depthwise &&
        (l->side != 3 || l->stride != 1 || l->padding != 1 || l->shuffle != 1 ||
         in->channels != out->channels || l->input == 0 || l->add != DCN_NET_NONE)) {
        return DCN_NET_SHAPE_WRONG;
    }
    if (l->add != DCN_NET_NONE &&
        (l->shuffle != 1 || p->buffers[l->add].channels != out->channels ||
         p->buffers[l->add].scale != out->scale || l->add == 0)) {
        return DCN_NET_SHAPE_WRONG;
    }
    /* The rows of what a place becomes are whole vectors. */
    if (l->shuffle > 1 && out->channels % UNIT != 0) {
        return DCN_NET_SHAPE_WRONG;
    }
    return DCN_NET_OK;
}

static dcn_net_error check_map(const uint32_t *map, size_t count, uint32_t limit)
{
    for (size_t i = 0; i < count; i++) {
        if (map[i] >= limit && map[i] != DCN_NET_NONE) {
            return DCN_NET_MAP_WRONG;
        }
    }
    return DCN_NET_OK;
}

static size_t rows_of(const dcn_net_parameters *p, const dcn_net_layer *l)
{
    return (size_t)l->side * l->side * step_of(p, l->input);
}

static size_t columns_of(const dcn_net_parameters *p, const dcn_net_layer *l)
{
    return l->depthwise ? step_of(p, l->output)
                        : (size_t)l->shuffle * l->shuffle * step_of(p, l->output);
}

static dcn_net_error check_weights(const dcn_net_parameters *p, const dcn_net_layer *l)
{
    const uint32_t channels = p->buffers[l->output].channels;
    const uint32_t most = DCN_NET_MAX_CHANNELS * DCN_NET_MAX_SIDE * DCN_NET_MAX_SIDE;
    dcn_net_error error;
    if (l->depthwise ? l->outputs != channels || l->inputs != 9
                     : !in_range(l->outputs, 1, most) || !in_range(l->inputs, 1, most) ||
                           l->input_map == NULL || l->output_map == NULL) {
        return DCN_NET_SHAPE_WRONG;
    }
    if ((error = check_tensor(&l->weight, (size_t)l->outputs * l->inputs)) != DCN_NET_OK ||
        (error = check_tensor(&l->bias, l->outputs)) != DCN_NET_OK) {
        return error;
    }
    if (l->rate_bias.data != NULL &&
        (error = check_tensor(&l->rate_bias, (size_t)p->knots * l->outputs)) != DCN_NET_OK) {
        return error;
    }
    if (l->depthwise) {
        return DCN_NET_OK;
    }
    error = check_map(l->input_map, rows_of(p, l), l->inputs);
    return error != DCN_NET_OK ? error : check_map(l->output_map, columns_of(p, l), l->outputs);
}

static dcn_net_error check(const dcn_net_parameters *p)
{
    if (!in_range(p->layer_count, 1, DCN_NET_MAX_LAYERS) ||
        !in_range(p->buffer_count, 2, DCN_NET_MAX_BUFFERS) ||
        !in_range(p->channels, 1, DCN_NET_MAX_CHANNELS) || p->stride != DCN_NET_MAX_SCALE ||
        !(p->slope >= 0 && p->slope <= 1) || !isfinite(p->gain) ||
        !in_range(p->knots, 1, DCN_NET_MAX_KNOTS)) {
        return DCN_NET_SHAPE_WRONG;
    }
    dcn_net_error error = check_buffers(p);
    if (error == DCN_NET_OK && p->log_gains.data != NULL) {
        error = check_tensor(&p->log_gains, (size_t)p->knots * p->channels);
    }
    for (size_t i = 0; i < p->layer_count && error == DCN_NET_OK; i++) {
        error = check_numbers(p, &p->layers[i]);
        error = error != DCN_NET_OK ? error : check_weights(p, &p->layers[i]);
    }
    if (error != DCN_NET_OK) {
        return error;
    }
    const dcn_net_layer *const last = &p->layers[p->layer_count - 1];
    const dcn_net_buffer *const out = &p->buffers[last->output];
    const uint32_t side = p->stride / out->scale;
    const uint32_t channels = p->synthesis ? COLOURS * side * side : p->channels;
    if (!out->local || out->channels != channels || (!p->synthesis && out->scale != 1)) {
        return DCN_NET_SHAPE_WRONG;
    }
    return DCN_NET_OK;
}

/* --- order of the work ------------------------------------------------------------------------ */

/* Group layers into stages: a layer begins one if it has another grid than the one before, or reads
 * more of a plane than its own place. */
static dcn_net_error divide(dcn_net *n)
{
    uint8_t known[DCN_NET_MAX_BUFFERS] = {1}; /* planes that are, and locals of this stage */
    uint32_t around = DCN_NET_NONE;           /* the plane of which this stage reads neighbours */
    n->stage_count = 0;
    for (size_t i = 0; i < n->layer_count; i++) {
        const layer *const l = &n->layers[i];
        const int looks_around = l->side > 1;
        if (i == 0 || looks_around || l->grid != n->stages[n->stage_count - 1].grid) {
            for (size_t b = 0; b < n->buffer_count; b++) {
                known[b] = known[b] && !n->buffers[b].local;
            }
            around = looks_around ? l->input : DCN_NET_NONE;
            n->stages[n->stage_count++] = (stage){.first = i, .grid = l->grid};
        }
        const buffer *const out = &n->buffers[l->output];
        if (!known[l->input] || (looks_around && n->buffers[l->input].local) ||
            (l->add != DCN_NET_NONE && !known[l->add]) || l->output == around ||
            l->output == l->input || (out->local && l->shuffle > 1)) {
            return DCN_NET_BUFFER_WRONG;
        }
        known[l->output] = 1;
        n->stages[n->stage_count - 1].last = i + 1;
    }
    /* Each stage gives what those behind it see around the part that is wanted. */
    size_t reach = 0;
    for (size_t s = n->stage_count; s > 0; s--) {
        const layer *const l = &n->layers[n->stages[s - 1].first];
        const size_t scale = n->buffers[l->input].scale;
        n->stages[s - 1].reach = reach;
        reach += (l->padding + scale - 1) / scale;
    }
    n->reach = reach;
    return DCN_NET_OK;
}

/* What each buffer is needed as, and the widest padding with which it is read. */
static void use(dcn_net *n)
{
    for (size_t i = 0; i < n->layer_count; i++) {
        const layer *const l = &n->layers[i];
        buffer *const in = &n->buffers[l->input];
        *(l->narrow ? &in->narrow : &in->wide) = 1;
        in->border = l->padding > in->border ? l->padding : in->border;
        if (l->add != DCN_NET_NONE) {
            n->buffers[l->add].wide = 1;
        }
    }
    n->buffers[n->layers[n->layer_count - 1].output].wide = 1;
}

/* --- layout ----------------------------------------------------------------------------------- */

/* Hands out parts of the memory, or only counts them where there is none. */
typedef struct {
    uint8_t *memory;
    size_t used;
} arena;

static void *take(arena *a, size_t count, size_t size)
{
    void *const part = a->memory == NULL ? NULL : a->memory + a->used;
    /* Counts are products of sizes that have been checked: all of them lie below 1 << 40. */
    a->used += (count * size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return part;
}

/* One row of (rows, count) in the order of a map; NULL for the order that it has. */
static void spread(float *out, const dcn_net_tensor *t, size_t row, size_t count,
                   const uint32_t *map, size_t columns)
{
    for (size_t j = 0; j < columns; j++) {
        const size_t from = map != NULL ? map[j] : j < count ? j : DCN_NET_NONE;
        out[j] = from == DCN_NET_NONE ? 0 : element(t, row * count + from);
    }
}

static float *spread_rows(arena *a, const dcn_net_tensor *t, size_t rows, size_t count,
                          const uint32_t *map, size_t columns)
{
    float *const out = take(a, rows * columns, sizeof *out);
    for (size_t r = 0; out != NULL && r < rows; r++) {
        spread(out + r * columns, t, r, count, map, columns);
    }
    return out;
}

/* The panels of a product's matrix. */
static void pack(float *matrix, const dcn_net_layer *l, size_t rows, size_t units, size_t panel,
                 int narrow)
{
    for (size_t u = 0; u < units; u += panel) {
        const size_t columns = (units - u < panel ? units - u : panel) * UNIT;
        for (size_t j = 0; j < columns; j++) {
            const uint32_t output = l->output_map[u * UNIT + j];
            const size_t begin = (size_t)output * l->inputs;
            for (size_t k = 0; k < rows; k++) {
                const uint32_t input = l->input_map[k];
                const float value = output == DCN_NET_NONE || input == DCN_NET_NONE
                                        ? 0
                                        : element(&l->weight, begin + input);
                if (narrow) {
                    ((uint16_t *)(void *)matrix)[(k / 2 * columns + j) * 2 + k % 2] =
                        to_bf16(value);
                } else {
                    matrix[k * columns + j] = value;
                }
            }
        }
        matrix += (narrow ? rows / 2 : rows) * columns;
    }
}

static void lay_out(layer *l, const dcn_net_parameters *p, const dcn_net_layer *from, arena *a,
                    size_t panel)
{
    const size_t columns = columns_of(p, from), rows = rows_of(p, from);
    *l = (layer){.input = from->input,
                 .output = from->output,
                 .add = from->add,
                 .depthwise = from->depthwise,
                 .side = from->side,
                 .stride = from->stride,
                 .padding = from->padding,
                 .shuffle = from->shuffle,
                 .slope = from->leaky ? p->slope : 1,
                 .narrow = p->bf16 && !from->wide && !from->depthwise,
                 .units = columns / UNIT,
                 .grid = p->buffers[from->output].scale / from->shuffle};
    l->words = (size_t)l->side * step_of(p, l->input) / (l->narrow ? 2 : 1);
    const uint32_t *const map = from->depthwise ? NULL : from->output_map;
    l->bias = spread_rows(a, &from->bias, 1, from->outputs, map, columns);
    if (from->rate_bias.data != NULL) {
        l->rate_bias = spread_rows(a, &from->rate_bias, p->knots, from->outputs, map, columns);
    }
    float *const matrix = take(a, (from->depthwise ? 9 : rows) * columns,
                               l->narrow ? sizeof(uint16_t) : sizeof(float));
    l->matrix = matrix;
    if (matrix == NULL) {
        return;
    }
    if (!from->depthwise) {
        pack(matrix, from, rows, l->units, panel, l->narrow);
        return;
    }
    for (size_t tap = 0; tap < 9; tap++) {
        for (size_t c = 0; c < columns; c++) {
            matrix[tap * columns + c] = c < from->outputs ? element(&from->weight, c * 9 + tap) : 0;
        }
    }
}

static size_t build(dcn_net *n, const dcn_net_parameters *p, const kernels *k, arena *a)
{
    *n = (dcn_net){.kernels = k,
                   .layer_count = p->layer_count,
                   .buffer_count = p->buffer_count,
                   .synthesis = p->synthesis,
                   .channels = p->channels,
                   .stride = p->stride,
                   .knots = p->knots,
                   .gain = p->gain};
    for (uint32_t b = 0; b < p->buffer_count; b++) {
        n->buffers[b] = (buffer){.channels = p->buffers[b].channels,
                                 .scale = p->buffers[b].scale,
                                 .local = p->buffers[b].local,
                                 .step = step_of(p, b)};
    }
    for (size_t i = 0; i < p->layer_count; i++) {
        lay_out(&n->layers[i], p, &p->layers[i], a, k->panel);
        n->bias_size += p->layers[i].rate_bias.data == NULL ? 0 : n->layers[i].units * UNIT;
    }
    if (p->log_gains.data != NULL) {
        n->log_gains = spread_rows(a, &p->log_gains, p->knots, p->channels, NULL, p->channels);
    }
    use(n);
    return NET_ERROR(divide(n));
}

size_t dcn_net_size(const dcn_net_parameters *p, dcn_net_path path)
{
    const dcn_net_error error = check(p);
    if (error != DCN_NET_OK) {
        return NET_ERROR(error);
    }
    const kernels *const k = choose(path, (int)p->bf16);
    if (k == NULL) {
        return NET_ERROR(DCN_NET_PATH_MISSING);
    }
    dcn_net net;
    arena a = {NULL, 0};
    const size_t result = build(&net, p, k, &a);
    return dcn_net_is_error(result) ? result : a.used + sizeof net + 2 * ALIGNMENT;
}

size_t dcn_net_init(const dcn_net **net, void *memory, size_t size, const dcn_net_parameters *p,
                    dcn_net_path path)
{
    *net = NULL;
    const size_t needed = dcn_net_size(p, path);
    if (dcn_net_is_error(needed)) {
        return needed;
    }
    if (size < needed) {
        return NET_ERROR(DCN_NET_MEMORY_TOO_SMALL);
    }
    arena a = {(uint8_t *)memory + (size_t)(0 - (uintptr_t)memory) % ALIGNMENT, 0};
    dcn_net *const made = take(&a, 1, sizeof *made);
    (void)build(made, p, choose(path, (int)p->bf16), &a);
    *net = made;
    return 0;
}
