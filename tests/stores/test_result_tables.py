"""Results as a table where files and logs are objects: while a batch runs, and afterwards."""

import json
from pathlib import Path

import pytest

from tests.api.calls import Caller
from tests.api.test_studio_watching import until
from tests.stores.servers import Server as Store
from tests.stores.test_serving import Place, openai_lines

pytestmark = [pytest.mark.stores, pytest.mark.timeout(240)]


def test_a_table_of_objects(store: Store, tmp_path: Path) -> None:
    """Pages, a search and an export have each line once, with its number, out of the logs' objects and out of the files."""
    server = Place(store, tmp_path).serve()
    try:
        call = Caller(server, "openai")
        made = call.create(openai_lines("row", 2_000)).json["id"]
        path = f"/batches/{made}"
        until(lambda: call("GET", path).json["request_counts"]["completed"], lambda done: done > 200)
        page = call("GET", f"{path}/result_table", query="order=line&limit=200").json
        numbers = [row["line"] for row in page["data"]]
        assert numbers == sorted(numbers)
        assert all(row["custom_id"] == f"row-{row['line'] - 1}" for row in page["data"])
        assert call("GET", f"{path}/result_search", query="text=row-7&limit=5").json["data"]
        call.ended(made)
        assert call("GET", path).json["status"] == "completed"
        for descending, first in (("false", 1), ("true", 2_000)):
            page = call("GET", f"{path}/result_table", query=f"order=line&descending={descending}").json
            assert (page["total"], page["data"][0]["line"]) == (2_000, first)
        found = call("GET", f"{path}/result_search", query="text=row-1999&in=custom_id").json
        assert [row["custom_id"] for row in found["data"]] == ["row-1999"]
        lines = call("GET", f"{path}/result_export", query="format=jsonl&order=line").body.splitlines()
        assert [json.loads(line)["custom_id"] for line in lines] == [f"row-{number}" for number in range(2_000)]
    finally:
        server.kill()
