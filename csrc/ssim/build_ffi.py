"""Builds the extension ``dcncodec._ssim`` (cffi, API mode) when the package is installed."""

from cffi import FFI

FOLDER = "csrc/ssim"

ffibuilder = FFI()
ffibuilder.cdef(
    """
    #define DCN_SSIM_WORK ...
    void dcn_ssim_f32(float *contrast, float *luminance, const float *x, const float *y,
                      const float *levels, size_t rows, size_t columns, size_t channels,
                      const float *window, size_t side, float sample, float *work);
    void dcn_ssim_f64(double *contrast, double *luminance, const double *x, const double *y,
                      const double *levels, size_t rows, size_t columns, size_t channels,
                      const double *window, size_t side, double sample, double *work);
    """
)
ffibuilder.set_source(
    "dcncodec._ssim",
    '#include "ssim.h"',
    sources=[f"{FOLDER}/ssim.c"],
    include_dirs=[FOLDER],
    depends=[f"{FOLDER}/ssim.h", f"{FOLDER}/ssim_windows.h"],
    # No contraction: a * b + c rounds twice on all processors.
    extra_compile_args=["-std=c11", "-O3", "-g0", "-ffp-contract=off"],
)
