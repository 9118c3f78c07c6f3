"""Neural imaging pipelines (Korus & Memon, CVPR 2019, supplement): RGGB stack to picture.

All take float (B, 4, h, w) in [0, 1], the white-balanced R, G, G, B of ``formats.raw``, and give
sRGB (B, 3, 2h, 2w), which is in [0, 1] but for what an error may add: clip it for display, not in
training, where clipping would stop gradients.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

LEAK = 0.2
HIDDEN = 4
"""INet's tanh units for the transfer curve of one colour."""
GAMMA_ENCODE = (14.899, 3.295, 0.675, 80.948)
GAMMA_ENCODE_BIAS = (0.936, 0.685, 0.008, 1.12)
GAMMA_DECODE = (0.442, 0.606, 0.97, 0.359)
GAMMA_DECODE_BIAS = -0.983
"""sRGB's curve as sum(decode * tanh(encode * x + bias)) + bias, fitted by least squares on [0, 1]:
RMS error 0.0003, at most 0.0011."""
DNET_LAYERS, DNET_FEATURES = 15, 64
KNOTS = 21
"""Corners of the curve with which DNet starts: 21 of its last features for each colour."""


class Pipeline(nn.Module):
    """What the pipelines have in common.

    Attributes:
        halo: pixels of the stack, a multiple of 16, beyond which the input has no influence on
            an output; windows must begin at multiples of 16 to give what the whole would.
    """

    halo: ClassVar[int]

    def develop(self, stack: Tensor) -> Tensor:
        """The picture in [0, 1], without gradients: (B, 4, h, w) to (B, 3, 2h, 2w)."""
        with torch.no_grad():
            picture: Tensor = self(stack)
        return picture.float().clamp(0, 1)


class INet(Pipeline):
    """A standard pipeline with trainable steps: 321 parameters.

    Demosaicing 5x5, colour matrix 1x1, transfer curve 1x1 to 12 tanh units and 1x1 back. Starts
    as bilinear demosaicing, the camera's colours, and sRGB's curve. The published count leaves out
    the 48 weights that place samples in a picture with gaps: those are fixed, and here no weights.

    Args:
        to_srgb: (3, 3), the colour matrix to start with; by default none.
    """

    halo: ClassVar = 16

    def __init__(self, to_srgb: Tensor | None = None) -> None:
        super().__init__()
        self.demosaic = nn.Conv2d(3, 3, 5, bias=False)
        self.colour = nn.Conv2d(3, 3, 1, bias=False)
        self.encode = nn.Conv2d(3, 3 * HIDDEN, 1)
        self.decode = nn.Conv2d(3 * HIDDEN, 3, 1)
        with torch.no_grad():
            self.demosaic.weight.copy_(functional.pad(bilinear(), (1, 1, 1, 1)))
            own = torch.eye(3)
            self.colour.weight.copy_((own if to_srgb is None else to_srgb)[..., None, None])
            encode = torch.kron(own, torch.tensor(GAMMA_ENCODE).unsqueeze(1))
            decode = torch.kron(own, torch.tensor(GAMMA_DECODE).unsqueeze(0))
            self.encode.weight.copy_(encode[..., None, None])
            self.decode.weight.copy_(decode[..., None, None])
            for layer, bias in ((self.encode, GAMMA_ENCODE_BIAS * 3),
                                (self.decode, (GAMMA_DECODE_BIAS,) * 3)):  # fmt: skip
                assert layer.bias is not None
                layer.bias.copy_(torch.tensor(bias))

    def forward(self, stack: Tensor) -> Tensor:
        """See the module."""
        with torch.autocast(stack.device.type, enabled=False):
            rgb = self.colour(self.demosaic(reflect(scatter(stack), 2)))
            picture: Tensor = self.decode(torch.tanh(self.encode(rgb)))
        return picture


class UNet(Pipeline):
    """The network of Chen et al., "Learning to see in the dark" (2018): 7,760,268 parameters.

    Five scales of 32 to 512 features, two 3x3 convolutions at each on the way down and up, 2x2
    transposed convolutions without bias between, 1x1 to 12 channels, depth to space.
    """

    halo: ClassVar = 112

    def __init__(self) -> None:
        super().__init__()
        features = (4, 32, 64, 128, 256, 512)
        pairs = pairwise(features)
        self.down = nn.ModuleList(_two_convolutions(before, after) for before, after in pairs)
        ways = list(zip(features[:1:-1], features[-2:0:-1], strict=True))
        self.enlarge = nn.ModuleList(
            nn.ConvTranspose2d(before, after, 2, stride=2, bias=False) for before, after in ways
        )
        self.up = nn.ModuleList(_two_convolutions(2 * after, after) for _, after in ways)
        self.last = nn.Conv2d(features[1], 12, 1)

    def forward(self, stack: Tensor) -> Tensor:
        """See the module."""
        height, width = stack.shape[-2:]
        multiple = 2 ** len(self.up)
        x = functional.pad(stack, (0, -width % multiple, 0, -height % multiple), mode="replicate")
        skipped = []
        for i, convolutions in enumerate(self.down):
            x = convolutions(functional.max_pool2d(x, 2) if i else x)
            skipped.append(x)
        skipped.pop()
        for enlarge, convolutions in zip(self.enlarge, self.up, strict=True):
            x = convolutions(torch.cat([enlarge(x), skipped.pop()], dim=1))
        with torch.autocast(stack.device.type, enabled=False):
            picture = functional.pixel_shuffle(self.last(x.float()), 2)
        return picture[..., : 2 * height, : 2 * width]


class BatchNorm(nn.Module):
    """Batch normalisation without torch's count of batches, the one integer among the weights.

    Args:
        count: features.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(count)), nn.Parameter(torch.zeros(count))
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("variance", torch.ones(count))

    def forward(self, x: Tensor) -> Tensor:
        """(B, count, H, W) to the same; in training by the batch's own mean and variance."""
        return functional.batch_norm(
            x, self.mean, self.variance, self.weight, self.bias, self.training
        )


class DNet(Pipeline):
    """Joint demosaicing and denoising after Gharbi et al. (2016): 493,976 parameters.

    Fifteen 3x3 convolutions on the stack, 64 features (the last one: 12), depth to space, the
    samples themselves beside them, a 3x3 convolution to 64 features and a 1x1 to RGB. The layers
    as the supplement lists them, each with a bias, have 493,068 parameters. The published count is
    that of batch normalisation (scale and shift) in place of the fifteen biases, as here.

    Starts as bilinear demosaicing, the camera's colours and a piecewise linear curve, which the
    last two layers can express; the deep features join with training.

    Args:
        to_srgb: (3, 3), the colour matrix to start with; by default none.
    """

    halo: ClassVar = 16

    def __init__(self, to_srgb: Tensor | None = None) -> None:
        super().__init__()
        features = (4, *[DNET_FEATURES] * (DNET_LAYERS - 1), 12)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, bias=False) for before, after in pairwise(features)
        )
        self.norms = nn.ModuleList(BatchNorm(count) for count in features[1:])
        self.after = nn.Conv2d(6, DNET_FEATURES, 3)
        self.last = nn.Conv2d(DNET_FEATURES, 3, 1, bias=False)
        for module in self.convolutions:
            assert isinstance(module, nn.Conv2d)
            nn.init.kaiming_normal_(module.weight)
        self._start_simple(torch.eye(3) if to_srgb is None else to_srgb)

    @torch.no_grad()
    def _start_simple(self, to_srgb: Tensor) -> None:
        encoded = torch.linspace(0, 1, KNOTS)
        knots = torch.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
        slopes = encoded.diff() / knots.diff()
        bends = torch.cat([slopes[:1], slopes.diff(), -slopes[-1:]])
        colours = torch.einsum("od,dijk->oijk", to_srgb, bilinear())
        nn.init.normal_(self.after.weight, std=0.0003)
        nn.init.zeros_(self.last.weight)
        assert self.after.bias is not None
        for colour in range(3):
            part = slice(colour * KNOTS, (colour + 1) * KNOTS)
            self.after.weight[part, 3:] = colours[colour]
            self.after.bias[part] = -knots
            self.last.weight[colour, part, 0, 0] = bends
        self.after.bias[3 * KNOTS :] = 0

    def forward(self, stack: Tensor) -> Tensor:
        """See the module."""
        deep = stack
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            deep = functional.relu(norm(convolution(reflect(deep, 1))))
        # The last layers add up steep slopes of opposite signs, which bfloat16 would round.
        with torch.autocast(stack.device.type, enabled=False):
            both = torch.cat([functional.pixel_shuffle(deep.float(), 2), scatter(stack)], dim=1)
            picture: Tensor = self.last(functional.relu(self.after(reflect(both, 1))))
        return picture


NETWORKS = ("inet", "unet", "dnet")


def make_nip(network: str, to_srgb: Tensor | None = None) -> Pipeline:
    """A pipeline with its initial weights.

    Args:
        network: one of ``NETWORKS``.
        to_srgb: float (3, 3), the colour matrix of the camera; UNet has no use for it.

    Raises:
        ValueError: there is no network of that name.
    """
    if network == "unet":
        return UNet()
    if network not in NETWORKS:
        raise ValueError(f"no camera pipeline is called {network}; choose from {NETWORKS}")
    return INet(to_srgb) if network == "inet" else DNet(to_srgb)


def scatter(stack: Tensor) -> Tensor:
    """R, G, G, B (B, 4, h, w) at their places in RGB with gaps of zero, (B, 3, 2h, 2w)."""
    batch, _, height, width = stack.shape
    places = stack.new_zeros(batch, 12, height, width)
    places[:, [0, 5, 6, 11]] = stack
    return functional.pixel_shuffle(places, 2)


def bilinear() -> Tensor:
    """The kernels (3, 3, 3, 3) that fill those gaps by linear interpolation."""
    red = torch.tensor([[0.25, 0.5, 0.25], [0.5, 1.0, 0.5], [0.25, 0.5, 0.25]])
    green = torch.tensor([[0.0, 0.25, 0.0], [0.25, 1.0, 0.25], [0.0, 0.25, 0.0]])
    return torch.stack([red, green, red]).unsqueeze(1) * torch.eye(3)[..., None, None]


def reflect(pixels: Tensor, count: int) -> Tensor:
    """Pad by reflection, which keeps the colours of the filter in step."""
    return functional.pad(pixels, (count,) * 4, mode="reflect")


def _two_convolutions(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1),
        nn.LeakyReLU(LEAK),
        nn.Conv2d(after, after, 3, padding=1),
        nn.LeakyReLU(LEAK),
    )
