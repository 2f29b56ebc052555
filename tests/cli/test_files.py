"""`slackwater files` against a real server."""

import json
import subprocess

from tests.api.calls import chat
from tests.cli.conftest import Terminal


def test_upload_in_parts_and_with_an_expiry(terminal: Terminal) -> None:
    """Both ways make the same file, with the name and the life that were asked for."""
    (terminal.directory / "in.jsonl").write_bytes(chat(3))
    for way in ((), ("--parts",)):
        words = ("files", "upload", "in.jsonl", "--name", "other.jsonl", "--expires", "7200", "--json", *way)
        made = json.loads(terminal.well(*words))
        assert (made["filename"], made["bytes"], made["purpose"]) == ("other.jsonl", len(chat(3)), "batch")
        assert made["expires_at"] == made["created_at"] + 7200
        assert terminal.well("files", "download", made["id"], "-o", "-") == chat(3).decode().strip()


def test_a_download_has_the_files_own_name(terminal: Terminal) -> None:
    """Without --output; never a path out of the directory; and nothing is replaced unasked."""
    (terminal.directory / "in.jsonl").write_bytes(chat(1))
    file_id = terminal.well("files", "upload", "in.jsonl", "--name", "../../etc/answers.jsonl")
    assert terminal.well("files", "download", file_id) == "answers.jsonl"
    assert (terminal.directory / "answers.jsonl").read_bytes() == chat(1)
    again = terminal("files", "download", file_id)
    assert (again.returncode, "answers.jsonl exists" in again.stderr) == (2, True)


def test_delete_says_what_was_not_there(terminal: Terminal) -> None:
    """All are tried; one that was refused is an exit code of 1, one that was gone already is said."""
    (terminal.directory / "in.jsonl").write_bytes(chat(1))
    file_id = terminal.well("files", "upload", "in.jsonl")
    terminal.well("files", "delete", file_id)
    done = terminal("files", "delete", file_id)
    assert (done.returncode, f"{file_id} was not there" in done.stderr) == (0, True)
    url = terminal.environment["SLACKWATER_URL"]
    refused = terminal("files", "delete", file_id, "--server", f"{url}/v1")
    assert (refused.returncode, "HTTP 404" in refused.stderr) == (1, True)


def test_a_reader_that_has_seen_enough(terminal: Terminal) -> None:
    """`| head` ends a download quietly."""
    (terminal.directory / "in.jsonl").write_bytes(chat(20_000))
    file_id = terminal.well("files", "upload", "in.jsonl")
    command = terminal.command("files", "download", file_id, "-o", "-")
    download = subprocess.Popen(
        command, cwd=terminal.directory, env=terminal.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert download.stdout is not None
    assert download.stderr is not None
    assert download.stdout.readline().startswith(b'{"custom_id": "task-0"')
    download.stdout.close()
    assert download.stderr.read() == b""
    assert download.wait(30) == 1
    download.stderr.close()
