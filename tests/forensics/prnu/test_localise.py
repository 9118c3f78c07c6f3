"""Finding changed parts."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from sensor_shots import CAMERA, gains, shot

from dcncodec.errors import ImageError, ModelError
from dcncodec.forensics.prnu.fingerprint import Fingerprint
from dcncodec.forensics.prnu.localise import (
    STEP,
    Predictor,
    heat_map,
    localise,
    samples_of,
    spread,
    window_features,
    window_ncc,
)

K = gains(CAMERA)
WINDOW = 33


@pytest.fixture(scope="module")
def predictor(camera: Fingerprint) -> Predictor:
    samples = [samples_of(shot(K, seed), camera, WINDOW, seed) for seed in range(40, 48)]
    return Predictor.fit(samples, WINDOW)


def test_a_pasted_part_is_found(camera: Fingerprint, predictor: Predictor) -> None:
    photo = shot(K, 60)
    clean = localise(photo, camera, predictor)
    photo[40:140, 60:180] = shot(gains(9), 60)[40:140, 60:180]
    found = localise(photo, camera, predictor)
    assert found.shape == (-(-(192 - 32) // STEP), -(-(256 - 32) // STEP))
    pixels = spread(found, photo.shape, WINDOW)
    assert pixels.shape == (192, 256)
    assert (pixels[60:120, 80:160] > 0.5).mean() > 0.95
    assert (pixels[:, 200:] > 0.5).mean() < 0.05
    assert (clean > 0.5).mean() < 0.05
    picture = np.asarray(Image.open(io.BytesIO(heat_map(photo, found, WINDOW))).convert("RGB"))
    assert picture.shape[1] == 256
    redness = picture[..., 0].astype(int) - picture[..., 2]
    assert redness[60:120, 80:160].mean() > 60
    assert np.abs(redness[:192, 210:]).mean() < 10


def test_predictor(predictor: Predictor) -> None:
    assert predictor.photos == 8
    assert 0 < predictor.absent < predictor.present + 0.1
    again = Predictor.from_dict(predictor.as_dict(), "camera")
    features = np.random.default_rng(0).random((5, 7, 4))
    assert np.array_equal(again.predict(features), predictor.predict(features))
    assert (predictor.predict(features) >= 0).all()


def test_damaged_predictors_are_refused(predictor: Predictor) -> None:
    with pytest.raises(ModelError, match="camera: has no predictor"):
        Predictor.from_dict(None, "camera")
    good = predictor.as_dict()
    for entries in (
        {},
        good | {"weights": [0.0]},
        good | {"present": 0.0},
        good | {"window": 32},
        good | {"absent": "x"},
        good | {"absent": 1e-300},
        good | {"present": 1e308},
        good | {"weights": [1e308] * 15},
        good | {"weights": [float("nan")] * 15},
    ):
        with pytest.raises(ModelError, match="damaged predictor"):
            Predictor.from_dict(entries, "camera")


def test_refused(camera: Fingerprint, predictor: Predictor) -> None:
    with pytest.raises(ImageError, match="less than a window of 201"):
        samples_of(shot(K, 0), camera, 201, 0)
    with pytest.raises(ImageError, match="if it was cropped"):
        localise(shot(K, 0)[:150, :150], camera, predictor)
    black = samples_of(np.zeros((192, 256, 3), np.uint8), camera, WINDOW, 0)
    with pytest.raises(ImageError, match="no noise to predict"):
        Predictor.fit([black], WINDOW)
    few = samples_of(shot(K, 0), camera, 191, 0)
    with pytest.raises(ImageError, match="9 windows are too few"):
        Predictor.fit([few], 191)


def test_correlations_are_those_of_windows() -> None:
    rng = np.random.default_rng(0)
    x, y = (rng.normal(0.5, 1, (60, 70)).astype(np.float32) for _ in range(2))
    found = window_ncc(x, y + x, 21)
    assert found.shape == (5, 7)
    for row, column in ((0, 0), (2, 3), (4, 6)):
        place = np.s_[8 * row : 8 * row + 21, 8 * column : 8 * column + 21]
        expected = np.corrcoef(x[place].ravel(), (y + x)[place].ravel())[0, 1]
        assert found[row, column] == pytest.approx(expected, abs=1e-4)


def test_features() -> None:
    pixels = np.full((192, 256, 3), 100, np.uint8)
    pixels[:, 128:] = np.random.default_rng(0).integers(0, 200, (192, 128, 3))
    pixels[:, :64] = 255
    found = window_features(pixels, WINDOW)
    assert found.shape == (20, 28, 4)
    assert ((found >= -1e-6) & (found <= 1 + 1e-6)).all()
    saturated, middle, textured = found[10, 1], found[10, 10], found[10, 26]
    assert saturated[0] < 0.1
    assert middle[0] == pytest.approx(0.4, abs=0.02)
    assert (middle[1:3] > 0.95).all()
    assert (textured[1:3] < 0.1).all()
