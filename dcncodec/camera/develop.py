"""From a sensor's frame to a picture, by the standard pipeline, LibRaw's, or a neural one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from dcncodec.camera.camera import Floats, develop_frame, recolour
from dcncodec.formats.geometry import Area
from dcncodec.formats.raw import Frame
from dcncodec.models.families.nip import STANDARD
from dcncodec.models.load import load_nip
from dcncodec.models.nip import Pipeline
from dcncodec.models.registry import find_model
from dcncodec.models.roles import Role
from dcncodec.runtime.devices import choose_device, choose_precision

if TYPE_CHECKING:
    from dcncodec.runtime.engine import Precision

WINDOW = 512
"""Side of a window in pixels of the stack, a multiple of ``ALIGNMENT``."""
ALIGNMENT = 16
"""Windows begin at multiples of this (``Pipeline.halo``)."""


class Developer:
    """A pipeline that is loaded once for many frames.

    Args:
        pipeline: ``standard``, or a neural pipeline by name or weight folder.
        device, precision: as in ``dcncodec.runtime.devices``, for neural ones.

    Attributes:
        network: on its device; None for the standard pipeline.
        to_srgb: (3, 3), the colours that the network has learned.

    Raises:
        ModelError: there is no such pipeline, or it is damaged.
        UsageError: the device or precision is unknown.
    """

    def __init__(
        self, pipeline: str | Path, device: str = "auto", precision: Precision = "auto"
    ) -> None:
        self.network: Pipeline | None = None
        self.to_srgb: NDArray[np.float64] | None = None
        if str(pipeline) == STANDARD:
            return
        folder = find_model(pipeline, Role.PIPELINE)
        self.device = choose_device(device)
        self.precision = choose_precision(precision, self.device)
        network = load_nip(folder).to(self.device)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.to_srgb = np.array(folder.to_srgb)

    def develop(self, frame: Frame) -> NDArray[np.uint8]:
        """A frame's picture, upright: uint8 (H, W, 3), sRGB.

        A neural pipeline has learned the colours of one camera; those of others are corrected
        after it.

        Raises:
            MissingLibraryError: the standard pipeline's library is not installed.
        """
        if self.network is None:
            picture = develop_frame(frame)
        else:
            picture = run_windows(self.network, frame.stack(), self.device, self.precision)
            assert self.to_srgb is not None
            if not np.allclose(self.to_srgb, frame.to_srgb, atol=1e-3):
                picture = recolour(picture, self.to_srgb, frame.to_srgb)
            picture = frame.upright(picture)
        return np.ascontiguousarray(np.rint(picture * 255).astype(np.uint8))


def run_windows(
    network: Pipeline, stack: Floats, device: torch.device, precision: torch.dtype
) -> Floats:
    """What a neural pipeline makes of a stack, window by window, as of the whole.

    Args:
        network: on its device.
        stack: (h, w, 4), as of ``Frame.stack``.
        device, precision: of the network, and of its inner layers.

    Returns:
        float32 (2h, 2w, 3), sRGB in [0, 1].
    """
    height, width, _ = stack.shape
    whole = Area(0, 0, -(-height // ALIGNMENT), -(-width // ALIGNMENT))
    picture = np.empty((2 * height, 2 * width, 3), np.float32)
    for window in whole.windows(WINDOW // ALIGNMENT):
        outer = window.grown(network.halo // ALIGNMENT, whole)
        part = np.ascontiguousarray(stack[outer.within(whole, ALIGNMENT)])
        tensor = torch.from_numpy(part).to(device).permute(2, 0, 1).unsqueeze(0)
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            developed = network.develop(tensor)[0].permute(1, 2, 0).cpu().numpy()
        target = picture[window.within(whole, 2 * ALIGNMENT)]
        inner = developed[window.within(outer, 2 * ALIGNMENT)]
        target[...] = inner[: target.shape[0], : target.shape[1]]
    return picture
