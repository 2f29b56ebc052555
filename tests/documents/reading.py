"""The command lines of README.md and docs/*.md, as somebody would copy them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
from msgspec import Struct

from slackwater.cli import main

ROOT = Path(__file__).parents[2]
# What a line of an untagged or indented block begins with where it is a command. In a `sh` block every line is one.
WORDS = {
    "az", "bash", "cp", "curl", "docker", "docker-compose", "export", "git", "helm", "journalctl", "kubectl", "make", "node",
    "npm", "npx", "openssl", "pip", "pipx", "podman", "promtool", "python", "python3", "sh", "slackwater", "sudo", "systemctl",
    "systemd-analyze", "tar", "uv", "uvx",
}  # fmt: skip
SHELLS = {"sh", "bash", "shell", "console"}
FENCE = re.compile(r"```(\w*)\s*$")


class Command(Struct, frozen=True):
    """One command line. It may have been written over several lines."""

    page: str
    line: int
    text: str


def pages() -> list[Path]:
    """Where command lines are documented."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands(page: Path) -> list[Command]:
    """The commands of a page, in order."""
    name = page.relative_to(ROOT).as_posix()
    return [Command(name, number, text) for number, text in _joined(_lines(page.read_text("utf-8")))]


def unknown_options(text: str) -> list[str]:
    """Those words of a command line of ours that no such command takes: options, or the name of the command itself."""
    words = shlex.split(re.sub(r"\s*[<>|].*", "", text), comments=True)
    if words[:1] != ["slackwater"]:
        return []
    command: click.Command = main
    context = click.Context(main, info_name="slackwater")
    rest = words[1:]
    while isinstance(command, click.Group) and rest:
        found = command.get_command(context, rest[0])
        if found is None:
            return rest[:1]
        command, rest = found, rest[1:]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    return [word for word in rest if re.match(r"--?[a-z]", word) and word.partition("=")[0] not in known]


def _lines(text: str) -> Iterator[tuple[int, str, bool]]:
    """Lines of blocks: number, text, and whether a command may begin there."""
    fence: str | None = None
    for number, line in enumerate(text.splitlines(), 1):
        mark = FENCE.match(line)
        if mark is not None:
            fence = mark[1] if fence is None else None
        elif fence is not None:
            yield number, line, fence in SHELLS or (fence == "" and _first(line) in WORDS)
        elif line.startswith("    "):
            yield number, line[4:], _first(line) in WORDS


def _first(line: str) -> str:
    return re.split(r"[\s=]", line.strip().removeprefix("$ "), maxsplit=1)[0]


def _joined(lines: Iterator[tuple[int, str, bool]]) -> Iterator[tuple[int, str]]:
    """Commands that go on behind a backslash or inside of quotes, as one."""
    begun: list[str] = []
    start = 0
    for number, line, may_begin in lines:
        if not begun:
            text = line.strip().removeprefix("$ ")
            if not may_begin or not text or text.startswith("#"):
                continue
            begun, start = [text], number
        else:
            begun.append(line)
        if _whole("\n".join(begun)):
            yield start, "\n".join(begun)
            begun = []
    assert not begun, f"a command that begins in line {start} has no end"


def _whole(text: str) -> bool:
    if text.endswith("\\"):
        return False
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return False
    return True
