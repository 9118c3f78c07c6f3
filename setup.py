"""The one thing that pyproject.toml cannot say: the extension that cffi builds."""

from setuptools import setup

setup(cffi_modules=["csrc/fse/build_ffi.py:ffibuilder"])
