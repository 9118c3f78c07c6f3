"""Builds the extension ``dcncodec._ssim`` (cffi, API mode) when the package is installed."""

from cffi import FFI

FOLDER = "csrc/ssim"

FUNCTION = """
    void dcn_ssim_{name}({real} *contrast, {real} *luminance, const {real} *x, const {real} *y,
                         const {real} *levels, size_t rows, size_t columns, size_t channels,
                         const {real} *window, size_t side, {real} sample, {real} *work);
"""

ffibuilder = FFI()
ffibuilder.cdef("#define DCN_SSIM_WORK ...")
for path in "", "plain_":
    ffibuilder.cdef(FUNCTION.format(name=f"{path}f32", real="float"))
    ffibuilder.cdef(FUNCTION.format(name=f"{path}f64", real="double"))
ffibuilder.set_source(
    "dcncodec._ssim",
    '#include "ssim.h"',
    sources=[f"{FOLDER}/ssim.c"],
    include_dirs=[FOLDER],
    depends=[f"{FOLDER}/ssim.h", f"{FOLDER}/ssim_windows.h"],
    # No contraction: a * b + c rounds twice on all processors.
    extra_compile_args=["-std=c11", "-O3", "-g0", "-ffp-contract=off"],
)
