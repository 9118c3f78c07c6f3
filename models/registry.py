"""Finds models on disk: the bundled ones, those in ``$DCN_MODELS``, or any weight folder.

One registry for models of all roles (``models.families``), which are never mixed up. A name finds
bundled models first; a path has a separator (or is a ``Path``), so that nothing in the working
directory is taken by accident; a hash finds its model in any folder. A damaged folder is skipped
with a notice. Nothing here imports torch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from dcncodec.errors import ModelError
from dcncodec.formats.coding import Coding
from dcncodec.formats.geometry import HASH_BYTES
from dcncodec.models.bundled import FOLDER, bundled_codec
from dcncodec.models.card import CARD_FILE, FAN_CARD, ModelFolder, read_model
from dcncodec.models.families import find_family, names
from dcncodec.models.roles import Role
from dcncodec.notices import Notice, Notify, warn

WEIGHTS = Path(FOLDER)
SEARCH_VARIABLE = "DCN_MODELS"
DEFAULT_MODEL = "dcn-vr"
"""What encodes where no model is named."""
PAPER_MODELS = ("dcn-16c", "dcn-32c", "dcn-64c")
"""The paper's models of one rate each, from the fewest bits to the most."""
TUNED = "nip"
"""Sub-folder of a forensic folder with the camera pipeline that was tuned with its FAN."""
PLACES = (CARD_FILE, FAN_CARD, f"{TUNED}/{CARD_FILE}")
"""Where cards lie in a folder."""


def open_folder(path: Path, role: Role | None = Role.CODEC) -> ModelFolder:
    """The model in a weight folder.

    Args:
        path: the folder.
        role: of the model; None for the first that the folder holds.

    Raises:
        ModelError: there is none of that role, or its card is damaged.
    """
    other = None
    for place in PLACES:
        if (path / place).is_file():
            folder = read_model(path / place)
            if role in {None, folder.role}:
                return folder
            other = other or folder
    if other is not None:
        raise ModelError(f"is a {other.role.value}, not a {(role or Role.CODEC).value}", path)
    card = FAN_CARD if role is Role.FAN else CARD_FILE
    raise ModelError(f"not a model folder (no {card}); '{_maker(role)}' makes one", path)


def _maker(role: Role | None) -> str:
    """The command that makes models of a role."""
    families = (find_family(name) for name in names())
    return next(f.MAKER for f in families if f.ROLE is (role or Role.CODEC))


def _bringer(role: Role | None) -> str:
    """What brings the forensic networks, which no plain installation has; empty where some are."""
    if role is not Role.FAN or list_models(role, lambda _: None):
        return ""
    return "pip install 'dcncodec[forensics]' brings some; "


def search_path() -> list[Path]:
    """Folders that hold weight folders: the bundled ones, then those in ``$DCN_MODELS``."""
    extra = os.environ.get(SEARCH_VARIABLE, "")
    return [WEIGHTS, *(Path(part) for part in extra.split(os.pathsep) if part)]


def _installed(notify: Notify) -> Iterator[tuple[str, ModelFolder]]:
    """Every installed model with the name by which it is found, in the order of the search."""
    for root in search_path():
        try:
            folders = sorted(path for path in root.iterdir() if path.is_dir())
        except OSError as error:
            if root != WEIGHTS:
                notify(Notice("model", f"cannot be read ({error.strerror})", str(root)))
            continue
        for path in folders:
            for place in PLACES:
                card_path = path / place
                if not card_path.is_file():
                    continue
                try:
                    model = read_model(card_path)
                except ModelError as error:
                    notify(Notice("model", f"skipped: {error.reason}", str(card_path)))
                    continue
                # A pipeline that was tuned goes by the name of the folder around it.
                yield (path.name if card_path.parent != path else model.name), model


def list_models(role: Role | None = Role.CODEC, notify: Notify = warn) -> list[ModelFolder]:
    """Every installed model of a role (None: of any), by name; the search path's first win.

    Args:
        role: of the models.
        notify: told of folders that are damaged, and skipped.
    """
    found: dict[tuple[str, str], ModelFolder] = {}
    for name, model in _installed(notify):
        if role in {None, model.role}:
            found.setdefault((name, model.role.name), model)
    return [found[key] for key in sorted(found)]


def is_path(name_or_path: str | Path) -> bool:
    """Whether what a user gave is a path instead of a name: it has a separator."""
    return isinstance(name_or_path, Path) or any(
        sign in name_or_path for sign in {os.sep, os.altsep or os.sep}
    )


def find_model(
    name_or_path: str | Path, role: Role | None = Role.CODEC, notify: Notify = warn
) -> ModelFolder:
    """An installed model of a role (None: of any) by name, or a weight folder by path.

    Args:
        name_or_path: a text with a separator, or a ``Path``, is a path.
        role: of the model.
        notify: told of folders that are damaged, and skipped.

    Raises:
        ModelError: there is none of that name, or the folder is not such a model.
    """
    if is_path(name_or_path):
        return open_folder(Path(name_or_path), role)
    for name, model in _installed(notify):
        if name == name_or_path and role in {None, model.role}:
            return model
    known = ", ".join(dict.fromkeys(m.name for m in list_models(role, lambda _: None))) or "none"
    kind = "model" if role in {None, Role.CODEC} else role.value
    hint = f"; {_bringer(role)}'{_maker(role)}' makes others"
    if any((Path(name_or_path) / place).is_file() for place in PLACES):
        hint = f"; for the folder of that name write .{os.sep}{name_or_path}"
    given = name_or_path or "''"
    raise ModelError(f"{given}: no such {kind}; installed are: {known}{hint}")


def find_all(name_or_path: str | Path, notify: Notify = warn) -> list[ModelFolder]:
    """All models that a name or a path stands for: those in one folder.

    Raises:
        ModelError: there is none, or a card is damaged.
    """
    first = find_model(name_or_path, None, notify)
    home = first.path.parent if first.path.name == TUNED else first.path
    return [read_model(home / place) for place in PLACES if (home / place).is_file()]


def find_by_hash(
    name: str,
    sha256: str,
    role: Role = Role.CODEC,
    notify: Notify = warn,
    coding: Coding | None = None,
) -> ModelFolder:
    """The installed model with certain weights, in whatever folder, by whatever name.

    Args:
        name: the model's name as a file or card states it.
        sha256: of its weight file, in hexadecimal, or the beginning of it.
        role: of the model.
        notify: told of folders that are damaged, and skipped.
        coding: of a file. Where several folders hold the weights, as a codec before and after it
            received a context model, the one with that coder is taken.

    Raises:
        ModelError: it is not installed; the message says which one is missing.
    """
    own = bundled_codec(name) if role is Role.CODEC else None
    if own is not None and own.sha256.startswith(sha256) and _codes(own, coding):
        return own
    same_name = False
    found: list[ModelFolder] = []
    for _, model in _installed(notify):
        if model.role is role:
            if model.sha256.startswith(sha256):
                if coding is None:
                    return model
                found.append(model)
            same_name |= model.name == name
    if coding is not None and len(found) > 1:
        found.sort(key=lambda model: not _codes(model, coding))
    if found:
        return found[0]
    short = sha256[: 2 * HASH_BYTES]
    if same_name:
        raise ModelError(
            f"needs model {name} with weights {short}, but the installed {name} has other "
            f"weights; give the right folder with --model or in ${SEARCH_VARIABLE}"
        )
    raise ModelError(
        f"needs model {name} (weights {short}), which is not installed; {_bringer(role)}give its "
        f"folder with --model or in ${SEARCH_VARIABLE}"
    )


def _codes(model: ModelFolder, coding: Coding | None) -> bool:
    if coding is None:
        return True
    try:
        model.coder_for(coding)
    except ModelError:
        return False
    return True


def find_by_prefix(
    name: str, prefix: bytes, coding: Coding | None = None, notify: Notify = warn
) -> ModelFolder:
    """The installed codec with which a file was encoded; see ``find_by_hash``.

    Args:
        name: as the file states it.
        prefix: the first ``HASH_BYTES`` of its weight file's SHA-256.
        coding: the file's, if it has one.
        notify: told of folders that are damaged, and skipped.

    Raises:
        ModelError: it is not installed; the message says which one is missing.
    """
    return find_by_hash(name, prefix.hex(), Role.CODEC, notify, coding)
