"""Writes the README's rate-distortion tables and plot from runs of ``dcn bench``.

    dcn bench --crop 512 --no-speed -o out/kodak -c dcn-vr -c dcn \\
        -c jpeg -c jpeg2000 -c webp -c avif -c jxl -c bpg
    python -m dcncodec.bench.readme out/kodak

Of several runs the last one with a codec counts: ``... readme out/kodak out/new`` puts a model's
new figures beside those of the others, which need not be measured again. Tables replace what stands
between the README's marks ``<!-- bench NAME -->`` and ``<!-- end -->``, the plot goes to
``bench/kodak.svg``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import numpy as np

from dcncodec.bench import plots, rd, results, tables
from dcncodec.bench.names import LADDER
from dcncodec.bench.points import Point
from dcncodec.bench.results import Results
from dcncodec.encoder.quality import MAX_QUALITY
from dcncodec.errors import DcnError, UsageError
from dcncodec.formats.files import atomic_write, read_bytes
from dcncodec.formats.geometry import MAX_RATE
from dcncodec.models.registry import DEFAULT_MODEL
from dcncodec.plotting import render

ANCHOR = "bpg"
METRICS = ("psnr", "ssim", "msssim")
FORMS = (".2f", ".4f", ".4f")
SCALES = {"jpeg": "JPEG quality", "avif": "AVIF quality"}
"""Codecs whose settings are set beside the default model's qualities."""
PLOT = Path("bench/kodak.svg")
MARK = "<!-- bench {} -->\n", "<!-- end -->\n"


def merged(runs: Sequence[Results]) -> Results:
    """One run of all codecs; of several with a codec the last one's points count.

    Raises:
        UsageError: they are of different images.
    """
    first = runs[0]
    titles: dict[str, str] = {}
    points: dict[str, list[Point]] = {}
    for run in runs:
        if (run.dataset, run.crop, set(run.images)) != (first.dataset, first.crop, {*first.images}):
            raise UsageError("the runs are of different images; give runs of the same")
        titles |= run.titles
        points |= {codec: [p for p in run.points if p.codec == codec] for codec in run.titles}
    measured = [point for codec in titles for point in points[codec]]
    return Results(first.dataset, first.crop, titles, ANCHOR, measured)


def all_tables(run: Results) -> dict[str, str]:
    """Markdown by the names of the marks."""
    rates = tables.bd_rates(run)
    head = (f"bits against {run.title(run.anchor)}", *rates.head[1:])
    return {
        "rates": markdown(head, rates.rows),
        "qualities": _qualities(run),
        "models": _models(run),
    }


def _qualities(run: Results) -> str:
    """The default model's rates, as qualities, with the settings of others that are as good."""
    peers = [codec for codec in SCALES if codec in run.titles]
    rows = []
    for row in rd.summaries(run.points):
        if row.codec == DEFAULT_MODEL:
            own = [p for p in run.points if (p.codec, p.setting) == (row.codec, row.setting)]
            cells = (_setting(run.points, peer, _mean(own)) for peer in peers)
            quality = round(int(row.setting) * MAX_QUALITY / MAX_RATE)
            rows.append((f"{quality}", *_figures(row), *cells))
    head = ("`--quality`", "bpp", "PSNR, dB", "SSIM", "MS-SSIM", *(SCALES[peer] for peer in peers))
    return markdown(head, rows)


def _models(run: Results) -> str:
    """The paper's models, with what the default model reaches with as many bits."""
    reached = [rd.equal_rate(run.points, LADDER, DEFAULT_MODEL, metric) for metric in METRICS]
    rows = []
    for row in rd.summaries(run.points):
        if row.codec == LADDER:
            found = [values.get(row.setting) for values in reached]
            default = (tables.number(*pair) for pair in zip(found, FORMS, strict=True))
            rows.append((f"`{row.setting}`", *_figures(row), *default))
    names = "PSNR, dB", "SSIM", "MS-SSIM"
    head = ("model", "bpp", *names, *(f"{DEFAULT_MODEL}: {name}" for name in names))
    return markdown(head, rows)


def _figures(row: rd.Summary) -> tuple[str, ...]:
    found = row.psnr, row.ssim, row.msssim
    return (
        f"{row.bpp:.3f}",
        *(tables.number(*pair) for pair in zip(found, FORMS, strict=True)),
    )


def _mean(points: Sequence[Point]) -> float:
    """SSIM in dB."""
    return fmean(value for point in points if (value := point.scale("ssim")) is not None)


def _setting(points: Sequence[Point], codec: str, quality: float) -> str:
    """The setting with which a codec has an SSIM, on the mean of the images."""
    groups: dict[str, list[Point]] = {}
    for point in points:
        if point.codec == codec:
            groups.setdefault(point.setting, []).append(point)
    pairs = sorted((_mean(group), float(setting)) for setting, group in groups.items())
    values, settings = zip(*pairs, strict=True)
    if not values[0] <= quality <= values[-1]:
        return "–"
    return f"{np.interp(quality, values, settings):.0f}"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, with an empty line on either side."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n" + "".join(f"| {' | '.join(cells)} |\n" for cells in lines) + "\n"


def fill(text: str, found: dict[str, str]) -> str:
    """A text with tables between its marks.

    Raises:
        UsageError: a mark is missing.
    """
    for name, table in found.items():
        begin, end = MARK[0].format(name), MARK[1]
        before, first, rest = text.partition(begin)
        _, last, after = rest.partition(end)
        if not (first and last) or begin in after:
            raise UsageError(f"{begin.strip()} is not there once; mark the table's place")
        text = before + begin + table + end + after
    return text


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument("--readme", type=Path, default=Path("README.md"))
    options = parser.parse_args()
    try:
        run = merged([results.read(path) for path in options.runs])
        missing = {DEFAULT_MODEL, LADDER, ANCHOR} - run.titles.keys()
        if missing:
            raise UsageError(f"{', '.join(sorted(missing))}: not measured; give a run with them")
        text = fill(read_bytes(options.readme).decode(), all_tables(run))
        svg = render(plots.overview(run, METRICS), "svg")
        for path, content in ((options.readme, text.encode()), (options.readme.parent / PLOT, svg)):
            with atomic_write(path, overwrite=True) as file:
                file.write(content)
    except DcnError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
