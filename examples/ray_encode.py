"""Encodes a folder, or a list of files, on all machines of a Ray cluster.

    pip install dcncodec 'ray[data]'
    python examples/ray_encode.py photos/ compressed/ --quality 50
    aws s3 ls ... | python examples/ray_encode.py - compressed/      # one path or URL a line

Paths and URLs are those of pyarrow's file systems (local, s3://, gs://, hdfs://), which all
workers see. A worker that is killed is started again, and encodes the files that it was working on
once more: outputs are written under another name and renamed, so that none is ever there in part.
What cannot be encoded is listed at the end.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import ray
from pyarrow import fs

from dcncodec import Codec, DcnError
from dcncodec.formats.guard import suffixes_read

BATCH = 8
"""Files that a worker takes at a time."""


class Encoder:
    """A worker: loads the model once.

    Args:
        model: name of an installed model, or a weight folder that all machines have.
        quality: 0 to 100, for models with rates.
        output: folder or URL.
    """

    def __init__(self, model: str, quality: float | None, output: str) -> None:
        self.codec = Codec(model, device="cpu", threads=1, notify=lambda notice: None)
        self.quality = quality
        self.files, self.folder = fs.FileSystem.from_uri(output)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Encode a batch of paths; the size of every file, or why there is none."""
        sizes, errors = [], []
        for path, target in zip(batch["path"], batch["target"], strict=True):
            try:
                sizes.append(self.encode(str(path), str(target)))
                errors.append("")
            except (DcnError, OSError) as error:
                sizes.append(0)
                errors.append(str(error))
        return {"path": list(batch["path"]), "bytes": sizes, "error": errors}

    def encode(self, path: str, target: str) -> int:
        """Bytes of the file that is written, below the output folder."""
        source, name = fs.FileSystem.from_uri(path)
        with source.open_input_stream(name) as file:
            content = file.read()
        data = self.codec.encode(content, quality=self.quality)
        target = f"{self.folder}/{target}"
        self.files.create_dir(str(PurePosixPath(target).parent), recursive=True)
        with self.files.open_output_stream(f"{target}.part") as file:
            file.write(data)
        self.files.move(f"{target}.part", target)
        return len(data)


def listing(source: str) -> dict[str, str]:
    """Pictures by the names of their outputs: all in a folder, or those on standard input."""
    if source == "-":
        paths = [located(line.strip()) for line in sys.stdin if line.strip()]
        names = [PurePosixPath(path).name for path in paths]
    else:
        files, folder = fs.FileSystem.from_uri(located(source))
        found = files.get_file_info(fs.FileSelector(folder, recursive=True))
        within = [file.path for file in found if suffix(file.path) in suffixes_read()]
        start = located(source).removesuffix(folder)
        paths = [start + path for path in within]
        names = [str(PurePosixPath(path).relative_to(folder)) for path in within]
    wanted: dict[str, str] = {}
    for path, name in zip(paths, names, strict=True):
        target = str(PurePosixPath(name).with_suffix(".dcn"))
        if wanted.setdefault(target, path) != path:
            sys.exit(f"{path}: {wanted[target]} has the same output {target}; rename one of them")
    return wanted


def located(path: str) -> str:
    """A path that is the same for all workers: absolute, if it is no URL."""
    return path if "://" in path else str(Path(path).resolve())


def suffix(path: str) -> str:
    """In lower case."""
    return PurePosixPath(path).suffix.lower()


def main() -> None:
    """Encode, and say what has become of the files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", help="folder or URL; - for a list on standard input")
    parser.add_argument("output", help="folder or URL")
    parser.add_argument("--model", default="dcn-vr")
    parser.add_argument("--quality", type=float)
    parser.add_argument("--workers", type=int, help="processes; by default one a core")
    options = parser.parse_args()
    wanted = listing(options.source)
    if not wanted:
        sys.exit(f"{options.source}: holds no pictures")
    ray.init(ignore_reinit_error=True)
    workers = options.workers or int(ray.cluster_resources()["CPU"])
    items = [{"path": path, "target": target} for target, path in sorted(wanted.items())]
    results = (
        # In blocks from the beginning: what made them would wait for the cores that workers hold.
        ray.data.from_items(items, override_num_blocks=-(-len(items) // BATCH))
        .map_batches(
            Encoder,
            fn_constructor_args=(options.model, options.quality, located(options.output)),
            batch_size=BATCH,
            concurrency=workers,
        )
        .take_all()
    )
    failed = [result for result in results if result["error"]]
    for result in failed:
        print(f"{result['path']}: {result['error']}", file=sys.stderr)
    total = sum(result["bytes"] for result in results)
    print(f"{len(results) - len(failed)} of {len(results)} files, {total:,} bytes")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
