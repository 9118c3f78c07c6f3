"""The coder of latents beside x265: what is measured, not how fast it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dcncodec.bench import coder_speed, datasets
from dcncodec.bench.codecs import specs
from dcncodec.errors import UsageError
from dcncodec.formats.context import ContextModel

pytest.importorskip("av")


def test_a_run(photos: Path, tiny_model: Path) -> None:
    images = [item.load() for item in datasets.find(str(photos))[:2]]
    steps: list[str] = []
    (row,) = coder_speed.run(
        specs([str(tiny_model)], device="cpu"), images, bpp=1, rounds=2, progress=steps.append
    )
    assert steps == ["coder of tiny"]
    assert row.model == "tiny"
    assert row.bpp > 0
    assert min(row.encode, row.decode, row.encode_share, row.decode_share) > 0
    table = coder_speed.table([row])
    assert len(table.rows[0]) == len(table.head)


def test_what_is_timed(photos: Path, tiny_model: Path) -> None:
    pixels = datasets.find(str(photos))[0].load()
    codec = specs([str(tiny_model)], device="cpu")[0].open()
    data = codec.encode(pixels, "tiny")
    encode, decode = coder_speed._coding(codec, "tiny", data, "auto")
    (block,), (latents,) = encode(), decode()
    assert bytes(block) in data
    assert latents.shape[1:] == (-(-pixels.shape[0] // 8), -(-pixels.shape[1] // 8))
    turns: list[str] = []
    times = list(coder_speed._times([lambda: turns.append("a"), lambda: turns.append("b")], 3))
    assert turns == ["a", "b"] * 4
    assert [len(turn) for turn in times] == [2, 2, 2]


def test_instructions_change_no_bytes(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = datasets.find(str(photos))[0].load()
    codec = specs(["dcn-16c"], device="cpu")[0].open()
    data = codec.encode(pixels, "dcn-16c")
    paths: list[str] = []

    def recorded(tensors: Any, path: Any) -> ContextModel:
        paths.append(path)
        return ContextModel(tensors, path)

    monkeypatch.setattr(coder_speed, "ContextModel", recorded)
    encode, decode = coder_speed._coding(codec, "dcn-16c", data, "plain")
    (block,), (latents,) = encode(), decode()
    assert bytes(block) in data
    assert latents.any()
    assert paths == ["plain"]


def test_other_codecs_have_no_latents(photos: Path) -> None:
    images = [datasets.find(str(photos))[0].load()]
    with pytest.raises(UsageError, match="jpeg: has no coder of latents"):
        coder_speed.run(specs(["jpeg"]), images, bpp=1, rounds=1)
