"""What the command line does when a server is slow, busy, broken, or somebody else's."""

import json
from pathlib import Path

import pytest

from slackwater.cli.server_options import Asked
from slackwater.cli.watching import follow
from slackwater.client.api import Api
from slackwater.client.connection import Connection
from slackwater.client.downloading import download
from slackwater.client.target import target_of
from slackwater.client.uploading import upload
from slackwater.core.errors import CallFailed, ServerUnreachable
from tests.cli.conftest import Terminal
from tests.cli.scripted import Call, Reply, scripted

BATCH = {"id": "batch_1", "object": "batch", "status": "validating", "created_at": 1}
LOST = Reply(cut=-1)
BUSY = Reply.of({"error": {"message": "busy"}}, 429, Retry_After="0")


def api(url: str, dialect: str = "slackwater") -> Api:
    """A client without a terminal."""
    return Api(Connection(target_of(url, dialect=dialect, key="k")))


def create(client: Api) -> str:
    made = client.create_batch(input_file_id="file-1", endpoint="/v1/chat/completions", window="24h", metadata=None)
    return str(made["id"])


def test_a_busy_server_is_asked_again() -> None:
    """429 with Retry-After is waited for, also for a create: it was not begun."""
    with scripted(lambda call: BUSY if call.number < 2 else Reply.of(BATCH)) as server:
        assert create(api(server.url, "openai")) == "batch_1"
        assert len(server.calls) == 3


def test_a_lost_create_is_repeated_under_its_key_where_that_is_safe() -> None:
    """Our servers get the same Idempotency-Key again, and so make one batch of all attempts."""
    with scripted(lambda call: LOST if call.number == 0 else Reply.of(BATCH)) as server:
        assert create(api(server.url)) == "batch_1"
        keys = {call.headers["idempotency-key"] for call in server.calls}
        assert (len(server.calls), len(keys)) == (2, 1)


@pytest.mark.parametrize("dialect", ["azure", "azure-v1", "openai"])
@pytest.mark.parametrize("trouble", [LOST, Reply.of({"error": {"message": "oh"}}, 503)])
def test_a_lost_create_is_not_repeated_elsewhere(dialect: str, trouble: Reply) -> None:
    """Two batches would cost twice: who cannot tell is asked to look."""
    with scripted(lambda call: trouble) as server:
        with pytest.raises(CallFailed):
            create(api(server.url, dialect))
        assert len(server.calls) == 1


def test_a_lost_look_is_repeated() -> None:
    """Reading twice does no harm, with any server."""
    with scripted(lambda call: LOST if call.number == 0 else Reply.of(BATCH)) as server:
        assert api(server.url, "azure").batch("batch_1")["id"] == "batch_1"
        assert server.calls[1].path == "/openai/batches/batch_1?api-version=2024-10-21"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": {"message": "No\\n such thing", "code": "gone"}}', "No such thing [HTTP 410, gone, request r-1]"),
        (b'{"error": "plain"}', "plain [HTTP 410, request r-1]"),
        (b"<html><h1>proxy</h1></html>", "Gone [HTTP 410, request r-1]"),
        (b"\x1b[31mred", "\x1b[31mred [HTTP 410, request r-1]"),
        (b"[" * 100_000, "HTTP 410"),
    ],
)
def test_errors_are_one_line(body: bytes, words: str) -> None:
    """Whatever a server or a proxy sends becomes one line with the status and the request's id."""
    with scripted(lambda call: Reply(body, 410, {"x-request-id": "r-1"})) as server:
        with pytest.raises(CallFailed) as failed:
            api(server.url).batch("batch_1")
    assert words in failed.value.message
    assert "\n" not in failed.value.message


def test_a_terminal_obeys_no_server(offline: Terminal) -> None:
    """What a server says is printed without what a terminal would take for orders."""
    with scripted(lambda call: Reply(b"\x1b]0;title\x07", 410)) as server:
        done = offline("batches", "show", "b", "--server", server.url)
    assert done.returncode == 1
    assert "\x1b" not in done.stderr
    assert "\x07" not in done.stderr


def test_a_redirect_is_not_followed() -> None:
    """The key must not go to wherever a server points; the user is told the address instead."""
    with scripted(lambda call: Reply(b"", 307, {"Location": "http://elsewhere.example/"})) as server:
        with pytest.raises(CallFailed, match=r"http://elsewhere\.example/"):
            api(server.url).batch("batch_1")
        assert len(server.calls) == 1


def test_not_a_batch_api() -> None:
    """HTML with status 200, as a web server on that port has it, is named as what it is."""
    with scripted(lambda call: Reply(b"<html>")) as server:
        with pytest.raises(CallFailed, match="did not answer with JSON"):
            api(server.url).batch("batch_1")


@pytest.mark.parametrize(
    ("status", "body"), [(404, b'{"detail": "Not Found"}'), (404, b"404 page not found"), (405, b""), (501, b"<html>")]
)
def test_an_engine_is_no_batch_api(offline: Terminal, status: int, body: bytes) -> None:
    """Somebody who names the engine is told so, whatever words it refuses in, for lists and for single things."""
    with scripted(lambda call: Reply(body, status)) as server:
        for command in (["batches", "list"], ["batches", "show", "b"], ["files", "upload", "in.jsonl"]):
            (offline.directory / "in.jsonl").write_text("{}")
            done = offline(*command, "--server", server.url)
            assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
            assert f"{server.url} does not look like a batch API" in done.stderr


def test_a_thing_that_is_not_there_is_no_wrong_address(offline: Terminal) -> None:
    """A batch API that has no such batch says so in its own words, and nothing is added."""
    gone = {"error": {"message": "No such batch", "code": "NotFound"}}
    with scripted(lambda call: Reply.of(gone, 404)) as server:
        done = offline("batches", "show", "b", "--server", server.url)
        assert done.stderr == "error: No such batch [HTTP 404, NotFound]\n"
        listed = offline("batches", "list", "--server", server.url)
        assert "does not look like a batch API" in listed.stderr


def test_trying_again_is_said() -> None:
    """Once for a call, where it takes longer than a moment; the error itself is said at the end."""
    said: list[str] = []
    with scripted(lambda call: Reply(b"", 502) if call.number < 4 else Reply.of(BATCH)) as server:
        client = Api(Connection(target_of(server.url, dialect="openai", key="k"), say=said.append))
        assert client.batch("batch_1")["id"] == "batch_1"
    assert said == ["Bad Gateway [HTTP 502] (trying again)"]


def test_a_wrong_key_says_where_it_came_from(offline: Terminal) -> None:
    """The server's words do not tell which of several keys was sent where: the variable or profile, never the key."""
    refused = Reply.of({"error": {"message": "Access denied", "code": "401"}}, 401)
    with scripted(lambda call: refused) as server:
        variable = offline("batches", "list", "--server", server.url, SLACKWATER_API_KEY="wrong-key")
        where = f"(the key is that of the environment variable SLACKWATER_API_KEY, sent to {server.url}) [HTTP 401]"
        assert variable.stderr == f"error: Access denied {where}\n"
        offline.well("profiles", "add", "work", server.url, "--api-key-env", "WORK_KEY", "--use")
        used = offline("batches", "list", WORK_KEY="wrong-key")
        assert "the environment variable WORK_KEY (profile 'work')" in used.stderr
        offline.well("profiles", "add", "other", server.url, "--api-key-command", "echo wrong-key")
        asked = offline("batches", "list", "--profile", "other")
        assert "that of api_key_command (profile 'other')" in asked.stderr
        assert "wrong-key" not in variable.stderr + used.stderr + asked.stderr


AZURES = "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key."


def test_a_key_that_is_not_known_is_no_subscription(offline: Terminal) -> None:
    """Our servers use Azure's words for a wrong key; here it is said what is wrong, and at engines which key they need."""
    refused = Reply.of({"error": {"message": AZURES, "code": "401"}}, 401)
    with scripted(lambda call: refused) as server:
        listed = offline("batches", "list", "--server", server.url, SLACKWATER_API_KEY="wrong-key")
        assert listed.stderr.startswith("error: the server does not know the key (the key is that of the environment")
        for words in (("pace", "e", "strict"), ("list",), ("show", "e"), ("pause", "e"), ("try", "e")):
            done = offline("engines", *words, "--server", server.url, SLACKWATER_API_KEY="wrong-key")
            assert (done.returncode, done.stderr.count("\n")) == (1, 1)
            assert "does not know the key of the environment variable SLACKWATER_API_KEY [HTTP 401]" in done.stderr
            assert "one of its api_key_envs; set SLACKWATER_API_KEY to it" in done.stderr
            assert "subscription" not in done.stderr
        keyless = offline("engines", "pace", "e", "strict", "--server", server.url)
        assert "lets nobody in without a key [HTTP 401]" in keyless.stderr


def test_engines_of_a_server_of_another_kind(offline: Terminal) -> None:
    """It has none: nothing is sent there, a key least of all."""
    with scripted(lambda call: Reply.of({}, 500)) as server:
        offline.well(
            "profiles", "add", "vendor", server.url, "--dialect", "azure", "--api-key-env", "AZURE_OPENAI_API_KEY"
        )
        done = offline("engines", "pace", "e", "strict", "--profile", "vendor", AZURE_OPENAI_API_KEY="k")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "is spoken to as azure, and engines are those of a Slackwater server" in done.stderr
        assert not server.calls


def test_a_broken_download_goes_on_where_it_was(tmp_path: Path) -> None:
    """The rest is asked for with Range; the file has its name only when it is whole."""
    content = bytes(range(256)) * 4096

    def script(call: Call) -> Reply:
        start = int(call.headers.get("range", "bytes=0-")[6:-1])
        headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        return Reply(content[start:], 206 if start else 200, headers, 300_000 if call.number < 2 else None)

    seen: list[int] = []
    with scripted(script) as server:
        target = tmp_path / "out.jsonl"
        download(api(server.url).connection, "file-1", target, show=lambda done, total: seen.append(total))
        asked = [call.headers.get("range") for call in server.calls]
    assert target.read_bytes() == content
    assert asked == [None, "bytes=300000-", "bytes=600000-"]
    assert set(seen) == {len(content)}
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_a_download_without_ranges_begins_again(tmp_path: Path) -> None:
    """A server that sends the whole file again is believed, and nothing is twice in it."""
    content = b"0123456789" * 1000
    with scripted(lambda call: Reply(content, cut=5000 if call.number == 0 else None)) as server:
        download(api(server.url, "openai").connection, "file-1", tmp_path / "out", show=lambda done, total: None)
    assert (tmp_path / "out").read_bytes() == content


def test_an_interrupted_download_is_continued_by_the_next(tmp_path: Path) -> None:
    """What an earlier command left is used where it fits, and thrown away where it does not."""
    content = b"0123456789" * 1000

    def script(call: Call) -> Reply:
        start = int(call.headers.get("range", "bytes=0-")[6:-1])
        if start > len(content):
            return Reply(b"", 416, {"Content-Range": f"bytes */{len(content)}"})
        headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        return Reply(content[start:], 206 if start else 200, headers)

    with scripted(script) as server:
        for left in (content[:4000], content + b"too much"):
            (tmp_path / "out.file-1.part").write_bytes(left)
            download(api(server.url).connection, "file-1", tmp_path / "out")
            assert (tmp_path / "out").read_bytes() == content
        assert [call.headers.get("range") for call in server.calls] == ["bytes=4000-", "bytes=10008-", None]


def test_an_upload_that_broke_off_is_repeated_from_its_beginning(tmp_path: Path) -> None:
    """429 costs a second sending of all of it; the form has purpose, name and bytes."""
    (tmp_path / "in.jsonl").write_bytes(b"x" * 300_000)
    with scripted(lambda call: BUSY if call.number == 0 else Reply.of({"id": "file-1"})) as server:
        assert upload(api(server.url).connection, tmp_path / "in.jsonl")["id"] == "file-1"
        assert [call.body.count(b"x" * 300_000) for call in server.calls] == [1, 1]
        assert b'filename="in.jsonl"' in server.calls[1].body
        assert b'name="purpose"\r\n\r\nbatch' in server.calls[1].body


def test_an_upload_that_may_have_arrived_is_not_repeated(tmp_path: Path) -> None:
    """Otherwise there would be a file that nobody knows of."""
    (tmp_path / "in.jsonl").write_bytes(b"x" * 1000)
    with scripted(lambda call: LOST) as server:
        with pytest.raises(ServerUnreachable):
            upload(api(server.url).connection, tmp_path / "in.jsonl")
        assert len(server.calls) == 1


def test_waiting_survives_a_server_that_is_away(offline: Terminal) -> None:
    """A look that fails in the middle is said once, and the waiting goes on to the end."""
    ended = BATCH | {
        "status": "completed",
        "completed_at": 3,
        "request_counts": {"total": 1, "completed": 1, "failed": 0},
    }

    def script(call: Call) -> Reply:
        if call.number == 0:
            return Reply.of(BATCH)
        away = Reply.of({"error": {"message": "restarting"}}, 503, x_should_retry="false")
        return away if call.number < 3 else Reply.of(ended)

    with scripted(script) as server:
        done = offline("batches", "watch", "batch_1", "--server", server.url)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("restarting") == 1
    assert "waiting for it" in done.stderr


def test_waiting_begins_while_a_server_is_away(offline: Terminal) -> None:
    """Its ledger is not there when somebody looks for the first time: that is no reason to give up on the batch."""
    counts = {"total": 1, "completed": 1, "failed": 0}
    ended = BATCH | {"status": "completed", "completed_at": 3, "request_counts": counts}

    def script(call: Call) -> Reply:
        away = Reply.of({"error": {"message": "no ledger"}}, 503, x_should_retry="false")
        return away if call.number < 2 else Reply.of(ended)

    with scripted(script) as server:
        done = offline("batches", "watch", "batch_1", "--server", server.url)
    assert done.returncode == 0, done.stderr
    assert "no ledger [HTTP 503] (waiting for it)" in done.stderr


def test_who_gives_up_waiting_hears_how_to_go_on() -> None:
    """A server that stays away for longer than anybody waits has not ended the batch."""
    away = Reply.of({"error": {"message": "no ledger"}}, 503, x_should_retry="false")
    asked = Asked(server="http://there", profile=None, api_key_env=None, as_json=False)
    with scripted(lambda call: away) as server, pytest.MonkeyPatch.context() as patched:
        patched.setattr("slackwater.cli.watching.PATIENCE_SECONDS", -1.0)
        heard: list[str] = []
        patched.setattr("slackwater.cli.watching.note", heard.append)
        with pytest.raises(CallFailed, match="no ledger"):
            follow(api(server.url), {"id": "batch_1"}, asked=asked, output=Path("a.jsonl"), quiet=True)
    again = "slackwater batches watch batch_1 --output a.jsonl --server http://there"
    assert heard == [f"the batch goes on; to wait for it again: {again}"]


def test_lists_end_where_the_server_does_not_say_so(offline: Terminal) -> None:
    """Azure's dated lists of files have no `has_more`: one page is all."""
    with scripted(lambda call: Reply.of({"object": "list", "data": [{"id": "file-1", "filename": "\ta\n"}]})) as server:
        listed = offline.well("files", "list", "--all", "--server", f"{server.url}/openai", "--json")
        plain = offline.well("files", "list", "--server", server.url)
        assert len(server.calls) == 2
    assert json.loads(listed)[0]["id"] == "file-1"
    assert plain == "file-1\t a"
