"""Fingerprints of sensors (PRNU; NIP paper, section 3.3): what their photos have in common.

``model.safetensors`` holds the fingerprint, the part ``SUMS`` what it is made of and grows with
(``forensics.prnu.folder``). Their cards hold ``name``, ``sha256``, ``parts``, and::

    architecture   {"family": "fingerprint", "height": int, "width": int}
    photos         int, how many it was estimated from; digests, list of str, one for each
    source         str, where they lay; pipeline, str, what developed them ("": finished photos)
    consistency    float, NCC of the fingerprints of two halves of the photos
    expected_pce   float of a photo like those, or null
    predictor      null, or what tells how strong the fingerprint should be in which window
                   (``forensics.prnu.localise.Predictor``)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dcncodec.formats.geometry import MAX_DIMENSION
from dcncodec.models.card import is_whole
from dcncodec.models.roles import Role

if TYPE_CHECKING:
    from torch import nn

    from dcncodec.models.card import ModelFolder

ROLE = Role.FINGERPRINT
TITLE = "sensor fingerprint"
MAKER = "dcn forensics prnu fingerprint"

SUMS = "sums"


def check(card: Mapping[str, Any]) -> bool:
    """See ``Family``."""
    architecture, digests = card["architecture"], card["digests"]
    pce = card["expected_pce"]
    return (
        all(is_whole(architecture[side], 1, MAX_DIMENSION) for side in ("height", "width"))
        and card["photos"] == len(digests)
        and all(isinstance(text, str) for text in [*digests, card["source"], card["pipeline"]])
        and isinstance(card["consistency"], float)
        and (pce is None or isinstance(pce, float))
        and (card["predictor"] is None or "window" in card["predictor"])
        and SUMS in card["parts"]
    )


def text(card: Mapping[str, Any]) -> str:
    """See ``Family``."""
    architecture, predictor, pce = (card[k] for k in ("architecture", "predictor", "expected_pce"))
    developed = f", developed by {card['pipeline']}" if card["pipeline"] else ""
    windows = f"windows of {predictor['window']} pixels" if predictor else "none"
    lines = [
        f"# {card['name']}",
        "",
        f"Fingerprint of a sensor, {architecture['width']} x {architecture['height']} pixels, from "
        f"{card['photos']} photos ({card['source']}{developed}).",
        "",
        f"- NCC of the fingerprints of two halves of the photos: {card['consistency']:.3f}",
        f"- PCE expected of photos like those: {'unknown' if pce is None else f'{pce:,.0f}'}",
        f"- Predictor for localisation: {windows}",
        f"- SHA-256 of model.safetensors: `{card['sha256']}`",
    ]
    return "\n".join(lines) + "\n"


def network(folder: ModelFolder) -> nn.Module:
    """See ``Family``; a fingerprint has none.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"{folder.path}: a fingerprint has no network")
