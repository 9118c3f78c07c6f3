"""Gauges: an encoder's first idea of what a FAN will want to know.

The latents of a codec that was trained for distortion and rate do not tell that a photo has noise
or has been a JPEG: the mean of every channel stays what it was. The gradient of a FAN's
cross-entropy (DCN paper, equation 8) then vanishes on either side. Decoder and FAN can use only
what the latents tell, and the encoder learns to tell only what these two use. So before such a
training the latent channels that vary least are rewritten to tell, one each

- how strong the finest structure is: the mean absolute second difference of green;
- how much stronger steps are on the borders of 8x8 blocks than between them, in brightness;
- how many neighbours differ at all, in green: a median filter makes them equal;
- how much fine structure colour has, which noise has and photos hardly.

All are what the encoder's own layers can compute, and add to what the channels told before. The
decoder leaves them out of the picture as far as it can guess what is theirs, and shows them as
faint patterns as fine as pixels allow: a lossy codec leaves hardly anything else there, so that the
FAN finds them at once. They take the place of the filters that matter least.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dcncodec.forensics.djpeg import TO_YCBCR
from dcncodec.forensics.rewiring import deviation, free_features, free_trunk, parameters, refit
from dcncodec.models.dcn import DCN, LEAK

Knots = tuple[tuple[float, float], ...]
"""A piecewise linear function that is 0 at 0: where it bends, in grey levels, from 0 up, and by
how much its slope changes there."""

STRAIGHT: Knots = ((0.0, 1.0),)
CAPPED: Knots = ((0.0, 1.0), (1.0, -1.0))
"""Up to one grey level. Of 8-bit samples it tells whether there is any difference."""
SATURATED: Knots = ((0.0, 1.0), (1.0, -0.8), (8.0, -0.2))
"""Nearly so, and up to eight grey levels by how much: sharpened photos differ less than noise."""
LOGARITHMIC: Knots = ((0.0, 0.8), (1.5, -0.4), (5.0, -0.3))
"""Roughly."""

GREY_LEVELS = 127.5
"""Of a difference of one between the network's inputs, which are in [-1, 1]."""
FEATURE = 1 / 8
"""Value of a feature within the encoder for one grey level."""
SHOWN = 0.5
"""Amplitude of the pattern that shows a gauge, in grey levels for one code word."""
SAME = 0.9
"""Cosine between filters that are still the same after some training."""

Kernel = tuple[tuple[float, ...], ...]
MEAN: Kernel = ((1 / 25,) * 5,) * 5
SECOND: Kernel = tuple((0.0, *(a * b / 6 for a in (1, -2, 1)), 0.0) for b in (0, 1, -2, 1, 0))
"""Second difference in both directions; its norm is one."""
NEIGHBOUR: Kernel = tuple((0.0, 0.0, -row, row, 0.0) for row in (0.0, 0.0, 1.0, 0.0, 0.0))
STEP: Kernel = (tuple(value / 5 / 20**0.5 for value in (1, -3, 3, -1, 0)),) * 5
"""Between the second and the third of five pixels: a step without the slope around it."""
LINE: Kernel = ((0.0, 0.0, 1 / 5, 0.0, 0.0),) * 5
"""Mean along the border of a block."""
BORDERS: Kernel = (tuple(value / 5 for value in (1 / 3, -1 / 2, 1 / 3, -1 / 2, 1 / 3)),) * 5
"""Of features 4 pixels apart: those on the borders of blocks against those between."""

CHECKS = (1.0, -1.0, -1.0, 1.0)
COLUMNS = (1.0, -1.0, 1.0, -1.0)
ROWS = (1.0, 1.0, -1.0, -1.0)

GREY = (1.0, 1.0, 1.0)
RED_BLUE = (1.0, 0.0, -1.0)
GREEN = (0.0, 1.0, 0.0)
COLOUR = (1.0, -2.0, 1.0)
"""Zero for grey; for noise its variance is six times that of one colour."""


@dataclass(frozen=True)
class Gauge:
    """What one latent channel is made to tell: the sum over one or two axes of

        scale * summary(local(mean(pixel(|difference|))))

    Attributes:
        weights: of red, green and blue.
        difference: between pixels, by the encoder's first layer.
        pixel: what becomes of its absolute value.
        mean: over neighbours, by the second layer.
        local: what becomes of the mean.
        summary: over neighbours, by the last layer.
        scale: code words for one grey level.
        floor: code words below the usual value that the decoder shows as nothing.
        pattern: that it shows more by, of every 2x2 pixels, row by row.
        shown_in: weights of red, green and blue in it.
        axes: 1, or 2 where all is to be done for rows as for columns.
    """

    weights: tuple[float, ...]
    difference: Kernel
    pixel: Knots
    mean: Kernel
    local: Knots
    summary: Kernel
    scale: float
    floor: float
    pattern: tuple[float, ...]
    shown_in: tuple[float, ...] = GREY
    axes: int = 1

    def kernel(self, axis: int) -> Tensor:
        """(3, 5, 5) of the first layer."""
        return torch.tensor(self.weights)[:, None, None] * along(self.difference, axis)


STRENGTH = Gauge(GREEN, SECOND, STRAIGHT, MEAN, LOGARITHMIC, MEAN, 2.0, 1.0, CHECKS)
BLOCKS = Gauge(TO_YCBCR[0], STEP, STRAIGHT, LINE, CAPPED, BORDERS, 2.0, 0.3, COLUMNS, axes=2)
NEIGHBOURS = Gauge(GREEN, NEIGHBOUR, CAPPED, MEAN, STRAIGHT, MEAN, 4.0, 1.0, ROWS)
NOISE = Gauge(COLOUR, SECOND, SATURATED, MEAN, STRAIGHT, MEAN, 4.0, 0.5, CHECKS, RED_BLUE)
GAUGES = (STRENGTH, BLOCKS, NEIGHBOURS, NOISE)
PARTS = tuple((gauge, axis) for gauge in GAUGES for axis in range(gauge.axes))


@torch.no_grad()
def install_gauges(codec: DCN, pixels: Tensor) -> list[int] | None:
    """Rewrite a latent channel of a codec, which is changed, for each of ``GAUGES``.

    Args:
        codec: pre-trained, of at least as many latent channels.
        pixels: photos, float (B, 3, H, W) in [0, 1], that show which features matter least.

    Returns:
        The channels; None if the codec has its gauges already.
    """
    first, _ = parameters(codec.analysis_net[0])
    wanted = torch.stack([gauge.kernel(axis) for gauge, axis in PARTS]).to(first)
    found = functional.cosine_similarity(first.flatten(1), wanted.flatten(1).unsqueeze(1), 2)
    if float(found.amax(1).min()) > SAME:
        return None
    latent = codec.analysis(pixels)
    channels = deviation(latent).argsort()[: len(GAUGES)]
    _tell(codec, channels, pixels)
    changed = codec.analysis(pixels)

    # They tell what is more or less than usual.
    usual = latent[:, channels].mean((0, 2, 3))
    shift = usual - changed[:, channels].mean((0, 2, 3))
    _, bias = parameters(codec.analysis_net[7])
    bias[channels] += shift / codec.latent_scale
    changed[:, channels] += shift[:, None, None]

    before, now = (z.round() / codec.latent_scale for z in (latent, changed))
    reader = codec.synthesis_net[0]
    refit(reader, now, reader(before))
    floors = usual - torch.tensor([gauge.floor for gauge in GAUGES]).to(usual)
    _show(codec, channels, floors / codec.latent_scale, now)
    told: list[int] = channels.tolist()
    return told


def _tell(codec: DCN, channels: Tensor, pixels: Tensor) -> None:
    """Add gauges to latent channels."""
    net = codec.analysis_net
    (first, first_bias), (second, second_bias) = map(parameters, (net[0], net[2]))
    last, _ = parameters(net[7])
    # Differences along either sign: their leaky halves add up to the absolute value.
    features = functional.leaky_relu(net[0](pixels * 2 - 1), LEAK)
    free = free_features(features, net[2], 2 * sum(len(gauge.pixel) for gauge, _ in PARTS))
    pairs = iter(free.view(-1, 2))
    features = functional.leaky_relu(net[2](features), LEAK)
    count = sum(len(gauge.local) for gauge, _ in PARTS)
    free, _ = free_trunk(features, net.children(), net[7], count)
    second[free] = 0
    means = iter(free)

    targets = dict(zip(GAUGES, channels, strict=True))
    for gauge, axis in PARTS:
        kernel = gauge.kernel(axis).to(first) * GREY_LEVELS * FEATURE
        mean = along(gauge.mean, axis).to(second)
        summary = along(gauge.summary, axis).to(last) * gauge.scale / FEATURE / codec.latent_scale
        local = [next(means) for _ in gauge.local]
        for channel, (level, _) in zip(local, gauge.local, strict=True):
            second_bias[channel] = -level * FEATURE
        for level, slope in gauge.pixel:
            pair = next(pairs)
            first[pair] = torch.stack([kernel, -kernel])
            first_bias[pair] = -level * FEATURE
            for channel in local:
                second[channel, pair] = mean * slope / (1 - LEAK)
                # The two leaky halves add up to less than nothing below the level.
                second_bias[channel] += 2 * LEAK * level * FEATURE * slope / (1 - LEAK)
        for channel, weight in zip(local, _leaky(gauge.local), strict=True):
            last[targets[gauge], channel] = weight * summary


def _show(codec: DCN, channels: Tensor, floors: Tensor, latent: Tensor) -> None:
    """Let the decoder show the local means of some latent channels as patterns.

    Args:
        codec: is changed.
        channels: one for each of ``GAUGES``.
        floors: values of theirs that give no pattern.
        latent: of typical photos, as the decoder's network reads it.
    """
    net = codec.synthesis_net
    (first, first_bias), (middle, middle_bias) = map(parameters, (net[0], net[6]))
    last, _ = parameters(net[9])
    features = net[:3](latent)
    free, features = free_trunk(features, net.children(), net[6], len(GAUGES))
    finer = free_features(net[6:9](features), net[9], len(GAUGES))
    amplitude = SHOWN * codec.latent_scale / GREY_LEVELS
    for gauge, channel, floor, coarse, fine in zip(
        GAUGES, channels, floors, free, finer, strict=True
    ):
        # Each feature before a pixel shuffle has one channel for every place in a square.
        rows = slice(4 * int(coarse), 4 * int(coarse) + 4)
        first[rows] = 0
        first[rows, channel] = 1 / 9
        first_bias[rows] = -floor
        rows = slice(4 * int(fine), 4 * int(fine) + 4)
        middle[rows] = 0
        middle[rows, coarse, 1, 1] = 1
        middle_bias[rows] = 0
        colours = torch.tensor(gauge.shown_in)
        pattern = torch.outer(colours, torch.tensor(gauge.pattern)).flatten()
        last[:, fine, 1, 1] = amplitude * pattern.to(last)


def along(kernel: Kernel, axis: int) -> Tensor:
    """(5, 5): a kernel for steps between columns (axis 0), or the same for rows (1)."""
    values = torch.tensor(kernel)
    return values.T if axis else values


def _leaky(knots: Knots) -> Iterator[float]:
    """Weights of leaky kinks that, for values from 0 up, bend as straight ones, but a constant."""
    rest = [slope / (1 - LEAK) for _, slope in knots[1:]]
    yield knots[0][1] - LEAK * sum(rest)
    yield from rest
