"""Context models as parts of weight folders, and what reads files that need them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import Runner
from context_samples import context_file, install_with_context, put_context, random_latents
from skimage import data as samples
from vr_models import write_vr

from dcncodec import decode
from dcncodec.codec import Codec
from dcncodec.entropy import coders_for
from dcncodec.errors import FormatError, ModelError
from dcncodec.formats import container, inspect
from dcncodec.formats.coder import ModelCoder
from dcncodec.formats.container import Coding, Container, Header
from dcncodec.models.card import ModelFolder
from dcncodec.models.coders import load_context
from dcncodec.models.registry import find_by_prefix, find_model

LATENTS = random_latents(3, 4, 6, 9).clip(-15, 16)


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelFolder:
    return install_with_context(tiny_model, tmp_path, monkeypatch)


@pytest.fixture
def coded(folder: ModelFolder, tmp_path: Path) -> Path:
    coder = load_context(folder)
    assert coder is not None
    head = Header(70, 45, "tiny", folder.prefix)
    path = tmp_path / "photo.dcn"
    blocks, coding = [coder.encode(LATENTS, 5)], Coding(5, 4, coder.sha256[:8])
    path.write_bytes(container.write(Container(head, blocks=blocks, coding=coding)))
    return path


def coder_of(data: bytes) -> ModelCoder:
    """The coder of a file, as everything finds it."""
    reader = container.read(data)
    assert reader.coding is not None
    folder = find_by_prefix(reader.header.model, reader.header.model_hash, reader.coding)
    return folder.coder_for(reader.coding)


def test_files_find_their_coder(coded: Path) -> None:
    data = coded.read_bytes()
    reader = container.read(data)
    np.testing.assert_array_equal(reader.latents(0, coder_of(data)), LATENTS)
    assert (reader.latent_channels, reader.rate) == (4, 5)


def test_another_context_model(coded: Path, folder: ModelFolder) -> None:
    put_context(folder.path, context_file(2))
    with pytest.raises(ModelError, match=r"coded with context model .*, not with"):
        coder_of(coded.read_bytes())


def test_no_context_model(coded: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_context(find_model(tiny_model)) is None
    monkeypatch.setenv("DCN_MODELS", str(tiny_model.parent))
    with pytest.raises(ModelError, match="not with none, as tiny has it"):
        coder_of(coded.read_bytes())


def test_of_equal_weights_those_with_the_coder_are_found(
    folder: ModelFolder, tiny_model: Path, tmp_path: Path, dcn: Runner
) -> None:
    """The codec lies there as it was before, and with another context model, too."""
    for name in ("before", "broken", "other"):
        shutil.copytree(tiny_model, folder.path.parent / name)
    put_context(folder.path.parent / "other", context_file(2))
    put_context(folder.path.parent / "broken", context_file(3))
    (folder.path.parent / "broken" / "context.safetensors").unlink()
    pixels = samples.astronaut()[:60, :70]
    codec = Codec(folder, device="cpu", precision="fp32")
    data = codec.encode(pixels, entropy="context")
    expected = codec.decode(data).pixels
    np.testing.assert_array_equal(decode(data, device="cpu", precision="fp32"), expected)
    path = tmp_path / "photo.dcn"
    path.write_bytes(data)
    assert dcn("info", "--verify", path).code == 0
    assert dcn("decode", path, tmp_path / "photo.png").code == 0
    assert dcn("recode", path, tmp_path / "again.dcn").code == 0


def test_a_card_without_the_only_coder(tmp_path: Path) -> None:
    card = write_vr(tmp_path / "vr") / "card.json"
    content = json.loads(card.read_text())
    del content["parts"]
    card.write_text(json.dumps(content))
    with pytest.raises(ModelError, match=r"vr: has no context model.*install the model again"):
        coders_for(find_model(tmp_path / "vr"), "auto", 1)


def test_pictures_are_coded_with_it(folder: ModelFolder) -> None:
    """From pixels to pixels, and the bytes are those of the coder alone."""
    pixels = samples.astronaut()[:60, :70]
    codec = Codec(folder, device="cpu", precision="fp32")
    data, plain = (codec.encode(pixels, entropy=mode) for mode in ("context", "channel"))
    reader = container.read(data)
    latents = codec.latents(container.read(plain), reader.header.plane)
    np.testing.assert_array_equal(reader.latents(0, coder_of(data)), latents)
    np.testing.assert_array_equal(codec.decode(data).pixels, codec.decode(plain).pixels)
    assert len(codec.encode(pixels)) <= min(len(data), len(plain))


@pytest.mark.parametrize(
    ("content", "error"),
    [(b"nothing", "not a weight file"), (context_file(1, 5), "has 5 channels, the codec has 4")],
)
def test_damaged_context_models(folder: ModelFolder, content: bytes, error: str) -> None:
    put_context(folder.path, content)
    with pytest.raises(ModelError, match=rf"context\.safetensors: context model: .*{error}"):
        load_context(find_model("tiny"))


def test_info_describes_channels(coded: Path) -> None:
    data = coded.read_bytes()
    facts = inspect.info(data, channels=True, coder=coder_of(data))
    assert facts["rate"] == 5
    (block,) = facts["blocks"]
    assert block["mode"] == "context"
    assert len(block["channels"]) == facts["latent"]["channels"] == 4
    bits = sum(channel["bpp"] for channel in block["channels"]) * 6 * 9 * 64
    assert bits == pytest.approx(block["bytes"] * 8, abs=100)


def test_info_verifies_without_torch(coded: Path) -> None:
    script = (
        "import sys; from dcncodec.cli.main import main; sys.argv[0] = 'dcn'\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'torch' not in sys.modules"
    )
    command = [sys.executable, "-c", script, "info", "--verify", "--channels", str(coded)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("bits per index") == 4
    assert "ok        checksums" in done.stdout


def test_damage_is_found(coded: Path) -> None:
    reader = container.read(coded.read_bytes())
    block = bytes(reader.blocks[0])[:-1]
    damaged = container.read(
        container.write(Container(reader.header, blocks=[block], coding=reader.coding))
    )
    with pytest.raises(FormatError, match="block 0: context-coded data: damaged stream"):
        damaged.verify(coder_of(coded.read_bytes()))
