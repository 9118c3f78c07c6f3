"""Train, tune and report: three parts of a set of photos that never mix.

What is trained learns from the first, every choice (thresholds, lengths, weights) is made by the
second, and the third is only ever reported. The split is by names alone, so that it is the same for
everybody and at any time:

    a folder with the sub-folders train/ and val/     train: all of train/; tune: the first half of
                                                      val/ in the order of names; report: the rest
    any other folder                                  tune and report: its halves; nothing to train
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from dcncodec.errors import UsageError

Part = Literal["train", "tune", "report"]
PARTS: tuple[Part, ...] = get_args(Part)
TRAIN, HELD_OUT = "train", "val"
"""Sub-folders of a set that comes with a split into two."""


def photos_of(folder: Path, part: Part) -> list[Path]:
    """The files of one part, in the order of their names.

    Raises:
        UsageError: the folder has no such part.
    """
    from dcncodec.formats.guard import images_in

    divided = (folder / TRAIN).is_dir() and (folder / HELD_OUT).is_dir()
    if part == "train":
        if not divided:
            raise UsageError(f"has no part train (no sub-folders {TRAIN}, {HELD_OUT})", folder)
        return images_in(folder / TRAIN)
    files = images_in(folder / HELD_OUT if divided else folder)
    if len(files) < 2:
        raise UsageError(f"{len(files)} photos cannot be split into tune and report", folder)
    middle = len(files) // 2
    return files[:middle] if part == "tune" else files[middle:]
