"""The report's viewer: what it holds, and how it behaves in a headless browser."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dcncodec.bench import datasets, report, viewer
from dcncodec.bench.codecs import specs
from dcncodec.bench.results import Results
from dcncodec.bench.viewer import Rate, Scene, Version


def pixels_of(source: str) -> datasets.Pixels:
    """What a ``data:`` URI shows."""
    kind, data = source.split(",", 1)
    assert kind == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def test_scenes_meet_the_rate_of_the_model(photos: Path, tiny_model: Path) -> None:
    chosen = specs([str(tiny_model), "jpeg", "jpeg2000"])
    items = datasets.find(str(photos))
    steps: list[str] = []
    found = viewer.scenes(chosen, items, steps.append)
    assert [scene.name for scene in found] == ["cat", "rocket"]
    assert steps == ["viewer: cat", "viewer: rocket"]
    for scene, item in zip(found, items, strict=False):
        assert (scene.width, scene.height) == (192, 176)
        np.testing.assert_array_equal(pixels_of(scene.original.source), item.load())
        (rate,) = scene.rates
        tiny, *others = rate.versions
        assert rate.title == tiny.label == "tiny"
        assert [version.label for version in others] == ["JPEG 4:4:4", "JPEG 2000"]
        for version in others:
            assert version.bpp == pytest.approx(tiny.bpp, rel=viewer.TOLERANCE)
            assert version.psnr is not None


def test_large_images_are_cut_to_their_middle(photos: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(viewer, "SIDE", 100)
    items = datasets.find(str(photos))
    scene, _ = viewer.scenes(specs(["jpeg"]), items)
    assert (scene.width, scene.height) == (100, 100)
    middle = items[0].load()[38:138, 46:146]
    np.testing.assert_array_equal(pixels_of(scene.original.source), middle)
    # Without a model there is a rate all the same.
    assert scene.rates[0].title == "0.5 bpp"


def test_codecs_that_miss_the_rate_are_left_out(photos: Path, monkeypatch: Any) -> None:
    items = datasets.find(str(photos))[:1]
    monkeypatch.setattr(viewer, "FALLBACK_BPP", 0.01)
    (scene,) = viewer.scenes(specs(["jpeg"]), items)
    assert scene.rates[0].versions == []


def test_models_share_a_rate_or_have_their_own(
    photos: Path, tiny_model: Path, tmp_path: Path
) -> None:
    twin = tmp_path / "twin"
    shutil.copytree(tiny_model, twin)
    card = json.loads((twin / "card.json").read_text())
    (twin / "card.json").write_text(json.dumps(card | {"name": "twin"}))
    items = datasets.find(str(photos))[:1]
    (scene,) = viewer.scenes(specs([str(tiny_model), str(twin)]), items)
    (rate,) = scene.rates
    assert [version.label for version in rate.versions] == ["tiny", "twin"]


def test_what_fails_is_left_out(photos: Path, tmp_path: Path, tiny_model: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny_model, broken)
    chosen = specs([str(broken), "jpeg"])
    (broken / "model.safetensors").write_bytes(b"damaged")
    items = datasets.find(str(photos))[:1]
    items.append(replace(items[0], path=tmp_path / "none.png"))
    (scene,) = viewer.scenes(chosen, items)
    assert [v.label for rate in scene.rates for v in rate.versions] == ["JPEG 4:4:4"]


def test_the_reference(tiny_model: Path) -> None:
    assert viewer.reference(specs(["jpeg"])) is None
    found = viewer.reference(specs(["jpeg", str(tiny_model)]))
    assert found is not None
    assert found[1] == "tiny"


PROBE = """
<script>
// Virtual time does not wait for images to be decoded: give it something to count.
const clock = setInterval(() => {}, 1);
window.addEventListener("load", () => setTimeout(async () => {
  const get = (name) => document.getElementById(name);
  const facts = () => get("facts").textContent;
  const labels = (name) => [...get(name).options].map((option) => option.textContent);
  const select = (name, value) => {
    get(name).value = value;
    get(name).dispatchEvent(new Event("change"));
  };
  const space = (target) =>
    target.dispatchEvent(new KeyboardEvent("keydown", {key: " ", bubbles: true}));
  const pixel = async (image) => {
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    canvas.getContext("2d").drawImage(image, 0, 0);
    return [...canvas.getContext("2d").getImageData(5, 7, 1, 1).data];
  };
  const above = get("above"), below = get("below"), stage = get("stage");
  await Promise.all([above.decode(), below.decode()]);
  const found = {};
  const box = above.getBoundingClientRect();
  found.density = devicePixelRatio;
  found.scale = [above, below].map(
    (image) => image.naturalWidth / image.getBoundingClientRect().width / devicePixelRatio);
  found.size = [above.naturalWidth, above.naturalHeight];
  found.start = facts();
  stage.dispatchEvent(new PointerEvent("pointermove", {clientX: box.left + box.width / 4}));
  found.clip = above.style.clipPath;
  found.divider = get("divider").style.left;
  stage.click();
  found.clicked = facts();
  document.querySelector("input[value=flip]").click();
  found.flip = [facts()];
  found.clips = [above.style.clipPath];
  space(document.body);
  found.flip.push(facts());
  found.clips.push(above.style.clipPath);
  space(get("left"));
  found.flip.push(facts());
  stage.click();
  found.flip.push(facts());
  document.querySelector("input[value=slide]").click();
  found.lists = ["scene", "rate", "left", "right"].map(labels);
  select("right", 2);
  select("rate", 1);
  found.second = facts();
  found.lists2 = labels("left");
  found.pixels = [await pixel(above), await pixel(below)];
  select("scene", 1);
  found.other = facts();
  found.lists3 = ["rate", "left"].map(labels);
  found.width = above.getBoundingClientRect().width * devicePixelRatio;
  found.fetched = performance.getEntriesByType("resource").map((entry) => entry.name)
    .filter((name) => !name.startsWith("data:"));
  try { found.network = (await fetch("https://example.org/")).status; }
  catch (error) { found.network = "refused"; }
  const result = document.createElement("pre");
  result.id = "probe";
  result.textContent = JSON.stringify(found);
  document.body.append(result);
  clearInterval(clock);
}, 100));
</script>
"""


def version(label: str, bpp: float, value: int, size: tuple[int, int] = (64, 48)) -> Version:
    """A grey image."""
    pixels = np.full((size[1], size[0], 3), value, np.uint8)
    return Version(label, bpp, 30.0, 0.9, viewer.data_uri(pixels))


SCENES = [
    Scene(
        "first",
        64,
        48,
        replace(version("original", 24.0, 10), psnr=None, ssim=None),
        [
            Rate("low", [version("low", 0.25, 20), version("JPEG", 0.26, 30)]),
            Rate("high", [version("high", 0.5, 40), version("BPG", 0.5, 50)]),
        ],
    ),
    Scene("second", 80, 48, version("original", 24.0, 60, (80, 48)), [Rate("only", [])]),
]


@pytest.fixture(scope="session")
def browser() -> str:
    """A Chromium on PATH."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("needs chromium")
    return found


@pytest.mark.parametrize("density", [1, 2])
def test_the_viewer_in_a_browser(
    results: Results, browser: str, tmp_path: Path, density: int
) -> None:
    page = tmp_path / "report.html"
    page.write_text(report.page(results, {}, SCENES).replace("</body>", PROBE + "</body>"))
    done = subprocess.run(
        [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu"),
            *(f"--user-data-dir={tmp_path}/profile", f"--force-device-scale-factor={density}"),
            *("--virtual-time-budget=60000", "--dump-dom", page.as_uri()),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    probe = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    assert probe is not None, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(probe[1])
    low, jpeg = "low, 0.250 bpp, 30.00 dB, SSIM 0.9000", "JPEG, 0.260 bpp, 30.00 dB, SSIM 0.9000"
    assert found["density"] == density
    assert found["scale"] == pytest.approx([1, 1])
    assert found["size"] == [64, 48]
    # Sliding: a quarter of the left image is shown; clicks change nothing.
    assert found["start"] == found["clicked"] == f"{low}  |  {jpeg}"
    assert found["clip"].startswith(f"inset(0px {48 / density:g}px 0px 0px")
    assert found["divider"] == f"{16 / density:g}px"
    # Flipping: by the space bar, but not from a list, and by a click.
    assert found["flip"] == [low, jpeg, jpeg, low]
    assert found["clips"][0].startswith("inset(0px")
    assert found["clips"][1].startswith(f"inset(0px {64 / density:g}px")
    assert found["lists"] == [
        ["first", "second"],
        ["low", "high"],
        *[["low", "JPEG", "original"]] * 2,
    ]
    # At the other rate the right side keeps its codec, the left one has no more.
    assert found["lists2"] == ["high", "BPG", "original"]
    assert found["second"] == "high, 0.500 bpp, 30.00 dB, SSIM 0.9000  |  original, 24.000 bpp"
    assert found["pixels"] == [[40, 40, 40, 255], [10, 10, 10, 255]]
    assert found["lists3"] == [["only"], ["original"]]
    assert found["other"].startswith("original, 24.000 bpp")
    assert found["width"] == pytest.approx(80)
    assert found["fetched"] == []
    assert found["network"] == "refused"


def test_without_scenes_the_viewer_is_hidden(
    results: Results, browser: str, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    page.write_text(report.page(results, {}, []))
    done = subprocess.run(
        [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu"),
            *(f"--user-data-dir={tmp_path}/profile", "--dump-dom", page.as_uri()),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert '<div id="viewer" hidden="">' in done.stdout
