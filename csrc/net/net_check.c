/* Errors, and checking the description of a network in full. */
#include <math.h>

#include "net_model.h"
#include "net_tensor.h"

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
    case DCN_NET_WINDOW_WRONG: return "rows, columns, part, means or rate out of range";
    }
    return "unknown error";
}

INLINE int all_finite(const dcn_net_tensor *t, uint32_t type, uint32_t exponent)
{
    uint32_t wrong = 0;
    for (size_t i = 0; i < t->count; i++) {
        wrong |= (bits_of(t->data, type, i) & exponent) == exponent;
    }
    return !wrong;
}

int dcn_net_is_finite(const dcn_net_tensor *t)
{
    switch (t->type) {
    case DCN_NET_F32: return all_finite(t, DCN_NET_F32, 0x7f800000);
    case DCN_NET_F16: return all_finite(t, DCN_NET_F16, 0x7c00);
    default: return all_finite(t, DCN_NET_BF16, 0x7f80);
    }
}

static dcn_net_error check_tensor(const dcn_net_tensor *t, size_t count)
{
    if (t->data == NULL || t->count != count || t->type > DCN_NET_BF16) {
        return DCN_NET_SHAPE_WRONG;
    }
    return dcn_net_is_finite(t) ? DCN_NET_OK : DCN_NET_NOT_FINITE;
}

static int in_range(uint32_t value, uint32_t least, uint32_t most)
{
    return value >= least && value <= most;
}

size_t dcn_net_step_of(const dcn_net_parameters *p, uint32_t number)
{
    return number == 0 && p->transform == DCN_NET_ANALYSIS ? PIXEL
                                                           : padded(p->buffers[number].channels);
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
    const int of_pixels = p->transform == DCN_NET_ANALYSIS;
    const uint32_t channels = of_pixels ? COLOURS : p->channels;
    const uint32_t scale = of_pixels ? p->stride : 1;
    return first->local || first->channels != channels || first->scale != scale
               ? DCN_NET_SHAPE_WRONG
               : DCN_NET_OK;
}

/* Whether a buffer can be combined with a layer's results, number by number. */
static int is_alike(const dcn_net_parameters *p, const dcn_net_layer *l, uint32_t number)
{
    const dcn_net_buffer *const out = &p->buffers[l->output];
    return number > 0 && number < p->buffer_count && l->shuffle == 1 &&
           p->buffers[number].channels == out->channels && p->buffers[number].scale == out->scale;
}

/* Whether a buffer holds pixels as blocks. */
static int has_pixels(const dcn_net_parameters *p, const dcn_net_buffer *b)
{
    const uint32_t side = p->stride / b->scale;
    return b->channels == COLOURS * side * side;
}

static dcn_net_error check_numbers(const dcn_net_parameters *p, const dcn_net_layer *l)
{
    if (l->input >= p->buffer_count || l->output >= p->buffer_count || l->output == 0 ||
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
    if ((l->add != DCN_NET_NONE && !is_alike(p, l, l->add)) ||
        (l->gate != DCN_NET_NONE && !is_alike(p, l, l->gate)) ||
        (l->compared && (p->transform != DCN_NET_GRADIENT || l->shuffle != 1 || l->depthwise ||
                         !has_pixels(p, out)))) {
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

size_t dcn_net_rows_of(const dcn_net_parameters *p, const dcn_net_layer *l)
{
    return (size_t)l->side * l->side * dcn_net_step_of(p, l->input);
}

size_t dcn_net_columns_of(const dcn_net_parameters *p, const dcn_net_layer *l)
{
    return l->depthwise ? dcn_net_step_of(p, l->output)
                        : (size_t)l->shuffle * l->shuffle * dcn_net_step_of(p, l->output);
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
    error = check_map(l->input_map, dcn_net_rows_of(p, l), l->inputs);
    return error != DCN_NET_OK ? error
                               : check_map(l->output_map, dcn_net_columns_of(p, l), l->outputs);
}

dcn_net_error dcn_net_check(const dcn_net_parameters *p)
{
    if (!in_range(p->layer_count, 1, DCN_NET_MAX_LAYERS) ||
        !in_range(p->buffer_count, 2, DCN_NET_MAX_BUFFERS) ||
        !in_range(p->channels, 1, DCN_NET_MAX_CHANNELS) || p->stride != DCN_NET_MAX_SCALE ||
        !(p->slope >= 0 && p->slope <= 1) || !isfinite(p->gain) ||
        !in_range(p->knots, 1, DCN_NET_MAX_KNOTS) || p->transform > DCN_NET_GRADIENT) {
        return DCN_NET_SHAPE_WRONG;
    }
    dcn_net_error error = check_buffers(p);
    if (error == DCN_NET_OK && p->log_gains.data != NULL) {
        error = check_tensor(&p->log_gains, (size_t)p->knots * p->channels);
    }
    size_t compared = 0;
    for (size_t i = 0; i < p->layer_count && error == DCN_NET_OK; i++) {
        error = check_numbers(p, &p->layers[i]);
        error = error != DCN_NET_OK ? error : check_weights(p, &p->layers[i]);
        compared += p->layers[i].compared != 0;
    }
    if (error != DCN_NET_OK) {
        return error;
    }
    const dcn_net_layer *const last = &p->layers[p->layer_count - 1];
    const dcn_net_buffer *const out = &p->buffers[last->output];
    const int fits = p->transform == DCN_NET_SYNTHESIS
                         ? has_pixels(p, out)
                         : out->channels == p->channels && out->scale == 1;
    return fits && out->local && !last->compared && compared == (p->transform == DCN_NET_GRADIENT)
               ? DCN_NET_OK
               : DCN_NET_SHAPE_WRONG;
}
