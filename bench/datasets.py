"""The images of a benchmark: the Kodak set, other named sets, or any folder."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcncodec.errors import ImageError, UsageError
from dcncodec.formats.files import atomic_write, make_folder
from dcncodec.formats.guard import images_in
from dcncodec.formats.image import read_image

Pixels = NDArray[np.uint8]

DATA_VARIABLE = "DCN_DATA"
NAMED = ("kodak", "clic", "raw")
"""Sets that are folders of that name in a data folder; only ``kodak`` is fetched."""
KODAK_URL = "http://r0k.us/graphics/kodak/kodak/"
KODAK_BYTES = 1 << 20
"""More than any image of that set has."""
TIMEOUT_S = 30
KODAK_SHA256 = (
    "a56e27cbf5f843c048b6af1d6e090760e9c92fadba88b7dee0205918a37523bd",
    "4f4b74a79237e311d72cad958237b5f7088d8bce1c82305ebefe1a70e3022dfd",
    "e25ca1ff2f0c0cb5fdfd5f9b0a0bb21ac4c3de3c84a67f35b09a85d3306249db",
    "e3b946107c5d3441c022f678d0c3caf1e224d81b1604ba840a4f88e562de61aa",
    "10349e963c5c813d327852f82c1795fa4148d69fedffc4c589bee458e3ac3d53",
    "363510303b715d4cbc384e1ce227e466b613a09e1b71ae985882bf8e7fbd9b18",
    "b77d3f006f42414bb242222e0482e750c0fb9e5ee8d4bed2f6f11c5605fe54a4",
    "ba23983c76b4832ee0e8af0592664756841a16779acd69f792e268fb6d13d6e7",
    "6a4361c2fc194feb4edaa9f9a4a0620fb9943e460ac7fdf037fb0f6dd6607a7d",
    "9dfb70f5867c29ff9ed6313683f19b3d867849e40fbc0c4c54a4a89df341cf23",
    "7936814b58b5387fce2e4e2488b4ec830dadd95fa9520f358ddb30990b50f2b6",
    "d78c37c2f04f23761ed2367dd77e2db584ddd4c3950833fecf89f199a8126980",
    "bc34a3ce58dea09dce1704c997171602de90cb34d0c8503a988b77f473d39b08",
    "55a94550ff18f3246c4074fd32b77b0c74447c26b6ad274d564d999c0450ba6e",
    "7538cbb80cb9103606c48b806eae57d56c885c7f90b9b3be70a41160f9cbb683",
    "a89c7268ccd4718ba424a99fc4643c572cf692ca6eae887185ceb4e9f11d2e54",
    "37afcc89fbdcb76d9518e04b2fc011027e2f4cd14b3b2f83cefd721641a47c5b",
    "1a9258c365988961d87a0598725b609139c303ad48a5aad6c503c3b1a87849aa",
    "b7450b264b1b0a411390d8931b112c27905a992520fc90569dc4b920aa32bbdc",
    "3b46c71e3b92a563820ba32936be8330c586c41f938efd94be938386aae4328a",
    "ac958597c82073f6bb65129c68f72b651db5b9efd82e11547d07350214bc268b",
    "1cee58eb1f2d9c7ebb254d208a03c783ce6cf2c4d8c2cf45e235dd23b4ce1b29",
    "e3111a2fd4da24af15d6459ef9eacfe54106b38e27b4a21821b75c3f5d2d5baf",
    "1071c68372cc5a01435c2c225a5cf7d4bb803846ec08bb6b3d6721b156d7cb96",
)
"""Of kodim01.png to kodim24.png: 768 x 512 pixels, released for unrestricted use."""


@dataclass(frozen=True)
class Item:
    """One image of a set.

    Attributes:
        name: the file's name, without suffix where that is unique.
        path: the file.
        crop: side of the centre crop in pixels; None for the whole image.
    """

    name: str
    path: Path
    crop: int | None = None

    def load(self) -> Pixels:
        """RGB pixels, uint8 (H, W, 3); alpha is left out.

        Raises:
            ImageError: the file cannot be read, or the image is smaller than the crop.
        """
        pixels = read_image(self.path).pixels
        if self.crop is None:
            return pixels
        height, width = pixels.shape[:2]
        if min(height, width) < self.crop:
            raise ImageError(
                f"{width} x {height} pixels; a crop of {self.crop} needs a larger one", self.path
            )
        top, left = (height - self.crop) // 2, (width - self.crop) // 2
        return np.ascontiguousarray(pixels[top : top + self.crop, left : left + self.crop])


def digest(pixels: Pixels) -> str:
    """SHA-256 of an image's size and pixels, in hexadecimal."""
    content = hashlib.sha256(repr(pixels.shape).encode())
    content.update(np.ascontiguousarray(pixels).data)
    return content.hexdigest()


def cache_folder() -> Path:
    """The user's cache of dcn: ``$XDG_CACHE_HOME/dcn``, or ``~/.cache/dcn``."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "dcn"


def find(name: str, data_dir: Path | None = None, crop: int | None = None) -> list[Item]:
    """The images of a set, sorted by name.

    Args:
        name: ``kodak``, ``clic`` or ``raw``, which are looked for in ``data_dir``, ``$DCN_DATA``
            and the user's cache; or a folder; or an image file.
        data_dir: where named sets are looked for first.
        crop: side of centre crops; None for whole images.

    Raises:
        UsageError: there is no such set or folder, or it holds no images.
        ImageError: the Kodak set is nowhere and cannot be fetched.
    """
    path = Path(name)
    if name in NAMED:
        files = _named(name, data_dir)
    elif path.is_dir():
        files = images_in(path)
    elif path.is_file():
        files = [path]
    else:
        raise UsageError(f"--dataset {name}: choose {', '.join(NAMED)}, or name a folder")
    if not files:
        raise UsageError(f"--dataset {name}: no images of a known kind in {path}")
    stems = [file.stem for file in files]
    # a.jpg and a.png are two images.
    names = [file.name if stems.count(file.stem) > 1 else file.stem for file in files]
    return [Item(name, file, crop) for name, file in zip(names, files, strict=True)]


def _named(name: str, data_dir: Path | None) -> list[Path]:
    variable = os.environ.get(DATA_VARIABLE)
    roots = [data_dir, Path(variable) if variable else None, cache_folder()]
    folders = [root / name for root in roots if root is not None]
    for folder in folders:
        if folder.is_dir() and (files := images_in(folder)):
            if name == "kodak":
                files = [file for file in files if file.name in _kodak_names()]
                if len(files) < len(KODAK_SHA256):
                    continue
            return files
    if name == "kodak":
        return fetch_kodak(folders[-1])
    searched = ", ".join(map(str, folders))
    raise UsageError(
        f"--dataset {name}: no images in {searched}; put them there, or name their folder"
    )


def _kodak_names() -> list[str]:
    return [f"kodim{number:02d}.png" for number in range(1, len(KODAK_SHA256) + 1)]


def fetch_kodak(folder: Path) -> list[Path]:
    """Download what is missing of the Kodak set, 15 MB, and check every file's hash.

    Raises:
        ImageError: the site cannot be reached, or a file is not the expected one.
    """
    from rich.console import Console
    from rich.progress import track

    make_folder(folder)
    files = [folder / name for name in _kodak_names()]
    console = Console(stderr=True)
    jobs = list(zip(files, KODAK_SHA256, strict=True))
    for file, expected in track(jobs, "Kodak images", console=console):
        if _is_expected(file, expected):
            continue
        url = KODAK_URL + file.name
        with _reachable(url), urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
            # The site offers no encryption; the hash tells what it should send, and how long to
            # listen at most.
            content = response.read(KODAK_BYTES)
        if hashlib.sha256(content).hexdigest() != expected:
            raise ImageError("not the image expected (SHA-256 differs); fetch it again", url)
        with atomic_write(file, overwrite=True) as target:
            target.write(content)
    return files


def _is_expected(file: Path, sha256: str) -> bool:
    try:
        known = file.is_file() and file.stat().st_size <= KODAK_BYTES
        return known and hashlib.sha256(file.read_bytes()).hexdigest() == sha256
    except OSError:
        return False


@contextmanager
def _reachable(url: str) -> Iterator[None]:
    try:
        yield
    except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        reason = getattr(reason, "strerror", None) or reason
        raise ImageError(
            f"cannot be fetched ({reason}); go online, or give a folder that holds "
            "kodak/kodim01.png to kodim24.png with --data-dir",
            url,
        ) from None
