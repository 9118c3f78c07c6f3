"""Plots of forensic evaluations, and one self-contained HTML page of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dcncodec import pages
from dcncodec.codec import Codec
from dcncodec.errors import ModelError
from dcncodec.forensics.analysis import attenuation, ssim_changes
from dcncodec.forensics.channel import DCN_FILE, NONE
from dcncodec.forensics.evaluate import Evaluation
from dcncodec.forensics.field_evaluation import FieldEvaluation
from dcncodec.forensics.folder import ForensicFolder
from dcncodec.forensics.photos import Photos
from dcncodec.forensics.tables import field_tables, paper_table, wifs_tables
from dcncodec.forensics.transmission import Received, Transmission, transmission_of
from dcncodec.forensics.wifs import CUTS, QUALITIES, WifsEvaluation
from dcncodec.formats.files import atomic_write
from dcncodec.models.families.fan import LEARNS_CODEC, UNTUNED
from dcncodec.notices import Notice, Notify, warn
from dcncodec.pages import Table
from dcncodec.plotting import new_figure, render

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Found = Evaluation | FieldEvaluation | WifsEvaluation
"""What a protocol measures."""

SHOWN = 256
"""Pixels a side of a photo that is shown."""
LARGER = 8
"""By how much its changes are."""
DEEPEST = -30.0
"""dB at which the colours of an attenuation end."""


def figures_of(
    found: Sequence[Found],
    chosen: Sequence[ForensicFolder],
    photos: Photos,
    notify: Notify = warn,
) -> dict[str, Figure]:
    """The plots of a page, by title.

    Args:
        found: what was evaluated.
        chosen: the forensic models of it.
        photos: native ones, from which spectra and changes of SSIM are taken.
        notify: told of a plot that cannot be drawn.
    """
    paper, field, wifs = _by_protocol(found)
    figures = {}
    if field:
        figures["Confusion in the field"] = confusion(field)
    if wifs:
        figures["JPEGs told by quality"] = by_quality(wifs)
    return figures | (_paper_figures(paper, chosen, photos, notify) if paper else {})


def _paper_figures(
    found: Sequence[Evaluation],
    chosen: Sequence[ForensicFolder],
    photos: Photos,
    notify: Notify,
) -> dict[str, Figure]:
    """Those of the paper's protocol; see ``figures_of``."""
    figures = {"Confusion": confusion(found)}
    lossy = [folder for folder in chosen if folder.channel != NONE]
    if lossy:
        figures["Trade-off"] = trade_off(found)
        figures["Attenuation of frequencies"] = spectra(
            {folder.name: attenuation(photos, transmission_of(folder)) for folder in lossy}
        )
    if len({(evaluation.data, evaluation.condition) for evaluation in found}) > 1:
        figures["Transfer"] = transfer(found)
    for folder in chosen:
        if LEARNS_CODEC in folder.card["trainable"] or _holds_tuned(folder):
            figures |= _beside_untuned(folder, photos, notify)
    return figures


def _holds_tuned(folder: ForensicFolder) -> bool:
    """Whether the codec in the FAN's folder was tuned, though its FAN has learned on since then."""
    return UNTUNED in folder.card and folder.card["codec"]["name"] == folder.name


def _beside_untuned(folder: ForensicFolder, photos: Photos, notify: Notify) -> dict[str, Figure]:
    """A tuned codec beside what it was before all tuning, by title; nothing without that one."""
    base = folder.card.get(UNTUNED, folder.card["init"])
    try:
        if base == folder.name:
            raise ModelError(f"it began with an earlier {base}")
        untuned = Codec(base)
    except ModelError as error:
        notify(Notice("model", f"no SSIM change of {folder.name} drawn: {error}"))
        return {}
    before = Transmission(DCN_FILE, untuned, folder.downsample)
    after = transmission_of(folder)
    changes = ssim_changes(photos, before, after)
    photo = next(iter(photos)).finished()
    return {
        f"SSIM change of {folder.name}": ssim_change(changes, base, folder.name),
        f"A photo through {folder.name}": through(
            photo, {base: before.send(photo), folder.name: after.send(photo)}
        ),
    }


def through(photo: NDArray[np.uint8], received: Mapping[str, Received]) -> Figure:
    """A part of a photo as it is and behind channels, what those change, and the spectra of both
    (DCN paper, Figs. 10, B.4 and C.2; NIP paper, Fig. 10).

    Args:
        photo: uint8 (H, W, 3).
        received: what came out of each channel.
    """
    pictures = {"as it is": photo} | {name: found.pixels for name, found in received.items()}
    figure = new_figure(3.2 * len(pictures), 12.4)
    panels = figure.subplots(4, len(pictures), squeeze=False)
    for (name, picture), column in zip(pictures.items(), panels.T, strict=True):
        pixels = _middle(picture)
        column[0].imshow(pixels)
        column[0].set_title(name, fontsize=9)
        column[1].imshow(_spectrum(pixels.mean(2)), cmap="magma")
        if name in received:
            change = pixels.astype(float) - _middle(received[name].sent)
            column[2].imshow((change * LARGER + 128).clip(0, 255).astype(np.uint8))
            column[2].set_title(f"change, {LARGER} times", fontsize=8)
            column[3].imshow(_spectrum(change.mean(2)), cmap="magma")
        for axes in column:
            axes.set_axis_off()
    return figure


def _middle(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The middle of a picture, ``SHOWN`` pixels a side or what there is."""
    top, left = (max(0, (side - SHOWN) // 2) for side in pixels.shape[:2])
    return pixels[top : top + SHOWN, left : left + SHOWN]


def _spectrum(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of the magnitudes, frequency 0 in the middle."""
    spectrum: NDArray[np.float64] = np.log(10 + np.abs(np.fft.fftshift(np.fft.fft2(values))))
    return spectrum


def confusion(evaluations: Sequence[Evaluation | FieldEvaluation]) -> Figure:
    """Confusion matrices in percent of each true class (Tables of appendix B.1)."""
    figure = new_figure(4.6 * len(evaluations), 4.6)
    for axes, found in zip(
        figure.subplots(1, len(evaluations), squeeze=False)[0], evaluations, strict=True
    ):
        # In the field no patch of a class may have varied.
        share = found.confusion / np.maximum(found.confusion.sum(1, keepdims=True), 1) * 100
        axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
        for (row, column), value in np.ndenumerate(share):
            colour = "white" if value > 50 else "black"
            if value >= 0.5:
                axes.text(
                    column, row, f"{value:.0f}", ha="center", va="center", color=colour, fontsize=8
                )
        ticks = range(len(found.classes))
        axes.set_xticks(ticks, found.classes, rotation=60, fontsize=8)
        axes.set_yticks(ticks, found.classes, fontsize=8)
        axes.set_title(f"{found.name} on {found.title}: {found.accuracy * 100:.1f} %", fontsize=9)
    return figure


def by_quality(evaluations: Sequence[WifsEvaluation]) -> Figure:
    """JPEGs that are told, over their quality; dashed where they are cut anywhere."""
    figure = new_figure(6, 4)
    axes = figure.subplots()
    for place, found in enumerate(evaluations):
        for cut, style in zip(CUTS, ("-", "--"), strict=True):
            shares = [100 * found.by_quality[cut][quality] for quality in QUALITIES]
            label = f"{found.name} on {found.data}, {cut}"
            axes.plot(QUALITIES, shares, f"C{place % 10}o{style}", label=label)
    axes.set_xlabel("JPEG quality")
    axes.set_ylabel("told, %")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    return figure


def trade_off(evaluations: Sequence[Evaluation]) -> Figure:
    """Accuracy over rate and over SSIM (Figs. 8 and B.1); a line over the rates of one codec."""
    figure = new_figure(10, 4)
    left, right = figure.subplots(1, 2, sharey=True)
    curves: dict[tuple[str, str, str], list[tuple[float, float, float, str]]] = {}
    for found in evaluations:
        if found.bpp is None or found.ssim is None:
            continue
        label = found.name if found.rate is None else str(found.rate)
        bpp, ssim = (fmean(values.values()) for values in (found.bpp, found.ssim))
        curve = curves.setdefault((found.name, found.data, str(found.condition)), [])
        curve.append((bpp, ssim, found.accuracy * 100, label))
    for (name, _, _), curve in curves.items():
        bpps, ssims, accuracies, labels = zip(*sorted(curve), strict=True)
        for axes, values in ((left, bpps), (right, ssims)):
            axes.plot(values, accuracies, "o-", label=name)
            for x, y, label in zip(values, accuracies, labels, strict=True):
                axes.annotate(label, (x, y), (4, 4), textcoords="offset points", fontsize=7)
    for axes, name in ((left, "effective bits per pixel"), (right, "SSIM")):
        axes.set_xlabel(name)
        axes.grid(alpha=0.3)
        axes.margins(0.2)
    left.set_ylabel("accuracy, %")
    left.legend(fontsize=7)
    return figure


def transfer(evaluations: Sequence[Evaluation]) -> Figure:
    """Accuracy of every FAN on every set of photos (Fig. D.1)."""
    names = list(dict.fromkeys(found.name for found in evaluations))
    sets = list(dict.fromkeys(found.title for found in evaluations))
    figure = new_figure(1.5 + 1.2 * len(names), 3.6)
    axes = figure.subplots()
    width = 0.8 / len(sets)
    for i, data in enumerate(sets):
        heights = {f.name: f.accuracy * 100 for f in evaluations if f.title == data}
        places = [names.index(name) + i * width for name in heights]
        axes.bar(places, list(heights.values()), width, label=data)
    axes.set_xticks(range(len(names)), names, rotation=20, fontsize=8)
    axes.set_ylabel("accuracy, %")
    axes.legend(fontsize=8)
    return figure


def spectra(found: Mapping[str, NDArray[np.float64]]) -> Figure:
    """Attenuation of spatial frequencies by each channel (Figs. 9 and B.2)."""
    figure = new_figure(3.6 * len(found) + 0.8, 3.4)
    panels = figure.subplots(1, len(found), squeeze=False)[0]
    for axes, (name, decibels) in zip(panels, found.items(), strict=True):
        image = axes.imshow(decibels, cmap="magma", vmin=DEEPEST, vmax=3, extent=(-0.5, 0.5) * 2)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("cycles per pixel", fontsize=8)
    figure.colorbar(image, ax=list(panels), label="dB")
    return figure


def ssim_change(found: Mapping[str, tuple[float, float]], base: str, tuned: str) -> Figure:
    """SSIM of each photo after the codec and after its fine-tuned version (Fig. B.3)."""
    figure = new_figure(4.5, 4.2)
    axes = figure.subplots()
    values = np.array(list(found.values()))
    axes.plot(values[:, 0], values[:, 1], ".")
    ends = [values.min(), values.max()]
    axes.plot(ends, ends, "k-", linewidth=0.7)
    axes.set_xlabel(f"SSIM, {base}")
    axes.set_ylabel(f"SSIM, {tuned}")
    mean = (values[:, 1] - values[:, 0]).mean()
    axes.set_title(f"mean change {mean:+.4f}", fontsize=9)
    return figure


def write(found: Sequence[Found], figures: Mapping[str, Figure], folder: Path) -> None:
    """Write ``report.html`` and every figure as SVG.

    Args:
        found: for the tables.
        figures: by title.
        folder: must exist.

    Raises:
        OutputError: it cannot be written.
    """
    paper, field, wifs = _by_protocol(found)
    parts = [paper_table(paper)] if paper else []
    parts += field_tables(field) if field else []
    parts += wifs_tables(wifs) if wifs else []
    write_page("Forensic evaluation", parts, figures, folder)


def _by_protocol(
    found: Sequence[Found],
) -> tuple[list[Evaluation], list[FieldEvaluation], list[WifsEvaluation]]:
    return (
        [e for e in found if isinstance(e, Evaluation)],
        [e for e in found if isinstance(e, FieldEvaluation)],
        [e for e in found if isinstance(e, WifsEvaluation)],
    )


def write_page(
    title: str, parts: Sequence[str | Table], figures: Mapping[str, Figure], folder: Path
) -> None:
    """Write ``report.html``, self-contained, and every figure as SVG.

    Args:
        title: of the page.
        parts: paragraphs and tables between its title and the figures.
        figures: by title.
        folder: must exist.

    Raises:
        MissingLibraryError: Jinja is not installed.
        OutputError: it cannot be written.
    """
    plots = {name: render(figure, "svg") for name, figure in figures.items()}
    page = pages.render("page.html", title=title, parts=parts, plots=plots)
    for name, svg in plots.items():
        slug = name.lower().replace(",", "").replace(" ", "-")
        with atomic_write(folder / f"{slug}.svg", overwrite=True) as target:
            target.write(svg)
    pages.write(folder / "report.html", page)
