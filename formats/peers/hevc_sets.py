"""HEVC parameter sets as BPG needs them: read from an encoder, rebuilt for a decoder.

BPG files hold no VPS and no SPS (BPG specification 0.9.5, section 3.2, hevc_data). What varies
between encoders, `CodingTools`, stands in a short header of its own; everything else is fixed.
Section numbers without a name are those of ITU-T H.265.
"""

from __future__ import annotations

from dataclasses import dataclass

from dcncodec.errors import FormatError
from dcncodec.formats.peers.hevc_bits import SPS, VPS, BitReader, BitWriter, nal_unit

POC_BITS_MINUS_4 = 4
"""log2_max_pic_order_cnt_lsb_minus4 that BPG prescribes."""
EXTENSION_BITS = 9
_FORBIDDEN_EXTENSIONS = 0b000010001
"""extended_precision_processing and cabac_bypass_alignment (BPG specification, section 3.3)."""
_HEADER = "the HEVC header"
_RANGE_EXTENSIONS_PROFILE, _LEVEL_8_5 = 4, 255


@dataclass(frozen=True)
class Pcm:
    """How blocks without prediction are stored (section 7.4.3.2.1, pcm_enabled_flag)."""

    luma_bits_minus_1: int
    chroma_bits_minus_1: int
    log2_min_size_minus_3: int
    log2_size_range: int
    loop_filter_disabled: bool


@dataclass(frozen=True)
class CodingTools:
    """The fields of hevc_header() (BPG specification, section 3.1), values as in the SPS.

    Attributes:
        log2_min_cb: 3..6; the coded picture is a multiple of the block of that size.
        log2_cb_range: log2 of the largest over the smallest coding block.
        log2_min_tb: 2..5, below log2_min_cb.
        log2_tb_range: log2 of the largest over the smallest transform block.
        intra_depth: max_transform_hierarchy_depth_intra.
        extensions: nine flags from transform_skip_rotation_enabled_flag (the highest bit) to
            cabac_bypass_alignment_enabled_flag.
    """

    log2_min_cb: int
    log2_cb_range: int
    log2_min_tb: int
    log2_tb_range: int
    intra_depth: int
    sao: bool
    pcm: Pcm | None
    strong_intra_smoothing: bool
    extensions: int

    def coded_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height rounded up to whole coding blocks (section 3.2 of BPG)."""
        mask = (1 << self.log2_min_cb) - 1
        return (width + mask) & ~mask, (height + mask) & ~mask

    def check(self) -> None:
        """Raise FormatError for values that HEVC (section 7.4.3.2.1) or BPG forbids."""
        log2_ctb = self.log2_min_cb + self.log2_cb_range
        log2_max_tb = self.log2_min_tb + self.log2_tb_range
        if not 4 <= log2_ctb <= 6:
            raise FormatError(f"{_HEADER}: coding tree blocks of log2 size {log2_ctb}, not 4..6")
        if self.log2_min_tb >= self.log2_min_cb or log2_max_tb > min(log2_ctb, 5):
            raise FormatError(f"{_HEADER}: transform blocks do not fit the coding blocks")
        if self.intra_depth > log2_ctb - self.log2_min_tb:
            raise FormatError(f"{_HEADER}: transform depth {self.intra_depth} is too large")
        if self.extensions & _FORBIDDEN_EXTENSIONS:
            raise FormatError(f"{_HEADER}: range extensions that BPG forbids")


def read_tools(data: bytes) -> CodingTools:
    """The fields of hevc_header(), from the bytes behind hevc_header_length.

    Raises:
        FormatError: they are cut short, too long or not allowed.
    """
    bits = BitReader(data, _HEADER)
    blocks = [bits.ue() for _ in range(5)]
    sao = bits.flag()
    pcm = _read_pcm(bits) if bits.flag() else None
    strong = bits.flag()
    tools = _tools(blocks, sao, pcm, strong, _read_extensions(bits))
    if bits.left >= 8:
        raise FormatError(f"{_HEADER} is longer than its fields")
    return tools


def pack_tools(tools: CodingTools) -> bytes:
    """The fields of hevc_header(), without hevc_header_length."""
    bits = BitWriter()
    _write_blocks(bits, tools)
    bits.ue(tools.intra_depth)
    bits.u(1, tools.sao)
    _write_pcm(bits, tools.pcm)
    bits.u(1, tools.strong_intra_smoothing)
    _write_extensions(bits, tools.extensions)
    return bits.aligned()


def read_sps(payload: bytes) -> CodingTools:
    """The coding tools of an encoder's SPS (section 7.3.2.2.1).

    What an IDR picture does not depend on is skipped: size, reference pictures, VUI without HRD.

    Raises:
        FormatError: BPG cannot express the SPS (identifiers, layers, scaling lists, ...).
    """
    bits = BitReader(payload, "the encoder's SPS")
    identifiers_and_layers = bits.u(7)
    bits.u(1 + 88 + 8)  # nesting flag, profile, level: profile_tier_level() of one layer
    identifiers_and_layers |= bits.ue()
    if bits.ue() == 3 and bits.flag():
        raise FormatError("BPG holds no separate colour planes")
    for _ in range(2):
        bits.ue()  # coded width and height
    if bits.flag():
        for _ in range(4):
            bits.ue()  # conformance window
    for _ in range(3):
        bits.ue()  # depths; order count bits, which IDR slices do not have
    bits.flag()
    for _ in range(3):
        bits.ue()  # decoded picture buffer
    blocks = [bits.ue() for _ in range(4)]
    bits.ue()  # transform depth of inter blocks
    blocks.append(bits.ue())
    scaling_lists = bits.flag()
    bits.flag()  # asymmetric inter partitions
    sao = bits.flag()
    pcm = _read_pcm(bits) if bits.flag() else None
    if identifiers_and_layers or scaling_lists or bits.ue() or bits.flag():
        raise FormatError("the encoder's SPS uses what BPG cannot express")
    bits.flag()  # temporal motion vectors
    strong = bits.flag()
    if bits.flag():
        _skip_vui(bits)
    return _tools(blocks, sao, pcm, strong, _read_extensions(bits))


def parameter_sets(
    tools: CodingTools, width: int, height: int, chroma_format: int, bit_depth: int
) -> bytes:
    """VPS and SPS with start codes, from the assumptions of BPG (section 3.2, hevc_data).

    Args:
        width, height: pixels of the picture; coded are whole blocks.
        chroma_format: chroma_format_idc, 0..3.
        bit_depth: of all components.
    """
    vps = BitWriter()
    vps.u(4, 0)  # identifier
    vps.u(2, 0b11)  # base layer internal and available
    vps.u(6 + 3, 0)  # one layer, one sub-layer
    vps.u(1, 1)  # temporal nesting
    vps.u(16, 0xFFFF)
    _write_profile(vps)
    vps.u(1, 1)
    vps.ue(0, 0, 0)  # decoded picture buffer of one picture, nothing reordered
    vps.u(6, 0)
    vps.ue(0)
    vps.u(2, 0)  # no timing, no extension

    sps = BitWriter()
    sps.u(4 + 3, 0)  # VPS 0, one sub-layer
    sps.u(1, 1)  # temporal nesting
    _write_profile(sps)
    sps.ue(0, chroma_format)
    if chroma_format == 3:
        sps.u(1, 0)
    sps.ue(*tools.coded_size(width, height))
    sps.u(1, 0)  # the conformance window is left to the reader, which crops
    sps.ue(bit_depth - 8, bit_depth - 8, POC_BITS_MINUS_4)
    sps.u(1, 1)
    sps.ue(0, 0, 0)
    _write_blocks(sps, tools)
    sps.ue(tools.intra_depth, tools.intra_depth)
    sps.u(2, 0b01)  # no scaling lists; asymmetric partitions
    sps.u(1, tools.sao)
    _write_pcm(sps, tools.pcm)
    sps.ue(0)  # short-term reference picture sets
    sps.u(2, 0b01)  # no long-term pictures; temporal motion vectors
    sps.u(1, tools.strong_intra_smoothing)
    sps.u(1, 0)  # VUI
    _write_extensions(sps, tools.extensions)
    return nal_unit(VPS, vps.rbsp()) + nal_unit(SPS, sps.rbsp())


def _tools(
    blocks: list[int], sao: bool, pcm: Pcm | None, strong: bool, extensions: int
) -> CodingTools:
    cb, cb_range, tb, tb_range, depth = blocks
    tools = CodingTools(cb + 3, cb_range, tb + 2, tb_range, depth, sao, pcm, strong, extensions)
    tools.check()
    return tools


def _read_pcm(bits: BitReader) -> Pcm:
    return Pcm(bits.u(4), bits.u(4), bits.ue(), bits.ue(), bits.flag())


def _read_extensions(bits: BitReader) -> int:
    if not bits.flag():
        return 0
    extended, others = bits.flag(), bits.u(7)
    if others:
        raise FormatError(f"{_HEADER}: SPS extensions that BPG does not know")
    return bits.u(EXTENSION_BITS) if extended else 0


def _write_blocks(bits: BitWriter, tools: CodingTools) -> None:
    bits.ue(tools.log2_min_cb - 3, tools.log2_cb_range, tools.log2_min_tb - 2, tools.log2_tb_range)


def _write_pcm(bits: BitWriter, pcm: Pcm | None) -> None:
    bits.u(1, pcm is not None)
    if pcm is not None:
        bits.u(4, pcm.luma_bits_minus_1)
        bits.u(4, pcm.chroma_bits_minus_1)
        bits.ue(pcm.log2_min_size_minus_3, pcm.log2_size_range)
        bits.u(1, pcm.loop_filter_disabled)


def _write_extensions(bits: BitWriter, extensions: int) -> None:
    bits.u(1, extensions != 0)
    if extensions:
        bits.u(8, 0x80)  # the range extension alone
        bits.u(EXTENSION_BITS, extensions)


def _write_profile(bits: BitWriter) -> None:
    """profile_tier_level() (section 7.3.3): range extensions, no constraints, level 8.5."""
    bits.u(8, _RANGE_EXTENSIONS_PROFILE)
    bits.u(32, 1 << 31 - _RANGE_EXTENSIONS_PROFILE)
    bits.u(4, 0b1001)  # progressive, frames only
    bits.u(44, 0)
    bits.u(8, _LEVEL_8_5)


def _skip_vui(bits: BitReader) -> None:
    """vui_parameters() (section E.2.1)."""
    if bits.flag() and bits.u(8) == 255:
        bits.u(32)  # sample aspect ratio
    if bits.flag():
        bits.u(1)  # overscan
    if bits.flag():
        bits.u(4)  # video format and range
        if bits.flag():
            bits.u(24)  # colour description
    if bits.flag():
        bits.ue()
        bits.ue()  # chroma position
    bits.u(3)
    if bits.flag():
        for _ in range(4):
            bits.ue()  # default display window
    if bits.flag():
        bits.u(64)  # ticks
        if bits.flag():
            bits.ue()
        if bits.flag():
            raise FormatError("the encoder's SPS has HRD parameters, which are not understood")
    if bits.flag():
        bits.u(3)
        for _ in range(5):
            bits.ue()  # restrictions
