"""Which FANs a forensic training has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dcncodec.errors import TrainingError, UsageError
from dcncodec.forensics.manipulations import CLASSES
from dcncodec.models.combined_fan import CombinedFAN
from dcncodec.models.fan import FAN, ConstrainedConv, ConvolutionalFAN
from dcncodec.models.spectral_fan import SpectralFAN
from dcncodec.train.engine.checkpoint import Header
from dcncodec.train.engine.presets import FORENSIC_RECIPES
from dcncodec.train.tasks.forensic_choices import choose
from dcncodec.train.tasks.forensic_fans import ForensicSettings, open_fan

KINDS = {"convolutional": ConvolutionalFAN, "spectral": SpectralFAN, "combined": CombinedFAN}


@pytest.mark.parametrize(
    ("preset", "overrides", "network"),
    [
        (None, {"channel": "none"}, "spectral"),
        ("fast", {"channel": "none"}, "spectral"),
        ("fast", {"channel": "none", "network": "convolutional"}, "convolutional"),
        ("paper", {"channel": "none"}, "convolutional"),
        (None, {"channel": "jpeg:50"}, "combined"),
        ("paper", {"channel": "jpeg:50"}, "convolutional"),
        (None, {"channel": "jpeg:50", "network": "spectral"}, "spectral"),
    ],
)
def test_the_network_of_a_new_run(
    tmp_path: Path, preset: str | None, overrides: dict[str, str], network: str
) -> None:
    settings = ForensicSettings((), tmp_path, preset=preset, overrides=overrides)
    recipe, _ = choose(settings, None, None)
    assert recipe.network == network
    fan, kept = open_fan(settings, recipe, True)
    assert type(fan) is KINDS[network]
    assert kept == recipe


def test_a_resumed_run_keeps_its_network(tmp_path: Path) -> None:
    for network in KINDS:
        begun = replace(
            FORENSIC_RECIPES["fast"], channel="none", classes=("native", "jpeg"), network=network
        )
        for preset in (None, "fast"):
            settings = ForensicSettings((), tmp_path, preset=preset)
            recipe, _ = choose(settings, Header(0, begun), None)
            assert recipe.network == network


def test_a_network_of_a_later_version(tmp_path: Path) -> None:
    recipe = replace(FORENSIC_RECIPES["fast"], classes=CLASSES, network="wave")
    with pytest.raises(TrainingError, match="has a network wave that is not known"):
        open_fan(ForensicSettings((), tmp_path), recipe, False)


def test_the_network_of_the_fan_that_it_begins_with(tmp_path: Path) -> None:
    recipe = replace(FORENSIC_RECIPES["fast"], channel="none", classes=CLASSES)
    for name, kind in (("fan-none", ConvolutionalFAN), ("fan-spectral", SpectralFAN)):
        fan, kept = open_fan(ForensicSettings((), tmp_path, fan=(name,)), recipe, True)
        assert isinstance(fan, kind)
        assert (kept.fan, kept.network) == (name, kind.NETWORK)
    wrong = ForensicSettings((), tmp_path, fan=("fan-none",), overrides={"network": "spectral"})
    with pytest.raises(UsageError, match="--network: the FAN of fan-none is convolutional"):
        open_fan(wrong, recipe, True)


@pytest.mark.parametrize("name", ["dcn-vr-forensic", "fan-none"])
def test_filters_from_a_file_outlive_the_first_step(tmp_path: Path, name: str) -> None:
    recipe = replace(FORENSIC_RECIPES["fast"], channel="none", classes=CLASSES)
    fan, _ = open_fan(ForensicSettings((), tmp_path, fan=(name,)), recipe, True)
    assert fan is not None
    (layer,) = (module for module in fan.modules() if isinstance(module, ConstrainedConv))
    before = layer.weight.detach().clone()
    fan.constrain()
    changes = (layer.weight.detach() - before).norm(dim=1) / before.norm(dim=1)
    assert float(changes.max()) < 0.01


def test_a_fan_that_becomes_one_part_of_another(tmp_path: Path) -> None:
    """Which says at first what that FAN does."""
    recipe = replace(FORENSIC_RECIPES["fast"], channel="none", classes=CLASSES)
    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for name in ("fan-none", "fan-spectral"):
        settings = ForensicSettings((), tmp_path, fan=(name,), overrides={"network": "combined"})
        fan, kept = open_fan(settings, recipe, True)
        assert isinstance(fan, CombinedFAN)
        assert (kept.fan, kept.network) == (name, "combined")
        assert all(parameter.requires_grad for parameter in fan.parameters())
        single, _ = open_fan(ForensicSettings((), tmp_path, fan=(name,)), recipe, True)
        assert single is not None
        with torch.no_grad():
            assert torch.allclose(fan(pixels), single(pixels), atol=1e-5)


def test_two_fans_that_become_one(tmp_path: Path) -> None:
    """Their answers are added; a part of a later one replaces that of an earlier one."""
    recipe = replace(FORENSIC_RECIPES["fast"], channel="none", classes=CLASSES)
    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))

    def begun(*names: str, **overrides: str) -> tuple[FAN, str]:
        settings = ForensicSettings((), tmp_path, fan=names, overrides=overrides)
        fan, kept = open_fan(settings, recipe, True)
        assert fan is not None
        assert kept.network == fan.NETWORK
        return fan, kept.fan

    def answers(fan: FAN) -> torch.Tensor:
        with torch.no_grad():
            found: torch.Tensor = fan(pixels)
        return found

    spectral, filters = begun("fan-spectral")[0], begun("fan-none")[0]
    both, names = begun("fan-none", "fan-spectral")
    assert names == "fan-none, fan-spectral"
    assert isinstance(both, CombinedFAN)
    torch.testing.assert_close(answers(both), answers(spectral) + answers(filters))
    tuned, _ = begun("dcn-vr-forensic")
    assert isinstance(tuned, CombinedFAN)
    replaced, _ = begun("dcn-vr-forensic", "fan-spectral")
    expected = answers(tuned.convolutional) + answers(spectral)
    torch.testing.assert_close(answers(replaced), expected)
    part, _ = begun("dcn-vr-forensic", network="spectral")
    torch.testing.assert_close(answers(part), answers(tuned.spectral))
    with pytest.raises(UsageError, match="--fan fan-spectral: those behind it replace all"):
        begun("fan-spectral", "dcn-vr-forensic")
    with pytest.raises(UsageError, match="--network spectral: fan-spectral alone has that; drop"):
        begun("fan-none", "fan-spectral", network="spectral")
    settings = ForensicSettings((), tmp_path, fan=("fan-none", "fan-spectral"))
    with pytest.raises(TrainingError, match="began with fan-none, not with fan-none, fan-spec"):
        open_fan(settings, replace(recipe, fan="fan-none"), False)
