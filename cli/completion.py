"""``dcn completion``: the script that completes commands and options in a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from dcncodec.cli.lines import say_text


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script for SHELL.

    \b
    bash: dcn completion bash > ~/.local/share/bash-completion/completions/dcn
    zsh:  dcn completion zsh > "${fpath[1]}/_dcn"
    fish: dcn completion fish > ~/.config/fish/completions/dcn.fish
    """
    from dcncodec.cli.group import group

    completion = get_completion_class(shell)
    assert completion is not None
    say_text(completion(group, {}, "dcn", "_DCN_COMPLETE").source())
