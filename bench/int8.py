"""What a codec's synthesis would gain and lose in 8-bit integers, in ONNX Runtime.

    python -m dcncodec.bench.int8 dcn-32c photos/*.png

Weights are quantised by channel, activations by the range that they have for every other photo
(QDQ); speed and loss are those of the photos between, one thread, beside float32. Needs onnx and
onnxruntime (``pip install onnx onnxruntime``).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dcncodec.formats.geometry import MAX_RATE, STRIDE
from dcncodec.formats.image import read_image
from dcncodec.likeness import decibel
from dcncodec.models.families import write_graph
from dcncodec.models.program import Transform
from dcncodec.models.registry import find_model
from dcncodec.records import record
from dcncodec.runtime.onnx_engine import OnnxEngine

if TYPE_CHECKING:
    from dcncodec.models.card import ModelFolder

SIDE = 256
"""Pixels of a photo along each side, at most: its upper left."""
RUNS = 9
"""Of a network for each photo."""

Pixels = NDArray[np.uint8]
Feed = dict[str, NDArray[np.float32]]


@record
class Comparison:
    """Synthesis in integers beside that in float32.

    Attributes:
        rate: of the model.
        speed: float32's median processor time over that of integers.
        float_psnr, int8_psnr: of the mean squared error over the photos, dB.
    """

    rate: int
    speed: float
    float_psnr: float
    int8_psnr: float


def compare(model: ModelFolder, photos: Sequence[Pixels]) -> list[Comparison]:
    """Measure a codec at its lowest, middle and highest rate.

    Args:
        model: the codec.
        photos: at least two, uint8 (H, W, 3), sides of at least 8 pixels.
    """
    rates = (0, (MAX_RATE + 1) // 2, MAX_RATE) if model.geometry.rates else (0,)
    engine = OnnxEngine(model, "cpu", 1)
    crops = [_crop(photo) for photo in photos]
    learned = (_feed(engine, model, crop, rate) for crop in crops[::2] for rate in rates)
    with TemporaryDirectory() as folder:
        sessions = _sessions(write_graph(model, Transform.SYNTHESIS), learned, Path(folder))
    return [_compare(sessions, engine, model, crops[1::2], rate) for rate in rates]


def _crop(photo: Pixels) -> Pixels:
    rows, columns = (min(side, SIDE) // STRIDE * STRIDE for side in photo.shape[:2])
    return photo[:rows, :columns]


def _feed(engine: OnnxEngine, model: ModelFolder, pixels: Pixels, rate: int) -> Feed:
    """What the graph of synthesis takes."""
    geometry = model.geometry
    words = np.rint(engine.analysis(pixels, rate)).clip(geometry.first, geometry.last)
    feed = {"latent": words[None].astype(np.float32)}
    return feed | ({"rate": np.array([rate], np.float32)} if geometry.rates else {})


def _sessions(graph: bytes, learned: Iterator[Feed], folder: Path) -> list[Any]:
    """The graph as it is, and in integers."""
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Photos(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> Feed | None:
            return next(learned, None)

    files = folder / "float.onnx", folder / "int8.onnx"
    files[0].write_bytes(graph)
    quantize_static(*files, Photos(), per_channel=True, weight_type=QuantType.QInt8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return [onnxruntime.InferenceSession(file.read_bytes(), options) for file in files]


def _compare(
    sessions: list[Any],
    engine: OnnxEngine,
    model: ModelFolder,
    photos: Sequence[Pixels],
    rate: int,
) -> Comparison:
    seconds: list[list[float]] = [[], []]
    errors: list[list[float]] = [[], []]
    for photo in photos:
        feed = _feed(engine, model, photo, rate)
        for which, session in enumerate(sessions):
            for _ in range(RUNS):
                begin = time.process_time()
                (found,) = session.run(None, feed)
                seconds[which].append(time.process_time() - begin)
            errors[which].append(float(np.square((photo - found[0].astype(float)) / 255).mean()))
    speed = float(np.median(seconds[0]) / np.median(seconds[1]))
    return Comparison(rate, speed, *(decibel(1 - float(np.mean(some))) for some in errors))


def main(name: str, *photos: str) -> None:
    """Print what comes of a model and photos."""
    for found in compare(find_model(name), [read_image(Path(photo)).pixels for photo in photos]):
        print(
            f"{name} at rate {found.rate}: {found.speed:.1f} times as fast, "
            f"{found.float_psnr:.2f} -> {found.int8_psnr:.2f} dB"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
