/* Networks of dcn on a CPU: windows of pixels to latents and back (dcncodec/runtime), and the
 * gradient of the pixels' error.
 *
 * A network is a list of layers over buffers. Every layer is a convolution or a depthwise 3x3, with
 * a bias, maybe a leaky ReLU, a sum with another buffer, and a pixel shuffle. A gradient is layers,
 * too: those of a synthesis, and their transposes in the reverse order. Layers that need
 * nothing of their neighbours follow each other within a strip of places, in buffers that only the
 * strip has; the others work on planes, which hold all of a window.
 *
 * A network is made once, in memory of the caller's, from a description that is checked in full,
 * and is not changed afterwards: any number of threads may use it. No function allocates, keeps
 * global state, or reads or writes outside the buffers it is given. Each returns a number of bytes
 * or 0, or an error: see dcn_net_is_error(). The result does not depend on the number of threads.
 */
#ifndef DCN_NET_H
#define DCN_NET_H

#include <stddef.h>
#include <stdint.h>

#define DCN_NET_MAX_LAYERS   64
#define DCN_NET_MAX_BUFFERS  64
#define DCN_NET_MAX_CHANNELS 1024
#define DCN_NET_MAX_SCALE    8
#define DCN_NET_MAX_SIDE     16 /* of a kernel */
#define DCN_NET_MAX_KNOTS    256
#define DCN_NET_MAX_WINDOW   512 /* latents along a side */
#define DCN_NET_MEANS        3   /* channels */
#define DCN_NET_MEANS_SIDE   8   /* latents along a side of a region */
#define DCN_NET_MEANS_PARTS  8   /* of a code word */
#define DCN_NET_NONE         UINT32_MAX

typedef enum {
    DCN_NET_OK = 0,
    DCN_NET_SHAPE_WRONG = 1, /* a number is out of range, or two of them do not fit */
    DCN_NET_BUFFER_WRONG =
        2,                  /* a layer reads what is not known, or writes what others still read */
    DCN_NET_MAP_WRONG = 3,  /* a map leads out of the weights */
    DCN_NET_NOT_FINITE = 4, /* a weight is infinite or no number */
    DCN_NET_MEMORY_TOO_SMALL = 5,
    DCN_NET_PATH_MISSING = 6, /* the processor lacks the instructions asked for */
    DCN_NET_WINDOW_WRONG = 7  /* rows, columns, the part, means or rate are out of range */
} dcn_net_error;

/* Errors are returned as the largest values of size_t. */
int dcn_net_is_error(size_t result);
dcn_net_error dcn_net_error_code(size_t result);
const char *dcn_net_error_name(dcn_net_error code);

/* Which instructions work. Results differ by rounding, unless all sums are exact. */
typedef enum {
    DCN_NET_AUTO = 0, /* the fastest that the processor has */
    DCN_NET_PLAIN = 1,
    DCN_NET_AVX2 = 2,  /* with FMA */
    DCN_NET_AVX512 = 3 /* with AVX512_BF16 where bfloat16 is wanted */
} dcn_net_path;

/* Whether the processor multiplies bfloat16, which DCN_NET_AUTO then has instructions for. */
int dcn_net_has_bf16(void);

/* Numbers as a weight file has them, little-endian. */
typedef enum { DCN_NET_F32 = 0, DCN_NET_F16 = 1, DCN_NET_BF16 = 2 } dcn_net_type;

/* What a network makes of what. */
typedef enum {
    DCN_NET_ANALYSIS = 0,  /* latents of pixels */
    DCN_NET_SYNTHESIS = 1, /* pixels of latents */
    DCN_NET_GRADIENT = 2   /* of latents, how the squared error of their pixels changes with them */
} dcn_net_transform;

typedef struct {
    const void *data; /* any alignment; NULL for none */
    size_t count;
    uint32_t type;
} dcn_net_tensor;

/* Places of a buffer have `channels` numbers, rounded up to a multiple of 16 with zeros (pixels,
 * which have three, to four). Buffer 0 is the network's input, a plane; of `scale` 1 it holds
 * latents, else pixels. */
typedef struct {
    uint32_t channels;
    uint32_t scale; /* places along a side for each latent: 1, 2, 4 or 8 */
    uint32_t local; /* whether only the strip that is worked on has it, otherwise it is a plane */
} dcn_net_buffer;

/* A layer gives for each place of a grid, which has `scale of its output / shuffle` places for each
 * latent, the product of a matrix with what the kernel covers of the input:
 *
 *   rows     side * side * channels of the input as its places are stored: by the kernel's row, its
 *            column, and the channel
 *   columns  shuffle * shuffle * channels of the output as stored: by the row and column of what
 * the grid's place becomes, and the channel
 *
 * The element in row i, column j is weight[output_map[j]][input_map[i]] of (outputs, inputs), or 0
 * where a map has DCN_NET_NONE. A layer with `depthwise` instead has (channels, 9) weights in their
 * order, no maps, and side 3. */
typedef struct {
    uint32_t input, output;
    uint32_t add;  /* a buffer of the output's size that is added to it, or DCN_NET_NONE */
    uint32_t gate; /* another one: where it is not above zero, the result is at last multiplied by
                      the leaky ReLUs' slope; or DCN_NET_NONE */
    /* Of a gradient's layers one, whose results are pixels as those of a synthesis' last layer, but
     * what it gives is the gradient of their squared error. */
    uint32_t compared;
    uint32_t depthwise;
    uint32_t side, stride, padding; /* the grid's place y covers y * stride - padding and so on */
    uint32_t shuffle;               /* 1 for none */
    uint32_t leaky;                 /* whether a leaky ReLU follows the bias */
    uint32_t wide;                  /* not in bfloat16 */
    uint32_t outputs, inputs;       /* of the weights */
    const uint32_t *input_map, *output_map;
    dcn_net_tensor weight, bias;
    dcn_net_tensor rate_bias; /* (knots, outputs), added to the bias at a rate; or none */
} dcn_net_layer;

typedef struct {
    uint32_t layer_count, buffer_count;
    const dcn_net_layer *layers;
    const dcn_net_buffer *buffers;
    uint32_t transform;
    uint32_t channels; /* of latents */
    uint32_t stride;   /* pixels along a side for each latent: 8 */
    float slope;       /* of the leaky ReLUs, 0..1 */
    float gain;        /* what latents are multiplied with: after analysis, before synthesis */
    dcn_net_tensor log_gains; /* (knots, channels), of another factor exp() at a rate; or none */
    uint32_t knots;
    uint32_t bf16; /* whether products that are not wide round their factors to bfloat16 */
} dcn_net_parameters;

typedef struct dcn_net dcn_net;

/* Whether all numbers of a tensor are finite. */
int dcn_net_is_finite(const dcn_net_tensor *tensor);

/* Bytes that a network takes, or an error. */
size_t dcn_net_size(const dcn_net_parameters *parameters, dcn_net_path path);

/* Make a network in `memory`, which has any alignment and must stay where it is. The parameters are
 * copied. The last layer's output is local: a synthesis' pixels in [-1, 1], red, green and blue of
 * (stride / scale)^2 pixels row by row; latents at scale 1 otherwise.
 * Returns 0 with `*net` set, or an error, after which `*net` is NULL. */
size_t dcn_net_init(const dcn_net **net, void *memory, size_t size,
                    const dcn_net_parameters *parameters, dcn_net_path path);

/* Bytes of workspace that a window of so many latents and threads needs (any number; more than 16
 * are never used), or an error. */
size_t dcn_net_workspace_size(const dcn_net *net, size_t rows, size_t columns, unsigned threads);

/* Part of a window whose results are wanted, in latents. */
typedef struct {
    size_t top, left, rows, columns;
} dcn_net_part;

/* What is added to the first DCN_NET_MEANS channels of latents, by channel and region of a plane.
 */
typedef struct {
    const int8_t
        *values; /* (DCN_NET_MEANS, rows, columns), in parts of a code word; NULL for none */
    size_t rows, columns; /* of regions */
    size_t top, left;     /* of the window in the plane, in latents */
} dcn_net_means;

/* Pixels of a window of latents.
 *
 * pixels    uint8, three for each pixel, of the part alone; its rows begin `pitch` bytes apart
 * latents   int16; channels begin `channel_step` and rows `row_step` elements apart
 * rate      0..255 */
size_t dcn_net_synthesise(const dcn_net *net, uint8_t *pixels, size_t pitch, dcn_net_part part,
                          const int16_t *latents, size_t channel_step, size_t row_step, size_t rows,
                          size_t columns, dcn_net_means means, unsigned rate, unsigned threads,
                          void *workspace, size_t workspace_size);

/* What layers that do not depend on the rate give for a window of pixels, for analyses at other
 * rates. */
typedef struct {
    void *memory; /* any alignment; NULL for none */
    size_t size;  /* bytes, see dcn_net_memo_size() */
    int known;    /* whether an analysis of these pixels has filled it; else this one does */
} dcn_net_memo;

/* Bytes that a window of so many latents needs for that, or an error. */
size_t dcn_net_memo_size(const dcn_net *net, size_t rows, size_t columns);

/* Latents of a window of pixels, float (channels, rows, columns), not rounded.
 *
 * pixels    uint8, three for each pixel, of stride * rows by stride * columns; rows begin `pitch`
 *           bytes apart
 * memo      the latents are the same with it and without */
size_t dcn_net_analyse(const dcn_net *net, float *latents, const uint8_t *pixels, size_t pitch,
                       size_t rows, size_t columns, dcn_net_memo memo, unsigned rate,
                       unsigned threads, void *workspace, size_t workspace_size);

/* How far the pixels of a window of latents are from others, and how that changes with each latent.
 *
 * gradient  float (channels, rows, columns), of the sum of all errors; or NULL, which takes half of
 *           the time
 * errors    float, rows and columns those of the compared layer's output: sums of squares over the
 *           pixels and colours of each place, in levels of 255
 * pixels    uint8, three for each pixel; rows begin `pitch` bytes apart
 * counted   uint8 (stride * rows, stride * columns), 0 for pixels that do not count
 * grey      whether the luminance is shown in all colours
 *
 * The others are those of dcn_net_synthesise(). */
size_t dcn_net_gradient(const dcn_net *net, float *gradient, float *errors, const uint8_t *pixels,
                        size_t pitch, const uint8_t *counted, int grey, const int16_t *latents,
                        size_t channel_step, size_t row_step, size_t rows, size_t columns,
                        dcn_net_means means, unsigned rate, unsigned threads, void *workspace,
                        size_t workspace_size);

#endif
