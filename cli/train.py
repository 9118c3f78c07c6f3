"""``dcn train``: one group for the trainings of codecs, forensic networks, camera pipelines."""

from __future__ import annotations

import click

from dcncodec.cli.lazy import LazyGroup

COMMANDS = {
    "codec": "Train a codec; what dcn train does without a name.",
    "forensic": "Train a forensic network, and codec or camera pipeline with it.",
    "context": "Fit a context model to a codec, whose files get smaller.",
    "nip": "Train a camera pipeline.",
    "trace": "Train a network that localises manipulations, in stages.",
    "vr": "Train a codec for all rates.",
}
DEFAULT = "codec"


class Trainings(LazyGroup):
    """Without the name of a training it is that of a codec."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As those of a group whose first argument is a name."""
        return super().parse_args(ctx, named(args))


def named(args: list[str]) -> list[str]:
    """Arguments that begin with the training's name, however 0.1 spelled it.

    That was ``--finetune forensic`` among the options, or nothing for a codec.
    """
    if not args or args[0] in {*COMMANDS, "-h", "--help"}:
        return args
    for i, word in enumerate(args):
        if word == "--finetune" and i + 1 < len(args):
            return [args[i + 1], *args[:i], *args[i + 2 :]]
        if word.startswith("--finetune="):
            return [word.partition("=")[2], *args[:i], *args[i + 1 :]]
    return [DEFAULT, *args]


@click.command(
    cls=Trainings,
    lazy=COMMANDS,
    prefix="train_",
    epilog="A folder with the name of a training is written ./codec.",
)
def command() -> None:
    """Train a codec, a forensic network or a camera pipeline.

    \b
    Examples:
      dcn train photos/ --out runs/a --max-minutes 60 --export my-model
      dcn train forensic --model dcn-16c photos/ --out runs/f
      dcn train nip --network inet pristine/ --out runs/inet
      dcn train vr photos/ --out runs/vr --max-minutes 600
    """
