"""``dcn train forensic``: train a FAN, and codec or camera pipeline with it."""

from __future__ import annotations

from typing import Any

import click

from dcncodec.cli.checks import check_export_apart
from dcncodec.cli.common import Finite, machine_options
from dcncodec.cli.training import Training, loaders_option, run_training, training_options
from dcncodec.formats.geometry import MAX_RATE
from dcncodec.models.families.fan import NETWORKS
from dcncodec.models.roles import Role

MODELS = {"model": Role.CODEC, "fan": Role.FAN, "nip": Role.PIPELINE, "critic": Role.FAN}


class Names(click.ParamType[tuple[str, ...]]):
    """Names with commas between them, or ``none``."""

    name = "names"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """As a tuple."""
        if isinstance(value, tuple):
            return value
        return () if value == "none" else tuple(name.strip() for name in value.split(","))


class Rates(click.ParamType[tuple[int, int]]):
    """Two rates with a hyphen between them, or one."""

    name = "rates"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """As two whole numbers."""
        low, _, high = str(value).partition("-")
        rates = [int(text) for text in (low, high or low) if text.isdecimal()]
        if len(rates) != 2 or not all(0 <= rate <= MAX_RATE for rate in rates):
            self.fail(f"{value}: choose LO-HI of 0 to {MAX_RATE}", param, ctx)
        return rates[0], rates[1]


@click.command()
@training_options
@click.option("--model", metavar="NAME|PATH", help="The codec of the channel dcn.")
@click.option(
    "--fan",
    multiple=True,
    metavar="NAME|PATH",
    help="Start from the FAN of a forensic folder. Give two for both kinds combined: what the "
    "second has replaces that part of the first.",
)
@click.option(
    "--network",
    type=click.Choice(NETWORKS),
    help="The DCN paper's FAN, one that judges local spectra, or both combined, which --fan may be "
    "one part of, or have as one.  [default: spectral for the channel none, combined behind "
    "others, convolutional with --preset paper; that of --fan or of the resumed run]",
)
@click.option(
    "--critic",
    multiple=True,
    metavar="NAME|PATH",
    help="A FAN without channel that stays as it is and judges decoded pictures, too: what learns "
    "sees from the first step which traces get lost, and keeps clean pictures clean to others. "
    "Repeat for several.",
)
@click.option(
    "--critic-weight", type=Finite(0), help="Of its cross-entropy, or their mean.  [default: 1]"
)
@click.option(
    "--distil-weight",
    type=Finite(0),
    help="Weight of what decoded pictures lack of the features that the critic finds in them "
    "before the channel.  [default: 0]",
)
@click.option(
    "--nip",
    metavar="NAME|PATH",
    help="A camera pipeline that develops the photos: standard, or a neural one; SOURCES are as "
    "for dcn train nip.",
)
@click.option(
    "--channel",
    metavar="NAME",
    help="dcn, jpeg:QF or none.  [default: dcn, or that of the resumed run]",
)
@click.option(
    "--downsample/--full-size", default=None, help="Whether the channel halves pictures first."
)
@click.option(
    "--trainable",
    type=Names(),
    metavar="NAMES",
    help="What learns with the FAN: dcn, nip, dcn,nip or none.  [default: dcn with that channel]",
)
@click.option(
    "--lambda-c",
    type=Finite(0),
    help="Weight of distortion and rate against the FAN's loss; its squared errors are summed over "
    "50 patches.  [default: 0.001]",
)
@click.option("--lambda-h", type=Finite(0), help="Weight of the rate in that, of a codec with one.")
@click.option("--lambda-ssim", type=Finite(0), help="Weight of 1 - SSIM in that, likewise.")
@click.option(
    "--ssim-share",
    type=Finite(0, 1),
    help="The same for a codec with rates, as a share of its distortion.  [default: that of SSIM "
    "and MS-SSIM in its own training]",
)
@click.option(
    "--lambda-n",
    type=Finite(0),
    help="Weight of the pipeline's distortion; 18.9 times as much in the NIP paper's units.  "
    "[default: 0.001]",
)
@click.option(
    "--keep",
    type=Names(),
    metavar="prnu",
    help="What the codec learns to keep besides: the fingerprints that simulated sensors leave in "
    "photos. With --classes none it learns that alone, without a FAN.",
)
@click.option(
    "--keep-weight",
    type=Finite(0),
    help="Bits per pixel that the noise of decoded photos is worth if it were the fingerprint "
    "alone (NCC of 1); a match takes an NCC of about 0.02.  [default: 6]",
)
@click.option(
    "--rate",
    type=Rates(),
    metavar="LO-HI",
    help="Rates of a codec that has them, drawn for every photo.  [default: 0-255]",
)
@click.option(
    "--rate-fall",
    type=Finite(0, 1),
    help="Share of the budget over which the lowest rate falls from HI to LO.  [default: 0.6]",
)
@click.option(
    "--classes",
    type=Names(),
    metavar="NAMES",
    help="Manipulations to tell apart, or none (--keep).  [default: the seven of the DCN paper]",
)
@click.option(
    "--implementations",
    type=click.Choice(["paper", "field", "both"]),
    help="The paper's operators, or those of several programs besides; both: half of the photos by "
    "the paper's protocol.  [default: field]",
)
@click.option(
    "--vary-strengths/--fixed-strengths",
    default=None,
    help="Whether each photo draws the strengths of its manipulations.  [default: it does]",
)
@click.option(
    "--grid",
    type=click.Choice(["aligned", "random"]),
    help="Where the channel's lattice begins: with that of a JPEG, or anywhere.  [default: random]",
)
@click.option(
    "--history",
    metavar="none|QF|LO-HI",
    help="JPEG quality in which half of the photos were saved before.  [default: 88-100]",
)
@click.option(
    "--retake/--no-retake",
    default=None,
    help="Whether half of the photos are made as soft and noisy before as those that cameras and "
    "scanners give at their full size.  [default: they are, but not with --nip, --history none or "
    "--preset paper]",
)
@click.option(
    "--resave/--no-resave",
    default=None,
    help="Whether half of the pictures are cut after the channel, and some turned or mirrored, "
    "scaled down or saved as JPEG again.  [default: they are]",
)
@click.option(
    "--stored",
    type=click.IntRange(1),
    metavar="PHOTOS",
    help="Where nothing but the FAN learns: put so many photos through the channel before the "
    "first step, keep them in DIR/pictures, and learn from those. In seven classes that is 0.35 MB "
    "a photo, for the spectral network 0.1 MB and hardly any work in a step.  [default: new photos "
    "in each step]",
)
@loaders_option
@machine_options
def command(**options: Any) -> None:
    """Train a forensic analysis network (FAN) on SOURCES: folders of images and tar shards.

    Photos pass through manipulations and the channel to the FAN, which learns to tell the
    manipulations apart; what is --trainable, codec or camera pipeline, learns to keep their traces.
    Defaults are those of the field: other programs, strengths, histories and lattices for every
    photo; --preset paper has the DCN paper's. Budget, DIR and signals are as in "dcn train".

    \b
    Examples:
      dcn train forensic --model dcn-16c --lambda-c 0.001 photos/ --out runs/f
      dcn train forensic --model dcn-16c --trainable none --stored 8000 photos/ --out runs/fixed
      dcn train forensic --model dcn-vr --rate 40-200 --critic fan-none photos/ --out runs/rates
      dcn train forensic --model dcn-vr --keep prnu --classes none photos/ --out runs/prnu
      dcn train forensic --channel jpeg:20 photos/ --out runs/jpeg
      dcn train forensic --channel none --grid aligned --history none photos/ --out runs/plain
      dcn train forensic --nip dnet --trainable nip --downsample --channel jpeg:50 \\
          --classes native,sharpen,gaussian,jpeg,resample pictures/ --out runs/camera
    """
    if (rates := options.pop("rate")) is not None:
        options["rate_low"], options["rate_high"] = rates
    named = (options["model"], *options["fan"], options["nip"], *options["critic"])
    check_export_apart(options["export"], named)
    own = ("model", "fan", "nip", "critic", "loaders")
    run_training(options, own, _load, _describe, _validation, MODELS)


def _load() -> Training:
    from dcncodec.train.tasks.forensic_export import export_forensic
    from dcncodec.train.tasks.forensic_fans import ForensicSettings
    from dcncodec.train.tasks.forensic_setup import train_forensic

    return Training(ForensicSettings, train_forensic, export_forensic)


def _describe(figures: dict[str, float]) -> str:
    parts = [f"loss {figures['loss']:.3f}", *_told(figures, ""), f"bpp {figures['bpp']:.3f}"]
    return "  ".join(parts)


def _validation(figures: dict[str, float]) -> str:
    prefix = "validation_"
    parts = [
        *_told(figures, prefix),
        f"bpp {figures['validation_bpp']:.3f}",
        f"PSNR {figures['validation_psnr']:.2f}",
        f"SSIM {figures['validation_ssim']:.4f}",
    ]
    return "  ".join(parts)


def _told(figures: dict[str, float], prefix: str) -> list[str]:
    """What a FAN tells and what is left of fingerprints, where a training is about them."""
    names = {"accuracy": "accuracy {:.3f}", "prnu": "fingerprint {:.4f}"}
    return [
        form.format(figures[prefix + name])
        for name, form in names.items()
        if prefix + name in figures
    ]
