"""Families of models, one module each, found by its name.

A family's module says what its cards hold (``models.card``) and builds its networks. A card names
its family; so whoever adds a family adds its module here, and its network beside this package.
Importing these modules does not import torch: only building a network does.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from functools import cache

from dcncodec.errors import ModelError
from dcncodec.formats.geometry import Geometry
from dcncodec.models.roles import Role
from dcncodec.typed import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing import Any

    from torch import nn

    from dcncodec.formats.coder import ModelCoder
    from dcncodec.models.card import ModelFolder
    from dcncodec.models.network import Network
    from dcncodec.models.program import Program, Transform


class Family(Protocol):
    """What a family's module holds.

    Attributes:
        ROLE: what its models are for.
        TITLE: what they are called.
        MAKER: the command that makes one.
    """

    ROLE: Role
    TITLE: str
    MAKER: str

    def check(self, card: Mapping[str, Any]) -> bool:
        """Whether a card has what loading needs; KeyError, TypeError and ValueError also mean no.

        Its name and the hashes of its parts are checked for all families (``models.card``).
        """
        ...

    def text(self, card: Mapping[str, Any]) -> str:
        """The card made readable, as Markdown."""
        ...

    def network(self, folder: ModelFolder) -> nn.Module:
        """The network with its weights, in float32, ready for inference.

        Raises:
            ModelError: the weights are missing, damaged, or do not fit the card.
        """
        ...


class CodecFamily(Family, Protocol):
    """What the module of a family of codecs holds besides; its networks are ``Network``."""

    def geometry(self, card: Mapping[str, Any]) -> Geometry:
        """What the latents of a model are."""
        ...

    def slope(self, card: Mapping[str, Any], rate: int) -> float | None:
        """What the training weighed distortion with: bits per pixel for a mean squared error of one
        level of 255; None where the card does not say."""
        ...

    def network(self, folder: ModelFolder) -> Network:
        """See ``Family``."""
        ...

    def program(self, folder: ModelFolder, transform: Transform) -> Program:
        """One of the networks with its weights, as layers.

        Families without this function run in torch alone.

        Raises:
            ModelError: the weights are missing, damaged, or do not fit the card.
        """
        ...

    def coder(self, folder: ModelFolder) -> ModelCoder | None:
        """The coder that a model brings along, None without one.

        Raises:
            ModelError: its weights are missing or damaged.
        """
        ...


@cache
def names() -> list[str]:
    """The names of all families."""
    # Not by pkgutil, which loads much to look for more than files.
    files = (os.path.splitext(file) for folder in __path__ for file in os.listdir(folder))
    return sorted(name for name, suffix in files if suffix == ".py" and name != "__init__")


@cache
def find_family(name: str) -> Family:
    """The family of a name.

    Raises:
        ValueError: there is none.
    """
    # Only what lies in this package: names come from cards, which anybody may have written.
    if name not in names():
        raise ValueError(f"no family of models is called {name!r}")
    module: Any = importlib.import_module(f"{__name__}.{name}")
    family: Family = module
    return family


def find_codec(name: str) -> CodecFamily:
    """The family of codecs of a name.

    Raises:
        ValueError: there is none.
    """
    family: Any = find_family(name)
    if family.ROLE is not Role.CODEC:
        raise ValueError(f"models of the family {name!r} are no codecs")
    codec: CodecFamily = family
    return codec


def has_programs(name: str) -> bool:
    """Whether a family of codecs describes its networks as layers, and so runs without torch."""
    return hasattr(find_codec(name), "program")


def write_graph(folder: ModelFolder, transform: Transform) -> bytes:
    """One of a codec's networks as an ONNX model; see ``Transform``.

    Raises:
        ModelError: its family has no programs, or as ``CodecFamily.program``.
    """
    if not has_programs(folder.family):
        raise ModelError(f"models of the family {folder.family} have no graphs", folder.path)
    from dcncodec.models.program_graph import to_onnx

    return to_onnx(find_codec(folder.family).program(folder, transform))
