"""The `slackwater` command: words a user types. Each command lives in a module of its own, loaded when it is called."""

import importlib

import click

from slackwater import __version__

COMMANDS = {
    "serve": ("slackwater.cli.serve", "Run the batch service."),
    "run": ("slackwater.cli.run", "Run one file of requests, without a server."),
    "demo": ("slackwater.cli.demo", "See a whole batch go through, in under a minute."),
    "keys": ("slackwater.cli.keys", "Make, list, rotate and delete keys."),
    "usage": ("slackwater.cli.usage", "Say what was completed and what it cost."),
    "audit": ("slackwater.cli.audit", "Export the log of who did what."),
    "check-config": ("slackwater.cli.check_config", "Say what is wrong with a configuration file."),
}


class _Lazy(click.Group):
    """Imports a command when it is called, so that a start pays only for what it uses."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"no such command '{args[0]}'; there are {', '.join(COMMANDS)}")
        return super().resolve_command(ctx, args)


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version", message="slackwater %(version)s")
def main() -> None:
    """A batch service for language models that you run yourself.

    \b
    Try it, with no model server at all:
      slackwater demo
    Run one file against an engine, resumable:
      slackwater run questions.jsonl -o answers.jsonl --backend http://127.0.0.1:8000/v1
    Serve the Azure OpenAI and OpenAI Batch API:
      slackwater serve --config slackwater.toml
    """
