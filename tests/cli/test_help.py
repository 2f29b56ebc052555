"""The help: every command is in one place of it, loads, and explains itself."""

import click
import pytest
from click.testing import CliRunner

from slackwater.cli import COMMANDS, SECTIONS, main

# Those that use a server, or work on files without one.
OF_USERS = ("batches", "files", "deployments", "profiles", "usage", "validate", "split", "estimate", "run")


def test_the_help_has_every_command_once() -> None:
    """Grouped by use; what nobody sorted is for whoever runs a server."""
    shown = CliRunner().invoke(main, ["--help"]).output
    listed = [line.split()[0] for line in shown.partition("Use a server:")[2].splitlines() if line.startswith("  ")]
    assert sorted(listed) == sorted(COMMANDS)
    assert {name for names in SECTIONS.values() for name in names} <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    """With -h and --help, subcommands too; those of users say their exit codes."""
    done = CliRunner().invoke(main, [name, "--help"])
    assert done.exit_code == 0, done.output
    assert CliRunner().invoke(main, [name, "-h"]).output == done.output
    if name in OF_USERS:
        assert "Exit codes:" in done.output
    command = main.get_command(click.Context(main), name)
    for sub in getattr(command, "commands", {}):
        assert CliRunner().invoke(main, [name, sub, "--help"]).exit_code == 0


def test_a_word_that_is_no_command() -> None:
    """Exit code 2, and the words that are."""
    done = CliRunner().invoke(main, ["submit"])
    assert done.exit_code == 2
    assert "no such command 'submit'; there are batches, files" in done.output
