/* Laying out a network for evaluation. */
#include "net_model.h"
#include "net_tensor.h"

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

static float element(const dcn_net_tensor *t, size_t i)
{
    return element_of(t->data, t->type, i);
}

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

/* The panels of a product's matrix. Rows come first: what is written lies in order, and what is
 * read near what has been. */
INLINE void pack_type(float *matrix, const dcn_net_layer *l, size_t rows, size_t units,
                      size_t panel, int narrow, uint32_t type)
{
    for (size_t u = 0; u < units; u += panel) {
        const size_t columns = (units - u < panel ? units - u : panel) * UNIT;
        const uint32_t *const outputs = l->output_map + u * UNIT;
        for (size_t k = 0; k < rows; k++) {
            const uint32_t input = l->input_map[k];
            for (size_t j = 0; j < columns; j++) {
                const size_t at = (size_t)outputs[j] * l->inputs + input;
                const float value = outputs[j] == DCN_NET_NONE || input == DCN_NET_NONE
                                        ? 0
                                        : element_of(l->weight.data, type, at);
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

static void pack(float *matrix, const dcn_net_layer *l, size_t rows, size_t units, size_t panel,
                 int narrow)
{
    switch (l->weight.type) {
    case DCN_NET_F32: pack_type(matrix, l, rows, units, panel, narrow, DCN_NET_F32); break;
    case DCN_NET_F16: pack_type(matrix, l, rows, units, panel, narrow, DCN_NET_F16); break;
    default: pack_type(matrix, l, rows, units, panel, narrow, DCN_NET_BF16);
    }
}

static void lay_out(layer *l, const dcn_net_parameters *p, const dcn_net_layer *from, arena *a,
                    size_t panel)
{
    const size_t columns = dcn_net_columns_of(p, from), rows = dcn_net_rows_of(p, from);
    *l = (layer){.input = from->input,
                 .output = from->output,
                 .add = from->add,
                 .gate = from->gate,
                 .compared = from->compared,
                 .depthwise = from->depthwise,
                 .side = from->side,
                 .stride = from->stride,
                 .padding = from->padding,
                 .shuffle = from->shuffle,
                 .slope = from->leaky ? p->slope : 1,
                 .narrow = p->bf16 && !from->wide && !from->depthwise,
                 .units = columns / UNIT,
                 .grid = p->buffers[from->output].scale / from->shuffle};
    l->words = (size_t)l->side * dcn_net_step_of(p, l->input) / (l->narrow ? 2 : 1);
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
                   .transform = p->transform,
                   .channels = p->channels,
                   .stride = p->stride,
                   .knots = p->knots,
                   .slope = p->slope,
                   .gain = p->gain};
    for (uint32_t b = 0; b < p->buffer_count; b++) {
        n->buffers[b] = (buffer){.channels = p->buffers[b].channels,
                                 .scale = p->buffers[b].scale,
                                 .local = p->buffers[b].local,
                                 .step = dcn_net_step_of(p, b)};
    }
    for (size_t i = 0; i < p->layer_count; i++) {
        lay_out(&n->layers[i], p, &p->layers[i], a, k->panel);
        n->bias_size += p->layers[i].rate_bias.data == NULL ? 0 : n->layers[i].units * UNIT;
    }
    if (p->log_gains.data != NULL) {
        n->log_gains = spread_rows(a, &p->log_gains, p->knots, p->channels, NULL, p->channels);
    }
    return NET_ERROR(dcn_net_order(n));
}

size_t dcn_net_size(const dcn_net_parameters *p, dcn_net_path path)
{
    const dcn_net_error error = dcn_net_check(p);
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
