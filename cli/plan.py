"""What a command over many files will do, with all that can be checked before the work begins.

Nothing here opens a picture or imports what does: a missing input or an output that exists is told
at once, not after the networks have been loaded.
"""

from __future__ import annotations

import glob
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dcncodec.cli.streams import INPUT_NAME, STREAM, check_output_stream, is_stream
from dcncodec.errors import DcnError, UsageError
from dcncodec.formats.files import check_output

MANY = "several inputs, or a folder, need an output folder: --output-dir (-d)"
FOLDERS, LINKS, SPECIAL = "folders", "links to folders", "special files"
"""What else is skipped in folders, beside files of other kinds."""


@dataclass(frozen=True)
class Job:
    """One file to convert.

    Attributes:
        source: the input's path, or ``-``.
        target: the output's path, or ``-``; empty for an input without an output of its own.
    """

    source: str
    target: str = ""

    @property
    def name(self) -> str:
        """How messages call the input."""
        return INPUT_NAME if self.source == STREAM else self.source


@dataclass(frozen=True)
class Kind:
    """What a command works on.

    Attributes:
        inputs: gives the suffixes that it looks for in folders, in lower case.
        suffix: of the outputs that it names itself.
        check_target: raises UsageError for the path of an output that another kind of file has.
        check_input: raises DcnError for the path of a file and its first bytes, where they are
            those of something else.
    """

    inputs: Callable[[], set[str]]
    suffix: str = ""
    check_target: Callable[[str], None] = lambda path: None
    check_input: Callable[[str, bytes], None] = lambda path, head: None


HEAD_BYTES = 64
"""Of a file, for ``Kind.check_input``."""


@dataclass
class Plan:
    """What to do.

    Attributes:
        jobs: inputs and outputs, in order.
        failures: jobs that cannot be done, and why.
        skipped: files in folders that are left out, by kind.
    """

    jobs: list[Job] = field(default_factory=list)
    failures: list[tuple[Job, DcnError]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """Jobs, and those that have failed before they begin."""
        return len(self.jobs) + len(self.failures)

    @property
    def skipped_line(self) -> str:
        """How many files are left out, by kind; empty for none."""
        count = self.skipped.total()
        if not count:
            return ""
        kinds = ", ".join(f"{kind} {number}" for kind, number in sorted(self.skipped.items()))
        return f"{count} file{'s' * (count > 1)} skipped ({kinds})"


def make_plan(
    paths: Sequence[str], output_dir: Path | None, recursive: bool, force: bool, kind: Kind
) -> Plan:
    """Input and output of every file.

    ``IN``, ``IN OUT``, or any number of files, folders and quoted patterns with an output folder.

    Args:
        paths: the command's arguments.
        output_dir: where the outputs of a batch go.
        recursive: whether folders within folders are searched, too.
        force: whether outputs may replace files.
        kind: what the command converts.

    Raises:
        UsageError: several inputs without a folder, nothing found, an output that is an input, or
            one that has the suffix of another kind of file.
    """
    plan = Plan()
    if output_dir is None:
        wanted = [_single(paths, kind)]
    else:
        if not is_folder(output_dir) and os.path.lexists(output_dir):
            raise UsageError("is a file; name a folder with --output-dir", output_dir)
        wanted = [
            Job(path, str(output_dir / within / (_stem(path) + kind.suffix)))
            for path, within in _expand(paths, recursive, kind, plan)
        ]
    ready = list(_checked(wanted, plan, lambda job: check_source(job.source, kind)))
    _check_not_inputs(ready, wanted)
    many = output_dir is not None
    plan.jobs = list(_checked(ready, plan, lambda job: _check_target(job.target, force, many)))
    return plan


def plan_inputs(paths: Sequence[str], recursive: bool, kind: Kind) -> Plan:
    """Inputs without outputs of their own: files, folders, quoted patterns, or ``-`` alone.

    Raises:
        UsageError: nothing is found.
    """
    plan = Plan()
    if len(paths) == 1 and is_stream(paths[0], 0):
        plan.jobs = [Job(STREAM)]
        return plan
    found = [Job(path) for path, _ in _expand(paths, recursive, kind, plan)]
    plan.jobs = list(_checked(found, plan, lambda job: check_source(job.source, kind)))
    return plan


def _checked(jobs: list[Job], plan: Plan, check: Callable[[Job], None]) -> Iterator[Job]:
    """Those that pass; the others are failures of the plan."""
    for job in jobs:
        try:
            check(job)
        except DcnError as error:
            plan.failures.append((job, error))
        else:
            yield job


def _single(paths: Sequence[str], kind: Kind) -> Job:
    if len(paths) > 2 or (len(paths) == 2 and is_folder(paths[0])):
        raise UsageError(MANY)
    source = STREAM if is_stream(paths[0], 0) else paths[0]
    if len(paths) == 2:
        if is_stream(paths[1], 1):
            check_output_stream()
            return Job(source, STREAM)
        if not paths[1]:
            raise UsageError("'': names no output; name one, or leave it out")
        kind.check_target(paths[1])
        return Job(source, paths[1])
    if not is_single(source):
        raise UsageError(MANY)
    if source == STREAM:
        check_output_stream()
        return Job(STREAM, STREAM)
    return Job(source, str(Path(source).parent / (_stem(source) + kind.suffix)))


def _stem(path: str) -> str:
    return Path(path).stem or "output"


def is_folder(path: str | Path) -> bool:
    """Whether it is a folder, or a link to one."""
    try:
        return Path(path).is_dir()
    except OSError:
        # A name that is too long, for one.
        return False


def _expand(
    paths: Sequence[str], recursive: bool, kind: Kind, plan: Plan
) -> Iterator[tuple[str, Path]]:
    """Files that arguments stand for, each with its folder within the argument."""
    for argument in paths:
        if is_stream(argument, 0):
            raise UsageError("cannot be one of several inputs; name files", INPUT_NAME)
        if is_folder(argument):
            found = list(_in_folder(argument, recursive, kind.inputs(), plan))
            if not found and not plan.failures:
                line = plan.skipped_line
                raise UsageError(
                    "holds no files of a known kind" + (f"; {line}" if line else ""), argument
                )
            for path in found:
                yield path, Path(path).relative_to(argument).parent
            continue
        matches = _matches(argument)
        if _is_pattern(argument) and not matches:
            raise UsageError("no file matches", argument)
        for path in matches or [argument]:
            if path != argument and is_folder(path):
                plan.skipped[FOLDERS] += 1
            else:
                yield path, Path()


def is_single(argument: str) -> bool:
    """Whether an argument stands for one file, not for a folder or by a pattern for many."""
    return not is_folder(argument) and not _matches(argument)


def _is_pattern(argument: str) -> bool:
    return any(sign in argument for sign in "*?[") and not os.path.lexists(argument)


def _matches(argument: str) -> list[str]:
    """What a pattern stands for, by name; other than with pathlib, hidden files are left out."""
    if not _is_pattern(argument):
        return []
    return sorted(glob.glob(argument, recursive=True))  # noqa: PTH207


def _in_folder(folder: str, recursive: bool, suffixes: set[str], plan: Plan) -> Iterator[str]:
    """Files of the wanted kinds in a folder, by name; hidden ones are left out."""
    try:
        with os.scandir(folder) as content:
            entries = sorted(content, key=lambda entry: entry.name)
    except OSError as error:
        reason = UsageError(f"cannot be read ({error.strerror}); check its permissions", folder)
        plan.failures.append((Job(folder), reason))
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            if recursive:
                yield from _in_folder(entry.path, True, suffixes, plan)
            else:
                plan.skipped[FOLDERS] += 1
        elif entry.is_dir():
            # Followed, links could lead round in circles.
            plan.skipped[LINKS] += 1
        elif (suffix := Path(entry.name).suffix.lower()) not in suffixes:
            plan.skipped[suffix or "without suffix"] += 1
        elif entry.is_symlink() or entry.is_file():
            yield entry.path
        else:
            # Nobody may ever write into a pipe.
            plan.skipped[SPECIAL] += 1


def _identity(path: str) -> tuple[int, int] | None:
    """What tells whether two names are one file; None for what is missing or no regular file."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None


def _check_not_inputs(jobs: list[Job], wanted: list[Job]) -> None:
    """Refuse outputs that are inputs, by whatever names and links."""
    sources = {_identity(job.source): job.source for job in wanted if job.source != STREAM}
    sources.pop(None, None)
    for job in jobs:
        if job.target in {"", STREAM}:
            continue
        if (found := sources.get(_identity(job.target))) is not None:
            known = "" if found == job.target else f" ({found})"
            raise UsageError(
                f"is an input{known} and would be lost; name another output, or an "
                "output folder with -d",
                job.target,
            )


def _check_target(target: str, force: bool, many: bool) -> None:
    """Raise what writing would raise after minutes of work; folders of batches will be made."""
    if target in {"", STREAM} or (many and not os.path.lexists(target)):
        return
    check_output(target, overwrite=force)


def check_source(source: str, kind: Kind) -> None:
    """Tell at once what reading would tell after the networks have been loaded.

    Raises:
        UsageError: the file is missing, a folder, or may not be read.
        DcnError: as ``Kind.check_input``.
    """
    if source == STREAM:
        return
    try:
        mode = Path(source).stat().st_mode
        if stat.S_ISDIR(mode):
            raise UsageError("is a folder; name a file in it", source)
        if not stat.S_ISREG(mode):
            return
        head = read_head(source)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError("no such file; check the name", source) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot be read ({reason}); check its permissions", source) from None
    kind.check_input(source, head)


def read_head(path: str) -> bytes:
    """The first bytes of a file.

    Raises:
        OSError: it cannot be read.
    """
    with Path(path).open("rb") as file:
        return file.read(HEAD_BYTES)


def same_file(first: str | os.PathLike[str], second: str | os.PathLike[str]) -> bool:
    """Whether two names are one existing file, through whatever links."""
    found = _identity(os.fspath(first))
    return found is not None and found == _identity(os.fspath(second))
