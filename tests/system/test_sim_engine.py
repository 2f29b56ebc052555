"""`slackwater sim-engine`: clients of real engines can use it, and what they measure is what the model says."""

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

SIM_ENGINE = [sys.executable, "-m", "slackwater", "sim-engine"]
TALE = [{"role": "user", "content": "A tale of the sea, and of those who sail on it. " * 40}]
PROFILES = Path(__file__).parents[2] / "src/slackwater/adapters/modelled_engine/profiles"


class SimEngine:
    """One that runs in a process of its own, quick enough that a test need not wait."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url
        self.client = openai.OpenAI(
            base_url=f"{url}/v1", api_key="any", max_retries=0, _strict_response_validation=True
        )

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return bytes(answer.read())

    def metrics(self) -> dict[str, float]:
        """The samples of the page without buckets, by name and what is not the same for all."""
        found = {}
        for family in text_string_to_metric_families(self.get("/metrics").decode()):
            for sample in family.samples:
                more = [sample.labels[name] for name in ("le", "reason", "finished_reason") if name in sample.labels]
                found[" ".join([sample.name, *more])] = sample.value
        return found

    def end(self) -> str:
        """Ctrl-C; what it says then."""
        self.process.send_signal(signal.SIGINT)
        said, _ = self.process.communicate(timeout=30)
        assert self.process.returncode == 0
        return said


@contextmanager
def sim_engine(*options: str, scale: float = 100) -> Iterator[SimEngine]:
    command = [*SIM_ENGINE, "--port", "0", "--time-scale", str(scale), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        greeting = process.stdout.readline()
        url = re.search(r"http://127\.0\.0\.1:\d+", greeting)
        assert url, greeting
        yield SimEngine(process, url[0])
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture(scope="module")
def engine() -> Iterator[SimEngine]:
    with sim_engine() as running:
        yield running


def test_a_chat(engine: SimEngine) -> None:
    """As long as asked for, with usage; the model is called what the call has called it."""
    answer = engine.client.chat.completions.create(model="mine", messages=TALE, max_tokens=30)
    assert answer.model == "mine"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 30
    assert len(answer.choices[0].message.content or "") == 30 * 4
    assert answer.usage.prompt_tokens == pytest.approx(len(TALE[0]["content"]) / 4, abs=12)


def test_what_is_sent_again_is_found(engine: SimEngine) -> None:
    """The second time, all whole blocks of 16 tokens of the prompt are hits; with another beginning none is."""
    asked: dict[str, Any] = {"model": "any", "max_tokens": 2}
    texts = ["The prefix of this test. " * 30, "the prefix of this test. " * 30]
    first, second, other = (
        engine.client.completions.create(prompt=text, **asked).usage for text in (texts[0], texts[0], texts[1])
    )
    for usage, expected in ((first, 0), (second, 176), (other, 0)):
        assert usage is not None
        assert usage.prompt_tokens == 188
        assert usage.prompt_tokens_details is not None
        assert usage.prompt_tokens_details.cached_tokens == expected


def test_a_stream(engine: SimEngine) -> None:
    """Chunks with one role, all the text, one end, and usage that grows where it is asked for in each."""
    options: Any = {"include_usage": True, "continuous_usage_stats": True}
    chunks = list(
        engine.client.chat.completions.create(
            model="any", messages=TALE, max_tokens=50, stream=True, stream_options=options
        )
    )
    *deltas, last = chunks
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == 50
    assert [chunk.choices[0].delta.role for chunk in deltas].count("assistant") == 1
    assert len("".join(chunk.choices[0].delta.content or "" for chunk in deltas)) == 200
    assert [chunk.choices[0].finish_reason for chunk in deltas if chunk.choices[0].finish_reason] == ["length"]
    counts = [chunk.usage.completion_tokens for chunk in deltas if chunk.usage]
    assert len(counts) == len(deltas)
    assert counts == sorted(counts)


def test_several_answers(engine: SimEngine) -> None:
    """Two prompts, two answers to each, drawn lengths that are the same again, and prompts of tokens."""
    answers = [
        engine.client.completions.create(model="any", prompt=["Why is the sea salty?", "What is a knot?"], n=2)
        for _ in range(2)
    ]
    assert [choice.index for choice in answers[0].choices] == [0, 1, 2, 3]
    assert {choice.finish_reason for choice in answers[0].choices} == {"stop"}
    assert [choice.text for choice in answers[0].choices] == [choice.text for choice in answers[1].choices]
    numbers = engine.client.completions.create(model="any", prompt=[7] * 40, max_tokens=1)
    assert numbers.usage is not None
    assert numbers.usage.prompt_tokens == 40


def test_the_page_has_vllms_names(engine: SimEngine) -> None:
    """Parsed by Prometheus' own parser; counts agree with what was asked for."""
    before = engine.metrics()
    engine.client.completions.create(model="any", prompt="Twelve tokens of text, and a few letters.", max_tokens=25)
    after = engine.metrics()

    def more(name: str) -> float:
        return after[name] - before[name]

    assert more("vllm:generation_tokens_total") == 25
    assert more("vllm:prompt_tokens_total") == 11
    assert more("vllm:iteration_tokens_total_count") == 25
    assert more("vllm:inter_token_latency_seconds_count") == 24
    assert more("vllm:time_to_first_token_seconds_bucket +Inf") == 1
    assert more("vllm:request_success_total length") == 1
    for name in ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc", "num_preemptions_total"):
        assert after[f"vllm:{name}"] == 0
    assert after["vllm:num_requests_waiting_by_reason capacity"] == 0
    assert b'block_size="16",enable_prefix_caching="True",num_gpu_blocks="26875"} 1.0' in engine.get("/metrics")
    # The mean step is that of one stream, 11 ms of the engine at most, a hundred times as fast.
    step = more("vllm:inter_token_latency_seconds_sum") / more("vllm:inter_token_latency_seconds_count")
    assert step == pytest.approx(0.0114 / 100, rel=0.05)
    assert engine.get("/health") == b""
    assert engine.client.models.list().data[0].id == "a100-8b"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"messages": []}, "'messages'"),
        ({"messages": TALE, "max_tokens": 0}, "'max_tokens'"),
        ({"messages": TALE, "max_tokens": 500_000}, "maximum context length is 430000"),
        ({"messages": TALE, "priority": "high"}, "'priority'"),
        ([], "object"),
    ],
)
def test_what_no_engine_takes(engine: SimEngine, body: Any, said: str) -> None:
    """400, in an error object that says what is wrong."""
    answer = httpx2.post(f"{engine.url}/v1/chat/completions", json=body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]


def test_whoever_goes_frees_the_engine() -> None:
    """A client that closes its connection ends its request: nothing runs, and no memory is held."""
    with sim_engine(scale=1) as slow:
        with slow.client.chat.completions.create(model="any", messages=TALE, max_tokens=400_000, stream=True) as stream:
            next(stream)
            assert slow.metrics()["vllm:num_requests_running"] == 1
        while (page := slow.metrics())["vllm:num_requests_running"]:
            pass
        assert page["vllm:kv_cache_usage_perc"] == 0
        assert page["vllm:request_success_total abort"] == 1


def test_its_end_cuts_everybody_off() -> None:
    """Ctrl-C while somebody is being answered: that connection is cut, and nothing is said of it."""
    with sim_engine(scale=1) as ending:
        with ending.client.chat.completions.create(
            model="any", messages=TALE, max_tokens=400_000, stream=True
        ) as stream:
            next(stream)
            said = ending.end()
            with pytest.raises((httpx2.TransportError, openai.APIConnectionError)):
                list(stream)
    assert said == ""


def test_where_too_many_wait() -> None:
    """With nobody allowed to wait, one that would have to is told to come again."""
    with sim_engine("--max-waiting", "0", scale=1) as full, pytest.raises(openai.RateLimitError) as caught:
        full.client.completions.create(model="any", prompt="Now?", max_tokens=1)
    assert caught.value.response.headers["retry-after"] == "1"
    assert caught.value.body["message"].startswith("0 requests wait already")  # type: ignore[index]


def test_death_and_return() -> None:
    """All connections are cut, nobody is there for a while, and it comes back with nothing in its cache."""
    prompt = "What was in the cache? " * 20
    with sim_engine("--die-every", "200", "--down-for", "50", "--online", "azure-conv:1") as mortal:
        found: list[int | None] = []
        # Until it has died after an answer, and a prompt has been found again in its second life.
        while None not in found or not found[-1]:
            try:
                answer = mortal.client.completions.create(model="any", prompt=prompt, max_tokens=500)
            except openai.APIConnectionError:
                found.append(None)
            else:
                assert answer.usage is not None
                assert answer.usage.prompt_tokens_details is not None
                found.append(answer.usage.prompt_tokens_details.cached_tokens)
        assert found[0] == 0
        death = max(index for index, cached in enumerate(found) if cached is None)
        assert found[death + 1 :][0] == 0
        assert found[-1] == 112
        said = mortal.end()
    assert "It died" in said


def test_online_users_are_reported() -> None:
    """While it runs, in seconds of the engine, and at its end."""
    with sim_engine("--online", "azure-conv:3.0") as busy:
        report = json.loads(busy.get("/sim/online?after=50"))
        assert 50 <= report["finished"] < 100
        assert 0.01 < report["ttft_seconds"]["p50"] < 1
        assert 0.01 < report["tpot_seconds"]["p50"] <= report["tpot_seconds"]["p99"] < 0.1
        said = busy.end()
    assert re.search(r"Online: \d+ requests, \d+ finished, 0 lost", said)
    assert "time to first token: p50 " in said


def test_who_waits_for_online_users_keeps_nobody() -> None:
    """Neither whoever goes before they have come, nor whoever is still there at the end; and what is no number is said."""
    with sim_engine("--online", "azure-conv:3.0") as busy:
        for sooner in ("?after=many", "?after=-1", f"?after={10**12}"):
            with pytest.raises(urllib.error.HTTPError, match="400"):
                busy.get(f"/sim/online{sooner}")
        with socket.create_connection(("127.0.0.1", httpx2.URL(busy.url).port or 0)) as gone:
            gone.sendall(b"GET /sim/online?after=999999999 HTTP/1.1\r\nhost: x\r\n\r\n")
        with socket.create_connection(("127.0.0.1", httpx2.URL(busy.url).port or 0)) as there:
            there.sendall(b"GET /sim/online?after=999999999 HTTP/1.1\r\nhost: x\r\n\r\n")
            busy.get("/sim/online?after=20")
            assert "Traceback" not in busy.end()


def test_slackwater_runs_against_it(tmp_path: Path, engine: SimEngine) -> None:
    """A file goes through `slackwater run` as it would with a real engine."""
    lines = [
        {
            "custom_id": f"q-{number}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "any", "messages": TALE, "max_tokens": 40},
        }
        for number in range(50)
    ]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = [
        sys.executable,
        "-m",
        "slackwater",
        "run",
        "in.jsonl",
        "-o",
        "out.jsonl",
        "--backend",
        f"{engine.url}/v1",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "out.jsonl").read_bytes().splitlines()) == 50


def test_a_profile_of_ones_own(tmp_path: Path) -> None:
    """A file in the form of those that are shipped, here an engine with room for two."""
    text = (PROFILES / "a100-8b.toml").read_text().replace("max_num_seqs = 256", "max_num_seqs = 2")
    (tmp_path / "mine.toml").write_text(text.replace('name = "a100-8b"', 'name = "mine"'))
    with sim_engine("--profile", str(tmp_path / "mine.toml")) as small:
        assert small.client.models.list().data[0].id == "mine"


def test_nobody_misses_a_model(engine: SimEngine, tmp_path: Path) -> None:
    """It answers under every name, so neither `doctor` nor `run` says that a name is not listed."""
    config = f'[[deployments]]\nname = "llama-batch"\n[[deployments.backends]]\nurl = "{engine.url}/v1"\n'
    (tmp_path / "slackwater.toml").write_text(config)
    line = {"custom_id": "1", "method": "POST", "url": "/v1/completions", "body": {"model": "mine", "prompt": "Why?"}}
    (tmp_path / "in.jsonl").write_text(json.dumps(line))
    said = ""
    for words in (
        ["doctor", "--config", "slackwater.toml"],
        ["run", "in.jsonl", "-o", "out.jsonl", "--backend", f"{engine.url}/v1"],
    ):
        command = [sys.executable, "-m", "slackwater", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        said += done.stdout + done.stderr
    assert "does not list" not in said
    assert "answers, to every name of a model" in said
