"""Tells whether and how a photo was manipulated, as a whole and by places, with a heat map."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dcncodec.errors import ModelError, UsageError
from dcncodec.forensics.dense import Cells, cells_of
from dcncodec.forensics.folder import ForensicFolder, find_for_codec, open_forensic
from dcncodec.forensics.heatmap import Colour
from dcncodec.forensics.judge import Floats, Pixels, Progress, unheard
from dcncodec.forensics.manipulations import NATIVE
from dcncodec.forensics.verdict import Scores, Verdict, scores_of
from dcncodec.formats import container
from dcncodec.formats.geometry import MAX_PIXELS
from dcncodec.formats.image import Picture, read_image
from dcncodec.formats.sections import SIGNATURE
from dcncodec.models.fan import FAN, STEP
from dcncodec.notices import Notice, Notify, warn

SEEN = ("implementations", "grid", "history")
"""What cards say of the photos of a training."""
COLOURS = (
    (60, 160, 80),
    (230, 80, 60),
    (70, 110, 230),
    (240, 170, 40),
    (160, 80, 200),
    (40, 180, 200),
    (230, 110, 180),
    (120, 120, 120),
)


@dataclass(frozen=True, eq=False)
class Detection:
    """What a FAN says of a photo.

    Attributes:
        fan: name of its forensic folder.
        classes: of the FAN.
        cells: its answers all over the photo.
        scores: of the photo; None where no place varies enough.
        verdict: on the photo; None where it cannot be judged.
        false_alarm: the rate that it was given at; None without a calibration.
        probabilities: of the photo by class; empty where it cannot be judged.
        trained: what photos the FAN has seen (``ForensicRecipe``), as far as its card says.
    """

    fan: str
    classes: tuple[str, ...]
    cells: Cells
    scores: Scores | None
    verdict: Verdict | None
    false_alarm: float | None
    probabilities: dict[str, float]
    trained: dict[str, str]

    @property
    def answers(self) -> NDArray[np.int64]:
        """(h, w), the index of the most probable class of every place; -1 where it is flat."""
        answers: NDArray[np.int64] = self.cells.logs.argmax(0).numpy().copy()
        answers[~self.cells.varied.numpy()] = -1
        return answers

    @property
    def legend(self) -> dict[str, Colour]:
        """See ``Finding``; native places stay grey."""
        colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(self.classes)}
        return {name: colour for name, colour in colours.items() if name != NATIVE}

    def manipulated(self, height: int, width: int) -> Floats:
        """See ``Finding``; 0 where a place is flat."""
        native = self.cells.logs[self.classes.index(NATIVE)].exp()
        changed = (1 - native) * self.cells.varied
        return _spread(changed.numpy().astype(np.float32), height, width)

    def tint(self, height: int, width: int) -> Pixels:
        """See ``Finding``; by class, the surer, the stronger. Flat places stay grey."""
        answers, certainty = self.answers, self.cells.logs.amax(0).exp().numpy()
        tint = np.zeros((*certainty.shape, 4), np.uint8)
        for name, colour in self.legend.items():
            chosen = answers == self.classes.index(name)
            tint[chosen, :3] = colour
            tint[chosen, 3] = np.rint(255 * certainty[chosen])
        return _spread(tint, height, width)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        answers, sure = self.answers, self.cells.logs.amax(0).exp()
        varied = answers[answers >= 0]
        counts = np.bincount(varied, minlength=len(self.classes)) / max(1, varied.size)
        shares = dict(zip(self.classes, counts.round(4).tolist(), strict=True))
        verdict, scores = self.verdict, self.scores
        return {
            "fan": self.fan,
            "trained": self.trained,
            "judged": verdict is not None,
            "verdict": verdict and verdict.answer,
            "class": verdict and verdict.manipulation,
            "extent": verdict and verdict.extent,
            "false_alarm": self.false_alarm,
            "probabilities": {name: round(p, 4) for name, p in self.probabilities.items()},
            "scores": scores and {"whole": round(scores.whole, 3), "part": round(scores.part, 3)},
            "shares": shares,
            "map": {
                "step": STEP,
                "classes": list(self.classes),
                "answers": answers.tolist(),
                "probabilities": [[round(p, 3) for p in row] for row in sure.tolist()],
            },
        }


def open_photo(
    data: bytes | Picture,
    name: str,
    fan: str | None,
    max_pixels: int | None = MAX_PIXELS,
    notify: Notify = warn,
) -> tuple[Pixels, ForensicFolder]:
    """A photo's pixels and the FAN that knows their history.

    Args:
        data: of a .dcn file, or any other image, as the channel gave it: with ``downsample`` it is
            what has been halved already. The latter also as it was read.
        name: how messages call it.
        fan: forensic folder by name or path; None for the one whose FAN was trained on the model
            of a .dcn file.
        max_pixels: refuse larger photos; None for no limit.
        notify: told of a picture whose codec is a guess, or whose pixels are not all of it.

    Raises:
        UsageError: an image without a codec needs ``fan``.
        ModelError: no FAN knows the codec of a .dcn file, or ``fan`` knows another one.
        DcnError: the photo cannot be read.
    """
    if isinstance(data, Picture) or not data.startswith(SIGNATURE):
        if fan is None:
            raise UsageError("no .dcn file; say with --fan which FAN knows its channel", name)
        folder = open_forensic(fan)
        if folder.codec_sha256 is not None:
            codec_name = folder.card["codec"]["name"]
            notify(
                Notice(
                    "quality",
                    f"no .dcn file: taken for a picture that {codec_name} decoded, which is not "
                    "verified, and may have been changed since",
                    name,
                )
            )
        if not isinstance(data, Picture):
            data = read_image(data, max_pixels=max_pixels, name=name)
        return data.pixels_alone(notify), folder
    prefix = container.read_header(data).model_hash.hex()
    folder = find_for_codec(prefix) if fan is None else open_forensic(fan)
    if folder.codec_sha256 is None or not folder.codec_sha256.startswith(prefix):
        raise ModelError(
            f"the FAN {folder.name} does not match its codec (weights {prefix}); choose "
            "another --fan",
            name,
        )
    codec = folder.codec()
    assert codec is not None
    return codec.decode(data, max_pixels=max_pixels).pixels, folder


def detect(
    pixels: Pixels, folder: ForensicFolder, false_alarm: float = 0.05, fan: FAN | None = None
) -> Detection:
    """Judge all of a photo, uint8 (H, W, 3), with the FAN of a forensic folder.

    Args:
        pixels: uint8 (H, W, 3).
        folder: the FAN; without a calibration its verdict is ``undecided``.
        false_alarm: one of ``verdict.FALSE_ALARMS``.
        fan: the folder's, where it is loaded already.

    Raises:
        ImageError: the photo is smaller than a patch.
        ModelError: the FAN is missing or damaged, or knows no native photos.
    """
    if NATIVE not in folder.classes:
        raise ModelError(f"{folder.name}: does not know the class {NATIVE}; choose another --fan")
    cells = cells_of(fan or folder.load_fan(), pixels, int(folder.card["patch"]))
    calibration = folder.calibration
    scores = scores_of(cells, folder.classes, calibration)
    rate = None if calibration is None else false_alarm
    recipe = folder.card.get("recipe", {})
    trained = {name: recipe[name] for name in SEEN if name in recipe}
    verdict, by_class = None, {}
    if scores is not None:
        if calibration is None:
            verdict, probabilities = Verdict("undecided"), scores.pooled.exp()
        else:
            verdict = calibration.verdict(scores, false_alarm)
            probabilities = calibration.probabilities(scores)
        by_class = dict(zip(folder.classes, probabilities.tolist(), strict=True))
    return Detection(folder.name, folder.classes, cells, scores, verdict, rate, by_class, trained)


@dataclass(frozen=True, eq=False)
class FanJudge:
    """A FAN as a judge; see ``detect``."""

    folder: ForensicFolder
    false_alarm: float = 0.05

    @cached_property
    def fan(self) -> FAN:
        """Loaded for the first photo."""
        return self.folder.load_fan()

    @property
    def name(self) -> str:
        """Of its forensic folder."""
        return self.folder.name

    @property
    def threshold(self) -> None:
        """See ``Judge``: a FAN's verdict has scores of its own."""

    def judge(self, pixels: Pixels, progress: Progress = unheard) -> Detection:
        """See ``Judge``."""
        found = detect(pixels, self.folder, self.false_alarm, self.fan)
        progress(pixels.shape[0] * pixels.shape[1])
        return found


T = TypeVar("T", bound=np.generic)


def _spread(cells: NDArray[T], height: int, width: int) -> NDArray[T]:
    """Places as pixels: (h, w, ...) to (height, width, ...)."""
    return cells.repeat(STEP, 0).repeat(STEP, 1)[:height, :width]
