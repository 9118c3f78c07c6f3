"""What the commands share: options, models' cards, the beginning of work with networks."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dcncodec.cli.lines import escaped, say_text
from dcncodec.cli.streams import on_terminal
from dcncodec.formats.geometry import MAX_PIXELS
from dcncodec.runtime.engine import DEVICE_NAMES, DEVICE_RULE, DEVICES

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

    from dcncodec.cli.work import Watch
    from dcncodec.codec import Codec
    from dcncodec.models.card import ModelFolder

Command = TypeVar("Command", bound=Callable[..., Any])

MAX_THREADS = 1024
MAX_JOBS = 256
MAX_SEED = 2**63 - 1
"""The largest that torch and NumPy both take."""


def progress_bar(
    label: str, length: int, items: Iterable[Any] | None = None, *, quiet: bool = False
) -> ProgressBar[Any]:
    """What counts the steps of a long work, or what is taken from ``items``, on a terminal.

    Elsewhere click would write the label alone, as a line before every error.
    """
    hidden = quiet or not on_terminal()
    return click.progressbar(items, length, escaped(label), hidden=hidden, file=sys.stderr)


class Finite(click.FloatRange):
    """A range without infinity, and without what is no number."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """As a float."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class Device(click.ParamType[str]):
    """The name of a device; whether the machine has it is told when torch is loaded."""

    name = "device"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """As it is."""
        if not re.fullmatch(DEVICES, value):
            self.fail(f"{value}: {DEVICE_RULE}", param, ctx)
        return str(value)


def show_card(path: Path, card: dict[str, Any], as_json: bool) -> None:
    """Print the readable form of a model's card, which lies beside it; without it the card."""
    readable = path.with_suffix(".md")
    if as_json or not readable.exists():
        say_text(json.dumps(card, indent=2).replace("\x7f", ""))
    else:
        say_text(readable.read_text(encoding="utf-8", errors="replace"))


def threads_option(command: Command) -> Command:
    """``--threads``."""
    return click.option(
        "--threads",
        type=click.IntRange(1, MAX_THREADS),
        callback=_share_with_numpy,
        help="CPU threads, at most one a core.  [default: all cores]",
    )(command)


def _share_with_numpy(_: click.Context, __: click.Parameter, threads: int | None) -> int | None:
    """The threads, for NumPy's products, too, whose library asks for them when it is loaded."""
    if threads is not None:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", str(threads))
    return threads


def machine_options(command: Command) -> Command:
    """``--device``, ``--threads`` and ``--precision``."""
    for option in (
        click.option(
            "--precision",
            type=click.Choice(["auto", "bf16", "fp32"]),
            default="auto",
            show_default=True,
            help="Number format of the networks. auto is bf16 on processors and GPUs that multiply "
            "it, else fp32.",
        ),
        threads_option,
        click.option(
            "--device",
            type=Device(),
            default="auto",
            show_default=True,
            metavar="DEVICE",
            help=f"{DEVICE_NAMES}.",
        ),
    ):
        command = option(command)
    return command


def jobs_option(command: Command) -> Command:
    """``--jobs``."""
    return click.option(
        "-j",
        "--jobs",
        type=click.IntRange(1, MAX_JOBS),
        help="Files that are worked on at a time, as far as memory allows.  [default: one a thread "
        "where all are small]",
    )(command)


def quiet_option(command: Command) -> Command:
    """``--quiet``."""
    return click.option(
        "-q", "--quiet", is_flag=True, help="Show neither warnings nor progress; errors remain."
    )(command)


def file_options(command: Command) -> Command:
    """``--output-dir``, ``--recursive``, ``--force``, ``--max-pixels``, ``--json``, ``--quiet``."""
    for option in (
        quiet_option,
        click.option("--json", "as_json", is_flag=True, help="One JSON object a file on stdout."),
        click.option(
            "--max-pixels",
            type=click.IntRange(0),
            default=MAX_PIXELS,
            show_default=True,
            help="Refuse larger images; 0 for no limit.",
        ),
        click.option("-f", "--force", is_flag=True, help="Replace files that exist."),
        click.option("-r", "--recursive", is_flag=True, help="Folders within folders, too."),
        click.option(
            "-d",
            "--output-dir",
            type=click.Path(path_type=Path),
            help="Folder for the outputs of several inputs; made where it does not exist.",
        ),
    ):
        command = option(command)
    return command


STRIPPED = ("icc", "exif", "xmp")


class StripCommand(click.Command):
    """A command whose ``--strip`` may be followed by kinds of metadata, but needs not be.

    Click would take the next word for its value, whatever it is.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """With ``--strip`` as ``--strip=KINDS``."""
        joined: list[str] = []
        waiting = list(args)
        while waiting and waiting[0] != "--":
            word = waiting.pop(0)
            if word == "--strip":
                given = bool(waiting) and set(waiting[0].split(",")) <= set(STRIPPED)
                word += "=" + (waiting.pop(0) if given else ",".join(STRIPPED))
            joined.append(word)
        joined += waiting
        return super().parse_args(ctx, joined)


class _Kinds(click.ParamType[frozenset[str]]):
    name = "kinds"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> frozenset[str]:
        kinds = value if isinstance(value, frozenset) else frozenset(str(value).split(","))
        if not kinds <= set(STRIPPED):
            self.fail(f"{value}: choose {', '.join(STRIPPED)}, with commas between", param, ctx)
        return kinds


def strip_option(without_profile: str) -> Callable[[Command], Command]:
    """``--strip``; the command's class must be ``StripCommand``.

    Args:
        without_profile: what becomes of a picture without its ICC profile.
    """
    return click.option(
        "--strip",
        "stripped",
        type=_Kinds(),
        default=frozenset(),
        metavar="[KINDS]",
        help="Leave metadata out: all, or the given kinds of exif,xmp,icc. Without its ICC profile "
        f"a picture is {without_profile}.",
    )


def entropy_option(command: Command) -> Command:
    """``--entropy``; None where it is not given, which means auto."""
    return click.option(
        "--entropy",
        type=click.Choice(["auto", "channel", "global", "context"]),
        help="How latents are coded.  [default: auto, what gives the smallest file]",
    )(command)


@dataclass(frozen=True)
class Machine:
    """``machine_options``, for a process."""

    device: str
    threads: int | None
    precision: Any

    def codec(self, model: Path | ModelFolder, watch: Watch) -> Codec:
        """A model that is ready, and who is told how its work goes on."""
        from dcncodec.codec import Codec

        return Codec(
            model,
            device=self.device,
            threads=self.threads,
            precision=self.precision,
            notify=watch.notice,
            progress=watch.advance,
        )


def load_torch(threads: int | None) -> None:
    """Import torch, for a number of threads (None: one a core).

    Raises:
        MissingLibraryError: it is not installed.
    """
    from dcncodec.runtime.engine import load_torch as load

    load(threads)
