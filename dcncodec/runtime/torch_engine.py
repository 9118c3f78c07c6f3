"""A codec's networks in torch: on GPUs, and in bfloat16."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcncodec.formats.geometry import STRIDE, Area
from dcncodec.formats.means import Means, with_means
from dcncodec.metrics import to_bytes, to_unit
from dcncodec.models.network import Network
from dcncodec.runtime.engine import Memo

LUMINANCE = (0.299, 0.587, 0.114)
"""Of R, G and B (Rec. 601): what a decoder shows of grey pictures."""

WHOLE = Area(0, 0, 0, 0)
"""Where parts of a window are counted from."""


class TorchEngine:
    """See ``engine.Engine``.

    A gradient keeps what every layer has computed, so it has smaller windows.

    Args:
        network: with its weights.
        device: where they run.
        precision: bfloat16 or float32.
    """

    steep_window: int | None = 64

    def __init__(self, network: Network, device: torch.device, precision: torch.dtype) -> None:
        self._device = device
        # Those in weights would keep more.
        network.requires_grad_(False)
        self.network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        # What scales latents stays in float32: encoder and decoder may differ in precision.
        self.network.analysis_net.to(precision)
        self.network.synthesis_net.to(precision)

    @property
    def device(self) -> str:
        """See ``Engine``."""
        return str(self._device)

    @torch.inference_mode()
    def analysis(
        self, pixels: NDArray[np.uint8], rate: int, memo: Memo | None = None
    ) -> NDArray[np.float32]:
        """See ``Engine``; a memo stays empty."""
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
        latent = torch.from_numpy(with_means(latents, means)).to(self._device)[None]
        latent = latent.contiguous(memory_format=torch.channels_last)
        restored = self.network.synthesis(latent, self.rates(rate))[0]
        if part is not None:
            restored = restored[:, *part.within(WHOLE, STRIDE)]
        pixels: NDArray[np.uint8] = to_bytes(restored).cpu().numpy()
        return pixels

    def errors(
        self,
        latents: NDArray[np.int16],
        rate: int,
        pixels: NDArray[np.uint8],
        counted: NDArray[np.bool_],
        means: Means | None = None,
        *,
        grey: bool,
        steep: bool,
    ) -> tuple[NDArray[np.float64], NDArray[np.float32] | None]:
        """See ``Engine``."""
        wanted = to_unit(torch.from_numpy(pixels).to(self._device))
        seen = torch.from_numpy(counted).to(self._device)
        latent = torch.from_numpy(with_means(latents, means)).to(self._device)
        latent.requires_grad_(steep)
        with torch.set_grad_enabled(steep):
            batch = latent[None].contiguous(memory_format=torch.channels_last)
            shown = self.network.synthesis(batch, self.rates(rate))[0].clamp(0, 1)
            if grey:
                shown = (shown * shown.new_tensor(LUMINANCE)[:, None, None]).sum(0)
            error = ((shown - wanted) * 255).square().sum(0) * seen
        rows, columns = latents.shape[1:]
        places = error.detach().double().view(rows, STRIDE, columns, STRIDE).sum((1, 3))
        gradient: NDArray[np.float32] | None = None
        if steep:
            (slope,) = torch.autograd.grad(error.sum(), latent)
            gradient = slope.float().cpu().numpy()
        return places.cpu().numpy(), gradient

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
