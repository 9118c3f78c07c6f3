"""Results on disk, one small file each, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from dcncodec.errors import OutputError

MAX_BYTES = 1 << 20
"""Of a result on disk; they have some hundred."""


class Cache:
    """A folder of results under the hash of all that they depend on.

    Args:
        folder: made when the first result is kept; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def _path(self, key: dict[str, Any]) -> Path:
        assert self.folder is not None
        name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        return self.folder / name[:2] / f"{name[2:]}.json"

    def get(self, key: dict[str, Any]) -> dict[str, Any] | None:
        """The result for a key; None where there is none, or its file is damaged."""
        if self.folder is None:
            return None
        # Whatever else lies there, a device or deep nesting, is no result.
        with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            path = self._path(key)
            if not 0 < path.stat().st_size <= MAX_BYTES:
                return None
            content = json.loads(path.read_text(encoding="utf-8"))
            # A hash could only collide on purpose, but this also notices damaged files.
            if content["key"] == key and isinstance(content["result"], dict):
                return dict(content["result"])
        return None

    def put(self, key: dict[str, Any], result: dict[str, Any]) -> None:
        """Keep a result.

        Raises:
            OutputError: the folder cannot be written.
        """
        if self.folder is None:
            return
        path = self._path(key)
        temporary = path.with_name(f".{os.urandom(8).hex()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Without the wait for the disk of formats.files: a lost result is measured again. Only
            # a new file is written, never one that somebody else has put (or linked) there.
            with temporary.open("x", encoding="utf-8") as file:
                file.write(json.dumps({"key": key, "result": result}))
            temporary.replace(path)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            raise OutputError(
                f"cannot be written ({error.strerror}); choose another --cache-dir", self.folder
            ) from None
