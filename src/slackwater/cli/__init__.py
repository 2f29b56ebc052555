"""The `slackwater` command: words a user types. Each command lives in a module of its own, loaded when it is called."""

import gc
import importlib
import os
import signal
import sys
from types import ModuleType
from typing import Any

import click
from click.shell_completion import CompletionItem

from slackwater import __version__

COMMANDS = {
    "batches": ("slackwater.cli.batches", "Submit, watch, cancel and download batches."),
    "files": ("slackwater.cli.files", "Upload, download and delete files."),
    "deployments": ("slackwater.cli.deployments", "List what 'model' may be, pause and resume it."),
    "profiles": ("slackwater.cli.profiles", "Give servers names."),
    "prepare": ("slackwater.cli.prepare", "Make requests of a CSV, Parquet, JSON or text file."),
    "join": ("slackwater.cli.join", "Put answers beside the rows that they are about."),
    "validate": ("slackwater.cli.validate", "Say everything that is wrong with an input file."),
    "split": ("slackwater.cli.split", "Cut a file that is too large for one batch."),
    "estimate": ("slackwater.cli.estimate", "Say what a file will cost, and how long it will take."),
    "serve": ("slackwater.cli.serve", "Run the batch service."),
    "worker": ("slackwater.cli.worker", "Send for servers that share a ledger; no API."),
    "up": ("slackwater.cli.up", "Run a worker on every node of a Ray cluster."),
    "down": ("slackwater.cli.down", "End the workers on a Ray cluster."),
    "run": ("slackwater.cli.run", "Run one file of requests, without a server."),
    "demo": ("slackwater.cli.demo", "See a whole batch go through, in under a minute."),
    "engines": ("slackwater.cli.engines", "Look at the engines of a service, pause and resume them."),
    "members": ("slackwater.cli.members", "List the servers and workers that share a ledger."),
    "keys": ("slackwater.cli.keys", "Make, list, rotate and delete keys."),
    "usage": ("slackwater.cli.usage", "Say what was completed and what it cost."),
    "audit": ("slackwater.cli.audit", "Export the log of who did what."),
    "backup": ("slackwater.cli.backup", "Copy a data directory, also while a server works on it."),
    "restore": ("slackwater.cli.restore", "Make a data directory of a back-up."),
    "migrate-data": ("slackwater.cli.migrate_data", "Move ledger or files to PostgreSQL or a store, or back."),
    "recover": ("slackwater.cli.recover", "Go on with a ledger that a server refuses."),
    "confirm-clock": ("slackwater.cli.confirm_clock", "Say that a clock which has jumped is right."),
    "doctor": ("slackwater.cli.doctor", "Look at everything a server needs, and say what to put right."),
    "health": ("slackwater.cli.health", "Ask a server whether it is well."),
    "check-config": ("slackwater.cli.check_config", "Say what is wrong with a configuration file."),
    "sim-engine": ("slackwater.cli.sim_engine", "Serve a modelled engine, to plan and test without a GPU."),
    "completion": ("slackwater.cli.completion", "Make the Tab key complete this command."),
}
# How the help is ordered: by what somebody is about to do. What is in none of these is for whoever runs a server.
SECTIONS = {
    "Use a server": ("batches", "files", "deployments", "usage", "profiles"),
    "Work without one": ("demo", "run", "prepare", "join", "validate", "split", "estimate", "sim-engine", "completion"),
}
# Those that run until a signal ends them, with exit code 0.
LASTING = ("serve", "worker")


def _loaded(name: str) -> ModuleType:
    """The module of a command. It brings some hundred others, all of which stay for good.

    So the garbage collector need not look at them while they come, nor ever again: a start is a twentieth cheaper.
    """
    if name in sys.modules:
        return sys.modules[name]
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        gc.freeze()
        gc.enable()


class _Lazy(click.Group):
    """Imports a command when it is called, so that a start pays only for what it uses."""

    def main(self, *arguments: Any, **named: Any) -> Any:
        if not (arguments or named) and sys.argv[1:2] and sys.argv[1] in LASTING:
            # Until the command hears signals itself, half a second and more, it has begun nothing that could be left half done.
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: os._exit(0))
        return super().main(*arguments, **named)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = _loaded(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        listed = {name for names in SECTIONS.values() for name in names}
        rest = tuple(name for name in COMMANDS if name not in listed)
        for title, names in {**SECTIONS, "Run a server": rest}.items():
            with formatter.section(title):
                formatter.write_dl([(name, COMMANDS[name][1]) for name in names])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        # Not by asking each command for its help: somebody waits with a finger on the Tab key.
        names = [CompletionItem(name, help=text) for name, (_, text) in COMMANDS.items() if name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)

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
    Use that server, or Azure's, or OpenAI's:
      slackwater batches submit questions.jsonl --deployment llama-batch --output answers.jsonl
    """
