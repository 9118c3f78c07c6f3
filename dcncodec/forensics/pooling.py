"""What a FAN's answers all over a photo say of the photo as a whole.

The places of a photo are no independent witnesses, and a FAN errs on whole photos: of one kind all
places look like noise, of another like a median filter. So what their answers mean is learned from
photos that are told: a logistic regression (matrix scaling: Guo, Pleiss, Sun & Weinberger, On
Calibration of Modern Neural Networks, ICML 2017) of the quartiles over all places of each class's
log-probability. Quartiles, since those bound what an odd region can do that is less than a quarter
of the photo.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

QUARTILES = (0.25, 0.5, 0.75)
FOLDS = 10
ENTRY = "pooling"
"""Of the entry of a calibration in a FAN's card."""
LARGEST = 1e6
"""No weight of a card is as large."""
SPREAD_LEAST = 1e-3
"""Of a feature; one that hardly varies says nothing."""
STEPS = 500


def quartiles(logs: Tensor) -> Tensor:
    """(3 * K,) of log-probabilities (K, n) at n places: all first quartiles, medians, and third
    ones."""
    found = np.quantile(logs.numpy(), QUARTILES, axis=1)
    return torch.from_numpy(found.astype(np.float32)).flatten()


@dataclass(frozen=True, eq=False)
class Pooling:
    """A logistic regression of quartiles.

    Attributes:
        weights: float64 (K, 3 * K).
        bias: float64 (K,).
    """

    weights: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Log-probabilities (..., K) of quartiles (..., 3 * K)."""
        logits = functional.linear(features.to(self.weights.dtype), self.weights, self.bias)
        return logits.log_softmax(-1).float()

    def entry(self) -> dict[str, Any]:
        """For a card."""
        return {"weights": _listed(self.weights), "bias": _listed(self.bias)}


def read_pooling(entry: Mapping[str, Any], count: int) -> Pooling:
    """That of a card for ``count`` classes.

    Raises:
        KeyError, OverflowError, TypeError, ValueError: it is damaged.
    """
    weights, bias = (torch.tensor(entry[n], dtype=torch.float64) for n in ("weights", "bias"))
    if (weights.shape, bias.shape) != ((count, len(QUARTILES) * count), (count,)):
        raise ValueError("not as many weights as classes ask for")
    if not (torch.cat([weights.flatten(), bias]).abs() < LARGEST).all():
        raise ValueError("no such weights are learned")
    return Pooling(weights, bias)


def learned(features: Tensor, labels: Tensor, count: int) -> Pooling:
    """The regression that tells photos best, all classes that are there counting alike. Weights for
    features of one spread, and what is added, have Gaussians of variance one.

    Args:
        features: (n, 3 * count), quartiles of photos.
        labels: (n,), their classes.
        count: of the classes.
    """
    features = features.double()
    middle, spread = features.mean(0), features.std(0, correction=0).clamp_min(SPREAD_LEAST)
    scaled = (features - middle) / spread
    photos = torch.bincount(labels, minlength=count)
    share = len(labels) / (photos.clamp_min(1).double() * int((photos > 0).sum()))
    weights = torch.zeros(count, features.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(count, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [weights, bias], max_iter=STEPS, line_search_fn="strong_wolfe", tolerance_change=1e-9
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        logits = functional.linear(scaled, weights, bias)
        loss = functional.cross_entropy(logits, labels, share, reduction="sum")
        loss = loss + (weights.square().sum() + bias.square().sum()) / 2
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with torch.enable_grad():
        optimiser.step(closure)  # type: ignore[no-untyped-call]
    own = weights.detach() / spread
    return Pooling(own, bias.detach() - own @ middle)


def held_out(features: Tensor, labels: Tensor, photos: Tensor, count: int) -> Tensor:
    """What regressions say of photos that they have not learned from, log-probabilities
    (n, count).

    Args:
        features, labels, count: see ``learned``.
        photos: (n,), numbers of the photos that these are versions of: all versions of one are held
            out together. Those of a single photo are not.
    """
    found = torch.empty(len(features), count)
    folds = torch.from_numpy(np.unique(photos.numpy(), return_inverse=True)[1]) % FOLDS
    for fold in range(int(folds.max()) + 1):
        own = folds == fold
        others = own if own.all() else ~own
        found[own] = learned(features[others], labels[others], count)(features[own])
    return found


def _listed(values: Tensor) -> Any:
    """As a card keeps them."""
    return torch.round(values, decimals=5).tolist()
