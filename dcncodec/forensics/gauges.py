"""Gauges: an encoder's first idea of what a FAN will want to know.

The latents of a codec that was trained for distortion and rate do not tell that a photo has noise
or has been a JPEG: the mean of every channel stays what it was. The gradient of a FAN's
cross-entropy (DCN paper, equation 8) then vanishes on either side. Decoder and FAN can use only
what the latents tell, and the encoder learns to tell only what these two use. So before such a
training two latent channels, those that vary least, are rewritten to tell

- how strong the finest structure is: the mean absolute second difference of green;
- how much stronger steps are on the borders of 8x8 blocks than between them, in brightness.

Both are what the encoder's own layers can compute. They take the place of the filters that matter
least, and add to what the two channels told before. The decoder shows them as a faint regular
pattern at first, and learns with the FAN what to make of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from dcncodec.forensics.djpeg import TO_YCBCR
from dcncodec.models.dcn import DCN, LEAK, ResidualBlock

GAUGES = 2
"""Latent channels that they take."""
SECOND_DIFFERENCE = torch.tensor([[1.0, -2, 1], [-2, 4, -2], [1, -2, 1]]) / 6
STEP = torch.tensor([1.0, -3, 3, -1, 0]) / 20**0.5
"""Between the second and the third of five pixels: a step without the slope around it."""
GREY_LEVELS = 127.5
"""Of a difference of one between the network's inputs, which are in [-1, 1]."""
FEATURE = 1 / 8
"""Value of a feature within the encoder for one grey level."""
STRENGTH_KNOTS = ((0.0, 1.0), (1.5, -0.5), (5.0, -0.4))
"""Where the gauge of strength bends, in grey levels, and by how much its slope changes there."""
STRENGTH_SCALE = 1.0
BLOCK_CAP = 1.0
"""Steps beyond so many grey levels are edges of the picture: they count no more than this."""
BLOCK_SCALE = 2.0
BLOCK_BORDERS = (1 / 3, -1 / 2, 1 / 3, -1 / 2, 1 / 3)
"""Weights of features 4 pixels apart: those on the borders of blocks against those between."""
VISIBLE = 0.6
"""Share of a channel's local mean that the decoder still shows, for the FAN to find."""
SAME = 0.9
"""Cosine between filters that are still the same after some training."""


@torch.no_grad()
def install_gauges(codec: DCN, pixels: Tensor) -> tuple[int, int] | None:
    """Rewrite two latent channels of a codec, which is changed.

    Args:
        codec: pre-trained, of at least ``GAUGES`` latent channels.
        pixels: photos, float (B, 3, H, W) in [0, 1], that show which features matter least.

    Returns:
        The two channels, strength and blocks; None if the codec has its gauges already.
    """
    net = codec.analysis_net
    (first, first_bias), (second, _), (last, _) = map(_parameters, (net[0], net[2], net[7]))
    wanted = _first_kernels().to(first)
    found = functional.cosine_similarity(first.flatten(1), wanted.flatten(1).unsqueeze(1), 2)
    if float(found.amax(1).min()) > SAME:
        return None
    blocks = [module for module in net if isinstance(module, ResidualBlock)]
    latent = codec.analysis(pixels)
    strength, block = _deviation(latent).argsort()[:GAUGES].tolist()

    # Differences along either sign: their leaky halves add up to the absolute value.
    features = functional.leaky_relu(net[0](pixels * 2 - 1), LEAK)
    pairs = _least(features, [second], 6).view(3, 2).tolist()
    for (plus, minus), kernel in zip(pairs, wanted, strict=True):
        first[plus] = kernel * GREY_LEVELS * FEATURE
        first[minus] = -first[plus]
        first_bias[[plus, minus]] = 0
        _disconnect(net[2], features, [plus, minus])

    features = functional.leaky_relu(net[2](features), LEAK)
    knots = len(STRENGTH_KNOTS)
    reads = [last, *(residual.conv1.weight for residual in blocks)]
    free = _least(features, reads, knots + 4).tolist()
    second[free] = 0
    for residual in blocks:
        before, features = features, residual(features)
        _disconnect(residual.conv1, before, free)
        for parameter in _parameters(residual.conv2):
            parameter[free] = 0
    _disconnect(net[7], features, free)

    _tell_strength(codec, strength, pairs[0], free[:knots])
    for axis, pair in enumerate(pairs[1:]):
        _tell_blocks(codec, block, axis, pair, free[knots + 2 * axis : knots + 2 * axis + 2])

    # The decoder goes on to use the variation of the two channels, but less of their local mean.
    decoder, decoder_bias = _parameters(codec.synthesis_net[0])
    kernels = decoder[:, [strength, block]]
    means = [z[:, [strength, block]].mean((0, 2, 3)) for z in (latent, codec.analysis(pixels))]
    shift = (means[0] - VISIBLE * means[1]) / codec.latent_scale
    decoder_bias += (kernels.sum((2, 3)) * shift).sum(1)
    decoder[:, [strength, block]] = kernels - (1 - VISIBLE) * kernels.mean((2, 3), keepdim=True)
    return strength, block


def _tell_strength(codec: DCN, target: int, pair: list[int], free: list[int]) -> None:
    """Add the gauge of strength to a latent channel.

    Args:
        codec: is changed.
        target: the latent channel.
        pair: of features of the first layer, the second difference along either sign.
        free: of features of the second layer to use, one for each of ``STRENGTH_KNOTS``.
    """
    second, second_bias = _parameters(codec.analysis_net[2])
    last, last_bias = _parameters(codec.analysis_net[7])
    scale = STRENGTH_SCALE / FEATURE / codec.latent_scale
    for channel, (knot, slope) in zip(free, STRENGTH_KNOTS, strict=True):
        second[channel, pair] = 1 / 25 / (1 - LEAK)
        second_bias[channel] = -knot * FEATURE
        last[target, channel] = slope * scale / 25
        # A leaky kink is LEAK times its distance below zero at the origin.
        last_bias[target] += slope * LEAK * knot * FEATURE * scale


def _tell_blocks(codec: DCN, target: int, axis: int, pair: list[int], free: list[int]) -> None:
    """Add the gauge of blocks along one axis to a latent channel.

    Args:
        codec: is changed.
        target: the latent channel.
        axis: 0 for steps between columns, 1 for those between rows.
        pair: of features of the first layer, such steps along either sign.
        free: two features of the second layer to use: the steps, and what exceeds the cap.
    """
    second, second_bias = _parameters(codec.analysis_net[2])
    last, _ = _parameters(codec.analysis_net[7])
    scale = BLOCK_SCALE / FEATURE / codec.latent_scale / (1 - LEAK)
    mean = torch.zeros(5, 5).to(second)
    mean[:, 2] = 1 / 5 / (1 - LEAK)
    across = torch.tensor(BLOCK_BORDERS).to(last).expand(5, 5) / 5
    if axis:
        mean, across = mean.T, across.T
    for channel, knot, sign in zip(free, (0.0, BLOCK_CAP), (1, -1), strict=True):
        second[channel, pair] = mean
        second_bias[channel] = -knot * FEATURE
        last[target, channel] = sign * scale * across


def _parameters(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution."""
    assert isinstance(layer, nn.Conv2d)
    assert layer.bias is not None
    return layer.weight, layer.bias


def _first_kernels() -> Tensor:
    """(3, 3, 5, 5): strength, steps between columns, steps between rows."""
    kernels = torch.zeros(3, 3, 5, 5)
    kernels[0, 1, 1:4, 1:4] = SECOND_DIFFERENCE
    columns = STEP.expand(5, 5) / 5
    for colour, share in enumerate(TO_YCBCR[0]):
        kernels[1, colour], kernels[2, colour] = share * columns, share * columns.T
    return kernels


def _disconnect(layer: nn.Module, features: Tensor, channels: list[int]) -> None:
    """Let a layer no longer read some channels of features (B, C, H, W), only their means."""
    weight, bias = _parameters(layer)
    means = features[:, channels].mean((0, 2, 3))
    bias += (weight[:, channels].sum((2, 3)) * means).sum(1)
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
