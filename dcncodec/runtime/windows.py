"""Runs the analysis and synthesis transforms window by window.

A window carries a halo as wide as the receptive field, so that its middle equals what the whole
image would give: no seams, and memory that depends on the window instead of the image.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from dcncodec.errors import LimitError, is_out_of_memory
from dcncodec.formats.geometry import CODEBOOK_MIN, STRIDE, Area
from dcncodec.metrics import to_bytes, to_unit
from dcncodec.models.dcn import DCN
from dcncodec.models.families.dcn import HALO
from dcncodec.notices import Notice, Notify
from dcncodec.quantise import quantise_hard

WINDOW = 128
"""Side of a window in latents (1,024 pixels): about 0.7 GiB at the widest layers in float32."""
SMALLEST_WINDOW = 32

Pixels = NDArray[np.uint8]
Indices = NDArray[np.uint8]


class Transforms:
    """A codec's two networks on a device.

    Args:
        codec: the networks with their weights.
        device: where they run. When memory runs out, windows shrink, and at last the work moves
            from a GPU to the CPU.
        precision: bfloat16 or float32.
        notify: called when that happens.

    Attributes:
        progress: called with the number of latents of every window that is finished.
    """

    def __init__(
        self,
        codec: DCN,
        device: torch.device,
        precision: torch.dtype,
        notify: Notify,
    ) -> None:
        self.device, self.precision, self.notify = device, precision, notify
        self.codec = codec.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        # The latent's scale stays in float32: encoder and decoder may differ in precision.
        self.codec.analysis_net.to(precision)
        self.codec.synthesis_net.to(precision)
        self.window = WINDOW
        self.progress: Callable[[int], object] = lambda latents: None

    def analyse(self, pixels: Pixels, area: Area) -> Indices:
        """Codebook indices of an area of the latent plane.

        Args:
            pixels: the whole image, (H, W, 3) uint8. Beyond its right and bottom edges the last
                column and row repeat up to a multiple of 8.
            area: which latents.

        Returns:
            (N, rows, columns) uint8, 0..31.

        Raises:
            LimitError: not even the smallest window fits the memory.
        """
        height, width = pixels.shape[:2]
        plane = Area(0, 0, -(-height // STRIDE), -(-width // STRIDE))
        shape = (self.codec.latent_channels, area.bottom - area.top, area.right - area.left)
        indices = np.empty(shape, np.uint8)

        def run(window: Area) -> None:
            outer = window.grown(HALO, plane)
            rows, columns = outer.within(plane, STRIDE)
            # np.pad would copy even where nothing is missing.
            below, beside = max(0, rows.stop - height), max(0, columns.stop - width)
            part = pixels[rows, columns]
            if below or beside:
                part = np.pad(part, ((0, below), (0, beside), (0, 0)), mode="edge")
            # torch refuses read-only arrays, such as those of Pillow.
            writable = np.require(part, requirements=["C", "W"])
            batch = to_unit(torch.from_numpy(writable).to(self.device)[None])
            latent = self.codec.analysis(batch)[0][(slice(None), *window.within(outer))]
            coded = (quantise_hard(latent) - CODEBOOK_MIN).to(torch.uint8)
            indices[(slice(None), *window.within(area))] = coded.cpu().numpy()

        self._each_window(area, run)
        return indices

    def synthesise(self, indices: Indices, plane: Area, area: Area) -> Pixels:
        """Pixels of an area of the latent plane.

        Args:
            indices: (N, rows, columns) uint8, 0..31, of at least ``area`` and its halo.
            plane: which part of the latent plane ``indices`` holds; where it ends inside the
                image, the ``HALO`` latents at that edge only serve as the halo.
            area: the latents whose pixels are wanted.

        Returns:
            (8 * rows, 8 * columns, 3) uint8.

        Raises:
            LimitError: as ``analyse``.
        """
        shape = ((area.bottom - area.top) * STRIDE, (area.right - area.left) * STRIDE, 3)
        pixels = np.empty(shape, np.uint8)

        def run(window: Area) -> None:
            outer = window.grown(HALO, plane)
            part = np.ascontiguousarray(indices[(slice(None), *outer.within(plane))])
            latent = torch.from_numpy(part).to(self.device)[None].float() + CODEBOOK_MIN
            latent = latent.contiguous(memory_format=torch.channels_last)
            restored = self.codec.synthesis(latent)[0][(slice(None), *window.within(outer, STRIDE))]
            pixels[window.within(area, STRIDE)] = to_bytes(restored).cpu().numpy()

        self._each_window(area, run)
        return pixels

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
            self._tell(f"going on with windows of {self.window * STRIDE} pixels")
        elif self.device.type != "cpu":
            self._tell("going on with the CPU")
            self.device = torch.device("cpu")
            self.codec = self.codec.to(self.device)
        else:
            raise LimitError(
                f"not enough memory even for windows of {self.window * STRIDE} pixels; free some"
            )

    def _tell(self, remedy: str) -> None:
        self.notify(Notice("memory", f"out of memory ({self.device}), {remedy}"))
