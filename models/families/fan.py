"""Forensic analysis networks: that of the DCN paper (Table 6) is in ``models.fan``, others beside.

Their cards, ``forensic.json``, hold beside what every card does::

    classes      list of str, in the order of the FAN's outputs (``forensics.manipulations``)
    channel      "dcn", "jpeg:QF" or "none"
    downsample   bool, whether the channel halves pictures first
    codec        {"name", "sha256"} of a dcn channel's weights, else null
    nip          {"name", "sha256"} of the weights of the camera pipeline before it (of the standard
                   pipeline the name alone), else null
    lambda_c     float, lambda_n, float, and trainable, list of str: how it was trained
    untuned      optional, str: of a codec that is tuned, or has been, its name before all that
    rates        optional, the lowest and highest rate of the codec that it was trained behind
    verdict      optional, what verdicts on whole photos rest on (``forensics.verdict``):
                   thresholds, by rate of false alarms {"whole", "part"} (pairs, of earlier
                   versions, are read as none), clear, temperature, pooling (what all places of a
                   photo say together, ``forensics.pooling``), and what they were measured on
    patch        int, side in pixels of the patches that it judges
    network      optional, of ``NETWORKS``; by default the first one
    fan_sha256   str, of fan.safetensors in hexadecimal
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dcncodec.models.card import (
    FAN_FILE,
    MAX_PATCH,
    MIN_PATCH,
    is_sha256,
    is_whole,
    run_lines,
    table,
)
from dcncodec.models.families.nip import STANDARD
from dcncodec.models.roles import Role

if TYPE_CHECKING:
    from dcncodec.models.card import ModelFolder
    from dcncodec.models.fan import FAN

ROLE = Role.FAN
TITLE = "forensic network"
CONVOLUTIONAL, SPECTRAL, COMBINED = NETWORKS = ("convolutional", "spectral", "combined")
"""That of the DCN paper, one that judges spectra, and both together."""
BESIDE = {
    SPECTRAL: "It judges local spectra (models/spectral_fan.py)",
    COMBINED: "It judges local spectra beside what its filters find (models/combined_fan.py)",
}
"""What cards say of networks that are not the DCN paper's."""
MAKER = "dcn train forensic"

LEARNS_CODEC, LEARNS_NIP = "dcn", "nip"
"""What may learn with a FAN, codec and camera pipeline: in cards, recipes and checkpoints."""
CALIBRATION = "verdict"
"""Entry with the calibration of verdicts."""
UNTUNED = "untuned"
"""Entry of the cards of a tuned codec, and of FANs behind one: what it was before all tuning."""


def check(card: Mapping[str, Any]) -> bool:
    """See ``Family``."""
    classes, codec, nip = card["classes"], card["codec"], card["nip"]
    return (
        all(
            isinstance(name, str)
            for name in [*classes, *card["trainable"], card["channel"], card.get(UNTUNED, "")]
        )
        and len(set(classes)) == len(classes) >= 2
        and isinstance(card["downsample"], bool)
        and is_whole(card["patch"], MIN_PATCH, MAX_PATCH)
        and card.get("network", CONVOLUTIONAL) in NETWORKS
        and (card["channel"] == "dcn") == bool(codec)
        and (not codec or (isinstance(codec["name"], str) and is_sha256(codec["sha256"])))
        and (not nip or nip["name"] == STANDARD or is_sha256(nip["sha256"]))
        and (not nip or isinstance(nip["name"], str))
    )


def text(card: Mapping[str, Any]) -> str:
    """See ``Family``; with the confusion on each test set in percent."""
    channel = card["channel"]
    if card["codec"]:
        channel += f" ({card['codec']['name']}, weights {card['codec']['sha256'][:16]})"
    if card["downsample"]:
        channel += ", after halving"
    lines = [
        f"# {card['name']}",
        "",
        "Forensic analysis network (Korus & Memon, ICLR 2020): tells how a photo was manipulated.",
        "",
        f"- Channel: {channel}",
    ]
    if (network := card.get("network")) in BESIDE:
        lines.append(f"- {BESIDE[network]}, not as in the paper")
    if card["nip"]:
        nip = card["nip"]["name"]
        if nip != STANDARD:
            nip += f", weights {card['nip']['sha256'][:16]}"
        lines.append(f"- Camera pipeline before it: {nip}")
    origin = f"the FAN of {card['recipe']['fan']}" if card["recipe"]["fan"] else ""
    lines += [
        f"- Learnt with the FAN: {', '.join(card['trainable']) or 'nothing'}",
        *([f"- Before all tuning: {card[UNTUNED]}"] if UNTUNED in card else []),
        *_weight_lines(card),
        f"- SHA-256 of {FAN_FILE}: `{card['fan_sha256']}`",
        *run_lines(card, origin),
    ]
    lines += _verdict_lines(card)
    for name, figures in card["results"].items():
        if "confusion" in figures:
            classes = figures["classes"]
            rows = []
            for true, counts in zip(classes, figures["confusion"], strict=True):
                # In the field no patch of a class may have varied.
                shares = (f"{100 * count / max(1, sum(counts)):.0f}" for count in counts)
                rows.append({"": true, **dict(zip(classes, shares, strict=True))})
            lines += ["", f"## Confusion on {name}, % of each true class", ""]
            lines += table(["true class", *classes], rows, ["", *classes])
    return "\n".join(lines) + "\n"


NIP_UNITS = 50 * 3 * 128**2 / 2 / 255**2
"""What lambda_n weighs in the NIP paper's units, 255^2 times the mean squared error."""


def _weight_lines(card: Mapping[str, Any]) -> list[str]:
    """The weights of what learnt with the FAN, in the units of the papers."""
    lines = []
    if LEARNS_CODEC in card["trainable"]:
        lines.append(
            f"- lambda_c {card['lambda_c']:g}, against squared errors summed over 50 patches of "
            "128 pixels (over the 140 that the paper's code sums, fidelity would weigh 2.8 times "
            "as much)"
        )
    if LEARNS_NIP in card["trainable"]:
        weight = card["lambda_n"] * NIP_UNITS
        lines.append(f"- lambda_n {card['lambda_n']:g}, in the NIP paper's units {weight:.3g}")
    return lines


def calibration_entry(card: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What a card says of the scores of verdicts, None where it says nothing of the present ones:
    with those of earlier versions all thresholds were pairs.

    Raises:
        AttributeError, KeyError, TypeError: it is damaged.
    """
    entry: Mapping[str, Any] | None = card.get(CALIBRATION)
    if entry is None:
        return None
    pairs = [isinstance(of, list) and len(of) == 2 for of in entry["thresholds"].values()]
    return None if pairs and all(pairs) else entry


def _verdict_lines(card: Mapping[str, Any]) -> list[str]:
    """What verdicts rest on, and where it was measured."""
    entry = calibration_entry(card)
    if entry is None:
        known = "no rate of false alarms is known (`dcn forensics calibrate` measures it)"
        return ["", f"Not calibrated for the present scores: {known}."]
    lines = [
        "",
        "## Verdicts",
        "",
        "Thresholds (whole: of log-odds; part: of how far those of one place in twenty exceed "
        "their median, or zero where that is negative), measured on "
        f"{entry['native_versions']} untouched and {entry['other_versions']} manipulated versions "
        f"of {entry['photos']} photos of "
        f"{entry['data']}, part {entry['part']} ({entry['first']} to {entry['last']}), behind the "
        f"channel. Temperature {entry['temperature']:.3g}; up to {entry['clear']:.3g} a photo may "
        "be called native. What all places of a photo say together is learned from these versions "
        "(forensics/pooling.py); thresholds are cross-validated.",
        "",
    ]
    rows = [
        {"rate": rate, **{name: f"{value:.3g}" for name, value in of.items()}}
        for rate, of in entry["thresholds"].items()
    ]
    return lines + table(("false alarms", "whole", "part"), rows, ("rate", "whole", "part"))


def network(folder: ModelFolder) -> FAN:
    """See ``Family``."""
    import torch

    from dcncodec.models.load import fill

    with torch.device("meta"):
        fan = new_fan(folder.card.get("network", CONVOLUTIONAL), len(folder.card["classes"]))
    fill(fan, folder)
    return fan


def new_fan(network: str, classes: int) -> FAN:
    """A FAN of ``NETWORKS`` with random weights, for so many classes."""
    from dcncodec.models.combined_fan import CombinedFAN
    from dcncodec.models.fan import ConvolutionalFAN
    from dcncodec.models.spectral_fan import SpectralFAN

    kinds: dict[str, type[FAN]] = {
        kind.NETWORK: kind for kind in (ConvolutionalFAN, SpectralFAN, CombinedFAN)
    }
    return kinds[network](classes)
