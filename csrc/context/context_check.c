/* Checking the parameters of a model. */
#include "context_model.h"

size_t dcn_context_check_sizes(const dcn_context_parameters *p)
{
    if (p->channels < 1 || p->channels > DCN_CONTEXT_MAX_CHANNELS || p->hidden < 1 ||
        p->hidden > DCN_CONTEXT_MAX_HIDDEN || p->neighbours < 1 ||
        p->neighbours > DCN_CONTEXT_MAX_NEIGHBOURS || p->knots < 1 ||
        p->knots > DCN_CONTEXT_MAX_KNOTS || p->scales < 1 || p->scales > DCN_CONTEXT_MAX_SCALES ||
        p->squash_size < 2 || p->squash_size > DCN_CONTEXT_MAX_SQUASH) {
        return CONTEXT_ERROR(DCN_CONTEXT_SHAPE_WRONG);
    }
    size_t count = 0;
    for (size_t s = 0; s < p->scales; s++) {
        if (p->radius[s] > DCN_CONTEXT_MAX_RADIUS || p->low_bits[s] > DCN_CONTEXT_MAX_LOW_BITS) {
            return CONTEXT_ERROR(DCN_CONTEXT_TABLE_WRONG);
        }
        count += DCN_CONTEXT_FRACTIONS * symbols(p, s);
    }
    return count == p->frequency_count ? 0 : CONTEXT_ERROR(DCN_CONTEXT_TABLE_WRONG);
}

static int offsets_fit(const dcn_context_parameters *p)
{
    for (unsigned k = 0; k < p->neighbours; k++) {
        const int row = p->offsets[2 * k], column = p->offsets[2 * k + 1];
        if (row < -2 || row > 0 || column < -2 || column > 2 || (row == 0 && column >= 0)) {
            return 0;
        }
    }
    return 1;
}

static int squash_fits(const dcn_context_parameters *p)
{
    for (size_t i = 0; i < p->squash_size; i++) {
        if (p->squash[i] < 0) {
            return 0;
        }
    }
    return p->squash[0] == 0;
}

static int shifts_fit(const uint8_t *shifts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (shifts[i] > 31) {
            return 0;
        }
    }
    return 1;
}

static int zero(const int16_t *weights, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++) {
        if (weights[i] != 0) {
            return 0;
        }
    }
    return 1;
}

static int masks_hold(const dcn_context_parameters *p)
{
    const size_t N = p->channels, H = p->hidden;
    for (unsigned c = 0; c < N; c++) {
        /* Units below `end` have degree c or less. */
        const size_t end = first_unit(p, c + 1);
        for (size_t u = first_unit(p, c); u < end; u++) {
            if (!zero(p->before_weight + u * N, c, N) || !zero(p->hidden_weight + u * H, end, H)) {
                return 0;
            }
        }
        if (!zero(p->mean_weight + c * H, end, H) || !zero(p->scale_weight + c * H, end, H) ||
            !zero(p->linear_before_weight + c * N, c, N)) {
            return 0;
        }
    }
    return 1;
}

static uint64_t norm(const int16_t *weights, size_t count)
{
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++) {
        total += (uint64_t)(weights[i] < 0 ? -(int32_t)weights[i] : weights[i]);
    }
    return total;
}

/* The largest magnitude of a row's bias over all knots. */
static uint64_t largest(const int32_t *bias, size_t rows, size_t knots)
{
    int64_t most = 0;
    for (size_t k = 0; k < knots; k++) {
        const int64_t value = bias[k * rows];
        most = (value < 0 ? -value : value) > most ? (value < 0 ? -value : value) : most;
    }
    return (uint64_t)most;
}

/* Norms are below (12 * 255 + 255) << 15 < 1 << 27, so that the products fit 64 bits. */
static int sums_fit(const dcn_context_parameters *p)
{
    const uint64_t limit = INT32_MAX;
    const size_t N = p->channels, H = p->hidden, inputs = p->neighbours * N;
    uint64_t squash = 0;
    for (size_t i = 0; i < p->squash_size; i++) {
        squash = (uint64_t)p->squash[i] > squash ? (uint64_t)p->squash[i] : squash;
    }
    const uint64_t activation = (uint64_t)1 << 15, latent = p->squash_size - 1;
    for (size_t u = 0; u < H; u++) {
        const uint64_t weights =
            norm(p->neighbour_weight + u * inputs, inputs) + norm(p->before_weight + u * N, N);
        if (weights * squash + largest(p->first_bias + u, H, p->knots) > limit ||
            norm(p->hidden_weight + u * H, H) * activation + largest(p->hidden_bias + u, H, 1) >
                limit) {
            return 0;
        }
    }
    for (size_t c = 0; c < N; c++) {
        const uint64_t linear = norm(p->linear_neighbour_weight + c * inputs, inputs) +
                                norm(p->linear_before_weight + c * N, N);
        if (linear * latent > limit ||
            norm(p->mean_weight + c * H, H) * activation + largest(p->mean_bias + c, N, 1) >
                limit ||
            norm(p->scale_weight + c * H, H) * activation +
                    largest(p->scale_bias + c, N, p->knots) >
                limit) {
            return 0;
        }
    }
    return 1;
}

dcn_context_error dcn_context_check(const dcn_context_parameters *p)
{
    if (!offsets_fit(p)) {
        return DCN_CONTEXT_OFFSET_WRONG;
    }
    if (!squash_fits(p)) {
        return DCN_CONTEXT_SQUASH_WRONG;
    }
    if (!shifts_fit(p->first_shift, p->hidden) || !shifts_fit(p->hidden_shift, p->hidden) ||
        !shifts_fit(p->mean_shift, p->channels) || !shifts_fit(p->scale_shift, p->channels) ||
        !shifts_fit(p->linear_shift, p->channels)) {
        return DCN_CONTEXT_SHIFT_WRONG;
    }
    if (!masks_hold(p)) {
        return DCN_CONTEXT_MASK_WRONG;
    }
    return sums_fit(p) ? DCN_CONTEXT_OK : DCN_CONTEXT_OVERFLOW;
}
