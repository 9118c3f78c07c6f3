"""Writes the golden files. Run it only for a new format version: within one they never change.

    PYTHONPATH=tests/helpers python tests/golden/make.py

Three kinds: `streams/*.dcnb` and `files/*.dcn` with `golden.json` (encodes to the same bytes,
decodes to this), `fail.json` (must fail with exactly this message).
"""

from __future__ import annotations

import hashlib
import json

from contents import (
    HERE,
    MODEL,
    containers,
    context_containers,
    context_latents,
    everything,
    exact_bytes,
    means,
    palettes,
    skipped,
    streams,
)
from context_samples import random_model
from refused import failures, outcome
from safetensors.numpy import save

from dcncodec.errors import DcnError
from dcncodec.formats import bitstream, container
from dcncodec.formats.context import ContextModel


def main() -> None:
    golden: dict[str, dict[str, object]] = {}

    def keep(name: str, data: bytes, decoded: bytes, shape: list[int]) -> None:
        path = HERE / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        golden[name] = {
            "sha256": hashlib.sha256(data).hexdigest(),
            "decoded_sha256": hashlib.sha256(decoded).hexdigest(),
            "decoded_shape": shape,
        }

    for name, (indices, mode) in streams().items():
        data = bitstream.encode_block(indices, mode)  # type: ignore[arg-type]
        keep(f"streams/{name}.dcnb", data, indices.tobytes(), list(indices.shape))
    files = {name: container.write(c) for name, c in containers().items()}
    files |= {"everything": container.write(everything()), "skipped": skipped()}
    files |= {name: container.write(c) for name, c in palettes().items()}
    for name, data in files.items():
        reader = container.read(data)
        decoded = b"".join(reader.decode_block(n).tobytes() for n in range(len(reader.blocks)))
        shape = [reader.latent_channels, reader.header.latent_height, reader.header.latent_width]
        keep(f"files/{name}.dcn", data, decoded, shape)
        if reader.palette is not None:
            exact = hashlib.sha256(exact_bytes(reader)).hexdigest()
            golden[f"files/{name}.dcn"]["exact_sha256"] = exact
    MODEL.parent.mkdir(exist_ok=True)
    tensors = random_model(2, 3, 10, knots=3, scales=6, wild=False)
    MODEL.write_bytes(save(ContextModel(tensors).to_tensors()))
    for name, content in context_containers().items():
        data = container.write(content)
        latents = [plane.astype("<i2").tobytes() for plane in context_latents(name)]
        head = content.header
        shape = [3, head.latent_height, head.latent_width]
        keep(f"files/{name}.dcn", data, b"".join(latents), shape)
        if (own := means(name)) is not None:
            digest = hashlib.sha256(own.values).hexdigest()
            golden[f"files/{name}.dcn"]["means_sha256"] = digest
    (HERE / "golden.json").write_text(json.dumps(golden, indent=1) + "\n")

    fail = {}
    for name, kind, data in failures():
        try:
            outcome(kind, data)
        except DcnError as error:
            fail[name] = {
                "kind": kind,
                "hex": data.hex(),
                "class": type(error).__name__,
                "error": str(error),
            }
        else:
            raise SystemExit(f"{name} does not fail")
    (HERE / "fail.json").write_text(json.dumps(fail, indent=1) + "\n")


if __name__ == "__main__":
    main()
