"""Runs the analysis and synthesis transforms window by window.

A window carries a halo as wide as the receptive field, so that its middle equals what the whole
image would give: no seams, and memory that depends on the window instead of the image.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dcncodec.errors import LimitError, is_out_of_memory
from dcncodec.formats.geometry import Area, Geometry
from dcncodec.formats.means import Means
from dcncodec.notices import Notice, Notify
from dcncodec.runtime.engine import Engine, Memo

WINDOW = 128
"""Side of a window in latents (1,024 pixels): about 0.7 GiB at the widest layers in float32."""
SMALLEST_WINDOW = 32

Memos = dict[Area, Memo]
"""Of one picture, by windows."""

Pixels = NDArray[np.uint8]
Latents = NDArray[np.int16]


class Transforms:
    """A codec's two networks on a device, between pixels and code words.

    Args:
        engine: runs them. When memory runs out, windows shrink, and at last the work moves from a
            GPU to the CPU.
        geometry: of the latents.
        notify: called when that happens.

    Attributes:
        progress: called with the number of latents of every window that is finished.
    """

    def __init__(self, engine: Engine, geometry: Geometry, notify: Notify) -> None:
        self.engine, self.geometry, self.notify = engine, geometry, notify
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
        latents = np.empty((self.geometry.channels, area.rows, area.columns), np.int16)

        def keep(latent: NDArray[np.float32], place: tuple[slice, ...]) -> None:
            latents[place] = self.rounded(latent)

        self._analyse(pixels, area, rate, keep)
        return latents

    def analyse_unrounded(
        self, pixels: Pixels, area: Area, rate: int = 0, memos: Memos | None = None
    ) -> NDArray[np.float32]:
        """What the network gives for an area of the latent plane, float32 (N, rows, columns).

        Arguments and errors are those of ``analyse``, but for ``memos``, which keep what does not
        depend on the rate of pixels that are analysed at several.
        """
        latents = np.empty((self.geometry.channels, area.rows, area.columns), np.float32)

        def keep(latent: NDArray[np.float32], place: tuple[slice, ...]) -> None:
            latents[place] = latent

        self._analyse(pixels, area, rate, keep, memos)
        return latents

    def rounded(self, latent: NDArray[np.float32]) -> Latents:
        """The nearest code words, int16 of the same shape."""
        words = np.rint(latent).clip(self.geometry.first, self.geometry.last)
        return words.astype(np.int16)

    def _analyse(
        self,
        pixels: Pixels,
        area: Area,
        rate: int,
        keep: Callable[[NDArray[np.float32], tuple[slice, ...]], None],
        memos: Memos | None = None,
    ) -> None:
        geometry, stride = self.geometry, self.geometry.stride
        height, width = pixels.shape[:2]
        plane = Area(0, 0, -(-height // stride), -(-width // stride))
        side = self.window

        def run(window: Area) -> None:
            nonlocal side
            outer = window.grown(geometry.halo, plane)
            rows, columns = outer.within(plane, stride)
            if memos is not None and self.window < side:
                # They are of other windows, and take memory of which there is too little.
                memos.clear()
                side = self.window
            # np.pad would copy even where nothing is missing.
            below, beside = max(0, rows.stop - height), max(0, columns.stop - width)
            part = pixels[rows, columns]
            if below or beside:
                part = np.pad(part, ((0, below), (0, beside), (0, 0)), mode="edge")
            memo = None if memos is None else memos.setdefault(window, Memo())
            latent = self.engine.analysis(part, rate, memo)
            inner = latent[window.latents_in(outer)]
            keep(inner, window.latents_in(area))

        self.each_window(area, run)

    def synthesise(
        self,
        latents: Latents,
        plane: Area,
        area: Area,
        rate: int = 0,
        means: Means | None = None,
        *,
        passes: int = 1,
    ) -> Pixels:
        """Pixels of an area of the latent plane.

        Args:
            latents: int16 (N, rows, columns), code words of at least ``area`` and its halo.
            plane: which part of the latent plane ``latents`` holds; where it ends inside the
                image, the ``halo`` latents at that edge only serve as the halo.
            area: the latents whose pixels are wanted.
            rate: as the latents were encoded.
            means: of the latent plane.
            passes: what they count for in ``progress``.

        Returns:
            (stride * rows, stride * columns, 3) uint8.

        Raises:
            LimitError: as ``analyse``.
        """
        halo, stride = self.geometry.halo, self.geometry.stride
        pixels = np.empty((area.rows * stride, area.columns * stride, 3), np.uint8)

        def run(window: Area) -> None:
            outer = window.grown(halo, plane)
            part = latents[outer.latents_in(plane)]
            beside = None if means is None else means.within(outer)
            restored = self.engine.synthesis(part, rate, window.seen_from(outer), beside)
            pixels[window.within(area, stride)] = restored

        self.each_window(area, run, passes=passes)
        return pixels

    def each_window(
        self, area: Area, run: Callable[[Area], None], side: int = WINDOW, passes: int = 1
    ) -> None:
        """Run all windows of an area; after an out-of-memory, those of that window anew.

        Args:
            area: of the latent plane.
            run: called with each window.
            side: of a window in latents, at most.
            passes: what a window counts for in ``progress``.
        """
        for window in area.windows(min(self.window, side)):
            if self._fits(window, run):
                self.progress(passes * window.rows * window.columns)
            else:
                self._shrink()
                self.each_window(window, run, side, passes)

    @staticmethod
    def _fits(window: Area, run: Callable[[Area], None]) -> bool:
        """Run a window; False when memory runs out, with nothing of it kept alive by the error."""
        try:
            run(window)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return False
        return True

    def _shrink(self) -> None:
        self.engine.release()
        on_cpu = self.engine.device == "cpu"
        if self.window > SMALLEST_WINDOW:
            self.window //= 2
            self._tell(f"going on with windows of {self.window * self.geometry.stride} pixels")
        elif not on_cpu:
            self._tell("going on with the CPU")
            self.engine.move_to_cpu()
        else:
            side = self.window * self.geometry.stride
            raise LimitError(f"not enough memory even for windows of {side} pixels; free some")

    def _tell(self, remedy: str) -> None:
        self.notify(Notice("memory", f"out of memory ({self.engine.device}), {remedy}"))
