"""`slackwater run` that goes on: failed lines once more, results before the end, and what may be spent."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from slackwater.cli.failed_lines import OtherFiles, copy_failed, join
from tests.cli.scripted import Call, Reply
from tests.system.test_run_judges import ANSWER, BROKEN, LINES, custom_ids, engine, slackwater_run, write_input

TOO_LONG = Reply.of({"error": {"message": "too long", "code": "context_length_exceeded"}}, 400)
COUNTED = Reply.of({"choices": [{"index": 0}], "usage": {"prompt_tokens": 1_000, "completion_tokens": 1_000}})


def text_of(call: Call) -> str:
    found: str = json.loads(call.body)["messages"][0]["content"]
    return found


def fails_on_some(call: Call, _: int) -> Reply:
    """Every tenth line is refused."""
    return TOO_LONG if text_of(call).endswith("0") else ANSWER


def test_failed_lines_again(tmp_path: Path) -> None:
    """Only they are sent; their answers join the others, and the error file goes when nothing is left in it."""
    write_input(tmp_path / "in.jsonl")
    with engine(fails_on_some) as server:
        assert slackwater_run(tmp_path, server.url).returncode == 1
        assert custom_ids(tmp_path / "out.errors.jsonl") == ["0", "10", "20", "30", "40"]
        before = (tmp_path / "out.jsonl").read_bytes()

        done = slackwater_run(tmp_path, server.url)
        assert (done.returncode, "give --retry-failed to send again what failed" in done.stderr) == (2, True), (
            done.stderr
        )

        server.answered.clear()
        again = slackwater_run(tmp_path, server.url, "--retry-failed")
        assert again.returncode == 1, again.stderr
        assert "0 answered, 5 failed" in again.stderr
        assert (tmp_path / "out.jsonl").read_bytes() == before
        assert custom_ids(tmp_path / "out.errors.jsonl") == ["0", "10", "20", "30", "40"]

        server.well = True
        last = slackwater_run(tmp_path, server.url, "--retry-failed")
        assert last.returncode == 0, last.stderr
        assert sorted(server.answered) == [f"question {number}" for number in (0, 10, 20, 30, 40)]
        assert (tmp_path / "out.jsonl").read_bytes().startswith(before)
        assert custom_ids(tmp_path / "out.jsonl") == [str(number) for number in range(LINES)]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]

        nothing = slackwater_run(tmp_path, server.url, "--retry-failed")
        assert (nothing.returncode, "nothing has failed" in nothing.stderr) == (0, True), nothing.stderr


def test_a_retry_is_continued_too(tmp_path: Path) -> None:
    """It stops like any run, and goes on; the answers of before are there throughout."""
    write_input(tmp_path / "in.jsonl")
    with engine(fails_on_some) as server:
        assert slackwater_run(tmp_path, server.url).returncode == 1
        before = (tmp_path / "out.jsonl").read_bytes()
        server._temper = lambda call, number: BROKEN
        stopped = slackwater_run(tmp_path, server.url, "--retry-failed", "--give-up-after", "1")
        assert stopped.returncode == 4, stopped.stderr
        assert (tmp_path / "out.jsonl").read_bytes() == before
        server.well = True
        done = slackwater_run(tmp_path, server.url, "--retry-failed")
        assert (done.returncode, "continuing an interrupted run: 0 of 5" in done.stderr) == (0, True), done.stderr
    assert custom_ids(tmp_path / "out.jsonl") == [str(number) for number in range(LINES)]


def test_all_failed_and_again(tmp_path: Path) -> None:
    """An output without an answer is in nobody's way."""
    write_input(tmp_path / "in.jsonl")
    with engine(lambda call, number: TOO_LONG) as server:
        assert slackwater_run(tmp_path, server.url).returncode == 1
        assert (tmp_path / "out.jsonl").read_bytes() == b""
        server.well = True
        assert slackwater_run(tmp_path, server.url, "--retry-failed").returncode == 0
    assert len(custom_ids(tmp_path / "out.jsonl")) == LINES


def test_overwrite_leaves_nothing_of_before(tmp_path: Path) -> None:
    """Neither answers where now all fail, nor errors where now none does."""
    write_input(tmp_path / "in.jsonl")
    with engine(lambda call, number: TOO_LONG) as server:
        server.well = True
        assert slackwater_run(tmp_path, server.url).returncode == 0
        server.well = False
        assert slackwater_run(tmp_path, server.url, "--overwrite").returncode == 1
        assert (tmp_path / "out.jsonl").read_bytes() == b""
        server.well = True
        assert slackwater_run(tmp_path, server.url, "--overwrite").returncode == 0
    assert not (tmp_path / "out.errors.jsonl").exists()


def test_errors_of_another_input(tmp_path: Path) -> None:
    """Nothing is sent, and nothing stays behind."""
    write_input(tmp_path / "in.jsonl", lines=3)
    (tmp_path / "out.errors.jsonl").write_text('{"custom_id": "elsewhere"}\n')
    with engine(lambda call, number: ANSWER) as server:
        done = slackwater_run(tmp_path, server.url, "--retry-failed")
        assert not server.answered
    assert (done.returncode, "(elsewhere); is it the input of that run?" in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / "out.jsonl.slackwater").exists()


def test_a_line_keeps_its_number(tmp_path: Path) -> None:
    """What validation says of a failed line is about the line of INPUT, which may have been corrected meanwhile."""
    write_input(tmp_path / "in.jsonl", lines=5)
    lines = (tmp_path / "in.jsonl").read_text().splitlines()
    (tmp_path / "in.jsonl").write_text("\n".join([*lines[:3], '{"custom_id": "3", "method": "PUT"}', lines[4]]))
    (tmp_path / "out.errors.jsonl").write_text('{"custom_id": "3"}\n{"custom_id": "4"}\n')
    with engine(lambda call, number: ANSWER) as server:
        done = slackwater_run(tmp_path, server.url, "--retry-failed")
    assert (done.returncode, "in.jsonl:4: " in done.stderr) == (3, True), done.stderr


def test_joining_twice_is_joining_once(tmp_path: Path) -> None:
    """Whenever the process ends, the next one finds what is left to do; what somebody has changed meanwhile is not touched."""
    old, new = tmp_path / "out.jsonl", tmp_path / "new"
    old.write_bytes(b"one\ntwo")
    new.write_bytes(b"three\n")
    join(old, 7, new)
    join(old, 7, new)
    assert old.read_bytes() == b"one\ntwo\nthree\n"
    old.write_bytes(b"sorted")
    with pytest.raises(OtherFiles, match="has changed"):
        join(old, 7, new)
    join(old, 7, None)
    assert old.read_bytes() == b"sorted"
    join(tmp_path / "none.jsonl", 0, new)
    assert (tmp_path / "none.jsonl").read_bytes() == b"three\n"


def test_each_failed_line_is_copied_once(tmp_path: Path) -> None:
    """An id that is in the error file twice, or in the input, is one line; a last line without its end gets one."""
    source, errors, target = tmp_path / "in", tmp_path / "errors", tmp_path / "target"
    more = {"answers": tmp_path / "answers", "still_wrong": tmp_path / "wrong"}
    source.write_bytes(b'{"custom_id": "a"}\n\n{"custom_id": "b"}\n{"custom_id": "b"}')
    errors.write_bytes(b'{"custom_id": "b"}\n{"custom_id": "b"}\n')
    assert copy_failed(source, errors, target, **more) == 1
    assert target.read_bytes() == b'\n\n{"custom_id": "b"}\n\n'
    errors.write_bytes(b"{}\n")
    with pytest.raises(OtherFiles, match="no line of an error file"):
        copy_failed(source, errors, target, **more)


def test_follow(tmp_path: Path) -> None:
    """Every answer comes on standard output, once, while the run goes on; the last one before the run has ended."""
    write_input(tmp_path / "in.jsonl")
    with engine(fails_on_some) as server:
        done = slackwater_run(tmp_path, server.url, "--follow", "-q")
    assert done.returncode == 1, done.stderr
    assert sorted(done.stdout.splitlines()) == sorted((tmp_path / "out.jsonl").read_text().splitlines())


def test_results_after_ctrl_c(tmp_path: Path) -> None:
    """They were on standard output, they are in a file whose name is said, and the next run shows all of them."""
    write_input(tmp_path / "in.jsonl")
    command = [sys.executable, "-m", "slackwater", "run", "in.jsonl", "-o", "out.jsonl", "--follow"]
    with engine(lambda call, number: ANSWER if number < 20 else Reply.of({}, 429, Retry_After="20")) as server:
        first = subprocess.Popen(
            [*command, "--backend", server.url], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert first.stdout is not None
        read = [first.stdout.readline() for _ in range(20)]
        first.send_signal(signal.SIGINT)
        _, told = first.communicate(timeout=60)
        assert first.returncode == 130, told
        assert "Answers so far: out.jsonl.slackwater/answers-so-far.jsonl" in told
        so_far = tmp_path / "out.jsonl.slackwater" / "answers-so-far.jsonl"
        assert sorted(so_far.read_text().splitlines()) == sorted(line.strip() for line in read)
        server.well = True
        done = slackwater_run(tmp_path, server.url, "--follow")
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == sorted((tmp_path / "out.jsonl").read_text().splitlines())
    assert len(custom_ids(tmp_path / "out.jsonl")) == LINES


def test_nobody_reads_on(tmp_path: Path) -> None:
    """As with `| head -1`: the run goes on to its end."""
    write_input(tmp_path / "in.jsonl")
    command = [
        sys.executable,
        "-m",
        "slackwater",
        "run",
        "in.jsonl",
        "-o",
        "out.jsonl",
        "--follow",
        "--concurrency",
        "1",
    ]
    with engine(lambda call, number: ANSWER) as server:
        process = subprocess.Popen(
            [*command, "--backend", server.url], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        told = process.stderr.read()
        assert process.wait(60) == 0, told
    assert len(custom_ids(tmp_path / "out.jsonl")) == LINES


def test_max_cost(tmp_path: Path) -> None:
    """The run stops near the amount, says what it has spent, and goes on with a higher one."""
    write_input(tmp_path / "in.jsonl", lines=300)
    price = ("--price", "1,9", "--concurrency", "2")
    with engine(lambda call, number: COUNTED) as server:
        done = slackwater_run(tmp_path, server.url, "--max-cost", "0.05", *price)
        assert done.returncode == 5, done.stderr
        assert "error: --max-cost 0.05 is reached" in done.stderr
        answered = len(custom_ids(tmp_path / "out.jsonl.slackwater" / "answers-so-far.jsonl"))
        assert 4 <= answered < 300, done.stderr
        calls = len(server.server.calls)
        again = slackwater_run(tmp_path, server.url, "--max-cost", "0.05", *price)
        assert again.returncode == 5, again.stderr
        assert len(custom_ids(tmp_path / "out.jsonl.slackwater" / "answers-so-far.jsonl")) == answered
        assert [call.method for call in server.server.calls[calls:]] == ["GET"], "nothing is sent"
        done = slackwater_run(tmp_path, server.url, "--max-cost", "10", *price)
        assert done.returncode == 0, done.stderr
        assert "cost 3.00" in done.stderr
    assert len(custom_ids(tmp_path / "out.jsonl")) == 300


def test_max_cost_is_not_exceeded_by_many_slots(tmp_path: Path) -> None:
    """What is out counts before it is answered, and few go before anybody knows what an answer costs."""
    write_input(tmp_path / "in.jsonl", lines=300)
    with engine(lambda call, number: COUNTED) as server:
        done = slackwater_run(
            tmp_path, server.url, "--max-cost", "0.30", "--price", "1,9", "--concurrency", "64", "--attempts", "1"
        )
        assert done.returncode == 5, done.stderr
        calls = sum(call.method == "POST" for call in server.server.calls)
    answered = len(custom_ids(tmp_path / "out.jsonl.slackwater" / "answers-so-far.jsonl"))
    assert answered <= 30
    assert answered >= 25
    assert calls <= 31


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf"])
def test_a_time_that_is_none(tmp_path: Path, value: str) -> None:
    """Nothing could ever be answered within it."""
    write_input(tmp_path / "in.jsonl", lines=1)
    done = slackwater_run(tmp_path, "http://127.0.0.1:9/v1", "--timeout", value)
    assert done.returncode == 2
    assert "'--timeout'" in done.stderr


@pytest.mark.parametrize("options", [("--max-cost", "1"), ("--price", "1,2")])
def test_cost_and_price_belong_together(tmp_path: Path, options: tuple[str, ...]) -> None:
    """One without the other guards nothing."""
    write_input(tmp_path / "in.jsonl", lines=1)
    done = slackwater_run(tmp_path, "http://127.0.0.1:9/v1", *options)
    assert (done.returncode, "belong together" in done.stderr) == (2, True), done.stderr


def test_max_calls_per_line(tmp_path: Path) -> None:
    """Also in an outage, in which attempts are not counted, no line is taken more often."""
    write_input(tmp_path / "in.jsonl", lines=4)
    with engine(lambda call, number: BROKEN) as server:
        done = slackwater_run(tmp_path, server.url, "--max-calls-per-line", "2", "--give-up-after", "30")
        taken = [text_of(call) for call in server.server.calls if call.method == "POST"]
    assert done.returncode == 1, done.stderr
    assert [taken.count(f"question {number}") for number in range(4)] == [2, 2, 2, 2]
    assert custom_ids(tmp_path / "out.errors.jsonl") == ["0", "1", "2", "3"]
