"""ManTra-Net's 385 manipulations in a hierarchy of six levels (Wu et al., CVPR 2019, section 3.1).

7 families, 25 kinds of function, and then kinds halved by strength: 49, 96, 185 and 385 classes.
The numbers of classes are the paper's. Its authors' published tree has 7, 27, 49, 96, 191 and 380:
here double JPEG is one kind instead of four, and gamma and two more strengths of wavelet denoising
make up for what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from dcncodec.errors import UsageError
from dcncodec.forensics.operations import compression, filters, morphology, noise, resampling, tones
from dcncodec.forensics.operations.operation import Operation, Parameters, Pixels

LEVELS = (7, 25, 49, 96, 185, 385)
"""Numbers of classes, from the roots to the leaves."""

SIDES = range(3, 34, 2)
WAVELET_SIGMAS = (3, 5, 7, 9, 11, 13)
SCALES = (
    *(0.15, 0.20, 0.25, 0.31, 0.36, 0.41, 0.47, 0.52),
    *(0.57, 0.63, 0.68, 0.73, 0.79, 0.84, 0.89, 0.95),
)
QUALITIES = (36, 40, 44, 48, 53, 57, 61, 65, 70, 74, 78, 82, 87, 91, 95, 100)
FIRST_QUALITIES, SECOND_QUALITIES = QUALITIES[::2], QUALITIES[1::2]
ELEMENTS = (2, 4, 6, 8, 10, 12, 14, 16, 19, 21, 23, 25, 27, 29, 31, 34)
STRENGTHS = (3, 5, 7, 9, 11, 13, 15, 17, 20, 22, 24, 26, 28, 30, 32, 35)
COLOURS = range(50, 226, 25)
CUTOFFS = range(8)
LIMITS = range(1, 8)
EXPONENTS = (0.5, 0.75, 1.5)


def _kind(
    family: str,
    kind: str,
    library: str,
    function: Callable[..., Pixels],
    parameters: Sequence[Parameters],
) -> tuple[Operation, ...]:
    return tuple(Operation(family, kind, library, function, chosen) for chosen in parameters)


def _over(name: str, values: Sequence[float], **fixed: float | str) -> list[Parameters]:
    return [{**fixed, name: value} for value in values]


KINDS: tuple[tuple[Operation, ...], ...] = (
    _kind("blurring", "box", "cv2.blur", filters.box, _over("side", SIDES)),
    _kind(
        "blurring", "gaussian", "cv2.GaussianBlur", filters.gaussian_window, _over("side", SIDES)
    ),
    _kind("blurring", "median", "cv2.medianBlur", filters.median_opencv, _over("side", SIDES)),
    _kind(
        "blurring",
        "wavelet",
        "skimage.restoration.denoise_wavelet",
        filters.wavelet,
        _over("sigma", WAVELET_SIGMAS),
    ),
    *(
        _kind(
            "resampling",
            kernel,
            "cv2.resize",
            resampling.opencv_resize,
            _over("scale", SCALES, kernel=kernel),
        )
        for kernel in resampling.OPENCV
    ),
    _kind("compression", "jpeg", "PIL.Image.save", compression.jpeg, _over("quality", QUALITIES)),
    _kind(
        "compression",
        "double jpeg",
        "PIL.Image.save",
        compression.double_jpeg,
        [{"first": q1, "second": q2} for q1 in FIRST_QUALITIES for q2 in SECOND_QUALITIES],
    ),
    _kind("compression", "webp", "PIL.Image.save", compression.webp, _over("quality", QUALITIES)),
    *(
        _kind(
            "morphology",
            operator,
            "cv2.morphologyEx",
            morphology.morph,
            _over("side", ELEMENTS, operator=operator),
        )
        for operator in morphology.OPERATORS
    ),
    *(
        _kind("noise", kind, library, function, _over("strength", STRENGTHS))
        for kind, library, function in (
            ("gaussian noise", "numpy.random.Generator.normal", noise.gaussian_noise),
            ("impulse noise", "skimage.util.random_noise", noise.impulse_noise),
            ("poisson noise", "numpy.random.Generator.poisson", noise.poisson_noise),
            ("uniform noise", "numpy.random.Generator.uniform", noise.uniform_noise),
        )
    ),
    _kind(
        "quantisation", "palette", "PIL.Image.quantize", tones.quantise, _over("colours", COLOURS)
    ),
    _kind("quantisation", "dithering", "PIL.Image.convert", tones.dither, [{}]),
    _kind(
        "contrast",
        "autocontrast",
        "PIL.ImageOps.autocontrast",
        tones.autocontrast,
        _over("cutoff", CUTOFFS),
    ),
    _kind("contrast", "equalisation", "cv2.createCLAHE", tones.equalise, _over("limit", LIMITS)),
    _kind(
        "contrast",
        "gamma",
        "skimage.exposure.adjust_gamma",
        tones.gamma_skimage,
        _over("exponent", EXPONENTS),
    ),
)
"""The leaves kind by kind, each from weak to strong or the other way."""

LEAVES: tuple[Operation, ...] = tuple(leaf for kind in KINDS for leaf in kind)
"""All 385."""


@cache
def labels(classes: int) -> tuple[int, ...]:
    """The class of each of ``LEAVES`` on a level.

    Args:
        classes: of the level, one of ``LEVELS``.

    Raises:
        UsageError: there is no such level.
    """
    return tuple(i for i, group in enumerate(_groups(classes)) for _ in group)


def _groups(classes: int) -> list[tuple[Operation, ...]]:
    if classes not in LEVELS:
        raise UsageError(
            f"{classes}: no level of the hierarchy; choose {', '.join(map(str, LEVELS))}"
        )
    level = LEVELS.index(classes)
    if level == len(LEVELS) - 1:
        return [(leaf,) for leaf in LEAVES]
    if level == 0:
        families = dict.fromkeys(leaf.family for leaf in LEAVES)
        return [tuple(leaf for leaf in LEAVES if leaf.family == family) for family in families]
    groups = list(KINDS)
    for _ in range(level - 1):
        groups = [half for group in groups for half in _halves(group)]
    return groups


def _halves(group: tuple[Operation, ...]) -> list[tuple[Operation, ...]]:
    middle = (len(group) + 1) // 2
    return [half for half in (group[:middle], group[middle:]) if half]
