"""Files coded anew: equal latents in every mode; the rest as it was, or as asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Collection
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from context_samples import context_file, install_with_context, put_context, random_latents
from numpy.typing import NDArray
from PIL import Image, ImageCms
from skimage import data as samples
from vr_models import write_vr

import dcncodec
from dcncodec.codec import Codec
from dcncodec.errors import DcnError, FormatError, LimitError, ModelError, UsageError
from dcncodec.formats import container, sections
from dcncodec.formats.coder import ChannelCoder
from dcncodec.formats.container import Coding, Container, Header, Metadata
from dcncodec.models.card import ModelFolder
from dcncodec.models.registry import find_by_prefix, find_model
from dcncodec.notices import Notice
from dcncodec.recoding import recode

if TYPE_CHECKING:
    from dcncodec.entropy import Entropy

MODES: list[Entropy] = ["auto", "channel", "global", "context"]
GOLDEN = Path(__file__).parents[1] / "golden" / "files"
FIRST = ["everything", "global", "grey-high", "one-pixel", "several", "single", "skipped"]
"""Golden files of format 1.0."""
PHOTO = np.ascontiguousarray(samples.astronaut()[:90, 128:230])
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = (
    b'<x:xmpmeta><rdf:RDF><a tiff:Orientation="6" exif:PixelXDimension="9"/></rdf:RDF></x:xmpmeta>'
)


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelFolder:
    return install_with_context(tiny_model, tmp_path, monkeypatch)


@pytest.fixture
def plain(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same without one."""
    monkeypatch.setenv("DCN_MODELS", str(tiny_model.parent))
    return tiny_model


def exif_block() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x013B] = "Somebody"
    return exif.tobytes().removeprefix(b"Exif\0\0")


def latents_of(data: bytes) -> list[NDArray[np.int16]]:
    file = container.read(data)
    coder: object = ChannelCoder()
    if file.coding is not None:
        coder = find_by_prefix(file.header.model, file.header.model_hash).coder_for(file.coding)
    return [file.latents(n, coder) for n in range(file.header.block_count)]  # type: ignore[arg-type]


def several_blocks(model: ModelFolder, mode: Entropy, rate: int = 128) -> bytes:
    """A file with alpha, metadata, a quality tag and six blocks of its own choice of size."""
    head = Header(
        370, 250, "tiny", model.prefix, True, True, "low", block_height=17, block_width=16
    )
    alpha = np.arange(370 * 250).reshape(250, 370).astype(np.uint8)
    coder = model.own_coder if mode == "context" else ChannelCoder(mode)
    assert coder is not None
    blocks = [
        coder.encode(random_latents(n, 4, area.rows, area.columns).clip(-15, 16), rate)
        for n, area in ((n, head.block(n)) for n in range(head.block_count))
    ]
    coding = None
    if mode == "context":
        coding = Coding(rate, 4, model.own_coder.sha256[:8])  # type: ignore[union-attr]
    return container.write(
        Container(head, Metadata(PROFILE, None, XMP[:20]), alpha, blocks, coding)
    )


@pytest.mark.parametrize("before", MODES)
def test_as_if_encoded_so(model: ModelFolder, before: Entropy) -> None:
    """For every pair of modes the bytes are those that encoding gives."""
    codec = Codec(model, device="cpu", precision="fp32")
    picture = np.dstack([PHOTO, PHOTO[..., 0]])
    data = {mode: codec.encode(picture, entropy=mode) for mode in MODES}
    assert len({data["channel"], data["global"], data["context"]}) == 3
    assert data["auto"] == min(data.values(), key=len)
    for after in MODES:
        assert recode(data[before], entropy=after, threads=2) == data[after]


@pytest.mark.parametrize(("before", "after"), [*product(MODES[1:], MODES)])
def test_several_blocks(model: ModelFolder, before: Entropy, after: Entropy) -> None:
    data = several_blocks(model, before)
    pixels: list[int] = []
    new = recode(data, entropy=after, progress=pixels.append)
    old, found = container.read(data), container.read(new)
    assert found.header == old.header
    assert found.header.block_count == 6
    assert found.metadata == old.metadata
    np.testing.assert_array_equal(found.alpha, old.alpha)
    for one, other in zip(latents_of(data), latents_of(new), strict=True):
        np.testing.assert_array_equal(one, other)
    assert pixels == [old.header.block(n).rows * old.header.block(n).columns * 64 for n in range(6)]
    if after == before:
        assert new == data
    if after == "auto":
        assert len(new) == min(len(recode(data, entropy=mode)) for mode in MODES[1:])


def test_the_rate_is_kept(model: ModelFolder) -> None:
    data = several_blocks(model, "context", rate=7)
    assert container.read(recode(data, entropy="context")).rate == 7
    assert recode(data, entropy="context") == data


def test_models_for_all_rates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_vr(tmp_path / "models" / "all-rates", 6)
    monkeypatch.setenv("DCN_MODELS", str(folder.parent))
    data = Codec(folder, device="cpu", precision="fp32").encode(PHOTO, rate=40)
    assert recode(data) == recode(data, entropy="context") == data
    for entropy in ("channel", "global"):
        with pytest.raises(UsageError, match=f"mode {entropy}: model all-rates does not have it"):
            recode(data, entropy=entropy)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", FIRST)
@pytest.mark.parametrize("entropy", ["channel", "global"])
def test_golden_files_of_the_first_version(name: str, entropy: Entropy) -> None:
    """Their model is nowhere, and not needed."""
    data = (GOLDEN / f"{name}.dcn").read_bytes()
    notices: list[Notice] = []
    new = recode(data, entropy=entropy, notify=notices.append)
    old, found = container.read(data), container.read(new)
    assert (found.header, found.metadata) == (old.header, old.metadata)
    assert (found.alpha is None) == (old.alpha is None)
    if old.alpha is not None:
        np.testing.assert_array_equal(found.alpha, old.alpha)
    for number in range(old.header.block_count):
        np.testing.assert_array_equal(found.decode_block(number), old.decode_block(number))
    unknown = ["sections of unknown types are left out: 0xee"] if name == "skipped" else []
    assert [notice.text for notice in notices] == unknown
    if name == "single" and entropy == "channel":
        assert new == data
    with pytest.raises(ModelError, match="needs model"):
        recode(data)


@pytest.mark.parametrize(
    ("strip", "left"),
    [
        (["icc", "exif", "xmp"], set()),
        (["exif"], {"icc", "xmp"}),
        (["icc"], {"exif", "xmp"}),
        ([], {"icc", "exif", "xmp"}),
    ],
)
def test_metadata_is_stripped(model: ModelFolder, strip: list[str], left: set[str]) -> None:
    head = Header(70, 45, "tiny", model.prefix)
    blocks = [ChannelCoder("channel").encode(random_latents(3, 4, 6, 9).clip(-15, 16))]
    stored = Metadata(PROFILE, b"II*\0\x08\0\0\0\0\0\0\0\0\0", b"<x:xmpmeta/>")
    data = container.write(Container(head, stored, blocks=blocks))
    notices: list[Notice] = []
    new = recode(data, entropy="channel", strip=strip, notify=notices.append)
    assert set(dcncodec.info(new)["metadata"]) == left
    assert [notice.kind for notice in notices] == ["colour"] * ("icc" in strip)
    np.testing.assert_array_equal(latents_of(new), latents_of(data))


def test_metadata_is_set(model: ModelFolder) -> None:
    data = several_blocks(model, "channel")
    given = Metadata(None, b"Exif\0\0" + exif_block(), XMP)
    new = container.read(recode(data, strip=["icc", "xmp"], metadata=given, notify=lambda _: None))
    assert new.wrong_orientation is None
    found = new.metadata
    assert found.icc is None
    assert found.exif is not None
    assert b"Somebody" in found.exif
    assert found.exif.startswith((b"II*", b"MM"))
    assert found.xmp is not None
    assert b'PixelXDimension="370"' in found.xmp


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (Metadata(icc=b"no profile"), "is not a grey or an RGB picture"),
        (Metadata(exif=b"no structure"), "no TIFF structure"),
        (Metadata(xmp=b"no packet"), "no rdf:RDF"),
        (Metadata(icc=b"", exif=None), "ICC profile"),
    ],
)
def test_metadata_of_another_kind(model: ModelFolder, given: Metadata, error: str) -> None:
    with pytest.raises(UsageError, match=error):
        recode(several_blocks(model, "channel"), metadata=given)


@pytest.mark.parametrize("strip", ["exif", ["exif", "all"], {""}])
def test_kinds_to_strip_are_checked(model: ModelFolder, strip: Collection[str]) -> None:
    with pytest.raises(UsageError, match="give a list of icc, exif, xmp"):
        recode(several_blocks(model, "channel"), strip=strip)


def test_what_the_model_does_not_have(plain: Path, tmp_path: Path) -> None:
    folder = find_model("tiny")
    data = several_blocks(folder, "channel")
    with pytest.raises(UsageError, match="mode context: model tiny does not have it"):
        recode(data, entropy="context")
    assert recode(data) == recode(data, model=plain)
    with pytest.raises(LimitError):
        recode(data, max_pixels=1000)
    with pytest.raises(ModelError, match=r"encoded with model tiny .*, not with dcn-16c"):
        recode(data, entropy="channel", model="dcn-16c")


def test_another_context_model(model: ModelFolder) -> None:
    data = several_blocks(model, "context")
    put_context(model.path, context_file(2))
    with pytest.raises(ModelError, match="coded with context model"):
        recode(data, entropy="channel")


@pytest.mark.parametrize("mode", ["channel", "context"])
def test_damage_is_never_coded_anew(model: ModelFolder, mode: Entropy) -> None:
    data = several_blocks(model, mode)
    for place in np.random.default_rng(1).integers(0, len(data), 40):
        damaged = bytearray(data)
        damaged[place] ^= 0x20
        with pytest.raises(DcnError):
            recode(bytes(damaged), entropy="global")
    with pytest.raises(FormatError):
        recode(data[:-1])


def test_alpha_with_a_right_checksum_and_wrong_content(model: ModelFolder) -> None:
    data = several_blocks(model, "channel")
    file = container.read(data)
    section = next(s for s in file.sections if s.kind == sections.ALPHA)
    wrong = sections.pack_section(sections.ALPHA, data[section.payload_start + 1 : section.end - 4])
    with pytest.raises(FormatError, match="alpha plane"):
        recode(data[: section.start] + wrong + data[section.end :], entropy="channel")


def test_torch_is_not_imported(model: ModelFolder, tmp_path: Path) -> None:
    path = tmp_path / "photo.dcn"
    path.write_bytes(several_blocks(model, "channel"))
    program = (
        "import sys, json, dcncodec; path = sys.argv[1]; "
        "new = dcncodec.recode(path, entropy='context'); "
        "print(json.dumps([dcncodec.info(new)['rate'], 'torch' in sys.modules]))"
    )
    command = [sys.executable, "-c", program, str(path)]
    result = subprocess.run(command, capture_output=True, check=True)
    assert json.loads(result.stdout) == [128, False]
