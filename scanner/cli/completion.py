"""`leakscan completion SHELL`: the script that completes commands, options and paths in a shell."""

from __future__ import annotations

import click

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print the script that completes leakscan in a shell.

    \b
    ~/.bashrc:                   eval "$(leakscan completion bash)"
    ~/.zshrc:                    eval "$(leakscan completion zsh)"
    ~/.config/fish/config.fish:  leakscan completion fish | source
    """
    from click.shell_completion import get_completion_class

    from scanner.cli.main import cli

    kind = get_completion_class(shell)
    assert kind is not None
    made = kind(cli, {}, "leakscan", "_LEAKSCAN_COMPLETE")
    click.echo(made.source_template % made.source_vars())
