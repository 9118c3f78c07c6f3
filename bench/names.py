"""Names of codecs as users give them; nothing here loads torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dcncodec.errors import ModelError, UsageError
from dcncodec.formats.peers.baselines import BASELINES
from dcncodec.models.card import ModelFolder
from dcncodec.models.registry import find_model

LADDER = "dcn"
"""The codec whose settings are the bundled models, from few to many bits."""

EFFORT_MARK = "@"
"""Between a model's name and a level of effort."""


def check(names: Iterable[str]) -> None:
    """See that there is a codec or a model of every name.

    Raises:
        UsageError: there is none.
        ModelError: a folder holds no model.
    """
    for name in names:
        plain, _ = split_effort(name)
        if name not in BASELINES and plain != LADDER:
            model_of(plain)


def split_effort(name: str) -> tuple[str, str]:
    """A model's name and the level of effort behind it; "" for none."""
    plain, mark, level = name.rpartition(EFFORT_MARK)
    return (plain, level) if mark and level.isdecimal() else (name, "")


def called(codec: str, setting: str) -> str:
    """How tables call a dcn model: of the ladder by the setting, else by the codec."""
    return setting if codec == LADDER else codec


def label(row: Mapping[str, Any]) -> str:
    """How tables and plots call what a row of ``speed.Timing.as_row`` is about."""
    return called(row["codec"], row["setting"]) if "analysis_s" in row else str(row["title"])


def model_of(name: str) -> ModelFolder:
    """The model of a name; raises as ``check``."""
    try:
        return find_model(name)
    except ModelError as error:
        if Path(name).is_dir():
            raise
        known = ", ".join((LADDER, *BASELINES))
        raise UsageError(f"--codec {name}: choose {known}, or a model ({error})") from None
