/* What the parts of the context coder share: the prepared model, the state of one place, and the
 * functions that exist once for each set of instructions. */
#ifndef DCN_CONTEXT_COMMON_H
#define DCN_CONTEXT_COMMON_H

#include <string.h>

#include "context.h"

#if defined(__GNUC__) && defined(__x86_64__)
#define HAS_X86_PATHS 1
#else
#define HAS_X86_PATHS 0
#endif

/* A row's loop must be one function: calls would store and load all that it keeps in registers. */
#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

#define CONTEXT_ERROR(code) ((size_t)0 - (size_t)(code))

/* Rows of weights are padded with zeros to whole vectors of 16 sums of 32 bits. */
enum { LANES = 16, ALIGNMENT = 64 };
#define PADDED(n) (((size_t)(n) + LANES - 1) / LANES * LANES)

/* rANS with 16-bit words: a state below 1 << 24 takes one more word, which lifts it above, since
 * no step divides it by more than 1 << 16. */
enum { STATE_BITS = 24, STATE_BYTES = 5, WORD_BITS = 16 };
#define STATE_START ((uint64_t)1 << STATE_BITS)

/* An escape is followed by a sign, the length of a number and the number without its highest bit.
 * The number is how far a latent lies beyond the radius: at most 65535, the largest difference
 * between two latents, so that the length is 0..15. */
enum { LENGTH_BITS = 4 };

/* Places of the row above that are known before a place is decoded, from the one above it on:
 * neighbours lie at most two columns to the right. */
enum { LAG = 3 };

/* Rows that a thread decodes at once: while one waits for a result, the others go on. */
enum { TOGETHER = 4 };

/* Of means, in 1/16 code words: of latents of 16 bits. */
enum { LEAST_MEAN = INT16_MIN * 16, MOST_MEAN = INT16_MAX * 16 + 15 };

/* The first symbol that a slot's highest bits leave possible. */
enum { HINT_BITS = 6, HINT_SHIFT = DCN_CONTEXT_PRECISION - HINT_BITS };

/* 16 bytes with all that the most likely symbol needs; the tables of rare ones stay out of the
 * caches. */
typedef struct {
    uint32_t start; /* of this table's cumulative frequencies, symbols + 1 of them */
    uint16_t likely_start, likely_frequency;
    uint8_t likely;
    uint8_t radius;
    uint8_t low_bits;
    uint8_t padding[5];
} table;

/* What LANES units in a row, of several channels, are added to; in rows, multiples of LANES. */
typedef struct {
    uint16_t hidden_begin; /* the first unit of the first one's channel */
    uint16_t output_begin,
        output_end; /* outputs of the first one's channel, and behind the last's */
} span;

struct dcn_context {
    uint32_t channels, hidden, neighbours, knots, scales;
    int32_t limit; /* largest magnitude that makes a difference: squash_size - 1 */
    const struct kernels *kernels;
    int8_t offsets[DCN_CONTEXT_MAX_NEIGHBOURS][2];
    uint16_t units[DCN_CONTEXT_MAX_CHANNELS + 1]; /* channel c has units[c]..units[c + 1] - 1 */
    span spans[PADDED(DCN_CONTEXT_MAX_HIDDEN) / LANES];
    size_t unit_rows, output_rows, linear_rows; /* padded H, 2 N and N */
    const int16_t *squash;                      /* of -limit..limit */
    /* Columns of two inputs that follow each other, (pairs of inputs, rows, 2), an odd one beside
     * zeros: of the channels of every neighbour and then of the place itself; of hidden units. Rows
     * of output_pairs are mean 0, scale 0, mean 1 and so on. */
    size_t channel_pairs; /* of a neighbour: half of N, rounded up */
    const int16_t *first_pairs, *linear_pairs, *hidden_pairs, *output_pairs;
    const int32_t *first_bias;  /* (knots, unit_rows) */
    const int32_t *hidden_bias; /* (unit_rows) */
    const int32_t *output_bias; /* (knots, output_rows) */
    const uint8_t *first_shift, *hidden_shift, *output_shift, *linear_shift;
    const table *tables; /* (scales, fractions) */
    const uint16_t *cumulative;
    const uint8_t *hints; /* (scales, fractions, 1 << HINT_BITS) */
};

/* What is known of a place: MASKS entries whose bits say which pairs of its latents are not both 0,
 * and then all pairs, of channels 2 i and 2 i + 1. They are inputs of 16 bits, the first one in the
 * lower half. */
typedef union {
    uint64_t some;
    struct {
        int32_t squashed, clamped;
    } pair;
} entry;
enum { MASK_BITS = 64, MASKS = (DCN_CONTEXT_MAX_CHANNELS / 2 + MASK_BITS) / MASK_BITS };

/* Inputs of up to TOGETHER places, not all 0. `pair` counts through the pairs of all neighbours. */
typedef struct {
    uint32_t pair;
    int32_t squashed[TOGETHER], clamped[TOGETHER];
} input;

/* The sums of one place. */
typedef struct {
    _Alignas(ALIGNMENT) int32_t first[PADDED(DCN_CONTEXT_MAX_HIDDEN)];
    _Alignas(ALIGNMENT) int32_t second[PADDED(DCN_CONTEXT_MAX_HIDDEN)];
    _Alignas(ALIGNMENT) int32_t output[PADDED(2 * DCN_CONTEXT_MAX_CHANNELS)];
    _Alignas(ALIGNMENT) int32_t linear[PADDED(DCN_CONTEXT_MAX_CHANNELS)];
} sums;

typedef struct {
    uint64_t state;
    const uint8_t *at, *end;
} stream;

/* A block with its workspace. */
typedef struct {
    const dcn_context *model;
    size_t rows, columns;
    unsigned active;                   /* channels that are coded */
    unsigned streams;                  /* row y belongs to stream y modulo this */
    int32_t *first_bias, *output_bias; /* interpolated for the rate */
    int16_t *latents;
    entry *ring; /* decoding, quantising: the places of the last `ring_rows` rows */
    size_t ring_rows, place_entries;
    uint32_t *progress; /* of the same: places of each row that are known */
    int failed;         /* decoding: the first error, a dcn_context_error */
    stream *coded;
    const float *targets, *weights; /* quantising: (N, rows, columns) and (N) */
    int centred;                    /* quantising: distances are from the cells' centres */
    int32_t least, most;            /* quantising: of code words */
} block;

/* What a thread needs for itself. */
typedef struct {
    sums sums[TOGETHER];
    input inputs[(DCN_CONTEXT_MAX_NEIGHBOURS + 1) * (DCN_CONTEXT_MAX_CHANNELS + 1) / 2];
    int32_t means[DCN_CONTEXT_MAX_CHANNELS];
    uint8_t scales[DCN_CONTEXT_MAX_CHANNELS];
} worker;

/* The places of rows, or NULL outside of the block. */
typedef struct {
    const entry *rows[3]; /* this row and the two above */
} surroundings;

typedef struct kernels {
    dcn_context_path path;
    /* Means and scales of the active channels of a place whose latents are all known. */
    void (*predict_place)(const block *b, worker *w, const surroundings *around, size_t x);
    /* Decode up to TOGETHER rows from y on, of different streams; wait for the row above where
     * another thread decodes it. Returns an error. */
    dcn_context_error (*decode_rows)(block *b, worker *w, size_t y, size_t count);
    /* Choose the latents of a row, with the same wait. */
    void (*quantise_row)(block *b, worker *w, size_t y);
} kernels;

extern const kernels dcn_context_plain;
#if HAS_X86_PATHS
extern const kernels dcn_context_avx2;
extern const kernels dcn_context_vnni;
#endif

/* The code word of a latent: the cheapest in bits and weighed distance from its target. */
int32_t dcn_context_choose(const block *b, int32_t mean, uint8_t scale, float target, float weight);

/* Wait until `needed` places of a row are known; 0 if decoding has failed meanwhile. */
int dcn_context_wait(const block *b, size_t row, uint32_t needed);

static inline int32_t clamp(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* A value of 16 bits as the first or the second one of a pair. */
static inline int32_t half(int32_t value, unsigned second)
{
    return (int32_t)(((uint32_t)value & 0xffff) << 16 * second);
}

/* Tell a place the latent of its channel c, not 0, of which it knows nothing yet. */
static inline void tell(const dcn_context *m, entry *place, unsigned c, int32_t latent)
{
    const int32_t value = clamp(latent, -m->limit, m->limit);
    const unsigned i = c / 2;
    place[i / MASK_BITS].some |= (uint64_t)1 << i % MASK_BITS;
    place[MASKS + i].pair.squashed |= half(m->squash[value], c % 2);
    place[MASKS + i].pair.clamped |= half(value, c % 2);
}

/* Shifts of negative numbers round down, as the specification has it. */
_Static_assert(-3 >> 1 == -2, "this compiler shifts negative numbers otherwise");

static inline const table *table_of(const dcn_context *m, int32_t mean, uint8_t scale)
{
    return m->tables + (size_t)scale * DCN_CONTEXT_FRACTIONS + (mean & 15);
}

#endif
