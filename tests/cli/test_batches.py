"""`slackwater batches` against a real server, in each dialect that it speaks."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.api.calls import Caller, chat
from tests.cli.conftest import KEY, Terminal
from tests.server import Server


@pytest.fixture(params=["slackwater", "azure", "azure-v1", "openai"])
def dialect(terminal: Terminal, request: pytest.FixtureRequest) -> str:
    """The same server under a profile of each dialect."""
    url = terminal.environment.pop("SLACKWATER_URL")
    name: str = request.param
    terminal.well("profiles", "add", name, url, "--dialect", name)
    return name


def questions(terminal: Terminal, count: int = 3, *, model: str = "demo-batch", name: str = "in.jsonl") -> Path:
    """An input file in the terminal's directory."""
    path = terminal.directory / name
    path.write_bytes(chat(count, model=model))
    return path


def input_files(server: Server) -> list[str]:
    """The ids of all that was uploaded; results of other tests' batches do not count."""
    return [
        each["id"] for each in Caller(server, "openai", key=KEY)("GET", "/files", query="purpose=batch").json["data"]
    ]


def ids(path: Path) -> list[str]:
    return sorted(json.loads(line)["custom_id"] for line in path.read_bytes().splitlines())


def test_the_whole_road_in_each_dialect(terminal: Terminal, dialect: str) -> None:
    """Submit prints an id and nothing else; watch, show, list, download and the files say the same in every dialect."""
    questions(terminal)
    batch_id = terminal.well("batches", "submit", "in.jsonl", "--name", "tides, week 12", "--metadata", "job=nightly")
    assert batch_id.startswith("batch_")
    terminal.well("batches", "watch", batch_id)
    batch = json.loads(terminal.well("batches", "show", batch_id, "--json"))
    assert (batch["status"], batch["metadata"]) == ("completed", {"name": "tides, week 12", "job": "nightly"})
    assert batch["request_counts"] == {"total": 3, "completed": 3, "failed": 0}

    first = terminal.well("batches", "list", "--limit", "1").split("\t")
    assert first[:5] == [batch_id, "completed", "3", "0", "3"]
    # The vendors do not say which deployment it was.
    assert first[8:] == [
        "",
        "in.jsonl",
        "demo-batch" if dialect == "slackwater" else "",
        "tides, week 12",
        "job=nightly",
    ]

    assert terminal.well("batches", "download", batch_id) == f"{batch_id}.jsonl"
    assert ids(terminal.directory / f"{batch_id}.jsonl") == ["task-0", "task-1", "task-2"]
    # Azure's dated dialect makes an empty error file; nobody wants to look into one to see that nothing failed.
    assert not (terminal.directory / f"{batch_id}.errors.jsonl").exists()
    file_id = batch["input_file_id"]
    assert terminal.well("files", "download", file_id, "-o", "-") == chat(3).decode().strip()
    terminal.well("files", "delete", file_id)
    assert file_id not in terminal.well("files", "list", "--all")


def test_jobs_are_told_apart(terminal: Terminal) -> None:
    """By a name, or else by the input file's; and found by their metadata. Two names are none."""
    questions(terminal, name="monday.jsonl")
    named = terminal.well("batches", "submit", "monday.jsonl", "--name", "Prices", "--metadata", "week=told-apart")
    unnamed = terminal.well("batches", "submit", "monday.jsonl", "--metadata", "week=told-apart")
    rows = terminal.well("batches", "list", "--metadata", "week=told-apart").splitlines()
    told = [(row.split("\t")[0], row.split("\t")[9:]) for row in rows]
    assert told == [
        (unnamed, ["monday.jsonl", "demo-batch", "", "week=told-apart"]),
        (named, ["monday.jsonl", "demo-batch", "Prices", "week=told-apart"]),
    ]
    only = ("batches", "list", "--metadata", "week=told-apart", "--metadata", "name=Prices")
    assert terminal.well(*only).split("\t")[0] == named
    twice = terminal("batches", "submit", "monday.jsonl", "--name", "a", "--metadata", "name=b")
    assert (twice.returncode, twice.stderr) == (2, "error: --name a and --metadata name=b are two names; give one\n")
    assert "goes without" in terminal("batches", "submit", "--blob", "u", "--folder", "v", "--name", "x").stderr


def test_output_implies_waiting(terminal: Terminal) -> None:
    """Answers go to OUTPUT; without a failed line there is no error file, and the exit code is 0."""
    questions(terminal, 5)
    done = terminal("batches", "submit", "in.jsonl", "--output", "out.jsonl")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "completed" in done.stderr
    assert len(ids(terminal.directory / "out.jsonl")) == 5
    assert sorted(path.name for path in terminal.directory.glob("*.jsonl*")) == ["in.jsonl", "out.jsonl"]


def test_failed_lines_are_an_exit_code(terminal: Terminal) -> None:
    """Exit code 1, the error file beside the output, an empty output, and what to type to try again, which works."""
    questions(terminal, 4, model="failing-batch")
    done = terminal("batches", "submit", "in.jsonl", "-o", "out.jsonl")
    assert done.returncode == 1
    assert "4 requests failed; see out.errors.jsonl" in done.stderr
    assert ids(terminal.directory / "out.errors.jsonl") == [f"task-{number}" for number in range(4)]
    assert (terminal.directory / "out.jsonl").read_bytes() == b""
    words = done.stderr.split("slackwater batches retry ")[1].split()
    again = json.loads(terminal.well("batches", "retry", words[0], "--json"))
    assert again["metadata"]["retry_of"] == words[0]


def test_an_invalid_file_goes_nowhere(terminal: Terminal, server: Server) -> None:
    """It is refused before anything is uploaded, with line and reason, and exit code 1."""
    (terminal.directory / "in.jsonl").write_bytes(chat(2) + b"{broken\n")
    before = input_files(server)
    done = terminal("batches", "submit", "in.jsonl")
    assert done.returncode == 1
    assert done.stdout.startswith("3\tinvalid_json_line\t")
    assert "nothing was sent" in done.stderr
    assert input_files(server) == before


def test_the_server_has_the_last_word(terminal: Terminal) -> None:
    """What is only wrong there (no such deployment) shows with its line when it has been validated; exit code 1."""
    questions(terminal, 2, model="not-there")
    done = terminal("batches", "submit", "in.jsonl", "--wait", "--no-check")
    assert done.returncode == 1
    assert "line 1: model_not_found" in done.stderr


def test_a_deployment_that_is_not_there(terminal: Terminal, server: Server) -> None:
    """It is seen before anything is uploaded, whether the file or the command names it, and the names that are there are said."""
    questions(terminal, 2, model="not-there")
    before = input_files(server)
    named = terminal("batches", "submit", "in.jsonl")
    assert named.returncode == 1
    assert named.stderr.startswith(
        "error: the file names the model 'not-there', and there is no such deployment; there are "
    )
    given = terminal("batches", "submit", "in.jsonl", "--deployment", "demo-bacht")
    assert given.returncode == 1
    assert given.stderr.startswith("error: there is no deployment 'demo-bacht'; there are demo-batch, ")
    assert named.stderr.count("\n") == given.stderr.count("\n") == 1
    assert input_files(server) == before


def test_a_model_that_a_vendor_does_not_list(terminal: Terminal, server: Server) -> None:
    """Not all that works is listed there: it is said, and tried."""
    url = terminal.environment.pop("SLACKWATER_URL")
    terminal.well("profiles", "add", "vendor", url, "--dialect", "openai", "--use")
    questions(terminal, 2, model="not-there")
    done = terminal("batches", "submit", "in.jsonl", "--wait")
    assert "no such model in the list of" in done.stderr
    assert "line 1: model_not_found" in done.stderr


def test_an_address_is_no_endpoint(terminal: Terminal, server: Server) -> None:
    """One line, with the path that was probably meant."""
    questions(terminal)
    done = terminal("batches", "submit", "in.jsonl", "--endpoint", "http://127.0.0.1:8080/v1/chat/completions")
    assert done.returncode == 2
    assert done.stderr == (
        "error: --endpoint is a path, such as /v1/chat/completions, and no address; "
        "the address of the server goes to --server\n"
    )


def test_a_refused_create_leaves_no_file(terminal: Terminal, server: Server) -> None:
    """The file that was uploaded for it is deleted again, and the server's words have the request's id."""
    questions(terminal)
    before = input_files(server)
    done = terminal("batches", "submit", "in.jsonl", "--window", "1h")
    assert done.returncode == 1
    assert "completion_window" in done.stderr
    assert "[HTTP 400, " in done.stderr
    assert "request " in done.stderr
    assert done.stderr.count("\n") == 1
    assert input_files(server) == before


def test_a_deployment_for_every_line(terminal: Terminal) -> None:
    """--deployment sets the model and --number the missing ids; nothing else of a line changes, and the file stays as it is."""
    line = (
        b'{"method": "POST", "url": "/v1/chat/completions", "body": {"messages": [{"role": "user", "content": "\\u00e9"}], '
        b'"beyond": 12345678901234567890123, "model": "other", "temperature": 1.0}}\n'
    )
    (terminal.directory / "in.jsonl").write_bytes(line + b"\n" + line)
    words = ("--deployment", "demo-batch", "--number", "--wait", "--json")
    batch = json.loads(terminal.well("batches", "submit", "in.jsonl", *words))
    sent = terminal.well("files", "download", batch["input_file_id"], "-o", "-").split("\n")
    assert (terminal.directory / "in.jsonl").read_bytes() == line + b"\n" + line
    assert [json.loads(each)["custom_id"] for each in sent if each] == ["line-1", "line-3"]
    assert '"beyond":12345678901234567890123,"model":"demo-batch","temperature":1.0' in sent[0]
    assert r'"content": "\u00e9"' in sent[0]


def test_results_are_not_replaced_unasked(terminal: Terminal) -> None:
    """It is said before the upload and not after hours; --overwrite replaces."""
    questions(terminal)
    (terminal.directory / "out.errors.jsonl").write_text("precious")
    done = terminal("batches", "submit", "in.jsonl", "-o", "out.jsonl")
    assert (done.returncode, "out.errors.jsonl exists" in done.stderr) == (2, True)
    terminal.well("batches", "submit", "in.jsonl", "-o", "out.jsonl", "--overwrite")
    assert len(ids(terminal.directory / "out.jsonl")) == 3


def test_standard_input(terminal: Terminal) -> None:
    """What comes down a pipe is submitted and uploaded as a file is; what is wrong with it is said of standard input."""
    questions(terminal, 3)

    def piped(text: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            terminal.command(*words),
            cwd=terminal.directory,
            env=terminal.environment,
            input=text,
            capture_output=True,
            text=True,
            timeout=90,
        )

    lines = (terminal.directory / "in.jsonl").read_text()
    done = piped(lines, "batches", "submit", "-", "--output", "out.jsonl", "--deployment", "demo-batch", "--number")
    assert done.returncode == 0, done.stderr
    assert len(ids(terminal.directory / "out.jsonl")) == 3
    uploaded = piped(lines, "files", "upload", "-")
    assert uploaded.returncode == 0, uploaded.stderr
    shown = json.loads(terminal.well("files", "show", uploaded.stdout.strip(), "--json"))
    assert (shown["filename"], shown["bytes"]) == ("stdin.jsonl", len(lines))
    wrong = piped("{}\n", "batches", "submit", "-")
    assert wrong.returncode == 1
    assert "standard input is invalid" in wrong.stderr


def test_ctrl_c_ends_the_waiting_and_not_the_batch(terminal: Terminal, server: Server) -> None:
    """Exit code 130 and the line that goes on waiting; the batch runs on, and can be cancelled."""
    questions(terminal, 2, model="stuck-batch")
    command = terminal.command("batches", "submit", "in.jsonl", "--output", "out.jsonl")
    waiting = subprocess.Popen(
        command, cwd=terminal.directory, env=terminal.environment, stderr=subprocess.PIPE, text=True
    )
    assert waiting.stderr is not None
    told = waiting.stderr.readline()
    batch_id = told.removeprefix("created ").strip()
    while "in_progress" not in told:
        told = waiting.stderr.readline()
        assert told
    waiting.send_signal(signal.SIGINT)
    _, rest = waiting.communicate(timeout=30)
    assert waiting.returncode == 130
    assert f"slackwater batches watch {batch_id} --output out.jsonl" in rest
    assert json.loads(terminal.well("batches", "show", batch_id, "--json"))["status"] == "in_progress"
    done = terminal("batches", "download", batch_id)
    assert (done.returncode, "no results yet" in done.stderr) == (2, True)
    assert terminal.well("batches", "cancel", batch_id, "--wait") == batch_id
    watched = terminal("batches", "watch", batch_id)
    assert watched.returncode == 1
    assert "cancelled" in watched.stderr
    assert "2 requests never ran" in watched.stderr


def test_no_such_batch(terminal: Terminal) -> None:
    """One line with the server's words, the status and the request's id; exit code 1."""
    done = terminal("batches", "show", "batch_nope")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "batch_nope" in done.stderr
    assert "HTTP 404" in done.stderr


def test_a_wrong_key_and_none(terminal: Terminal) -> None:
    """Both are one line; without a key it says which variable to set."""
    assert "HTTP 401" in terminal("batches", "list", SLACKWATER_API_KEY="wrong").stderr
    done = terminal("batches", "list", SLACKWATER_API_KEY="")
    assert (done.returncode, "set SLACKWATER_API_KEY" in done.stderr) == (1, True)
    named = terminal("batches", "list", "--api-key-env", "SURELY_NOT_SET")
    assert (named.returncode, "SURELY_NOT_SET is not set" in named.stderr) == (2, True)


def test_nobody_there(offline: Terminal) -> None:
    """One line that says what to look at."""
    done = offline("batches", "list", "--server", "http://127.0.0.1:9")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "nothing answers at http://127.0.0.1:9" in done.stderr


def test_deployments_and_usage(terminal: Terminal) -> None:
    """What can be asked, with quotas for an administrator; and what was used, as the server says it."""
    questions(terminal)
    terminal.well("batches", "submit", "in.jsonl", "--wait")
    rows = [line.split("\t") for line in terminal.well("deployments", "list").splitlines()]
    assert ["demo-batch", "demo-batch", "GlobalBatch", "Succeeded", "0", "none", "1", "ok"] in rows
    assert "properties.model.name\tdemo-batch" in terminal.well("deployments", "show", "demo-batch")
    url = terminal.environment["SLACKWATER_URL"]
    models = terminal.well("deployments", "list", "--server", f"{url}/v1").splitlines()
    assert "demo-batch" in [line.split("\t")[0] for line in models]
    usage = terminal.well("usage", "--server", url, "--group-by", "deployment").splitlines()
    assert usage[0].startswith("deployment,requests,input_tokens")
    (row,) = json.loads(terminal.well("usage", "--server", url, "--group-by", "", "--json"))
    assert row["requests"] >= 3
    assert row["currency"] == "USD"
    assert terminal("usage", "--server", url, "--resource", "x").returncode == 2


def test_a_blob_instead_of_a_file(terminal: Terminal, server: Server) -> None:
    """Nothing is uploaded or downloaded, and the end says where the results are."""
    storage = server.data.parent
    (storage / "in.jsonl").write_bytes(chat(3))
    words = ("batches", "submit", "--blob", f"file://{storage}/in.jsonl", "--folder", f"file://{storage}/out", "--wait")
    done = terminal(*words)
    assert done.returncode == 0, done.stderr
    said = next(line for line in done.stderr.splitlines() if line.startswith("output: "))
    assert ids(Path(said.removeprefix("output: file://"))) == ["task-0", "task-1", "task-2"]
    assert terminal.well("batches", "list", "--limit", "1").split("\t")[7:10] == ["in.jsonl", "", "in.jsonl"]


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--blob", "s3://box/in.jsonl"),
        ("--folder", "s3://box/out"),
        ("in.jsonl", "--blob", "s3://box/in.jsonl", "--folder", "s3://box/out"),
        ("--blob", "s3://box/in.jsonl", "--folder", "s3://box/out", "--output", "out.jsonl"),
    ],
)
def test_neither_file_nor_blob(terminal: Terminal, words: tuple[str, ...]) -> None:
    """One line says what goes together."""
    questions(terminal)
    done = terminal("batches", "submit", *words)
    assert done.returncode == 2
    assert "--blob" in done.stderr
