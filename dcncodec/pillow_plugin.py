"""A Pillow plugin: after ``import dcncodec.pillow_plugin``, Pillow opens and saves .dcn files.

    image = Image.open("photo.dcn")                  # size and metadata at once, pixels on demand
    image.save("copy.dcn", quality="high")           # or 0 to 100; model=..., entropy=...
    image.save("small.dcn", target_size=50_000)      # or target_bpp, min_psnr, min_ssim, min_msssim
    image.save("smaller.dcn", quality=50, effort=6)  # 0 to 9: more work, fewer bytes
    image.save("bare.dcn", exif=None)                # also icc_profile=, xmp=

Modes are L, LA, RGB and RGBA. ``info`` holds ``icc_profile``, ``exif`` and ``xmp`` where the file
has them. Saving keeps those of ``info`` unless an argument replaces them; None or nothing (``b""``)
leaves one out. Without its profile a picture keeps its numbers, as in Pillow. Notices become
warnings (`dcncodec.notices`). Neither importing this module nor opening a file imports torch.
"""

from __future__ import annotations

import io
from typing import IO, Any

from PIL import Image, ImageFile

from dcncodec.encoder.target import TARGETS
from dcncodec.entropy import coder_to_verify
from dcncodec.errors import DcnError
from dcncodec.formats.container import read
from dcncodec.formats.sections import SIGNATURE

FORMAT = "DCN"
MODES = {(False, False): "RGB", (False, True): "RGBA", (True, False): "L", (True, True): "LA"}
SAVE_OPTIONS = ("quality", *TARGETS, "effort", "palette", "model", "entropy", "device", "precision")
BLOCKS = ("icc_profile", "exif", "xmp")


class DcnImageFile(ImageFile.ImageFile):
    """A .dcn file opened by Pillow; its pixels are decoded when they are needed."""

    format = FORMAT
    format_description = "dcn learned image codec"
    # Of images that were unpickled, whose pixels are there.
    _data: bytes | None = None

    def _open(self) -> None:
        assert self.fp is not None
        self._data = self.fp.read()
        try:
            file = read(self._data, max_pixels=None)
            metadata = file.metadata
        except DcnError as error:
            # Pillow then tries its other formats, and at last says that it knows none.
            raise SyntaxError(str(error)) from None
        self._size = file.header.width, file.header.height
        self._mode = MODES[file.header.grey, file.header.alpha]
        for name, value in zip(BLOCKS, (metadata.icc, metadata.exif, metadata.xmp), strict=True):
            if value is not None:
                self.info[name] = value
        self.tile = []

    def load(self) -> Image.core.PixelAccess | None:  # type: ignore[name-defined]
        """Decode the pixels, once, and close the file.

        Raises:
            OSError: the file is damaged or its model is missing.
        """
        if self._data is not None:
            from dcncodec.oneline import decode

            try:
                image = decode(self._data, kind="pil", max_pixels=None)
            except DcnError as error:
                raise OSError(str(error)) from None
            assert isinstance(image, Image.Image)
            self._data = None
            if self.fp is not None and self._exclusive_fp:
                self.fp.close()
            # As Pillow's own plugins do whose libraries decode whole pictures.
            self.fp = io.BytesIO(image.tobytes())
            self.tile = [ImageFile._Tile("raw", (0, 0, *self.size), 0, self.mode)]
        return super().load()

    def verify(self) -> None:
        """Check the whole file, by the model that coded it, and close it.

        Raises:
            OSError: it is damaged, or its model is missing.
        """
        data, self._data = self._data, None
        super().verify()
        if data is not None:
            try:
                file = read(data, max_pixels=None)
                file.verify(coder_to_verify(file))
            except DcnError as error:
                raise OSError(str(error)) from None


def _save(image: Image.Image, file: IO[bytes], _: str | bytes) -> None:
    from dcncodec.oneline import encode

    given = image.encoderinfo
    options: dict[str, Any] = {name: given[name] for name in SAVE_OPTIONS if name in given}
    # A copy shares the pixels; what it is told about them may differ.
    described = image.copy() if any(name in given for name in BLOCKS) else image
    for name in BLOCKS:
        if name in given:
            block = given[name]
            block = block.tobytes() if isinstance(block, Image.Exif) else block
            described.info[name] = block or None
    try:
        file.write(encode(described, **options))
    except DcnError as error:
        raise OSError(str(error)) from None


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(SIGNATURE)


Image.register_open(FORMAT, DcnImageFile, _accept)
Image.register_save(FORMAT, _save)
Image.register_extension(FORMAT, ".dcn")
Image.register_mime(FORMAT, "image/x-dcn")
