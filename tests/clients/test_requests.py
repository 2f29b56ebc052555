"""Azure's documented way to list batches by time and status: plain `requests`, a bearer token, OData parameters."""

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import pytest
import requests

from tests.clients.conftest import KEY, input_lines
from tests.server import Server

# `requests` writes a space in a parameter as `+`; a script that quotes by itself writes %20.
SPELLINGS = ("plus", "percent")


def filter_of(seconds: int, status: str | None = None) -> str:
    """Batches of the last so many seconds, of one status or of all."""
    terms = [f"created_at gt {int(time.time()) - seconds}"]
    if status is not None:
        terms.append(f"status eq '{status}'")
    return " and ".join(terms)


def ask(server: Server, parameters: Mapping[str, str], *, spelling: str, prefix: str = "/openai") -> requests.Response:
    """One GET of the list."""
    url = f"http://{server.address}{prefix}/batches"
    headers = {"Authorization": f"Bearer {KEY}"}
    if spelling == "plus":
        return requests.get(url, headers=headers, params=dict(parameters), timeout=30)
    query = "&".join(f"{quote(name, safe='$')}={quote(value)}" for name, value in parameters.items())
    return requests.get(f"{url}?{query}", headers=headers, timeout=30)


@pytest.fixture(scope="module")
def batches(server: Server) -> list[Any]:
    """Three batches that have completed and one that was cancelled, in the order of their creation."""
    session = requests.Session()
    session.headers["api-key"] = KEY
    session.params = {"api-version": "2024-10-21"}
    url = f"http://{server.address}/openai"

    def create(lines: int) -> str:
        upload = {"file": ("in.jsonl", input_lines(lines))}
        file = session.post(f"{url}/files", data={"purpose": "batch"}, files=upload, timeout=30).json()
        order = {"input_file_id": file["id"], "endpoint": "/chat/completions", "completion_window": "24h"}
        batch_id: str = session.post(f"{url}/batches", json=order, timeout=30).json()["id"]
        return batch_id

    ids = [create(lines) for lines in (2, 2, 5_000, 2)]
    assert session.post(f"{url}/batches/{ids[2]}/cancel", timeout=30).ok
    deadline = time.monotonic() + 30
    while True:
        made = [session.get(f"{url}/batches/{batch_id}", timeout=30).json() for batch_id in ids]
        if all(batch["status"] in ("completed", "cancelled") for batch in made):
            return made
        assert time.monotonic() < deadline, made
        time.sleep(0.05)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("status", ["Completed", "completed"])
@pytest.mark.contract("A.17", "A GET /batches")
def test_the_documented_script(server: Server, batches: list[Any], spelling: str, status: str) -> None:
    """A time and a status, the oldest first; the status in the documentation's spelling or in the body's."""
    parameters = {
        "api-version": "2024-10-01-preview",
        "$filter": filter_of(8 * 3_600, status),
        "$orderby": "created_at asc",
    }
    answer = ask(server, parameters, spelling=spelling)
    assert answer.status_code == 200, answer.text
    page = answer.json()
    assert page["data"] == [batch for batch in batches if batch["status"] == "completed"]
    assert (page["first_id"], page["last_id"], page["has_more"]) == (batches[0]["id"], batches[3]["id"], False)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_time_alone(server: Server, batches: list[Any], spelling: str) -> None:
    """Without a status there are batches of every status; without an order, the newest first."""
    parameters = {"api-version": "2024-10-01-preview", "$filter": filter_of(86_400)}
    page = ask(server, parameters, spelling=spelling).json()
    assert [batch["id"] for batch in page["data"]] == [batch["id"] for batch in batches[::-1]]
    nothing = {"api-version": "2024-10-01-preview", "$filter": filter_of(-3_600)}
    assert ask(server, nothing, spelling=spelling).json()["data"] == []


def test_pages_of_a_filtered_list(server: Server, batches: list[Any]) -> None:
    """`after` and `limit` page through what the filter has left, to the end."""
    parameters = {
        "api-version": "2024-10-01-preview",
        "$filter": filter_of(3_600, "Completed"),
        "$orderby": "created_at asc",
        "limit": "1",
    }
    seen: list[str] = []
    more = True
    while more:
        page = ask(server, parameters, spelling="plus").json()
        seen += [batch["id"] for batch in page["data"]]
        parameters["after"] = page["last_id"]
        more = page["has_more"]
    assert seen == [batch["id"] for batch in batches if batch["status"] == "completed"]


def test_the_newer_family(server: Server, batches: list[Any]) -> None:
    """Azure v1 has the same filter, without an api-version."""
    parameters = {"$filter": "status eq 'Cancelled'"}
    page = ask(server, parameters, spelling="plus", prefix="/openai/v1").json()
    assert [batch["id"] for batch in page["data"]] == [batches[2]["id"]]


@pytest.mark.parametrize("given", ["created_at after 5", "status gt 'Completed'", "color eq 'blue'", "status eq"])
def test_what_cannot_be_understood(server: Server, given: str) -> None:
    """400 that names the parameter, instead of a list of something else."""
    answer = ask(server, {"api-version": "2024-10-01-preview", "$filter": given}, spelling="plus")
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "$filter"
