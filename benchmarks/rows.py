"""What do tables cost beside requests: `python benchmarks/rows.py`.

    python benchmarks/rows.py [--rows 100000] [--rounds 3]

`slackwater run` of a ready input file, and in turn with it the whole way from a CSV file to a CSV file: in three commands
(prepare, run, join), and in the one line that does all three. The engine is the mock, which answers at once, and has core 0; the
commands have core 1. Memory is the most of any of the commands.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.harness import median, mock_backend, table

BAR, MORE_MIB = 1.2, 60
SLACKWATER = (sys.executable, "-m", "slackwater")


def called(folder: Path, *words: str) -> tuple[float, float, float]:
    """Seconds, those of the processor, and the most memory in MiB."""
    begun = time.monotonic()
    process = subprocess.Popen([*SLACKWATER, *words], cwd=folder, stderr=subprocess.PIPE, preexec_fn=_on_core_1)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0, said
    return time.monotonic() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def _on_core_1() -> None:
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found: dict[str, list[tuple[float, float, float]]] = {
        each: [] for each in ("run alone", "prepare", "run", "join", "three commands", "one line")
    }
    with tempfile.TemporaryDirectory(prefix="slackwater-rows-") as scratch, mock_backend() as backend:
        folder = Path(scratch)
        with (folder / "in.csv").open("w", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(["id", "text", "note"])
            writer.writerows(
                [f"T-{number}", f"Review {number}: the tide was, in short, late.", "x" * 60]
                for number in range(options.rows)
            )
        recipe = ("-m", "mock", "-t", "Is this friendly? {text}")
        to = ("--backend", backend)
        called(folder, "prepare", "in.csv", *recipe, "-o", "ready.jsonl")
        for number in range(options.rounds):
            found["run alone"].append(called(folder, "run", "ready.jsonl", "-o", f"alone{number}.jsonl", *to))
            steps = {
                "prepare": called(folder, "prepare", "in.csv", *recipe, "-o", f"in{number}.jsonl"),
                "run": called(folder, "run", f"in{number}.jsonl", "-o", f"out{number}.jsonl", *to),
                "join": called(folder, "join", "in.csv", f"out{number}.jsonl", "-o", f"back{number}.csv"),
            }
            for name, each in steps.items():
                found[name].append(each)
            taken = list(zip(*steps.values(), strict=True))
            found["three commands"].append((sum(taken[0]), sum(taken[1]), max(taken[2])))
            found["one line"].append(called(folder, "run", "in.csv", "-o", f"line{number}.csv", *recipe, *to))
            assert (folder / f"line{number}.csv").read_bytes() == (folder / f"back{number}.csv").read_bytes()
    rows = []
    alone = [median(list(each)) for each in zip(*found["run alone"], strict=True)]
    for name, each in found.items():
        seconds, cpu, memory = (median(list(one)) for one in zip(*each, strict=True))
        ratios = (f"{seconds:.1f}", f"{seconds / alone[0]:.2f}", f"{cpu:.1f}", f"{cpu / alone[1]:.2f}")
        rows.append((name, *ratios, f"{memory:.0f}", f"{memory - alone[2]:+.0f}"))
    print(table(("", "s", "to run alone", "CPU s", "to run alone", "MiB", "more"), rows))
    print(f"\nbars: at most {BAR} times run alone, and {MORE_MIB} MiB more")


if __name__ == "__main__":
    main()
