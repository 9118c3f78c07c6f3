"""ManTra-Net (Wu et al., CVPR 2019), networks in ``models.trace``.

The architecture in its cards has "size" (of ``models.trace.SIZES``) and "classes" (int, of the
hierarchy of manipulations that it was trained with); beside what every card has::

    stage       str, how far it was trained: "features", "anomaly" or "joint"
    threshold   float, the mean of a map from which a photo counts as manipulated, or null
    false_alarm float, share of clean photos above that, or null
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dcncodec.models.card import card_text, is_whole
from dcncodec.models.roles import Role

if TYPE_CHECKING:
    from dcncodec.models.card import ModelFolder
    from dcncodec.models.trace import Trace

ROLE = Role.LOCALISER
TITLE = "localising network"
MAKER = "dcn train trace"

FEATURES, ANOMALY, JOINT = "features", "anomaly", "joint"
STAGES = (FEATURES, ANOMALY, JOINT)
"""Of a training, in their order; the first alone gives no map."""
MAX_CLASSES = 1024


def check(card: Mapping[str, Any]) -> bool:
    """See ``Family``."""
    shape = card["architecture"]
    numbers = (card["threshold"], card["false_alarm"])
    return (
        isinstance(shape["size"], str)
        and is_whole(shape["classes"], 2, MAX_CLASSES)
        and card["stage"] in STAGES
        and (numbers == (None, None) or all(0 <= float(number) <= 1 for number in numbers))
    )


def text(card: Mapping[str, Any]) -> str:
    """See ``Family``."""
    shape = card["architecture"]
    about = (
        f"Localises manipulations (ManTra-Net, Wu et al., CVPR 2019): size {shape['size']}, "
        f"features of {shape['classes']} classes of manipulations, trained up to the stage "
        f"{card['stage']}."
    )
    if card["threshold"] is not None:
        about += (
            f"\n\nA photo counts as manipulated where the mean of its map is above "
            f"{card['threshold']:.4f}, which {100 * card['false_alarm']:.0f}% of the clean photos "
            "are that the threshold was chosen by."
        )
    return card_text(card, about)


def network(folder: ModelFolder) -> Trace:
    """See ``Family``."""
    from dcncodec.errors import ModelError
    from dcncodec.models.load import fill
    from dcncodec.models.trace import SIZES, Trace

    shape = folder.card["architecture"]
    if shape["size"] not in SIZES:
        raise ModelError(
            f"its card names no known size; use one of {', '.join(SIZES)}", folder.path
        )
    trace = Trace(SIZES[shape["size"]], shape["classes"])
    fill(trace, folder)
    return trace
