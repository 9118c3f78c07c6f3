"""Builds the extension ``dcncodec._jpeg`` (cffi, API mode) when the package is installed."""

from cffi import FFI

FOLDER = "csrc/jpeg"
SOURCES = ["jpeg_walk.c", "jpeg_scan.c", "jpeg_bits.c"]

ffibuilder = FFI()
ffibuilder.cdef(
    """
    typedef enum { DCN_JPEG_OK, DCN_JPEG_NOT_WALKED, DCN_JPEG_HEADER_WRONG,
                   DCN_JPEG_TOO_MANY_SCANS, DCN_JPEG_NO_MEMORY } dcn_jpeg_status;
    typedef enum { DCN_JPEG_BAD_CODE = ..., DCN_JPEG_OVERRUN = ..., DCN_JPEG_OUT_OF_RANGE = ...,
                   DCN_JPEG_SHORT = ..., DCN_JPEG_LONG = ..., DCN_JPEG_RESTART = ...,
                   DCN_JPEG_NO_END = ..., DCN_JPEG_COARSE = ..., DCN_JPEG_REPEATED = ...
    } dcn_jpeg_fault;
    typedef struct { uint32_t faults; uint32_t scans; uint64_t expected; uint64_t missing;
                     uint64_t end; } dcn_jpeg_report;
    dcn_jpeg_status dcn_jpeg_walk(const uint8_t *data, size_t size, dcn_jpeg_report *report);
    """
)
ffibuilder.set_source(
    "dcncodec._jpeg",
    '#include "jpeg_walk.h"',
    sources=[f"{FOLDER}/{name}" for name in SOURCES],
    include_dirs=[FOLDER],
    depends=[f"{FOLDER}/{name}.h" for name in ("jpeg_walk", "jpeg_scan", "jpeg_bits")],
    extra_compile_args=["-std=c11", "-O3", "-g0"],
)
