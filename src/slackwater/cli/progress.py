"""Shows how far a batch is: a bar on a terminal, a plain line now and then in a pipe."""

import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import click
from msgspec import Struct

PLAIN_SECONDS = 10.0
# The rate is that of the last half minute, so that the time left stays honest while the rate changes.
RATE_SECONDS = 30.0


class Progress(Struct, frozen=True, kw_only=True):
    """One reading: finished requests, of how many, how many of them failed, and the tokens so far.

    `phase` is the status of a batch on a server; a run without one has none. Tokens are None where the server counts none.
    """

    done: int
    total: int
    failed: int
    tokens: int | None
    phase: str = ""
    waiting: str = ""
    """Why nothing of it is sent, while that is so."""
    again: str = ""
    """How long that has been so, and when it is tried again: what changes all the time."""


class Show(Protocol):
    def __call__(self, reading: Progress) -> None: ...


class Rate:
    """Requests per second over the last moments."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, int]] = deque()

    def update(self, now: float, done: int) -> float:
        """Takes a reading and returns the rate; 0.0 before there are two."""
        readings = self._readings
        readings.append((now, done))
        while len(readings) > 2 and now - readings[0][0] > RATE_SECONDS:
            readings.popleft()
        span = now - readings[0][0]
        return (done - readings[0][1]) / span if span > 0 else 0.0


def duration(seconds: float) -> str:
    """Seconds as a person says them: 42 s, 3 min 5 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def sentence(reading: Progress, rate: float) -> str:
    """What a line in a log says."""
    left = reading.total - reading.done
    time_left = f", {duration(left / rate)} left" if rate > 0 and left else ""
    if reading.phase and not reading.total:
        return f"{reading.phase}; {why_waiting(reading)}" if reading.waiting else reading.phase
    phase = f"{reading.phase}: " if reading.phase else ""
    tokens = "" if reading.tokens is None else f", {reading.tokens:,} tokens"
    waiting = f"; {why_waiting(reading)}" if reading.waiting else ""
    return (
        f"{phase}{reading.done:,} of {reading.total:,} done, {reading.failed:,} failed, "
        f"{rate:,.1f} requests/s{tokens}{time_left}{waiting}"
    )


def why_waiting(reading: Progress) -> str:
    """What it waits for, and how long still."""
    return f"{reading.waiting}, {reading.again}" if reading.again else reading.waiting


def beside_a_bar(reading: Progress, rate: float) -> str:
    """The same beside a bar, what matters most first: a narrow terminal cuts the end off."""
    if reading.phase and not reading.total:
        return reading.phase
    left = reading.total - reading.done
    facts = [f"{reading.done:,} of {reading.total:,}"]
    if reading.waiting:
        facts.append(why_waiting(reading))
    elif rate > 0 and left:
        facts.append(f"{duration(left / rate)} left")
    facts += [f"{reading.failed:,} failed", f"{rate:,.1f}/s"]
    if reading.tokens is not None:
        facts.append(f"{reading.tokens:,} tokens")
    return f"{reading.phase} {', '.join(facts)}".strip()


@contextmanager
def progress_bar(label: str, *, quiet: bool = False) -> Iterator[Show]:
    """Yields a function to call with every reading. Nothing is shown when `quiet`; standard error is used otherwise."""
    if quiet:
        yield lambda reading: None
    elif sys.stderr.isatty():
        yield from _bar(label)
    else:
        yield from _plain()


def _plain() -> Iterator[Show]:
    rate = Rate()
    told, seen = time.monotonic(), ("", "")

    def show(reading: Progress) -> None:
        nonlocal told, seen
        now = time.monotonic()
        current = rate.update(now, reading.done)
        # A log has every status that was seen, why it waits, and how far it is now and then.
        if now - told >= PLAIN_SECONDS or (reading.phase, reading.waiting) != seen:
            told, seen = now, (reading.phase, reading.waiting)
            click.echo(sentence(reading, current), err=True)

    yield show


def _bar(label: str) -> Iterator[Show]:
    # Imported here, because it costs more than a small run.
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bars

    rate = Rate()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[told]}"),
    )
    with Bars(*columns, console=Console(stderr=True), refresh_per_second=5) as bars:
        bar = bars.add_task(label, total=None, told="")

        def show(reading: Progress) -> None:
            current = rate.update(time.monotonic(), reading.done)
            # Until the requests are counted there is no end to be seen.
            bars.update(bar, total=reading.total or None, completed=reading.done, told=beside_a_bar(reading, current))

        yield show
