"""Builds the extension ``dcncodec._png`` (cffi, API mode) when the package is installed."""

from cffi import FFI

FOLDER = "csrc/png"

ffibuilder = FFI()
ffibuilder.cdef(
    """
    size_t dcn_png_filter(uint8_t *out, const uint8_t *samples, const uint8_t *above,
                          size_t pitch, size_t rows, size_t line, size_t step);
    size_t dcn_png_bound(size_t size);
    size_t dcn_png_deflate(uint8_t *out, const uint8_t *bytes, size_t size, int last);
    """
)
ffibuilder.set_source(
    "dcncodec._png",
    '#include "png.h"',
    sources=[f"{FOLDER}/png_filter.c", f"{FOLDER}/png_deflate.c"],
    include_dirs=[FOLDER],
    depends=[f"{FOLDER}/png.h"],
    extra_compile_args=["-std=c11", "-O3", "-g0"],
)
