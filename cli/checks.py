"""What can be told about inputs and names before torch is loaded, which takes seconds."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from dcncodec.cli.plan import is_folder
from dcncodec.errors import ModelError, TrainingError, UsageError
from dcncodec.models.families.nip import STANDARD
from dcncodec.models.registry import find_model
from dcncodec.models.roles import Role
from dcncodec.notices import Notice


def check_model(name: str | None, role: Role | None) -> None:
    """See that a model of a role (None: of any) is installed, or a weight folder there.

    No name asks for none.

    Raises:
        ModelError: it is not.
    """
    if name is not None:
        find_model(name, role, _later)


def check_distinct(names: Sequence[str]) -> None:
    """See that models that are measured together have names that tell them apart.

    Raises:
        UsageError: two have the same.
    """
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"{twice[0]}: two models have this name; measure them one by one")


def check_pipelines(names: Iterable[str | None], *own: str) -> None:
    """See that camera pipelines are installed, beside ``standard`` and the caller's ``own``.

    Raises:
        ModelError: one is not.
    """
    for name in names:
        if name not in {STANDARD, *own}:
            check_model(name, Role.PIPELINE)


def check_sources(sources: Iterable[Path]) -> None:
    """See that what a training reads are folders and tar shards.

    Raises:
        TrainingError: one is missing, or another kind of file.
    """
    for source in sources:
        if is_folder(source):
            continue
        try:
            whole = tarfile.is_tarfile(source)
        except FileNotFoundError:
            raise TrainingError("no such folder or tar shard", source) from None
        except OSError as error:
            raise TrainingError(f"cannot be read ({error.strerror})", source) from None
        if not whole:
            raise TrainingError("not a folder or whole tar shard of images", source)


def check_out(folder: Path, sources: Iterable[Path]) -> None:
    """See that a run's folder lies in no source: a resumed training would learn from its curves.

    Raises:
        UsageError: it does.
    """
    inner = folder.resolve()
    for source in sources:
        if inner.is_relative_to(source.resolve()):
            raise UsageError(
                f"--out {folder}: lies in {source}, which it learns from; choose another"
            )


def check_export_apart(export: Path | None, names: Iterable[str | None]) -> None:
    """See that what a training exports replaces none of the models that it begins with.

    Raises:
        UsageError: it does.
    """
    if export is None:
        return
    for name in filter(None, names):
        # Those that are missing are told by ``check_model``.
        with suppress(ModelError):
            if find_model(name, None, _later).path.resolve() == export.resolve():
                raise UsageError(
                    f"--export {export}: holds {name}, which the training begins with; choose "
                    "another"
                )


def _later(_: Notice) -> None:
    """Damaged folders are told when the model is opened."""
