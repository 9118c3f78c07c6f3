"""Files to files with the same latents: another entropy mode, other metadata; without torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from dcncodec.entropy import Candidates, check_model, coder_of, coders_for, means_of
from dcncodec.errors import UsageError
from dcncodec.formats import container, exif, xmp
from dcncodec.formats.coder import ChannelCoder
from dcncodec.formats.files import content_of
from dcncodec.formats.geometry import MAX_PIXELS, SINGLE_RATE, STRIDE
from dcncodec.formats.header import Header
from dcncodec.formats.packed import METADATA, Metadata
from dcncodec.formats.profiles import colour_space
from dcncodec.formats.sections import NAMES
from dcncodec.models.registry import find_by_prefix, find_model
from dcncodec.notices import Notice, Notify, warn

if TYPE_CHECKING:
    from dcncodec.entropy import Entropy, FileCoder
    from dcncodec.formats.guard import Source

_NONE = Metadata()
_EXIF_PREFIX = b"Exif\0\0"


def recode(
    source: Source,
    *,
    entropy: Entropy = "auto",
    strip: Collection[str] = (),
    metadata: Metadata = _NONE,
    model: str | Path | None = None,
    threads: int | None = None,
    max_pixels: int | None = MAX_PIXELS,
    notify: Notify = warn,
    progress: Callable[[int], object] | None = None,
) -> bytes:
    """Code the latents of a .dcn file anew; the picture in it stays the same.

    Blocks, exact tiles, alpha, rate and everything that the header says stay as they are. Blocks
    are decoded and coded one by one, so that little more memory is taken than both files have
    bytes.

    Args:
        source: a path, the bytes or a stream of a .dcn file.
        entropy: how latents are coded, as for ``Codec.encode``. ``channel`` and ``global`` need no
            model where the file is in one of these modes.
        strip: what is left out: some of ``icc``, ``exif`` and ``xmp``. Pixels stay as they are:
            those of another colour space than sRGB are taken for sRGB without their profile.
        metadata: what is put in the place of what the file has, by the rules of image files: an
            orientation is set to 1, sizes to the picture's.
        model: name or weight folder of the file's model, where it is not installed.
        threads: that share the work; None for one a core.
        max_pixels: refuse larger pictures; None for no limit.
        notify: called with what is left out or changed.
        progress: called with the number of pixels (of whole latents) of every finished block.

    Returns:
        The new file's bytes.

    Raises:
        FormatError: the file is damaged.
        LimitError: the picture has more than ``max_pixels``, or metadata is too long.
        ModelError: the file's model is not installed, or not the one given.
        UsageError: the model does not have the entropy mode, metadata is none of its kind, or
            there is no such kind to strip.
    """
    if isinstance(strip, str) or not set(strip) <= set(METADATA.values()):
        raise UsageError(f"strip {strip!r}: give a list of {', '.join(METADATA.values())}")
    file = container.read(content_of(source), max_pixels=max_pixels)
    header = file.header
    decoder, coders = _coders(file, entropy, model, threads or len(os.sched_getaffinity(0)))
    # Only a coding says a rate; without one the model has a single one.
    rate = SINGLE_RATE if file.coding is None else file.rate
    kept = _metadata(file, strip, metadata, notify)
    alpha = file.packed_alpha
    candidates = Candidates(coders, file.latent_channels, rate)
    for number in range(header.block_count):
        candidates.add(file.latents(number, decoder))
        # What goes on as it is has to be found intact.
        file.exact(number)
        if progress is not None:
            block = header.block(number)
            progress(block.rows * block.columns * STRIDE**2)
    blocks, coding = candidates.smallest()
    return container.write(
        container.Container(header, kept, alpha, blocks, coding, file.palette, file.means)
    )


def _coders(
    file: container.Reader, entropy: Entropy, model: str | Path | None, threads: int
) -> tuple[FileCoder, list[FileCoder]]:
    """What decodes the blocks, and all that may code them anew."""
    header = file.header
    if model is not None:
        folder = find_model(model)
        check_model(header, folder)
    elif file.coding is None and entropy in {"channel", "global"}:
        return ChannelCoder(threads=threads), [ChannelCoder(entropy, threads)]
    else:
        folder = find_by_prefix(header.model, header.model_hash, file.coding)
    # What goes on as it is has to be what the model knows.
    means_of(file, folder)
    # Beforehand, because the mode may be one that no file of the model has.
    coders = coders_for(folder, entropy, threads)
    return coder_of(file, folder, threads), coders


def _metadata(
    file: container.Reader, strip: Collection[str], given: Metadata, notify: Notify
) -> Metadata:
    """What the new file has, telling what goes."""
    stored, new = file.metadata, _fitting(given, file.header)
    kept = {
        name: getattr(new, name) or (None if name in strip else getattr(stored, name))
        for name in METADATA.values()
    }
    if (orientation := file.wrong_orientation) is not None:
        text = f"orientation {orientation} in its metadata is reset: pixels are stored upright"
        notify(Notice("metadata", text))
    if stored.icc is not None and kept["icc"] is None:
        notify(Notice("colour", "its colour profile is left out; colours are taken as sRGB"))
    if unknown := [section.name for section in file.sections if section.kind not in NAMES]:
        # What they say may hold for the old blocks alone.
        notify(Notice("skipped", f"sections of unknown types are left out: {', '.join(unknown)}"))
    return Metadata(**kept)


def _fitting(given: Metadata, header: Header) -> Metadata:
    """Metadata as a file of the picture may have it.

    Raises:
        UsageError: a block is not what it should be.
    """
    icc, block, packet = given.icc, given.exif, given.xmp
    if icc is not None and colour_space(icc) not in ({"RGB", "GRAY"} if header.grey else {"RGB"}):
        kind = "a grey or an RGB" if header.grey else "an RGB"
        raise UsageError(f"the ICC profile to put in is not {kind} picture's; choose another")
    if block is not None:
        block = block.removeprefix(_EXIF_PREFIX)
        if exif.opened(block) is None:
            raise UsageError("the EXIF block to put in is no TIFF structure; choose another")
        block = exif.with_size(exif.upright(block), header.width, header.height)
    if packet is not None:
        if not any(sign in packet for sign in (b"<rdf:RDF", b"<x:xmpmeta")):
            raise UsageError("the XMP packet to put in holds no rdf:RDF; choose another")
        packet = xmp.without_gain_map(xmp.upright(packet))
        packet = xmp.with_size(packet, header.width, header.height)
    return Metadata(icc, block, packet)
