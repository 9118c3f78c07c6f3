"""Runs the analysis and synthesis transforms window by window.

A window carries a halo as wide as the receptive field, so that its middle equals what the whole
image would give: no seams, and memory that depends on the window instead of the image.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcncodec.errors import LimitError, is_out_of_memory
from dcncodec.formats.geometry import Area, Geometry
from dcncodec.metrics import to_bytes, to_unit
from dcncodec.models.network import Network
from dcncodec.notices import Notice, Notify

WINDOW = 128
"""Side of a window in latents (1,024 pixels): about 0.7 GiB at the widest layers in float32."""
SMALLEST_WINDOW = 32

Pixels = NDArray[np.uint8]
Latents = NDArray[np.int16]


class Transforms:
    """A codec's two networks on a device, between pixels and code words.

    Args:
        network: with its weights.
        geometry: of its latents.
        device: where they run. When memory runs out, windows shrink, and at last the work moves
            from a GPU to the CPU.
        precision: bfloat16 or float32.
        notify: called when that happens.

    Attributes:
        progress: called with the number of latents of every window that is finished.
    """

    def __init__(
        self,
        network: Network,
        geometry: Geometry,
        device: torch.device,
        precision: torch.dtype,
        notify: Notify,
    ) -> None:
        self.geometry = geometry
        self.device, self.precision, self.notify = device, precision, notify
        self.network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        # What scales latents stays in float32: encoder and decoder may differ in precision.
        self.network.analysis_net.to(precision)
        self.network.synthesis_net.to(precision)
        self.window = WINDOW
        self.progress: Callable[[int], object] = lambda latents: None

    def analyse(self, pixels: Pixels, area: Area, rate: int = 0) -> Latents:
        """Code words of an area of the latent plane: the nearest to what the network gives.

        Args:
            pixels: the whole image, (H, W, 3) uint8. Beyond its right and bottom edges the last
                column and row repeat up to a multiple of the stride.
            area: which latents.
            rate: 0..255, ignored by networks of one rate.

        Returns:
            int16 (N, rows, columns).

        Raises:
            LimitError: not even the smallest window fits the memory.
        """
        geometry, stride = self.geometry, self.geometry.stride
        height, width = pixels.shape[:2]
        plane = Area(0, 0, -(-height // stride), -(-width // stride))
        latents = np.empty((geometry.channels, area.rows, area.columns), np.int16)

        def run(window: Area) -> None:
            outer = window.grown(geometry.halo, plane)
            rows, columns = outer.within(plane, stride)
            # np.pad would copy even where nothing is missing.
            below, beside = max(0, rows.stop - height), max(0, columns.stop - width)
            part = pixels[rows, columns]
            if below or beside:
                part = np.pad(part, ((0, below), (0, beside), (0, 0)), mode="edge")
            # torch refuses read-only arrays, such as those of Pillow.
            writable = np.require(part, requirements=["C", "W"])
            batch = to_unit(torch.from_numpy(writable).to(self.device)[None])
            latent = self.network.analysis(batch, self._rates(rate))[0]
            words = latent[(slice(None), *window.within(outer))].round()
            words = words.clamp(geometry.first, geometry.last).to(torch.int16)
            latents[(slice(None), *window.within(area))] = words.cpu().numpy()

        self._each_window(area, run)
        return latents

    def synthesise(self, latents: Latents, plane: Area, area: Area, rate: int = 0) -> Pixels:
        """Pixels of an area of the latent plane.

        Args:
            latents: int16 (N, rows, columns), code words of at least ``area`` and its halo.
            plane: which part of the latent plane ``latents`` holds; where it ends inside the
                image, the ``halo`` latents at that edge only serve as the halo.
            area: the latents whose pixels are wanted.
            rate: as the latents were encoded.

        Returns:
            (stride * rows, stride * columns, 3) uint8.

        Raises:
            LimitError: as ``analyse``.
        """
        halo, stride = self.geometry.halo, self.geometry.stride
        pixels = np.empty((area.rows * stride, area.columns * stride, 3), np.uint8)

        def run(window: Area) -> None:
            outer = window.grown(halo, plane)
            part = np.ascontiguousarray(latents[(slice(None), *outer.within(plane))])
            latent = torch.from_numpy(part).to(self.device)[None].float()
            latent = latent.contiguous(memory_format=torch.channels_last)
            restored = self.network.synthesis(latent, self._rates(rate))[0]
            restored = restored[(slice(None), *window.within(outer, stride))]
            pixels[window.within(area, stride)] = to_bytes(restored).cpu().numpy()

        self._each_window(area, run)
        return pixels

    def _rates(self, rate: int) -> Tensor:
        return torch.full((1,), float(rate)).to(self.device)

    def _each_window(self, area: Area, run: Callable[[Area], None]) -> None:
        """Run all windows of an area; after an out-of-memory, those of that window anew."""
        for window in area.windows(self.window):
            if self._fits(window, run):
                self.progress((window.bottom - window.top) * (window.right - window.left))
            else:
                self._shrink()
                self._each_window(window, run)

    @staticmethod
    def _fits(window: Area, run: Callable[[Area], None]) -> bool:
        """Run a window; False when memory runs out, with nothing of it kept alive by the error."""
        try:
            with torch.inference_mode():
                run(window)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return False
        return True

    def _shrink(self) -> None:
        if self.device.type != "cpu":
            torch.cuda.empty_cache()
        if self.window > SMALLEST_WINDOW:
            self.window //= 2
            self._tell(f"going on with windows of {self.window * self.geometry.stride} pixels")
        elif self.device.type != "cpu":
            self._tell("going on with the CPU")
            self.device = torch.device("cpu")
            self.network = self.network.to(self.device)
        else:
            side = self.window * self.geometry.stride
            raise LimitError(f"not enough memory even for windows of {side} pixels; free some")

    def _tell(self, remedy: str) -> None:
        self.notify(Notice("memory", f"out of memory ({self.device}), {remedy}"))
