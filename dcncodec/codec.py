"""Images to dcn files and back: a ``Codec`` holds one loaded model for any number of images."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dcncodec.assembly import Region, assembled, decode_exact, put_exact, whole_numbers
from dcncodec.entropy import check_channels, check_model, coder_of, coders_for, means_of
from dcncodec.errors import FormatError, UsageError
from dcncodec.formats import bitstream, container
from dcncodec.formats.coder import ChannelCoder, from_indices
from dcncodec.formats.geometry import MAX_PIXELS, MAX_SIDE, STRIDE, Area
from dcncodec.formats.picture import Picture
from dcncodec.models.card import ModelFolder
from dcncodec.models.registry import DEFAULT_MODEL, find_model
from dcncodec.notices import Notice, Notify, warn
from dcncodec.runtime.engine import choose_threads, open_engine
from dcncodec.runtime.windows import Transforms

if TYPE_CHECKING:
    from dcncodec.encoder.effort import Effort
    from dcncodec.encoder.quality import Quality
    from dcncodec.entropy import Entropy, FileCoder
    from dcncodec.formats.coder import ModelCoder
    from dcncodec.models.context_gradient import BitsGradient
    from dcncodec.runtime.engine import Precision

BARE_SIDE = MAX_SIDE * STRIDE
"""Pixels that a bare bit-stream holds in either direction."""


class Codec:
    """A model ready to encode and decode.

    Args:
        model: name of an installed model, a weight folder, or an opened one.
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N``. GPUs need
            torch or, without it, ONNX Runtime for them.
        precision: ``auto`` (bfloat16 on processors and GPUs that multiply it, else float32),
            ``bf16``, which needs torch on other processors, or ``fp32``. Decoded pixels differ
            between the two by rounding; latents never do.
        threads: on the CPU, at most one a core; None for as many.
        notify: called with what is dropped from a picture, converted or doubtful, with results
            larger than the file that they are made of, and when memory runs out and the work goes
            on with smaller windows, or on the CPU instead of a GPU.
        progress: called with the number of pixels (of whole latents, so a few more than there
            are) whenever a part of a picture has passed the networks.

    Raises:
        MissingLibraryError: what runs the networks so is not installed.
        ModelError: the model is missing or damaged.
        UsageError: the device or precision does not exist, or there are no threads.
    """

    def __init__(
        self,
        model: str | Path | ModelFolder = DEFAULT_MODEL,
        *,
        device: str = "auto",
        precision: Precision = "auto",
        threads: int | None = None,
        notify: Notify = warn,
        progress: Callable[[int], object] | None = None,
    ) -> None:
        self.model = model if isinstance(model, ModelFolder) else find_model(model)
        self.geometry = self.model.geometry
        self.threads = choose_threads(threads)
        engine = open_engine(self.model, device, precision, threads)
        self.transforms = Transforms(engine, self.geometry, notify)
        self._notify = notify
        if progress is not None:
            self.transforms.progress = lambda latents: progress(latents * STRIDE**2)

    def encode(
        self,
        image: object,
        *,
        entropy: Entropy = "auto",
        quality: Quality | None = None,
        rate: int | None = None,
        target_size: int | None = None,
        target_bpp: float | None = None,
        min_psnr: float | None = None,
        min_ssim: float | None = None,
        min_msssim: float | None = None,
        effort: int = 0,
        palette: bool = True,
        keep_metadata: bool = True,
        max_pixels: int | None = MAX_PIXELS,
    ) -> bytes:
        """Compress an image into a .dcn file.

        Args:
            image: a path, the bytes or a stream of a file, an array, list or tensor (see
                ``formats.image.from_array``), a Pillow image or a ``Picture``.
            entropy: how latents are coded, ``channel``, ``global`` or ``context``; ``auto`` takes
                what gives the smallest file.
            quality: 0 (the fewest bits) to 100, or ``low``, ``medium`` (the default) or ``high``,
                for models with rates.
            rate: the same as 0 to 255; models of one rate ignore it.
            target_size: bytes of the file at most; the best file that is not larger.
            target_bpp: the same in bits per pixel.
            min_psnr: dB at least, above 0 to 100; the lowest rate that has it, or the one after.
            min_ssim, min_msssim: the same, above 0 to 1; pictures have at least 7 x 7 and 161 x 161
                pixels. One of these seven may be given, and all but ``rate`` take a model with
                rates.
            effort: 0 to 9, how much work is done for a smaller file at the same quality; from 1 on
                by models that say what bits are worth, as those with rates do. Decoders are the
                same, and on one machine so are the files.
            palette: whether text, line art and flat colours may be stored exactly, as a palette and
                indices, where that is worth its bytes.
            keep_metadata: whether ICC, EXIF and XMP go into the file. Without its profile a picture
                is converted to sRGB.
            max_pixels: refuse larger images; None for no limit.

        Returns:
            The file's bytes.

        Raises:
            ImageError: the image cannot be read.
            LimitError: it has more than ``max_pixels``.
            TargetError: no rate reaches the size or the likeness.
            UsageError: the model's latents cannot be coded so, there is no such quality or rate,
                the model has one rate, or two of them are asked for; or there is no such effort.
        """
        # What only encoding needs is loaded here: decoding is to start at once.
        from dcncodec.encoder.effort import check_effort
        from dcncodec.encoder.encoding import Encoding
        from dcncodec.encoder.quality import NAMED, aim_of
        from dcncodec.encoder.search import reach
        from dcncodec.encoder.target import TARGETS, Target
        from dcncodec.formats.image import as_picture, strip

        check_effort(effort, self.model)
        coders = self.coders(entropy)
        targets = (target_size, target_bpp, min_psnr, min_ssim, min_msssim)
        aim = aim_of(self.model, quality, rate, dict(zip(TARGETS, targets, strict=True)))
        picture = as_picture(image, max_pixels)
        if not keep_metadata:
            picture = strip(picture)
        self._tell(picture)
        header = self.header(picture, str(quality) if quality in NAMED else "")
        work = self.effort(effort)
        encoding = Encoding(self.model, self.transforms, coders, header, picture, work, palette)
        data = reach(aim, encoding) if isinstance(aim, Target) else encoding.file(aim)
        if picture.file_bytes is not None and len(data) > picture.file_bytes:
            text = f"became larger: {len(data):,} bytes of {picture.file_bytes:,}"
            self._notify(Notice("quality", text, picture.source))
        return data

    def effort(self, level: int) -> Effort | None:
        """What a level of effort stands for; None for 0.

        Raises:
            ModelError: the model's coder is damaged, or missing.
            UsageError: as ``check_effort``.
        """
        from dcncodec.encoder.effort import Effort, check_effort

        check_effort(level, self.model)
        if not level:
            return None
        coder, gradient = self._model_coder
        return Effort(level, self.model, coder, gradient)

    @cached_property
    def _model_coder(self) -> tuple[ModelCoder, BitsGradient]:
        """The coder that has a model, and the gradient of its bits."""
        from dcncodec.formats.context_coder import ContextCoder
        from dcncodec.models.context_gradient import BitsGradient

        (coder, *_) = coders_for(self.model, "context", self.threads)
        assert isinstance(coder, ContextCoder)
        return coder, BitsGradient(coder.model)

    def _tell(self, picture: Picture) -> None:
        """Pass on what is known about a picture."""
        for notice in picture.notices:
            self._notify(notice)

    def header(self, picture: Picture, quality: str = "") -> container.Header:
        """What a file of a picture says about it.

        Args:
            quality: the name that was asked for, of ``encoder.quality.NAMED``; empty for none.
        """
        height, width = picture.pixels.shape[:2]
        return container.Header(
            width=width,
            height=height,
            grey=picture.grey,
            alpha=picture.alpha is not None,
            quality=quality,
            model=self.model.name,
            model_hash=self.model.prefix,
        )

    def coders(self, entropy: Entropy) -> list[FileCoder]:
        """What codes latents in a mode; see ``entropy.coders_for``."""
        return coders_for(self.model, entropy, self.threads)

    def encode_bare(self, image: object) -> bytes:
        """Compress an image into the paper's bit-stream alone (Table A.1).

        It says neither the size before padding to multiples of 8, nor the model. Pictures with a
        profile are converted to sRGB.

        Raises:
            UsageError: the image needs more than one block, or has an alpha channel, or the
                model's latents exceed the codebook.
        """
        from dcncodec.formats.image import as_picture, to_srgb

        picture = to_srgb(as_picture(image, MAX_PIXELS))
        self._tell(picture)
        height, width = picture.pixels.shape[:2]
        if not self.geometry.has_codebook:
            raise UsageError(
                f"the latents of model {self.model.name} do not fit a bare stream; drop --bare"
            )
        if max(height, width) > BARE_SIDE:
            raise UsageError(
                f"a bare stream holds at most {BARE_SIDE} x {BARE_SIDE} pixels; drop --bare"
            )
        if picture.alpha is not None:
            raise UsageError("a bare stream cannot hold an alpha channel; drop --bare")
        latents = self.transforms.analyse(picture.pixels, self.header(picture).plane)
        return ChannelCoder("channel", self.threads).encode(latents)

    def decode_bare(self, data: bytes) -> Picture:
        """The picture of a bare bit-stream, in multiples of 8 pixels.

        Raises:
            FormatError: the stream is damaged or of a model with other latents.
        """
        indices = bitstream.decode_block(data, self.threads, bare=True)
        check_channels(len(indices), self.model)
        if not self.geometry.has_codebook:
            raise FormatError(f"a bare stream cannot hold the latents of {self.model.name}")
        area = Area(0, 0, *indices.shape[1:])
        return Picture(self.transforms.synthesise(from_indices(indices), area, area))

    def decode(
        self,
        data: bytes | memoryview | container.Reader,
        *,
        region: Region | None = None,
        max_pixels: int | None = MAX_PIXELS,
    ) -> Picture:
        """The picture in a .dcn file, or a part of it.

        Args:
            data: the file's bytes, or the file as ``container.read`` gives it.
            region: left, top, right, bottom in pixels; only the blocks that it touches are
                decoded.
            max_pixels: refuse larger pictures (or regions); None for no limit.

        Raises:
            FormatError: the file is damaged.
            LimitError: the picture has more than ``max_pixels``.
            ModelError: the file was encoded with another model.
            UsageError: the region is none, or does not lie inside the picture.
        """
        file = data
        if not isinstance(file, container.Reader):
            file = container.read(file, max_pixels=max_pixels if region is None else None)
        header = file.header
        check_model(header, self.model)
        exact = decode_exact(file, region=region, max_pixels=max_pixels, notify=self._notify)
        if exact is not None:
            return exact
        region = whole_numbers(region, header)
        area = header.region(*region)
        outer = area.grown(self.geometry.halo, header.plane)
        latents = self.latents(file, outer)
        means = means_of(file, self.model)
        pixels = self.transforms.synthesise(latents, outer, area, file.rate, means)
        put_exact(file, pixels, area)
        return assembled(file, pixels, area, region, self._notify)

    def latents(self, file: container.Reader, area: Area) -> NDArray[np.int16]:
        """The code words of an area of a file's latent plane, int16 (N, rows, columns).

        Only the blocks that the area touches are decoded.

        Raises:
            FormatError: one of them is damaged, or has other channels than the model.
            ModelError: the file was coded with another model's coder.
        """
        coder = coder_of(file, self.model, self.threads)
        latents = np.empty((self.geometry.channels, area.rows, area.columns), np.int16)
        for number in file.header.blocks_in(area):
            decoded = file.latents(number, coder)
            block = file.header.block(number)
            shared = area.grown(0, block)
            latents[shared.latents_in(area)] = decoded[shared.latents_in(block)]
        return latents
