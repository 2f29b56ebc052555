"""Microsoft's own description of the operations on files, uploads, batches and models, held against the server.

A walk makes every operation succeed, and fail where it can, in both versions of the description. What is not as described
has an entry in DEVIATIONS with its reason; an entry that the walk does not need is an error.
`make test-description` runs this; the descriptions are not kept here.
"""

import hashlib
from collections.abc import Iterator
from fnmatch import fnmatch
from typing import NamedTuple

import pytest

from tests.contract.description import Description, Problem
from tests.contract.exchange import Answer, House, form
from tests.contract.recorded_backend import RecordedBackend
from tests.server import Server

GA, PREVIEW = "2024-10-21", "2024-10-01-preview"
Step = tuple[str, Answer]
OURS = ("Batch_", "Files_", "UploadFile_", "Models_")
pytestmark = pytest.mark.description


class Deviation(NamedTuple):
    """An answer that is not as described, on purpose. Patterns are those of a shell."""

    operation: str
    place: str
    wrong: str
    why: str
    versions: tuple[str, ...] = (GA, PREVIEW)


NULLS = (
    "Swagger 2.0 has no word for null; every recording of the service has null for what has not happened (spec 3.2)."
)
DEVIATIONS = (
    *(
        Deviation("Batch_*", f"body*.{key}", "null", NULLS)
        for key in ("errors", "output_file_id", "error_file_id", "metadata")
    ),
    *(
        Deviation("Batch_*", f"body*.{key}_at", "null", NULLS)
        for key in ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
    ),
    Deviation(
        "Batch_*",
        "body*.errors.data",
        "type: *",
        "Described as one object; it is a list everywhere else (spec 11.2, 23).",
    ),
    Deviation(
        "Batch_*", "body*.errors.data.*.line", "type: *", "Described as text; a line is a number (spec 11.2, 23)."
    ),
    Deviation("Batch_*", "body*.errors.data.*.line", "null", "Null where it is about the whole file (spec 11.2, 23)."),
    Deviation("Batch_*", "body*.errors.data.*.param", "null", "Null where no parameter is to blame (spec 3.2)."),
    Deviation("Batch_List", "body.first_id", "null", "An empty page has no first item (spec 2.3)."),
    Deviation("Batch_List", "body.last_id", "null", "An empty page has no last item (spec 2.3)."),
    Deviation(
        "Batch_Create",
        "status",
        "200 instead of 201",
        "Every recording of every version says 200 (spec 1.3).",
        (PREVIEW,),
    ),
    Deviation(
        "Batch_List",
        "headers.deployment-*",
        "absent",
        "A list is about no one deployment; the service sends the headers with POST only (spec 3.1).",
        (PREVIEW,),
    ),
    Deviation(
        "UploadFile_Start",
        "headers.Location",
        "absent",
        "No recording has the header, and no client reads it (spec 2.5).",
    ),
)


@pytest.mark.parametrize("version", [GA, PREVIEW])
@pytest.mark.contract(
    "A POST /files",
    "A POST /files/import",
    "A GET /files",
    "A GET /files/{file_id}",
    "A DELETE /files/{file_id}",
    "A GET /files/{file_id}/content",
    "A POST /uploads",
    "A POST /uploads/{upload_id}/parts",
    "A POST /uploads/{upload_id}/complete",
    "A POST /uploads/{upload_id}/cancel",
    "A POST /batches",
    "A GET /batches",
    "A GET /batches/{batch_id}",
    "A POST /batches/{batch_id}/cancel",
    "A GET /models",
    "A GET /models/{model}",
)
def test_every_described_answer_is_as_described(
    version: str, server: Server, recorded_backend: RecordedBackend
) -> None:
    """Every operation of Microsoft's description answers with its status, its headers and its schema, errors too."""
    description = Description(version)
    steps = list(walk(House(server, "A", version=version), recorded_backend.host))
    succeeded = {operation for operation, answer in steps if answer.status < 400}
    assert succeeded == {name for name in description.operations if name.startswith(OURS)}
    problems = {problem for operation, answer in steps for problem in description.problems(operation, answer)}
    listed = [deviation for deviation in DEVIATIONS if version in deviation.versions]
    assert not [problem for problem in problems if not any(covers(deviation, problem) for deviation in listed)]
    idle = [deviation for deviation in listed if not any(covers(deviation, problem) for problem in problems)]
    assert not idle, "these deviations are listed, but the walk meets none of them"


def covers(deviation: Deviation, problem: Problem) -> bool:
    """Whether the problem is meant."""
    return (
        fnmatch(problem.operation, deviation.operation)
        and fnmatch(problem.place, deviation.place)
        and fnmatch(problem.wrong, deviation.wrong)
    )


def test_a_wrong_answer_is_seen() -> None:
    """The check has teeth: a wrong status, a missing header, a wrong type and a missing key are all found."""
    wrong = Answer(200, {"content-type": "application/json"}, b'{"object": "file", "id": 5, "purpose": "batch"}')
    places = {(problem.place, problem.wrong[:8]) for problem in Description(GA).problems("Files_Upload", wrong)}
    expected = {"status": "200 inst", "headers.Location": "absent", "body.id": "type: 5 ", "body": "required"}
    assert places == set(expected.items())


def walk(house: House, host: str) -> Iterator[Step]:
    """Every operation once with success, and with what can go wrong."""
    nobody = "batch_00000000-0000-0000-0000-000000000000"
    yield from files(house, host)
    yield from batches(house)
    yield "Batch_Get", house.call("GET", f"/batches/{nobody}")
    yield "Batch_Cancel", house.call("POST", f"/batches/{nobody}/cancel")
    yield "Batch_List", house.call("GET", "/batches", query="limit=0")
    yield "Batch_Create", house.post("/batches", {"endpoint": "/chat/completions"})
    yield from uploads(house)
    models = house.call("GET", "/models")
    yield "Models_List", models
    yield "Models_Get", house.call("GET", f"/models/{models.json['data'][0]['id']}")
    yield "Models_Get", house.call("GET", "/models/nobody")


def files(house: House, host: str) -> Iterator[Step]:
    """A file from its upload to its end, and one that is imported."""
    uploaded = house.upload(house.chat(2))
    file_id = uploaded.json["id"]
    yield "Files_Upload", uploaded
    yield "Files_Upload", house.upload(b"{}", purpose="nonsense")
    source = {"purpose": "batch", "filename": "import.jsonl", "content_url": f"{host}/import.jsonl"}
    yield "Files_Import", house.post("/files/import", source)
    yield "Files_Import", house.post("/files/import", {"purpose": "batch"})
    yield "Files_List", house.call("GET", "/files", query="purpose=batch")
    yield "Files_Get", house.call("GET", f"/files/{file_id}")
    yield "Files_GetContent", house.call("GET", f"/files/{file_id}/content")
    yield "Files_Delete", house.call("DELETE", f"/files/{file_id}")
    yield "Files_Delete", house.call("DELETE", f"/files/{file_id}")
    yield "Files_Get", house.call("GET", f"/files/{file_id}")
    yield "Files_GetContent", house.call("GET", f"/files/{file_id}/content")


def batches(house: House) -> Iterator[Step]:
    """A batch that completes, one that fails line by line, one that fails as a whole, and one that is cancelled."""
    created = house.create(house.file(house.chat(2)), metadata={"team": "tides"})
    yield "Batch_Create", created
    house.until(created.json["id"])
    yield "Batch_Get", house.call("GET", f"/batches/{created.json['id']}")
    yield "Batch_Cancel", house.call("POST", f"/batches/{created.json['id']}/cancel")
    for data in (b"{broken\n", b"\n"):
        failed = house.run(data)
        assert failed["status"] == "failed"
        yield "Batch_Get", house.call("GET", f"/batches/{failed['id']}")
    running = house.begin(house.chat(2, model="stuck"))["id"]
    house.until(running, "in_progress")
    yield "Batch_Get", house.call("GET", f"/batches/{running}")
    yield "Batch_Cancel", house.call("POST", f"/batches/{running}/cancel")
    house.until(running)
    yield "Batch_Get", house.call("GET", f"/batches/{running}")
    page = house.call("GET", "/batches", query="limit=100")
    yield "Batch_List", page
    yield "Batch_List", house.call("GET", "/batches", query=f"after={page.json['last_id']}")


def uploads(house: House) -> Iterator[Step]:
    """An upload that is completed, and one that is cancelled."""
    data = house.chat(1)
    new = {"purpose": "batch", "filename": "parts.jsonl", "bytes": len(data), "mime_type": "application/jsonl"}
    started = house.post("/uploads", new)
    yield "UploadFile_Start", started
    yield "UploadFile_Start", house.post("/uploads", {"purpose": "batch"})
    path = f"/uploads/{started.json['id']}"
    body, headers = form(('form-data; name="data"; filename="blob"', data))
    part = house.call("POST", f"{path}/parts", body, headers=headers)
    yield "UploadFile_Part", part
    whole = {"part_ids": [part.json["id"]], "md5": hashlib.md5(data).hexdigest()}
    yield "UploadFile_Complete", house.post(f"{path}/complete", whole | {"part_ids": ["nobody"]})
    yield "UploadFile_Complete", house.post(f"{path}/complete", whole)
    yield "UploadFile_Part", house.call("POST", f"{path}/parts", body, headers=headers)
    other = house.post("/uploads", new)
    yield "UploadFile_Cancel", house.call("POST", f"/uploads/{other.json['id']}/cancel")
    yield "UploadFile_Cancel", house.call("POST", "/uploads/upload_nobody/cancel")
