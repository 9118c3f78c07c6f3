"""``dcn train forensic`` as a user runs it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from commands import Runner
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save
from skimage import data
from torch_threads import one_torch_thread

from dcncodec.camera.acquisition import MEAN_CAMERA, acquire
from dcncodec.errors import ModelError
from dcncodec.forensics.evaluate import evaluate
from dcncodec.forensics.folder import open_forensic
from dcncodec.forensics.photos import Photo
from dcncodec.formats.dng import write_dng
from dcncodec.models.dcn import DCN
from dcncodec.models.registry import open_folder
from dcncodec.train.tasks import forensic

QUICK = ["--patch", "16", "--batch", "1", "--threads", "1", "--device", "cpu"]
CLASSES = ["--classes", "native,gaussian"]
PHOTO = np.ascontiguousarray(data.astronaut()[:256, 128:384])

Dcn = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures of 160 pixels with enough variance."""
    folder: Path = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(3):
        small = Image.fromarray(rng.integers(0, 256, (17, 17, 3), np.uint8))
        small.resize((160, 160), Image.Resampling.BICUBIC).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def dcn(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tiny_model: Path
) -> Iterator[Dcn]:
    """Run ``dcn train forensic`` in this process; exit code and standard error."""
    monkeypatch.setattr(forensic, "VALIDATION_PATCHES", 1)
    monkeypatch.setenv("DCN_MODELS", str(tiny_model.parent))
    runner = Runner(monkeypatch, capfd, "train", "forensic")

    def run(*arguments: str | Path) -> tuple[int, str]:
        result = runner(*arguments)
        return result.code, result.err

    with one_torch_thread():
        yield run


def test_from_photos_to_a_forensic_folder(tmp_path: Path, photos: Path, dcn: Dcn) -> None:
    arguments = [photos, "--model", "tiny", "--out", tmp_path / "run", *CLASSES, *QUICK]
    code, error = dcn(*arguments, "--max-steps", "1", "--lambda-c", "0.005")
    assert code == 0, error
    assert "validation: accuracy " in error
    assert f"'dcn train forensic --out {tmp_path / 'run'} --export DIR' exports it" in error
    code, error = dcn(*arguments, "--max-steps", "2", "--export", tmp_path / "my-forensic")
    assert code == 0, error
    assert "resuming" in error
    folder = open_forensic(tmp_path / "my-forensic")
    assert folder.card["steps"] == 2
    assert folder.card["lambda_c"] == 0.005
    assert folder.card["trainable"] == ["dcn"]
    assert folder.classes == ("native", "gaussian")
    assert folder.codec("cpu") is not None
    assert (tmp_path / "run" / "curve.svg").exists()
    code, error = dcn("--out", tmp_path / "run", "--export", tmp_path / "again")
    assert code == 0
    assert (tmp_path / "again" / "fan.safetensors").read_bytes() == (
        folder.path / "fan.safetensors"
    ).read_bytes()
    code, error = dcn(*arguments, "--trainable", "none")
    assert code == 1
    assert "was trained with another trainable" in error
    # Tuned further, it still knows what it was before.
    further = ["--model", tmp_path / "my-forensic", "--out", tmp_path / "more", *arguments[5:]]
    code, error = dcn(photos, *further, "--max-steps", "1", "--export", tmp_path / "second")
    assert code == 0, error
    for card in ("card.json", "forensic.json"):
        found = json.loads((tmp_path / "second" / card).read_text())
        assert (found["init"], found["untuned"]) == ("my-forensic", "tiny")
    # So it does where cards did not say that yet.
    card = tmp_path / "my-forensic" / "card.json"
    card.write_text(
        json.dumps({k: v for k, v in json.loads(card.read_text()).items() if k != "untuned"})
    )
    further[3] = tmp_path / "fourth"
    code, error = dcn(photos, *further, "--max-steps", "1", "--export", tmp_path / "third")
    assert code == 0, error
    assert json.loads((tmp_path / "third" / "card.json").read_text())["untuned"] == "tiny"


def test_photos_go_through_the_channel_once(tmp_path: Path, photos: Path, dcn: Dcn) -> None:
    arguments = [photos, "--model", "tiny", "--out", tmp_path / "run", *CLASSES, *QUICK]
    stored = [*arguments, "--trainable", "none", "--stored", "3"]
    code, error = dcn(*stored, "--max-steps", "1")
    assert code == 0, error
    assert "0 of 3 photos went through the channel" in error
    files = sorted((tmp_path / "run" / "pictures").rglob("*.safetensors"))
    before = [(file.stat().st_mtime_ns, file.name) for file in files]
    assert len(files) == 3
    code, error = dcn(*stored, "--max-steps", "2", "--export", tmp_path / "judge")
    assert code == 0, error
    assert "went through" not in error
    assert [(file.stat().st_mtime_ns, file.name) for file in files] == before
    assert open_forensic(tmp_path / "judge").card["steps"] == 2
    code, error = dcn(*arguments, "--stored", "3", "--out", tmp_path / "tuned")
    assert code == 2
    assert "--stored 3: where codec or pipeline learn, their pictures change" in error


def test_a_codec_keeps_fingerprints(tmp_path: Path, photos: Path, dcn: Dcn) -> None:
    """Alone, without a FAN; what is exported is a codec."""
    pytest.importorskip("colour_demosaicing")
    keep = ["--keep", "prnu", "--classes", "none", "--patch", "64"]
    arguments = [photos, "--model", "tiny", *QUICK, *keep, "--out", tmp_path / "run"]
    code, error = dcn(*arguments, "--max-steps", "1", "--export", tmp_path / "kept")
    assert code == 0, error
    assert "validation: fingerprint " in error
    assert "accuracy" not in error
    model = open_folder(tmp_path / "kept")
    assert model.card["recipe"]["keep"] == ["prnu"]
    code, error = dcn(*arguments[:-2], "--keep", "none", *CLASSES, "--out", tmp_path / "run")
    assert code == 1
    assert "was trained with another" in error


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["--channel", "dcn"], 2, "the channel dcn needs a codec: --model NAME"),
        (["--channel", "png"], 2, "channel png: choose dcn, none, or jpeg:QF"),
        (["--channel", "none", "--trainable", "dcn"], 2, "needs the channel dcn, not none"),
        (
            ["--channel", "none", "--trainable", "fan"],
            2,
            "--trainable fan: choose of dcn, nip, or none",
        ),
        (["--channel", "none", "--classes", "native,emboss"], 2, "--classes emboss: choose from"),
        (["--channel", "none", "--classes", "jpeg"], 2, "at least two different ones"),
        (["--channel", "none", "--patch", "20"], 2, "--patch 20: choose a multiple of 8"),
        (["--channel", "none", "--downsample", "--patch", "24"], 2, "choose a multiple of 16"),
        (
            ["--channel", "none", "--trainable", "nip"],
            2,
            "needs a neural camera pipeline: --nip NAME",
        ),
        (["--channel", "none", "--nip", "standard", "--trainable", "nip"], 2, "needs a neural"),
        (["--channel", "none", "--model", "tiny"], 2, "the channel none has no codec"),
        (["--channel", "none", "--history", "0"], 2, "history 0: choose none, or a JPEG quality"),
        (["--model", "tiny", "--rate", "10-20"], 2, "--rate: the codec tiny has one rate only"),
        (["--model", "tiny", "--ssim-share", "0.2"], 2, "the codec tiny has --lambda-ssim instead"),
        (
            ["--model", "dcn-vr", "--lambda-ssim", "1"],
            2,
            "the codec dcn-vr has --ssim-share instead",
        ),
        (
            ["--model", "dcn-vr", "--lambda-h", "9"],
            2,
            "--lambda-h: the codec dcn-vr weighs bits by",
        ),
        (["--model", "tiny", "--lambda-n", "0.1"], 2, "--lambda-n: no camera pipeline learns"),
        (
            ["--model", "tiny", "--trainable", "none", "--lambda-c", "0.1"],
            2,
            "--lambda-c: no codec learns; leave it out, or see --trainable",
        ),
        (["--channel", "jpeg:50", "--ssim-share", "0.1"], 2, "--ssim-share: no codec learns"),
        (["--model", "tiny", "--rate", "30-20"], 2, "--rate 30-20: choose LO-HI, LO below HI"),
        (["--model", "tiny", "--rate", "10-999"], 2, "choose LO-HI of 0 to 255"),
        (["--model", "tiny", "--critic", "jpeg-21-fan"], 2, "--critic jpeg-21-fan: has a channel"),
        (
            ["--model", "tiny", "--critic", "fan-none", "--critic", "jpeg-21-fan"],
            2,
            "--critic jpeg-21-fan: has a channel",
        ),
        (["--model", "tiny", "--critic", "fan-none", "--critic", "nothing"], 1, "nothing"),
        (
            ["--model", "tiny", "--critic", "fan-none", *CLASSES],
            2,
            "--critic fan-none: tells native,sharpen,",
        ),
        (
            ["--model", "tiny", "--preset", "paper", "--loaders", "2"],
            2,
            "--loaders: no photos are drawn one by one; leave it out",
        ),
        (["--model", "tiny", "--distil-weight", "1"], 2, "--distil-weight: of whose features?"),
        (
            ["--channel", "none", "--critic", "fan-none"],
            2,
            "--critic fan-none: nothing learns from it",
        ),
        (["--model", "tiny", "--keep", "dust"], 2, "--keep dust: choose prnu or none"),
        (["--model", "tiny", "--keep", "prnu", "--downsample"], 2, "halved photos"),
        (["--channel", "none", "--keep", "prnu"], 2, "--keep prnu: no codec learns to"),
        (["--model", "tiny", "--keep", "prnu", "--patch", "56"], 2, "a multiple of 16, 64 or"),
        (["--model", "tiny", "--keep-weight", "3"], 2, "--keep-weight: nothing is kept"),
        (["--model", "tiny", "--classes", "none"], 2, "at least two different ones"),
        (
            ["--model", "tiny", "--keep", "prnu", "--classes", "none", "--fan", "fan-none"],
            2,
            "--fan fan-none: without classes there is no FAN",
        ),
        (
            ["--model", "tiny", "--keep", "prnu", "--classes", "none", "--network", "spectral"],
            2,
            "--network spectral: without classes there is no FAN",
        ),
        (
            ["--channel", "none", "--fan", "fan-none", "--network", "spectral"],
            2,
            "--network: the FAN of fan-none is convolutional; leave it out",
        ),
        (
            ["--channel", "none", "--nip", "inet", "--implementations", "both"],
            2,
            "--implementations both: not behind a neural camera pipeline",
        ),
        (["--channel", "none", "--rate", "10-20"], 2, "--rate: the channel none has no codec"),
        (["--channel", "none", "--critic-weight", "2"], 2, "--critic-weight: of which critic?"),
        (["--channel", "none", "--grid", "skewed"], 2, "'skewed' is not one of"),
        (["--channel", "none", "--resave"], 2, "what follows the channel none is a manipulation"),
        (
            ["--channel", "none", "--nip", "inet", "--history", "90"],
            2,
            "--history 90: not behind a neural camera pipeline",
        ),
        (
            ["--channel", "none", "--nip", "inet", "--retake"],
            2,
            "--retake: not behind a neural camera pipeline; leave it out",
        ),
        (
            ["--model", "tiny", "--keep", "prnu", "--classes", "none", "--retake"],
            2,
            "--retake: without classes no photos are manipulated",
        ),
        (["--lambda-c", "nan"], 2, "not a finite number"),
        (["--lambda-c", "inf"], 2, "not a finite number"),
        (["--channel", "none", "--nip", "inet", "--patch", "48"], 2, "a multiple of 32"),
        (["--channel", "none", "--nip", "tiny"], 1, "tiny: no such camera pipeline"),
        (["--lambda-c", "-1"], 2, "-1"),
        (["--model", "absent"], 1, "absent: no such model"),
        (["--channel", "none", "--export", "Bad Name"], 2, "the folder's name is the model's"),
    ],
)
def test_bad_choices(
    tmp_path: Path, photos: Path, dcn: Dcn, arguments: list[str], code: int, expected: str
) -> None:
    found, error = dcn(photos, "--out", tmp_path / "run", "--max-steps", "1", *arguments)
    assert found == code
    assert expected in error
    assert "Traceback" not in error
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()


def test_the_same_command_goes_on(tmp_path: Path, photos: Path, dcn: Dcn) -> None:
    """With a preset and with a codec that is not installed, too."""
    model = tmp_path / "elsewhere" / "mine"
    shutil.copytree(Path(os.environ["DCN_MODELS"]) / "tiny", model)
    rename(model)
    arguments = [photos, "--preset", "paper", "--model", model, "--out", tmp_path / "run", *QUICK]
    for steps in ("1", "2"):
        code, error = dcn(*arguments, "--max-steps", steps, *CLASSES)
        assert code == 0, error
    assert "resuming" in error
    code, error = dcn(*arguments, "--max-steps", "3", *CLASSES, "--fan", "fan-none")
    assert (code, "began with random weights, not with fan-none" in error) == (1, True)
    code, error = dcn(*arguments, "--max-steps", "2", *CLASSES, "--export", model)
    assert (code, f"--export {model}: holds {model}, which the training" in error) == (2, True)
    fixed = [*arguments[: -len(QUICK)], *QUICK, "--trainable", "none", "--out", tmp_path / "fixed"]
    code, error = dcn(*fixed, "--max-steps", "1", *CLASSES, "--export", tmp_path / "fixed-fan")
    assert code == 0, error
    assert open_forensic(tmp_path / "fixed-fan").card["codec"]["name"] == "mine"
    weights = DCN(4).state_dict()
    content = save({name: tensor.half().contiguous() for name, tensor in weights.items()})
    (model / "model.safetensors").write_bytes(content)
    rename(model)
    code, error = dcn(*fixed, "--max-steps", "2", *CLASSES)
    assert code == 1
    assert "began with mine (" in error


def rename(model: Path) -> None:
    """Give a copied weight folder its own name, and the hash of its weights."""
    card = json.loads((model / "card.json").read_text())
    sha256 = hashlib.sha256((model / "model.safetensors").read_bytes()).hexdigest()
    (model / "card.json").write_text(json.dumps(card | {"name": model.name, "sha256": sha256}))


def test_native_photos(tmp_path: Path, photos: Path, dcn: Dcn) -> None:
    """Simulated cameras and the standard pipeline; RAW files are not passed over in silence."""
    pytest.importorskip("colour_demosaicing")
    pytest.importorskip("tifffile")
    arguments = [photos, "--nip", "standard", "--channel", "none", *CLASSES, *QUICK]
    arguments += ["--patch", "32", "--vary-strengths"]
    target = tmp_path / "native"
    code, error = dcn(*arguments, "--out", tmp_path / "a", "--max-steps", "1", "--export", target)
    assert code == 0, error
    folder = open_forensic(target)
    assert folder.card["nip"] == {"name": "standard"}
    assert folder.card["recipe"]["vary_strengths"]
    assert "Camera pipeline before it: standard" in (target / "forensic.md").read_text()
    assert evaluate(folder, [Photo("a", PHOTO)], "few").patches > 0
    code, error = dcn(*arguments, "--out", tmp_path / "a", "--max-steps", "2", "--fixed-strengths")
    assert code == 1
    assert "was trained with another vary_strengths" in error
    (tmp_path / "raw").mkdir()
    for i in range(2):
        write_dng(acquire(PHOTO, i, MEAN_CAMERA), tmp_path / "raw" / f"{i}.dng")
    code, error = dcn(tmp_path / "raw", *arguments, "--out", tmp_path / "b", "--max-steps", "1")
    assert code == 1
    assert "holds no RAW files, unlike the other sources" in error
    mixed = [tmp_path / "raw", photos, "--channel", "none", *QUICK, *CLASSES]
    code, error = dcn(*mixed, "--out", tmp_path / "c", "--max-steps", "1")
    assert code == 0, error
    assert "RAW files are left out; --nip standard develops them" in error


def test_a_run_of_an_earlier_version_goes_on(tmp_path: Path, photos: Path, dcn: Dcn) -> None:
    """Its recipe has fields that there are no more; with gauges it ends there."""
    arguments = [photos, "--model", "tiny", *CLASSES, *QUICK]
    runs = [tmp_path / "now", tmp_path / "before"]
    for run in runs:
        code, error = dcn(*arguments, "--out", run, "--max-steps", "1")
        assert code == 0, error
    add_to_recipe(runs[1], gauges=False, encoder_rest=0.0)
    for run in runs:
        target = tmp_path / f"from-{run.name}"
        code, error = dcn("--out", run, "--export", target)
        assert code == 0, error
        code, error = dcn(*arguments, "--out", run, "--max-steps", "2", "--export", target)
        assert code == 0, error
        assert "resuming" in error
    folders = [tmp_path / "from-now", tmp_path / "from-before"]
    for name in ("fan.safetensors", "model.safetensors"):
        assert len({(folder / name).read_bytes() for folder in folders}) == 1
    assert not {"gauges", "encoder_rest"} & open_forensic(folders[1]).card["recipe"].keys()
    add_to_recipe(runs[1], gauges=True, encoder_rest=0.6)
    before = (runs[1] / "checkpoint.safetensors").read_bytes()
    for asked in (["--export", tmp_path / "no"], [*arguments, "--max-steps", "3"]):
        code, error = dcn("--out", runs[1], *asked)
        assert code == 1
        assert "checkpoint.safetensors: was trained with gauges, which this version" in error
        assert "Traceback" not in error
    assert (runs[1] / "checkpoint.safetensors").read_bytes() == before
    assert not (tmp_path / "no").exists()


def add_to_recipe(run: Path, **fields: object) -> None:
    """Let a run's checkpoint say more about its recipe."""
    path = run / "checkpoint.safetensors"
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    metadata["recipe"] = json.dumps(json.loads(metadata["recipe"]) | fields)
    path.write_bytes(save(load_file(path), metadata))


def test_the_field(tmp_path: Path, photos: Path, dcn: Dcn) -> None:
    """Its options are kept in the card; a run cannot change them."""
    arguments = [photos, "--channel", "none", "--out", tmp_path / "run", *CLASSES, *QUICK]
    code, error = dcn(*arguments, "--max-steps", "1", "--export", tmp_path / "field")
    assert code == 0, error
    recipe = open_forensic(tmp_path / "field").card["recipe"]
    chosen = {"implementations": "field", "grid": "random", "history": "88-100", "resave": False}
    assert {name: recipe[name] for name in chosen} == chosen
    assert recipe["vary_strengths"]
    code, error = dcn(*arguments, "--max-steps", "2", "--grid", "aligned")
    assert code == 1
    assert "was trained with another grid" in error
    code, error = dcn(
        *arguments, "--out", tmp_path / "paper", "--max-steps", "1", "--preset", "paper"
    )
    assert code == 0, error
    plain = ["--implementations", "paper", "--grid", "aligned", "--history", "none"]
    code, error = dcn(*arguments, "--out", tmp_path / "paper", "--max-steps", "2", *plain)
    assert code == 0, error


def test_a_codec_for_all_rates(tmp_path: Path, photos: Path, dcn: Dcn) -> None:
    """Its networks and the integers of its coder are exported, and any of its rates is judged."""
    target = tmp_path / "rated"
    arguments = [photos, "--model", "dcn-vr", "--rate", "60-200", *CLASSES, *QUICK]
    code, error = dcn(*arguments, "--out", tmp_path / "run", "--max-steps", "1", "--export", target)
    assert code == 0, error
    folder = open_forensic(target)
    assert folder.card["rates"] == [60, 200]
    bpp = [evaluate(folder, [Photo("a", PHOTO)], "few", rate=r).figures()["bpp"] for r in (60, 200)]
    assert 0 < bpp[0] < bpp[1] / 2


def test_nothing_to_train_on(tmp_path: Path, dcn: Dcn) -> None:
    code, error = dcn("--out", tmp_path / "run")
    assert code == 2
    assert "nothing to train on" in error


def test_too_uniform(tmp_path: Path, dcn: Dcn) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(3):
        Image.new("RGB", (160, 160), (90, 90, 90)).save(photos / f"{i}.png")
    code, error = dcn(
        photos, "--channel", "none", "--out", tmp_path / "run", "--max-steps", "1", *QUICK
    )
    assert code == 1
    assert "random patches of 48 pixels vary enough" in error


def test_a_pipeline_learns_with_the_fan(tmp_path: Path, photos: Path, dcn: Dcn) -> None:
    pytest.importorskip("colour_demosaicing")
    arguments = [
        *(photos, "--nip", "inet", "--trainable", "nip", "--downsample", "--channel", "jpeg:50"),
        *("--out", tmp_path / "run", *CLASSES, *QUICK, "--patch", "32", "--lambda-n", "0.002"),
    ]
    code, error = dcn(*arguments, "--max-steps", "2", "--export", tmp_path / "my-camera")
    assert code == 0, error
    folder = open_forensic(tmp_path / "my-camera")
    assert folder.card["nip"]["name"] == "my-camera"
    assert folder.card["lambda_n"] == 0.002
    assert folder.card["results"]["validation"]["nip_psnr"] > 20
    developer = folder.developer("cpu")
    assert developer is not None
    assert developer.network is not None
    evaluation = evaluate(folder, [Photo("a", PHOTO)], "few")
    assert evaluation.figures()["nip_psnr"] > 20
    assert evaluation.patches > 0
    code, error = dcn(*arguments, "--nip", tmp_path / "my-camera", "--max-steps", "3")
    assert code == 1
    assert "was trained with another nip" in error
    # The tuned pipeline, tuned further.
    again = [*arguments, "--nip", tmp_path / "my-camera", "--out", tmp_path / "second"]
    code, error = dcn(*again, "--max-steps", "1", "--export", tmp_path / "more")
    assert code == 0, error
    assert open_forensic(tmp_path / "more").developer("cpu") is not None
    card = json.loads((tmp_path / "more" / "nip" / "card.json").read_text())
    assert (card["name"], card["init"]) == ("more", "my-camera")


def test_a_fan_knows_its_pipeline(tmp_path: Path, photos: Path, dcn: Dcn) -> None:
    pytest.importorskip("colour_demosaicing")
    target = tmp_path / "fan-inet"
    code, error = dcn(
        *(photos, "--nip", "inet", "--channel", "none", "--out", tmp_path / "run", *CLASSES),
        *(*QUICK, "--patch", "32", "--max-steps", "1", "--export", target),
    )
    assert code == 0, error
    folder = open_forensic(target)
    assert folder.card["nip"]["name"] == "inet"
    assert not (target / "nip").exists()
    assert folder.developer("cpu") is not None
    card = json.loads((target / "forensic.json").read_text())
    card["nip"]["sha256"] = "0" * 64
    (target / "forensic.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="does not match the pipeline inet"):
        open_forensic(target).developer("cpu")
