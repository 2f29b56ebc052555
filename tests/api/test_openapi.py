"""The API document: valid, complete, the same as the committed one, and true of what is served."""

import json
import urllib.request
from pathlib import Path

import msgspec
import pytest
from openapi_spec_validator import validate

from slackwater.api import objects
from slackwater.api.dialects import DIALECTS
from slackwater.api.examples import EXAMPLES
from slackwater.api.openapi import document
from slackwater.api.operations import OPERATIONS
from tests.server import Server

COMMITTED = Path(__file__).parent.parent.parent / "docs" / "openapi.json"


def test_the_committed_document_is_today_s() -> None:
    """scripts/draw_openapi.py writes it again."""
    assert json.loads(COMMITTED.read_text("utf-8")) == document()


def test_it_is_served(server: Server) -> None:
    """At /openapi.json, without a key."""
    with urllib.request.urlopen(f"http://{server.address}/openapi.json") as answer:
        assert answer.headers["Content-Type"] == "application/json"
        assert json.loads(answer.read()) == document()


def test_it_is_valid() -> None:
    """By the schema of OpenAPI 3.1."""
    validate(document())


def test_every_operation_of_every_family_is_in_it() -> None:
    """What is served is described, once."""
    paths = document()["paths"]
    for dialect in DIALECTS:
        for operation in OPERATIONS:
            if operation.served_by(dialect):
                path = dialect.prefix + operation.path
                assert operation.method.lower() in paths[path]
    ids = [described["operationId"] for methods in paths.values() for described in methods.values()]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_examples_fit_their_types(name: str) -> None:
    """An example is what the server could answer, or could be asked."""
    assert msgspec.convert(EXAMPLES[name], getattr(objects, name)) is not None


def test_everything_has_a_sentence() -> None:
    """No schema, operation or answer goes without a description."""
    described = document()
    assert [name for name, schema in described["components"]["schemas"].items() if not schema.get("description")] == []
    for methods in described["paths"].values():
        for operation in methods.values():
            assert operation["summary"]
            assert all(answer["description"] for answer in operation["responses"].values())
