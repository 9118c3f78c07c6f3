"""The rooms of CONTRIBUTING.md: imports point downwards, and what is imported is declared."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS: dict[str, str] = PROJECT["tool"]["setuptools"]["package-dir"]

LIBRARIES = {
    "PIL": "pillow",
    "pywt": "pywavelets",
    "cv2": "opencv-python-headless",
    "skimage": "scikit-image",
}
"""Names of packages where they are not those of their modules."""
NOWHERE_DECLARED = {"pillow_jxl", "ssimulacra2"}
"""Used where a user has installed them."""


def modules() -> dict[str, Path]:
    """Every module's file, by its name."""
    found = {}
    for package, folder in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            name = ".".join((package, *parts)).removesuffix(".__init__")
            found[name] = path
    return found


MODULES = modules()


@cache
def imports(path: Path) -> list[tuple[str, bool]]:
    """What a module imports, and whether whenever it is loaded itself."""
    tree = ast.parse(path.read_text())
    found = []
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{path}: a relative import"
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            # A name that is no module is something in one.
            known = [name in MODULES or name.startswith("dcncodec._") for name in full]
            names = [f if k else node.module for f, k in zip(full, known, strict=True)]
        found += [(name, node in tree.body) for name in names]
    return found


def rooms() -> list[str]:
    """The folders of the table in CONTRIBUTING.md, from the top down."""
    table = CONTRIBUTING.split("**The house.**")[1].split("\n\n")[1]
    found = re.findall(r"^\| `([a-z/]+)/`", table, re.MULTILINE)
    return [room for room in found if room not in {"tests", "csrc", "examples"}]


def basement() -> list[str]:
    """Files that every room may import, and those of the floor between runtime and models."""
    return re.findall(r"`([a-z_/]+\.py)`", CONTRIBUTING.split("the basement")[1].split("\n\n")[0])


ROOMS = rooms()
BASEMENT, BETWEEN = basement()[:5], basement()[5:]
FLOORS = [*ROOMS[: ROOMS.index("models")], "between", *ROOMS[ROOMS.index("models") :], "basement"]


def floor(module: str) -> int:
    """How far down a module stands."""
    if module.startswith("dcncodec._"):
        return FLOORS.index("basement")
    path = MODULES[module].relative_to(ROOT).as_posix()
    if path in BASEMENT or module == "dcncodec":
        return FLOORS.index("basement")
    if path in BETWEEN:
        return FLOORS.index("between")
    inside = [room for room in ROOMS if path.startswith(f"{room}/")]
    assert inside, f"{path} lies in no room of CONTRIBUTING.md"
    return FLOORS.index(max(inside, key=len))


def test_the_table_is_read() -> None:
    assert ROOMS[0] == "cli"
    assert ROOMS[-2:] == ["models", "formats"]
    assert {"dcncodec/train/engine", "dcncodec/runtime", "dcncodec"} <= set(ROOMS)
    assert (len(BASEMENT), len(BETWEEN)) == (5, 6)
    assert all((ROOT / path).is_file() for path in (*BASEMENT, *BETWEEN))
    assert floor("dcncodec.train.engine.run") < floor("dcncodec.codec") < floor("dcncodec.metrics")


def edges() -> Iterator[tuple[str, str]]:
    for module, path in MODULES.items():
        for name, _ in imports(path):
            if name.split(".")[0] == "dcncodec":
                yield module, name


def test_imports_point_downwards() -> None:
    wrong = [
        f"{module} imports {name}"
        for module, name in edges()
        # The package itself names what it offers; nothing in it is used by itself.
        if module != "dcncodec" and floor(name) < floor(module)
    ]
    assert wrong == []


def test_every_package_is_installed_and_exists() -> None:
    folders = {
        name if path.name == "__init__.py" else name.rpartition(".")[0]
        for name, path in MODULES.items()
    }
    assert folders == set(PROJECT["tool"]["setuptools"]["packages"])


EXTRAS = [name for name in PROJECT["project"]["optional-dependencies"] if name != "dev"]


def declared(extra: str | None = None) -> set[str]:
    """Packages that the project or one of its extras needs."""
    project = PROJECT["project"]
    listed = project["dependencies"] if extra is None else project["optional-dependencies"][extra]
    return {re.split(r"[<>=\[; ]", entry)[0].lower() for entry in listed}


LEAN = re.compile(
    r"dcncodec\.(cli|formats|models\.families|encoder|codec|oneline|pillow_plugin|recoding"
    r"|models\.(\w+_layers|program_graph|registry)|runtime\.(engine|native_engine|windows))\b.*"
)
"""Modules that are loaded where no extra is installed, with all that they import."""


def lean() -> set[str]:
    """All of them."""
    found: set[str] = set()
    waiting = [name for name in MODULES if LEAN.fullmatch(name)]
    while waiting:
        module = waiting.pop()
        if module not in found and module in MODULES:
            found.add(module)
            waiting += [name for name, whenever in imports(MODULES[module]) if whenever]
    return found


@pytest.mark.parametrize("always", [True, False])
def test_what_is_imported_is_declared(always: bool) -> None:
    """What a module needs to be loaded is a dependency, or the module is of an extra."""
    missing = set()
    without_extras = lean()
    for module, path in MODULES.items():
        allowed = declared()
        if not always:
            allowed |= set().union(*map(declared, EXTRAS))
        elif module not in without_extras:
            allowed |= declared("train")
        for name, whenever in imports(path):
            library = name.split(".")[0]
            known = {"dcncodec", *sys.stdlib_module_names, *NOWHERE_DECLARED}
            if library in known or whenever != always:
                continue
            package = LIBRARIES.get(library, library).replace("_", "-").lower()
            extra = declared("bench") if module.startswith("dcncodec.bench") else set()
            if package not in allowed | extra:
                missing.add(f"{module} imports {library}")
    assert missing == set()


def test_what_is_declared_is_imported() -> None:
    used = {name.split(".")[0] for path in MODULES.values() for name, _ in imports(path)}
    packages = {LIBRARIES.get(name, name).replace("_", "-").lower() for name in used}
    # The C extensions need cffi, zstandard depends on the version, and one has no modules.
    unnamed = {"backports.zstd", "cffi", "dcncodec-forensics"}
    assert declared().union(*map(declared, EXTRAS)) <= packages | unnamed
