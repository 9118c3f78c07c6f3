"""The one thing that pyproject.toml cannot say: the extensions that cffi builds."""

from setuptools import setup

setup(
    cffi_modules=[
        "csrc/fse/build_ffi.py:ffibuilder",
        "csrc/context/build_ffi.py:ffibuilder",
        "csrc/jpeg/build_ffi.py:ffibuilder",
        "csrc/net/build_ffi.py:ffibuilder",
        "csrc/png/build_ffi.py:ffibuilder",
        "csrc/ssim/build_ffi.py:ffibuilder",
    ]
)
