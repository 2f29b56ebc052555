"""What one request costs, from command line to final files, beside a floor and two peers: `python benchmarks/dispatch.py`.

Interleaved rounds; the mock backend on core 0, each contender with all its processes on core 1; medians. CPU is user and
system time of the whole process tree, start-up included.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from harness import HERE, Cost, chat_input, measure, median, mock_backend, table

CONTENDERS = ("slackwater", "floor", "aiohttp", "openai")
SCRIPTS = {"floor": "floor.py", "aiohttp": "aiohttp_loop.py", "openai": "openai_loop.py"}


def command(name: str, source: Path, target: Path, url: str, concurrency: int) -> list[str]:
    """The command line of a contender."""
    if name == "slackwater":
        options = ["-o", str(target), "--backend", url, "--concurrency", str(concurrency), "-q", "--overwrite"]
        return [sys.executable, "-m", "slackwater", "run", str(source), *options]
    script = HERE / "contenders" / SCRIPTS[name]
    return [sys.executable, str(script), str(source), str(target), url, str(concurrency)]


def rounds(args: argparse.Namespace, scratch: Path) -> dict[str, dict[str, list[Cost]]]:
    """Every contender in turn, at no latency; then slackwater and the floor at 100 ms."""
    inputs = {name: args.requests if name != "openai" else args.openai_requests for name in CONTENDERS}
    inputs_slow = args.slow_requests
    files = {n: chat_input(scratch / f"{n}.jsonl", n) for n in {*inputs.values(), inputs_slow}}
    found: dict[str, dict[str, list[Cost]]] = {"0 ms": {}, "100 ms": {}}
    for number in range(args.rounds):
        with mock_backend() as url:
            for name in args.only:
                target = scratch / f"{name}.out"
                cost = measure(command(name, files[inputs[name]], target, url, 256))
                check(target, inputs[name])
                found["0 ms"].setdefault(name, []).append(cost)
        with mock_backend(latency_ms=100) as url:
            for name in [name for name in ("slackwater", "floor") if name in args.only]:
                target = scratch / f"{name}.out"
                cost = measure(command(name, files[inputs_slow], target, url, 1000))
                check(target, inputs_slow)
                found["100 ms"].setdefault(name, []).append(cost)
        print(f"round {number + 1} of {args.rounds}", file=sys.stderr)
    return found


def check(target: Path, requests: int) -> None:
    """Nobody gets away with fewer answers."""
    with target.open("rb") as file:
        lines = sum(1 for _ in file)
    assert lines == requests, f"{target.name}: {lines} of {requests} answers"
    target.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--openai-requests", type=int, default=1_500)
    parser.add_argument("--slow-requests", type=int, default=60_000)
    parser.add_argument("--only", nargs="+", default=list(CONTENDERS), choices=CONTENDERS)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = rounds(args, Path(scratch))
    cpu, rate = {}, {}
    rows = []
    for latency, contenders in found.items():
        for name, costs in contenders.items():
            requests = args.slow_requests if latency != "0 ms" else args.requests
            requests = args.openai_requests if name == "openai" else requests
            cpu[latency, name] = median([cost.cpu for cost in costs]) / requests * 1e6
            rate[latency, name] = requests / median([cost.wall for cost in costs])
            rss = median([cost.rss for cost in costs]) / 2**20
            rows.append((latency, name, f"{cpu[latency, name]:.1f}", f"{rate[latency, name]:,.0f}", f"{rss:.0f}"))
    print(table(("latency", "contender", "us CPU/request", "requests/s", "RSS MiB"), rows))
    print()
    bars = []
    ours = "slackwater"
    for peer, most in (("aiohttp", 0.6), ("openai", 1 / 20), ("floor", 4.0)):
        if peer in args.only and ours in args.only:
            bars.append((f"CPU / {peer}", cpu["0 ms", ours] / cpu["0 ms", peer], "at most", most))
    for peer, least in (("aiohttp", 1.5), ("openai", 15.0)):
        if peer in args.only and ours in args.only:
            bars.append((f"throughput / {peer}", rate["0 ms", ours] / rate["0 ms", peer], "at least", least))
    if ours in args.only:
        bars.append(("share of 10,000/s at 100 ms", rate["100 ms", ours] / 10_000, "at least", 0.8))
    told = [
        (what, f"{value:.3f}", f"{side} {bar:.3g}", "met" if (value <= bar) == (side == "at most") else "SHORT")
        for what, value, side, bar in bars
    ]
    print(table(("bar", "figure", "wanted", ""), told))
    if args.json:
        args.json.write_text(json.dumps({what: value for what, value, _, _ in bars}, indent=2))


if __name__ == "__main__":
    main()
