"""`slackwater run` and its input: each line has its own endpoint and model, and files come as people have them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from slackwater.cli.failed_lines import NothingToSend, copy_failed
from slackwater.cli.input_files import check
from slackwater.cli.run_input import copy_valid, copy_whole, sort_by_input
from slackwater.core.input.line_judge import EACH_LINE, EACH_LINE_ANY_MODEL, Rules
from tests.cli.scripted import Call, Reply, scripted
from tests.system.test_run_judges import MODELS

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
BOM = b"\xef\xbb\xbf"


def line(custom_id: str = "a", url: str = "/v1/chat/completions", body: object = CHAT) -> bytes:
    request = {"custom_id": custom_id, "method": "POST", "url": url, "body": body}
    return json.dumps({key: value for key, value in request.items() if value is not None}).encode() + b"\n"


MIXED = (
    line("chat")
    + line("vector", "/v1/embeddings", {"model": "e", "input": "hi"})
    + line("text", "/completions", {"model": "m2", "prompt": "hi"})
)


def rules(family: str = EACH_LINE) -> Rules:
    return Rules(family=family, endpoint="*", deployments=None, lines_max=0)


def answers_to_each(call: Call) -> Reply:
    """What each endpoint answers; the model is in it."""
    if call.method == "GET":
        return MODELS
    if call.headers.get("x-team") != "blue":
        return Reply.of({"error": {"message": "who are you?", "code": "model_not_found"}}, 403)
    model = json.loads(call.body)["model"]
    if call.path.endswith("/embeddings"):
        return Reply.of({"data": [{"embedding": [1.0]}], "model": model})
    kind = "chat" if call.path.endswith("/chat/completions") else "text"
    return Reply.of({"choices": [{"index": 0, "kind": kind}], "model": model})


def run(cwd: Path, url: str, *options: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "slackwater", "run", *options, "--backend", url]
    return subprocess.run(command, cwd=cwd, input=given, capture_output=True, timeout=90)


def test_from_standard_input_to_standard_output(tmp_path: Path) -> None:
    """Endpoints and models of the lines, a header, a byte order mark, wrong lines left out, the order of the input."""
    given = BOM + MIXED + b"{broken\n" + line("late")
    with scripted(answers_to_each) as server:
        options = ("-", "-o", "-", "--header", "X-Team: blue", "--skip-invalid", "--in-order")
        done = run(tmp_path, f"{server.url}/v1", *options, given=given)
    assert done.returncode == 1, done.stderr
    answers = [json.loads(each) for each in done.stdout.splitlines()]
    assert [each["custom_id"] for each in answers] == ["chat", "vector", "text", "late"]
    assert [each["response"]["body"]["model"] for each in answers] == ["m", "e", "m2", "m"]
    assert answers[2]["response"]["body"]["choices"][0]["kind"] == "text"
    (left_out,) = [json.loads(each) for each in (tmp_path / "stdin.errors.jsonl").read_bytes().splitlines()]
    assert (left_out["custom_id"], left_out["response"], left_out["error"]["code"]) == ("", None, "invalid_json_line")
    assert left_out["error"]["message"].startswith("Line 4 was not sent: This line is not")
    assert b"blue" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["stdin.errors.jsonl"]


def test_answers_that_standard_output_does_not_take_are_kept(tmp_path: Path) -> None:
    """They were paid for: all of them are in a file then, and the exit code is no success."""
    given = b"".join(line(f"r{at}") for at in range(3))
    command = [sys.executable, "-m", "slackwater", "run", "-", "-o", "-", "--header", "X-Team: blue", "--backend"]
    read, write = os.pipe()
    # Whoever was to read them has gone.
    os.close(read)
    with scripted(answers_to_each) as server, os.fdopen(write, "wb") as nobody:
        done = subprocess.run(
            [*command, f"{server.url}/v1"], cwd=tmp_path, input=given, stdout=nobody, stderr=subprocess.PIPE, timeout=90
        )
    assert done.returncode == 2, done.stderr
    assert b"all 3 are in stdin.answers.jsonl" in done.stderr
    assert len((tmp_path / "stdin.answers.jsonl").read_bytes().splitlines()) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["stdin.answers.jsonl"]


def test_a_run_that_died_before_it_began_replaces_nothing(tmp_path: Path) -> None:
    """Its state is there, and nothing in it: the answers of an earlier run stay, whatever was to be done with them."""
    (tmp_path / "in.jsonl").write_bytes(line("a"))
    (tmp_path / "out.jsonl").write_bytes(b'{"custom_id":"paid"}\n')
    state = tmp_path / "out.jsonl.slackwater"
    with scripted(answers_to_each) as server:
        for begun in (False, True):
            state.mkdir()
            if begun:
                (state / "run-id").write_text("batch_run_0123456789ab")
            done = run(tmp_path, f"{server.url}/v1", "in.jsonl", "-o", "out.jsonl", "--header", "X-Team: blue")
            assert done.returncode == 2, done.stderr
            assert b"--retry-failed" in done.stderr
            shutil.rmtree(state)
    assert (tmp_path / "out.jsonl").read_bytes() == b'{"custom_id":"paid"}\n'


def test_what_is_no_file_is_not_replaced_by_one(tmp_path: Path) -> None:
    """A pipe with a name, a device, and a link that somebody made."""
    (tmp_path / "in.jsonl").write_bytes(line())
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("elsewhere.jsonl")
    for name in ("pipe", "link", "/dev/null"):
        done = run(tmp_path, "http://127.0.0.1:9/v1", "in.jsonl", "-o", name, "--overwrite")
        assert done.returncode == 2
        assert b"is no file" in done.stderr
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "link").is_symlink()


def test_advice_that_would_not_help_is_not_given(tmp_path: Path) -> None:
    """A file that is wrong as a whole is told so, also where wrong lines are left out; nothing of it would be left."""
    (tmp_path / "in.jsonl").write_bytes(b"[" + line("a").strip() + b"]\n")
    for more in ((), ("--skip-invalid",)):
        with scripted(answers_to_each) as server:
            done = run(tmp_path, f"{server.url}/v1", "in.jsonl", "-o", "out.jsonl", *more)
        assert done.returncode == 3, done.stderr
        assert b"jq -c" in done.stderr
        assert b"--skip-invalid" not in done.stderr


def test_one_model_for_all_lines(tmp_path: Path) -> None:
    """With --model it is sent in the place of what lines say, and where they say nothing; without it that is a fault."""
    without = {"messages": CHAT["messages"]}
    (tmp_path / "in.jsonl").write_bytes(line("a") + line("b", body=without) + line("c", body=CHAT | {"model": "other"}))
    with scripted(answers_to_each) as server:
        done = run(
            tmp_path, f"{server.url}/v1", "in.jsonl", "-o", "out.jsonl", "--header", "X-Team:blue", "--model", "one"
        )
    assert done.returncode == 0, done.stderr
    models = [
        json.loads(each)["response"]["body"]["model"] for each in (tmp_path / "out.jsonl").read_bytes().splitlines()
    ]
    assert models == ["one"] * 3
    (fault,) = check(tmp_path / "in.jsonl", rules()).faults
    assert (fault.error.line, fault.error.param) == (2, "body.model")
    assert check(tmp_path / "in.jsonl", rules(EACH_LINE_ANY_MODEL)).faults == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://api.openai.com/v1/chat/completions", "is an address"),
        ("/v1/pooling", "is not offered"),
        ("chat", "no path"),
    ],
)
def test_a_url_that_is_none_of_ours(tmp_path: Path, url: str, words: str) -> None:
    """Refused before anything is sent, with its line and the reason."""
    (tmp_path / "in.jsonl").write_bytes(line("a") + line("b", url))
    (fault,) = check(tmp_path / "in.jsonl", rules()).faults
    assert (fault.error.code, fault.error.line, fault.error.param) == ("invalid_url", 2, "url")
    assert words in fault.error.message


def test_several_endpoints_are_a_fault_for_servers(tmp_path: Path) -> None:
    """The vendors have one endpoint and one model in a file."""
    (tmp_path / "in.jsonl").write_bytes(MIXED)
    checked = check(tmp_path / "in.jsonl", rules())
    assert (checked.faults, checked.endpoint) == ([], "*")
    for family in ("azure", "openai"):
        found = check(tmp_path / "in.jsonl", Rules(family=family, endpoint="/v1/chat/completions", deployments=None))
        assert [fault.error.line for fault in found.faults] == [2, 3]


def test_what_is_left_out_keeps_the_numbers_of_the_others(tmp_path: Path) -> None:
    """A blank line stands for each; a file that is no JSON Lines at all stays for validation to refuse."""
    source, target, left_out = (tmp_path / name for name in ("in", "copy", "left"))
    source.write_bytes(BOM + line("a") + b"\n" + line("a") + line("b", "/v1/pooling") + line("c"))
    assert copy_valid(source, target, rules(), left_out=left_out) == 2
    assert target.read_bytes() == line("a") + b"\n\n\n" + line("c")
    errors = [json.loads(each) for each in left_out.read_bytes().splitlines()]
    assert [each["custom_id"] for each in errors] == ["a", "b"]
    assert [each["error"]["code"] for each in errors] == ["duplicate_custom_id", "invalid_url"]
    source.write_bytes(b"custom_id,prompt\na,why\n")
    assert copy_valid(source, target, rules(), left_out=left_out) == 0
    assert (target.read_bytes(), left_out.read_bytes()) == (source.read_bytes(), b"")
    source.write_bytes(BOM + line())
    copy_whole(source, target)
    assert target.read_bytes() == line()


def test_what_was_left_out_goes_once_it_is_corrected(tmp_path: Path) -> None:
    """Whatever has no answer yet is sent, also what had no id that could be read. An id that is taken stays in the error file."""
    names = ("in", "copy", "wrong", "errors", "answers")
    source, target, wrong, errors, answers = (tmp_path / name for name in names)
    answers.write_bytes(b'{"custom_id":"a"}\n')

    def again() -> bytes:
        copy_failed(source, errors, target, answers=answers, still_wrong=wrong)
        return target.read_bytes()

    source.write_bytes(line("a") + b"{broken\n" + line("a") + line("b", "/v1/pooling") + line("c"))
    copy_valid(source, target, rules(), left_out=errors)
    with errors.open("ab") as file:
        file.write(b'{"id":"x","custom_id":"c","response":null,"error":{}}\n')
    taken = errors.read_bytes().splitlines(keepends=True)[1]
    assert again() == b"\n{broken\n\n" + line("b", "/v1/pooling") + line("c")
    assert wrong.read_bytes() == taken
    source.write_bytes(line("a") + line("broken") + line("d") + line("b") + line("c"))
    assert again() == b"\n" + line("broken") + line("d") + line("b") + line("c")
    assert wrong.read_bytes() == b""
    # The numbers of lines are others than those of the error file.
    source.write_bytes(line("broken") + line("c"))
    assert again() == line("broken") + line("c")
    source.write_bytes(line("a") + b"\n" + line("a"))
    errors.write_bytes(taken)
    with pytest.raises(NothingToSend, match="answered already"):
        again()


def test_a_corrected_line_joins_the_answers(tmp_path: Path) -> None:
    """The whole road: left out, corrected, sent again; each answer has an id of its own, and the error file goes."""
    (tmp_path / "in.jsonl").write_bytes(line("a") + b"{broken\n" + line("c"))
    options = ("in.jsonl", "-o", "out.jsonl", "--header", "X-Team: blue")
    with scripted(answers_to_each) as server:
        first = run(tmp_path, f"{server.url}/v1", *options, "--skip-invalid")
        assert first.returncode == 1, first.stderr
        (tmp_path / "in.jsonl").write_bytes(line("a") + line("b") + line("c"))
        then = run(tmp_path, f"{server.url}/v1", *options, "--retry-failed")
    assert then.returncode == 0, then.stderr
    answers = [json.loads(each) for each in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert sorted(each["custom_id"] for each in answers) == ["a", "b", "c"]
    assert len({each["id"] for each in answers}) == 3
    assert not list(tmp_path.glob("out*.errors*"))


@pytest.mark.parametrize("wrong", ["a model", "an endpoint"])
def test_what_only_some_lines_ask_for_in_vain_fails_alone(tmp_path: Path, wrong: str) -> None:
    """A model or an endpoint that the engine does not have, beside others that it has: those lines say so, and the run ends."""

    def chat_only(call: Call) -> Reply:
        if call.method == "GET":
            return MODELS
        if call.path.endswith("/embeddings") or json.loads(call.body)["model"] == "gone":
            return Reply.of({"error": {"message": "there is no such thing", "code": 404}}, 404)
        return Reply.of({"choices": [{"index": 0}], "model": "m"})

    bad = (
        ("/v1/chat/completions", CHAT | {"model": "gone"})
        if wrong == "a model"
        else ("/v1/embeddings", {"model": "m", "input": "hi"})
    )
    lines = [line(f"r{at}", *bad) if at % 4 == 0 else line(f"r{at}") for at in range(20)]
    (tmp_path / "in.jsonl").write_bytes(b"".join(lines))
    with scripted(chat_only) as server:
        done = run(tmp_path, f"{server.url}/v1", "in.jsonl", "-o", "out.jsonl")
    assert done.returncode == 1, done.stderr
    assert len((tmp_path / "out.jsonl").read_bytes().splitlines()) == 15
    failed = [json.loads(each) for each in (tmp_path / "out.errors.jsonl").read_bytes().splitlines()]
    assert sorted(each["custom_id"] for each in failed) == ["r0", "r12", "r16", "r4", "r8"]
    assert {each["response"]["status_code"] for each in failed} == {404}


def test_results_in_the_order_of_the_input(tmp_path: Path) -> None:
    """By the id; what is not in the input comes last, as it was. Twice is as good as once."""
    source, results = tmp_path / "in", tmp_path / "out"
    source.write_bytes(BOM + b"".join(line(name) for name in ("b", "a\u2028", "c")))
    there = [b'{"custom_id":"%b"}\n' % name for name in (b"x", b"", b"c", b"a\\u2028", b"b")]
    results.write_bytes(b"".join(there))
    for _ in range(2):
        sort_by_input(results, source)
        assert results.read_bytes() == b"".join(there[place] for place in (4, 3, 2, 0, 1))
