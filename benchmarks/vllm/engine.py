"""Starts and stops a real vLLM whose steps take an accelerator's time (`make_engine.sh` makes it, `slow_steps.py` holds them).

Unlike the modelled engine it is vLLM's own scheduler, cache, HTTP server and metrics page, at the version that is named there.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import free_port
from benchmarks.vllm.step_times import write_step_times

from slackwater.adapters.modelled_engine.shipped import profile_named

HERE = Path(__file__).parent
FOLDER = HERE.parent.parent / ".venv-vllm"
MODEL = "tiny"
PROFILE = "a100-8b"
# Everything takes so many times as long as on the accelerator: the tiny model needs some milliseconds of a step itself.
SLOWER = 3.0
CONTEXT = 4096
# vLLM's attention for CPUs has blocks of a multiple of 32 tokens only.
BLOCK_TOKENS = 32
START_SECONDS, STOP_SECONDS = 240.0, 30.0
CANNOT = 77
# One thread for the model, so that the second core is left for HTTP and for those who call.
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
}


class NoEngine(Exception):
    """There is no engine here, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One that runs."""

    url: str
    """Its address, without `/v1`."""
    pid: int
    """Of its first process; 0 where somebody else has started it."""
    log: Path
    steps: Path
    """A line for each step: see `slow_steps.py`."""

    @property
    def base_url(self) -> str:
        """What a client calls its base URL."""
        return f"{self.url}/v1"

    def late(self, since: float, until: float) -> float:
        """Which part of the steps between two moments of `time.time` took over 1.2 times as long as they were to."""
        steps = [line.split() for line in self.steps.read_text().splitlines()]
        within = [(float(due), float(took)) for at, due, _, took, *_ in steps if since <= float(at) <= until]
        return sum(took > 1.2 * due for due, took in within) / len(within) if within else 0.0


def made(folder: Path = FOLDER) -> Path:
    """Makes the engine, or finds it made. Raises NoEngine where that cannot be done here."""
    done = subprocess.run([str(HERE / "make_engine.sh"), str(folder)], stdout=subprocess.PIPE, text=True)
    if done.returncode == CANNOT:
        raise NoEngine(done.stdout.strip().splitlines()[-1])
    if done.returncode:
        raise NoEngine(f"making it failed: {done.stdout[-500:]}")
    return folder


def capacity_options() -> list[str]:
    """vLLM's options that give it the capacity of the profile, and what the tiny model needs."""
    profile = profile_named(PROFILE)
    blocks = profile.kv_tokens // BLOCK_TOKENS
    return [
        *("--served-model-name", MODEL, "--dtype", "float32", "--enforce-eager", "--max-model-len", str(CONTEXT)),
        *("--max-num-seqs", str(profile.max_num_seqs), "--max-num-batched-tokens", str(profile.max_num_batched_tokens)),
        *("--block-size", str(BLOCK_TOKENS), "--num-gpu-blocks-override", str(blocks)),
    ]


def serve_command(folder: Path, port: int, options: Sequence[str] = ()) -> list[str]:
    """How the server is started."""
    return [
        *(str(folder / "venv" / "bin" / "vllm"), "serve", str(folder / "model"), "--host", "127.0.0.1"),
        *("--port", str(port), "--enable-prompt-tokens-details", "--disable-uvicorn-access-log"),
        *capacity_options(),
        *options,
    ]


def environment(folder: Path, scratch: Path) -> dict[str, str]:
    """Of vLLM's processes: what holds their steps, and where each is written down."""
    times = scratch / "step-times.json"
    write_step_times(profile_named(PROFILE), times, slower=SLOWER)
    slow = {"SLOW_STEPS": str(times), "SLOW_STEPS_LOG": str(scratch / "steps.log")}
    return os.environ | ENVIRONMENT | slow


@contextmanager
def running(scratch: Path, options: Sequence[str] = (), *, folder: Path = FOLDER) -> Iterator[Engine]:
    """A vLLM on a free port, from when it is healthy until it has ended. `scratch` gets its logs. Raises NoEngine."""
    port = free_port()
    log, steps = scratch / "vllm.log", scratch / "steps.log"
    steps.touch()
    with log.open("wb") as output:
        # A session of its own: it has processes below it, and all of them end with it.
        process = subprocess.Popen(
            serve_command(folder, port, options),
            stdout=output,
            stderr=output,
            env=environment(folder, scratch),
            start_new_session=True,
        )
    try:
        engine = Engine(url=f"http://127.0.0.1:{port}", pid=process.pid, log=log, steps=steps)
        _wait_until_healthy(engine, process)
        yield engine
    finally:
        _stop(process)


def attached(url: str, *, folder: Path = FOLDER) -> Engine:
    """The one that `python -m benchmarks.vllm.engine` runs, which has said this URL."""
    run = folder / "run"
    return Engine(url=url, pid=0, log=run / "vllm.log", steps=run / "steps.log")


def _wait_until_healthy(engine: Engine, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        if process.poll() is not None:
            raise NoEngine(f"vLLM ended while it started: {engine.log.read_text(errors='replace')[-2000:]}")
        if time.monotonic() > deadline:
            raise NoEngine(f"vLLM was not healthy after {START_SECONDS:.0f} s; see {engine.log}")
        try:
            with urllib.request.urlopen(f"{engine.url}/health", timeout=5) as answer:
                if answer.status == 200:
                    break
        except OSError:
            time.sleep(0.5)
    # The first request compiles and loads what later ones find.
    body = {"model": MODEL, "prompt": "warm", "max_tokens": 4}
    request = urllib.request.Request(
        f"{engine.base_url}/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=120).read()


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    # What is left of it, by the number of the session that was made for it.
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def main() -> None:
    """Runs one until Ctrl-C: `python -m benchmarks.vllm.engine [OPTIONS OF VLLM]`."""
    scratch = made() / "run"
    scratch.mkdir(exist_ok=True)
    (scratch / "steps.log").unlink(missing_ok=True)
    with running(scratch, sys.argv[1:]) as engine:
        print(f"vLLM {engine.url} (pid {engine.pid}; Ctrl-C ends it)", flush=True)
        # Both of them: what a shell starts in the background does not hear Ctrl-C.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        signal.pause()


if __name__ == "__main__":
    try:
        main()
    except NoEngine as error:
        print(error, file=sys.stderr)
        sys.exit(CANNOT)
