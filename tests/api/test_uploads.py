"""Files in parts, with the clients that people have, in all three families."""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.api.conftest import CONFIG
from tests.api.test_clients import content, ended, lines
from tests.api.test_wire import call, form
from tests.server import Server

SAMPLES = Path(__file__).parent.parent / "samples"
FAMILIES = ("azure", "azure-v1", "openai")
# Where a family answers, and what every call of it carries.
PATHS = {"azure": ("/openai", "?api-version=2024-10-21"), "azure-v1": ("/openai/v1", ""), "openai": ("/v1", "")}


def client_of(server: Server, family: str) -> openai.OpenAI:
    """The client that a family is for."""
    url = f"http://{server.address}"
    if family == "azure":
        return openai.AzureOpenAI(azure_endpoint=url, api_key="any", api_version="2024-10-21", max_retries=0)
    return openai.OpenAI(base_url=url + PATHS[family][0], api_key="any", max_retries=0)


@pytest.fixture(params=FAMILIES)
def client(server: Server, request: pytest.FixtureRequest) -> openai.OpenAI:
    """Every family's client in turn."""
    return client_of(server, request.param)


def begun(client: openai.OpenAI, size: int, **changes: Any) -> Any:
    """A new upload of so many bytes, for a batch."""
    given: dict[str, Any] = {"filename": "in.jsonl", "mime_type": "text/jsonl", "purpose": "batch"}
    return client.uploads.create(bytes=size, **(given | changes))


def post(server: Server, family: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
    """One call without a client; `body` is JSON, or a finished form."""
    prefix, query = PATHS[family]
    data, headers = body if isinstance(body, tuple) else (json.dumps(body).encode(), {})
    status, _, answer = call(server, "POST", f"{prefix}{path}{query}", data, headers)
    return status, json.loads(answer)


def stored_parts(server: Server) -> set[str]:
    """Names of everything that lies among the parts, unfinished or not; other tests may have left pending uploads."""
    return {path.name for path in (server.data / "blobs" / "uploads").glob("*")}


def wait_until_gone(server: Server, part_ids: Iterable[str]) -> None:
    """Returns when the janitor has been there."""
    deadline, parts = time.monotonic() + 20, set(part_ids)
    while left := stored_parts(server) & parts:
        assert time.monotonic() < deadline, left
        time.sleep(0.02)


@pytest.mark.contract(
    "AVO POST /uploads", "AVO POST /uploads/{upload_id}/parts", "AVO POST /uploads/{upload_id}/complete"
)
def test_a_file_in_parts_is_good_for_a_batch(client: openai.OpenAI) -> None:
    """The client's own helper cuts, sends and completes; the batch then runs on the file as on any other."""
    data = lines(20)
    upload = client.uploads.upload_file_chunked(
        file=data,
        filename="cut.jsonl",
        bytes=len(data),
        mime_type="text/jsonl",
        purpose="batch",
        part_size=500,
        md5=hashlib.md5(data).hexdigest(),
    )
    assert upload.status == "completed"
    assert upload.file is not None
    assert (upload.file.filename, upload.file.bytes, upload.file.purpose) == ("cut.jsonl", len(data), "batch")
    assert client.files.retrieve(upload.file.id) == upload.file
    assert client.files.content(upload.file.id).content == data
    batch = client.batches.create(
        input_file_id=upload.file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    if isinstance(client, openai.AzureOpenAI):
        batch = ended(client, batch.id)
        assert (batch.status, len(content(client, batch.output_file_id))) == ("completed", 20)
    else:
        # Their lines would have to say /v1/chat/completions; it is enough that the file was taken.
        assert batch.input_file_id == upload.file.id


def test_parts_come_at_once_and_in_any_order(server: Server, client: openai.OpenAI) -> None:
    """Eight threads send 40 parts as they like; `part_ids` alone says how they lie in the file, whose sum is right."""
    pieces = [lines(1).replace(b"task-0", b"task-%d" % number) + b"\n" for number in range(40)]
    data = b"".join(pieces)
    upload = begun(client, len(data))
    order = sorted(range(40), key=lambda number: hashlib.sha256(b"%d" % number).digest())
    with ThreadPoolExecutor(8) as threads:
        sent = threads.map(lambda number: client.uploads.parts.create(upload.id, data=pieces[number]), order)
        ids = dict(zip(order, [part.id for part in sent], strict=True))
    done = client.uploads.complete(
        upload.id, part_ids=[ids[number] for number in range(40)], md5=hashlib.md5(data).hexdigest()
    )
    assert done.file is not None
    assert client.files.content(done.file.id).content == data
    wait_until_gone(server, ids.values())


@pytest.mark.parametrize("family", ["azure", "azure-v1"])
def test_azure_names_parts_by_block_ids(server: Server, family: str) -> None:
    """As its description has it: `azure_block_id` of each part goes into `part_ids`."""
    client = client_of(server, family)
    upload = begun(client, 6)
    blocks = [client.uploads.parts.create(upload.id, data=data).azure_block_id for data in (b"def", b"abc")]  # type: ignore[attr-defined]
    done = client.uploads.complete(upload.id, part_ids=blocks[::-1])
    assert done.file is not None
    assert client.files.content(done.file.id).content == b"abcdef"


def test_every_answer_has_the_keys_of_the_samples(server: Server) -> None:
    """What is in the samples is in the answers, under its type, and nothing else; `file` only when completed."""
    shapes = json.loads((SAMPLES / "openai" / "uploads_shapes.json").read_text())
    spec = json.loads((SAMPLES / "azure" / "uploads_spec.json").read_text())
    recorded = json.loads((SAMPLES / "azure" / "uploads_recorded_assistants.json").read_text())
    wanted = {
        "openai": {name: shapes[name]["body"] for name in ("create", "part", "complete", "cancel")},
        "azure": {
            "create": recorded["start"]["body"],
            "part": spec["part"]["body"],
            "complete": spec["complete"]["body"],
            "cancel": recorded["cancel"]["body"],
        },
    }
    new = {"purpose": "batch", "filename": "a.jsonl", "bytes": 3, "mime_type": "text/jsonl"}
    if_asked = {"expires_after": {"anchor": "created_at", "seconds": 7200}}
    part = form(('form-data; name="data"', b"{}\n"))
    for family, samples in wanted.items():
        # OpenAI's batch files always expire; Azure's when they are asked to, and the sample's was not.
        _, upload = post(server, family, "/uploads", new | (if_asked if family == "openai" else {}))
        _, sent = post(server, family, f"/uploads/{upload['id']}/parts", part)
        _, done = post(server, family, f"/uploads/{upload['id']}/complete", {"part_ids": [sent["id"]]})
        _, other = post(server, family, "/uploads", new)
        status, cancelled = post(server, family, f"/uploads/{other['id']}/cancel")
        assert status == 200
        for name, body in (("create", upload), ("part", sent), ("complete", done), ("cancel", cancelled)):
            assert body.keys() == samples[name].keys(), (family, name)
            for key, value in samples[name].items():
                assert type(body[key]) is type(value), (family, name, key)
            assert body.get("status") == samples[name].get("status")
        assert done["file"].keys() == samples["complete"]["file"].keys()
        assert done["file"]["bytes"] == done["bytes"] == 3


def test_how_long_an_upload_stays_open(client: openai.OpenAI) -> None:
    """An hour where OpenAI answers, two where Azure does."""
    upload = begun(client, 5)
    hours = 1 if str(client.base_url).endswith(":" + str(client.base_url.port) + "/v1/") else 2
    assert upload.expires_at - upload.created_at == hours * 3_600
    assert (upload.status, upload.file) == ("pending", None)


def test_the_file_expires_as_its_upload_said(client: openai.OpenAI) -> None:
    """`expires_after` counts from the moment at which the file is made."""
    upload = begun(client, 3, expires_after={"anchor": "created_at", "seconds": 7_200})
    part = client.uploads.parts.create(upload.id, data=b"{}\n")
    file = client.uploads.complete(upload.id, part_ids=[part.id]).file
    assert file is not None
    assert file.expires_at == file.created_at + 7_200


def test_a_wrong_checksum_is_refused(client: openai.OpenAI) -> None:
    """400 that says both sums; the upload stays open for another try."""
    upload = begun(client, 3)
    part = client.uploads.parts.create(upload.id, data=b"{}\n")
    with pytest.raises(openai.BadRequestError, match=hashlib.md5(b"{}\n").hexdigest()) as caught:
        client.uploads.complete(upload.id, part_ids=[part.id], md5="f" * 32)
    assert caught.value.param == "md5"
    done = client.uploads.complete(upload.id, part_ids=[part.id], md5=hashlib.md5(b"{}\n").hexdigest().upper())
    assert done.status == "completed"


def test_parts_must_add_up(client: openai.OpenAI) -> None:
    """400 that names both numbers, for too little and for too much; nothing is made."""
    before = len(client.files.list(purpose="batch").data)
    upload = begun(client, 5)
    parts = [client.uploads.parts.create(upload.id, data=b"{}\n").id for _ in range(2)]
    for ids, total in ((parts[:1], 3), (parts, 6)):
        with pytest.raises(openai.BadRequestError, match=f"add up to {total} bytes.* with 5"):
            client.uploads.complete(upload.id, part_ids=ids)
    assert len(client.files.list(purpose="batch").data) == before


@pytest.mark.contract("AVO POST /uploads/{upload_id}/cancel")
def test_after_the_end(client: openai.OpenAI) -> None:
    """Parts are refused, also large ones that are still being sent; the same answer can be had twice; an end stays."""
    upload = begun(client, 3)
    part = client.uploads.parts.create(upload.id, data=b"{}\n")
    done = client.uploads.complete(upload.id, part_ids=[part.id])
    assert client.uploads.complete(upload.id, part_ids=[part.id]) == done
    with pytest.raises(openai.BadRequestError, match="is completed; it cannot be cancelled"):
        client.uploads.cancel(upload.id)
    other = begun(client, 3)
    assert client.uploads.cancel(other.id).status == client.uploads.cancel(other.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError, match="is cancelled; it cannot be completed"):
        client.uploads.complete(other.id, part_ids=[part.id])
    for upload_id, status in ((upload.id, "completed"), (other.id, "cancelled")):
        with pytest.raises(openai.BadRequestError, match=f"is {status}; no part can be added"):
            client.uploads.parts.create(upload_id, data=bytes(8 << 20))


def test_unknown_uploads(client: openai.OpenAI) -> None:
    """404 in the family's words."""
    for act in (
        lambda: client.uploads.parts.create("upload_no", data=b"x"),
        lambda: client.uploads.complete("upload_no", part_ids=["a"]),
        lambda: client.uploads.cancel("upload_no"),
    ):
        with pytest.raises(openai.NotFoundError, match="No such Upload object: upload_no") as caught:
            act()
        assert caught.value.code == ("notFound" if "/openai" in str(client.base_url) else None)


def test_limits(server: Server, client: openai.OpenAI) -> None:
    """A batch's file may have no more bytes in parts than in one piece; other purposes may; a part of 64 MiB is taken."""
    with pytest.raises(openai.BadRequestError, match="up to 3,000,000 bytes") as caught:
        begun(client, 3_000_001)
    assert caught.value.param == "bytes"
    size = 64 << 20
    upload = begun(client, size, purpose="evals", filename="x.bin")
    part = client.uploads.parts.create(upload.id, data=bytes(size))
    before = stored_parts(server)
    with pytest.raises(openai.BadRequestError, match="up to 64 MiB"):
        client.uploads.parts.create(upload.id, data=bytes((65 << 20) + 1))
    assert stored_parts(server) <= before
    file = client.uploads.complete(upload.id, part_ids=[part.id]).file
    assert file is not None
    assert file.bytes == size
    client.files.delete(file.id)
    wait_until_gone(server, [part.id])


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"bytes": None}, "bytes"),
        ({"bytes": "7"}, "bytes"),
        ({"bytes": -1}, "bytes"),
        ({"mime_type": None}, "mime_type"),
        ({"filename": "x" * 513}, "filename"),
        ({"purpose": "nonsense"}, "purpose"),
        ({"expires_after": {"anchor": "created_at", "seconds": 5}}, "seconds"),
    ],
)
@pytest.mark.parametrize("family", FAMILIES)
def test_wrong_announcements_say_what_to_do(server: Server, family: str, change: dict[str, Any], word: str) -> None:
    """400, and the message names what is wrong."""
    right = {"purpose": "batch", "filename": "a.jsonl", "bytes": 3, "mime_type": "text/jsonl"}
    status, answer = post(server, family, "/uploads", right | change)
    assert status == 400
    assert word in answer["error"]["message"] + str(answer["error"]["param"])


def test_wrong_parts_say_what_to_do(server: Server) -> None:
    """A body that is no form, and a form without `data`, name the field; no bytes stay."""
    upload = begun(client_of(server, "openai"), 3)
    before = stored_parts(server)
    for body in ((b"abc", {"Content-Type": "text/plain"}), form(('form-data; name="file"; filename="x"', b"abc"))):
        status, answer = post(server, "openai", f"/uploads/{upload.id}/parts", body)
        assert status == 400
        assert "'data'" in answer["error"]["message"]
        assert answer["error"]["param"] == "data"
    assert stored_parts(server) <= before


def test_openai_looks_into_batch_files(server: Server) -> None:
    """At the name when the upload is created and at the first line when it is completed; Azure at neither (spec 2.1)."""
    strict, lenient = client_of(server, "openai"), client_of(server, "azure")
    with pytest.raises(openai.BadRequestError, match=r"Must be \.jsonl"):
        begun(strict, 3, filename="a.txt")
    for client in (strict, lenient):
        upload = begun(client, 9)
        parts = [client.uploads.parts.create(upload.id, data=data).id for data in (b"{no ", b"json\n")]
        if client is strict:
            with pytest.raises(openai.BadRequestError, match="jsonl"):
                client.uploads.complete(upload.id, part_ids=parts)
        else:
            assert client.uploads.complete(upload.id, part_ids=parts).status == "completed"
    assert begun(lenient, 3, filename="a.txt").status == "pending"


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[list[Server]]:
    """Servers that a test starts and ends on one data directory."""
    servers: list[Server] = []
    (tmp_path / "slackwater.toml").write_text(CONFIG)
    yield servers
    for server in servers:
        server.kill()


def test_an_upload_outlives_the_server(tmp_path: Path, mortal: list[Server]) -> None:
    """kill -9 between parts: those that were answered are there; the upload goes on under the next incarnation."""

    def start() -> openai.OpenAI:
        mortal.append(Server(tmp_path / "slackwater.toml", tmp_path / "data", tmp_path / "log"))
        return client_of(mortal[-1], "openai")

    client = start()
    upload = begun(client, 6)
    first = client.uploads.parts.create(upload.id, data=b"{}\n")
    mortal[0].kill()
    (tmp_path / "data" / "blobs" / "uploads" / "part_nobody").write_bytes(b"left over")
    client = start()
    assert stored_parts(mortal[1]) == {first.id}
    second = client.uploads.parts.create(upload.id, data=b"{}\n")
    done = client.uploads.complete(upload.id, part_ids=[first.id, second.id])
    assert client.files.content(done.file.id).content == b"{}\n{}\n"  # type: ignore[union-attr]
    wait_until_gone(mortal[1], [first.id, second.id])
