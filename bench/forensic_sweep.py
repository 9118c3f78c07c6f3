"""What a codec pays for the traces that it keeps, beside JPEG (DCN paper, Figs. 8 and B.1).

A sweep trains FANs behind JPEG of several qualities and behind codecs as they are, and tunes the
codecs at several lambda_c and seeds, each for the same time. Every one is measured under both
protocols as soon as it is trained, and so are forensic folders that exist already; one behind a
codec with rates at several of them. What is done is kept: the same sweep goes on after a break,
and goes further when there is more in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcncodec.errors import TrainingError, UsageError
from dcncodec.forensics.channel import DCN_FILE, NONE, parse_channel
from dcncodec.forensics.evaluate import at_rate, evaluate
from dcncodec.forensics.field_evaluation import evaluate_field
from dcncodec.forensics.folder import ForensicFolder, open_forensic
from dcncodec.forensics.photos import Photos
from dcncodec.formats.files import atomic_write, make_folder
from dcncodec.models.card import FAN_CARD
from dcncodec.models.families.fan import LEARNS_CODEC
from dcncodec.models.registry import find_model
from dcncodec.plotting import new_figure
from dcncodec.train.engine.session import Notify, unseen
from dcncodec.train.tasks.forensic_fans import ForensicSettings
from dcncodec.train.tasks.forensic_setup import train_forensic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Results = list[dict[str, Any]]

PROTOCOLS = ("paper", "field")
RESULTS = "results.json"
JPEG = "JPEG"
"""The series of which each training is one point of a single curve."""


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
        trained: the forensic folder, where there is nothing left to train.
    """

    name: str
    series: str
    channel: str
    model: str | None = None
    lambda_c: float | None = None
    seed: int = 0
    trained: ForensicFolder | None = None


def points_of(
    models: Sequence[str],
    lambdas: Sequence[float],
    qualities: Sequence[int],
    seeds: int,
    beside: Sequence[ForensicFolder] = (),
) -> list[Point]:
    """All that a sweep measures, the cheap ones first.

    Args:
        models: codecs by name or path.
        lambdas: values of lambda_c.
        qualities: of JPEG.
        seeds: trainings of every codec at every lambda_c.
        beside: what is trained already.

    Raises:
        UsageError: one of those has no channel, or the name of another.
    """
    found = [_as_it_is(folder) for folder in beside]
    found += [Point(f"jpeg-{quality}", JPEG, f"jpeg:{quality}") for quality in qualities]
    names = {model: Path(model).name for model in models}
    found += [Point(f"{n}-fixed", "as it is", DCN_FILE, model) for model, n in names.items()]
    found += [
        Point(f"{n}-{value:g}-{seed}", f"{n}, tuned", DCN_FILE, model, value, seed)
        for seed in range(seeds)
        for model, n in names.items()
        for value in lambdas
    ]
    known: set[str] = set()
    for point in found:
        if point.name in known:
            raise UsageError(f"{point.name}: two of the sweep would have this name; rename one")
        known.add(point.name)
    return found


def _as_it_is(folder: ForensicFolder) -> Point:
    """A forensic folder that is only measured."""
    if folder.channel == NONE:
        raise UsageError(f"--beside {folder.name}: has no channel; name one that has")
    learned = LEARNS_CODEC in folder.card["trainable"]
    lambda_c = float(folder.card["lambda_c"]) if learned else None
    jpeg_alone = parse_channel(folder.channel) and not (folder.downsample or folder.card["nip"])
    series = JPEG if jpeg_alone else folder.name
    return Point(folder.name, series, folder.channel, lambda_c=lambda_c, trained=folder)


@dataclass(frozen=True)
class Sweep:
    """Where a sweep takes photos from and keeps what it has done.

    Attributes:
        folder: of runs, models and results.
        sources: folders of images and tar shards to train on.
        photos: to measure with.
        data: a name for them.
        settings: of every training, but for what a ``Point`` says; critics judge where a codec is
            tuned.
        rates: at which codecs with rates are measured; they learn between the lowest and the
            highest. Empty for all rates, and three of them in equal steps.
    """

    folder: Path
    sources: tuple[Path, ...]
    photos: Photos
    data: str
    settings: ForensicSettings
    rates: tuple[int, ...] = ()

    def run(self, points: Iterable[Point], notify: Notify) -> int:
        """Do what is left of some trainings and measurements.

        Args:
            points: what to train and measure.
            notify: called with lines worth showing.

        Returns:
            0, or the number of the signal that ended it.

        Raises:
            DcnError: as ``train_forensic`` and ``evaluate``.
        """
        make_folder(self.folder)
        for point in points:
            trained = self.folder / "models" / point.name
            if point.trained is None and not (trained / FAN_CARD).exists():
                notify(f"{point.name}: training")
                number = train_forensic(self.settings_of(point, trained), notify, unseen)
                if number:
                    return number
            folder = point.trained or open_forensic(trained)
            for rate in rates_of(folder, self.rates):
                what = {"name": point.name, "rate": rate}
                done = what | {"fan_sha256": folder.model.sha256}
                if any(done.items() <= result.items() for result in self.results()):
                    continue
                title = " ".join([point.name, *at_rate(rate)])
                notify(f"{title}: measuring on {len(self.photos)} photos")
                measured = self._measure(point, folder, rate)
                # Not those of another FAN that had the name before.
                what |= self._described()
                kept = [result for result in self._read() if not what.items() <= result.items()]
                self._save(kept + measured)
        return 0

    def results(self) -> Results:
        """What has been measured so far on these photos.

        Raises:
            TrainingError: the file is damaged.
        """
        photos = self._described()
        found = [result for result in self._read() if photos.items() <= result.items()]
        if not all(map(_is_whole, found)):
            raise self._damaged()
        return found

    def settings_of(self, point: Point, trained: Path) -> ForensicSettings:
        """Of a training whose result becomes a folder."""
        tuned = point.lambda_c is not None
        chosen: dict[str, Any] = {
            "channel": point.channel,
            "trainable": (LEARNS_CODEC,) if tuned else (),
        }
        if tuned:
            chosen["lambda_c"] = point.lambda_c
        if self.rates and point.model is not None and find_model(point.model).geometry.rates:
            chosen |= {"rate_low": min(self.rates), "rate_high": max(self.rates)}
        return replace(
            self.settings,
            sources=self.sources,
            folder=self.folder / "runs" / point.name,
            overrides={**self.settings.overrides, **chosen},
            seed=point.seed,
            export=trained,
            model=point.model,
            critic=self.settings.critic if tuned else (),
        )

    def _read(self) -> Results:
        """What has been measured so far on any."""
        try:
            found: Results = json.loads((self.folder / RESULTS).read_text())
        except FileNotFoundError:
            return []
        except (OSError, ValueError, RecursionError):
            raise self._damaged() from None
        if not isinstance(found, list) or not all(isinstance(result, dict) for result in found):
            raise self._damaged()
        return found

    def _damaged(self) -> TrainingError:
        return TrainingError("damaged; remove it to measure again", self.folder / RESULTS)

    def _described(self) -> dict[str, Any]:
        """The photos, for results."""
        return {"data": self.data, **self.photos.described()}

    def _measure(self, point: Point, folder: ForensicFolder, rate: int | None) -> Results:
        paper = evaluate(folder, self.photos, self.data, rate=rate).figures()
        field = evaluate_field(folder, self.photos, self.data, rate=rate)[0].figures()
        return [
            {
                "name": point.name,
                "series": point.series,
                "protocol": protocol,
                "lambda_c": point.lambda_c,
                "seed": point.seed,
                "rate": rate,
                "fan_sha256": folder.model.sha256,
                **{n: figures.get(n) for n in ("accuracy", "false_alarms", "bpp", "ssim")},
                **self._described(),
            }
            for protocol, figures in zip(PROTOCOLS, (paper, field), strict=True)
        ]

    def _save(self, results: Results) -> None:
        with atomic_write(self.folder / RESULTS, overwrite=True) as file:
            file.write((json.dumps(results, indent=2) + "\n").encode())


def _is_whole(result: dict[str, Any]) -> bool:
    """Whether a result has what plots and tables show."""
    texts, numbers = ("name", "series", "protocol"), ("accuracy", "bpp", "ssim")
    unknown = ("lambda_c", "rate", "false_alarms")
    return (
        {*texts, *numbers, *unknown} <= result.keys()
        and all(isinstance(result[name], str) for name in texts)
        and all(isinstance(result[name], int | float) for name in numbers)
        and all(isinstance(result[name], int | float | None) for name in unknown)
    )


def rates_of(folder: ForensicFolder, chosen: Sequence[int]) -> Sequence[int | None]:
    """At which a channel is measured: None for the only one; where none is chosen, three of those
    that the FAN has seen."""
    if folder.rates is None:
        return (None,)
    low, high = folder.rates
    return chosen or [round(low + (high - low) * part / 4) for part in (1, 2, 3)]


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
    colours: dict[str, str] = {}
    for series, curve in curves_of(results):
        label = series if series not in colours else None
        colour = colours.setdefault(series, f"C{len(colours) % 10}")
        for axes, name in ((left, "bpp"), (right, "ssim")):
            curve.sort(key=_by(name))
            values = [result[name] for result in curve]
            accuracies = [100 * result["accuracy"] for result in curve]
            axes.plot(values, accuracies, "o-", color=colour, label=label)
            if curve[0]["lambda_c"] is not None:
                place = values[0], accuracies[0]
                axes.annotate(f"{curve[0]['lambda_c']:g}", place, fontsize=7)
    left.set_xlabel("bits per pixel")
    right.set_xlabel("SSIM")
    left.set_ylabel("accuracy, %")
    left.legend(fontsize=7)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    return figure


def curves_of(results: Results) -> list[tuple[str, Results]]:
    """Series and points of each line: all of JPEG, and each training at all of its rates."""
    curves: dict[tuple[str, str], Results] = {}
    for result in results:
        name = JPEG if result["series"] == JPEG else result["name"]
        curves.setdefault((result["series"], name), []).append(result)
    return [(series, curve) for (series, _), curve in curves.items()]


def _by(name: str) -> Callable[[dict[str, Any]], float]:
    return lambda result: float(result[name])
