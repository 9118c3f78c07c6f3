"""The soft quantiser's entropy estimate: Fig. 3, A.1 and A.2 of the DCN paper as plots.

    python -m dcncodec.bench.paper.quantiser --out DIR [--data DIR --model NAME|PATH]

Random Laplacian latents of many scales are quantised softly and hard; the error is the entropy of
the soft histogram over the hard one's. The scales reach as far beyond the codebook as the paper's.

fig-3    quantisation curves of both kernels, error against scale, estimate against truth
fig-a1   curves and histograms at five scales
fig-a2   error for every gamma and nu, and for the Gaussian, computed as the paper writes it:
         gamma times the squared distance
fig-a2-authors   the same as the authors' code has it: the square of gamma times the distance
fig-3-latents    estimate against truth for the latents of a model (with --data)

Written as in the paper, a weight of a value beyond the codebook soon underflows: of the Gaussian
beyond a few steps, of the t-Student much later. That is what decides A.2. ``Quantiser`` normalises
logarithms instead, and the table shows both.

By the text the paper's t-Student(50) with gamma 25 has an error of 6.8%, by its authors' code
14.7%; the least of either grid are 6.5% and 6.4%. So the paper chose by the text's reading.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
import torch
from torch import Tensor

from dcncodec.errors import DcnError
from dcncodec.formats.files import make_folder
from dcncodec.formats.geometry import CODEBOOK_MAX, CODEBOOK_MIN, CODEBOOK_SIZE
from dcncodec.metrics import to_unit
from dcncodec.plotting import new_figure, save_figure
from dcncodec.quantise import Quantiser, quantise_hard
from dcncodec.quantise import entropy as histogram_entropy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCALES = np.linspace(0.1, 30.0, 150)
SHOWN_SCALES = (0.15, 0.5, 1.0, 2.0, 4.0)
SAMPLES = 1000
GAMMAS = (1.0, 3.0, 5.0, 10.0, 25.0, 50.0)
NUS = (5.0, 10.0, 25.0, 50.0, 100.0)
UNDERFLOW = 1e-72
"""Added to every weight, as the authors' script does, so that their sum is never zero."""

STUDENT = Quantiser()
GAUSSIAN = Quantiser("gaussian", 5.0)
"""The paper's settings for both kernels."""


def laplacian(scales: Sequence[float], count: int, seed: int = 0) -> Tensor:
    """Latents, float64 (len(scales), count)."""
    samples = np.random.default_rng(seed).laplace(size=(len(scales), count))
    return torch.from_numpy(samples * np.asarray(scales)[:, None])


def hard_bins(latents: Tensor) -> Tensor:
    """Histograms (rows, CODEBOOK_SIZE) of the quantised rows of latents (rows, count)."""
    indices = quantise_hard(latents).long() - CODEBOOK_MIN
    return torch.stack([torch.bincount(row, minlength=CODEBOOK_SIZE) for row in indices]).double()


def soft_bins(latents: Tensor, quantiser: Quantiser) -> Tensor:
    """The soft histograms, as training computes them."""
    rows, count = latents.shape
    return quantiser.assign(latents.view(1, rows, 1, count))[1]


def direct_bins(latents: Tensor, quantiser: Quantiser) -> Tensor:
    """The soft histograms as the paper writes them (section 3.2), in float64."""
    words = torch.arange(CODEBOOK_MIN, CODEBOOK_MAX + 1, dtype=torch.float64)
    squared = (latents.unsqueeze(-1) - words) ** 2
    if quantiser.kernel == "gaussian":
        weights = torch.exp(-quantiser.gamma * squared)
    else:
        exponent = -(quantiser.nu + 1) / 2
        weights = (1 + quantiser.gamma * squared / quantiser.nu) ** exponent
    weights = weights + UNDERFLOW
    return (weights / weights.sum(-1, keepdim=True)).sum(1)


def relative_error(latents: Tensor, bins: Tensor) -> Tensor:
    """Error of the entropy estimate over the true entropy, per row."""
    truth = histogram_entropy(hard_bins(latents))
    return (histogram_entropy(bins) - truth).abs() / truth


def kernels() -> list[tuple[float, float]]:
    """Every gamma and nu (0 for the Gaussian)."""
    return [(gamma, nu) for gamma in GAMMAS for nu in (0.0, *NUS)]


def kernel(gamma: float, nu: float, authors: bool = False) -> Quantiser:
    """One of ``kernels``, its gamma as in the paper or as in the authors' code."""
    gamma = gamma**2 if authors else gamma
    return Quantiser("student", gamma, nu) if nu else Quantiser("gaussian", gamma)


def best(latents: Tensor, authors: bool) -> tuple[float, float, float]:
    """Gamma, nu and mean relative error of the kernel with the least, in one of both readings."""
    errors = {
        (gamma, nu): float(relative_error(latents, direct_bins(latents, chosen)).mean())
        for gamma, nu in kernels()
        for chosen in [kernel(gamma, nu, authors)]
    }
    (gamma, nu), error = min(errors.items(), key=lambda item: item[1])
    return gamma, nu, error


def grid(latents: Tensor, *, direct: bool) -> dict[tuple[str, float, float], float]:
    """Mean relative error by kernel, gamma and nu (0 for the Gaussian)."""
    errors: dict[tuple[str, float, float], float] = {}
    for gamma, nu in kernels():
        quantiser = kernel(gamma, nu)
        bins = direct_bins(latents, quantiser) if direct else soft_bins(latents, quantiser)
        key = (quantiser.kernel, gamma, nu)
        errors[key] = float(relative_error(latents, bins).mean())
    return errors


def model_entropies(model: str, folder: Path, patch: int = 128) -> Tensor:
    """True entropy and both kernels' estimates, (3, n), for crops of a folder's images.

    Raises:
        DcnError: there is no such model, or no usable image.
    """
    from dcncodec.models.load import load_dcn
    from dcncodec.models.registry import find_model
    from dcncodec.train.engine.data import load_images

    codec = load_dcn(find_model(model))
    crops = load_images([folder], patch).training.crops(48, patch, torch.Generator().manual_seed(0))
    rows = []
    for crop in crops:
        latents = codec.analysis(to_unit(crop[None])).double().reshape(1, -1)
        bins = (hard_bins(latents), soft_bins(latents, GAUSSIAN), soft_bins(latents, STUDENT))
        rows.append(torch.stack([histogram_entropy(b)[0] for b in bins]))
    return torch.stack(rows, dim=1)


def figure_3(latents: Tensor) -> Figure:
    """Curves, error against scale, estimate against truth."""
    figure = new_figure(12, 3.5)
    curves, error, scatter = figure.subplots(1, 3)
    values = torch.linspace(-3.2, 3.2, 801, dtype=torch.float64)
    curves.plot(values, quantise_hard(values), "k--", label="hard")
    truth = histogram_entropy(hard_bins(latents))
    for quantiser, label in ((GAUSSIAN, "Gaussian, 5"), (STUDENT, "t-Student(50), 25")):
        curves.plot(values, quantiser.assign(values.view(1, 1, 1, -1))[0].flatten(), label=label)
        bins = direct_bins(latents, quantiser)
        error.plot(SCALES, 100 * relative_error(latents, bins), ".", alpha=0.5, label=label)
        scatter.plot(truth, histogram_entropy(bins), ".", alpha=0.5, label=label)
    _label(curves, "latent", "quantised")
    error.set_ylim(-4, 104)
    _label(error, "scale of the Laplacian", "error of the entropy, %")
    _label(scatter, "entropy, bits", "soft estimate, bits")
    scatter.plot([0, 5], [0, 5], "k:")
    return figure


def figure_a1() -> Figure:
    """Quantisation curves over histograms at ``SHOWN_SCALES``."""
    figure = new_figure(16, 5.5)
    panels = figure.subplots(2, len(SHOWN_SCALES))
    words = range(CODEBOOK_MIN, CODEBOOK_MAX + 1)
    for column, scale in enumerate(SHOWN_SCALES):
        latents = laplacian([scale], 10_000)
        ordered = latents.flatten().sort().values
        true = hard_bins(latents)[0]
        panels[0, column].plot(ordered, quantise_hard(ordered), "k--", label="hard")
        panels[1, column].plot(words, true / true.sum(), "k.--", label="hard")
        for quantiser, label in ((GAUSSIAN, "Gaussian"), (STUDENT, "t-Student")):
            soft, bins = quantiser.assign(ordered.view(1, 1, 1, -1))
            panels[0, column].plot(ordered, soft.flatten(), label=label)
            panels[1, column].plot(words, bins[0] / bins.sum(), ".-", label=label)
        panels[0, column].set_title(f"Laplacian, scale {scale:g}")
        _label(panels[0, column], "latent", "quantised")
        _label(panels[1, column], "code word", "probability")
    return figure


def figure_a2(latents: Tensor, authors: bool = False) -> Figure:
    """Error against scale for every kernel, as the paper computes it, or as its authors' code."""
    figure = new_figure(16, 14)
    panels = figure.subplots(len(GAMMAS), len(NUS) + 1, sharex=True, sharey=True)
    for row, gamma in enumerate(GAMMAS):
        for column, nu in enumerate((0.0, *NUS)):
            bins = direct_bins(latents, kernel(gamma, nu, authors))
            error = 100 * relative_error(latents, bins)
            axis = panels[row, column]
            axis.plot(SCALES, error, ".", markersize=3)
            name = f"t-Student({nu:g})" if nu else "Gaussian"
            axis.set_title(f"{name}, gamma {gamma:g}: {float(error.mean()):.2f} %", fontsize=9)
            axis.set_ylim(-4, 104)
    figure.supxlabel("scale of the Laplacian")
    figure.supylabel("error of the entropy, %")
    return figure


def figure_3_latents(entropies: Tensor) -> Figure:
    """Estimate against truth for a model's latents; ``entropies`` of ``model_entropies``."""
    figure = new_figure(4.5, 4)
    axis = figure.subplots()
    truth, gaussian, student = entropies
    axis.plot(truth, gaussian, ".", alpha=0.5, label="Gaussian, 5")
    axis.plot(truth, student, ".", alpha=0.5, label="t-Student(50), 25")
    end = float(entropies.max()) * 1.05
    axis.plot([0, end], [0, end], "k:")
    _label(axis, "entropy of a crop's latent, bits", "soft estimate, bits")
    return figure


def _label(axis: object, x: str, y: str) -> None:
    axis.set_xlabel(x)  # type: ignore[attr-defined]
    axis.set_ylabel(y)  # type: ignore[attr-defined]
    axis.legend(fontsize=8)  # type: ignore[attr-defined]
    axis.grid(alpha=0.3)  # type: ignore[attr-defined]


def table(latents: Tensor) -> str:
    """Mean relative errors in percent, as the paper computes them and as ``Quantiser`` does."""
    direct, stable = grid(latents, direct=True), grid(latents, direct=False)
    columns = [("gaussian", 0.0), *(("student", nu) for nu in NUS)]
    names = [f"t-St.({nu:g})" if nu else "Gaussian" for _, nu in columns]
    lines = ["mean error of the entropy in % (as in the paper / Quantiser)"]
    lines.append("gamma " + "".join(f"{name:>15}" for name in names))
    for gamma in GAMMAS:
        keys = [(name, gamma, nu) for name, nu in columns]
        cells = [f"{100 * direct[key]:.2f} / {100 * stable[key]:.2f}" for key in keys]
        lines.append(f"{gamma:5g} " + "".join(f"{cell:>15}" for cell in cells))
    return "\n".join(lines)


def step_seconds(
    channels: int = 32, batch: int = 8, patch: int = 128, repeats: int = 3
) -> tuple[float, float]:
    """Seconds of the quantiser, and of a whole training step around it (preset ``fast``).

    Forwards and backwards in float32 on the CPU, the best of ``repeats``; the step without its
    optimiser, so that the quantiser's true share is smaller still.
    """
    from dcncodec.models.dcn import DCN
    from dcncodec.train.engine.presets import RECIPES
    from dcncodec.train.tasks.codec import CodecLoss

    torch.manual_seed(0)
    objective = CodecLoss(DCN(channels), RECIPES["fast"], torch.float32)
    pixels = torch.rand(batch, 3, patch, patch)
    latents = objective.codec.analysis(pixels).detach().requires_grad_()

    def quantise() -> Tensor:
        quantised, bits = STUDENT(latents, "channel")
        return quantised.sum() + bits

    def whole() -> Tensor:
        loss: Tensor = objective(pixels)[0]
        return loss

    fastest = [float("inf")] * 2
    for _ in range(repeats):
        for i, forward in enumerate((quantise, whole)):
            begin = time.perf_counter()
            forward().backward()  # type: ignore[no-untyped-call]
            fastest[i] = min(fastest[i], time.perf_counter() - begin)
    return fastest[0], fastest[1]


@click.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True)
@click.option("--data", type=click.Path(path_type=Path), help="Images for fig-3-latents.")
@click.option("--model", default="dcn-32c", show_default=True, help="For fig-3-latents.")
def main(out: Path, data: Path | None, model: str) -> None:
    """Draw the figures as SVG and PNG, and print the errors."""
    latents = laplacian(SCALES.tolist(), SAMPLES)
    try:
        make_folder(out)
        save_figure(figure_3(latents), out, "fig-3")
        save_figure(figure_a1(), out, "fig-a1")
        save_figure(figure_a2(latents), out, "fig-a2")
        save_figure(figure_a2(latents, authors=True), out, "fig-a2-authors")
        if data is not None:
            save_figure(figure_3_latents(model_entropies(model, data)), out, "fig-3-latents")
    except DcnError as error:
        raise click.ClickException(str(error)) from None
    click.echo(table(latents))
    for reading, authors in (("the paper's text", False), ("the authors' code", True)):
        gamma, nu, least = best(latents, authors)
        name = f"t-Student({nu:g})" if nu else "Gaussian"
        click.echo(f"least error by {reading}: {name}, gamma {gamma:g}, {100 * least:.2f}%")
    own, step = step_seconds()
    click.echo(f"quantiser: {1000 * own:.1f} of {1000 * step:.0f} ms of a step, {own / step:.1%}")


if __name__ == "__main__":
    main()
