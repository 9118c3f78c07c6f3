"""What a survey finds, and the errors with which it refuses a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from dcncodec.formats.profiles import HDR_CURVES, Colorimetry

if TYPE_CHECKING:
    from dcncodec.notices import Kind

Density = tuple[float, float, int]
"""Pixels per unit in x and in y, and EXIF's number of the unit: 1 none, 2 inch, 3 centimetre."""


CheckSize = Callable[[int, int], None]
"""Raises LimitError where width times height is more than the limit."""


class UnsupportedError(Exception):
    """A kind of file that is not read here; the message names the kind and a remedy."""


class DamagedError(Exception):
    """A file that is damaged where pixels depend on it."""


@dataclass
class Survey:
    """What an image file says beside its pixels.

    Attributes:
        notices: kind and text of what is dropped, converted or doubtful.
        colour: what its samples mean, if stated other than by an ICC profile.
        icc, exif, xmp: blocks that Pillow does not hand out.
        density: how large a pixel is.
        sound: what to decode instead of the file, where harmless damage was taken out.
        ignore_icc: a statement of higher rank replaces the file's ICC profile.
        bits: of a sample, as the file has it.
        white: the largest sample as Pillow hands it out, where it is not 65535.
    """

    notices: list[tuple[Kind, str]] = field(default_factory=list)
    colour: Colorimetry | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    density: Density | None = None
    sound: IO[bytes] | None = None
    ignore_icc: bool = False
    bits: int = 8
    white: int | None = None

    def say(self, kind: Kind, text: str) -> None:
        """Add a notice."""
        self.notices.append((kind, text))

    def say_depth(self) -> None:
        """Add a notice about samples of more than 8 bits, unless there is one."""
        if self.bits > 8 and not any(kind == "depth" for kind, _ in self.notices):
            self.say("depth", f"{self.bits} bits a sample are rounded to 8")

    def say_frames(self, count: int, what: str = "frames") -> None:
        """Add a notice about further pictures in the file, if there are any."""
        if count > 1:
            self.say("frames", f"holds {count} {what}; only the first is kept")

    def say_dropped(self, names: list[str]) -> None:
        """Add a notice about metadata that is left out, if there is any."""
        if names:
            listed = ", ".join(dict.fromkeys(names))
            self.say("metadata", f"metadata that a .dcn file does not hold is left out: {listed}")

    def take_cicp(self, primaries: int, transfer: int) -> None:
        """Set the colours by code points (ITU-T H.273).

        Raises:
            UnsupportedError: they are those of HDR.
        """
        if transfer in HDR_CURVES:
            raise UnsupportedError(
                f"HDR pictures ({HDR_CURVES[transfer]}) are not supported; convert it to SDR"
            )
        self.colour = Colorimetry.of_cicp(primaries, transfer)
        if self.colour is None:
            self.say(
                "colour",
                f"colours of the code points {primaries}/{transfer} are not known; taken as sRGB",
            )
