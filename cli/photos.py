"""What the commands that judge photos share: which files they take, and heat maps of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from dcncodec.cli.plan import Kind, Plan, is_single, make_plan, plan_inputs
from dcncodec.cli.streams import STREAM
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
    suffixes = partial(_suffixes, raw)
    kind = Kind(suffixes, suffix=".png", check_target=_check_heat_map)
    if heatmap is None:
        return plan_inputs(paths, recursive, kind)
    if len(paths) == 1 and is_single(paths[0]):
        return make_plan((paths[0], str(heatmap)), None, recursive, force, kind)
    return make_plan(paths, heatmap, recursive, force, kind)


def _suffixes(raw: bool = False) -> set[str]:
    """Of photos."""
    from dcncodec.formats.guard import suffixes_read

    return {DCN, *suffixes_read(), *(RAW if raw else ())}


def add_outputs(
    plan: Plan,
    paths: Sequence[str],
    output: Path | None,
    suffix: str,
    recursive: bool,
    force: bool,
) -> dict[str, str]:
    """Another output of each photo, beside its heat map.

    Args:
        plan: of ``plan_photos``; photos whose other output exists, or is that of a photo before,
            fail in it.
        paths, recursive, force: as there.
        output: a file with ``suffix`` for a single photo, a folder for several; None for none.
        suffix: of the outputs.

    Returns:
        The outputs by their photos.

    Raises:
        UsageError: as ``plan.make_plan``, the suffix is another one, or it is standard output.
    """
    if output is None:
        return {}

    def check(path: str) -> None:
        if Path(path).suffix.lower() != suffix:
            raise UsageError(f"is to be a {suffix} file; name it so", path)

    known = {job.source for job in plan.jobs}
    kind = Kind(_suffixes, suffix=suffix, check_target=check)
    if len(paths) == 1 and is_single(paths[0]):
        other = make_plan((paths[0], str(output)), None, recursive, force, kind)
    else:
        other = make_plan(paths, output, recursive, force, kind)
    failed = {job.source: (job, error) for job, error in other.failures if job.source in known}
    places: dict[str, str] = {}
    for job in other.jobs:
        if places.setdefault(os.path.realpath(job.target), job.source) != job.source:
            reason = UsageError("another input of this run has that output; skipped", job.target)
            failed[job.source] = job, reason
    plan.jobs = [job for job in plan.jobs if job.source not in failed]
    plan.failures += failed.values()
    if any(job.target == STREAM for job in other.jobs):
        raise UsageError(f"standard output is for what is found; name a {suffix} file")
    return {job.source: job.target for job in other.jobs}


def _check_heat_map(path: str) -> None:
    if Path(path).suffix.lower() != ".png":
        raise UsageError("a heat map is a .png file; name it so", path)
