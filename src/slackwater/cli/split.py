"""`slackwater split`: a file that is too large for one batch becomes several that are not."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import click
import msgspec

from slackwater.cli.input_files import UPLOAD_BYTES_MAX, lines_of
from slackwater.cli.output import json_option, no_color_option, note, print_json
from slackwater.cli.server_options import told
from slackwater.core.errors import InvalidRequest
from slackwater.core.input.splitting import Piece, PieceLimits, Splitter
from slackwater.core.input.tokens import TokenSample, characters_as_tokens
from slackwater.core.input.validation import is_blank

COPY_BYTES = 1 << 20
# A sample is right within a few per cent. The server counts for itself, so a piece is filled a little less.
SAFE_SHARE = 0.95


@click.command("split")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--requests", type=click.IntRange(0), default=100_000, show_default=True, help="Most per piece; 0: any.")
@click.option(
    "--bytes", "bytes_max", type=click.IntRange(0), default=UPLOAD_BYTES_MAX, show_default=True, help="Most; 0: any."
)
@click.option("--tokens", type=click.IntRange(0), default=0, help="Most input tokens, estimated.  [default: any]")
@click.option("--into", type=click.Path(file_okay=False, path_type=Path), help="Directory.  [default: that of FILE]")
@click.option("--overwrite", is_flag=True, help="Replace pieces that exist.")
@json_option
@no_color_option
def command(
    file: Path, requests: int, bytes_max: int, tokens: int, into: Path | None, overwrite: bool, as_json: bool
) -> None:
    """Split the input FILE into pieces that a batch can have: FILE.part-001.jsonl, FILE.part-002.jsonl, ...

    No line is changed, and all pieces after each other are the file (without blank lines between pieces). Prints their
    names; a file that is small enough is one piece.

    \b
    Exit codes: 0 done, 1 it went wrong, 2 wrong usage, or a single line is larger than a piece may be.
    \b
    Example:
      slackwater split questions.jsonl --requests 50000
    """
    with told():
        limits = PieceLimits(requests=requests, bytes=bytes_max, tokens=round(tokens * SAFE_SHARE))
        # Every cut is known before anything is written, so a line that does not fit leaves nothing behind.
        pieces = cut(file, limits)
        names = [(into or file.parent) / f"{file.stem}.part-{number:03d}.jsonl" for number in range(1, len(pieces) + 1)]
        if not pieces:
            raise InvalidRequest(f"{file} has no requests")
        for name in names:
            if name.exists() and not overwrite:
                raise InvalidRequest(f"{name} exists; give --overwrite to replace it, or --into another directory")
        (into or file.parent).mkdir(parents=True, exist_ok=True)
        for name, piece in zip(names, pieces, strict=True):
            _copy(file, piece, name)
        if as_json:
            print_json(
                [
                    {"path": str(name), "requests": piece.requests, "bytes": piece.length}
                    | ({"tokens": piece.tokens} if tokens else {})
                    for name, piece in zip(names, pieces, strict=True)
                ]
            )
        else:
            for name in names:
                click.echo(name)
            note(f"{len(pieces):,} pieces of {sum(piece.requests for piece in pieces):,} requests")
    sys.exit(0)


def cut(file: Path, limits: PieceLimits) -> list[Piece]:
    """Where the file is to be cut. Raises InvalidRequest."""
    weight = _weigher(file) if limits.tokens else lambda line: 0
    splitter = Splitter(limits)
    position = 0
    for number, line in enumerate(lines_of(file), 1):
        start, position = position, position + len(line)
        if not is_blank(line):
            try:
                weighed = weight(line)
            except (msgspec.MsgspecError, LookupError, TypeError, UnicodeDecodeError, RecursionError) as error:
                raise InvalidRequest(f"line {number:,} is no request; see 'slackwater validate {file}'") from error
            splitter.add(start, position, weighed, line=number)
    splitter.finish()
    return splitter.pieces


def _weigher(file: Path) -> Callable[[bytes], int]:
    """Says about how many tokens a line has: by its characters, brought into line with an exact count of a sample."""
    from slackwater.adapters.work.tiktoken_counter import TiktokenCounter
    from slackwater.config.sections import ENCODINGS

    sample, by_characters = TokenSample(), 0
    for number, line in enumerate(lines_of(file), 1):
        if not is_blank(line):
            try:
                by_characters += characters_as_tokens(line)
            except (msgspec.MsgspecError, LookupError, TypeError, UnicodeDecodeError, RecursionError) as error:
                raise InvalidRequest(f"line {number:,} is no request; see 'slackwater validate {file}'") from error
            sample.offer(line)
    scale = sample.tokens(TiktokenCounter(ENCODINGS[0])) / max(1, by_characters)
    return lambda line: max(1, round(characters_as_tokens(line) * scale))


def _copy(file: Path, piece: Piece, name: Path) -> None:
    """Under a temporary name first: a piece is either whole or not there."""
    part = name.with_name(name.name + ".part")
    with file.open("rb") as source, part.open("wb") as out:
        source.seek(piece.offset)
        left = piece.length
        while left:
            data = source.read(min(left, COPY_BYTES))
            if not data:
                raise OSError(f"{file} has become shorter while it was split")
            out.write(data)
            left -= len(data)
    os.replace(part, name)
