"""Whether a batch beside online users gets over HTTP what it gets in virtual time: `slackwater run` at `slackwater sim-engine`.

    python benchmarks/coserving/over_http.py [--only S1,S4] [--points gentle,strict] [--time-scale 10] [--json FILE]

Each cell is the command line against a modelled engine of its own, both in processes of their own, with the arrivals of the
scenario (those of azure traces: the engine plays no other). `tok_s` is prompts and answers of the batch; `x` is against the same
scenario in virtual time; shares are of the in-engine oracle there. It takes as long as the scenarios do, divided by the time
scale, and wants a machine with nothing else to do.
"""

import argparse
import json
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from benchmarks.coserving.measuring import measure, measure_oracle
from benchmarks.coserving.policy import Policy
from benchmarks.coserving.product import product
from benchmarks.coserving.run import ORACLE_CAPS
from benchmarks.coserving.scenarios import BY_NAME, WARM_UP_SECONDS, Scenario, limits
from benchmarks.coserving.workload import Backlog

TOKEN_BYTES = 4
LINES = 20_000
SLACKWATER = [sys.executable, "-m", "slackwater"]


def main() -> None:
    options = _options()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.only:
            scenario = next(each for each in BY_NAME.values() if each.name.startswith(name))
            lines = _lines(Path(scratch) / f"{name}.jsonl", scenario)
            for point in options.points:
                row = _row(scenario, point, lines, Path(scratch), options.time_scale)
                rows.append(row)
                print(json.dumps(row), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1), "utf-8")


def _row(scenario: Scenario, point: str, lines: Path, scratch: Path, scale: float) -> dict[str, Any]:
    off = measure(scenario, Policy())
    virtual = measure(scenario, product(point, scenario.slo))
    ttft, tpot = limits(off, scenario.slo, point)
    oracle = 0.0
    for cap in ORACLE_CAPS:
        found = measure_oracle(scenario, cap / 1000)
        if found["ttft_p99"] <= ttft and found["tpot_p99"] <= tpot:
            oracle = max(oracle, found["batch_tok_s"])
    real = _over_http(scenario, point, lines, scratch, scale)
    return {
        "scenario": scenario.name,
        "point": point,
        "virtual_tok_s": round(virtual["batch_tok_s"]),
        "http_tok_s": round(real["tok_s"]),
        "x": round(real["tok_s"] / virtual["batch_tok_s"], 3),
        "virtual_share": round(virtual["batch_tok_s"] / oracle, 3),
        "http_share": round(real["tok_s"] / oracle, 3),
        "virtual_ttft_p99_of_limit": round(virtual["ttft_p99"] / ttft, 3),
        "http_ttft_p99_of_limit": round(real["ttft_seconds"]["p99"] / ttft, 3),
        "virtual_tpot_p99_of_limit": round(virtual["tpot_p99"] / tpot, 3),
        "http_tpot_p99_of_limit": round(real["tpot_seconds"]["p99"] / tpot, 3),
    }


def _over_http(scenario: Scenario, point: str, lines: Path, scratch: Path, scale: float) -> dict[str, Any]:
    kind, rate = scenario.load
    engine_command = ["sim-engine", "--port", "0", "--profile", scenario.profile, "--online", f"{kind}:{rate}"]
    engine = subprocess.Popen(
        [*SLACKWATER, *engine_command, "--time-scale", str(scale)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert engine.stdout is not None
    found = re.search(r"http://127\.0\.0\.1:\d+", engine.stdout.readline())
    assert found is not None, "the engine says where it listens"
    url = found[0]
    slo = f"{scenario.slo * 1000 / scale:g}ms"
    pace = slo if point == "slo" else point
    command = ["run", str(lines), "-o", str(scratch / "out.jsonl"), "--overwrite", "--pace", pace]
    run = subprocess.Popen(
        [*SLACKWATER, *command, "--backend", f"{url}/v1"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    said = Progress(run)
    try:
        time.sleep(WARM_UP_SECONDS / scale)
        begun, before = said.at()
        time.sleep((scenario.seconds - WARM_UP_SECONDS) / scale)
        ended, after = said.at()
        assert run.poll() is None, said.lines[-5:]
        report = json.loads(_get(url + "/sim/online"))
    finally:
        for process in (run, engine):
            process.send_signal(signal.SIGINT)
        run.wait(timeout=60)
        engine.communicate(timeout=60)
    return {"tok_s": (after - before) / (ended - begun) / scale, **report}


class Progress(threading.Thread):
    """What a run says of its tokens, with the moments at which it said so."""

    def __init__(self, run: "subprocess.Popen[str]") -> None:
        super().__init__(daemon=True)
        self.lines: list[str] = []
        self._run = run
        self._said = [(time.monotonic(), 0)]
        self.start()

    def run(self) -> None:
        """Reads until there is no more."""
        assert self._run.stderr is not None
        for line in self._run.stderr:
            self.lines.append(line)
            if found := re.search(r"([\d,]+) tokens", line):
                self._said.append((time.monotonic(), int(found[1].replace(",", ""))))

    def at(self) -> tuple[float, int]:
        """The last that was said."""
        return self._said[-1]


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return str(answer.read(), "utf-8")


def _lines(path: Path, scenario: Scenario) -> Path:
    """The batch of the scenario as a file: prompts that share nothing, answers of the lengths that the model draws."""
    backlog = Backlog(scenario.batch, seed=1)
    with path.open("w") as file:
        for number in range(LINES):
            work = backlog()
            text = (f"{number:08} " * (1 + work.prompt_tokens * TOKEN_BYTES // 9))[: work.prompt_tokens * TOKEN_BYTES]
            messages = [{"role": "user", "content": text}]
            body = {"model": scenario.profile, "max_tokens": work.output_tokens, "messages": messages}
            line = {"custom_id": str(number), "method": "POST", "url": "/v1/chat/completions", "body": body}
            file.write(json.dumps(line) + "\n")
    return path


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=lambda text: text.split(","), default=["S1", "S6"])
    parser.add_argument("--points", type=lambda text: text.split(","), default=["gentle", "strict"])
    parser.add_argument("--time-scale", type=float, default=10.0)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
