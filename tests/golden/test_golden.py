"""Golden files: they encode to the same bytes, decode to this, or must fail so, for ever."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import contents
import numpy as np
import pytest
import refused
import spec_context
import spec_decoder

from dcncodec import errors
from dcncodec.formats import bitstream, container, sections

HERE = Path(__file__).parent
GOLDEN = json.loads((HERE / "golden.json").read_text())
FAIL = json.loads((HERE / "fail.json").read_text())
INDEXED = [n for n in sorted(GOLDEN) if n.startswith("files/") and "/context" not in n]


def test_no_file_without_an_entry() -> None:
    found = {str(p.relative_to(HERE)) for p in HERE.glob("*/*.dcn*")}
    assert found == set(GOLDEN)


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_file_is_untouched(name: str) -> None:
    assert hashlib.sha256((HERE / name).read_bytes()).hexdigest() == GOLDEN[name]["sha256"]


@pytest.mark.parametrize("name", sorted(contents.streams()))
def test_stream_encodes_the_same(name: str) -> None:
    indices, mode = contents.streams()[name]
    assert bitstream.encode_block(indices, mode) == (HERE / f"streams/{name}.dcnb").read_bytes()


@pytest.mark.parametrize("name", sorted(contents.streams()))
def test_stream_decodes_to_this(name: str) -> None:
    indices, mode = contents.streams()[name]
    data = (HERE / f"streams/{name}.dcnb").read_bytes()
    decoded = bitstream.decode_block(data, bare=mode == "channel")
    entry = GOLDEN[f"streams/{name}.dcnb"]
    assert list(decoded.shape) == entry["decoded_shape"]
    assert hashlib.sha256(decoded.tobytes()).hexdigest() == entry["decoded_sha256"]
    np.testing.assert_array_equal(decoded, indices)


@pytest.mark.parametrize("name", sorted(contents.containers()))
def test_file_encodes_the_same(name: str) -> None:
    data = (HERE / f"files/{name}.dcn").read_bytes()
    assert container.write(contents.containers()[name]) == data


@pytest.mark.parametrize("name", INDEXED)
def test_file_decodes_to_this(name: str) -> None:
    reader = container.read((HERE / name).read_bytes())
    reader.verify()
    header = reader.header
    decoded = b"".join(reader.decode_block(n).tobytes() for n in range(header.block_count))
    assert hashlib.sha256(decoded).hexdigest() == GOLDEN[name]["decoded_sha256"]
    shape = [reader.latent_channels, header.latent_height, header.latent_width]
    assert shape == GOLDEN[name]["decoded_shape"]


def test_compressed_parts_decode_to_this() -> None:
    reader = container.read((HERE / "files/everything.dcn").read_bytes())
    assert reader.header == contents.everything().header
    assert reader.metadata == contents.METADATA
    np.testing.assert_array_equal(reader.alpha, contents.alpha())


@pytest.mark.parametrize("name", sorted(contents.palettes()))
def test_exact_tiles_decode_to_this(name: str) -> None:
    reader = container.read((HERE / f"files/{name}.dcn").read_bytes())
    exact = hashlib.sha256(contents.exact_bytes(reader)).hexdigest()
    assert exact == GOLDEN[f"files/{name}.dcn"]["exact_sha256"]
    written = container.read(container.write(contents.palettes()[name]))
    assert contents.exact_bytes(written) == contents.exact_bytes(reader)


@pytest.mark.parametrize("name", sorted(contents.palettes()))
def test_second_decoder_agrees_on_exact_tiles(name: str) -> None:
    data = (HERE / f"files/{name}.dcn").read_bytes()
    file, reader = spec_decoder.decode(data), container.read(data)
    picture = contents.drawing(reader.header, contents.PALETTES[name][2])
    assert any(file.palette)
    for number, rows in enumerate(file.palette):
        found = reader.exact(number)
        if rows is None:
            assert found is None
            continue
        pixels, exact = found
        original = picture[reader.header.block(number).within(reader.header.plane, 8)]
        np.testing.assert_array_equal([[p is not None for p in row] for row in rows], exact)
        for y, x in np.argwhere(exact):
            assert tuple(pixels[y, x][: len(rows[y][x])]) == rows[y][x]
            assert rows[y][x] == tuple(original[y, x][: len(rows[y][x])])
        assert not pixels[~exact].any()


@pytest.mark.parametrize("name", sorted(FAIL))
def test_must_fail_so(name: str) -> None:
    case = FAIL[name]
    with pytest.raises(getattr(errors, case["class"])) as caught:
        refused.outcome(case["kind"], bytes.fromhex(case["hex"]))
    assert str(caught.value) == case["error"]


def test_every_failing_case_is_stored() -> None:
    stored = {name: bytes.fromhex(case["hex"]) for name, case in FAIL.items()}
    made = {name: data for name, _, data in refused.failures()}
    assert made.keys() == stored.keys()
    # The bytes of zstandard frames depend on its version.
    framed = ("-icc-", "-alpha-", "-exif-", "-xmp-", "-palette-")
    ours = {n for n in made if not any(part in n for part in framed)}
    assert {n: made[n] for n in ours} == {n: stored[n] for n in ours}


@pytest.mark.parametrize("name", [n for n in sorted(GOLDEN) if n.startswith("streams/")])
def test_second_decoder_agrees_on_streams(name: str) -> None:
    shape, indices = spec_decoder.block((HERE / name).read_bytes())
    assert list(shape) == GOLDEN[name]["decoded_shape"]
    assert hashlib.sha256(indices).hexdigest() == GOLDEN[name]["decoded_sha256"]


@pytest.mark.parametrize("name", INDEXED)
def test_second_decoder_agrees_on_files(name: str) -> None:
    data = (HERE / name).read_bytes()
    file, reader = spec_decoder.decode(data), container.read(data)
    header = reader.header
    assert (file.width, file.height) == (header.width, header.height)
    assert (file.model, file.model_hash) == (header.model, header.model_hash)
    assert file.flags & 3 == header.grey + 2 * header.alpha
    assert container.QUALITIES[file.flags >> 3] == header.quality
    assert bool(file.flags & 4) == (len(file.blocks) > 1) == (header.block_count > 1)
    if file.block_height:
        assert (file.block_height, file.block_width) == (header.block_height, header.block_width)
    for number, (shape, indices) in enumerate(file.blocks):
        decoded = reader.decode_block(number)
        assert shape == decoded.shape
        assert indices == decoded.tobytes()
    metadata = reader.metadata
    expected = {0x81: metadata.icc, 0x82: metadata.exif, 0x83: metadata.xmp}
    assert file.metadata == {k: v for k, v in expected.items() if v is not None}
    rows = [] if reader.alpha is None else [row.tobytes() for row in reader.alpha]
    assert file.alpha == rows


@pytest.mark.parametrize("name", contents.CONTEXT)
def test_context_file_encodes_the_same(name: str) -> None:
    data = (HERE / f"files/{name}.dcn").read_bytes()
    assert container.write(contents.context_containers()[name]) == data


@pytest.mark.parametrize("name", contents.CONTEXT)
def test_context_file_decodes_to_this(name: str) -> None:
    reader = container.read((HERE / f"files/{name}.dcn").read_bytes())
    coder, header = contents.context_coder(), reader.header
    reader.verify(coder)
    decoded = [reader.latents(n, coder) for n in range(header.block_count)]
    for ours, latents in zip(decoded, contents.context_latents(name), strict=True):
        np.testing.assert_array_equal(ours, latents)
    joined = b"".join(latents.astype("<i2").tobytes() for latents in decoded)
    entry = GOLDEN[f"files/{name}.dcn"]
    assert hashlib.sha256(joined).hexdigest() == entry["decoded_sha256"]
    shape = [reader.latent_channels, header.latent_height, header.latent_width]
    assert shape == entry["decoded_shape"]


def test_context_file_with_several_streams() -> None:
    reader = container.read((HERE / "files/context-streams.dcn").read_bytes())
    assert reader.blocks[0][1] > 1


@pytest.mark.parametrize("name", contents.CONTEXT)
def test_second_decoder_agrees_on_context_files(name: str) -> None:
    data = (HERE / f"files/{name}.dcn").read_bytes()
    tensors = contents.context_coder().model.tensors
    model: spec_context.Model = {name: tensor.tolist() for name, tensor in tensors.items()}
    file, reader = spec_decoder.decode(data, model), container.read(data)
    assert (file.rate, file.channels) == (reader.coding.rate, reader.coding.channels)
    assert file.digest == reader.coding.digest
    assert len(file.blocks) == reader.header.block_count
    joined = b"".join(latents for _, latents in file.blocks)
    assert hashlib.sha256(joined).hexdigest() == GOLDEN[f"files/{name}.dcn"]["decoded_sha256"]


@pytest.mark.parametrize("name", [name for name in contents.CONTEXT if contents.means(name)])
def test_means_decode_to_this(name: str) -> None:
    data = (HERE / f"files/{name}.dcn").read_bytes()
    found = container.read(data).means
    assert found == contents.means(name)
    assert hashlib.sha256(found.values).hexdigest() == GOLDEN[f"files/{name}.dcn"]["means_sha256"]
    tensors = contents.context_coder().model.tensors
    file = spec_decoder.decode(data, {name: tensor.tolist() for name, tensor in tensors.items()})
    assert file.means == np.frombuffer(found.values, np.int8).tolist()


def test_files_without_means() -> None:
    assert container.read((HERE / "files/context.dcn").read_bytes()).means is None


def test_readers_of_version_1_2_refuse_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sections.NAMES, sections.MEANS)
    with pytest.raises(errors.FormatError) as caught:
        container.read((HERE / "files/context-means.dcn").read_bytes())
    assert str(caught.value) == "needs a newer dcn (unknown required section 0x07); upgrade dcn"


def test_readers_of_version_1_1_refuse_palette_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sections.NAMES, sections.PALETTE)
    with pytest.raises(errors.FormatError) as caught:
        container.read((HERE / "files/palette.dcn").read_bytes())
    assert str(caught.value) == "needs a newer dcn (unknown required section 0x06); upgrade dcn"


def test_readers_of_version_1_0_refuse_context_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sections.NAMES, sections.CODING)
    with pytest.raises(errors.FormatError) as caught:
        container.read((HERE / "files/context.dcn").read_bytes())
    assert str(caught.value) == "needs a newer dcn (unknown required section 0x05); upgrade dcn"


@pytest.mark.parametrize("seed", range(30))
def test_second_decoder_agrees_on_random_blocks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    channels, height, width = (int(n) for n in rng.integers(1, (80, 40, 40)))
    spread = rng.uniform(0, 0.6, (channels, 1, 1)) ** 3
    indices = rng.binomial(31, spread, (channels, height, width)).astype(np.uint8)
    data = bitstream.encode_block(indices, ("channel", "global")[seed % 2])  # type: ignore[arg-type]
    assert spec_decoder.block(data) == (indices.shape, indices.tobytes())
