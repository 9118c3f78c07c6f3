"""A Pillow plugin: after ``import dcncodec.pillow_plugin``, Pillow opens and saves .dcn files.

    image = Image.open("photo.dcn")                  # size and metadata at once, pixels on demand
    image.save("copy.dcn", quality="high")           # or model=..., entropy=...

Modes are L, LA, RGB and RGBA. ``info`` holds ``icc_profile``, ``exif`` and ``xmp`` where the file
has them; saving keeps them. Neither importing this module nor opening a file imports torch.
"""

from __future__ import annotations

from typing import IO, Any

from PIL import Image, ImageFile

from dcncodec.errors import DcnError
from dcncodec.formats.container import read
from dcncodec.formats.sections import SIGNATURE

FORMAT = "DCN"
MODES = {(False, False): "RGB", (False, True): "RGBA", (True, False): "L", (True, True): "LA"}
SAVE_OPTIONS = ("quality", "model", "entropy", "device", "precision")


class DcnImageFile(ImageFile.ImageFile):
    """A .dcn file opened by Pillow; its pixels are decoded when they are needed."""

    format = FORMAT
    format_description = "dcn learned image codec"

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
        for name, value in (
            ("icc_profile", metadata.icc),
            ("exif", metadata.exif),
            ("xmp", metadata.xmp),
        ):
            if value is not None:
                self.info[name] = value
        self.tile = []
        self._decoded = False

    def load(self) -> Image.core.PixelAccess | None:  # type: ignore[name-defined]
        """Decode the pixels, once.

        Raises:
            OSError: the file is damaged or its model is missing.
        """
        if not self._decoded:
            from dcncodec.codec import decode

            try:
                image = decode(self._data, kind="pil", max_pixels=None)
            except DcnError as error:
                raise OSError(str(error)) from None
            assert isinstance(image, Image.Image)
            self.im = image.im
            self._decoded = True
        return super().load()


def _save(image: Image.Image, file: IO[bytes], _: str | bytes) -> None:
    from dcncodec.codec import encode

    options: dict[str, Any] = {
        name: image.encoderinfo[name] for name in SAVE_OPTIONS if name in image.encoderinfo
    }
    try:
        file.write(encode(image, **options))
    except DcnError as error:
        raise OSError(str(error)) from None


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(SIGNATURE)


Image.register_open(FORMAT, DcnImageFile, _accept)
Image.register_save(FORMAT, _save)
Image.register_extension(FORMAT, ".dcn")
Image.register_mime(FORMAT, "image/x-dcn")
