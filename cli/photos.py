"""What the commands that judge photos share: which files they take, and heat maps of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dcncodec.cli.plan import Kind, Plan, is_single, make_plan, plan_inputs
from dcncodec.errors import UsageError
from dcncodec.formats.suffixes import DCN, RAW


def plan_photos(
    paths: Sequence[str], heatmap: Path | None, recursive: bool, force: bool, raw: bool = False
) -> Plan:
    """Photos, and a heat map of each where ``heatmap`` is given.

    Args:
        paths: files, folders and quoted patterns, or ``-``.
        heatmap: a .png file for a single photo, a folder for several.
        recursive: whether folders within folders are searched, too.
        force: whether heat maps may replace files.
        raw: whether RAW files are photos, too.

    Raises:
        UsageError: as ``plan.make_plan``, or a heat map is no .png file.
    """

    def suffixes() -> set[str]:
        from dcncodec.formats.guard import suffixes_read

        return {DCN, *suffixes_read(), *(RAW if raw else ())}

    kind = Kind(suffixes, suffix=".png", check_target=_check_heat_map)
    if heatmap is None:
        return plan_inputs(paths, recursive, kind)
    if len(paths) == 1 and is_single(paths[0]):
        return make_plan((paths[0], str(heatmap)), None, recursive, force, kind)
    return make_plan(paths, heatmap, recursive, force, kind)


def _check_heat_map(path: str) -> None:
    if Path(path).suffix.lower() != ".png":
        raise UsageError(f"{path}: a heat map is a .png file; name it so")
