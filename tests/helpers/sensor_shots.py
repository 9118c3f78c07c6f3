"""Photos of sensors with known gains, made quickly: smooth content and noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

CAMERA = 7
"""The sensor whose fingerprint tests have."""


def gains(number: int, height: int = 192, width: int = 256) -> NDArray[np.float64]:
    """K of a sensor: float (H, W), standard deviation 1.5%."""
    return 0.015 * np.random.default_rng(number).standard_normal((height, width))


def shot(K: NDArray[np.float64], seed: int, content: float = 25) -> NDArray[np.uint8]:
    """A photo, uint8 (H, W, 3); ``content`` is the deviation of what it shows, grey levels."""
    rng = np.random.default_rng(1000 + seed)
    scene = gaussian_filter(rng.standard_normal((*K.shape, 3)), (8, 8, 0))
    light = rng.uniform(100, 170) + content * scene / scene.std()
    noisy = light * (1 + K[..., None]) + rng.normal(0, 2, scene.shape)
    return np.rint(noisy).clip(0, 255).astype(np.uint8)
