"""Window by window equals the whole image; running out of memory loses nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dcncodec.errors import LimitError
from dcncodec.formats.geometry import STRIDE, Area, Geometry
from dcncodec.models.dcn import DCN
from dcncodec.models.families.dcn import HALO
from dcncodec.notices import Notice
from dcncodec.runtime.torch_engine import TorchEngine
from dcncodec.runtime.windows import SMALLEST_WINDOW, WINDOW, Transforms

CHANNELS = 4
GEOMETRY = Geometry(CHANNELS, HALO)


def _codec() -> DCN:
    torch.manual_seed(5)
    return DCN(CHANNELS).eval().requires_grad_(False)


def _transforms(window: int, notices: list[Notice] | None = None) -> Transforms:
    engine = TorchEngine(_codec(), torch.device("cpu"), torch.float32)
    transforms = Transforms(engine, GEOMETRY, [].append if notices is None else notices.append)
    transforms.window = window
    return transforms


@pytest.fixture
def pixels() -> np.ndarray:
    rng = np.random.default_rng(7)
    return rng.integers(0, 256, (203, 318, 3), np.uint8)


def plane_of(pixels: np.ndarray) -> Area:
    return Area(0, 0, -(-pixels.shape[0] // STRIDE), -(-pixels.shape[1] // STRIDE))


def test_areas_partition_without_overlap() -> None:
    area = Area(3, 5, 103, 64)
    seen = np.zeros((100, 59), int)
    for window in area.windows(17):
        assert window.bottom - window.top <= 17
        assert window.right - window.left <= 17
        seen[window.within(area)] += 1
    assert (seen == 1).all()


@pytest.mark.parametrize("window", [7, 16, 33])
def test_windows_give_the_latents_of_the_whole_image(pixels: np.ndarray, window: int) -> None:
    plane = plane_of(pixels)
    whole = _transforms(1000).analyse(pixels, plane)
    parts = _transforms(window).analyse(pixels, plane)
    # Another order of summation may move a value across a rounding threshold, rarely, by one.
    assert np.abs(whole.astype(int) - parts).max() <= 1
    assert (whole != parts).mean() < 1e-3


def test_an_area_gives_its_part_of_the_latents(pixels: np.ndarray) -> None:
    plane, area = plane_of(pixels), Area(4, 9, 20, 31)
    whole = _transforms(1000).analyse(pixels, plane)
    part = _transforms(1000).analyse(pixels, area)
    assert (whole[(slice(None), *area.within(plane))] != part).mean() < 1e-3


@pytest.mark.parametrize("window", [7, 16])
def test_windows_give_the_pixels_of_the_whole_image(window: int) -> None:
    latents = np.random.default_rng(1).integers(-15, 17, (CHANNELS, 26, 40), np.int16)
    plane = Area(0, 0, 26, 40)
    whole = _transforms(1000).synthesise(latents, plane, plane)
    parts = _transforms(window).synthesise(latents, plane, plane)
    assert whole.shape == (26 * STRIDE, 40 * STRIDE, 3)
    assert np.abs(whole.astype(int) - parts).max() <= 1


def test_a_region_needs_only_its_halo() -> None:
    latents = np.random.default_rng(1).integers(-15, 17, (CHANNELS, 40, 40), np.int16)
    plane, area = Area(0, 0, 40, 40), Area(12, 0, 20, 9)
    outer = area.grown(HALO, plane)
    assert outer == Area(12 - HALO, 0, 20 + HALO, 9 + HALO)
    whole = _transforms(1000).synthesise(latents, plane, plane)
    held = latents[(slice(None), *outer.within(plane))]
    part = _transforms(1000).synthesise(held, outer, area)
    expected = whole[area.within(plane, STRIDE)]
    assert np.abs(expected.astype(int) - part).max() <= 1


def test_edges_are_padded_by_repetition(pixels: np.ndarray) -> None:
    padded = np.pad(pixels, ((0, -203 % 8), (0, -318 % 8), (0, 0)), mode="edge")
    assert (
        _transforms(16).analyse(pixels, plane_of(pixels))
        == _transforms(16).analyse(padded, plane_of(padded))
    ).all()


class _SmallGpu(Transforms):
    """Pretends to be a GPU that holds windows of at most ``fits`` latents."""

    fits = 0

    def each_window(self, area: Area, run: object, side: int = WINDOW, passes: int = 1) -> None:
        def limited(window: Area) -> None:
            if self.engine.device != "cpu" and window.bottom - window.top > self.fits:
                raise torch.OutOfMemoryError("too large")
            run(window)  # type: ignore[operator]

        if getattr(run, "__name__", "") == "limited":
            super().each_window(area, run)  # type: ignore[arg-type]
        else:
            super().each_window(area, limited)


@pytest.mark.parametrize(("fits", "moves"), [(64, False), (0, True)])
def test_out_of_memory_shrinks_windows_then_moves_to_the_cpu(
    monkeypatch: pytest.MonkeyPatch, fits: int, moves: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    notices: list[Notice] = []
    engine = TorchEngine(_codec(), torch.device("cpu"), torch.float32)
    gpu = _SmallGpu(engine, GEOMETRY, notices.append)
    gpu.fits = fits
    # The tensors stay on the CPU; only the device's name claims otherwise.
    engine._device = torch.device("meta")
    monkeypatch.setattr(torch.Tensor, "to", _to_ignoring_meta(torch.Tensor.to))
    latents = np.random.default_rng(1).integers(-15, 17, (CHANNELS, 100, 9), np.int16)
    plane = Area(0, 0, 100, 9)
    pixels = gpu.synthesise(latents, plane, plane)
    expected = _transforms(1000).synthesise(latents, plane, plane)
    assert np.abs(expected.astype(int) - pixels).max() <= 1
    assert all("out of memory" in str(notice) for notice in notices)
    assert (engine.device == "cpu") == moves
    assert gpu.window == (SMALLEST_WINDOW if moves else 64)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 16.0 MiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("std::bad_alloc"),
    ],
)
def test_out_of_memory_on_the_cpu(error: Exception) -> None:
    notices: list[Notice] = []
    transforms = _transforms(128, notices)
    plane, done = Area(0, 0, 100, 40), []
    transforms.progress = done.append

    def run(window: Area, fits: int) -> None:
        if window.bottom - window.top > fits:
            raise error

    transforms.each_window(plane, lambda window: run(window, 50))
    assert transforms.window == 64
    assert sum(done) == 100 * 40
    assert [notice.kind for notice in notices] == ["memory"]
    with pytest.raises(LimitError, match="not enough memory even for windows of 256 pixels"):
        transforms.each_window(plane, lambda window: run(window, 10))


def test_other_errors_of_a_window_pass() -> None:
    def run(window: Area) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        _transforms(128).each_window(Area(0, 0, 9, 9), run)


def _to_ignoring_meta(original: object) -> object:
    def to(self: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        if args and args[0] == torch.device("meta"):
            return self
        return original(self, *args, **kwargs)  # type: ignore[operator, no-any-return]

    return to
