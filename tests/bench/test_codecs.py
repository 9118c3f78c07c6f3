"""The interface over all codecs, and the names that a user may give."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import data
from vr_models import write_vr

import dcncodec
from dcncodec.bench import codecs
from dcncodec.bench.codecs import BaselineCodec, DcnCodec, RatedCodec, Spec, specs
from dcncodec.codec import Codec
from dcncodec.errors import ModelError, UsageError
from dcncodec.formats import container
from dcncodec.formats.means import pack_means
from dcncodec.formats.peers.baselines import BASELINES
from dcncodec.models.registry import PAPER_MODELS

PHOTO = np.ascontiguousarray(data.astronaut()[:176, 130:322])


def baseline(name: str) -> BaselineCodec:
    codec = Spec(name).open()
    assert isinstance(codec, BaselineCodec)
    return codec


def test_a_model_by_its_folder(tiny_model: Path) -> None:
    (spec,) = specs([str(tiny_model)])
    assert spec.name == "tiny"
    codec = spec.open()
    assert isinstance(codec, DcnCodec)
    assert codec.settings == ("tiny",)
    coded = codec.encode(PHOTO, "tiny")
    assert np.array_equal(codec.decode(coded), dcncodec.decode(coded, model=tiny_model))
    file = container.read(coded)
    assert codec.payload(coded) == sum(len(block) for block in file.blocks)
    assert codec.payload(coded) < len(coded)
    assert pickle.loads(pickle.dumps(spec)).open() is codec


def test_means_count_as_payload() -> None:
    (spec,) = specs(["dcn-vr"])
    codec = spec.open()
    noise = np.random.default_rng(0).normal(0, 1, (256, 256, 3))
    sky = np.linspace(120, 128, 256)[:, None, None] + noise
    coded = codec.encode(sky.astype(np.uint8), "0")
    file = container.read(coded)
    assert file.means is not None
    assert codec.payload(coded) == sum(map(len, file.blocks)) + len(pack_means(file.means))


def test_a_model_for_all_rates(tmp_path: Path) -> None:
    """Its settings are rates; each gives more bits and less error."""
    (spec,) = specs([str(write_vr(tmp_path / "all-rates"))])
    codec = spec.open()
    assert isinstance(codec, RatedCodec)
    sizes, errors = [], []
    for setting in codec.settings:
        coded = codec.encode(PHOTO, setting)
        sizes.append(codec.payload(coded))
        errors.append(np.square(codec.decode(coded).astype(float) - PHOTO).mean())
    assert sizes == sorted(set(sizes))
    assert errors == sorted(set(errors), reverse=True)
    wanted = (sizes[3] + sizes[4]) / 2
    setting, coded = codec.encode_near(PHOTO, wanted)
    assert int(codec.settings[3]) < int(setting) < int(codec.settings[4])
    assert codec.payload(coded) == pytest.approx(wanted, rel=0.03)


def test_versions_follow_what_a_result_depends_on(tiny_model: Path) -> None:
    (spec,) = specs([str(tiny_model)], precision="fp32")
    (other,) = specs([str(tiny_model)], precision="bf16")
    assert spec.open().version("tiny") != other.open().version("tiny")
    assert "libjpeg-turbo" in baseline("jpeg").version("50")


def test_results_depend_on_all_code_that_decides_them() -> None:
    root = Path(dcncodec.__file__).parents[1]
    names = {path.relative_to(root).as_posix() for path in codecs.code()}
    assert {
        "bench/codecs.py",
        "bench/metrics.py",
        "dcncodec/codec.py",
        "dcncodec/metrics.py",
        "dcncodec/runtime/devices.py",
        "formats/container.py",
        "formats/header.py",
        "formats/peers/bpg.py",
        "models/families/dcn.py",
    } <= names
    assert any(name.startswith("dcncodec/_fse.") for name in names)
    assert not any(name.startswith(("cli/", "dcncodec/train/")) for name in names)


def test_levels_of_effort(tmp_path: Path, tiny_model: Path) -> None:
    """Codecs of their own, with files of their own, of one model."""
    folder = str(write_vr(tmp_path / "all-rates"))
    plain, worked = specs([folder, f"{folder}@3"])
    assert (plain.name, worked.name) == ("all-rates", "all-rates@3")
    codecs = plain.open(), worked.open()
    assert codecs[0].version("73") != codecs[1].version("73")
    photo = PHOTO[:64, :64]
    files = [codec.encode(photo, "36") for codec in codecs]
    assert files[0] != files[1]
    assert np.array_equal(codecs[0].decode(files[1]), codecs[1].decode(files[1]))
    with pytest.raises(UsageError, match="effort 12: choose 0 to 9"):
        specs([f"{folder}@12"])
    with pytest.raises(UsageError, match="effort 2: the card of model tiny"):
        specs([f"{tiny_model}@2"])


def test_a_size_with_an_effort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found without it, but for two files."""
    (spec,) = specs([f"{write_vr(tmp_path / 'all-rates')}@3"])
    codec, photo = spec.open(), PHOTO[:64, :64]
    assert isinstance(codec, RatedCodec)
    wanted = codec.payload(codec.encode(photo, "40"))
    levels: list[int] = []
    encode = Codec.encode

    def counted(self: Codec, image: object, *, rate: int, effort: int) -> bytes:
        levels.append(effort)
        return encode(self, image, rate=rate, effort=effort)

    monkeypatch.setattr(Codec, "encode", counted)
    setting, coded = codec.encode_near(photo, wanted)
    assert levels.count(3) == 2
    assert coded == codec.encode(photo, setting)
    assert codec.payload(coded) == pytest.approx(wanted, rel=0.05)


def test_all_codecs_by_default(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCN_MODELS", str(tiny_model.parent))
    found = {spec.name: spec for spec in specs([])}
    assert "tiny" in found
    assert {"jpeg", "jpeg420", "jpeg2000", "webp", "avif", "jxl", "bpg"} <= set(found)
    if "dcn" in found:
        settings = found["dcn"].open().settings
        assert list(settings) == [name for name in PAPER_MODELS if name in settings]


def test_unknown_codecs_and_models(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--codec gif: choose dcn, jpeg, .*or a model"):
        specs(["gif"])
    with pytest.raises(ModelError, match="not a model folder"):
        specs([str(tmp_path)])


def test_two_models_of_one_name(tiny_model: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(tiny_model, copy)
    with pytest.raises(UsageError, match="another model is called tiny"):
        specs([str(tiny_model), str(copy)])
    assert len(specs(["jpeg", "jpeg"])) == 1


@pytest.mark.parametrize("name", ["jpeg", "jpeg2000", "avif", "bpg"])
def test_settings_near_a_rate(name: str) -> None:
    codec = baseline(name)
    target = PHOTO.shape[0] * PHOTO.shape[1] / 8
    setting, coded = codec.encode_near(PHOTO, target)
    assert codec.encode(PHOTO, setting) == coded
    distance = abs(codec.payload(coded) - target)
    step = 1 if BASELINES[name].whole else 0.05
    for other in (float(setting) - step, float(setting) + step):
        size: Any = codec.payload(codec.encode(PHOTO, f"{other:g}"))
        assert abs(size - target) >= distance


def test_rates_out_of_reach_give_the_end_of_the_span() -> None:
    codec = baseline("jpeg")
    assert codec.encode_near(PHOTO, 1)[0] == "1"
    assert codec.encode_near(PHOTO, 1e9)[0] == "95"
