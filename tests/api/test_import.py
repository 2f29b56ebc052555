"""Files from a URL, with the clients that people have: a real server fetches from a real store on this machine."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.api.conftest import CONFIG
from tests.api.test_clients import content, ended, lines
from tests.api.test_wire import AZURE, call
from tests.server import Server

SAMPLES = Path(__file__).parent.parent / "samples"
INPUT = lines(5, url="/v1/chat/completions")
SECRET = "sig=do%2Fnot%3Dtell"


class Store(ThreadingHTTPServer):
    """A store with a few files, one of which comes too slowly, and one only while `open` is set."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.open = threading.Event()
        self.asked: list[str] = []

    def url(self, name: str) -> str:
        """Where a file is, with a secret as a signed URL has one."""
        return f"http://127.0.0.1:{self.server_port}/{name}?{SECRET}"


class Handler(BaseHTTPRequestHandler):
    """Serves one file per connection."""

    server: Store

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        name, _, query = self.path[1:].partition("?")
        assert query == SECRET
        files = {"in.jsonl": INPUT, "waits.jsonl": INPUT, "large": bytes(200_000), "slow": b"x", "table.csv": b"a,b\n"}
        data = files.get(name)
        self.send_response(302 if name == "moved" else 404 if data is None else 200)
        self.send_header("Location", "/in.jsonl")
        self.send_header("Content-Length", "1000" if name == "slow" else str(len(data or b"")))
        self.end_headers()
        if name == "waits.jsonl":
            self.server.open.wait(30)
        with contextlib.suppress(ConnectionError):
            self.wfile.write(data or b"")
            if name == "slow":
                # Until the other side has had enough.
                self.rfile.read(1)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    """One store per module of tests."""
    with Store() as store:
        thread = threading.Thread(target=store.serve_forever, daemon=True)
        thread.start()
        yield store
        store.open.set()
        store.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def importing(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that may fetch from the store. A proxy of its environment, which does not exist, must not matter."""
    scratch = tmp_path_factory.mktemp("imports")
    imports = f"""
        [imports]
        enabled = true
        hosts = ["127.0.0.1:{store.server_port}"]
        allow_http = true
        allow_private_addresses = true
        bytes_max = 100_000
        timeout_seconds = 2
    """
    (scratch / "slackwater.toml").write_text(imports + CONFIG)
    proxies = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    server = Server(scratch / "slackwater.toml", scratch / "data", scratch / "server.log", proxies)
    yield server
    server.kill()


def client_of(server: Server, family: str) -> openai.OpenAI:
    """The client that a family is for."""
    url = f"http://{server.address}"
    if family == "/openai":
        return openai.AzureOpenAI(azure_endpoint=url, api_key="any", api_version="2024-10-21", max_retries=0)
    return openai.OpenAI(base_url=url + family, api_key="any", max_retries=0)


@pytest.fixture(params=["/openai", "/openai/v1", "/v1"])
def client(importing: Server, request: pytest.FixtureRequest) -> openai.OpenAI:
    """Every family's client in turn, against the server that imports."""
    return client_of(importing, request.param)


def ordered(client: openai.OpenAI, url: str, **changes: Any) -> Any:
    """The pending file of an order."""
    body = {"purpose": "batch", "filename": "in.jsonl", "content_url": url} | changes
    return client.post("/files/import", cast_to=openai.types.FileObject, body=body)


def imported(client: openai.OpenAI, url: str, **changes: Any) -> Any:
    """The file when its import has ended."""
    return client.files.wait_for_processing(ordered(client, url, **changes).id, poll_interval=0.02, max_wait_seconds=20)


@pytest.mark.contract("AVO POST /files/import")
def test_a_batch_over_an_imported_file(client: openai.OpenAI, store: Store) -> None:
    """Pending, then processed with its size; from there on it is a file like any other."""
    file = imported(client, store.url("in.jsonl"))
    assert (file.status, file.bytes, file.filename, file.purpose) == ("processed", len(INPUT), "in.jsonl", "batch")
    assert client.files.content(file.id).content == INPUT
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    done = ended(client, batch.id)
    assert done.status == "completed"
    assert len(content(client, done.output_file_id)) == 5


def test_no_url_reaches_the_log(importing: Server, store: Store) -> None:
    """Neither that of a file that comes nor that of one that does not: it may be the key to a whole store."""
    client = client_of(importing, "/openai")
    ids = [imported(client, store.url(name)).id for name in ("in.jsonl", "nothing")]
    log = (importing.data.parent / "server.log").read_text()
    for words in (f"file_imported file={ids[0]}", f"import_ended file={ids[1]}"):
        assert words in log
    assert "not%3Dtell" not in log


@pytest.mark.contract("A POST /files/import")
def test_the_recorded_answer(importing: Server, store: Store) -> None:
    """201, a Location, and the recorded body: no `bytes` while the file is pending, then no `status_details`."""
    recorded = json.loads((SAMPLES / "azure" / "file_import.exchange.json").read_text())
    body = recorded["request"]["body"] | {"content_url": store.url("in.jsonl")}
    path = "/openai/files/import?api-version=2024-10-21"
    status, headers, data = call(importing, "POST", path, json.dumps(body).encode())
    file = json.loads(data)
    assert status == recorded["status"]
    assert set(file) == set(recorded["body"])
    assert {key: file[key] for key in ("status", "purpose", "filename", "object")} == {
        key: recorded["body"][key] for key in ("status", "purpose", "filename", "object")
    }
    assert headers["location"].endswith(f"/openai/files/{file['id']}?api-version=2024-10-21")
    azure = client_of(importing, "/openai")
    assert azure.files.wait_for_processing(file["id"], poll_interval=0.02).status == "processed"
    done = json.loads(call(importing, "GET", f"/openai/files/{file['id']}?api-version=2024-10-21")[2])
    assert (done["status"], done["bytes"], "status_details" in done) == ("processed", len(INPUT), False)


def test_a_pending_file(importing: Server, store: Store) -> None:
    """It is listed, has no content yet, cannot be the input of a batch, and can be deleted."""
    client = client_of(importing, "/openai")
    store.open.clear()
    file = ordered(client, store.url("waits.jsonl"))
    assert file.id in [each.id for each in client.files.list()]
    with pytest.raises(openai.BadRequestError, match="still being imported"):
        client.files.content(file.id)
    with pytest.raises(openai.BadRequestError, match="pending"):
        client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    assert client.files.delete(file.id).deleted
    store.open.set()
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing", "status 404"),
        ("moved", "redirects"),
        ("large", "larger than the 100,000 bytes"),
        ("slow", "within 2 seconds"),
    ],
)
def test_a_file_that_does_not_come(client: openai.OpenAI, store: Store, name: str, words: str) -> None:
    """The file's status is `error`, its details say why without the URL, and it has no content."""
    file = imported(client, store.url(name))
    assert file.status == "error"
    assert words in file.status_details
    assert "sig" not in file.status_details
    with pytest.raises(openai.BadRequestError, match="could not be imported"):
        client.files.content(file.id)
    with pytest.raises(openai.APIStatusError, match="error"):
        client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")


def test_the_same_rules_as_for_uploads(importing: Server, store: Store) -> None:
    """Purposes, names and first lines are judged by the caller's family."""
    azure, plain = client_of(importing, "/openai"), client_of(importing, "/v1")
    for client in (azure, plain):
        with pytest.raises(openai.BadRequestError, match="purpose"):
            ordered(client, store.url("in.jsonl"), purpose="nonsense")
    with pytest.raises(openai.BadRequestError, match=r"Must be \.jsonl"):
        ordered(plain, store.url("in.jsonl"), filename="in.csv")
    assert imported(azure, store.url("table.csv"), filename="in.csv").status == "processed"
    refused = imported(plain, store.url("table.csv"))
    assert (refused.status, "first line" in refused.status_details) == ("error", True)
    lasting = ordered(plain, store.url("in.jsonl"))
    assert lasting.expires_at - lasting.created_at == 30 * 86_400
    short = ordered(azure, store.url("in.jsonl"), expires_after={"anchor": "created_at", "seconds": 7_200})
    assert short.expires_at - short.created_at == 7_200


@pytest.mark.parametrize("missing", ["purpose", "filename", "content_url"])
def test_what_must_be_there(client: openai.OpenAI, store: Store, missing: str) -> None:
    """All three parameters, and the one that is missing is named."""
    with pytest.raises(openai.BadRequestError) as caught:
        ordered(client, store.url("in.jsonl"), **{missing: None})
    assert caught.value.param == missing


@pytest.mark.parametrize(
    ("url", "status", "words"),
    [
        ("https://other.example/in.jsonl?sig=x", 403, "Files are not imported from 'other.example'"),
        ("https://127.0.0.1/in.jsonl?sig=x", 403, "not imported from '127.0.0.1'"),
        ("http://169.254.169.254/latest/meta-data?sig=x", 403, "not imported from '169.254.169.254'"),
        ("file:///etc/passwd?sig=x", 400, "must begin with https://"),
        ("https://me:word@127.0.0.1/?sig=x", 400, "user name"),
    ],
)
def test_urls_that_are_not_allowed(client: openai.OpenAI, store: Store, url: str, status: int, words: str) -> None:
    """Said at once, about the right parameter; no file is made and nobody is asked."""
    before = {file.id for file in client.files.list()}
    asked = len(store.asked)
    with pytest.raises(openai.APIStatusError, match=words) as caught:
        ordered(client, url)
    assert (caught.value.status_code, caught.value.param) == (status, "content_url")
    assert "sig" not in caught.value.message
    assert {file.id for file in client.files.list()} == before
    assert len(store.asked) == asked


@pytest.mark.parametrize("family", ["/openai", "/openai/v1", "/v1"])
def test_off_by_default(server: Server, store: Store, family: str) -> None:
    """403 that names the setting, whatever the body is."""
    client = client_of(server, family)
    with pytest.raises(openai.PermissionDeniedError, match=r"enabled = true under \[imports\]") as caught:
        ordered(client, store.url("in.jsonl"))
    assert caught.value.code == "forbidden"
    with pytest.raises(openai.PermissionDeniedError):
        client.post("/files/import", cast_to=object, body={})
    assert json.loads(call(server, "GET", AZURE)[2])["data"] == []


def test_a_restart_fetches_again(store: Store, tmp_path: Path) -> None:
    """A file that was pending when the service died is fetched by the next one."""
    store.open.clear()
    (tmp_path / "slackwater.toml").write_text(
        f'[imports]\nenabled = true\nhosts = ["127.0.0.1:{store.server_port}"]\nallow_http = true\n'
        "allow_private_addresses = true\n" + CONFIG
    )
    asked = len(store.asked)
    server = Server(tmp_path / "slackwater.toml", tmp_path / "data", tmp_path / "server.log")
    file_id = ordered(client_of(server, "/v1"), store.url("waits.jsonl")).id
    while len(store.asked) == asked:
        server.call("GET", f"/files/{file_id}")
    server.kill()
    store.open.set()
    server = Server(tmp_path / "slackwater.toml", tmp_path / "data", tmp_path / "server.log")
    client = client_of(server, "/v1")
    file = client.files.wait_for_processing(file_id, poll_interval=0.02, max_wait_seconds=20)
    assert (file.status, client.files.content(file_id).content) == ("processed", INPUT)
    assert server.terminate() == 0
