"""A codec's networks in torch: on GPUs, and in bfloat16."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcncodec.formats.geometry import STRIDE, Area
from dcncodec.formats.means import Means
from dcncodec.metrics import to_bytes, to_unit
from dcncodec.models.network import Network

WHOLE = Area(0, 0, 0, 0)
"""Where parts of a window are counted from."""


class TorchEngine:
    """See ``engine.Engine``.

    Args:
        network: with its weights.
        device: where they run.
        precision: bfloat16 or float32.
    """

    def __init__(self, network: Network, device: torch.device, precision: torch.dtype) -> None:
        self._device = device
        self.network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        # What scales latents stays in float32: encoder and decoder may differ in precision.
        self.network.analysis_net.to(precision)
        self.network.synthesis_net.to(precision)

    @property
    def device(self) -> str:
        """See ``Engine``."""
        return str(self._device)

    @torch.inference_mode()
    def analysis(self, pixels: NDArray[np.uint8], rate: int) -> NDArray[np.float32]:
        """See ``Engine``."""
        # torch refuses read-only arrays, such as those of Pillow.
        writable = np.require(pixels, requirements=["C", "W"])
        batch = to_unit(torch.from_numpy(writable).to(self._device)[None])
        latent: NDArray[np.float32] = (
            self.network.analysis(batch, self.rates(rate))[0].cpu().numpy()
        )
        return latent

    @torch.inference_mode()
    def synthesis(
        self,
        latents: NDArray[np.int16],
        rate: int,
        part: Area | None = None,
        means: Means | None = None,
    ) -> NDArray[np.uint8]:
        """See ``Engine``."""
        exact = np.ascontiguousarray(latents) if means is None else means.added(latents)
        latent = torch.from_numpy(exact).to(self._device)[None].float()
        latent = latent.contiguous(memory_format=torch.channels_last)
        restored = self.network.synthesis(latent, self.rates(rate))[0]
        if part is not None:
            restored = restored[:, *part.within(WHOLE, STRIDE)]
        pixels: NDArray[np.uint8] = to_bytes(restored).cpu().numpy()
        return pixels

    def release(self) -> None:
        """See ``Engine``."""
        if self._device.type != "cpu":
            torch.cuda.empty_cache()

    def move_to_cpu(self) -> None:
        """See ``Engine``."""
        self._device = torch.device("cpu")
        self.network = self.network.to(self._device)

    def rates(self, rate: int) -> Tensor:
        """A rate as the networks take it: (1,), on their device."""
        return torch.full((1,), float(rate)).to(self._device)
