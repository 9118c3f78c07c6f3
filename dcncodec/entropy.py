"""Which coder a file's latents have, and which they get; nothing here imports torch."""

from __future__ import annotations

from dcncodec.errors import FormatError, ModelError, UsageError
from dcncodec.formats.coder import ChannelCoder, ModelCoder
from dcncodec.formats.coding import CODING_BYTES, Coding
from dcncodec.formats.geometry import HASH_BYTES
from dcncodec.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from dcncodec.formats.coder import Coder, Latents
    from dcncodec.formats.header import Header
    from dcncodec.formats.means import Means
    from dcncodec.formats.reader import Reader
    from dcncodec.models.card import ModelFolder

    Entropy = Literal["auto", "channel", "global", "context"]
    """How latents are coded; ``auto`` takes what gives the smallest file."""

    FileCoder = ChannelCoder | ModelCoder
    """What the blocks of a file can be coded with."""


def coders_for(model: ModelFolder, entropy: Entropy, threads: int) -> list[FileCoder]:
    """What codes a model's latents in a mode; for ``auto`` all that they allow.

    Raises:
        ModelError: the model's own coder is damaged, or missing and the only one.
        UsageError: there is none.
    """
    found: list[FileCoder] = []
    if entropy in {"auto", "context"} and (own := model.own_coder) is not None:
        own.threads = threads
        found.append(own)
    if entropy != "context" and model.geometry.has_codebook:
        found.append(ChannelCoder(entropy, threads))
    if not found and entropy == "auto":
        raise ModelError(
            "has no context model, without which its latents cannot be coded; "
            "install the model again",
            model.path,
        )
    if not found:
        raise UsageError(
            f"entropy mode {entropy}: model {model.name} does not have it; leave it to auto"
        )
    return found


def coder_of(file: Reader, model: ModelFolder, threads: int) -> FileCoder:
    """What decodes a file's blocks.

    Raises:
        FormatError: the file and its model contradict each other.
        ModelError: it was coded with another coder.
    """
    check_channels(file.latent_channels, model)
    if file.coding is None:
        if not model.geometry.has_codebook:
            raise FormatError(f"its blocks cannot hold the latents of {model.name}")
        return ChannelCoder(threads=threads)
    coder = model.coder_for(file.coding)
    coder.threads = threads
    return coder


def coder_to_verify(file: Reader) -> Coder | None:
    """What decodes all that a file holds, to check it; None where that takes no model.

    Raises:
        FormatError: the file holds what its model does not have.
        ModelError: its model is not installed, or coded it with another coder.
    """
    if file.coding is None:
        return None
    from dcncodec.models.registry import find_by_prefix

    folder = find_by_prefix(file.header.model, file.header.model_hash, file.coding)
    means_of(file, folder)
    return folder.coder_for(file.coding)


def check_channels(channels: int, model: ModelFolder) -> None:
    """Compare a stream's latent channels with the model's.

    Raises:
        FormatError: they differ.
    """
    if channels != model.geometry.channels:
        raise FormatError(
            f"holds {channels} latent channels, but model {model.name} has "
            f"{model.geometry.channels}"
        )


def means_of(file: Reader, model: ModelFolder) -> Means | None:
    """What regions have beside their latents; None without any.

    Raises:
        FormatError: they are damaged, or the model has none.
    """
    if file.means is not None and not model.geometry.means:
        raise FormatError(f"holds means, which model {model.name} does not have")
    return file.means


def check_model(header: Header, model: ModelFolder) -> None:
    """Compare the model that a file names with another.

    Raises:
        ModelError: it is not that one.
    """
    if header.model_hash != model.prefix:
        raise ModelError(
            f"encoded with model {header.model} ({header.model_hash.hex()}), not with "
            f"{model.name} ({model.prefix.hex()})"
        )


class Candidates:
    """The blocks of a file, coded by each of several coders until it is known whose are smallest.

    Args:
        coders: all that are tried.
        channels: N of the latents.
        rate: 0..255, ignored where the model has one rate.
    """

    def __init__(self, coders: Sequence[FileCoder], channels: int, rate: int) -> None:
        self._coders, self._channels, self._rate = coders, channels, rate
        self._coded: list[list[bytes]] = [[] for _ in coders]

    def add(self, latents: Latents) -> None:
        """Code the next block, int16 (N, rows, columns)."""
        for coder, blocks in zip(self._coders, self._coded, strict=True):
            blocks.append(coder.encode(latents, self._rate))

    def smallest(self) -> tuple[list[bytes], Coding | None]:
        """The blocks that take the fewest bytes in a file, and what that says of their coder."""
        codings = [self._coding(coder) for coder in self._coders]
        sizes = [
            sum(map(len, blocks)) + (coding is not None) * CODING_BYTES
            for blocks, coding in zip(self._coded, codings, strict=True)
        ]
        best = sizes.index(min(sizes))
        return self._coded[best], codings[best]

    def _coding(self, coder: FileCoder) -> Coding | None:
        if isinstance(coder, ChannelCoder):
            return None
        return Coding(self._rate, self._channels, coder.sha256[:HASH_BYTES])
