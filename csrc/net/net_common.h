/* What the parts of the networks share: the prepared network, and the functions that exist once for
 * each set of instructions. */
#ifndef DCN_NET_COMMON_H
#define DCN_NET_COMMON_H

#include <string.h>

#include "net.h"

#if defined(__GNUC__) && defined(__x86_64__)
#define HAS_X86_PATHS 1
#else
#define HAS_X86_PATHS 0
#endif

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

#define NET_ERROR(code) ((size_t)0 - (size_t)(code))

/* UNIT columns of a matrix are one vector of AVX-512; STRIP places are worked on at a time, so few
 * that what they need between two layers stays in the caches. */
enum { UNIT = 16, STRIP = 48, ALIGNMENT = 64, COLOURS = 3, PIXEL = 4 };

/* Where numbers are not above zero, results are multiplied by a slope. One of the two, or none. */
typedef struct {
    const float *wide;
    const uint16_t *narrow;
    float slope;
} gate;

/* One product for some places of a row. Steps of places are in elements of their buffers. */
typedef struct {
    /* What each row of the kernel covers for the first place: float, or pairs of bfloat16. */
    const unsigned char *in[DCN_NET_MAX_SIDE];
    size_t in_step;      /* bytes between places */
    size_t lines, words; /* rows of the kernel; factors of 4 bytes in each */
    const float *matrix; /* see dcn_net.matrix */
    size_t units;        /* of columns */
    const float *bias;
    const float *add; /* or NULL */
    gate gate;
    size_t add_step;  /* of places of both */
    float *wide;      /* where the result goes as float, or NULL */
    uint16_t *narrow; /* and as bfloat16, or NULL */
    size_t out_step;  /* between places: all that a place has in one row of the output */
    size_t out_line;  /* between rows of the output */
    float slope;      /* of the leaky ReLU; 1 for none */
} product;

/* Depthwise 3x3 for some places of a row. */
typedef struct {
    const float *in[3]; /* left of the first place: above it, beside it, below it */
    size_t step;
    const float *weights, *bias; /* (9, step), (step) */
    gate gate;
    float *wide;
    uint16_t *narrow;
    float slope;
} depthwise;

typedef struct kernels {
    dcn_net_path path;
    size_t panel; /* units of columns that a panel of a matrix has */
    void (*multiply)(const product *p, size_t places);
    void (*multiply_bf16)(const product *p, size_t places); /* NULL if there is none */
    void (*filter)(const depthwise *d, size_t places);
} kernels;

extern const kernels dcn_net_plain;
#if HAS_X86_PATHS
extern const kernels dcn_net_avx2, dcn_net_avx512;
#endif

typedef struct {
    uint32_t channels, scale, local;
    size_t step;      /* numbers that a place has, with padding */
    size_t border;    /* of zeros beside a plane; those above and below it are one row for all */
    size_t span;      /* rows of latents that a plane needs beside those of a band */
    int wide, narrow; /* kept as float; as bfloat16 */
} buffer;

typedef struct {
    uint32_t input, output, add, gate;
    uint32_t depthwise, side, stride, padding, shuffle, compared;
    float slope;
    int narrow;    /* whether factors are bfloat16 */
    size_t words;  /* in a row of the kernel */
    size_t units;  /* of columns */
    uint32_t grid; /* places for each latent */
    int fixed;     /* whether it gives the same at all rates */
    int kept;      /* of these, whether a layer reads it that does not */
    const float
        *matrix; /* panel by panel; in each row by row. Rows of bfloat16 are pairs of rows. */
    const float *bias;
    const float *rate_bias; /* (knots, units * UNIT), or NULL */
} layer;

/* Layers first..last - 1 follow each other within a strip. */
typedef struct {
    size_t first, last;
    uint32_t grid;
    size_t reach; /* latents around the part that is wanted for which it works */
} stage;

struct dcn_net {
    const kernels *kernels;
    size_t layer_count, buffer_count, stage_count;
    size_t error_stages; /* those that a gradient's errors take */
    layer layers[DCN_NET_MAX_LAYERS];
    buffer buffers[DCN_NET_MAX_BUFFERS];
    stage stages[DCN_NET_MAX_LAYERS];
    size_t reach;     /* latents around the part that is wanted of which the input is needed */
    size_t bias_size; /* of all layers with a bias by rate */
    int banded;       /* whether stages may follow each other band by band */
    uint32_t transform, channels, stride, knots;
    float slope, gain;
    const float *log_gains; /* or NULL */
};

/* To the nearest, ties to even; what is no number stays none. */
static inline uint16_t to_bf16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000) {
        return (uint16_t)(bits >> 16 | 0x40);
    }
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline float from_bf16(uint16_t half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline size_t padded(size_t count)
{
    return (count + UNIT - 1) / UNIT * UNIT;
}

#endif
