"""`validate`, `split` and `estimate`: what can be known of a file without any server."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.api.calls import chat
from tests.cli.conftest import Terminal

BAD = (
    chat(1)
    + b"{broken\n"
    + b"\n"
    + chat(1)
    + b'{"custom_id": "c", "method": "POST", "url": "/v1/embeddings", "body": {"model": "demo-batch", "input": "x"}}\n'
)


def written(terminal: Terminal, data: bytes, name: str = "in.jsonl") -> Path:
    path = terminal.directory / name
    path.write_bytes(data)
    return path


def test_a_valid_file(offline: Terminal) -> None:
    """Exit code 0, nothing on standard output, and what the file is."""
    written(offline, chat(5))
    done = offline("validate", "in.jsonl")
    assert (done.returncode, done.stdout) == (0, "")
    assert "valid. 5 requests of /v1/chat/completions for demo-batch." in done.stderr, "as the file has it"
    written(offline, chat(5).replace(b'"/v1/chat', b'"/chat'))
    done = offline("validate", "in.jsonl")
    assert "valid. 5 requests of /chat/completions for demo-batch." in done.stderr


def test_every_fault_has_its_line(offline: Terminal) -> None:
    """Exit code 1; each wrong line with number, code, parameter, words and excerpt; blank lines count for numbers only."""
    written(offline, BAD)
    done = offline("validate", "in.jsonl")
    assert done.returncode == 1
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[:3] for row in rows] == [
        ["2", "invalid_json_line", ""],
        ["4", "duplicate_custom_id", "custom_id"],
        ["5", "url_mismatch", "url"],
    ]
    assert rows[0][4] == "{broken"
    assert "3 wrong of 4 requests" in done.stderr


def test_faults_as_json(offline: Terminal) -> None:
    """--json has the same, with the place in each excerpt."""
    written(offline, BAD)
    done = offline("validate", "in.jsonl", "--json", "--max-errors", "2")
    found = json.loads(done.stdout)
    assert (done.returncode, found["valid"], found["requests"], found["error_count"]) == (1, False, 4, 3)
    # The two that are shown, and one that says how many are not.
    assert [error["line"] for error in found["errors"]] == [2, 4, None]
    excerpt = found["errors"][1]["excerpt"]
    assert excerpt["text"][excerpt["start"] : excerpt["end"]] == '"task-0"'


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--rules", "openai", "--endpoint", "/v1/embeddings"), "invalid_url"),
        (("--deployment", "another"), "model_mismatch"),
        (("--requests", "2"), "too_many_tasks"),
        (("--bytes", "100"), "file_too_large"),
    ],
)
def test_other_rules(offline: Terminal, options: tuple[str, ...], code: str) -> None:
    """The endpoint, the vendor, the deployment and the limits can be said."""
    written(offline, chat(3))
    done = offline("validate", "in.jsonl", *options)
    assert done.returncode == 1
    assert done.stdout.splitlines()[0].split("\t")[1] == code


def test_pieces_put_together_are_the_file(offline: Terminal) -> None:
    """No line changes, also the last one without a line end; names are numbered; a second split replaces nothing unasked."""
    data = chat(10).rstrip(b"\n")
    written(offline, data)
    names = offline.well("split", "in.jsonl", "--requests", "4").splitlines()
    assert names == ["in.part-001.jsonl", "in.part-002.jsonl", "in.part-003.jsonl"]
    assert b"".join((offline.directory / name).read_bytes() for name in names) == data
    again = offline("split", "in.jsonl", "--requests", "4")
    assert (again.returncode, "in.part-001.jsonl exists" in again.stderr) == (2, True)
    sizes = json.loads(offline.well("split", "in.jsonl", "--requests", "4", "--into", "pieces", "--json"))
    assert [size["requests"] for size in sizes] == [4, 4, 2]


def test_pieces_by_bytes_and_tokens(offline: Terminal) -> None:
    """Each piece is within the limits, and validates."""
    written(offline, chat(50, text="Why is the sea salty, and who was the first to ask? " * 10))
    for option, most, unit in (("--bytes", 5_000, "bytes"), ("--tokens", 1_000, "tokens")):
        pieces = json.loads(offline.well("split", "in.jsonl", option, str(most), "--into", unit, "--json"))
        assert len(pieces) > 1
        assert all(piece[unit] <= most for piece in pieces)
        assert sum(piece["requests"] for piece in pieces) == 50
        offline.well("validate", pieces[-1]["path"])


def test_a_line_that_fits_nowhere(offline: Terminal) -> None:
    """It is named, and nothing is written."""
    written(offline, chat(2) + chat(1, text="x" * 1000))
    done = offline("split", "in.jsonl", "--bytes", "500")
    assert done.returncode == 2
    assert "line 3 alone has" in done.stderr
    assert [path.name for path in offline.directory.glob("*.jsonl*")] == ["in.jsonl"]


def test_an_estimate(offline: Terminal) -> None:
    """Requests, tokens by model, cost by the price, time by the rate."""
    body = {"messages": [{"role": "user", "content": "Why is the sea salty?"}], "max_tokens": 100}
    lines = [
        json.dumps(
            {"custom_id": f"{n}", "method": "POST", "url": "/v1/chat/completions", "body": body | {"model": "m"}}
        )
        for n in range(100)
    ]
    written(offline, "\n".join(lines).encode())
    words = ("estimate", "in.jsonl", "--price", "2.00,10.00", "--rate", "4", "--json")
    found = json.loads(offline.well(*words))
    assert (found["requests"], found["input_tokens"], found["output_tokens"]) == (100, 1000, 10_000)
    assert (found["output_tokens_are"], found["seconds"]) == ("limits", 25.0)
    (model,) = found["models"]
    # 1000 tokens at 2.00 and 10,000 at 10.00 for a million, at half the price.
    assert (model["model"], model["cost"], model["currency"]) == ("m", "0.051", "USD")
    shorter = json.loads(offline.well(*words, "--output-tokens", "10", "--discount", "0"))
    assert (shorter["output_tokens"], shorter["models"][0]["cost"]) == (1000, "0.012")


def test_an_estimate_with_the_operators_prices(offline: Terminal) -> None:
    """The configuration's price is that of the model behind the deployment; its keys are not needed."""
    written(
        offline,
        b"""[server]
api_key_envs = ["NOT_SET_HERE"]
[billing]
batch_discount = 0
[[prices]]
model = "gpt-4o"
input = "1000000"
output = "0"
[[deployments]]
name = "demo-batch"
model = "gpt-4o"
[[deployments.backends]]
echo = {}
""",
        "slackwater.toml",
    )
    written(offline, chat(1))
    done = offline("estimate", "in.jsonl", "--config", "slackwater.toml")
    assert done.returncode == 0, done.stderr
    model, requests, tokens, output, cost, currency = done.stdout.rstrip("\n").split("\t")
    assert (model, requests, output, currency) == ("demo-batch", "1", "", "USD")
    assert cost == f"{tokens}.00"
    assert "--output-tokens" in done.stderr


def test_the_time_that_the_server_took(terminal: Terminal) -> None:
    """--measured takes the rate from what the server has completed."""
    written(terminal, chat(6, model="slow-batch"))
    terminal.well("batches", "submit", "in.jsonl", "--wait")
    found = json.loads(terminal.well("estimate", "in.jsonl", "--measured", "--json"))
    assert found["requests_per_second"] > 0
    assert found["seconds"] == pytest.approx(6 / found["requests_per_second"], rel=0.1)


def test_a_line_that_cannot_be_read(offline: Terminal) -> None:
    """Split by tokens and estimate name it, and say what shows more."""
    written(offline, chat(1) + b"{broken\n")
    for words in (("split", "in.jsonl", "--tokens", "100"), ("estimate", "in.jsonl")):
        done = offline(*words)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "line 2 is no request; see 'slackwater validate in.jsonl'" in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(offline: Terminal, shell: str) -> None:
    """The script is that shell's, and what it calls knows commands, options and profiles."""
    assert "_SLACKWATER_COMPLETE" in offline.well("completion", shell)
    offline.well("profiles", "add", "work", "https://batch.example")
    for typed, expected in (
        ("slackwater val", "validate"),
        ("slackwater batches su", "submit"),
        ("slackwater batches list --pro", "--profile"),
        ("slackwater batches list --profile w", "work"),
    ):
        words = typed.split()
        # fish says what has been typed of the last word; the others, which word it is.
        asked = {"COMP_WORDS": typed, "COMP_CWORD": words[-1] if shell == "fish" else str(len(words) - 1)}
        done = subprocess.run(
            [Path(sys.executable).parent / "slackwater"],
            env=offline.environment | asked | {"_SLACKWATER_COMPLETE": f"{shell}_complete"},
            cwd=offline.directory,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert expected in done.stdout, (typed, done.stdout, done.stderr)
