"""The reader of Microsoft's descriptions, on small ones: the published files themselves are not kept here."""

import json
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from tests.contract.description import FOLDER, Description

GET = {"responses": {"200": {"description": "Success"}}}
WELL_FORMED = {
    "swagger": "2.0",
    "paths": {
        "/batches": {"get": GET | {"operationId": "Batch_List"}, "post": GET | {"operationId": "Batch_Create"}},
        "/files": {"parameters": [], "get": GET | {"operationId": "Files_List"}},
        "/files/{file-id}": {"delete": GET | {"operationId": "Files_Delete"}},
        "/models": {"get": GET | {"operationId": "Models_List"}},
    },
    "definitions": {},
}
# As azureopenai.yaml of 2024-10-21 is indented.
PUBLISHED = """
swagger: '2.0'
paths:
  /batches:
    get:
      operationId: Batch_List
    post:
      operationId: Batch_Create
/files:
  parameters: []
  get:
    operationId: Files_List
/files/{file-id}:
  delete:
    operationId: Files_Delete
  /models:
    get:
      operationId: Models_List
definitions: {}
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("2024-10-21.json", json.dumps(WELL_FORMED)),
        ("2024-10-21.yaml", yaml.safe_dump(WELL_FORMED)),
        ("2024-10-21.yaml", PUBLISHED),
    ],
)
def test_every_path_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    """Where a path stands in the file changes nothing, and either form of the file will do."""
    (tmp_path / name).write_text(text)
    monkeypatch.setenv(FOLDER, str(tmp_path))
    assert Description("2024-10-21").operations == {
        "Batch_List": ("GET", "/batches"),
        "Batch_Create": ("POST", "/batches"),
        "Files_List": ("GET", "/files"),
        "Files_Delete": ("DELETE", "/files/{file-id}"),
        "Models_List": ("GET", "/models"),
    }
