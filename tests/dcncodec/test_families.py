"""A family of codecs that nothing else knows: its module, a card and a coder are all it takes."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from skimage import data as samples
from torch import Tensor, nn
from torch.nn import functional

from dcncodec.codec import Codec
from dcncodec.errors import ModelError, UsageError
from dcncodec.formats import container
from dcncodec.formats.geometry import Area, Geometry
from dcncodec.formats.sections import Buffer
from dcncodec.models import families
from dcncodec.models.card import ModelFolder, card_text
from dcncodec.models.load import fill
from dcncodec.models.network import Network
from dcncodec.models.registry import find_by_prefix
from dcncodec.models.roles import Role
from dcncodec.oneline import decode


class Haar(Network):
    """Means of 8 x 8 pixels, and a step that shrinks with the rate."""

    def __init__(self) -> None:
        super().__init__()
        self.analysis_net, self.synthesis_net = nn.Identity(), nn.Identity()
        self.gain = nn.Parameter(torch.tensor(4.0))

    def analysis(self, pixels: Tensor, rate: Tensor) -> Tensor:
        return functional.avg_pool2d(pixels, 8) * self.gain * rate.view(-1, 1, 1, 1)

    def synthesis(self, latent: Tensor, rate: Tensor) -> Tensor:
        pixels = latent / (self.gain * rate.view(-1, 1, 1, 1))
        return functional.interpolate(pixels, scale_factor=8)


class Plain:
    """Two bytes a latent."""

    sha256 = hashlib.sha256(b"plain").digest()
    threads = 1

    def encode(self, latents: NDArray[np.int16], rate: int) -> bytes:
        return latents.astype("<i2").tobytes()

    def decode(self, block: Buffer, area: Area, rate: int) -> NDArray[np.int16]:
        return np.frombuffer(block, "<i2").reshape(3, area.rows, area.columns)

    def bits(self, latents: NDArray[np.int16], rate: int) -> NDArray[np.float32]:
        return np.full(latents.shape, 16, np.float32)


@pytest.fixture
def family(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module ``families.haar``, as if it lay in the package."""
    module = ModuleType("dcncodec.models.families.haar")
    module.ROLE, module.TITLE, module.MAKER = Role.CODEC, "codec", "nothing"  # type: ignore[attr-defined]

    def network(folder: ModelFolder) -> Haar:
        haar = Haar()
        fill(haar, folder)
        return haar

    def text(card: Mapping[str, Any]) -> str:
        return card_text(card, "Means.")

    module.check = lambda card: True  # type: ignore[attr-defined]
    module.text, module.network = text, network  # type: ignore[attr-defined]
    module.geometry = lambda card: Geometry(3, 0, -2048, 4096)  # type: ignore[attr-defined]
    module.slope = lambda card, rate: None  # type: ignore[attr-defined]
    module.coder = lambda folder: Plain()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    known = [*families.names(), "haar"]
    monkeypatch.setattr(families, "names", lambda: known)
    families.find_family.cache_clear()
    yield module
    families.find_family.cache_clear()


@pytest.fixture
def haar(tmp_path: Path, family: ModuleType) -> Path:
    folder = tmp_path / "models" / "my-haar"
    folder.mkdir(parents=True)
    content = save({name: tensor.detach() for name, tensor in Haar().state_dict().items()})
    (folder / "model.safetensors").write_bytes(content)
    card = {
        "name": "my-haar",
        "architecture": {"family": "haar"},
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    (folder / "card.json").write_text(json.dumps(card))
    return folder


def test_encode_and_decode(haar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels: NDArray[np.uint8] = samples.astronaut()[:80, :2100, :]
    pixels = np.tile(pixels, (1, 5, 1))[:, :2100]
    codec = Codec(haar, device="cpu", precision="fp32")
    data = codec.encode(pixels, rate=255)
    file = container.read(data)
    assert file.header.block_count == 2
    assert file.coding is not None
    assert (file.rate, file.coding.digest) == (255, Plain.sha256[:8])
    latents = codec.latents(file, file.header.plane)
    # Far beyond the paper's codebook.
    assert latents.max() > 900
    means = pixels[:80, :2096].reshape(10, 8, 262, 8, 3).mean((1, 3))
    expected = np.repeat(np.repeat(means, 8, 0), 8, 1)
    decoded = codec.decode(data).pixels
    assert np.abs(decoded[:, :2096] - expected).max() <= 1
    coarse = codec.decode(codec.encode(pixels, rate=1)).pixels
    assert len(np.unique(coarse)) <= 5
    file.verify(codec.model.coder_for(file.coding))
    part = codec.decode(data, region=(1000, 10, 1100, 50)).pixels
    np.testing.assert_array_equal(part, decoded[10:50, 1000:1100])
    monkeypatch.setenv("DCN_MODELS", str(haar.parent))
    assert find_by_prefix("my-haar", codec.model.prefix).path == haar
    np.testing.assert_array_equal(decode(data, device="cpu", precision="fp32"), decoded)


def test_what_its_latents_do_not_allow(haar: Path, family: ModuleType) -> None:
    codec = Codec(haar, device="cpu")
    pixels = np.zeros((16, 16, 3), np.uint8)
    assert container.read(codec.encode(pixels, entropy="context")).rate == 128
    for entropy in ("channel", "global"):
        with pytest.raises(UsageError, match=f"mode {entropy}: model my-haar does not have it"):
            codec.encode(pixels, entropy=entropy)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="do not fit a bare stream"):
        codec.encode_bare(pixels)
    for rate in (-1, 256, "5", 1.5):
        with pytest.raises(UsageError, match="choose a whole number from 0 to 255"):
            codec.encode(pixels, rate=rate)
    data = codec.encode(pixels)
    other = Plain()
    other.sha256 = bytes(32)
    family.coder = lambda folder: other  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match=r"coded with context model \w{16}, not with 0000"):
        Codec(haar, device="cpu").decode(data)
    family.coder = lambda folder: None  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match="not with none"):
        Codec(haar, device="cpu").decode(data)


def test_codecs_of_the_paper_have_no_coder_of_their_own(tiny_model: Path) -> None:
    codec = Codec(tiny_model, device="cpu")
    with pytest.raises(UsageError, match="mode context: model tiny does not have it"):
        codec.encode(np.zeros((16, 16, 3), np.uint8), entropy="context")
