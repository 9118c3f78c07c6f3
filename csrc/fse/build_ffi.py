"""Builds the extension ``dcncodec._fse`` (cffi, API mode) when the package is installed."""

from cffi import FFI

FOLDER = "csrc/fse"
SOURCES = ["fse_common.c", "fse_encode.c", "fse_decode.c", "fse_planes.c"]

ffibuilder = FFI()
ffibuilder.cdef(
    """
    typedef struct { ...; } dcn_fse_encoder;
    typedef struct { ...; } dcn_fse_decoder;

    int dcn_fse_is_error(size_t result);
    typedef enum { DCN_FSE_OK, ... } dcn_fse_error;
    dcn_fse_error dcn_fse_error_code(size_t result);
    const char *dcn_fse_error_name(dcn_fse_error code);
    size_t dcn_fse_compress(uint8_t *dst, size_t capacity, const uint8_t *src, size_t count,
                            dcn_fse_encoder *work);
    size_t dcn_fse_decompress(uint8_t *dst, size_t count, const uint8_t *src, size_t size,
                              unsigned max_symbol, dcn_fse_decoder *work);
    size_t dcn_fse_encode_planes(uint8_t *dst, uint32_t *sizes, const uint8_t *src,
                                 size_t channels, size_t count, unsigned threads);
    size_t dcn_fse_decode_planes(uint8_t *dst, const uint32_t *sizes, const uint8_t *src,
                                 size_t size, size_t channels, size_t count,
                                 unsigned max_symbol, unsigned threads, size_t *offsets);
    """
)
ffibuilder.set_source(
    "dcncodec._fse",
    '#include "fse.h"',
    sources=[f"{FOLDER}/{name}" for name in SOURCES],
    include_dirs=[FOLDER],
    # The structs' sizes are compiled in: a changed header must rebuild everything.
    depends=[f"{FOLDER}/fse.h", f"{FOLDER}/fse_common.h"],
    extra_compile_args=["-std=c11", "-O3", "-g0"],
    extra_link_args=["-pthread"],
)
