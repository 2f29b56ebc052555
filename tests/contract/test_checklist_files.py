"""Points of the contract's checklist (spec, Appendix A) about doors, files, lists and uploads, in all three families."""

from collections.abc import Iterator

import pytest

from tests.contract.exchange import House, call, form
from tests.server import Server

KEY = "right-key"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that wants a key."""
    scratch = tmp_path_factory.mktemp("locked")
    (scratch / "slackwater.toml").write_text(
        '[server]\napi_key_envs = ["CONTRACT_KEY"]\n[[deployments]]\nname = "quick"\n[[deployments.backends]]\necho = {}\n'
    )
    server = Server(
        scratch / "slackwater.toml", scratch / "data", scratch / "server.log", environment={"CONTRACT_KEY": KEY}
    )
    yield server
    server.kill()


@pytest.mark.contract("A.1", "AVO GET /files", "AVO GET /batches", "AVO GET /models")
def test_prefixes_and_slashes(house: House) -> None:
    """Each family is there, with a slash at the end of a path and without; the answer is the same, and never a redirect."""
    house.begin(house.chat(1))
    for path in ("/files", "/batches", "/models"):
        plain, slashed = house.call("GET", path), house.call("GET", f"{path}/")
        assert (plain.status, slashed.status) == (200, 200)
        assert plain.json.keys() == slashed.json.keys()


@pytest.mark.contract("A.2")
@pytest.mark.parametrize(
    ("family", "headers"),
    [
        ("A", {"api-key": KEY}),
        ("A", {"Authorization": f"Bearer {KEY}"}),
        ("V", {"API-KEY": KEY}),
        ("V", {"Authorization": f"Bearer {KEY}"}),
        ("O", {"authorization": f"Bearer {KEY}"}),
    ],
)
def test_keys(locked: Server, family: str, headers: dict[str, str]) -> None:
    """A key comes as `api-key` or as a bearer token, and as a bearer token from OpenAI's clients; a wrong one is 401."""
    house = House(locked, family)
    house.key = headers
    assert house.call("GET", "/files").status == 200
    house.key = {name: value.replace(KEY, "wrong") for name, value in headers.items()}
    assert house.call("GET", "/files").status == 401
    house.key = {}
    assert house.call("GET", "/files").status == 401


@pytest.mark.contract("A.4", "AVO POST /files")
@pytest.mark.parametrize("name", ['filename="in.jsonl"', "filename=in.jsonl", 'filename="in"'])
def test_uploads_of_every_client(house: House, name: str) -> None:
    """The file before its purpose, names with quotes and without, a name without an ending, and lines that end in CRLF."""
    data = house.chat(2).replace(b"\n", b"\r\n")
    body, headers = form((f"form-data; name=file; {name}", data), ("form-data; name=purpose", b"batch"))
    answer = house.call("POST", "/files", body, headers=headers)
    assert (answer.status, answer.json["bytes"]) == (201 if house.family == "A" else 200, len(data))
    batch = house.until(house.create(answer.json["id"]).json["id"])
    assert (batch["status"], batch["request_counts"]["completed"]) == ("completed", 2)


@pytest.mark.contract("A.4", "AVO POST /files")
@pytest.mark.parametrize("spelling", ["expires_after[{}]", "expires_after.{}"])
def test_both_spellings_of_an_expiry(house: House, spelling: str) -> None:
    """With brackets, as OpenAI's clients write it, and with a dot, as Azure's do."""
    fields = {spelling.format("anchor"): "created_at", spelling.format("seconds"): "1209600"}
    file = house.upload(house.chat(1), fields=fields).json
    assert file["expires_at"] - file["created_at"] == 1_209_600


@pytest.mark.contract("A.6", "AVO DELETE /files/{file_id}")
def test_deleting_twice(house: House) -> None:
    """Azure's families say `deleted: false` the second time, OpenAI says that there is none."""
    file_id = house.file(house.chat(1))
    first, second = (house.call("DELETE", f"/files/{file_id}") for _ in range(2))
    assert (first.status, first.json["deleted"]) == (200, True)
    if house.family == "O":
        assert second.status == 404
    else:
        assert (second.status, second.json["deleted"]) == (200, False)


@pytest.mark.contract("A.7", "AVO GET /files", "AVO GET /batches")
def test_pages(house: House) -> None:
    """Three pages of files and of batches: five keys each, nothing twice, nothing left out, and the last says so."""
    files = [house.file(house.chat(1)) for _ in range(6)]
    batches: list[str] = []
    # Files first: batches end in no time, and add their outputs.
    for path, made in (("/files", files), ("/batches", batches)):
        if path == "/batches":
            batches += [house.create(file_id).json["id"] for file_id in files]
        seen: list[str] = []
        after = ""
        for _ in range(3):
            page = house.call("GET", path, query=f"limit=2{after}").json
            assert set(page) == {"object", "data", "first_id", "last_id", "has_more"}
            assert (page["object"], page["first_id"]) == ("list", page["data"][0]["id"])
            assert page["last_id"] == page["data"][-1]["id"]
            seen += [item["id"] for item in page["data"]]
            after = f"&after={page['last_id']}"
        assert len(set(seen)) == 6
        assert seen == made[::-1]
    for batch_id in batches:
        house.until(batch_id)
    last = house.call("GET", "/batches", query="limit=100").json
    assert (len(last["data"]) < 100, last["has_more"]) == (True, False)


@pytest.mark.contract("A.18", "AVO GET /files/{file_id}/content")
@pytest.mark.parametrize("accept", ["application/binary", "application/json", "text/html"])
def test_downloads(house: House, accept: str) -> None:
    """Bytes are bytes, whatever the client says it accepts; with a name and a length."""
    data = house.chat(3)
    answer = house.call("GET", f"/files/{house.file(data)}/content", headers={"Accept": accept})
    assert (answer.status, answer.data) == (200, data)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-length"] == str(len(data))
    assert answer.headers["content-disposition"].startswith("attachment; filename=")


@pytest.mark.contract("V GET /files")
def test_a_dated_version_under_v1(server: Server) -> None:
    """Azure v1 takes no dated version, and says so."""
    for version, status in (("v1", 200), ("preview", 200), ("2024-10-21", 400)):
        answer = call(server, "GET", f"/openai/v1/files?api-version={version}", None, {"api-key": "any"})
        assert answer.status == status
    assert "API version not supported" in answer.json["error"]["message"]


@pytest.mark.contract("AVO GET /models", "AVO GET /models/{model}")
def test_models(house: House) -> None:
    """What `model` may be, in the shape of the family, one by one as well; and a name that there is not."""
    listed = house.call("GET", "/models").json["data"]
    assert {"quick", "slow"} <= {model["id"] for model in listed}
    for model in listed:
        assert model["object"] == "model"
        assert ("capabilities" in model) is (house.family == "A")
        assert house.call("GET", f"/models/{model['id']}").json == model
    assert house.call("GET", "/models/nobody").status == 404


@pytest.mark.contract("AVO GET /files/{file_id}")
def test_getting_a_file(house: House) -> None:
    """A file is what its upload said; one that there is not is 404."""
    uploaded = house.upload(house.chat(1)).json
    assert house.call("GET", f"/files/{uploaded['id']}").json == uploaded
    assert house.call("GET", "/files/file-nobody").status == 404


@pytest.mark.contract(
    "AVO POST /uploads",
    "AVO POST /uploads/{upload_id}/parts",
    "AVO POST /uploads/{upload_id}/complete",
    "AVO POST /uploads/{upload_id}/cancel",
)
def test_uploads_in_parts(house: House) -> None:
    """Parts in the order of their ids make a file; after its end an upload takes no part; another is given up."""
    pieces = [house.chat(1) + b"\n", house.chat(1).replace(b"task-0", b"task-1")]
    new = {"purpose": "batch", "filename": "p.jsonl", "bytes": sum(map(len, pieces)), "mime_type": "application/jsonl"}
    path = f"/uploads/{house.post('/uploads', new).json['id']}"
    sent = [form(('form-data; name="data"; filename="blob"', piece)) for piece in pieces]
    parts = [house.call("POST", f"{path}/parts", body, headers=headers).json["id"] for body, headers in sent[::-1]]
    done = house.post(f"{path}/complete", {"part_ids": parts[::-1]}).json
    assert (done["status"], house.content(done["file"]["id"])) == ("completed", b"".join(pieces))
    late = house.call("POST", f"{path}/parts", sent[0][0], headers=sent[0][1])
    assert late.status == 400
    given_up = house.post("/uploads", new).json["id"]
    assert house.call("POST", f"/uploads/{given_up}/cancel").json["status"] == "cancelled"
    batch = house.until(house.create(done["file"]["id"]).json["id"])
    assert (batch["status"], batch["request_counts"]["completed"]) == ("completed", 2)
