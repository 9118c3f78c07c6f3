/* Models at random, for the fuzzer: all that is allowed, and nothing else. */
#include <stdint.h>

#include "context.h"

enum {
    MAX_N = 40,
    MAX_H = 112,
    MAX_K = 12,
    MAX_Q = 3,
    MAX_SCALES = 3,
    SQUASH = 50,
    MAX_SYMBOLS = 2 * DCN_CONTEXT_MAX_RADIUS + 2,
    MAX_TABLES = MAX_SCALES * DCN_CONTEXT_FRACTIONS
};

static uint64_t random_state;

static uint32_t random_number(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32) % below;
}

/* The arrays behind a model's parameters. */
static struct {
    int8_t offsets[2 * MAX_K];
    int16_t squash[SQUASH];
    int16_t neighbours[MAX_H * MAX_K * MAX_N], before[MAX_H * MAX_N];
    int16_t hidden[MAX_H * MAX_H], mean[MAX_N * MAX_H], scale[MAX_N * MAX_H];
    int16_t linear_neighbours[MAX_N * MAX_K * MAX_N], linear_before[MAX_N * MAX_N];
    int32_t first_bias[MAX_Q * MAX_H], hidden_bias[MAX_H], mean_bias[MAX_N];
    int32_t scale_bias[MAX_Q * MAX_N];
    uint8_t first_shift[MAX_H], hidden_shift[MAX_H], mean_shift[MAX_N], scale_shift[MAX_N];
    uint8_t linear_shift[MAX_N], radius[MAX_SCALES], low_bits[MAX_SCALES];
    uint16_t frequencies[MAX_TABLES * MAX_SYMBOLS];
} arrays;

/* Weights whose magnitudes times `largest` add up to less than 1 << 30 in each row. */
static void random_weights(int16_t *weights, size_t rows, size_t inputs, uint32_t largest)
{
    uint32_t most = (1U << 30) / largest / (uint32_t)inputs;
    most = most > INT16_MAX ? INT16_MAX : most;
    for (size_t i = 0; i < rows * inputs; i++) {
        weights[i] = (int16_t)((int32_t)random_number(2 * most + 1) - (int32_t)most);
    }
}

static void random_biases(int32_t *biases, size_t count)
{
    const unsigned shift = random_number(24);
    for (size_t i = 0; i < count; i++) {
        biases[i] = ((int32_t)random_number(1U << 31) - (1 << 30)) / (1 << shift);
    }
}

static void random_shifts(uint8_t *shifts, size_t count)
{
    const uint32_t least = random_number(20);
    for (size_t i = 0; i < count; i++) {
        shifts[i] = (uint8_t)(least + random_number(32 - least));
    }
}

/* Columns that a row does not know yet are those from `known` on. */
static void mask(int16_t *weights, size_t row, size_t columns, size_t known)
{
    for (size_t i = known; i < columns; i++) {
        weights[row * columns + i] = 0;
    }
}

static size_t random_tables(size_t scales)
{
    size_t count = 0;
    for (size_t s = 0; s < scales; s++) {
        arrays.radius[s] = (uint8_t)random_number(random_number(2) ? 5 : 128);
        arrays.low_bits[s] = (uint8_t)(random_number(2) ? 0 : random_number(16));
        const size_t symbols = 2 * (size_t)arrays.radius[s] + 2;
        for (size_t f = 0; f < DCN_CONTEXT_FRACTIONS; f++) {
            uint16_t *const table = arrays.frequencies + count;
            uint32_t left = (1U << DCN_CONTEXT_PRECISION) - (uint32_t)symbols;
            for (size_t i = 0; i < symbols; i++) {
                const uint32_t share = i + 1 < symbols ? random_number(left + 1) : left;
                table[i] = (uint16_t)(1 + share);
                left -= share;
            }
            count += symbols;
        }
    }
    return count;
}

static dcn_context_parameters random_parameters(void)
{
    dcn_context_parameters p = {
        .channels = 1 + random_number(MAX_N),
        .hidden = 1 + random_number(MAX_H),
        .neighbours = 1 + random_number(MAX_K),
        .knots = 1 + random_number(MAX_Q),
        .scales = 1 + random_number(MAX_SCALES),
        .squash_size = 2 + random_number(SQUASH - 1),
        .offsets = arrays.offsets,
        .squash = arrays.squash,
        .neighbour_weight = arrays.neighbours,
        .before_weight = arrays.before,
        .first_bias = arrays.first_bias,
        .first_shift = arrays.first_shift,
        .hidden_weight = arrays.hidden,
        .hidden_bias = arrays.hidden_bias,
        .hidden_shift = arrays.hidden_shift,
        .mean_weight = arrays.mean,
        .mean_bias = arrays.mean_bias,
        .mean_shift = arrays.mean_shift,
        .scale_weight = arrays.scale,
        .scale_bias = arrays.scale_bias,
        .scale_shift = arrays.scale_shift,
        .linear_neighbour_weight = arrays.linear_neighbours,
        .linear_before_weight = arrays.linear_before,
        .linear_shift = arrays.linear_shift,
        .radius = arrays.radius,
        .low_bits = arrays.low_bits,
        .frequencies = arrays.frequencies,
    };
    const size_t N = p.channels, H = p.hidden, inputs = N * p.neighbours;
    for (size_t k = 0; k < p.neighbours; k++) {
        const uint32_t place = random_number(12); /* in raster order from (-2, -2) */
        arrays.offsets[2 * k] = (int8_t)((int)place / 5 - 2);
        arrays.offsets[2 * k + 1] = (int8_t)((int)place % 5 - 2);
    }
    const uint32_t largest = random_number(2) ? INT16_MAX : 1000;
    for (size_t i = 1; i < p.squash_size; i++) {
        arrays.squash[i] = (int16_t)random_number(largest + 1);
    }
    random_weights(arrays.neighbours, H, inputs, 2 * largest);
    random_weights(arrays.before, H, N, 2 * largest);
    random_weights(arrays.hidden, H, H, 1U << 15);
    random_weights(arrays.mean, N, H, 1U << 15);
    random_weights(arrays.scale, N, H, 1U << 15);
    random_weights(arrays.linear_neighbours, N, inputs, 2 * p.squash_size);
    random_weights(arrays.linear_before, N, N, 2 * p.squash_size);
    for (size_t u = 0; u < H; u++) {
        const size_t degree = u * N / H;
        size_t units = u + 1;
        while (units < H && units * N / H == degree) {
            units++;
        }
        mask(arrays.before, u, N, degree);
        mask(arrays.hidden, u, H, units);
    }
    for (size_t c = 0; c < N; c++) {
        const size_t units = ((c + 1) * H + N - 1) / N;
        mask(arrays.mean, c, H, units);
        mask(arrays.scale, c, H, units);
        mask(arrays.linear_before, c, N, c);
    }
    random_biases(arrays.first_bias, p.knots * H);
    random_biases(arrays.hidden_bias, H);
    random_biases(arrays.mean_bias, N);
    random_biases(arrays.scale_bias, p.knots * N);
    random_shifts(arrays.first_shift, H);
    random_shifts(arrays.hidden_shift, H);
    random_shifts(arrays.mean_shift, N);
    random_shifts(arrays.scale_shift, N);
    random_shifts(arrays.linear_shift, N);
    p.frequency_count = random_tables(p.scales);
    return p;
}
