"""Evaluation behind real files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from dcncodec.camera.acquisition import acquire
from dcncodec.camera.develop import Developer
from dcncodec.codec import Codec
from dcncodec.errors import ImageError, TrainingError, UsageError
from dcncodec.forensics import evaluate as module
from dcncodec.forensics.analysis import SPECTRUM_SIDE, attenuation, ssim_changes
from dcncodec.forensics.calibration import measure
from dcncodec.forensics.evaluate import Evaluation, evaluate
from dcncodec.forensics.field_evaluation import evaluate_field
from dcncodec.forensics.folder import ForensicFolder, open_forensic
from dcncodec.forensics.patches import cut, is_varied
from dcncodec.forensics.photos import Photo, Photos
from dcncodec.forensics.pooling import Pooling
from dcncodec.forensics.tables import paper_table
from dcncodec.forensics.transmission import Transmission
from dcncodec.forensics.verdict import Calibration
from dcncodec.forensics.wifs import evaluate_wifs
from dcncodec.formats.dng import write_dng
from dcncodec.formats.raw import Frame
from dcncodec.metrics import psnr, to_unit
from dcncodec.models.fan import FAN

Pixels = NDArray[np.uint8]


def unit(pixels: Pixels) -> torch.Tensor:
    return to_unit(torch.from_numpy(pixels.copy())).unsqueeze(0)


def test_transmission_through_files(photo: Pixels, tiny_model: Path) -> None:
    codec = Codec(tiny_model, device="cpu")
    received = Transmission("dcn", codec).send(photo[:99, :107])
    assert received.pixels.shape == (99, 107, 3)
    assert received.bytes_payload == len(codec.encode_bare(photo[:99, :107]))
    received = Transmission("jpeg:30").send(photo)
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "JPEG", quality=30, subsampling=0, optimize=True)
    assert np.array_equal(received.pixels, np.asarray(Image.open(file)))
    assert received.bytes_payload is not None
    assert received.bytes_payload < len(file.getvalue())
    received = Transmission("none", downsample=True).send(photo)
    assert received.bytes_payload is None
    assert received.pixels is received.sent
    means = photo.reshape(80, 2, 112, 2, 3).mean((1, 3))
    assert np.abs(received.pixels - means).max() <= 0.5


def test_photos_of_more_than_one_block(tiny_model: Path) -> None:
    codec = Codec(tiny_model, device="cpu")
    wide = np.random.default_rng(0).integers(0, 256, (16, 2048, 3), np.uint8)
    received = Transmission("dcn", codec).send(wide)
    data = codec.encode(wide)
    assert np.array_equal(received.pixels, codec.decode(data).pixels)
    assert received.bytes_payload == len(data)


def test_patches_are_cut_in_order(photo: Pixels) -> None:
    squares, places = cut(photo, 64)
    assert places == [(0, 0), (0, 64), (0, 128), (64, 0), (64, 64), (64, 128)]
    assert np.array_equal(squares[5], photo[64:128, 128:192])
    with pytest.raises(ImageError, match="224 x 160 pixels: too small for a patch of 200"):
        cut(photo, 200)


class Oracle(FAN):
    """Tells blurred patches by their detail."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        detail = (pixels[..., 1:] - pixels[..., :-1]).abs().mean((1, 2, 3))
        return torch.stack([detail - 0.04, 0.04 - detail], 1) * 1000


def test_confusion_and_figures(
    photo: Pixels, forensic_folder: module.Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = open_forensic(forensic_folder("fan", "jpeg:90"))
    monkeypatch.setattr(type(folder), "load_fan", lambda self: Oracle(2))
    sharp = np.random.default_rng(0).integers(0, 256, photo.shape, np.uint8)
    found = evaluate(folder, [Photo("sharp", sharp)], "noise")
    # Noise keeps its detail only while it is not blurred... and then has less, but enough.
    assert found.confusion.sum() == 2 * 35
    assert found.confusion[0].tolist() == [35, 0]
    assert found.accuracy == pytest.approx(np.trace(found.confusion) / 70)
    assert found.psnr is not None
    assert found.bpp is not None
    sent = Transmission("jpeg:90").send(sharp)
    expected = float(psnr(unit(sent.sent), unit(sent.pixels)))
    assert found.psnr["native"] == pytest.approx(expected)
    assert sent.bytes_payload is not None
    assert found.bpp["native"] == pytest.approx(sent.bytes_payload * 8 / (160 * 224))
    figures = found.figures()
    assert figures["bpp"] == pytest.approx(np.mean(list(found.bpp.values())), abs=1e-4)
    assert figures["native_bpp"] == pytest.approx(found.bpp["native"], abs=1e-4)
    assert figures["patches"] == 35


def test_photos_as_a_whole(photo: Pixels, forensic_folder: module.Callable[..., Path]) -> None:
    """Verdicts of a calibrated FAN; the other figures are those without."""
    medians = torch.tensor([[0, 0, 1, 0, 0, 0], [0, 0, 0, 1, 0, 0]])
    pooling = Pooling(medians.double(), torch.zeros(2).double())
    entry = Calibration({0.01: (99, 99), 0.05: (-99, 99)}, -99, 1, {}, pooling).entry()
    known = evaluate(
        open_forensic(forensic_folder("known", verdict=entry)), [Photo("a", photo)], "one"
    )
    plain = evaluate(open_forensic(forensic_folder("plain")), [Photo("a", photo)], "one")
    figures = known.figures()
    strict, lenient = figures.pop("photos_0.01"), figures.pop("photos_0.05")
    assert (strict["false_alarms"], strict["detected"]) == (0, 0)
    assert (lenient["false_alarms"], lenient["detected"]) == (1, 1)
    assert figures == plain.figures()
    head = paper_table([plain, known]).head
    assert head.index("detected, %") < head.index("bpp")
    assert "detected, %" not in paper_table([plain]).head


def test_flat_patches_do_not_count(
    photo: Pixels, forensic_folder: module.Callable[..., Path]
) -> None:
    folder = open_forensic(forensic_folder("fan"))
    found = evaluate(folder, [Photo("photo", photo)], "photos")
    varied = int(is_varied(to_unit(cut(photo, 32)[0])).sum())
    assert found.patches == varied < 35
    assert found.bpp is None
    flat = np.full_like(photo, 90)
    with pytest.raises(TrainingError, match="no patch of 32 pixels varies enough"):
        evaluate(folder, [Photo("flat", flat)], "flat")


def test_photos_that_are_too_small(
    photo: Pixels, forensic_folder: module.Callable[..., Path]
) -> None:
    folder = open_forensic(forensic_folder("half", downsample=True))
    with pytest.raises(ImageError, match="narrow: 30 x 80 pixels: too small for a patch"):
        evaluate(folder, [Photo("narrow", photo[:, :60])], "photos")


def test_native_photos(
    tmp_path: Path, photo: Pixels, forensic_folder: module.Callable[..., Path]
) -> None:
    """RAW files, or simulated frames, that the standard pipeline develops."""
    pytest.importorskip("rawpy")
    pytest.importorskip("colour_demosaicing")
    write_dng(acquire(photo, 3), tmp_path / "first.dng")
    (tmp_path / "first.png").write_bytes(b"beside it, as cameras save it")
    photos = Photos(tmp_path)
    assert [taken.name for taken in photos] == ["first"]
    taken = next(iter(photos)).finished()
    assert taken.shape == photo.shape
    assert float(psnr(unit(taken), unit(photo))) > 20
    plain = evaluate(open_forensic(forensic_folder("plain")), photos, "raw")
    native = evaluate(
        open_forensic(forensic_folder("native", nip={"name": "standard"})), photos, "raw"
    )
    assert np.array_equal(plain.confusion, native.confusion)
    assert native.nip_psnr is None
    finished, _ = Photo("a", photo).developed(Developer("standard"), 0)
    assert 0 < np.abs(finished.astype(int) - photo).mean() < 20


def test_every_protocol_judges_what_a_camera_pipeline_gives(
    photo: Pixels,
    forensic_folder: module.Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that gives flat pictures leaves nothing to judge."""

    class Flat:
        network = to_srgb = None

        def develop(self, frame: Frame) -> Pixels:
            return np.full_like(photo, 128)

    Image.fromarray(photo).save(tmp_path / "a.png")
    folder = open_forensic(forensic_folder("fan", classes=["native", "jpeg", "median"]))
    for measured in (evaluate, evaluate_field, evaluate_wifs, measure):
        measured(folder, Photos(tmp_path), "finished")
    monkeypatch.setattr(ForensicFolder, "developer", lambda self: Flat())
    for measured in (evaluate, evaluate_field, evaluate_wifs, measure):
        with pytest.raises(TrainingError, match="developed: "):
            measured(folder, Photos(tmp_path), "developed")


def test_folders_without_photos(tmp_path: Path) -> None:
    for folder, complaint in ((tmp_path / "absent", "no such"), (tmp_path, "holds no photos")):
        with pytest.raises(UsageError, match=complaint):
            Photos(folder)


def test_accuracy_of_a_matrix() -> None:
    matrix = np.array([[3, 1], [2, 4]])
    found = Evaluation("f", "d", ("native", "jpeg"), matrix, None, None, None)
    assert found.accuracy == pytest.approx(0.7)


def test_attenuation(tiny_model: Path) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (SPECTRUM_SIDE, 2 * SPECTRUM_SIDE, 3), np.uint8)
    nothing = attenuation([Photo("noise", noise)], Transmission("none"))
    assert np.abs(nothing).max() < 1e-6
    jpeg = attenuation([Photo("noise", noise)], Transmission("jpeg:10"))
    middle = SPECTRUM_SIDE // 2
    high = jpeg[:8].mean()
    low = jpeg[middle - 6 : middle + 7, middle - 6 : middle + 7].mean()
    assert high < low - 3


def test_ssim_changes(photo: Pixels) -> None:
    found = ssim_changes([Photo("a", photo)], Transmission("jpeg:90"), Transmission("jpeg:10"))
    before, after = found["a"]
    assert 1 > before > after > 0
