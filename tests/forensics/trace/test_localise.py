"""Maps of photos, window by window; what is measured of them."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage import data
from trace_models import write_trace

from dcncodec.errors import ImageError, LimitError, ModelError, UsageError
from dcncodec.forensics.detect import FanJudge
from dcncodec.forensics.judge import heat_map, unheard
from dcncodec.forensics.photos import Photos
from dcncodec.forensics.trace import forging, localise
from dcncodec.forensics.trace.calibration import VERSIONS, threshold_of
from dcncodec.forensics.trace.evaluate import evaluate, pairs
from dcncodec.forensics.trace.forging import fitted, forge_folder
from dcncodec.forensics.trace.localise import Localiser, Map, open_judge
from dcncodec.forensics.trace.scores import auc
from dcncodec.forensics.trace.synthesis import forge
from dcncodec.formats.image import Picture, read_image
from dcncodec.models.registry import WEIGHTS, open_folder
from dcncodec.models.roles import Role
from dcncodec.models.trace import SIZES, Trace
from dcncodec.runtime import bands

Pixels = NDArray[np.uint8]

PHOTO = np.ascontiguousarray(data.astronaut()[:200, 100:330])
WIDE = np.tile(PHOTO, (1, 3, 1))
"""Wider than what a window of it depends on."""
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trace(tmp_path_factory.mktemp("models") / "my-trace", threshold=0.2)


@pytest.fixture
def judge(model: Path) -> Localiser:
    return Localiser(open_folder(model, Role.LOCALISER), CPU)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    Image.fromarray(PHOTO).save(folder / "a.png")
    Image.fromarray(data.chelsea()[:150, :200]).save(folder / "b.png")
    return folder


def test_windows_give_what_the_whole_does(judge: Localiser) -> None:
    photo = WIDE[:198, :685]
    judge.window = 700
    whole = judge.judge(photo).probabilities
    assert whole.dtype == np.float32
    assert whole.std() > 0.02
    judge.window = 150
    finished: list[int] = []
    parts = judge.judge(photo, finished.append).probabilities
    assert np.abs(parts - whole).max() < 2e-3
    assert abs(sum(finished) - whole.size) < 2 * len(finished)


def test_windows_of_pixels_give_what_the_whole_does(judge: Localiser) -> None:
    """As of the paper's size, whose features are not kept."""
    torch.manual_seed(0)
    size = replace(SIZES["8"], cell=1, windows=(7,), kernel=3, averaged=(), exact=False)
    judge.network, judge.cell = Trace(size, 25).requires_grad_(False), 1
    judge.network.anomaly.decide.weight.mul_(20)
    whole = judge.judge(PHOTO).probabilities
    assert whole.std() > 0.02
    judge.window = 90
    finished: list[int] = []
    parts = judge.judge(PHOTO, finished.append).probabilities
    assert np.abs(parts - whole).max() < 2e-3
    assert abs(sum(finished) - whole.size) < 2 * len(finished)


def test_windows_shrink_when_memory_runs_out(
    judge: Localiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapted = bands.adapted

    def limited(trace: Trace, pixels: torch.Tensor) -> torch.Tensor:
        if pixels.shape[-1] > room:
            raise RuntimeError("out of memory")
        return adapted(trace, pixels)

    monkeypatch.setattr(bands, "adapted", limited)
    monkeypatch.setattr(localise, "SMALLEST_WINDOW", 80)
    judge.window, room = 320, 200
    assert judge.judge(WIDE).probabilities.shape == WIDE.shape[:2]
    assert judge.window == 160
    room = 10
    with pytest.raises(LimitError, match="even for windows of 80 pixels"):
        judge.judge(WIDE)


@pytest.mark.parametrize(("size", "window"), [("8", 1024), ("paper", 640)])
def test_windows_are_smaller_where_pixels_are_cells(tmp_path: Path, size: str, window: int) -> None:
    folder = open_folder(write_trace(tmp_path / "m", size=size), Role.LOCALISER)
    assert Localiser(folder, CPU).window == window


def test_small_photos_are_refused(judge: Localiser) -> None:
    with pytest.raises(ImageError, match="80 x 63 pixels: a map needs 64"):
        judge.judge(PHOTO[:63, :80])
    assert judge.judge(PHOTO[:64, :80]).probabilities.shape == (64, 80)


def test_a_network_without_maps_is_refused(tmp_path: Path) -> None:
    folder = open_folder(write_trace(tmp_path / "half", "features"), Role.LOCALISER)
    with pytest.raises(ModelError, match="gives no map; go on with 'dcn train trace --stage"):
        Localiser(folder, CPU)


def test_what_a_map_says() -> None:
    probabilities = np.zeros((40, 50), np.float32)
    probabilities[8:24, 16:32] = 0.75
    found = Map("my-trace", probabilities, 0.05, 0.05)
    assert found.score == pytest.approx(0.75 * 256 / 2000)
    assert (found.answer, Map("m", probabilities, None, None).answer) == (
        "manipulated",
        "undecided",
    )
    assert Map("m", probabilities, 0.5, 0.05).answer == "native"
    record = found.as_dict()
    assert record["share"] == 256 / 2000
    assert record["map"]["probabilities"] == [
        [0, 0.375, 0, 0],
        [0, 0.375, 0, 0],
        [0, 0, 0, 0],
    ]
    picture = np.asarray(Image.open(io.BytesIO(heat_map(PHOTO[:40, :50], found))).convert("RGB"))
    tinted = picture[:40].astype(int).std(2) > 3
    assert tinted[8:24, 16:32].all()
    assert not tinted[:8].any()


def test_a_judge_by_name(model: Path) -> None:
    assert isinstance(open_judge(str(model), CPU), Localiser)
    fan = open_judge("fan-none", CPU)
    assert isinstance(fan, FanJudge)
    assert (fan.name, fan.threshold) == ("fan-none", None)


def test_the_bundled_network() -> None:
    """Small, calibrated, and better than chance by far on a photo of another source."""
    judge = open_judge("trace-8", CPU)
    assert isinstance(judge, Localiser)
    folder = judge.folder
    assert folder.path.parent == WEIGHTS
    assert folder.weights.stat().st_size <= 2**19
    assert (folder.card["stage"], folder.card["false_alarm"]) == ("joint", 0.05)
    assert {"pristine-report", "pristine-tune"} <= folder.card["results"].keys()
    photo = np.ascontiguousarray(data.astronaut()[:256, 100:356])
    forgery = forge("removal", photo, photo, np.random.default_rng(0))
    clean, changed = (judge.judge(p).probabilities for p in (photo, forgery.pixels))
    assert auc(changed, forgery.mask) > 0.75
    assert auc(changed, forgery.mask) > auc(clean, forgery.mask) + 0.2


@dataclass
class Oracle:
    """Finds everything, or the opposite, with a threshold."""

    answers: dict[int, NDArray[np.float32]]
    name: str = "oracle"
    threshold: float | None = 0.001

    def judge(self, pixels: Pixels, progress: object = unheard) -> Map:
        nothing = np.zeros(pixels.shape[:2], np.float32)
        return Map("oracle", self.answers.get(int(pixels.sum()), nothing), None, None)


def test_forging_reads_each_photo_once(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def spy(file: Path) -> Picture:
        read.append(file)
        return read_image(file)

    monkeypatch.setattr(forging, "read_image", spy)
    rows = forge_folder(photos, tmp_path / "f", ("splice",), 0, None, False, lambda: None)
    assert read == sorted(photos.iterdir())
    donors = {row["source"]: row["donor"] for row in rows}
    assert donors == dict(pairwise([*donors, next(iter(donors))]))


def test_an_evaluation_of_forgeries(tmp_path: Path, photos: Path) -> None:
    rows = forge_folder(photos, tmp_path / "f", ("splice", "removal"), 0, None, False, lambda: None)
    assert [row["photo"] for row in rows[:2]] == ["a-splice.png", "a-removal.png"]
    assert (rows[0]["donor"], rows[1]["donor"]) == ("b.png", None)
    chosen = pairs(tmp_path / "f", tmp_path / "f" / "masks")
    assert [pair.kind for pair in chosen] == ["removal", "splice", "removal", "splice"]
    answers = {}
    for pair in chosen:
        mask = np.asarray(Image.open(pair.mask))
        assert set(np.unique(mask)) == {0, 255}
        answers[int(np.asarray(Image.open(pair.photo)).sum())] = (mask / 255).astype(np.float32)
    clean = sorted(photos.iterdir())
    found = evaluate(Oracle(answers), chosen, clean, lambda: None)
    assert [row.kind for row in found.rows] == ["removal", "splice", "all"]
    assert [(row.auc, row.f1, row.best_f1) for row in found.rows] == [(1, 1, 1)] * 3
    assert (found.image_auc, found.accused, found.found) == (1, 0, 1)
    assert found.card_figures()["auc_splice"] == 1
    blind = evaluate(Oracle({}, threshold=None), chosen, [], lambda: None)
    assert blind.rows[-1].auc == 0.5
    assert blind.rows[-1].best_f1 == pytest.approx(blind.rows[-1].baseline)
    assert (blind.image_auc, blind.accused) == (None, None)


def test_a_mask_of_most_of_a_photo_is_turned_over(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    Image.fromarray(PHOTO).save(tmp_path / "a.png")
    mask = np.full(PHOTO.shape[:2], 255, np.uint8)
    mask[:40] = 0
    Image.fromarray(mask).save(tmp_path / "masks" / "a.png")
    oracle = Oracle({int(PHOTO.sum()): (mask / 255).astype(np.float32)})
    found = evaluate(oracle, pairs(tmp_path, tmp_path / "masks"), [], lambda: None)
    assert (found.rows[0].auc, found.rows[0].f1) == (1, 1)
    assert found.rows[0].baseline == pytest.approx(2 * 0.2 / 1.2)


def test_masks_that_cannot_be(tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    Image.fromarray(PHOTO).save(tmp_path / "a.png")
    with pytest.raises(UsageError, match="has no mask of that name"):
        pairs(tmp_path, masks)
    for size, text in (
        ((50, 60), "50 x 60 pixels, its photo 230 x 200"),
        ((230, 200), "or nothing"),
    ):
        Image.new("L", size).save(masks / "a.png")
        with pytest.raises(ImageError, match=text):
            evaluate(Oracle({}), pairs(tmp_path, masks), [], lambda: None)
    (tmp_path / "forgeries.json").write_text("[{}]")
    with pytest.raises(UsageError, match="no list of forgeries"):
        pairs(tmp_path, masks)


def test_donors_fit() -> None:
    assert fitted(PHOTO[:70, :80], 200, 64).shape == (200, 64, 3)
    assert (fitted(PHOTO, 50, 60) == PHOTO[:50, :60]).all()


def test_a_threshold_is_passed_by_few_clean_photos(photos: Path) -> None:
    scores = []

    class Listening(Oracle):
        def judge(self, pixels: Pixels, progress: object = unheard) -> Map:
            scores.append(float(np.float32(pixels.mean() / 255)))
            level = np.full(pixels.shape[:2], scores[-1], np.float32)
            return Map("oracle", level, None, None)

    found = threshold_of(Listening({}), Photos(photos), lambda: None)
    assert len(scores) == 2 * VERSIONS
    assert found == pytest.approx(max(scores))
