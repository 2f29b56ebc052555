"""`slackwater completion`: what a shell needs to complete commands, options and names of profiles."""

import click
from click.shell_completion import get_completion_class

VARIABLE = "_SLACKWATER_COMPLETE"


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print a script that makes SHELL complete this command with the Tab key.

    \b
    For bash, in ~/.bashrc:
      eval "$(slackwater completion bash)"
    For zsh, in ~/.zshrc:
      eval "$(slackwater completion zsh)"
    For fish:
      slackwater completion fish > ~/.config/fish/completions/slackwater.fish
    """
    # Imported here, because that module imports this one.
    from slackwater.cli import main

    made = get_completion_class(shell)
    assert made is not None, "click knows these shells"
    click.echo(made(main, {}, "slackwater", VARIABLE).source())
