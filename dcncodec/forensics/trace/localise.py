"""Where was a photo manipulated? The map of any photo, window by window.

A window carries a halo as wide as what its middle depends on, so that there are no seams and memory
depends on the window, but for what the photo and its map take themselves: features of cells (three
bytes a pixel) are kept, those of several windows' pixels are made twice. What anomalies are
measured by is taken from the whole photo, in a first pass over the windows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from dcncodec.encoder.palette import DRAWN, repeats
from dcncodec.errors import ImageError, LimitError, ModelError, is_out_of_memory
from dcncodec.forensics.detect import FanJudge
from dcncodec.forensics.folder import open_forensic
from dcncodec.forensics.heatmap import Colour
from dcncodec.forensics.judge import Floats, Judge, Pixels, Progress, unheard
from dcncodec.forensics.trace.second_look import Cells, second_look
from dcncodec.formats.geometry import Area
from dcncodec.formats.palette import to_colours
from dcncodec.metrics import to_unit
from dcncodec.models.card import ModelFolder
from dcncodec.models.families.trace import FEATURES
from dcncodec.models.load import load_trace
from dcncodec.models.registry import find_model
from dcncodec.models.roles import Role
from dcncodec.models.trace import Statistics, Trace
from dcncodec.notices import Notice
from dcncodec.runtime import bands

SMALLEST = 64
"""Pixels along a side of the smallest photo."""
WINDOW, SMALLEST_WINDOW = 1024, 128
"""Sides in pixels; with the larger the smallest network takes about 0.5 GB."""
FINE_WINDOW = 640
"""Side of the largest where every pixel is a cell: memory grows with the cells."""
LIKELY = 0.5
"""Probability from which a pixel counts as manipulated."""
CELL = 16
"""Pixels along a side of the places of which JSON has the mean."""
MANIPULATED: Colour = (230, 80, 60)

Answer = Literal["native", "manipulated", "undecided"]


@dataclass(frozen=True, eq=False)
class Map:
    """Where a photo was manipulated.

    Attributes:
        model: name of the network.
        probabilities: float32 (H, W) in [0, 1].
        threshold: of the photo's score, None without a calibration.
        false_alarm: share of clean photos above it, None without one.
    """

    model: str
    probabilities: Floats
    threshold: float | None
    false_alarm: float | None

    @property
    def score(self) -> float:
        """Of the photo as a whole: the mean of the map (CVPR 2019, section 5.3)."""
        return float(self.probabilities.mean(dtype=np.float64))

    @property
    def answer(self) -> Answer:
        """What the score says of the photo."""
        if self.threshold is None:
            return "undecided"
        return "manipulated" if self.score > self.threshold else "native"

    @property
    def legend(self) -> dict[str, Colour]:
        """See ``Finding``."""
        return {"probably manipulated": MANIPULATED}

    def manipulated(self, height: int, width: int) -> Floats:
        """See ``Finding``."""
        assert self.probabilities.shape == (height, width)
        return self.probabilities

    def tint(self, height: int, width: int) -> Pixels:
        """See ``Finding``; the surer, the stronger."""
        tint = np.empty((height, width, 4), np.uint8)
        tint[..., :3] = MANIPULATED
        tint[..., 3] = np.rint(255 * self.probabilities)
        return tint

    def as_dict(self) -> dict[str, Any]:
        """For JSON; the map as means of places of ``CELL`` pixels."""
        starts = [np.arange(0, side, CELL) for side in self.probabilities.shape]
        sums = np.add.reduceat(np.add.reduceat(self.probabilities, starts[0], 0), starts[1], 1)
        ends = zip(starts, self.probabilities.shape, strict=True)
        rows, columns = (np.diff(np.append(start, side)) for start, side in ends)
        means = sums / (rows[:, None] * columns)
        return {
            "model": self.model,
            "verdict": self.answer,
            "false_alarm": self.false_alarm,
            "score": round(self.score, 4),
            "threshold": self.threshold,
            "share": round(float((self.probabilities > LIKELY).mean()), 4),
            "map": {
                "step": CELL,
                "probabilities": [[round(float(p), 3) for p in row] for row in means],
            },
        }


class Localiser:
    """A localising network as a judge.

    Args:
        folder: of the network.
        device: where it runs.
        precision: bfloat16 for mixed precision, float32 otherwise.

    Raises:
        ModelError: its weights are missing or damaged, or it was trained for features alone.
    """

    def __init__(
        self, folder: ModelFolder, device: torch.device, precision: torch.dtype = torch.float32
    ) -> None:
        if folder.card["stage"] == FEATURES:
            raise ModelError(
                f"was trained up to the stage {FEATURES}, which gives no map; go "
                "on with 'dcn train trace --stage anomaly'",
                folder.path,
            )
        self.folder, self.device, self.precision = folder, device, precision
        network = load_trace(folder).to(device)
        self.network: Trace = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.cell = network.anomaly.cell
        self.window = WINDOW if self.cell > 1 else FINE_WINDOW

    @property
    def name(self) -> str:
        """Of the network."""
        return self.folder.name

    @property
    def threshold(self) -> float | None:
        """See ``Judge``."""
        threshold: float | None = self.folder.card["threshold"]
        return threshold

    def judge(self, pixels: Pixels, progress: Progress = unheard) -> Map:
        """See ``Judge``.

        Raises:
            ImageError: the photo is smaller than ``SMALLEST``.
            LimitError: not even the smallest window fits the memory.
        """
        height, width = pixels.shape[:2]
        if min(height, width) < SMALLEST:
            raise ImageError(
                f"{width} x {height} pixels: a map needs {SMALLEST} in either direction"
            )
        while True:
            try:
                found = self._map(pixels, progress)
                return Map(self.name, found, self.threshold, self.folder.card["false_alarm"])
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if self.window <= SMALLEST_WINDOW:
                    raise LimitError(
                        f"not enough memory even for windows of {self.window} pixels; free some"
                    ) from None
            self.window //= 2

    def _map(self, pixels: Pixels, progress: Progress) -> Floats:
        plane = Area(0, 0, *(-(-side // self.cell) for side in pixels.shape[:2]))
        windows = list(plane.windows(self.window // self.cell))
        if self.cell > 1 or len(windows) == 1:
            return self._map_of_kept(pixels, plane, windows, progress)
        statistics = self._statistics(
            self._inner(pixels, plane, window, progress) for window in windows
        )
        found = np.empty(pixels.shape[:2], np.float32)
        for window in windows:
            outer = window.grown(self.network.halo, plane)
            logits = self._logits(self._adapted(pixels, outer), statistics)
            found[window.within(plane)] = _probabilities(logits[window.within(outer)])
            progress(window.rows * window.columns // 2)
        return found

    def _map_of_kept(
        self, pixels: Pixels, plane: Area, windows: list[Area], progress: Progress
    ) -> Floats:
        """Where features are so few that they stay; those of larger cells are looked at twice."""
        anomaly = self.network.anomaly
        shape = (len(anomaly.floor), plane.rows, plane.columns)
        adapted = torch.empty(shape, dtype=torch.float16, device=self.device)
        for window in windows:
            inner = self._inner(pixels, plane, window, progress)
            adapted[window.latents_in(plane)] = inner[0].half()
        kept = (adapted[(None, ..., *window.within(plane))].float() for window in windows)
        cells = Cells(plane, windows, adapted, self._statistics(kept))
        logits = torch.empty(shape[1:], device=self.device)
        for window in windows:
            outer = window.grown(anomaly.reach, plane)
            values = self._logits(cells.of(outer), cells.statistics)
            logits[window.within(plane)] = values[window.within(outer)]
        if self.cell > 1:
            logits = second_look(anomaly, cells, logits)
        found = np.empty(pixels.shape[:2], np.float32)
        for window in windows:
            outer = window.grown(1, plane)
            part = logits[(None, *outer.within(plane))]
            values = anomaly.of_pixels(part, *self._cut(pixels, outer).shape[:2])[0]
            here = window.within(plane, self.cell)
            found[here] = _probabilities(values[window.within(outer, self.cell)])
            progress(found[here].size // 2)
        return found

    def _inner(self, pixels: Pixels, plane: Area, window: Area, progress: Progress) -> Tensor:
        """Adapted features of a window as the whole photo has them."""
        outer = window.grown(-(-self.network.margin // self.cell), plane)
        inner = self._adapted(pixels, outer)[(..., *window.within(outer))]
        progress(self._cut(pixels, window)[..., 0].size // 2)
        return inner

    def _statistics(self, parts: Iterable[Tensor]) -> Statistics:
        """Of a photo's adapted features, which come part by part."""
        total = squares = torch.zeros((), dtype=torch.float64, device=self.device)
        count = 0
        for part in parts:
            adapted = part.double()
            total = total + adapted.sum((2, 3), keepdim=True)
            squares = squares + adapted.square().sum((2, 3), keepdim=True)
            count += adapted[0, 0].numel()
        mean = total / count
        variance = squares / count - mean.square()
        return Statistics(mean.float(), variance.clamp_min(0).sqrt().float())

    def _cut(self, pixels: Pixels, part: Area) -> Pixels:
        """The pixels of some cells."""
        return pixels[part.within(Area(0, 0, 0, 0), self.cell)]

    def _adapted(self, pixels: Pixels, part: Area) -> Tensor:
        """Adapted features of some cells."""
        # A copy: torch refuses read-only arrays, such as those of Pillow.
        cut = np.array(self._cut(pixels, part))
        batch = to_unit(torch.from_numpy(cut).to(self.device))[None]
        with self._mixed():
            return bands.adapted(self.network, batch)

    def _logits(self, adapted: Tensor, statistics: Statistics) -> Tensor:
        """Of cells, (h, w)."""
        with self._mixed():
            return bands.logits(self.network.anomaly, adapted, statistics)[0]

    def _mixed(self) -> torch.autocast:
        enabled = self.precision != torch.float32
        return torch.autocast(self.device.type, self.precision, enabled=enabled)


def _probabilities(logits: Tensor) -> Floats:
    probabilities: Floats = logits.sigmoid().cpu().numpy()
    return probabilities


def no_photo(pixels: Pixels, source: str = "") -> Notice | None:
    """A notice if a picture, uint8 (H, W, 3), is drawn: networks know photos alone.

    Args:
        pixels: of the picture.
        source: the file, for the notice.
    """
    share = float(repeats(to_colours(pixels, grey=False)).mean())
    if share < DRAWN:
        return None
    text = f"is no photo ({share:.0%} of its pixels repeat others): the map says nothing of it"
    return Notice("quality", text, source)


def open_judge(
    name_or_path: str, device: torch.device, precision: torch.dtype = torch.float32
) -> Judge:
    """A localising network, or the FAN of a forensic folder, by name or path.

    Args:
        name_or_path: see ``registry.find_model``.
        device, precision: of a localising network.

    Raises:
        ModelError: there is none, or as ``Localiser``.
    """
    folder = find_model(name_or_path, None)
    if folder.role is Role.LOCALISER:
        return Localiser(folder, device, precision)
    return FanJudge(open_forensic(name_or_path))
