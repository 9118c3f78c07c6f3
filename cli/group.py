"""The ``dcn`` command's groups. Sub-commands are imported when they run: torch takes seconds to
load."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from dcncodec import __version__
from dcncodec.cli.failures import explain
from dcncodec.cli.lazy import LazyGroup
from dcncodec.cli.lines import complain
from dcncodec.cli.warned import warned
from dcncodec.errors import MissingLibraryError
from dcncodec.notices import DcnWarning

COMMANDS = {
    "encode": "Compress images into .dcn files.",
    "decode": "Decompress .dcn files into images.",
    "recode": "Code .dcn files anew; change their metadata.",
    "info": "Show what .dcn files hold; check them.",
    "models": "List, show and verify models.",
    "train": "Train a codec, a forensic network, a camera pipeline.",
    "develop": "Develop camera RAW; simulate a camera.",
    "forensics": "Tell manipulations after compression; measure how well.",
    "bench": "Measure quality and speed beside other codecs.",
    "completion": "Print the shell's completion script.",
}

EPILOG = """\b
Examples:
  dcn encode photo.png photo.dcn
  dcn encode --quality high -d compressed/ photos/
  dcn decode photo.dcn photo.png
  dcn recode --strip exif photo.dcn smaller.dcn
  dcn info photo.dcn

Images are read from PNG, JPEG, TIFF, WebP, GIF, BMP, PPM, JPEG 2000 and AVIF, and written as PNG,
JPEG, TIFF, WebP, BMP, PPM and AVIF. A file name - stands for standard input or output.
"""


class Commands(LazyGroup):
    """All of them."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run one. What it lacks the extra of its own name is to bring, if that does."""
        try:
            return super().invoke(ctx)
        except (ImportError, MissingLibraryError) as error:
            failure = explain(error)
            if isinstance(failure, MissingLibraryError):
                failure.prefer(ctx.invoked_subcommand)
            raise failure from None


@click.command(
    cls=Commands,
    lazy=COMMANDS,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="dcn")
def group() -> None:
    """A learned image codec, with a toolbox for the forensics of its photos."""


@contextmanager
def notices_shown() -> Iterator[None]:
    """Notices that no command takes (`notices.warn`) are lines on standard error, each once."""
    shown: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *more: Any, **others: Any) -> None:
        if not issubclass(category, DcnWarning):
            usual(message, category, *more, **others)
        elif str(message) not in shown:
            shown.add(str(message))
            warned(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always", DcnWarning)
        usual, warnings.showwarning = warnings.showwarning, show
        yield


def run() -> int:
    """Run the command line; gives its exit code."""
    try:
        # What is no exit code is what a command returns: nothing.
        return group.main(prog_name="dcn", standalone_mode=False) or 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except click.Abort:
        complain("interrupted")
        return 130
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except Exception as error:
        failure = explain(error)
        complain(str(failure))
        return failure.exit_code
