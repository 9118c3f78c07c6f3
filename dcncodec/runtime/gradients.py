"""Gradients in the latents, window by window: of the picture's squared error, and of the bits.

Memory depends on the window, as with ``windows``, and results do not depend on where windows lie
but for rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from dcncodec.formats.geometry import Area
from dcncodec.metrics import to_unit
from dcncodec.models.card import ModelFolder
from dcncodec.models.context import REACH, bits
from dcncodec.models.load import load_codec
from dcncodec.runtime.devices import choose_precision
from dcncodec.runtime.torch_engine import TorchEngine
from dcncodec.runtime.windows import Latents, Pixels, Transforms

if TYPE_CHECKING:
    from dcncodec.runtime.engine import Precision

WINDOW = 64
"""Side of a window in latents: a gradient keeps what every layer has computed."""
LUMINANCE = (0.299, 0.587, 0.114)
"""Of R, G and B (Rec. 601): what a decoder shows of grey pictures."""
ORIGIN = Area(0, 0, 0, 0)
"""Of a picture's pixels."""

Gradient = NDArray[np.float32]


class Gradients:
    """A codec's synthesis and context model with gradients, in torch.

    Args:
        model: the codec.
        transforms: whose windows are taken; and networks, where they are torch's.
        precision: of networks on the CPU otherwise; auto is bfloat16 where it has instructions.

    Raises:
        ModelError: the weights are missing or damaged.
    """

    def __init__(
        self, model: ModelFolder, transforms: Transforms, precision: Precision = "auto"
    ) -> None:
        self.transforms = transforms
        engine = transforms.engine
        if not isinstance(engine, TorchEngine):
            device = torch.device("cpu")
            engine = TorchEngine(load_codec(model), device, choose_precision(precision, device))
        self._engine = engine
        # Gradients in weights would keep more.
        engine.network.requires_grad_(False)

    def squared_errors(
        self,
        latents: Latents,
        held: Area,
        pixels: Pixels,
        area: Area,
        rate: int,
        *,
        grey: bool = False,
        ignored: NDArray[np.bool_] | None = None,
        gradient: Gradient | None = None,
        passes: int = 1,
    ) -> NDArray[np.float64]:
        """How far decoded pixels are from those of a picture.

        Args:
            latents: int16 (N, rows, columns), code words of ``held``.
            held: which part of the latent plane that is: ``area`` with its halo, as far as there is
                one.
            pixels: of the whole picture, (H, W, 3) uint8.
            area: the latents whose pixels count, as far as they lie in the picture.
            rate: of the latents.
            grey: whether the decoder shows the luminance.
            ignored: bool (H, W), pixels of the picture whose errors do not count; None for none.
            gradient: float32 of the latents' shape, to which the error's gradient is added.
            passes: what that counts for in ``Transforms.progress``.

        Returns:
            float64 (rows, columns) of ``area``: sums of squares over the pixels of every latent and
            the three colours, in levels of 255.

        Raises:
            LimitError: not even the smallest window fits the memory.
        """
        stride, halo = self.transforms.geometry.stride, self.transforms.geometry.halo
        errors = np.empty((area.rows, area.columns))

        def run(window: Area) -> None:
            outer = window.grown(halo, held)
            place = outer.latents_in(held)
            rows, columns = window.within(ORIGIN, stride)
            part = np.require(pixels[rows, columns], requirements=["C", "W"])
            wanted = to_unit(torch.from_numpy(part).to(self._engine.device))
            with torch.set_grad_enabled(gradient is not None):
                latent = self._latent(latents[place], gradient is not None)
                batch = latent[None].contiguous(memory_format=torch.channels_last)
                shown = self._engine.network.synthesis(batch, self._engine.rates(rate))[0].clamp(
                    0, 1
                )
                rows, columns = window.within(outer, stride)
                shown = shown[:, rows, columns][:, : part.shape[0], : part.shape[1]]
                if grey:
                    shown = (shown * shown.new_tensor(LUMINANCE)[:, None, None]).sum(0)
                error = ((shown - wanted) * 255).square().sum(0)
                if ignored is not None:
                    seen = torch.from_numpy(~ignored[window.within(ORIGIN, stride)])
                    error = error * seen.to(error.device)
            if gradient is not None:
                gradient[place] += _gradient(error.sum(), latent)
            errors[window.latents_in(area)[1:]] = _by_latent(error.detach(), window, stride)

        self.transforms.each_window(area, run, WINDOW, 1 if gradient is None else passes)
        return errors

    def others_bits(self, latents: Latents, rate: int) -> Gradient:
        """How the bits of a block's other latents change with each, where they see it: by the
        coder's model in floating point, as far as the network has one.

        Args:
            latents: int16 (N, rows, columns) of a whole block.
            rate: of the latents.

        Returns:
            Bits by code words, float32 of the latents' shape.

        Raises:
            LimitError: as ``squared_error``.
        """
        plane = Area(0, 0, *latents.shape[1:])
        gradient = np.zeros(latents.shape, np.float32)
        twin = self._engine.network.twin()

        def run(window: Area) -> None:
            assert twin is not None
            outer = window.grown(REACH, plane)
            place = outer.latents_in(plane)
            with torch.enable_grad():
                latent = self._latent(latents[place], True)
                with self._autocast():
                    mean, log_scale = twin(latent[None], self._engine.rates(rate))
                # What a latent itself costs is the coder's to say, in integers.
                spent = bits(latent.detach()[None], mean, log_scale)[0]
                counted = spent[window.latents_in(outer)].sum()
            gradient[place] += _gradient(counted, latent)

        if twin is not None:
            self.transforms.each_window(plane, run, WINDOW, 0)
        return gradient

    def _autocast(self) -> torch.autocast:
        """The precision of the networks for the context model, which is a hint to the search."""
        weights = next(self._engine.network.synthesis_net.parameters())
        lower = weights.dtype != torch.float32
        return torch.autocast(weights.device.type, weights.dtype if lower else None, enabled=lower)

    def _latent(self, words: Latents, steep: bool) -> Tensor:
        latent = torch.from_numpy(words.astype(np.float32)).to(self._engine.device)
        return latent.requires_grad_(steep)


def _by_latent(error: Tensor, area: Area, stride: int) -> NDArray[np.float64]:
    """Sums of (H, W), of which the picture may lack the right and the bottom, by latent."""
    rows, columns = area.rows, area.columns
    missing = (0, columns * stride - error.shape[1], 0, rows * stride - error.shape[0])
    whole = functional.pad(error.double(), missing).view(rows, stride, columns, stride)
    summed: NDArray[np.float64] = whole.sum((1, 3)).cpu().numpy()
    return summed


def _gradient(value: Tensor, latent: Tensor) -> Gradient:
    (found,) = torch.autograd.grad(value, latent)
    array: Gradient = found.float().cpu().numpy()
    return array
