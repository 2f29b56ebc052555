"""Ends a server between any two of its steps, and checks what is left: `python -m tests.crash.kill_points`.

A first run of the story (story.py) notes its moments: right before and right after each call that writes to the ledger, to
the blobs or to a webhook. Then there is a run of its own for each of them: the server is ended there with kill -9 and
started again, the client makes the call again whose answer it has lost, and the story goes on to its end (afterwards.py).
Then the first of its kind kills twice, the second time in the recovery from the first end; and it kills together with a
second moment, of those at which results are charged, published and announced.
"""

import argparse
import concurrent.futures
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct, field

from tests.api.receiver import Receiver
from tests.crash import story
from tests.crash.afterwards import check
from tests.crash.lives import Lives
from tests.crash.moments import AFTER, BEFORE, Moment, moment_of

# Where a second life may end after the first: results are named, charged, published and announced here.
SECOND = (
    Moment("ledger.commit_segments", BEFORE),
    Moment("ledger.commit_segments", AFTER),
    Moment("outputs.publish", AFTER),
    Moment("ledger.publish_files", AFTER),
    Moment("sender.post", AFTER),
    Moment("ledger.record_delivery", AFTER),
)
# What leaves work behind that a later life takes up. Its first moments come before those of SECOND.
RESUMED = ("ledger.", "logs.", "outputs.", "sender.")
# Before a moment is given up that did not come again.
RUNS_MAX = 4


class Outcome(Struct):
    """A run: where it was to end, where it has, and what was wrong in the end."""

    kills: list[Moment]
    reached: list[Moment]
    fault: str | None = None


class Report(Struct):
    """What the runs showed."""

    moments: int = 0
    runs: int = 0
    kills: int = 0
    not_reached: list[str] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def run(root: Path, kills: Sequence[Moment] = (), *, database: str = "", beside: bool = False) -> list[Moment]:
    """Tells the story over an empty directory while the server is ended at these moments, one per life.

    The ledger is at `database` where there is one; `beside`: another server has it, too. Returns the moments that were reached.
    Raises AssertionError where something does not hold in the end.
    """
    story.prepare(root, database)
    with Receiver() as receiver:
        with _lives(root, kills, database, beside) as lives:
            check(lives, receiver, story.tell(lives, receiver))
            return lives.reached


# Tells a story, as `run` does.
Run = Callable[[Path, Sequence[Moment]], list[Moment]]


@contextlib.contextmanager
def runs_on(*, postgresql: bool, beside: bool) -> Iterator[Run]:
    """Runs with ledgers of that kind, each with one of its own."""
    if not postgresql:
        yield run
        return
    from tests.postgresql import Databases, with_template

    with with_template() as server:
        databases = Databases(server.address("postgres"))

        def run_there(root: Path, kills: Sequence[Moment] = ()) -> list[Moment]:
            database = databases.new()
            try:
                return run(root, kills, database=database, beside=beside)
            finally:
                databases.drop(database)

        yield run_there


@contextlib.contextmanager
def _lives(root: Path, kills: Sequence[Moment], database: str, beside: bool) -> Iterator[Lives]:
    lives = Lives(root, kills=kills, database=database, beside=beside)
    try:
        yield lives
    finally:
        lives.end()


def recorded(root: Path, run: Run = run) -> list[Moment]:
    """The moments of a run in which nothing is killed, in their order."""
    assert not run(root, ()), "nothing was to be killed"
    return moments_of(root, 1)


def moments_of(root: Path, life: int) -> list[Moment]:
    """What one life of a run has noted."""
    return [moment_of(line) for line in (root / f"moments-{life}.txt").read_text().splitlines()]


def plans(moments: Sequence[Moment], *, every: bool = True) -> list[list[Moment]]:
    """What is to be killed in each run: once everywhere, twice at the same moment, and at two different ones.

    Without `every`, the first and the last call of each method stand for all of them.
    """
    first = {(moment.name, moment.phase): moment for moment in reversed(moments)}
    last = {(moment.name, moment.phase): moment for moment in moments}
    once = list(moments) if every else [each for each in moments if each in first.values() or each in last.values()]
    twice = [[moment, Moment(moment.name, moment.phase)] for moment in first.values()]
    begun = [each for each in first.values() if each.phase == AFTER and each.name.startswith(RESUMED)]
    pairs = [
        [each, second] for each in begun for second in SECOND if (each.name, each.phase) != (second.name, second.phase)
    ]
    return [[moment] for moment in once] + twice + pairs


def _attempt(kills: list[Moment], keep: Path, run: Run) -> Outcome:
    """A run that meets its first moment. What is polled is called more often one time than another, so it may need a few."""
    outcome = _once(kills, keep, run)
    for _ in range(RUNS_MAX - 1):
        if outcome.reached or outcome.fault or kills[0].number == 1:
            break
        earlier = msgspec.structs.replace(kills[0], number=kills[0].number * 9 // 10)
        outcome = _once(kills := [earlier, *kills[1:]], keep, run)
    return outcome


def _once(kills: list[Moment], keep: Path, run: Run) -> Outcome:
    """One run, in a directory that stays where something is wrong."""
    root = Path(tempfile.mkdtemp(prefix="run-", dir=keep))
    try:
        reached = run(root, kills)
    except Exception as error:
        return Outcome(kills, [], fault=f"{type(error).__name__}: {str(error)[:500]} ({root})")
    for path in sorted(root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    root.rmdir()
    return Outcome(kills, reached)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--at-once", type=int, default=2 * (os.cpu_count() or 1), help="runs at once; each mostly waits"
    )
    parser.add_argument("--kill", type=moment_of, action="append", help="only this moment; again for the next life")
    parser.add_argument("--first-and-last", action="store_true", help="not every call of a method")
    parser.add_argument("--postgresql", action="store_true", help="with ledgers on PostgreSQL")
    parser.add_argument(
        "--beside", action="store_true", help="with another server on the same ledger, which takes over"
    )
    parser.add_argument(
        "--part", type=int, nargs=2, metavar=("N", "OF"), default=(1, 1), help="the N-th of so many parts"
    )
    parser.add_argument("--keep", type=Path, help="a directory for the data of runs that have failed")
    arguments = parser.parse_args()
    keep = arguments.keep or Path(tempfile.mkdtemp(prefix="slackwater-kill-points-"))
    keep.mkdir(parents=True, exist_ok=True)
    report = Report()
    begun = time.monotonic()
    with (
        runs_on(postgresql=arguments.postgresql or arguments.beside, beside=arguments.beside) as run,
        concurrent.futures.ThreadPoolExecutor(arguments.at_once) as runs,
    ):
        if arguments.kill:
            wanted = [arguments.kill]
        else:
            root = keep / "recorded"
            root.mkdir()
            moments = recorded(root, run)
            report.moments = len(moments)
            number, parts = arguments.part
            wanted = plans(moments, every=not arguments.first_and_last)[number - 1 :: parts]
        for outcome in runs.map(lambda kills: _attempt(kills, keep, run), wanted):
            report.runs += 1
            report.kills += len(outcome.reached)
            name = ", then ".join(map(str, outcome.kills))
            if outcome.fault is not None:
                report.faults[name] = outcome.fault
                print(f"{name}: {outcome.fault}", file=sys.stderr)
            elif not outcome.reached:
                report.not_reached.append(name)
            if report.runs % 50 == 0:
                print(f"{report.runs} of {len(wanted)} runs, {len(report.faults)} faults", file=sys.stderr)
    report.seconds = round(time.monotonic() - begun, 1)
    print(json.dumps({name: getattr(report, name) for name in report.__struct_fields__}, indent=2))
    sys.exit(1 if report.faults else 0)


if __name__ == "__main__":
    main()
