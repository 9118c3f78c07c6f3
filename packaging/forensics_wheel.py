"""Builds the wheel ``dcncodec-forensics``: the bundled forensic networks, 27 MB that decoding and
encoding do not need.

    python packaging/forensics_wheel.py dist

Its files go beside those of ``dcncodec`` into the folder of the bundled models, where a network is
found by its name, as in a checkout. The extra ``forensics`` brings it.
"""

from __future__ import annotations

import base64
import hashlib
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
NAME = "dcncodec_forensics"
HOME = PurePosixPath("dcncodec/models")
"""Where ``models`` is installed."""


def files() -> Iterator[Path]:
    """What ``dcncodec``'s own wheel leaves out of the models' folder."""
    patterns = PROJECT["tool"]["setuptools"]["exclude-package-data"]["dcncodec.models"]
    for pattern in patterns:
        yield from sorted((ROOT / "models").glob(pattern))


def metadata() -> str:
    """Of the distribution, in the terms of dcncodec's own."""
    project = PROJECT["project"]
    lines = [
        "Metadata-Version: 2.4",
        "Name: dcncodec-forensics",
        f"Version: {project['version']}",
        "Summary: Forensic networks for dcncodec",
        f"License-Expression: {project['license']}",
        "License-File: LICENSE",
        f"Requires-Python: {project['requires-python']}",
        f"Requires-Dist: dcncodec=={project['version']}",
    ]
    return "\n".join(lines) + "\n"


def build(folder: Path) -> Path:
    """Write the wheel into a folder, which is made where it does not exist."""
    version = PROJECT["project"]["version"]
    info = PurePosixPath(f"{NAME}-{version}.dist-info")
    tag = "py3-none-any"
    # With those of dcncodec, which has extensions, its files belong into platlib.
    wheel = f"Wheel-Version: 1.0\nGenerator: dcncodec\nRoot-Is-Purelib: false\nTag: {tag}\n"
    content = {
        HOME / file.relative_to(ROOT / "models").as_posix(): file.read_bytes() for file in files()
    } | {
        info / "METADATA": metadata().encode(),
        info / "WHEEL": wheel.encode(),
        info / "licenses" / "LICENSE": (ROOT / "LICENSE").read_bytes(),
    }
    record = [f"{path},sha256={_digest(data)},{len(data)}" for path, data in content.items()]
    record.append(f"{info / 'RECORD'},,")
    content[info / "RECORD"] = "\n".join([*record, ""]).encode()
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{NAME}-{version}-{tag}.whl"
    with ZipFile(target, "w", ZIP_DEFLATED) as archive:
        for path, data in content.items():
            # Without a date, equal files give equal wheels.
            entry = ZipInfo(str(path))
            entry.compress_type = ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return target


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: forensics_wheel.py FOLDER")
    print(build(Path(sys.argv[1])))
