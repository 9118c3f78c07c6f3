"""Surgery on a trained network: room for hand-made features at the least cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from dcncodec.models.dcn import ResidualBlock

RIDGE = 1e-4
"""Of the regressions, over the variance of each feature."""


def parameters(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution."""
    assert isinstance(layer, nn.Conv2d)
    assert layer.bias is not None
    return layer.weight, layer.bias


def free_features(features: Tensor, reader: nn.Module, count: int) -> Tensor:
    """Choose the features that matter least, and let the layer after them no longer read them.

    Args:
        features: float (B, C, H, W), on typical photos.
        reader: a convolution; is changed.
        count: how many.

    Returns:
        Their channels (count,).
    """
    chosen = _least(features, [reader], count)
    _disconnect(reader, features, chosen)
    return chosen


def free_trunk(
    features: Tensor, layers: Iterable[nn.Module], reader: nn.Module, count: int
) -> tuple[Tensor, Tensor]:
    """The same along residual blocks, which then pass what is put into the channels unchanged.

    Args:
        features: as in ``free_features``, before the blocks.
        layers: among them the blocks; these are changed.
        reader: the convolution after them; is changed.
        count: how many.

    Returns:
        The channels (count,), and the features (B, C, H, W) behind the blocks as these were.
    """
    blocks = [layer for layer in layers if isinstance(layer, ResidualBlock)]
    chosen = _least(features, [reader, *(block.conv1 for block in blocks)], count)
    for block in blocks:
        before, features = features, block(features)
        _disconnect(block.conv1, before, chosen)
        for parameter in parameters(block.conv2):
            parameter[chosen] = 0
    _disconnect(reader, features, chosen)
    return chosen, features


def refit(layer: nn.Module, seen: Tensor, wanted: Tensor) -> None:
    """Let a 3x3 convolution give from changed features what it gave before, by least squares.

    Args:
        layer: with padding; is changed.
        seen: what it reads now, float (B, C, H, W).
        wanted: what it should give, (B, O, H, W).
    """
    weight, bias = parameters(layer)
    windows = functional.unfold(seen, 3, padding=1).transpose(0, 1).flatten(1)
    slopes, constants = _regress(windows, wanted.transpose(0, 1).flatten(1))
    weight.copy_(slopes.T.reshape(weight.shape))
    bias.copy_(constants)


def deviation(features: Tensor) -> Tensor:
    """Standard deviation of every channel of (B, C, H, W): (C,)."""
    return features.transpose(0, 1).flatten(1).std(1)


def _least(features: Tensor, readers: Sequence[nn.Module], count: int) -> Tensor:
    """The channels (count,) of features (B, C, H, W) that add least to what reads them."""
    weights = [parameters(reader)[0] for reader in readers]
    norms = torch.stack([weight.transpose(0, 1).flatten(1).norm(dim=1) for weight in weights])
    order: Tensor = (deviation(features) * norms.norm(dim=0)).argsort()
    return order[:count]


def _disconnect(reader: nn.Module, features: Tensor, channels: Tensor) -> None:
    """Let a layer read, in place of some channels, what the others tell of them."""
    weight, bias = parameters(reader)
    values = features.transpose(0, 1).flatten(1)
    others = torch.ones(len(values), dtype=torch.bool, device=values.device)
    others[channels] = False
    slopes, constants = _regress(values[others], values[channels])
    lost = weight[:, channels]
    bias += lost.sum((2, 3)) @ constants
    weight[:, others] += torch.einsum("orhw,kr->okhw", lost, slopes)
    weight[:, channels] = 0


def _regress(known: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Least squares of the rows of (O, N) from those of (K, N): slopes (K, O), constants (O,)."""
    means = known.mean(1, keepdim=True).double(), wanted.mean(1, keepdim=True).double()
    x, y = known.double() - means[0], wanted.double() - means[1]
    covariance = x @ x.T
    covariance.diagonal().mul_(1 + RIDGE)
    slopes = torch.linalg.solve(covariance, x @ y.T)
    constants = means[1].squeeze(1) - means[0].squeeze(1) @ slopes
    return slopes.to(known), constants.to(known)
