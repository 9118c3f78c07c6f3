/* Context coder of dcn: integer latents to bytes and back (formats/SPEC.md, section 16).
 *
 * A small integer network predicts every latent from those that are already known: `neighbours`
 * places above and to the left, all their channels, and the channels before it at its own place.
 * It gives a mean in 1/16 code words and the index of a scale; scale and fraction of the mean
 * choose a table of frequencies, with which the latent is coded by rANS. Nothing is computed in
 * floating point, so that every machine reads the same latents.
 *
 * A model is made once, in memory of the caller's, from parameters that are checked in full, and
 * is not changed afterwards: any number of threads may use it. No function allocates, keeps
 * global state, or reads or writes outside the buffers it is given. Each returns the number of
 * bytes (or latents) that it produced, or an error: see dcn_context_is_error(). Decoding takes
 * time in proportion to the latents of the block, whatever its bytes say.
 */
#ifndef DCN_CONTEXT_H
#define DCN_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

#define DCN_CONTEXT_MAX_CHANNELS   255
#define DCN_CONTEXT_MAX_HIDDEN     512
#define DCN_CONTEXT_MAX_NEIGHBOURS 12
#define DCN_CONTEXT_MAX_KNOTS      256
#define DCN_CONTEXT_MAX_SCALES     256
#define DCN_CONTEXT_MAX_RADIUS     127 /* a table has at most 2 * 127 + 2 = 256 symbols */
#define DCN_CONTEXT_MAX_LOW_BITS   15
#define DCN_CONTEXT_MAX_SQUASH     32768
#define DCN_CONTEXT_MAX_SIDE       255
#define DCN_CONTEXT_MAX_STREAMS    16
#define DCN_CONTEXT_FRACTIONS      16
#define DCN_CONTEXT_PRECISION      15 /* frequencies of a table add up to 1 << 15 */

typedef enum {
    DCN_CONTEXT_OK = 0,
    DCN_CONTEXT_SHAPE_WRONG = 1,  /* a size of the model is out of range */
    DCN_CONTEXT_OFFSET_WRONG = 2, /* a neighbour that is too far or not known yet */
    DCN_CONTEXT_SQUASH_WRONG = 3, /* the squash table does not start at 0, or has a value < 0 */
    DCN_CONTEXT_SHIFT_WRONG = 4,  /* a shift above 31 */
    DCN_CONTEXT_MASK_WRONG = 5,   /* a weight of something that is not known yet */
    DCN_CONTEXT_OVERFLOW = 6,     /* weights whose sums might not fit 32 bits */
    DCN_CONTEXT_TABLE_WRONG = 7,  /* frequencies that are 0, do not add up, or are too many */
    DCN_CONTEXT_MEMORY_TOO_SMALL = 8,
    DCN_CONTEXT_PATH_MISSING = 9, /* the processor lacks the instructions asked for */
    DCN_CONTEXT_BLOCK_WRONG = 10, /* rows, columns or rate out of range */
    DCN_CONTEXT_DST_TOO_SMALL = 11,
    DCN_CONTEXT_HEADER_CORRUPT = 12, /* the block's first bytes contradict themselves */
    DCN_CONTEXT_STREAM_CORRUPT = 13, /* a stream does not end where it should */
    DCN_CONTEXT_LATENT_WRONG = 14    /* a decoded latent does not fit 16 bits */
} dcn_context_error;

/* Errors are returned as the largest values of size_t. */
int dcn_context_is_error(size_t result);
dcn_context_error dcn_context_error_code(size_t result);
const char *dcn_context_error_name(dcn_context_error code);

/* Which instructions evaluate the network. All give the same results. */
typedef enum {
    DCN_CONTEXT_AUTO = 0, /* the fastest that the processor has */
    DCN_CONTEXT_PLAIN = 1,
    DCN_CONTEXT_AVX2 = 2,
    DCN_CONTEXT_VNNI = 3 /* AVX-512 with VNNI */
} dcn_context_path;

/* A model as its file has it; arrays are row-major. With N channels, H hidden units, K neighbours
 * and Q knots. Unit u of H has degree u * N / H (integer division). A row's sum is shifted right
 * by the row's shift, 0..31.
 *
 * dcn_context_init refuses weights whose sums might leave 32 bits: for each row the sum of the
 * weights' magnitudes times the largest input (`squash`, 32768 or `squash_size` - 1), plus the
 * largest bias, must be below 1 << 31. Then no partial sum overflows either, in any order. */
typedef struct {
    uint32_t channels;    /* N, 1..255 */
    uint32_t hidden;      /* H, 1..512 */
    uint32_t neighbours;  /* K, 1..12 */
    uint32_t knots;       /* Q, 1..256 */
    uint32_t scales;      /* 1..256 */
    uint32_t squash_size; /* 2..32768 */
    size_t frequency_count;
    const int8_t *offsets;                  /* (K, 2): rows -2..0, columns -2..2, before (0, 0) */
    const int16_t *squash;                  /* (squash_size): from 0, not negative */
    const int16_t *neighbour_weight;        /* (H, K * N), neighbour by neighbour */
    const int16_t *before_weight;           /* (H, N): 0 for channels from the unit's degree on */
    const int32_t *first_bias;              /* (Q, H) */
    const uint8_t *first_shift;             /* (H) */
    const int16_t *hidden_weight;           /* (H, H): 0 for units of a higher degree */
    const int32_t *hidden_bias;             /* (H) */
    const uint8_t *hidden_shift;            /* (H) */
    const int16_t *mean_weight;             /* (N, H): 0 for units of a degree above the channel */
    const int32_t *mean_bias;               /* (N) */
    const uint8_t *mean_shift;              /* (N) */
    const int16_t *scale_weight;            /* (N, H): masked like mean_weight */
    const int32_t *scale_bias;              /* (Q, N) */
    const uint8_t *scale_shift;             /* (N) */
    const int16_t *linear_neighbour_weight; /* (N, K * N) */
    const int16_t *linear_before_weight;    /* (N, N): 0 from the diagonal on */
    const uint8_t *linear_shift;            /* (N) */
    const uint8_t *radius;                  /* (scales), 0..127 */
    const uint8_t *low_bits;                /* (scales), 0..15 */
    const uint16_t *frequencies; /* scale by scale, fraction by fraction, 2 * radius + 2 each:
                                    -radius..radius, escape */
} dcn_context_parameters;

typedef struct dcn_context dcn_context;

/* Bytes that a model of these sizes takes (only sizes, `radius` and `frequency_count` are looked
 * at), or an error. */
size_t dcn_context_model_size(const dcn_context_parameters *parameters);

/* Make a model in `memory`, which has any alignment and must stay where it is. The parameters are
 * copied. Returns 0 with `*model` set, or an error, after which `*model` is NULL. */
size_t dcn_context_init(const dcn_context **model, void *memory, size_t size,
                        const dcn_context_parameters *parameters, dcn_context_path path);

/* Bytes of workspace that the functions below need for a block of this size and up to so many
 * threads (any number; more than 16 are never used). */
size_t dcn_context_workspace_size(const dcn_context *model, size_t rows, size_t columns,
                                  unsigned threads);

/* Bytes that no block of this size exceeds. */
size_t dcn_context_bound(const dcn_context *model, size_t rows, size_t columns);

/* Encode `latents`, int16 (N, rows, columns), rows and columns 1..255, for a rate of 0..255. The
 * bytes do not depend on `threads`.
 * Returns the block's size or an error: DCN_CONTEXT_BLOCK_WRONG, DCN_CONTEXT_DST_TOO_SMALL (also
 * when an uneven spread of the bytes over the block needs more room; dcn_context_bound() always
 * suffices), DCN_CONTEXT_MEMORY_TOO_SMALL. */
size_t dcn_context_encode(const dcn_context *model, uint8_t *dst, size_t capacity,
                          const int16_t *latents, size_t rows, size_t columns, unsigned rate,
                          unsigned threads, void *workspace, size_t workspace_size);

/* Decode a block into `latents`, int16 (N, rows, columns).
 * Returns the number of latents or an error, after which the contents of `latents` are undefined:
 * DCN_CONTEXT_BLOCK_WRONG, DCN_CONTEXT_MEMORY_TOO_SMALL, DCN_CONTEXT_HEADER_CORRUPT,
 * DCN_CONTEXT_STREAM_CORRUPT, DCN_CONTEXT_LATENT_WRONG. */
size_t dcn_context_decode(const dcn_context *model, int16_t *latents, const uint8_t *src,
                          size_t size, size_t rows, size_t columns, unsigned rate, unsigned threads,
                          void *workspace, size_t workspace_size);

/* The least and the largest of `count` latents, at least one. */
void dcn_context_range(int16_t range[2], const int16_t *latents, size_t count);

/* What the network says of every latent: its mean in 1/16 code words and its scale, both
 * (N, rows, columns). Returns the number of latents or an error. */
size_t dcn_context_predict(const dcn_context *model, int32_t *means, uint8_t *scales,
                           const int16_t *latents, size_t rows, size_t columns, unsigned rate,
                           unsigned threads, void *workspace, size_t workspace_size);

/* Bits that every latent would take, float (N, rows, columns): for searches; no decoding depends
 * on it. Channels without a non-zero latent from the last such channel on take 0 bits.
 * Returns the number of latents or an error. */
size_t dcn_context_bits(const dcn_context *model, float *bits, const int16_t *latents, size_t rows,
                        size_t columns, unsigned rate, unsigned threads, void *workspace,
                        size_t workspace_size);

/* Choose code words for latents that are not whole yet, with less bits for their distance than
 * rounding: in the order of coding each takes the one from the nearest towards its mean, as the
 * network predicts it from those chosen before, for which
 *
 *     bits + weights[c] * (restored - target)^2
 *
 * is least. `restored` is the code word or, if `centred`, the centre of mass of what rounds to it.
 * `targets` is float (N, rows, columns), `weights` float (N), in bits for a distance of one code
 * word. Targets that are no numbers count as 0. Code words are `least`..`most`, 0 among them, for
 * which targets are bounded. An encoder's business: no decoding depends on it. Channels behind the
 * last one with a target that rounds to another code word than 0 stay 0. The result does not depend
 * on `threads`, nor on the instructions that evaluate the network.
 * Returns the number of latents or an error: DCN_CONTEXT_BLOCK_WRONG, DCN_CONTEXT_MEMORY_TOO_SMALL.
 */
size_t dcn_context_quantise(const dcn_context *model, int16_t *latents, const float *targets,
                            const float *weights, int centred, int16_t least, int16_t most,
                            size_t rows, size_t columns, unsigned rate, unsigned threads,
                            void *workspace, size_t workspace_size);

#endif
