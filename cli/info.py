"""``dcn info``: what .dcn files hold. Only decoding context-coded files takes their model."""

from __future__ import annotations

import sys
from typing import Any

import click

from dcncodec.cli.batch import read_input
from dcncodec.cli.common import quiet_option
from dcncodec.cli.failures import explain
from dcncodec.cli.lines import complain, json_line, say
from dcncodec.cli.streams import INPUT_NAME, STREAM
from dcncodec.cli.warned import take_warnings
from dcncodec.errors import ModelError


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="FILE...")
@click.option("--channels", is_flag=True, help="Also a table of every latent channel.")
@click.option("--verify", is_flag=True, help="Check all checksums and decode all entropy codes.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a file.")
@quiet_option
def command(
    paths: tuple[str, ...], channels: bool, verify: bool, as_json: bool, quiet: bool
) -> None:
    """Show header, sections and blocks of .dcn files."""
    failed = False
    for path in paths:
        try:
            _show(path, channels, verify, as_json)
        except Exception as error:
            failure = explain(error)
            failure.about(INPUT_NAME if path == STREAM else path)
            text = str(failure)
            if as_json:
                say(json_line({"file": path, "error": text, "warnings": take_warnings()}))
            complain(text)
            failed = True
    if failed:
        sys.exit(1)


def _show(path: str, channels: bool, verify: bool, as_json: bool) -> None:
    from dcncodec.encoder.quality import MAX_QUALITY
    from dcncodec.formats.geometry import MAX_RATE
    from dcncodec.formats.inspect import info

    data = read_input(path)
    coder = None
    if channels or verify:
        from dcncodec.entropy import coder_to_verify
        from dcncodec.formats.container import read

        file = read(data, max_pixels=None)
        coder = coder_to_verify(file)
    facts: dict[str, Any] = {"file": path, **info(data, channels=channels, coder=coder)}
    if verify:
        file.verify(coder)
        facts["verified"] = True
    if as_json:
        say(json_line(facts | {"warnings": take_warnings()}))
        return
    latent = facts["latent"]
    kind = ("grey" if facts["grey"] else "RGB") + (" with alpha" if facts["alpha"] else "")
    say(
        f"{path}: {facts['width']} x {facts['height']} px, {kind}, {facts['bytes']:,} bytes, "
        f"{facts['bpp']:.3f} bpp"
    )
    say(f"  model     {facts['model']} ({facts['model_hash']})")
    say(f"  latents   {latent['height']} x {latent['width']} x {latent['channels']}")
    if (rate := facts["rate"]) is not None and _has_rates(facts):
        say(
            f"  rate      {rate} of {MAX_RATE}, about --quality {rate * MAX_QUALITY / MAX_RATE:.0f}"
        )
    for name, size in facts["metadata"].items():
        say(f"  {name:<9} {size:,} bytes")
    if (palette := facts["palette"]) is not None:
        exact = f"{palette['share']:.1%} of the picture is exact"
        say(f"  palette   {palette['bytes']:,} bytes, {exact}")
    if (means := facts["means"]) is not None:
        say(f"  means     {means['bytes']:,} bytes")
    for number, block in enumerate(facts["blocks"]):
        _show_block(number, block)
    if verify:
        say("  ok        checksums and entropy codes of all sections")


def _has_rates(facts: dict[str, Any]) -> bool:
    """Whether a file's rate means something; unknown where its model is not installed."""
    from dcncodec.models.registry import find_by_prefix

    prefix = bytes.fromhex(facts["model_hash"])
    try:
        return find_by_prefix(facts["model"], prefix, notify=lambda _: None).geometry.rates
    except ModelError:
        return False


def _show_block(number: int, block: dict[str, Any]) -> None:
    if not block["intact"]:
        say(f"  block {number}   damaged")
        return
    say(
        f"  block {number}   {block['height']} x {block['width']} latents at "
        f"({block['top']}, {block['left']}), {block['bytes']:,} bytes, {block['mode']}"
    )
    for channel in block.get("channels", ()):
        size = "shared" if channel["bytes"] is None else f"{channel['bytes']:6d} bytes"
        say(
            f"    channel {channel['channel']:3d}  {size}  {channel['coding']}  "
            f"{channel['entropy']:.3f} bits per index"
        )
