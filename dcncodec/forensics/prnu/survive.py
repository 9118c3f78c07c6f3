"""Does a photo's fingerprint survive a codec? PCE over rate, beside other codecs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

import numpy as np

from dcncodec.errors import DcnError, UsageError, about
from dcncodec.forensics.prnu.fingerprint import Estimator, Fingerprint
from dcncodec.forensics.prnu.match import THRESHOLD, match
from dcncodec.forensics.prnu.parallel import each
from dcncodec.forensics.prnu.photos import STANDARD
from dcncodec.forensics.prnu.residual import Pixels
from dcncodec.forensics.prnu.simulate import Camera, Numbered, Split
from dcncodec.formats.geometry import MAX_RATE
from dcncodec.formats.peers.baselines import BASELINES
from dcncodec.models.registry import PAPER_MODELS, find_model, list_models

if TYPE_CHECKING:
    from dcncodec.codec import Codec
    from dcncodec.forensics.transmission import Transmission

PEERS = ("jpeg", "jpeg2000", "avif")
"""Whose PCE at the same rate the others are compared with."""
UNCOMPRESSED = "png"
LADDER = "dcn"
"""The curve of the bundled models without tuning, one for each quality."""
RATES = (0, 36, 73, 109, 146, 182)
"""Settings of a model for all rates; at higher ones every photo matches."""
MATCHED_SHARE = 0.9
"""Of the photos; the rate is reported at which so many still match."""


@dataclass(frozen=True)
class Channel:
    """A codec at one setting, in a form that other processes open again.

    Attributes:
        codec: name in tables.
        setting: of a peer, its quality or rate; the rate of a model for all rates; "" otherwise.
        model: weight folder of a dcn codec; "" otherwise.
    """

    codec: str
    setting: str = ""
    model: str = ""

    def send(self, pixels: Pixels) -> tuple[Pixels, int | None]:
        """What is received of a photo, and the payload in bytes (None without compression)."""
        if self.model:
            received = _transmission(self.model, self.setting).send(pixels)
            return received.pixels, received.bytes_payload
        if self.codec == UNCOMPRESSED:
            return pixels, None
        peer = BASELINES[self.codec]
        data = peer.compress(pixels, float(self.setting), 1)
        return peer.decompress(data, 1), peer.payload(data)


@dataclass(frozen=True)
class Row:
    """What is left of the fingerprint behind a channel.

    Attributes:
        codec, setting: of the channel.
        bpp: payload, mean over the photos; None without compression.
        pce, ncc: medians.
        matched: share of the photos.
        peers: PCE of each of ``PEERS`` at the same rate, interpolated; of those that were measured
            at lower and at higher rates.
    """

    codec: str
    setting: str
    bpp: float | None
    pce: float
    ncc: float
    matched: float
    peers: Mapping[str, float] = field(default_factory=dict)

    @property
    def curve(self) -> str:
        """What it is drawn with: its codec's settings, or the bundled models."""
        return LADDER if self.codec in PAPER_MODELS else self.codec


@dataclass(frozen=True)
class Survival:
    """The table.

    Attributes:
        rows: by codec, by rising rate.
        photos: evaluated.
        fingerprint_photos: behind the fingerprint.
        strength: of the simulated sensor.
    """

    rows: list[Row]
    photos: int
    fingerprint_photos: int
    strength: float

    def rate_needed(self, curve: str) -> float | None:
        """Bits per pixel at which ``MATCHED_SHARE`` of the photos still match, interpolated.

        None where none of the curve's points are on either side.
        """
        points = [(row.bpp, row.matched) for row in self.rows if row.curve == curve and row.bpp]
        for (low, worse), (high, better) in pairwise(sorted(points)):
            if worse < MATCHED_SHARE <= better:
                return low + (high - low) * (MATCHED_SHARE - worse) / (better - worse)
        return None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        curves = dict.fromkeys(row.curve for row in self.rows if row.bpp is not None)
        return {
            "photos": self.photos,
            "fingerprint_photos": self.fingerprint_photos,
            "strength": self.strength,
            "rows": [
                {
                    "codec": row.codec,
                    "setting": row.setting,
                    "bpp": None if row.bpp is None else round(row.bpp, 4),
                    "pce": round(row.pce, 1),
                    "ncc": round(row.ncc, 4),
                    "matched": round(row.matched, 4),
                    "pce_of_peers": {peer: round(pce, 1) for peer, pce in row.peers.items()},
                }
                for row in self.rows
            ],
            "bpp_for_90_percent": {curve: self.rate_needed(curve) for curve in curves},
        }


def parse_codecs(names: Sequence[str]) -> list[Channel]:
    """The channels that names stand for.

    Args:
        names: a peer with a setting (``jpeg:50``), a peer (all its settings), or a model by name
            or folder, of those for all rates with a rate (``dcn-vr:73``) or without (``RATES``);
            none means every installed model and ``PEERS``.

    Raises:
        UsageError: there is no such codec, or its setting is out of range.
    """
    channels = [Channel(UNCOMPRESSED)]
    for name in names or [*(model.name for model in list_models()), *PEERS]:
        peer, _, setting = name.partition(":")
        if peer not in BASELINES:
            channels += _model(name)
            continue
        BASELINES[peer].version()
        settings = [setting] if setting else [f"{s:g}" for s in BASELINES[peer].settings]
        channels += [_peer(name, peer, value) for value in settings]
    return list(dict.fromkeys(channels))


def survive(
    split: Split,
    camera: Camera,
    channels: Sequence[Channel],
    processes: int = 1,
    progress: Callable[[], None] = lambda: None,
) -> Survival:
    """Measure what channels leave of a simulated camera's fingerprint.

    The fingerprint comes from uncompressed photos of the standard pipeline; photos are compressed
    after their development.

    Args:
        split: pictures that the camera takes, of one size.
        channels: of ``parse_codecs``.
        processes: that work at the same time.
        progress: called after each photo.

    Raises:
        DcnError: a picture or codec cannot be read, or pictures differ in size.
    """
    estimator = Estimator()
    take = partial(camera.take, pipelines=(STANDARD,))
    for picture, taken in zip(
        split.fingerprint, each(take, split.fingerprint, processes), strict=True
    ):
        with about(picture[1]):
            estimator.add(taken[STANDARD])
        progress()
    work = partial(_measure, camera=camera, channels=channels, fingerprint=estimator.fingerprint())
    found = []
    for measured in each(work, split.evaluation, processes):
        found.append(measured)
        progress()
    rows = [_row(channel, [photo[i] for photo in found]) for i, channel in enumerate(channels)]
    rows.sort(key=lambda row: row.bpp or 0)
    order = list(dict.fromkeys(channel.codec for channel in channels))
    rows.sort(key=lambda row: order.index(row.codec))
    return Survival(
        _with_peers(rows), len(split.evaluation), len(split.fingerprint), camera.strength
    )


def _measure(
    picture: Numbered, camera: Camera, channels: Sequence[Channel], fingerprint: Fingerprint
) -> list[tuple[float | None, float, float]]:
    """Bits per pixel, PCE and NCC behind each channel."""
    pixels = camera.take(picture, (STANDARD,))[STANDARD]
    area = pixels.shape[0] * pixels.shape[1]
    found = []
    for channel in channels:
        with about(picture[1]):
            received, payload = channel.send(pixels)
            result = match(received, fingerprint)
        found.append((None if payload is None else 8 * payload / area, result.pce, result.ncc))
    return found


def _row(channel: Channel, found: Sequence[tuple[float | None, float, float]]) -> Row:
    rates = [rate for rate, _, _ in found if rate is not None]
    pces = [pce for _, pce, _ in found]
    return Row(
        channel.codec,
        channel.setting,
        fmean(rates) if rates else None,
        median(pces),
        median(ncc for _, _, ncc in found),
        fmean(pce >= THRESHOLD for pce in pces),
    )


def _with_peers(rows: Sequence[Row]) -> list[Row]:
    """With the peers' PCE at the same rates."""
    curves = {}
    for peer in PEERS:
        points = sorted((row.bpp, row.pce) for row in rows if row.codec == peer and row.bpp)
        if points:
            # Logarithms: no fingerprint at all has a PCE around 1, and may have one below 0.
            curves[peer] = np.log(np.array(points).clip(1e-3)).T
    found = []
    for row in rows:
        place = np.log(row.bpp or np.nan)
        peers = {
            peer: float(np.exp(np.interp(place, rates, values)))
            for peer, (rates, values) in curves.items()
            if rates[0] <= place <= rates[-1]
        }
        found.append(replace(row, peers=peers))
    return found


def _peer(name: str, peer: str, setting: str) -> Channel:
    low, high = sorted(BASELINES[peer].span)
    try:
        valid = low <= float(setting) <= high
    except ValueError:
        valid = False
    if not valid:
        raise UsageError(f"--codec {name}: choose a setting from {low:g} to {high:g}")
    return Channel(peer, setting)


def _model(name: str) -> list[Channel]:
    """The channels of a model: one, or one for each rate."""
    path, _, rate = name.rpartition(":")
    wanted = rate if path and rate.isdecimal() else ""
    try:
        model = find_model(path if wanted else name)
    except DcnError as error:
        peers = ", ".join(BASELINES)
        raise UsageError(f"--codec {name}: choose {peers}, or a model ({error})") from None
    if wanted and not (model.geometry.rates and int(wanted) <= MAX_RATE):
        raise UsageError(
            f"--codec {name}: choose a rate from 0 to {MAX_RATE}"
            if model.geometry.rates
            else f"--codec {name}: {model.name} has one rate only; leave {wanted} out"
        )
    settings = [""]
    if model.geometry.rates:
        settings = [wanted] if wanted else [str(value) for value in RATES]
    return [Channel(model.name, setting, str(model.path)) for setting in settings]


@lru_cache(maxsize=16)
def _transmission(model: str, rate: str) -> Transmission:
    from dcncodec.forensics.transmission import Transmission

    return Transmission("dcn", _codec(model), rate=int(rate) if rate else None)


@lru_cache(maxsize=16)
def _codec(model: str) -> Codec:
    from dcncodec.codec import Codec

    return Codec(Path(model), device="cpu")
