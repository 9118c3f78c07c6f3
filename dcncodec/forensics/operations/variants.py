"""Several implementations and strengths of each class of the DCN paper (section 4.1).

A network that knows one function of one program knows that function, not what it is called.
``native`` has none; the paper's own operators are ``forensics.manipulations``.
"""

from __future__ import annotations

from collections.abc import Callable

from dcncodec.forensics.operations import compression, filters, noise, resampling, tones
from dcncodec.forensics.operations.operation import Operation, Parameters, Pixels

DOWN, UP = (0.4, 0.5, 0.6, 0.75), (1.25, 1.5, 2.0)
SIGMAS = (0.6, 0.83, 1.2, 1.8)
NOISE = (2, 4, 7, 12)
QUALITIES = (50, 60, 70, 80, 90)
EXPONENTS = (0.5, 0.8, 1.25, 2.0)


def _all(
    name: str, kind: str, library: str, function: Callable[..., Pixels], *chosen: Parameters
) -> list[Operation]:
    return [Operation(name, kind, library, function, parameters) for parameters in chosen]


def _sharpen() -> list[Operation]:
    return [
        *_all(
            "sharpen",
            "pillow unsharp",
            "PIL.ImageFilter.UnsharpMask",
            filters.unsharp_pillow,
            *({"radius": r, "percent": p} for r in (1, 2, 3) for p in (80, 150)),
        ),
        *_all(
            "sharpen",
            "pillow sharpness",
            "PIL.ImageEnhance.Sharpness",
            filters.enhance,
            *({"factor": f} for f in (2, 3)),
        ),
        *_all(
            "sharpen",
            "opencv unsharp",
            "cv2.GaussianBlur",
            filters.unsharp_opencv,
            *({"sigma": s, "amount": a} for s in (0.7, 1.5, 3) for a in (0.7, 1.5)),
        ),
        *_all("sharpen", "opencv 3x3", "cv2.filter2D", filters.laplacian, {}),
        *_all(
            "sharpen",
            "skimage unsharp",
            "skimage.filters.unsharp_mask",
            filters.unsharp_skimage,
            *({"radius": r, "amount": a} for r in (1, 2) for a in (0.7, 1.5)),
        ),
    ]


def _resample() -> list[Operation]:
    kernels = ("area", "bicubic", "lanczos", "bilinear")
    return [
        *_all(
            "resample",
            "opencv",
            "cv2.resize",
            resampling.opencv_resize,
            *({"kernel": k, "scale": s} for k in kernels for s in (*DOWN, *UP)),
        ),
        *_all(
            "resample",
            "pillow",
            "PIL.Image.resize",
            resampling.pillow_resize,
            *({"kernel": k, "scale": s} for k in resampling.PILLOW for s in (*DOWN, *UP)),
        ),
        *_all(
            "resample",
            "skimage",
            "skimage.transform.resize",
            resampling.skimage_resize,
            *({"order": o, "scale": s} for o in (1, 3) for s in (*DOWN, *UP)),
        ),
        *_all(
            "resample",
            "scipy",
            "scipy.ndimage.zoom",
            resampling.scipy_zoom,
            *({"order": o, "scale": s} for o in (1, 3) for s in (*DOWN, *UP)),
        ),
    ]


def _gaussian() -> list[Operation]:
    return [
        operation
        for kind, library, function in (
            ("opencv", "cv2.GaussianBlur", filters.gaussian_opencv),
            ("pillow", "PIL.ImageFilter.GaussianBlur", filters.gaussian_pillow),
            ("scipy", "scipy.ndimage.gaussian_filter", filters.gaussian_scipy),
            ("skimage", "skimage.filters.gaussian", filters.gaussian_skimage),
        )
        for operation in _all("gaussian", kind, library, function, *({"sigma": s} for s in SIGMAS))
    ]


def _jpeg() -> list[Operation]:
    return [
        *_all(
            "jpeg",
            "pillow",
            "PIL.Image.save",
            compression.jpeg_anywhere,
            *(
                {"quality": q, "subsampling": s}
                for s in compression.SUBSAMPLINGS
                for q in QUALITIES
            ),
        ),
        *_all(
            "jpeg",
            "opencv",
            "cv2.imencode",
            compression.jpeg_opencv,
            *({"quality": q} for q in QUALITIES),
        ),
    ]


def _awgn() -> list[Operation]:
    return [
        operation
        for kind, library, function in (
            ("numpy", "numpy.random.Generator.normal", noise.gaussian_noise),
            ("numpy grey", "numpy.random.Generator.normal", noise.grey_noise),
            ("numpy poisson", "numpy.random.Generator.poisson", noise.poisson_noise),
            ("skimage", "skimage.util.random_noise", noise.skimage_noise),
        )
        for operation in _all("awgn", kind, library, function, *({"strength": s} for s in NOISE))
    ]


def _median() -> list[Operation]:
    return [
        *(
            operation
            for kind, library, function in (
                ("opencv", "cv2.medianBlur", filters.median_opencv),
                ("pillow", "PIL.ImageFilter.MedianFilter", filters.median_pillow),
                ("scipy", "scipy.ndimage.median_filter", filters.median_scipy),
            )
            for operation in _all("median", kind, library, function, {"side": 3}, {"side": 5})
        ),
        *_all(
            "median",
            "skimage disk",
            "skimage.filters.median",
            filters.median_disk,
            {"radius": 1},
            {"radius": 2},
        ),
    ]


def _gamma() -> list[Operation]:
    return [
        operation
        for kind, library, function in (
            ("opencv", "cv2.LUT", tones.gamma_opencv),
            ("pillow", "PIL.Image.point", tones.gamma_pillow),
            ("skimage", "skimage.exposure.adjust_gamma", tones.gamma_skimage),
        )
        for operation in _all(
            "gamma", kind, library, function, *({"exponent": e} for e in EXPONENTS)
        )
    ]


VARIANTS: dict[str, tuple[Operation, ...]] = {
    "native": (),
    "sharpen": tuple(_sharpen()),
    "resample": tuple(_resample()),
    "gaussian": tuple(_gaussian()),
    "jpeg": tuple(_jpeg()),
    "awgn": tuple(_awgn()),
    "median": tuple(_median()),
    "gamma": tuple(_gamma()),
}
"""By class; ``Operation.family`` is the class, ``kind`` the implementation."""
