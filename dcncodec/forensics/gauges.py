"""Gauges: an encoder's first idea of what a FAN will want to know.

The latents of a codec that was trained for distortion and rate do not tell that a photo has noise
or has been a JPEG: the mean of every channel stays what it was. The gradient of a FAN's
cross-entropy (DCN paper, equation 8) then vanishes on either side. Decoder and FAN can use only
what the latents tell, and the encoder learns to tell only what these two use. So before such a
training the latent channels that vary least are rewritten to tell, one each

- how strong the finest structure is: the mean absolute second difference of green;
- how much stronger steps are on the borders of 8x8 blocks than between them, in brightness;
- how many neighbours differ at all, in green: a median filter makes them equal;
- how many pixels have fine structure in colour, which noise has and photos hardly.

All are what the encoder's own layers can compute. They take the place of the filters that matter
least, and add to what the channels told before. The decoder shows them as a faint regular pattern
at first, and learns with the FAN what to make of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from dcncodec.forensics.djpeg import TO_YCBCR
from dcncodec.models.dcn import DCN, LEAK, ResidualBlock

Knots = tuple[tuple[float, float], ...]
"""A piecewise linear function that is 0 at 0: where it bends, in grey levels, from 0 up, and by
how much its slope changes there."""

STRAIGHT: Knots = ((0.0, 1.0),)
CAPPED: Knots = ((0.0, 1.0), (1.0, -1.0))
"""Up to one grey level. Of 8-bit samples it tells whether there is any difference."""
LOGARITHMIC: Knots = ((0.0, 0.8), (1.5, -0.4), (5.0, -0.3))
"""Roughly."""

GREY_LEVELS = 127.5
"""Of a difference of one between the network's inputs, which are in [-1, 1]."""
FEATURE = 1 / 8
"""Value of a feature within the encoder for one grey level."""
VISIBLE = 0.6
"""Share of a channel's local mean that the decoder still shows, for the FAN to find."""
SAME = 0.9
"""Cosine between filters that are still the same after some training."""

RIDGE = 1e-4
"""Of the regression, over the variance of each feature."""

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
        axes: 1, or 2 where all is to be done for rows as for columns.
    """

    weights: tuple[float, ...]
    difference: Kernel
    pixel: Knots
    mean: Kernel
    local: Knots
    summary: Kernel
    scale: float
    axes: int = 1

    def kernel(self, axis: int) -> Tensor:
        """(3, 5, 5) of the first layer."""
        return torch.tensor(self.weights)[:, None, None] * along(self.difference, axis)


STRENGTH = Gauge(GREEN, SECOND, STRAIGHT, MEAN, LOGARITHMIC, MEAN, 1.0)
BLOCKS = Gauge(TO_YCBCR[0], STEP, STRAIGHT, LINE, CAPPED, BORDERS, 2.0, axes=2)
NEIGHBOURS = Gauge(GREEN, NEIGHBOUR, CAPPED, MEAN, STRAIGHT, MEAN, 2.0)
NOISE = Gauge(COLOUR, SECOND, CAPPED, MEAN, STRAIGHT, MEAN, 4.0)
GAUGES = (STRENGTH, BLOCKS, NEIGHBOURS, NOISE)


@torch.no_grad()
def install_gauges(codec: DCN, pixels: Tensor) -> list[int] | None:
    """Rewrite a latent channel of a codec, which is changed, for each of ``GAUGES``.

    Args:
        codec: pre-trained, of at least as many latent channels.
        pixels: photos, float (B, 3, H, W) in [0, 1], that show which features matter least.

    Returns:
        The channels; None if the codec has its gauges already.
    """
    net = codec.analysis_net
    (first, first_bias), (second, second_bias) = map(_parameters, (net[0], net[2]))
    last, last_bias = _parameters(net[7])
    parts = [(gauge, axis) for gauge in GAUGES for axis in range(gauge.axes)]
    wanted = torch.stack([gauge.kernel(axis) for gauge, axis in parts]).to(first)
    found = functional.cosine_similarity(first.flatten(1), wanted.flatten(1).unsqueeze(1), 2)
    if float(found.amax(1).min()) > SAME:
        return None
    blocks = [module for module in net if isinstance(module, ResidualBlock)]
    latent = codec.analysis(pixels)
    channels = _deviation(latent).argsort()[: len(GAUGES)]

    # Differences along either sign: their leaky halves add up to the absolute value.
    features = functional.leaky_relu(net[0](pixels * 2 - 1), LEAK)
    free = _least(features, [second], 2 * sum(len(gauge.pixel) for gauge, _ in parts))
    _disconnect(net[2], features, free)
    pairs = iter(free.view(-1, 2))
    features = functional.leaky_relu(net[2](features), LEAK)
    reads = [last, *(residual.conv1.weight for residual in blocks)]
    free = _least(features, reads, sum(len(gauge.local) for gauge, _ in parts))
    second[free] = 0
    for residual in blocks:
        before, features = features, residual(features)
        _disconnect(residual.conv1, before, free)
        for parameter in _parameters(residual.conv2):
            parameter[free] = 0
    _disconnect(net[7], features, free)

    means = iter(free)
    targets = dict(zip(GAUGES, channels, strict=True))
    for (gauge, axis), kernel in zip(parts, wanted, strict=True):
        mean = along(gauge.mean, axis).to(second)
        summary = along(gauge.summary, axis).to(last) * gauge.scale / FEATURE / codec.latent_scale
        local = [next(means) for _ in gauge.local]
        for channel, (level, _) in zip(local, gauge.local, strict=True):
            second_bias[channel] = -level * FEATURE
        for level, slope in gauge.pixel:
            pair = next(pairs)
            first[pair] = torch.stack([kernel, -kernel]) * GREY_LEVELS * FEATURE
            first_bias[pair] = -level * FEATURE
            for channel in local:
                second[channel, pair] = mean * slope / (1 - LEAK)
                # The two leaky halves add up to less than nothing below the level.
                second_bias[channel] += 2 * LEAK * level * FEATURE * slope / (1 - LEAK)
        for channel, weight in zip(local, _leaky(gauge.local), strict=True):
            last[targets[gauge], channel] = weight * summary

    # They tell what is more or less than usual.
    usual = [z[:, channels].mean((0, 2, 3)) for z in (latent, codec.analysis(pixels))]
    last_bias[channels] += (usual[0] - usual[1]) / codec.latent_scale

    # The decoder goes on to use the variation of the channels, but less of their local mean.
    decoder, decoder_bias = _parameters(codec.synthesis_net[0])
    kernels = decoder[:, channels]
    hidden = (1 - VISIBLE) * usual[0] / codec.latent_scale
    decoder_bias += (kernels.sum((2, 3)) * hidden).sum(1)
    decoder[:, channels] = kernels - (1 - VISIBLE) * kernels.mean((2, 3), keepdim=True)
    found_channels: list[int] = channels.tolist()
    return found_channels


def along(kernel: Kernel, axis: int) -> Tensor:
    """(5, 5): a kernel for steps between columns (axis 0), or the same for rows (1)."""
    values = torch.tensor(kernel)
    return values.T if axis else values


def _leaky(knots: Knots) -> Iterator[float]:
    """Weights of leaky kinks that, for values from 0 up, bend as straight ones, but a constant."""
    rest = [slope / (1 - LEAK) for _, slope in knots[1:]]
    yield knots[0][1] - LEAK * sum(rest)
    yield from rest


def _parameters(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution."""
    assert isinstance(layer, nn.Conv2d)
    assert layer.bias is not None
    return layer.weight, layer.bias


def _disconnect(layer: nn.Module, features: Tensor, channels: Tensor) -> None:
    """Let a layer no longer read some channels of features (B, C, H, W).

    In their place it reads what the other channels tell of them, by linear regression.
    """
    weight, bias = _parameters(layer)
    values = features.transpose(0, 1).flatten(1).double()
    means = values.mean(1)
    covariance = torch.cov(values)
    others = torch.ones_like(means, dtype=torch.bool)
    others[channels] = False
    known = covariance[others][:, others]
    known.diagonal().mul_(1 + RIDGE)
    slopes = torch.linalg.solve(known, covariance[others][:, channels])
    constants = means[channels] - means[others] @ slopes
    lost = weight[:, channels].double()
    bias += (lost.sum((2, 3)) @ constants).to(bias)
    weight[:, others] += torch.einsum("orhw,kr->okhw", lost, slopes).to(weight)
    weight[:, channels] = 0


def _least(features: Tensor, reads: Sequence[Tensor], count: int) -> Tensor:
    """The channels (count,) of features (B, C, H, W) that add least to what reads them.

    Args:
        features: their values.
        reads: weights (any, C, k, k) of the layers that read them.
        count: how many.
    """
    norms = torch.stack([weight.transpose(0, 1).flatten(1).norm(dim=1) for weight in reads])
    order: Tensor = (_deviation(features) * norms.norm(dim=0)).argsort()
    return order[:count]


def _deviation(features: Tensor) -> Tensor:
    """Standard deviation of every channel of (B, C, H, W): (C,)."""
    return features.transpose(0, 1).flatten(1).std(1)
