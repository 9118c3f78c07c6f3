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
    """Without the name of a training it is that of a codec, or the one that 0.1 named among the
    options: ``--finetune forensic``."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The training, and its arguments."""
        if args[0] not in self.lazy:
            end = args.index("--") if "--" in args else len(args)
            # Where a shell completes, a line is unfinished rather than wrong.
            found = FINETUNE.make_context(
                ctx.command_path,
                args[:end],
                parent=ctx,
                resilient_parsing=ctx.resilient_parsing,
            )
            args = [found.params["finetune"] or DEFAULT, *found.args, *args[end:]]
        return super().resolve_command(ctx, args)


PASSED_ON = {"ignore_unknown_options": True, "allow_extra_args": True}
"""What is no option here is one of the training."""
FINETUNE = click.Command(
    None,
    params=[click.Option(["--finetune"])],
    context_settings=PASSED_ON,
    add_help_option=False,
)
"""How 0.1 named a training."""


@click.command(
    cls=Trainings,
    lazy=COMMANDS,
    prefix="train_",
    context_settings=PASSED_ON,
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
