"""`$filter` and `$orderby` over HTTP: as the documentation writes them, with cursors, in every family."""

import http.client
import json
import time
from typing import Any
from urllib.parse import quote, quote_plus

import openai
import pytest

from slackwater.api.dialects import DIALECTS, Dialect
from slackwater.api.operation import Operation
from slackwater.api.operations import OPERATIONS
from tests.api.calls import Caller
from tests.server import Server

PREFIXES = ("/openai/batches?api-version=2024-10-01-preview&", "/openai/v1/batches?", "/v1/batches?")


def get(server: Server, path: str) -> tuple[int, Any]:
    """Status and JSON of one GET; the path goes out byte for byte."""
    connection = http.client.HTTPConnection(server.address, timeout=20)
    try:
        connection.request("GET", path, headers={"api-key": "any"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def ids(page: Any) -> list[str]:
    """The ids of a page."""
    return [each["id"] for each in page["data"]]


@pytest.fixture(scope="module")
def endpoint(server: Server) -> str:
    """An endpoint of webhooks."""
    new = {"name": "end", "url": "https://hooks.example/", "event_types": ["batch.completed"]}
    made = Caller(server, "openai")("POST", "/webhook_endpoints", new)
    return str(made.json["id"])


@pytest.fixture(scope="module")
def batches(server: Server) -> list[Any]:
    """Batches of this server that have ended, oldest first: three completed, with a failed one after each."""
    body = {"model": "demo-batch", "messages": [{"role": "user", "content": "When is high tide?"}]}
    line = {"custom_id": "a", "method": "POST", "url": "/chat/completions", "body": body}
    good, bad = server.upload("good.jsonl", json.dumps(line).encode()), server.upload("bad.jsonl", b"{not json\n")
    created = [server.create_batch(file_id) for _ in range(3) for file_id in (good, bad)]
    deadline = time.monotonic() + 30
    while True:
        found = [server.batch(batch_id) for batch_id in created]
        if [each["status"] for each in found] == ["completed", "failed"] * 3:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.contract("A.17", "AVO GET /batches")
def test_the_documented_line(server: Server, batches: list[Any], prefix: str) -> None:
    """Byte for byte as Microsoft's page has it, but for the moments; with `+` for a space; and fully encoded."""
    first, last = batches[0]["created_at"] - 1, batches[-1]["created_at"] + 1
    completed = [each["id"] for each in batches if each["status"] == "completed"]
    documented = f"created_at%20gt%20{first}%20and%20created_at%20lt%20{last}%20and%20status%20eq%20'Completed'"
    text = documented.replace("%20", " ")
    for path in (
        f"{prefix}$filter={documented}&$orderby=created_at%20asc",
        f"{prefix}$filter={documented.replace('%20', '+')}&$orderby=created_at+asc",
        f"{prefix}%24filter={quote(text, safe='')}&%24orderby={quote('created_at asc')}",
        f"{prefix}%24filter={quote_plus(text)}&%24orderby={quote_plus('created_at ASC')}",
    ):
        status, page = get(server, path)
        assert (status, page["object"], page["has_more"]) == (200, "list", False)
        assert ids(page) == completed
        assert (page["first_id"], page["last_id"]) == (completed[0], completed[-1])
        outside = path.replace(str(last), str(first))
        assert get(server, outside) == (
            200,
            {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False},
        )


def test_a_cursor_walks_the_filtered_sequence(server: Server, batches: list[Any]) -> None:
    """Page by page every match comes once; `has_more` is about matches only; a cursor need not match itself."""
    failed = [each["id"] for each in batches if each["status"] == "failed"]
    seen, after = [], ""
    while True:
        _, page = get(server, f"{PREFIXES[0]}limit=1&$filter=status+ne+'completed'{after}")
        seen += ids(page)
        after = f"&after={page['last_id']}"
        if not page["has_more"]:
            break
    assert seen == failed[::-1]
    completed = batches[2]["id"]
    _, page = get(server, f"{PREFIXES[0]}$filter=status+eq+'failed'&after={completed}&$orderby=created_at")
    assert ids(page) == failed[1:]


def test_clients_page_with_a_filter(server: Server, batches: list[Any]) -> None:
    """OpenAI's client sends the extra parameters with every page of its own accord."""
    client = openai.OpenAI(base_url=f"http://{server.address}/openai/v1", api_key="any", max_retries=0)
    query = {"$filter": "status eq 'Completed'", "$orderby": "created_at asc"}
    found = [each.id for each in client.batches.list(limit=1, extra_query=query)]
    assert found == [each["id"] for each in batches if each["status"] == "completed"]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(
    ("query", "param", "message"),
    [
        (
            "$filter=status+eq+'nearly'",
            "$filter",
            "character 11 (counted from 1), \"'nearly'\": there is no such status",
        ),
        ("$filter=created_at+gt+1+or+status+eq+'failed'", "$filter", 'character 17 (counted from 1), "or"'),
        ("$filter=created_at%20gt%20'2024-10-12'", "$filter", "epoch seconds"),
        ("$orderby=created_at,status", "$orderby", 'character 11 (counted from 1), ","'),
        ("$orderby=status&$orderby=created_at", "$orderby", "may be given once"),
        ("$filter=status+eq+'failed'&after=nobody", "after", "nobody"),
        ("$filter=status+eq+'failed'&limit=101", "limit", "between 1 and 100"),
    ],
)
def test_faults_are_the_callers(server: Server, prefix: str, query: str, param: str, message: str) -> None:
    """400 with the parameter and what is wrong with it."""
    status, body = get(server, prefix + query)
    assert (status, body["error"]["param"]) == (400, param)
    assert message in body["error"]["message"]


LISTS = [
    pytest.param(dialect, operation, id=f"{dialect.name}-{operation.name}")
    for dialect in DIALECTS
    for operation in OPERATIONS
    if operation.served_by(dialect) and any(parameter.name == "after" for parameter in operation.parameters)
]


@pytest.mark.parametrize(("dialect", "operation"), LISTS)
def test_an_empty_after_is_none(
    server: Server, batches: list[Any], endpoint: str, dialect: Dialect, operation: Operation
) -> None:
    """Clients write an empty text for what they leave out: every page begins at its beginning then."""
    call = Caller(server, dialect.name)
    path = operation.path.format(batch_id=batches[0]["id"], webhook_endpoint_id=endpoint)
    needed = "text=tides&" if operation.name == "search_batch_results" else ""
    plain, empty = (call(operation.method, path, query=f"{needed}{after}") for after in ("", "after="))
    assert (empty.status, empty.body) == (plain.status, plain.body)
    # The results of a batch that has ended are in its files.
    assert plain.status == (404 if operation.name == "get_batch_results" else 200)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_a_batch_that_is_not_there(server: Server, dialect: Dialect) -> None:
    """Whoever asks for it, or cancels it, reads one sentence."""
    call = Caller(server, dialect.name)
    answers = [call("GET", "/batches/batch_nobody"), call("POST", "/batches/batch_nobody/cancel")]
    assert [answer.status for answer in answers] == [404, 404]
    assert answers[0].body == answers[1].body
    assert answers[0].error["message"] == "No batch found with id 'batch_nobody'."
