"""What a codec pays for the traces that it keeps, beside JPEG (DCN paper, Figs. 8 and B.1).

A sweep trains FANs behind JPEG of several qualities and behind codecs as they are, and tunes the
codecs at several lambda_c and seeds, each for the same time. Every one is measured under both
protocols as soon as it is trained. What is done is kept: the same sweep goes on after a break, and
goes further when there is more in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcncodec.errors import TrainingError
from dcncodec.forensics.channel import DCN_FILE
from dcncodec.forensics.evaluate import evaluate
from dcncodec.forensics.field_evaluation import evaluate_field
from dcncodec.forensics.folder import ForensicFolder, open_forensic
from dcncodec.forensics.photos import Photos
from dcncodec.formats.files import atomic_write, make_folder
from dcncodec.models.card import FAN_CARD
from dcncodec.models.families.fan import LEARNS_CODEC
from dcncodec.models.registry import find_model
from dcncodec.plotting import new_figure
from dcncodec.train.engine.session import Notify, unseen
from dcncodec.train.tasks.forensic_setup import ForensicSettings, train_forensic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Results = list[dict[str, Any]]

PROTOCOLS = ("paper", "field")
RESULTS = "results.json"
RATES = (64, 128, 192)
"""At which codecs with rates are measured."""


@dataclass(frozen=True)
class Point:
    """One training of a sweep.

    Attributes:
        name: of its folders.
        series: what it belongs to in plots.
        channel: see ``forensics.channel.parse_channel``.
        model: of a dcn channel.
        lambda_c: weight of distortion and rate; None where only the FAN learns.
        seed: of the training.
    """

    name: str
    series: str
    channel: str
    model: str | None = None
    lambda_c: float | None = None
    seed: int = 0


def points_of(
    models: Sequence[str], lambdas: Sequence[float], qualities: Sequence[int], seeds: int
) -> list[Point]:
    """All trainings of a sweep, the cheap ones first.

    Args:
        models: codecs by name or path.
        lambdas: values of lambda_c.
        qualities: of JPEG.
        seeds: trainings of every codec at every lambda_c.
    """
    found = [Point(f"jpeg-{quality}", "JPEG", f"jpeg:{quality}") for quality in qualities]
    names = {model: Path(model).name for model in models}
    found += [Point(f"{n}-fixed", "as it is", DCN_FILE, model) for model, n in names.items()]
    found += [
        Point(f"{n}-{value:g}-{seed}", f"{n}, tuned", DCN_FILE, model, value, seed)
        for seed in range(seeds)
        for model, n in names.items()
        for value in lambdas
    ]
    return found


@dataclass(frozen=True)
class Sweep:
    """Where a sweep takes photos from and keeps what it has done.

    Attributes:
        folder: of runs, models and results.
        sources: folders of images and tar shards to train on.
        photos: to measure with.
        data: a name for them.
        settings: of every training, but for what a ``Point`` says.
    """

    folder: Path
    sources: tuple[Path, ...]
    photos: Photos
    data: str
    settings: ForensicSettings

    def run(self, points: Iterable[Point], notify: Notify) -> int:
        """Do what is left of some trainings and measurements.

        Args:
            points: the trainings.
            notify: called with lines worth showing.

        Returns:
            0, or the number of the signal that ended it.

        Raises:
            DcnError: as ``train_forensic`` and ``evaluate``.
        """
        make_folder(self.folder)
        for point in points:
            trained = self.folder / "models" / point.name
            if not (trained / FAN_CARD).exists():
                notify(f"{point.name}: training")
                number = train_forensic(self._settings(point, trained), notify, unseen)
                if number:
                    return number
            results = self.results()
            if point.name not in {result["name"] for result in results}:
                notify(f"{point.name}: measuring on {len(self.photos)} photos")
                self._save(results + self._measure(point, open_forensic(trained)))
        return 0

    def results(self) -> Results:
        """What has been measured so far.

        Raises:
            TrainingError: the file is damaged.
        """
        path = self.folder / RESULTS
        try:
            found: Results = json.loads(path.read_text())
        except FileNotFoundError:
            return []
        except (OSError, ValueError):
            raise TrainingError("damaged; remove it to measure again", path) from None
        return found

    def _settings(self, point: Point, trained: Path) -> ForensicSettings:
        tuned = point.lambda_c is not None
        chosen: dict[str, Any] = {
            "channel": point.channel,
            "trainable": (LEARNS_CODEC,) if tuned else (),
        }
        if tuned:
            chosen["lambda_c"] = point.lambda_c
        return replace(
            self.settings,
            sources=self.sources,
            folder=self.folder / "runs" / point.name,
            overrides={**self.settings.overrides, **chosen},
            seed=point.seed,
            export=trained,
            model=point.model,
        )

    def _measure(self, point: Point, folder: ForensicFolder) -> Results:
        rated = point.model is not None and find_model(point.model).geometry.rates
        found = []
        for rate in RATES if rated else (None,):
            paper = evaluate(folder, self.photos, self.data, rate=rate).figures()
            field = evaluate_field(folder, self.photos, self.data, rate=rate)[0].figures()
            for protocol, figures in zip(PROTOCOLS, (paper, field), strict=True):
                kept = {n: figures[n] for n in ("accuracy", "false_alarms", "bpp", "ssim")}
                found.append(
                    {
                        "name": point.name,
                        "series": point.series,
                        "protocol": protocol,
                        "lambda_c": point.lambda_c,
                        "seed": point.seed,
                        "rate": rate,
                        **kept,
                        **self.photos.described(),
                    }
                )
        return found

    def _save(self, results: Results) -> None:
        with atomic_write(self.folder / RESULTS, overwrite=True) as file:
            file.write((json.dumps(results, indent=2) + "\n").encode())


def trade_offs(results: Results) -> dict[str, Figure]:
    """Accuracy over rate (Fig. 8a) and over SSIM (Fig. 8b, B.1) by protocol, all seeds as dots."""
    return {
        f"Trade-off, {protocol} protocol": _trade_off(
            [result for result in results if result["protocol"] == protocol]
        )
        for protocol in PROTOCOLS
    }


def _trade_off(results: Results) -> Figure:
    figure = new_figure(10, 4.2)
    left, right = figure.subplots(1, 2, sharey=True)
    for place, series in enumerate(dict.fromkeys(result["series"] for result in results)):
        chosen = [result for result in results if result["series"] == series]
        for axes, name in ((left, "bpp"), (right, "ssim")):
            chosen.sort(key=_by(name))
            line = "o-" if series == "JPEG" else "o"
            values = [result[name] for result in chosen]
            accuracies = [100 * result["accuracy"] for result in chosen]
            axes.plot(values, accuracies, f"C{place % 10}{line}", label=series)
            for x, y, result in zip(values, accuracies, chosen, strict=True):
                if result["lambda_c"] is not None:
                    axes.annotate(f"{result['lambda_c']:g}", (x, y), fontsize=7)
    left.set_xlabel("bits per pixel")
    right.set_xlabel("SSIM")
    left.set_ylabel("accuracy, %")
    left.legend(fontsize=7)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    return figure


def _by(name: str) -> Callable[[dict[str, Any]], float]:
    return lambda result: float(result[name])
