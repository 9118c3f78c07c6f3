"""Pictures that go through the channel once and serve in many steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from skimage import data
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch_threads import one_torch_thread

from dcncodec.errors import UsageError
from dcncodec.forensics.channel import Channel
from dcncodec.metrics import to_bytes, to_unit
from dcncodec.models.families.fan import CONVOLUTIONAL, SPECTRAL, new_fan
from dcncodec.models.vr import VR
from dcncodec.train.engine.checkpoint import Header
from dcncodec.train.engine.data import Dataset, pack, seeded
from dcncodec.train.engine.presets import FORENSIC_RECIPES
from dcncodec.train.engine.run import Budget
from dcncodec.train.tasks import forensic, forensic_store
from dcncodec.train.tasks.forensic import ForensicTrainer
from dcncodec.train.tasks.forensic_choices import choose
from dcncodec.train.tasks.forensic_fans import ForensicSettings
from dcncodec.train.tasks.forensic_store import DRAWS, FOLDER, Pictures, PictureStore, store_folder

RECIPE = replace(
    FORENSIC_RECIPES["fast"],
    batch=2,
    patch=32,
    classes=("native", "median", "jpeg"),
    trainable=(),
    implementations="both",
    rate_low=50,
    rate_high=250,
    resave=False,
    stored=5,
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(forensic, "VALIDATION_PATCHES", 1)
    with one_torch_thread():
        yield


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    photo = data.astronaut()
    photos = pack([photo[i : i + 192, i : i + 192].copy() for i in (50, 90, 130)])
    return Dataset(photos, photos, [])


def trainer(
    folder: Path,
    dataset: Dataset,
    network: str = SPECTRAL,
    resave: bool = False,
    loaders: int = 0,
) -> ForensicTrainer:
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    codec = VR(8, 1, 8, 1, 0)
    patches = torch.randn(600, 192) * torch.linspace(1, 0.1, 192)
    codec.start_from_klt(patches, (RECIPE.lambda_low, RECIPE.lambda_high))
    channel, recipe = Channel("dcn", codec), replace(RECIPE, network=network, resave=resave)
    fan = new_fan(network, 3)
    return ForensicTrainer(channel, fan, recipe, dataset, folder, 3, torch.float32, loaders=loaders)


class Made:
    """Batches of two photos whose samples are their numbers."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def __call__(self, number: int) -> Pictures:
        self.numbers.append(number)
        photos = torch.arange(2 * number, 2 * number + 2, dtype=torch.uint8)
        seen = photos.view(2, 1, 1, 1, 1, 1).expand(2, 3, 1, 4, 4, 3).contiguous()
        return Pictures(seen, torch.tensor(float(number)), torch.tensor(0.5))


def test_batches_are_made_once_and_taken_photo_by_photo(tmp_path: Path) -> None:
    made = Made()
    store = PictureStore(made, tmp_path, 3, 2)
    told: list[int] = []
    store.fill(lambda: False, told.append)
    assert made.numbers == [0, 1, 2]
    assert told == [0]
    assert store.first() == 3
    seen = set()
    for seed in range(40):
        pixels, mse, bpp = store.take(torch.Generator().manual_seed(seed))
        assert pixels.shape == (2, 3, 4, 4, 3)
        numbers = pixels[:, 0, 0, 0, 0]
        assert torch.equal(pixels, numbers.view(2, 1, 1, 1, 1).expand_as(pixels))
        assert float(mse) == float((numbers // 2).float().mean())
        assert float(bpp) == 0.5
        seen |= set(numbers.tolist())
    assert seen == set(range(6))
    assert made.numbers == [0, 1, 2]


def test_missing_and_damaged_batches_are_made_again(tmp_path: Path) -> None:
    made = Made()
    store = PictureStore(made, tmp_path, 2, 2)
    store.fill(lambda: False, lambda _: None)
    before = [store.take(torch.Generator().manual_seed(seed)).seen for seed in range(8)]
    first, second = sorted(tmp_path.iterdir())
    first.unlink()
    second.write_bytes(second.read_bytes()[:40])
    assert store.first() == 0
    after = [store.take(torch.Generator().manual_seed(seed)).seen for seed in range(8)]
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))
    assert sorted(made.numbers) == [0, 0, 1, 1]


def test_a_run_that_is_told_to_stop_makes_no_more(tmp_path: Path) -> None:
    made = Made()
    store = PictureStore(made, tmp_path, 9, 2)
    store.fill(lambda: len(made.numbers) == 2, lambda _: None)
    assert made.numbers == [0, 1]
    store.fill(lambda: len(made.numbers) == 3, lambda _: None)
    assert made.numbers == [0, 1, 2]


def received(run: ForensicTrainer, number: int) -> tuple[Tensor, Tensor]:
    """Pictures of a batch before and after the channel, as in a training without a store."""
    assert run.photos is not None
    versions = to_unit(run.photos.take(number)[0])
    rates = 50 + 200 * torch.rand(2, generator=seeded(3, 0, number, 1, 1))
    labels = torch.arange(3).repeat_interleave(2)
    with torch.no_grad():
        _, before, after = run.objective(versions, None, labels=labels, rates=rates)
    return before, after


def by_class(photos: Tensor) -> Tensor:
    """(B, K, ...) to (K * B, ...)."""
    return photos.transpose(0, 1).flatten(0, 1)


def test_what_is_kept_is_what_the_channel_gives(tmp_path: Path, dataset: Dataset) -> None:
    """At rates of the recipe, as 8-bit samples."""
    run = trainer(tmp_path, dataset, CONVOLUTIONAL)
    seen, mse, bpp = run._coded(1)
    assert seen.shape == (2, 3, 1, 32, 32, 3)
    before, after = received(run, 1)
    assert torch.equal(by_class(seen[:, :, 0]), to_bytes(after))
    torch.testing.assert_close(mse, (after - before).square().mean())
    assert float(bpp) > 0


def test_descriptions_are_kept_where_they_have_no_weights(tmp_path: Path, dataset: Dataset) -> None:
    run = trainer(tmp_path / "same", dataset)
    assert run.fan is not None
    seen, mse, _ = run._coded(1)
    before, after = received(run, 1)
    expected = run.fan.describe(after)
    assert seen.shape == (2, 3, 1, expected.shape[1])
    torch.testing.assert_close(by_class(seen[:, :, 0]), expected)
    torch.testing.assert_close(mse, (after - before).square().mean())
    passed = trainer(tmp_path / "passed", dataset, resave=True)._coded(1).seen
    assert passed.shape == (2, 3, DRAWS, expected.shape[1])
    assert all(not torch.equal(passed[:, :, 0], draw) for draw in passed[:, :, 1:].unbind(2))


@pytest.mark.parametrize("network", [SPECTRAL, CONVOLUTIONAL])
def test_steps_learn_from_what_is_kept(tmp_path: Path, dataset: Dataset, network: str) -> None:
    run = trainer(tmp_path, dataset, network)
    assert run.store is not None
    assert run.fan is not None
    before = [weight.detach().clone() for weight in run.fan.parameters()]
    run.run(Budget(2), lambda _: None)
    assert any(not torch.equal(*pair) for pair in zip(run.fan.parameters(), before, strict=True))
    files = sorted((tmp_path / FOLDER).rglob("*.safetensors"))
    assert [file.name for file in files] == [f"{n:06d}.safetensors" for n in range(3)]
    figures = run.losses(run.objective, torch.Generator().manual_seed(7)).detach()
    seen, mse, bpp = run.store.take(torch.Generator().manual_seed(7))
    with torch.no_grad():
        described = network == SPECTRAL
        answers = run.fan.head(by_class(seen)) if described else run.fan(to_unit(by_class(seen)))
    labels = torch.arange(3).repeat_interleave(2)
    loss = cross_entropy(answers, labels)
    accuracy = (answers.argmax(1) == labels).float().mean()
    torch.testing.assert_close(figures, torch.stack([loss, loss, accuracy, mse, bpp]))


@pytest.mark.parametrize("network", [SPECTRAL, CONVOLUTIONAL])
def test_kept_pictures_teach_as_those_of_a_step_would(
    tmp_path: Path, dataset: Dataset, network: str
) -> None:
    """Cut, scaled or saved again, too."""
    run = trainer(tmp_path, dataset, network, resave=True)
    run.run(Budget(1), lambda _: None)
    figures = run.losses(run.objective, torch.Generator().manual_seed(1))
    figures[0].backward()  # type: ignore[no-untyped-call]
    assert run.fan is not None
    assert all(weight.grad is not None for weight in run.fan.parameters())


def test_a_stopped_run_goes_on_as_if_nothing_had_been(tmp_path: Path, dataset: Dataset) -> None:
    whole = trainer(tmp_path / "whole", dataset)
    whole.run(Budget(4), lambda _: None)
    part = trainer(tmp_path / "parts", dataset)
    part.run(Budget(4), lambda _: part.stop())
    assert part.progress.step == 1
    sorted((tmp_path / "parts" / FOLDER).rglob("*.safetensors"))[1].unlink()
    resumed = trainer(tmp_path / "parts", dataset)
    resumed.run(Budget(4), lambda _: None)
    for name, weights in whole.average.items():
        assert torch.equal(weights, resumed.average[name]), name


def test_other_pictures_have_another_folder(tmp_path: Path) -> None:
    def place(**changes: object) -> Path:
        recipe = replace(RECIPE, **changes)  # type: ignore[arg-type]
        return store_folder(tmp_path, Header(8, recipe, 3), 2, 0)

    assert place() == place(learning_rate=0.5, stored=7)
    others = [place(rate_high=130), place(patch=64), place(implementations="field"), place()]
    assert len(set(others)) == 4
    header = Header(8, RECIPE, 3)
    assert store_folder(tmp_path, header, 2, 1) != store_folder(tmp_path, header, 2, 0)
    assert store_folder(tmp_path, Header(8, RECIPE, 4), 2, 0) != store_folder(
        tmp_path, header, 2, 0
    )


def test_pictures_that_are_drawn_otherwise_have_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def places() -> list[Path]:
        headers = [Header(8, replace(RECIPE, retake=retake), 3) for retake in (False, True)]
        return [store_folder(tmp_path, header, 2, 0) for header in headers]

    before = places()
    assert places() == before
    monkeypatch.setattr(forensic_store, "VERSION", forensic_store.VERSION + 1)
    assert len({*before, *places()}) == 4


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"trainable": ("dcn",)}, "--stored 5: where codec or pipeline learn"),
        (
            {"implementations": "paper", "grid": "aligned", "history": "none", "trainable": ()},
            "--stored 5: no photos are drawn one by one; leave it out",
        ),
    ],
)
def test_what_cannot_be_stored(tmp_path: Path, overrides: dict[str, object], message: str) -> None:
    settings = ForensicSettings((), tmp_path, model="dcn-vr", overrides={"stored": 5} | overrides)
    with pytest.raises(UsageError, match=message):
        choose(settings, None, None)


def test_what_is_lost_while_a_run_learns_is_made_again(tmp_path: Path, dataset: Dataset) -> None:
    """By the processes that draw photos, too."""
    run = trainer(tmp_path, dataset, loaders=1)
    assert run.store is not None

    lost = []

    def lose(_: object) -> None:
        if not lost:
            lost.extend((tmp_path / FOLDER).rglob("*.safetensors"))
            for file in lost:
                file.unlink()

    run.run(Budget(3), lose)
    assert len(lost) == 3
    assert run.progress.step == 3
    assert list((tmp_path / FOLDER).rglob("*.safetensors"))
