"""How fast a file is done where nobody else uses the engine: `slackwater run` beside vLLM's own `run-batch`, and by pace.

    python benchmarks/vllm/throughput.py [--requests 1000] [--rounds 3] [--arms full,gentle,fixed-64] [--no-run-batch]
        [--json FILE] [--engine URL]

Every round has new words, so that no prefix is found, and the same file for all, who take turns. Time is from the first step of
the engine until all answers are in the file, so that the start of neither counts. Ratios are of tokens a second, medians over the
rounds. Ends with 77 and the reason where there can be no engine here, or this machine is too busy to say anything.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from benchmarks.harness import table
from benchmarks.vllm.arms import write_batch
from benchmarks.vllm.engine import (
    CANNOT,
    FOLDER,
    MODEL,
    PROFILE,
    SLOWER,
    Engine,
    NoEngine,
    attached,
    capacity_options,
    environment,
    made,
    running,
)
from benchmarks.vllm.rounds import TooBusy, calm, empty

RUN_BATCH = "run-batch"
ARMS = ("full", "gentle", "fixed-64", "fixed-128", "fixed-256")
RUN_SECONDS = 900.0


def main() -> None:
    options = _options()
    rounds: list[dict[str, Any]] = []
    if options.json is not None and options.json.exists():
        rounds = json.loads(options.json.read_text())["rounds"]
    try:
        with ExitStack() as stack:
            calm()
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            engine = attached(options.engine) if options.engine else None
            if engine is None:
                engine = stack.enter_context(running(scratch, folder=made()))
            words = json.loads((FOLDER / "model" / "words.json").read_text())
            for number in range(options.rounds):
                batch = scratch / f"in-{number}.jsonl"
                write_batch(batch, words, seed=number, lines=options.requests, salt=f"{time.time_ns()}-", model=MODEL)
                figures = {} if options.no_run_batch else {RUN_BATCH: run_batch(batch, scratch)}
                for arm in options.arms.split(","):
                    empty(engine)
                    figures[arm] = run(batch, scratch, engine, arm)
                print(number, {name: round(figure["seconds"], 1) for name, figure in figures.items()}, flush=True)
                rounds.append({"requests": options.requests, "figures": figures})
                if options.json is not None:
                    write(options.json, rounds)
    except (NoEngine, TooBusy) as reason:
        print(reason, file=sys.stderr)
        sys.exit(CANNOT)
    print(report(rounds))


def run_batch(batch: Path, scratch: Path) -> dict[str, Any]:
    """vLLM's own runner, which has an engine of its own."""
    output, own = scratch / "run-batch.jsonl", scratch / "run-batch"
    output.unlink(missing_ok=True)
    own.mkdir(exist_ok=True)
    steps = own / "steps.log"
    steps.write_text("")
    vllm = [str(FOLDER / "venv" / "bin" / "vllm"), "run-batch", "-i", str(batch), "-o", str(output)]
    with (own / "vllm.log").open("wb") as log:
        process = subprocess.Popen(
            [*vllm, "--model", str(FOLDER / "model"), *capacity_options()],
            stdout=log,
            stderr=log,
            env=environment(FOLDER, own),
            start_new_session=True,
        )
        return finished(process, batch, output, steps, 0)


def run(batch: Path, scratch: Path, engine: Engine, arm: str) -> dict[str, Any]:
    """`slackwater run` in front of the engine that serves."""
    output = scratch / f"{arm}-{time.time_ns()}.jsonl"
    salted = scratch / "salted.jsonl"
    # The engine has seen the words of this round; whoever comes later must not find them in its cache.
    salted.write_text(batch.read_text().replace('"content": "', f'"content": "{time.time_ns()} '))
    window = (
        ["--pace", "fixed", "--concurrency", arm.removeprefix("fixed-")]
        if arm.startswith("fixed-")
        else ["--pace", arm]
    )
    options = ["--backend", engine.base_url, "--quiet", *window]
    already = engine.steps.stat().st_size
    process = subprocess.Popen(
        [sys.executable, "-m", "slackwater", "run", str(salted), "-o", str(output), *options], cwd=scratch
    )
    return finished(process, salted, output, engine.steps, already)


def finished(
    process: "subprocess.Popen[bytes]", batch: Path, output: Path, steps: Path, already: int
) -> dict[str, Any]:
    """Waits until every answer is in the file. `already` is the size of the log of steps before."""
    lines, deadline = batch.read_bytes().count(b"\n"), time.monotonic() + RUN_SECONDS
    while not output.exists() or output.read_bytes().count(b"\n") < lines:
        assert process.poll() in (None, 0), f"{process.args} ended with {process.returncode}"
        assert time.monotonic() < deadline, f"{process.args} has not ended"
        time.sleep(0.1)
    ended = time.time()
    assert process.wait(RUN_SECONDS) == 0
    with steps.open() as log:
        log.seek(already)
        done = [list(map(float, line.split())) for line in log]
    answers = [json.loads(line)["response"]["body"] for line in output.read_text().splitlines()]
    tokens = sum(answer["usage"]["total_tokens"] for answer in answers)
    began = done[0][0] - done[0][3] / 1e3
    return {
        "seconds": round(ended - began, 2),
        "tokens_per_second": round(tokens / (ended - began), 1),
        # In which the engine did nothing: it waited for its caller.
        "idle": round(1.0 - sum(step[3] for step in done) / 1e3 / (ended - began), 3),
        "late_steps": round(sum(step[3] > 1.2 * step[1] for step in done) / len(done), 3),
        "steps": len(done),
        "sequences": round(statistics.mean(step[5] for step in done), 1),
    }


def write(path: Path, rounds: Sequence[Any]) -> None:
    """The file: a round on each line."""
    about = {"command": "python benchmarks/vllm/throughput.py", "profile": PROFILE, "slower": SLOWER}
    lines = ",\n".join(json.dumps(each) for each in rounds)
    path.write_text(f'{json.dumps(about)[:-1]}, "rounds": [\n{lines}\n]}}\n')


def of_others(rounds: Sequence[Any], arm: str, others: Sequence[str]) -> float:
    """Tokens a second of an arm, beside the fastest of others: the median over the rounds that have both."""
    each = []
    for one in rounds:
        rates = {name: figures["tokens_per_second"] for name, figures in one["figures"].items()}
        if arm in rates and (there := [rates[name] for name in others if name in rates]):
            each.append(rates[arm] / max(there))
    return statistics.median(each) if each else float("nan")


def report(rounds: Sequence[Any]) -> str:
    """A table of ratios."""
    arms = list(dict.fromkeys(arm for one in rounds for arm in one["figures"]))
    fixed = [arm for arm in arms if arm.startswith("fixed-")]
    rows = []
    for arm in arms:
        there = [one["figures"][arm] for one in rounds if arm in one["figures"]]
        rate, idle = (statistics.median(each[name] for each in there) for name in ("tokens_per_second", "idle"))
        beside = [f"{of_others(rounds, arm, others):.3f}" for others in ([RUN_BATCH], fixed)]
        rows.append([arm, len(there), f"{rate:.0f}", f"{idle:.1%}", *beside])
    return table(["arm", "rounds", "tokens/s", "engine idle", "x run-batch", "x best fixed window"], rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--no-run-batch", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--engine", default="")
    return parser.parse_args()


if __name__ == "__main__":
    main()
