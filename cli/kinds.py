"""Files of the wrong kind, told before any work: inputs that are no .dcn files, outputs that were
pictures."""

from __future__ import annotations

from pathlib import Path

from dcncodec.cli.plan import read_head
from dcncodec.errors import FormatError, UsageError
from dcncodec.formats.suffixes import begins_a_picture, is_picture


def check_dcn_target(path: str) -> None:
    """See ``Kind.check_target``, for outputs that are .dcn files.

    Raises:
        UsageError: the suffix is that of another format, or a picture lies there.
    """
    suffix = Path(path).suffix.lower()
    if is_picture(suffix):
        raise UsageError(
            f"would hold a .dcn file, but {suffix} is the suffix of another format; "
            "several inputs need an output folder: -d",
            path,
        )
    try:
        taken = Path(path).is_file() and begins_a_picture(read_head(path))
    except (OSError, ValueError):
        return
    if taken:
        raise UsageError(
            "is a picture and would be lost; name another output, or an output folder with -d", path
        )


def check_dcn_input(path: str, head: bytes) -> None:
    """See ``Kind.check_input``, for inputs that are .dcn files.

    Raises:
        FormatError: it begins as a picture does.
    """
    if begins_a_picture(head):
        raise FormatError(
            "is a picture, not a .dcn file (no signature); 'dcn encode' makes one of it", path
        )
