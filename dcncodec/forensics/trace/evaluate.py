"""How well judges find manipulated parts, measured against masks (CVPR 2019, section 5.3)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from dcncodec.errors import ImageError, UsageError, about
from dcncodec.forensics.judge import Floats, Judge, Pixels, read_photo
from dcncodec.forensics.trace.forging import LIST_FILE
from dcncodec.forensics.trace.scores import Mask, auc, best_f1, f1
from dcncodec.formats.files import read_bytes
from dcncodec.formats.guard import files_in, images_in
from dcncodec.formats.suffixes import DCN

ALL = "all"


@dataclass(frozen=True)
class Pair:
    """A photo with its mask, and what was done to it, where that is known."""

    photo: Path
    mask: Path
    kind: str


@dataclass(frozen=True)
class Row:
    """Means over the photos of a kind.

    Attributes:
        kind: ``ALL`` for all of them.
        photos: how many.
        auc: pixel AUC.
        f1: of pixels above 0.5.
        best_f1: of the best threshold of each photo.
        baseline: F1 of a map that calls everything manipulated.
    """

    kind: str
    photos: int
    auc: float
    f1: float
    best_f1: float
    baseline: float


@dataclass(frozen=True)
class Evaluation:
    """What was measured of a judge.

    Attributes:
        name: of the judge.
        rows: by kind, ``ALL`` last.
        image_auc: how well the mean of a map tells forged from clean photos; None without any.
        accused: share of the clean photos above the judge's threshold; None without either.
        found: share of the forged photos above it.
    """

    name: str
    rows: list[Row]
    image_auc: float | None
    accused: float | None
    found: float | None

    def figures(self) -> dict[str, Any]:
        """For JSON and cards."""
        kinds = {
            row.kind: {
                "photos": row.photos,
                "auc": round(row.auc, 4),
                "f1": round(row.f1, 4),
                "best_f1": round(row.best_f1, 4),
                "baseline_f1": round(row.baseline, 4),
            }
            for row in self.rows
        }
        photos = {"image_auc": self.image_auc, "accused": self.accused, "found": self.found}
        return {"kinds": kinds} | {k: round(v, 4) for k, v in photos.items() if v is not None}

    def card_figures(self) -> dict[str, float]:
        """Numbers alone: pixel AUC by kind, and what is known of photos."""
        numbers = {f"auc_{row.kind}": round(row.auc, 4) for row in self.rows}
        rest = {k: v for k, v in self.figures().items() if k != "kinds"}
        return {"photos": self.rows[-1].photos} | numbers | rest


def pairs(photos: Path, masks: Path) -> list[Pair]:
    """The photos of a folder, pictures or .dcn files, with the masks of the same names.

    Raises:
        UsageError: a folder is missing or empty, or a photo has no mask.
    """
    for folder in (photos, masks):
        if not folder.is_dir():
            raise UsageError("no such folder", folder)
    by_name = {file.stem: file for file in images_in(masks)}
    kinds = _kinds(masks.parent / LIST_FILE)
    found = []
    for file in photos_in(photos):
        if file.stem not in by_name:
            raise UsageError(f"has no mask of that name in {masks}", file)
        found.append(Pair(file, by_name[file.stem], kinds.get(file.stem, ALL)))
    return found


def photos_in(folder: Path) -> list[Path]:
    """Pictures and .dcn files of a folder, by name.

    Raises:
        UsageError: there is no such folder, or it holds none.
    """
    if not folder.is_dir():
        raise UsageError("no such folder", folder)
    files = sorted({*images_in(folder), *files_in(folder, {DCN})})
    if not files:
        raise UsageError("holds no photos", folder)
    return files


def evaluate(
    judge: Judge,
    chosen: Sequence[Pair],
    clean: Sequence[Path],
    progress: Callable[[], object],
) -> Evaluation:
    """Judge photos and compare the maps with the masks.

    Args:
        judge: whom to ask.
        chosen: forged photos; as in the paper, a mask of more than half of a photo is turned over.
        clean: photos without a manipulated part.
        progress: called after each photo.

    Raises:
        ImageError: a mask has another size than its photo, or nothing in it.
        DcnError: as ``Judge.judge`` and ``read_photo``.
    """
    measured: dict[str, list[tuple[float, float, float, float]]] = {}
    forged_scores, clean_scores = [], []
    for pair in chosen:
        pixels = _read(pair.photo)
        mask = _mask(pair, pixels)
        scores = _judged(judge, pixels, pair.photo)
        forged_scores.append(float(scores.mean(dtype=np.float64)))
        if mask.mean() > 0.5:
            mask, scores = ~mask, 1 - scores
        share = float(mask.mean())
        row = (auc(scores, mask), f1(scores, mask), best_f1(scores, mask), 2 * share / (1 + share))
        for kind in {pair.kind, ALL}:
            measured.setdefault(kind, []).append(row)
        progress()
    for file in clean:
        clean_scores.append(float(_judged(judge, _read(file), file).mean(dtype=np.float64)))
        progress()
    threshold = judge.threshold
    kinds = sorted(measured, key=lambda kind: (kind == ALL, kind))
    rows = [
        Row(
            kind,
            len(measured[kind]),
            *(fmean(column) for column in zip(*measured[kind], strict=True)),
        )
        for kind in kinds
    ]
    scores = np.array(forged_scores + clean_scores)
    forged = np.arange(len(scores)) < len(forged_scores)
    known = threshold is not None
    return Evaluation(
        judge.name,
        rows,
        auc(scores, forged) if clean_scores else None,
        float((np.array(clean_scores) > threshold).mean()) if known and clean_scores else None,
        float((np.array(forged_scores) > threshold).mean()) if known else None,
    )


def _judged(judge: Judge, pixels: Pixels, file: Path) -> Floats:
    with about(file):
        return judge.judge(pixels).manipulated(*pixels.shape[:2])


def _read(file: Path) -> Pixels:
    # Of many photos and their masks a line for each would say too little.
    return read_photo(read_bytes(file), str(file), lambda _: None)


def _mask(pair: Pair, pixels: Pixels) -> Mask:
    mask: Mask = _read(pair.mask)[..., 0] > 127
    if mask.shape != pixels.shape[:2]:
        sizes = (f"{width} x {height}" for height, width in (mask.shape, pixels.shape[:2]))
        raise ImageError(" pixels, its photo ".join(sizes), pair.mask)
    if mask.all() or not mask.any():
        raise ImageError("marks all of its photo, or nothing", pair.mask)
    return mask


def _kinds(path: Path) -> dict[str, str]:
    """The kinds of forgeries by their names without suffix; none where there is no list."""
    if not path.is_file():
        return {}
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return {Path(row["photo"]).stem: str(row["kind"]) for row in rows}
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError("no list of forgeries; remove it", path) from None
