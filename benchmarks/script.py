"""What a script of one's own costs, and what it does in trouble: `python benchmarks/script.py [CASE ...]`.

Two scripts as people write them (`contenders/script_openai.py`, `contenders/script_careful.py`) and `slackwater run`, in turn.

    cost      a request, start-up included, at the mock that answers at once: time, CPU, memory
    memory    the same with 100,000 lines (20,000 for openai's client, which needs minutes for more): the most memory
    killed    kill -9 in the middle, then the same command again
    restart   an engine that answers 500 for 40 s
    refusals  50 calls a second and no more, with Retry-After
    revoked   a key that is refused from the 501st call on; then, with a good one, the same command again
    one_bad   one line of 1,000 that always gets 500

Calls are those that came to the engine. A line is lost where it is neither in the answers nor among the failures when the
command has ended, and for `killed` and `revoked` when the second one has.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from harness import HERE, Cost, chat_input, chat_line, measure, median, mock_backend, table
from trouble import engine, stats

OPENAI, CAREFUL, OURS = "openai", "careful", "slackwater"
SCRIPTS = {OPENAI: "script_openai.py", CAREFUL: "script_careful.py"}
NAMES = (OPENAI, CAREFUL, OURS)
SLOTS = 64
Row = tuple[object, ...]


def command(name: str, source: Path, target: Path, url: str, slots: int) -> list[str]:
    """The command line of a contender; given again, it goes on as far as the contender does."""
    if name == OURS:
        # `fixed`, because the scripts know no other way, and the engines here have no page to be paced by.
        options = ["-o", str(target), "--backend", url, "--concurrency", str(slots), "--pace", "fixed", "-q"]
        return [sys.executable, "-m", "slackwater", "run", str(source), *options]
    return [sys.executable, str(HERE / "contenders" / SCRIPTS[name]), str(source), str(target), url, str(slots)]


class Found(NamedTuple):
    """What became of the lines. Doubles are lines that are answered more than once."""

    answered: int
    failed: int
    doubles: int
    lost: int


def found(name: str, target: Path, lines: int) -> Found:
    """Reads a contender's files. A line that is torn counts as none."""
    errors = target.with_name(f"{target.stem}.errors{target.suffix}" if name == OURS else f"{target.name}.errors")
    answers, failures = Counter(ids(target)), set(ids(errors))
    doubles = sum(count - 1 for count in answers.values())
    return Found(len(answers), len(failures), doubles, lines - len(answers.keys() | failures))


def ids(path: Path) -> list[str]:
    named = []
    for line in path.read_bytes().splitlines() if path.exists() else []:
        try:
            named.append(json.loads(line)["custom_id"])
        except ValueError:
            continue
    return named


def cost(args: argparse.Namespace) -> list[Row]:
    """Interleaved rounds; medians for a request, and what they are of ours."""
    costs: dict[str, list[Cost]] = {name: [] for name in NAMES}
    requests = {OPENAI: args.openai_requests, CAREFUL: args.requests, OURS: args.requests}
    with tempfile.TemporaryDirectory() as folder, mock_backend() as url:
        files = {count: chat_input(Path(folder) / f"{count}.jsonl", count) for count in {*requests.values()}}
        for number in range(args.rounds):
            for name in NAMES:
                target = Path(folder) / f"{name}-{number}.out"
                costs[name].append(measure(command(name, files[requests[name]], target, url, 256)))
                assert found(name, target, requests[name]).answered == requests[name]
    each = {
        name: (median([one.wall for one in of]) / requests[name], median([one.cpu for one in of]) / requests[name])
        for name, of in costs.items()
    }
    wall, cpu = each[OURS]
    return [
        (
            "cost",
            name,
            f"{each[name][0] / wall:.1f}x time, {each[name][1] / cpu:.1f}x CPU",
            f"{each[name][1] * 1e6:,.0f} us CPU a request, {1 / each[name][0]:,.0f} requests/s",
        )
        for name in NAMES
    ]


def memory(args: argparse.Namespace) -> list[Row]:
    """One run each; with no lines to speak of first, which is what the program itself takes."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, mock_backend() as url:
        for name in NAMES:
            most = {}
            for lines in (10, args.memory_requests // (5 if name == OPENAI else 1)):
                source = chat_input(Path(folder) / "input.jsonl", lines)
                most[lines] = measure(command(name, source, Path(folder) / f"{name}-{lines}.out", url, 256)).rss
            least, highest = most.values()
            said = f"{(highest - least) / 2**20:,.0f} MiB above the {least / 2**20:,.0f} of the program"
            rows.append(("memory", name, said, f"{lines:,} lines"))
            print(*rows[-1], file=sys.stderr)
    return rows


def trouble(
    case: str, mood: str, text: Callable[[int], str], lines: int, *, kill: bool = False, then: str = ""
) -> list[Row]:
    """Each contender at an engine of 50 ms with this mood; killed half way, or started again at another mood."""
    rows: list[Row] = []
    for name in NAMES:
        with tempfile.TemporaryDirectory() as folder, engine() as address:
            source, target = Path(folder) / "input.jsonl", Path(folder) / "output.jsonl"
            source.write_text("".join(chat_line(number, text(number)) + "\n" for number in range(lines)))
            began = time.monotonic()
            process = subprocess.Popen(
                command(name, source, target, f"{address}/{mood}/v1", SLOTS), stderr=subprocess.DEVNULL
            )
            if kill:
                while not (door := stats(address)["doors"].get(mood)) or door["calls"] < lines // 2:
                    time.sleep(0.02)
                process.send_signal(signal.SIGKILL)
            codes = [process.wait()]
            if kill or then:
                again = command(name, source, target, f"{address}/{then or mood}/v1", SLOTS)
                codes.append(subprocess.run(again, stderr=subprocess.DEVNULL, check=False).returncode)
            seconds = time.monotonic() - began
            calls = sum(door["calls"] for door in stats(address)["doors"].values())
            end = found(name, target, lines)
            said = (
                f"{end.answered:,} of {lines:,} answered, {end.failed} failed, {end.lost:,} lost, {end.doubles} doubled"
            )
            rows.append((case, name, said, f"{calls:,} calls, {seconds:.1f} s, exit {', '.join(map(str, codes))}"))
            print(*rows[-1], file=sys.stderr)
    return rows


def plain(number: int) -> str:
    return f"hello {number}"


CASES: dict[str, Callable[[argparse.Namespace], list[Row]]] = {
    "cost": cost,
    "memory": memory,
    "killed": lambda args: trouble("killed", "ok", plain, 4_000, kill=True),
    "restart": lambda args: trouble("restart", "outage500-40", plain, 1_000),
    "refusals": lambda args: trouble("refusals", "bucket-50", plain, 1_500),
    "revoked": lambda args: trouble("revoked", "revoked-500", plain, 1_000, then="ok"),
    "one_bad": lambda args: trouble("one_bad", "ok", lambda n: "ALWAYS500" if n == 700 else plain(n), 1_000),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--openai-requests", type=int, default=1_500)
    parser.add_argument("--memory-requests", type=int, default=100_000)
    args = parser.parse_args()
    rows = [row for case in args.cases for row in CASES[case](args)]
    print(table(("case", "contender", "found", "at what cost"), rows))


if __name__ == "__main__":
    main()
