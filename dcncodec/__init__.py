"""dcn: a learned image codec for photographs whose pixels may later have to be authenticated.

The stable interface::

    data = dcncodec.encode("photo.png")            # or an array, or a Pillow image
    pixels = dcncodec.decode(data)                 # uint8 (H, W, 3)
    part = dcncodec.decode(data, region=(0, 0, 256, 256))
    facts = dcncodec.info(data)                    # size, model, sections, blocks

    codec = dcncodec.Codec()                       # one model for many images
    data = codec.encode(image, quality=80)         # 0 to 100, or target_size, min_psnr, ...
    picture = codec.decode(data)

    data = dcncodec.recode(data, strip=["exif"])   # the same latents, another file
    data = dcncodec.encode("photo.png", model="dcn-32c", entropy="channel")
    latents = dcncodec.decode_channels(data, [0, 5])    # without a model, of such files

Every error that a file, a user or the machine can cause is a ``dcncodec.DcnError``. After
``import dcncodec.pillow_plugin``, Pillow opens and saves .dcn files. Everything in the modules
below that is not named here may change between versions.

None of this imports torch, unless it runs on a GPU, or in bfloat16 on processors without it.
"""

from __future__ import annotations

from dcncodec.errors import DcnError
from dcncodec.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from dcncodec.codec import Codec
    from dcncodec.formats.channels import decode_channels
    from dcncodec.formats.inspect import info
    from dcncodec.oneline import decode, encode
    from dcncodec.recoding import recode

__version__ = "0.1.0"
__all__ = ["Codec", "DcnError", "decode", "decode_channels", "encode", "info", "recode"]

_HOMES = {
    "Codec": "dcncodec.codec",
    "decode": "dcncodec.oneline",
    "decode_channels": "dcncodec.formats.channels",
    "encode": "dcncodec.oneline",
    "info": "dcncodec.formats.inspect",
    "recode": "dcncodec.recoding",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dcncodec' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
