"""``dcn decode photo.dcn photo.png`` at once: without click, NumPy and Pillow, which take longer to
load than a small picture to decode.

Whatever is not plain is left to the command as a whole: other options and formats, large pictures,
whatever deserves a warning, and all errors, which it finds again and explains.
"""

from __future__ import annotations

import os

from dcncodec.errors import DcnError
from dcncodec.formats.files import atomic_write, descriptor_of, read_bytes
from dcncodec.formats.sections import SIGNATURE
from dcncodec.formats.suffixes import DCN
from dcncodec.notices import Notice

SUFFIX = ".png"


class _Call:
    """What is asked for."""

    source = target = ""
    force = False
    threads: int | None = None


class _NotPlainError(Exception):
    """There is more to it."""


def decode(arguments: list[str]) -> str | None:
    """Decode a file, if that is all that is to be done.

    Args:
        arguments: of the command line, without the program.

    Returns:
        The line that tells so; None if nothing has been done.
    """
    try:
        call = _understood(arguments)
        width, height = _decode(call)
    except (_NotPlainError, DcnError, MemoryError, OSError, ValueError):
        return None
    return f"{call.source} -> {call.target}: {width} x {height} px"


def _understood(arguments: list[str]) -> _Call:
    command, *words = arguments or [""]
    if command != "decode":
        raise _NotPlainError
    call, names = _Call(), []
    while words:
        word = words.pop(0)
        if word in {"-f", "--force"}:
            call.force = True
        elif word in {"-q", "--quiet"}:
            continue  # There is nothing to be quiet about.
        elif word == "--threads" and words:
            call.threads = int(words.pop(0))
        elif word.startswith("-"):
            raise _NotPlainError
        else:
            names.append(word)
    if len(names) not in {1, 2} or (call.threads is not None and call.threads < 1):
        raise _NotPlainError
    call.source, call.target = names[0], names[-1]
    if len(names) == 1:
        stem, suffix = os.path.splitext(call.source)
        if suffix != DCN or os.path.normpath(call.source) != call.source:
            raise _NotPlainError
        call.target = stem + SUFFIX
    _check_names(call)
    return call


def _check_names(call: _Call) -> None:
    """See that they are those of an input and of an output that may be written."""
    target = call.target
    if not os.path.isfile(call.source) or os.path.splitext(target)[1].lower() != SUFFIX:
        raise _NotPlainError
    if descriptor_of(call.source) is not None or descriptor_of(call.target) is not None:
        raise _NotPlainError
    if not call.force and os.path.lexists(target):
        raise _NotPlainError
    # A .dcn file of another suffix would be lost, the input itself for one.
    if os.path.exists(target) and (not os.path.isfile(target) or _begins_as_dcn(target)):
        raise _NotPlainError


def _begins_as_dcn(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(len(SIGNATURE)) == SIGNATURE


def _decode(call: _Call) -> tuple[int, int]:
    """The picture's width and height; it has been written."""
    data = read_bytes(call.source)
    from dcncodec import decoding
    from dcncodec.formats.reader import read
    from dcncodec.models.bundled import bundled_codec
    from dcncodec.runtime.engine import choose_threads

    file = read(data)
    header = file.header
    model = bundled_codec(header.model)
    if model is None or model.prefix != header.model_hash:
        from dcncodec.models.registry import find_by_prefix

        model = find_by_prefix(header.model, header.model_hash, file.coding, _is_more)
    if not decoding.is_plain(file, model):
        raise _NotPlainError
    metadata = file.metadata.sized(header.width, header.height)
    samples = decoding.decode(file, model, call.threads)
    from dcncodec.formats.png import write_png

    with atomic_write(call.target, overwrite=call.force) as out:
        write_png(
            out,
            samples,
            icc=metadata.icc,
            exif=metadata.exif,
            xmp=metadata.xmp,
            threads=choose_threads(call.threads),
        )
    return header.width, header.height


def _is_more(_: Notice) -> None:
    """Somebody has to be told."""
    raise _NotPlainError
