"""Too little memory: smaller windows, then one line."""

from __future__ import annotations

import io
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dcncodec.formats import bitstream, container
from dcncodec.formats.header import Header

DCN = str(Path(sys.executable).with_name("dcn"))
GIB = 1 << 30


def claim(side: int) -> bytes:
    """A small .dcn file of ``side`` x ``side`` pixels of one colour, for dcn-32c."""
    from dcncodec.models.registry import find_model

    model = find_model("dcn-32c")
    header = Header(
        width=side,
        height=side,
        grey=False,
        alpha=False,
        quality="medium",
        model=model.name,
        model_hash=model.prefix,
    )
    file = io.BytesIO()
    blocks: dict[tuple[int, int], bytes] = {}
    with container.Writer(file, header, container.Metadata(), None) as writer:
        for _, _, rows, columns in header.block_areas():
            if (rows, columns) not in blocks:
                indices = np.full((32, rows, columns), 15, np.uint8)
                blocks[rows, columns] = bitstream.encode_block(indices, "channel", 1)
            writer.add(blocks[rows, columns])
    return file.getvalue()


def limited(command: list[str], gibibytes: float) -> subprocess.CompletedProcess[str]:
    limit = int(gibibytes * GIB)
    return subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        timeout=250,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )


@pytest.mark.parametrize("gibibytes", [0.25, 1])
def test_pictures_that_do_not_fit(tmp_path: Path, gibibytes: float) -> None:
    """Its pixels alone are 1.2 GB."""
    (tmp_path / "claim.dcn").write_bytes(claim(20_000))
    done = limited([DCN, "decode", str(tmp_path / "claim.dcn")], gibibytes)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if "warning: " not in line]
    assert len(lines) == 1, done.stderr
    assert "not enough memory" in lines[0]
    assert [path.name for path in tmp_path.iterdir()] == ["claim.dcn"]
