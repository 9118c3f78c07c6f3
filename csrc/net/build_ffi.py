"""Builds the extension ``dcncodec._net`` (cffi, API mode) when the package is installed."""

from cffi import FFI

FOLDER = "csrc/net"
SOURCES = [
    f"net_{name}.c"
    for name in (
        *("check", "order", "model", "workspace", "layers", "memo", "compare", "run"),
        *("plain", "avx2", "avx512"),
    )
]

ffibuilder = FFI()
ffibuilder.cdef(
    """
    int dcn_net_is_error(size_t result);
    typedef enum { DCN_NET_OK, DCN_NET_NOT_FINITE, ... } dcn_net_error;
    dcn_net_error dcn_net_error_code(size_t result);
    const char *dcn_net_error_name(dcn_net_error code);
    typedef enum { DCN_NET_AUTO, DCN_NET_PLAIN, DCN_NET_AVX2, DCN_NET_AVX512 } dcn_net_path;
    int dcn_net_has_bf16(void);
    typedef enum { DCN_NET_F32, DCN_NET_F16, DCN_NET_BF16 } dcn_net_type;

    typedef enum { DCN_NET_ANALYSIS, DCN_NET_SYNTHESIS, DCN_NET_GRADIENT } dcn_net_transform;

    typedef struct { const void *data; size_t count; uint32_t type; } dcn_net_tensor;
    typedef struct { uint32_t channels, scale, local; } dcn_net_buffer;
    typedef struct {
        uint32_t input, output, add, gate, depthwise, side, stride, padding, shuffle, leaky, wide;
        uint32_t compared;
        uint32_t outputs, inputs;
        const uint32_t *input_map, *output_map;
        dcn_net_tensor weight, bias, rate_bias;
        ...;
    } dcn_net_layer;
    typedef struct {
        uint32_t layer_count, buffer_count;
        const dcn_net_layer *layers;
        const dcn_net_buffer *buffers;
        uint32_t transform, channels, stride;
        float slope, gain;
        dcn_net_tensor log_gains;
        uint32_t knots, bf16;
        ...;
    } dcn_net_parameters;
    typedef struct dcn_net dcn_net;

    int dcn_net_is_finite(const dcn_net_tensor *tensor);
    size_t dcn_net_size(const dcn_net_parameters *parameters, dcn_net_path path);
    size_t dcn_net_init(const dcn_net **net, void *memory, size_t size,
                        const dcn_net_parameters *parameters, dcn_net_path path);
    size_t dcn_net_workspace_size(const dcn_net *net, size_t rows, size_t columns,
                                  unsigned threads);
    typedef struct { size_t top, left, rows, columns; } dcn_net_part;
    typedef struct {
        const int8_t *values;
        size_t rows, columns, top, left;
    } dcn_net_means;
    size_t dcn_net_synthesise(const dcn_net *net, uint8_t *pixels, size_t pitch,
                              dcn_net_part part, const int16_t *latents, size_t channel_step,
                              size_t row_step, size_t rows, size_t columns, dcn_net_means means,
                              unsigned rate, unsigned threads, void *workspace,
                              size_t workspace_size);
    typedef struct { void *memory; size_t size; int known; } dcn_net_memo;
    size_t dcn_net_memo_size(const dcn_net *net, size_t rows, size_t columns);
    size_t dcn_net_analyse(const dcn_net *net, float *latents, const uint8_t *pixels,
                           size_t pitch, size_t rows, size_t columns, dcn_net_memo memo,
                           unsigned rate, unsigned threads, void *workspace,
                           size_t workspace_size);
    size_t dcn_net_gradient(const dcn_net *net, float *gradient, float *errors,
                            const uint8_t *pixels, size_t pitch, const uint8_t *counted, int grey,
                            const int16_t *latents, size_t channel_step, size_t row_step,
                            size_t rows, size_t columns, dcn_net_means means, unsigned rate,
                            unsigned threads, void *workspace, size_t workspace_size);
    """
)
ffibuilder.set_source(
    "dcncodec._net",
    '#include "net.h"',
    sources=[f"{FOLDER}/{name}" for name in SOURCES],
    include_dirs=[FOLDER],
    depends=[
        f"{FOLDER}/net{name}.h" for name in ("", "_common", "_kernels", "_model", "_run", "_tensor")
    ],
    libraries=["m"],
    extra_compile_args=["-std=c11", "-O3", "-g0", "-fno-tree-slp-vectorize"],
    extra_link_args=["-pthread"],
)
