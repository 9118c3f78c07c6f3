"""Builds the extension ``dcncodec._context`` (cffi, API mode) when the package is installed."""

from cffi import FFI

FOLDER = "csrc/context"
SOURCES = [
    "context_model.c",
    "context_check.c",
    "context_job.c",
    "context_code.c",
    "context_quantise.c",
    "context_plain.c",
    "context_avx2.c",
    "context_vnni.c",
]

ffibuilder = FFI()
ffibuilder.cdef(
    """
    typedef struct {
        uint32_t channels, hidden, neighbours, knots, scales, squash_size;
        size_t frequency_count;
        const int8_t *offsets;
        const int16_t *squash, *neighbour_weight, *before_weight;
        const int32_t *first_bias;
        const uint8_t *first_shift;
        const int16_t *hidden_weight;
        const int32_t *hidden_bias;
        const uint8_t *hidden_shift;
        const int16_t *mean_weight;
        const int32_t *mean_bias;
        const uint8_t *mean_shift;
        const int16_t *scale_weight;
        const int32_t *scale_bias;
        const uint8_t *scale_shift;
        const int16_t *linear_neighbour_weight, *linear_before_weight;
        const uint8_t *linear_shift, *radius, *low_bits;
        const uint16_t *frequencies;
        ...;
    } dcn_context_parameters;
    typedef struct dcn_context dcn_context;

    int dcn_context_is_error(size_t result);
    typedef enum { DCN_CONTEXT_OK, DCN_CONTEXT_DST_TOO_SMALL, ... } dcn_context_error;
    dcn_context_error dcn_context_error_code(size_t result);
    const char *dcn_context_error_name(dcn_context_error code);
    typedef enum { DCN_CONTEXT_AUTO, DCN_CONTEXT_PLAIN, DCN_CONTEXT_AVX2, DCN_CONTEXT_VNNI }
        dcn_context_path;
    size_t dcn_context_model_size(const dcn_context_parameters *parameters);
    size_t dcn_context_init(const dcn_context **model, void *memory, size_t size,
                            const dcn_context_parameters *parameters, dcn_context_path path);
    size_t dcn_context_workspace_size(const dcn_context *model, size_t rows, size_t columns,
                                      unsigned threads);
    size_t dcn_context_bound(const dcn_context *model, size_t rows, size_t columns);
    size_t dcn_context_encode(const dcn_context *model, uint8_t *dst, size_t capacity,
                              const int16_t *latents, size_t rows, size_t columns, unsigned rate,
                              unsigned threads, void *workspace, size_t workspace_size);
    size_t dcn_context_decode(const dcn_context *model, int16_t *latents, const uint8_t *src,
                              size_t size, size_t rows, size_t columns, unsigned rate,
                              unsigned threads, void *workspace, size_t workspace_size);
    void dcn_context_range(int16_t range[2], const int16_t *latents, size_t count);
    size_t dcn_context_predict(const dcn_context *model, int32_t *means, uint8_t *scales,
                               const int16_t *latents, size_t rows, size_t columns,
                               unsigned rate, unsigned threads, void *workspace,
                               size_t workspace_size);
    size_t dcn_context_bits(const dcn_context *model, float *bits, const int16_t *latents,
                            size_t rows, size_t columns, unsigned rate, unsigned threads,
                            void *workspace, size_t workspace_size);
    size_t dcn_context_quantise(const dcn_context *model, int16_t *latents, const float *targets,
                                const float *weights, int centred, int16_t least, int16_t most,
                                size_t rows, size_t columns, unsigned rate, unsigned threads,
                                void *workspace, size_t workspace_size);
    """
)
ffibuilder.set_source(
    "dcncodec._context",
    '#include "context.h"',
    sources=[f"{FOLDER}/{name}" for name in SOURCES],
    include_dirs=[FOLDER],
    depends=[
        f"{FOLDER}/{name}.h"
        for name in (
            "context",
            "context_common",
            "context_job",
            "context_model",
            "context_read",
            "context_row",
            "context_vectors",
        )
    ],
    libraries=["m"],
    extra_compile_args=["-std=c11", "-O3", "-g0", "-fno-tree-slp-vectorize"],
    extra_link_args=["-pthread"],
)
