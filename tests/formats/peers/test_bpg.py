"""BPG: structure against the specification, pixels against libbpg, rate against bpgenc."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dcncodec.bench.paper import bpg_anchor
from dcncodec.errors import DcnError, FormatError, ImageError, LimitError, UsageError
from dcncodec.errors import MissingLibraryError as Missing
from dcncodec.formats.peers import bpg
from dcncodec.formats.peers.hevc_bits import BitReader, BitWriter, nal_unit, split_nals
from dcncodec.formats.peers.hevc_sets import (
    CodingTools,
    Pcm,
    pack_tools,
    parameter_sets,
    read_sps,
    read_tools,
)

needs_av = pytest.mark.skipif(
    importlib.util.find_spec("av") is None, reason="needs PyAV: pip install 'dcncodec[bench]'"
)

# 29 x 19 pixels, coded by x265 4.2. SHA-256 (16 digits) of the RGB bytes that libbpg 0.9.7 gives.
GOLDEN = {
    "4:4:4": (
        "951b946f87666ae4",
        "LQqHhU;rHxa{{Z-L;=BYFklfN0003f0k2r+$1m~ozk(a=kbv-pBvRMv{s(!=wIat0U&rD`+35g}Lson("
        "r)g=1TdkE4uz+EPMh`A+B-0b;^pJ~Osr;I54*sDAF{HK8I*h4wtOkt?<R~*a%Vu+{v&9ZV55Rwb",
    ),
    "grey": (
        "647b675be586d1c8",
        "LQqHh0012mJOZoGL;=BZff4`!0Vn~ku)3H2dQVu8Vy2!Y0RFF-N;?9XZnwj#1|ZosO$tbMj1ZRC$bHPR)#(W8-~",
    ),
    "4:2:0": (
        "fa592eefdeb98f81",
        "LQqHhAOIZ`SpuujL;=BZff4`!0Vn~lSm(zt@$<ie8|;vP@P;Z&s{RL5dPR;FzmLR?$vu>BrhJ-HMj7Oh"
        "N`qwCG%HS5pnO5H@)Uz7q*ntnlslM}jI!0~2-yVJ3zz",
    ),
    "4:2:2, 10 bits": (
        "22ee9a89bc4926bd",
        "LQqHhLI52TcLJ->L;=BZff4`!0Vn~lSm#zR{Pa)YhWjH}ZNQ`)Hs4D{CsA#4x^c0SQCLX7JJ+1(l3De3"
        "|E`;ut3m!zZ3bkyY7|n5qVbKV-6~V4i+g}Gi43y<&j4qxuglr_)-R+0C9b9{fw+I)fIkz(r7Tu(6JZm;",
    ),
    "4:2:0, MPEG-2, BT.709, 10 bits": (
        "12cef7fe2f0cf99d",
        "LQqHhf-)TwSpuujL;=BZff4`!0Vn~lSm(zt@$<ie8|;nw8U;v68d@s{TxZ(``EdRP<wPYL>7OQ)(S~@e"
        ")$-}gR?OXehsBZ<&Ut~*9QmNoJAD3aB9(E7VJm&%fMx",
    ),
    "4:2:2, MPEG-2, BT.2020": (
        "1be72673174d2faa",
        "LQqHhph6uJcLJ->L;=BZff4`!0Vn~lSm#zR{Pa)YhWjJ^g_p%)_N(|EQRx;qTK+#0HzS~tes`}q(Im6#"
        "?f+djF;<0@L^J{aVVFrWZ<hD%ou}O@x!SB0koN6@65Jy~KV4jIt$Mk*Q|c`>apI!Cj|cpZ?pjk?Q)}Pe",
    ),
    "RGB": (
        "456a7f116d9503cc",
        "LQqHhU=SS>a{{Z-L;=BYFklfN0003f0k2r+$1m~ozk(a=kbv-pBvRMv{s(!=wIat0U&rD`+35g}Lson("
        "r)g=1TdkE4uz+EPMh`A+B-0b;^pJ~Osr;I54*sDAF{HK8I*h4wtOkt?<R~*a%Vu+{v&9ZV55Rwb",
    ),
    "YCgCo, 12 bits": (
        "8413e6c01590b3e2",
        "LQqHhWFQ?AZ33&%L;=BYFklfN0003f0k2r+$1m~ozk(a=jH?<22BQrbtP7t*P9RKcBjw*wwqC@B$mbD!"
        "kWwM6&j`xQ&3m2i=SjctkY4&YW|aas6JGXU<>s^u?26@pTyOEVIHdRnYgzF$Tsx=9U%&",
    ),
}


def photo(height: int, width: int) -> NDArray[np.uint8]:
    """Smooth colours with some noise and an edge, uint8 (H, W, 3)."""
    y, x = np.mgrid[:height, :width] / 16.0
    noise = np.random.default_rng(7).normal(0, 4, (height, width, 3))
    waves = np.stack([np.sin(x), np.cos(y), np.sin(x + y)], -1) * 70 + 128
    waves[:, width // 2 :] += 25
    return (waves + noise).clip(0, 255).astype(np.uint8)


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(np.float64) - b) ** 2)))


def walk(data: bytes) -> dict[str, object]:
    """Parse a BPG file without extensions from the text of the specification, section 3.1."""
    assert int.from_bytes(data[:4], "big") == 0x425047FB
    bits = "".join(f"{byte:08b}" for byte in data[4:6])
    fields: dict[str, object] = {
        "pixel_format": int(bits[:3], 2),
        "bit_depth_minus_8": int(bits[4:8], 2),
        "color_space": int(bits[8:12], 2),
        "flags": bits[3] + bits[12:],
    }
    position = 6
    for name in ("width", "height", "length", "hevc_header_length"):
        value, more = 0, True
        if name == "hevc_header_length":
            fields["rest"] = len(data) - position
        while more:
            value, more = value * 128 + data[position] % 128, data[position] > 127
            position += 1
        fields[name] = value
    length = fields["hevc_header_length"]
    assert isinstance(length, int)
    header = "".join(f"{byte:08b}" for byte in data[position : position + length])
    codes = []
    for _ in range(5):
        zeros = header.index("1")
        codes.append(int(header[zeros : 2 * zeros + 1], 2) - 1)
        header = header[2 * zeros + 1 :]
    fields["blocks"] = codes
    fields["tools"], fields["trailing"] = header[:4], header[4:]
    units = (b"\0\0\1" + data[position + length :]).replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")
    fields["units"] = [unit[0] >> 1 & 63 for unit in units[1:]]
    return fields


@pytest.fixture(scope="module")
def small() -> bytes:
    return bpg.encode(photo(40, 56), 14, threads=1)


@needs_av
def test_the_structure_is_that_of_the_specification(small: bytes) -> None:
    fields = walk(small)
    assert fields["pixel_format"] == 3
    assert fields["bit_depth_minus_8"] == fields["color_space"] == 0
    assert fields["flags"] == "00000"
    assert (fields["width"], fields["height"]) == (56, 40)
    assert fields["length"] == fields["rest"] == bpg.picture_data_size(small)
    smallest, larger, transform, larger_transform, _ = fields["blocks"]  # type: ignore[misc]
    assert (smallest, transform) == (0, 0)
    assert larger in (1, 2, 3)
    assert larger_transform <= 3
    assert str(fields["tools"])[1] + str(fields["tools"])[3] == "00"  # no PCM, no extension
    assert set(str(fields["trailing"])) <= {"0"}
    assert len(str(fields["trailing"])) < 8
    assert fields["units"][0] == 34  # type: ignore[index]
    assert set(fields["units"][1:]) <= {19, 20}  # type: ignore[index]


@needs_av
@pytest.mark.parametrize(
    "size",
    [(1, 1), (17, 33), (8, 8), (9, 8), (3, 70), (130, 5), (64, 64), (65, 16), (4, 9000)],
    ids=str,
)
def test_all_sizes_come_back(size: tuple[int, int]) -> None:
    pixels = photo(*size)
    data = bpg.encode(pixels, 12, threads=1)
    fields = walk(data)
    assert (fields["height"], fields["width"]) == size
    decoded = bpg.decode(data, threads=1)
    assert decoded.shape == pixels.shape
    assert decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - pixels).max() < 24


@needs_av
def test_flat_colours_are_kept_within_rounding() -> None:
    for colour in [(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 0, 255), (12, 200, 77)]:
        pixels = np.full((16, 24, 3), colour, np.uint8)
        decoded = bpg.decode(bpg.encode(pixels, 4, threads=1), threads=1)
        assert np.abs(decoded.astype(int) - pixels).max() <= 2


@needs_av
def test_quantisers_order_rate_and_distortion() -> None:
    pixels = photo(96, 128)
    files = [bpg.encode(pixels, qp, threads=1) for qp in (0, 16, 30, 40, 51)]
    quality = [psnr(bpg.decode(data, threads=1), pixels) for data in files]
    assert quality[0] > 48
    assert quality == sorted(quality, reverse=True)
    sizes = [len(data) for data in files]
    assert sizes == sorted(sizes, reverse=True)


@needs_av
def test_threads_change_nothing() -> None:
    pixels = photo(160, 200)
    one = bpg.encode(pixels, 25, threads=1)
    assert bpg.encode(pixels, 25, threads=2) == bpg.encode(pixels, 25) == one
    assert np.array_equal(bpg.decode(one, threads=1), bpg.decode(one, threads=2))


@needs_av
@pytest.mark.parametrize("name", GOLDEN)
def test_pixels_are_those_of_libbpg(name: str) -> None:
    digest, text = GOLDEN[name]
    pixels = bpg.decode(base64.b85decode(text))
    assert pixels.shape == (19, 29, 3)
    assert hashlib.sha256(pixels.tobytes()).hexdigest()[:16] == digest


@needs_av
def test_extensions_open_lengths_and_later_frames_are_passed_over(small: bytes) -> None:
    pixels = bpg.decode(small)
    size = bpg.picture_data_size(small)
    data = small[-size:]
    head = small[:4] + small[4:5]
    extended = head + b"\x08\x38\x28" + b"\0" + b"\x05" + b"\x03\x03xmp" + data
    assert np.array_equal(bpg.decode(extended), pixels)
    assert bpg.picture_data_size(extended) == size
    animated = head + b"\x01\x38\x28\0" + data + data[data.index(b"\0\0\1") :]
    assert np.array_equal(bpg.decode(animated), pixels)
    assert np.array_equal(bpg.decode(bytearray(small)), pixels)
    assert np.array_equal(bpg.decode(memoryview(small + b"behind")), pixels)


def test_numbers_are_read_as_specified() -> None:
    # The examples of section 2.
    header = bpg.read_header(bpg.MAGIC + b"\x60\0" + b"\x84\x1e" + b"\xac\xbe\x17" + b"\0data")
    assert (header.width, header.height, header.data_offset) == (542, 728855, 12)
    assert header.data_size == 4


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a BPG file"),
        (b"\x89PNG\r\n\x1a\n", "not a BPG file"),
        (bpg.MAGIC + b"\x60", "cut short"),
        (bpg.MAGIC + b"\x60\0\x08", "number without end"),
        (bpg.MAGIC + b"\x60\0\x80\x08\x08\x01!", "longer than needed"),
        (bpg.MAGIC + b"\x60\0\x84\x80\x80\x80\x00\x08\x01!", "above"),
        (bpg.MAGIC + b"\x60\0\xff\xff\xff\xff\xff\x08\x01!", "without end"),
        (bpg.MAGIC + b"\x60\0\0\x08\x01!", "without pixels"),
        (bpg.MAGIC + b"\x60\0\x08\x08\x02!", "cut short"),
        (bpg.MAGIC + b"\x60\0\x08\x08\0", "cut short"),
        (bpg.MAGIC + b"\x60\x08\x08\x08\x01\x09!", "cut short"),
        (bpg.MAGIC + b"\xc0\0\x08\x08\x01!", "reserved pixel format"),
        (bpg.MAGIC + b"\x67\0\x08\x08\x01!", "reserved pixel format or bit depth"),
        (bpg.MAGIC + b"\x60\x50\x08\x08\x01!", "reserved colour space"),
        (bpg.MAGIC + b"\0\x10\x08\x08\x01!", "reserved colour space"),
        (bpg.MAGIC + b"\x70\0\x08\x08\x01!", "alpha"),
        (bpg.MAGIC + b"\x60\x04\x08\x08\x01!", "W plane"),
        (bpg.MAGIC + b"\x66\0\x08\x08\x01!", "14 bits"),
        (bpg.MAGIC + b"\x60\0\x08\x08\x02\x01!", "cut short"),
        (bpg.MAGIC + b"\x60\0\x08\x08\x03\x01\0!", "cut short"),
    ],
    ids=range(20),
)
def test_each_malformed_field_has_its_error(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        bpg.decode(data)


def test_limits_hold_before_anything_is_decoded() -> None:
    data = bpg.MAGIC + b"\x60\0" + b"\x84\x1e" + b"\xac\xbe\x17" + b"\0data"
    with pytest.raises(LimitError, match="--max-pixels"):
        bpg.decode(data, max_pixels=1000)


@needs_av
def test_parameter_sets_in_the_picture_data_are_errors(small: bytes) -> None:
    tools = CodingTools(3, 2, 2, 3, 1, True, None, True, 0)
    data = small[-bpg.picture_data_size(small) :]
    smuggled = small[:8] + b"\0" + data + parameter_sets(tools, 20000, 20000, 3, 8)
    with pytest.raises(FormatError, match="parameter sets"):
        bpg.decode(smuggled)


@needs_av
def test_500_mutations_end_cleanly(small: bytes) -> None:
    generator = random.Random(20)
    decoded, messages = 0, set()
    for _ in range(500):
        data = bytearray(small)
        kind = generator.randrange(4)
        if kind == 0:
            del data[generator.randrange(len(data)) :]
        elif kind == 1:
            start = generator.randrange(len(data))
            del data[start : start + generator.randrange(1, 20)]
        else:
            for _ in range(generator.choice((1, 1, 2, 6))):
                end = len(data) if kind == 2 else 48
                data[generator.randrange(4, end)] ^= generator.randrange(1, 256)
        try:
            decoded += bpg.decode(bytes(data), max_pixels=10**7, threads=1).size > 0
        except DcnError as error:
            messages.add(str(error))
    assert 50 < decoded < 400
    assert len(messages) > 10
    assert "\n" not in "".join(messages)


@pytest.mark.parametrize("pcm", [None, Pcm(7, 7, 0, 2, True)])
@pytest.mark.parametrize("extensions", [0, 0b110000010])
def test_coding_tools_survive_both_of_their_forms(pcm: Pcm | None, extensions: int) -> None:
    tools = CodingTools(3, 3, 2, 3, 3, False, pcm, True, extensions)
    assert read_tools(pack_tools(tools)) == tools
    video, sequence = split_nals(parameter_sets(tools, 1, 70000, 3, 10))
    assert (video.kind, sequence.kind) == (32, 33)
    assert read_sps(sequence.payload()) == tools
    assert tools.coded_size(1, 65) == (8, 72)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"log2_cb_range": 0}, "log2 size 3"),
        ({"log2_cb_range": 4}, "log2 size 7"),
        ({"log2_min_tb": 3, "log2_tb_range": 0}, "do not fit"),
        ({"log2_tb_range": 4}, "do not fit"),
        ({"intra_depth": 5}, "transform depth 5"),
        ({"extensions": 0b000010000}, "BPG forbids"),
    ],
    ids=str,
)
def test_coding_tools_that_make_no_sense_are_errors(change: dict[str, int], message: str) -> None:
    fields = {"log2_min_cb": 3, "log2_cb_range": 3, "log2_min_tb": 2, "log2_tb_range": 3}
    fields |= {"intra_depth": 3, "extensions": 0} | change
    tools = CodingTools(sao=True, pcm=None, strong_intra_smoothing=True, **fields)  # type: ignore[arg-type]
    with pytest.raises(FormatError, match=message):
        read_tools(pack_tools(tools))


def test_excess_and_unknown_fields_of_the_hevc_header_are_errors() -> None:
    packed = pack_tools(CodingTools(3, 3, 2, 3, 3, True, None, True, 0))
    with pytest.raises(FormatError, match="longer"):
        read_tools(packed + b"\0")
    bits = BitWriter()
    bits.ue(0, 3, 0, 3, 3)
    bits.u(4, 0b1011)
    bits.u(8, 1)
    with pytest.raises(FormatError, match="does not know"):
        read_tools(bits.aligned())
    with pytest.raises(FormatError, match="out of range"):
        read_tools(b"\0" * 9)


def test_zeros_are_escaped_in_nal_units() -> None:
    generator = random.Random(3)
    for length in range(60):
        payload = bytes(generator.choice((0, 0, 0, 1, 2, 3, 4)) for _ in range(length)) + b"\x80"
        unit = nal_unit(33, payload)
        assert not any(unit.find(bytes((0, 0, n)), 4) >= 0 for n in (0, 1, 2))
        assert [nal.payload() for nal in split_nals(unit)] == [payload]
    with pytest.raises(FormatError, match="damaged NAL"):
        split_nals(b"\x80\x01\x01")


def test_bit_fields_round_trip() -> None:
    bits = BitWriter()
    bits.u(3, 5)
    bits.ue(0, 1, 2, 541, 2**32 - 2)
    with pytest.raises(ValueError, match="does not fit"):
        bits.u(2, 4)
    reader = BitReader(bits.rbsp(), "the test")
    assert reader.u(3) == 5
    assert [reader.ue() for _ in range(5)] == [0, 1, 2, 541, 2**32 - 2]
    assert 0 < reader.left <= 8
    with pytest.raises(FormatError, match="the test is cut short"):
        reader.u(9)


def test_bad_requests_are_refused() -> None:
    pixels = photo(8, 8)
    for qp in (-1, 52):
        with pytest.raises(UsageError, match=r"0\.\.51"):
            bpg.encode(pixels, qp)
        with pytest.raises(UsageError, match=r"0\.\.51"):
            bpg.encode_external(pixels, qp)
    for wrong in (pixels.astype(np.float32), pixels[..., :1], pixels[:0]):
        with pytest.raises(ValueError, match="not uint8"):
            bpg.encode(wrong, 30)  # type: ignore[arg-type]


def test_without_pyav_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(Missing, match=r"dcncodec\[bench\]"):
        bpg.encode(photo(8, 8), 30)
    with pytest.raises(Missing, match=r"dcncodec\[bench\]"):
        bpg.decode(base64.b85decode(GOLDEN["grey"][1]))


def test_importing_does_not_import_heavy_libraries() -> None:
    code = "import sys, dcncodec.formats.peers.bpg; assert not {'av', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def fake_program(folder: Path, name: str, body: str) -> str:
    path = folder / name
    path.write_text(f"#!{sys.executable}\nimport shutil, sys\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_external_programs_get_the_right_command(tmp_path: Path) -> None:
    encoder = fake_program(
        tmp_path,
        "bpgenc",
        "assert sys.argv[1:5] == ['-f', '444', '-q', '31'], sys.argv\n"
        "assert sys.argv[5] == '-o'\nshutil.copy(sys.argv[7], sys.argv[6])",
    )
    pixels = photo(9, 14)
    assert bpg.encode_external(pixels, 31, program=encoder).startswith(b"\x89PNG")
    picture = tmp_path / "picture.png"
    Image.fromarray(pixels).save(picture)
    decoder = fake_program(tmp_path, "bpgdec", f"shutil.copy({str(picture)!r}, sys.argv[2])")
    golden = base64.b85decode(GOLDEN["grey"][1])
    assert np.array_equal(bpg.decode_external(golden, program=decoder), pixels)


def test_external_programs_that_fail_are_named(tmp_path: Path) -> None:
    golden = base64.b85decode(GOLDEN["grey"][1])
    with pytest.raises(Missing, match="no-such-bpgenc is not on PATH"):
        bpg.encode_external(photo(8, 8), 30, program="no-such-bpgenc")
    with pytest.raises(Missing, match="no-such-bpgdec is not on PATH"):
        bpg.decode_external(golden, program="no-such-bpgdec")
    failing = fake_program(tmp_path, "failing", "sys.exit('first\\nCould not do it\\n')")
    with pytest.raises(ImageError, match="failing failed: Could not do it"):
        bpg.encode_external(photo(8, 8), 30, program=failing)
    silent = fake_program(tmp_path, "silent", "")
    with pytest.raises(FormatError, match="silent failed: no reason given"):
        bpg.decode_external(golden, program=silent)
    with pytest.raises(FormatError, match="not a BPG file"):
        bpg.decode_external(b"GIF89a", program=silent)
    (tmp_path / "silent").write_bytes(b"#!/no/such/interpreter\n")
    with pytest.raises(Missing, match="cannot be run"):
        bpg.decode_external(golden, program=silent)


def test_rates_are_interpolated_between_anchors() -> None:
    curve = [bpg_anchor.Point(40 - q, 2.0 ** (q / 3), 25 + q) for q in (0, 3, 6, 9, 12)]
    assert bpg_anchor.bpp_at(curve, 31) == pytest.approx(4)
    assert bpg_anchor.bpp_at(curve, 29.5) == pytest.approx(2**1.5)
    assert bpg_anchor.bpp_at(curve, 24.9) is None
    assert bpg_anchor.bpp_at(curve, 37.1) is None


@needs_av
@pytest.mark.parametrize("image", ["kodim05", "kodim23"])
def test_rate_at_equal_psnr_is_that_of_bpgenc(
    image: str, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    anchors = shared_data.parent / "anchors" / "rd_kodak.json"
    options = ["--data", str(shared_data / "kodak"), "--anchors", str(anchors)]
    assert bpg_anchor.main([*options, "--images", image, "--qp", "24", "33", "40"]) == 0
    assert "3 points" in capsys.readouterr().out


def test_comparisons_without_figures_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    anchors = tmp_path / "anchors.json"
    options = ["--data", str(tmp_path), "--anchors", str(anchors)]
    assert bpg_anchor.main(options) == 2
    anchors.write_text('{"cols": ["q", "bpp_payload", "psnr"], "rows": {"bpg": {}}}')
    assert bpg_anchor.main(options) == 1
    assert bpg_anchor.main([*options, "--images", "kodim01"]) == 2
    error = capsys.readouterr().err
    assert "no BPG curves" in error
    assert "no point lies" in error
    assert "no such image" in error
