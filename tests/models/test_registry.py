"""Models are found by name, path and hash, and never used when they are not what they claim."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from dcncodec.errors import ModelError
from dcncodec.formats.geometry import HASH_BYTES
from dcncodec.models.load import load_codec
from dcncodec.models.registry import (
    TUNED,
    WEIGHTS,
    find_all,
    find_by_hash,
    find_by_prefix,
    find_model,
    list_models,
    open_folder,
)
from dcncodec.models.roles import Role
from dcncodec.notices import DcnWarning, Notice


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(tiny_model, tmp_path / "models" / "tiny"))


def _edit(model: Path, **changes: object) -> None:
    card = json.loads((model / "card.json").read_text())
    card.update(changes)
    (model / "card.json").write_text(json.dumps(card))


def test_bundled_models_are_what_their_cards_say() -> None:
    bundled = [folder for folder in list_models() if folder.path.parent == WEIGHTS]
    assert {"dcn-16c", "dcn-32c", "dcn-vr"} <= {folder.name for folder in bundled}
    for folder in bundled:
        codec = load_codec(folder)
        assert codec.latent_channels == folder.geometry.channels
        assert folder.own_coder is not None
        assert folder.weights.stat().st_size <= 16 * 2**20
        assert folder.prefix.hex() == folder.sha256[: 2 * HASH_BYTES]


def test_found_by_path_name_and_hash(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_path = find_model(model)
    monkeypatch.setenv("DCN_MODELS", str(model.parent))
    assert find_model(by_path.name).path == model
    assert find_by_prefix(by_path.name, by_path.prefix).path == model


def test_a_pipeline_tuned_with_a_fan_goes_by_its_forensic_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned = tmp_path / "my-camera" / TUNED
    shutil.copytree(WEIGHTS / "inet", tuned)
    assert find_model(tmp_path / "my-camera", Role.PIPELINE).path == tuned
    with pytest.raises(ModelError, match="my-camera: no such camera pipeline"):
        find_model("my-camera", Role.PIPELINE)
    monkeypatch.setenv("DCN_MODELS", str(tmp_path))
    assert find_model("my-camera", Role.PIPELINE).path == tuned
    with pytest.raises(ModelError, match="my-camera: no such model"):
        find_model("my-camera")


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"no-such: no such model.*dcn-32c"):
        find_model("no-such")


def test_other_weights_of_the_same_name_are_not_taken(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCN_MODELS", str(model.parent))
    with pytest.raises(ModelError, match="has other weights"):
        find_by_prefix(find_model(model).name, b"\0" * HASH_BYTES)


def test_a_model_that_is_not_installed_is_named() -> None:
    with pytest.raises(ModelError, match=r"needs model my-own .weights 0000.*not installed"):
        find_by_prefix("my-own", b"\0" * HASH_BYTES)


def test_replaced_weights_are_refused(model: Path) -> None:
    content = bytearray((model / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (model / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match="damaged or replaced"):
        load_codec(open_folder(model))


def test_missing_weights(model: Path) -> None:
    (model / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        load_codec(open_folder(model))


def test_weights_of_another_architecture(model: Path) -> None:
    _edit(model, architecture={"family": "dcn", "latent_channels": 5})
    with pytest.raises(ModelError, match="does not fit the architecture"):
        load_codec(open_folder(model))


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": "xyz"},
        {"sha256": "00"},
        {"architecture": {"family": "other", "latent_channels": 4}},
        {"architecture": {"family": "dcn", "latent_channels": 0}},
        {"architecture": None},
    ],
)
def test_damaged_cards(model: Path, changes: dict[str, object]) -> None:
    _edit(model, **changes)
    with pytest.raises(ModelError, match="damaged card"):
        open_folder(model)


def test_a_card_that_is_not_json(model: Path) -> None:
    (model / "card.json").write_text("{")
    with pytest.raises(ModelError, match="damaged card"):
        open_folder(model)


def test_a_folder_without_a_card(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not a model folder"):
        find_model(tmp_path)


def test_nothing_in_the_working_directory_is_taken_by_accident(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impostor = tmp_path / "dcn-32c"
    shutil.copytree(model, impostor)
    _edit(impostor, name="dcn-32c")
    monkeypatch.chdir(tmp_path)
    assert find_model("dcn-32c").path == WEIGHTS / "dcn-32c"
    assert find_model("./dcn-32c").path == Path("dcn-32c")
    assert find_model(Path("dcn-32c")).path == Path("dcn-32c")
    monkeypatch.chdir(model.parent)
    with pytest.raises(ModelError, match=r"tiny: no such model.*for the folder.* write \./tiny$"):
        find_model("tiny")


def test_bundled_models_are_found_first_and_every_hash_in_any_folder(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled = find_model("dcn-32c")
    _edit(model, name="dcn-32c")
    monkeypatch.setenv("DCN_MODELS", str(model.parent))
    assert find_model("dcn-32c").path == WEIGHTS / "dcn-32c"
    assert [m.path for m in list_models() if m.name == "dcn-32c"] == [WEIGHTS / "dcn-32c"]
    own = open_folder(model)
    assert find_by_prefix("dcn-32c", own.prefix).path == model
    assert find_by_prefix("dcn-32c", bundled.prefix).path == WEIGHTS / "dcn-32c"
    assert find_by_hash("whatever", own.sha256).path == model


def test_a_fan_and_its_codec_share_a_folder_and_a_name() -> None:
    codec = find_model("dcn-vr-forensic")
    fan = find_model("dcn-vr-forensic", Role.FAN)
    assert (codec.role, fan.role) == (Role.CODEC, Role.FAN)
    assert codec.path == fan.path
    assert [m.role for m in find_all("dcn-vr-forensic")] == [Role.CODEC, Role.FAN]
    assert [m.role for m in find_all("dnet-forensic")] == [Role.FAN, Role.PIPELINE]
    assert find_model("fan-none", None).role is Role.FAN
    with pytest.raises(ModelError, match=r"fan-none: no such model"):
        find_model("fan-none")
    with pytest.raises(ModelError, match="is a forensic network, not a codec"):
        open_folder(WEIGHTS / "fan-none")


DEEP = "[" * 100_000
CARD: dict[str, object] = {
    "name": "evil",
    "architecture": {"family": "dcn", "latent_channels": 16},
    "sha256": "ab" * 32,
}
FORENSIC: dict[str, object] = {
    "name": "evil",
    "classes": ["native", "jpeg"],
    "channel": "dcn",
    "downsample": False,
    "codec": {"name": "dcn-16c", "sha256": "ab" * 32},
    "nip": None,
    "trainable": [],
    "patch": 128,
    "fan_sha256": "ab" * 32,
}
DAMAGED = {
    "not JSON": ("card.json", "{"),
    "nothing": ("card.json", ""),
    "nested deeply": ("card.json", DEEP),
    "too long": ("card.json", json.dumps(CARD | {"init": "x" * 2**20})),
    "not UTF-8": ("card.json", b"\xff"),
    "infinite": ("card.json", json.dumps(CARD).replace("16}", "1e400}")),
    "no number": ("card.json", json.dumps(CARD).replace("16}", "NaN}")),
    "very long number": ("card.json", json.dumps(CARD).replace("16}", "1" * 5000 + "}")),
    "a fraction": ("card.json", json.dumps(CARD).replace("16}", "16.5}")),
    "a list": ("card.json", "[]"),
    "no name": ("card.json", json.dumps({k: v for k, v in CARD.items() if k != "name"})),
    "escape sequence": ("card.json", json.dumps(CARD | {"name": "\x1b]0;owned\x07red\n"})),
    "no architecture": ("card.json", json.dumps(CARD | {"architecture": 3})),
    "a family that is a list": ("card.json", json.dumps(CARD | {"architecture": {"family": []}})),
    "a module's name": (
        "card.json",
        json.dumps(CARD | {"architecture": {"family": "__init__", "latent_channels": 16}}),
    ),
    "another folder's file": (
        "card.json",
        json.dumps(
            CARD | {"parts": {"context": {"name": "../x.safetensors", "sha256": "ab" * 32}}}
        ),
    ),
    "a codec without a name": (
        "forensic.json",
        json.dumps(FORENSIC | {"codec": {"sha256": "ab" * 32}}),
    ),
    "no patch": ("forensic.json", json.dumps(FORENSIC | {"patch": 0})),
    "one class": ("forensic.json", json.dumps(FORENSIC | {"classes": ["native"]})),
    "a pipeline without a hash": ("forensic.json", json.dumps(FORENSIC | {"nip": {"name": "x"}})),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_damaged_folders_are_skipped_with_a_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    file, content = DAMAGED[what]
    folder = tmp_path / "evil"
    folder.mkdir()
    (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.setenv("DCN_MODELS", str(tmp_path))
    notices: list[Notice] = []
    found = {model.name for model in list_models(None, notices.append)}
    assert {"dcn-16c", "dnet", "fan-none"} <= found
    assert "evil" not in found
    (notice,) = notices
    assert (notice.kind, notice.source) == ("model", str(folder / file))
    assert notice.text == "skipped: damaged card; install the model again"
    with pytest.raises(ModelError, match="damaged card"):
        open_folder(folder, None)
    # Bundled models need not look there at all.
    assert find_model("dcn-16c").name == "dcn-16c"
    with pytest.warns(DcnWarning, match="damaged card"), pytest.raises(ModelError, match="no such"):
        find_model("evil")


def test_a_folder_of_models_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCN_MODELS", str(tmp_path / "absent"))
    notices: list[Notice] = []
    assert list_models(notify=notices.append)
    assert [n.source for n in notices] == [str(tmp_path / "absent")]


def test_loaded_weights_are_float32(tiny_model: Path) -> None:
    codec = load_codec(open_folder(tiny_model))
    assert {p.dtype for p in codec.parameters()} == {torch.float32}
    assert not codec.training


def test_without_forensic_networks_it_says_what_brings_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "pip install" not in str(_missing(Role.FAN))
    monkeypatch.setattr("dcncodec.models.registry.WEIGHTS", tmp_path)
    for role in Role:
        named = "pip install 'dcncodec[forensics]' brings some" in str(_missing(role))
        assert named == (role is Role.FAN)
    with pytest.raises(ModelError, match=r"pip install 'dcncodec\[forensics\]'"):
        find_by_hash("fan-none", "00" * 32, Role.FAN)


def _missing(role: Role) -> ModelError:
    with pytest.raises(ModelError) as error:
        find_model("nothing", role)
    return error.value
