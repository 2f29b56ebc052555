"""`slackwater run` against endpoints that cannot work: it says why, loses nothing, and the corrected command finishes."""

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.scripted import Call, Reply, Scripted, scripted

LINES = 50
ANSWER = Reply.of({"choices": [{"message": {"role": "assistant", "content": "fine"}}], "usage": {"prompt_tokens": 1}})
MODELS = Reply.of({"object": "list", "data": [{"id": "llama"}, {"id": "qwen"}]})
WRONG_KEY = Reply.of({"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}, 401)
NO_PATH = Reply.of({"detail": "Not Found"}, 404)
NO_MODEL = Reply.of({"error": {"message": "The model does not exist", "code": "model_not_found"}}, 404)
BROKEN = Reply.of({"error": {"message": "EngineDeadError"}}, 500)
PAGE = Reply(b"<html><body>Log in, please</body></html>", 200, {"Content-Type": "text/html"})
NO_QUOTA = Reply.of({"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}, 429)
Answer = Callable[[Call, int], Reply]


class Engine:
    """An endpoint on loopback. It answers requests as its temper says until it is put right."""

    def __init__(self, temper: Answer, *, models: Reply | None = MODELS) -> None:
        """`temper` answers a request, of which it gets the number from 0; without `models` there is no list of them."""
        self._temper = temper
        self._models = models
        self._number = 0
        self._lock = threading.Lock()
        self.well = False
        self.answered: Counter[str] = Counter()
        self.server: Scripted

    def answer(self, call: Call) -> Reply:
        """One call. A request of Slackwater's own is none of the lines."""
        if call.method == "GET":
            found = call.path == "/v1/models" and self._models is not None
            return self._models if found and self._models is not None else NO_PATH
        if call.path != "/v1/chat/completions":
            return NO_PATH
        with self._lock:
            number = self._number
            self._number += 1
        reply = ANSWER if self.well else self._temper(call, number)
        if reply is ANSWER:
            with self._lock:
                self.answered[json.loads(call.body)["messages"][0]["content"]] += 1
        return reply

    @property
    def url(self) -> str:
        return f"{self.server.url}/v1"

    def lines_answered_twice(self) -> list[str]:
        """Lines for which an answer was paid twice."""
        return [text for text, count in self.answered.items() if text != "ping" and count > 1]


@contextmanager
def engine(temper: Answer, *, models: Reply | None = MODELS) -> Iterator[Engine]:
    """An endpoint that runs."""
    made = Engine(temper, models=models)
    with scripted(made.answer) as server:
        made.server = server
        yield made


def write_input(path: Path, *, model: str = "llama", lines: int = LINES) -> None:
    """Requests of one model."""
    with path.open("w") as file:
        for number in range(lines):
            body = {"model": model, "messages": [{"role": "user", "content": f"question {number}"}]}
            row = {"custom_id": f"{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
            file.write(json.dumps(row) + "\n")


def slackwater_run(
    cwd: Path, url: str, *options: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs in.jsonl into out.jsonl."""
    command = [sys.executable, "-m", "slackwater", "run", "in.jsonl", "-o", "out.jsonl", "--backend", url]
    return subprocess.run([*command, *options], cwd=cwd, env=environment, capture_output=True, text=True, timeout=90)


def custom_ids(path: Path) -> list[str]:
    return sorted((json.loads(line)["custom_id"] for line in path.read_bytes().splitlines()), key=int)


def assert_nothing_lost(cwd: Path) -> None:
    """No line has failed, nothing is in the way, and there is something to continue."""
    assert not (cwd / "out.jsonl").exists()
    assert not (cwd / "out.errors.jsonl").exists()
    assert (cwd / "out.jsonl.slackwater").is_dir()


def assert_finished(cwd: Path, done: subprocess.CompletedProcess[str], *, lines: int = LINES) -> None:
    """Every line is answered, once."""
    assert done.returncode == 0, done.stderr
    assert custom_ids(cwd / "out.jsonl") == [str(number) for number in range(lines)]
    assert not (cwd / "out.errors.jsonl").exists()
    assert not (cwd / "out.jsonl.slackwater").exists()


def wrong_key(call: Call, _: int) -> Reply:
    return ANSWER if call.headers.get("authorization") == "Bearer right" else WRONG_KEY


def only_llama(call: Call, _: int) -> Reply:
    return ANSWER if json.loads(call.body)["model"] == "llama" else NO_MODEL


def test_401(tmp_path: Path) -> None:
    """No key: the option that names one is said before and after, and with the key the run goes on."""
    write_input(tmp_path / "in.jsonl")
    with engine(wrong_key, models=WRONG_KEY) as server:
        done = slackwater_run(tmp_path, server.url)
        told = done.stderr
        assert done.returncode == 4, told
        assert told.index("it wants a key; name the variable that holds it with --api-key-env") < told.index("error: ")
        assert "refused the request" in told
        assert "status 401 (invalid_api_key: Incorrect API key provided)" in told
        assert_nothing_lost(tmp_path)
        key = os.environ | {"ENGINE_KEY": "wrong"}
        done = slackwater_run(tmp_path, server.url, "--api-key-env", "ENGINE_KEY", environment=key)
        assert (done.returncode, "to the key in ENGINE_KEY" in done.stderr) == (4, True), done.stderr
        assert "wrong" not in done.stderr.replace("wrong key", "")
        assert_nothing_lost(tmp_path)
        key = os.environ | {"ENGINE_KEY": "right"}
        done = slackwater_run(tmp_path, server.url, "--api-key-env", "ENGINE_KEY", environment=key)
        assert "continuing an interrupted run: 0 of 50" in done.stderr
        assert_finished(tmp_path, done)


def test_404(tmp_path: Path) -> None:
    """A path behind which nothing is, with a list of models or without: what it answers, and what to look at."""
    write_input(tmp_path / "in.jsonl")
    with engine(lambda call, number: NO_PATH, models=None) as server:
        done = slackwater_run(tmp_path, server.url)
        assert done.returncode == 4, done.stderr
        assert "status 404" in done.stderr
        assert (
            "Is the URL right, up to what stands before /chat/completions, and is there such a model? Stopped"
            in done.stderr
        )
        assert_nothing_lost(tmp_path)
        server.well = True
        assert_finished(tmp_path, slackwater_run(tmp_path, server.url))


def test_wrong_model(tmp_path: Path) -> None:
    """The names that there are, before anything is sent; the corrected name goes on where the wrong one stopped."""
    write_input(tmp_path / "in.jsonl", model="lama")
    with engine(only_llama) as server:
        done = slackwater_run(tmp_path, server.url)
        assert done.returncode == 4, done.stderr
        assert done.stderr.startswith("the endpoint does not list the model 'lama'; it lists llama, qwen (trying")
        assert "status 404 (model_not_found: The model does not exist)" in done.stderr
        assert_nothing_lost(tmp_path)
        assert_finished(tmp_path, slackwater_run(tmp_path, server.url, "--model", "llama"))


def test_a_model_that_is_not_listed_may_work(tmp_path: Path) -> None:
    """Engines answer under names that they do not list: what is not in the list is said, and tried."""
    write_input(tmp_path / "in.jsonl", model="alias")
    with engine(lambda call, number: ANSWER) as server:
        done = slackwater_run(tmp_path, server.url)
        assert "does not list the model 'alias'" in done.stderr
        assert_finished(tmp_path, done)


def test_no_v1(tmp_path: Path) -> None:
    """The URL with /v1 is suggested where it answers, and the run goes on there."""
    write_input(tmp_path / "in.jsonl")
    with engine(lambda call, number: ANSWER) as server:
        done = slackwater_run(tmp_path, server.server.url)
        assert done.returncode == 4, done.stderr
        assert f"did you mean --backend {server.url}?" in done.stderr
        assert_nothing_lost(tmp_path)
        assert_finished(tmp_path, slackwater_run(tmp_path, server.url))


@pytest.mark.parametrize("ending", ["/chat/completions", "/v1"])
def test_too_much_of_an_url(tmp_path: Path, ending: str) -> None:
    """As it is copied from a curl command, or with /v1 twice."""
    write_input(tmp_path / "in.jsonl")
    with engine(lambda call, number: ANSWER) as server:
        done = slackwater_run(tmp_path, server.url + ending)
        assert (done.returncode, f"did you mean --backend {server.url}?" in done.stderr) == (4, True), done.stderr


def test_always_500(tmp_path: Path) -> None:
    """What it waits for is said while it waits; then it gives up, and goes on when the engine works."""
    write_input(tmp_path / "in.jsonl")
    with engine(lambda call, number: BROKEN) as server:
        done = slackwater_run(tmp_path, server.url, "--give-up-after", "2")
        told = done.stderr
        assert done.returncode == 4, told
        waits = told.index(
            "0 of 50 done, 0 failed, 0.0 requests/s, 0 tokens; the endpoint is down: status 500 (EngineDeadError)"
        )
        assert waits < told.index(
            "error: nothing has succeeded for 2 s: the endpoint is down: status 500 (EngineDeadError)"
        )
        assert_nothing_lost(tmp_path)
        server.well = True
        assert_finished(tmp_path, slackwater_run(tmp_path, server.url))


def test_a_page_instead_of_answers(tmp_path: Path) -> None:
    """HTML with 200: it is asked for about once a line and no more, and no line ends with it."""
    write_input(tmp_path / "in.jsonl")
    with engine(lambda call, number: PAGE, models=PAGE) as server:
        done = slackwater_run(tmp_path, server.url)
        assert done.returncode == 4, done.stderr
        assert "gave no readable answer" in done.stderr
        assert "What answers there is no engine" in done.stderr
        assert_nothing_lost(tmp_path)
        server.well = True
        assert_finished(tmp_path, slackwater_run(tmp_path, server.url))


def test_something_else_answers_after_half(tmp_path: Path) -> None:
    """An endpoint that turns into something else, with status 200 all the time: as one that was so from the beginning."""
    write_input(tmp_path / "in.jsonl")
    with engine(lambda call, number: ANSWER if number < 25 else Reply.of({"status": "ok"})) as server:
        done = slackwater_run(tmp_path, server.url, "--concurrency", "4")
        assert done.returncode == 4, done.stderr
        assert "gave no readable answer 2" in done.stderr
        assert "in a row: status 200: JSON that has no `choices`. Is the URL right?" in done.stderr
        assert "25 of 50 done, nothing is lost" in done.stderr
        assert_nothing_lost(tmp_path)


def test_a_page_for_one_line(tmp_path: Path) -> None:
    """With one line it is asked for twice, by the line or by a request of our own: an answer of that kind may be paid."""
    write_input(tmp_path / "in.jsonl", lines=1)
    with engine(lambda call, number: PAGE) as server:
        done = slackwater_run(tmp_path, server.url)
        assert (done.returncode, "gave no readable answer" in done.stderr) == (4, True), done.stderr
        assert_nothing_lost(tmp_path)
        server.well = True
        assert_finished(tmp_path, slackwater_run(tmp_path, server.url), lines=1)


def test_dead_after_half(tmp_path: Path) -> None:
    """What was answered is kept, can be read, and is not asked for again."""
    write_input(tmp_path / "in.jsonl")
    with engine(lambda call, number: ANSWER if number < 25 else Reply(cut=-1)) as server:
        done = slackwater_run(tmp_path, server.url, "--concurrency", "4", "--give-up-after", "2")
        told = done.stderr
        assert done.returncode == 4, told
        assert told.index("the endpoint is down: ") < told.index("error: nothing has succeeded for 2 s")
        so_far = tmp_path / "out.jsonl.slackwater" / "answers-so-far.jsonl"
        assert "Answers so far: out.jsonl.slackwater/answers-so-far.jsonl" in told
        assert f"{len(custom_ids(so_far))} of 50 done" in told
        assert set(custom_ids(so_far)) == {text.split()[1] for text in server.answered if text != "ping"}
        assert_nothing_lost(tmp_path)
        server.well = True
        assert_finished(tmp_path, slackwater_run(tmp_path, server.url))
        assert not server.lines_answered_twice()


def test_gone_after_half(tmp_path: Path) -> None:
    """The same where nobody listens any more, and the next run begins before anybody does."""
    write_input(tmp_path / "in.jsonl")
    with engine(lambda call, number: ANSWER if number < 25 else BROKEN) as server:
        url = server.url
        done = slackwater_run(tmp_path, url, "--concurrency", "4", "--give-up-after", "2")
        assert done.returncode == 4, done.stderr
    done = slackwater_run(tmp_path, url)
    assert (done.returncode, "nothing answers at" in done.stderr) == (4, True), done.stderr
    assert_nothing_lost(tmp_path)
    with engine(lambda call, number: ANSWER) as server:
        assert_finished(tmp_path, slackwater_run(tmp_path, server.url))


@pytest.mark.parametrize("concurrency", ["64", pytest.param("1", marks=pytest.mark.long)])
@pytest.mark.parametrize("reply", [NO_QUOTA, Reply.of({"error": {"message": "Insufficient credits"}}, 402)])
def test_quota_gone(tmp_path: Path, reply: Reply, concurrency: str) -> None:
    """After half of the lines the account may not go on: that is said, and what was answered is not paid for again."""
    write_input(tmp_path / "in.jsonl")
    with engine(lambda call, number: ANSWER if number < 25 else reply) as server:
        done = slackwater_run(tmp_path, server.url, "--concurrency", concurrency)
        assert done.returncode == 4, done.stderr
        assert f"status {reply.status}" in done.stderr
        assert "the account behind the key may not go on" in done.stderr.lower()
        assert_nothing_lost(tmp_path)
        server.well = True
        assert_finished(tmp_path, slackwater_run(tmp_path, server.url))
        assert not server.lines_answered_twice()


def test_one_that_is_only_busy_is_given_up(tmp_path: Path) -> None:
    """429 for ever, with waits or without."""
    write_input(tmp_path / "in.jsonl")
    busy = Reply.of({"error": {"message": "slow down"}}, 429, Retry_After="30")
    with engine(lambda call, number: busy) as server:
        done = slackwater_run(tmp_path, server.url, "--give-up-after", "2")
        assert done.returncode == 4, done.stderr
        assert "nothing has succeeded for 2 s" in done.stderr
        assert_nothing_lost(tmp_path)
        server.well = True
        assert_finished(tmp_path, slackwater_run(tmp_path, server.url))


def test_requests_that_are_refused_do_not_stop_a_run(tmp_path: Path) -> None:
    """400 is a line's own: however many there are, the run goes on to its end and names the most frequent reasons."""
    write_input(tmp_path / "in.jsonl")
    too_long = Reply.of({"error": {"message": "too long", "code": "context_length_exceeded"}}, 400)
    other = Reply.of({"error": {"message": "filtered", "code": "content_filter"}}, 400)

    def refuse(call: Call, _: int) -> Reply:
        last = json.loads(call.body)["messages"][0]["content"][-1]
        return ANSWER if last == "0" else other if last == "1" else too_long

    with engine(refuse) as server:
        done = slackwater_run(tmp_path, server.url)
    assert done.returncode == 1, done.stderr
    told = [line.split(maxsplit=1) for line in done.stderr.splitlines() if line.startswith("   ")]
    assert told == [["40", "400 context_length_exceeded: too long"], ["5", "400 content_filter: filtered"]]
    assert "add --retry-failed" in done.stderr
