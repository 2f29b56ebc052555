"""What batches are told apart by, for the list: names, input files, deployments, the rest of their metadata."""

import itertools
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from slackwater.cli.output import text_of
from slackwater.cli.states import delay_line
from slackwater.core.errors import CallFailed

if TYPE_CHECKING:
    from slackwater.client.api import Api

# The key of the metadata that has a job's name.
NAME = "name"
# Further than this nobody looks for the names of input files where each would be a call.
FILES_MAX = 1_000
# What a terminal without room goes without, the first one first; and how wide a cell is that may be broken.
DISPENSABLE = ("created", "metadata", "deployment", "done")
BROKEN_AT = {"job": 16, "metadata": 24, "waits for": 24}


class Told(Struct, frozen=True, kw_only=True):
    """One batch. What its server does not say is empty."""

    name: str
    file: str
    """The name of its input file."""
    deployment: str
    metadata: str
    """The rest: `team=tides, week=12`."""
    waits_for: str

    @property
    def title(self) -> str:
        """What it is called."""
        return self.name or self.file


def told_apart(api: "Api", batches: list[dict[str, Any]], *, statuses: Collection[str]) -> list[Told]:
    """The same for each of some batches, in a call or a few. `statuses` are those that were asked for; none is all."""
    rows = _rows(api, batches, statuses)
    files = {} if api.ours else _file_names(api, batches)
    told = []
    for batch in batches:
        row = rows.get(str(batch.get("id")), {})
        metadata = batch.get("metadata")
        pairs = {str(key): str(value) for key, value in metadata.items()} if isinstance(metadata, dict) else {}
        name = pairs.get(NAME, "").strip()
        blob = str(batch.get("input_blob") or "").rpartition("/")[2]
        told.append(
            Told(
                name=name,
                file=text_of(row.get("filename")) or blob or files.get(str(batch.get("input_file_id")), ""),
                deployment=text_of(row.get("deployment")),
                metadata=", ".join(f"{key}={value}" for key, value in pairs.items() if key != NAME or not name),
                waits_for=delay_line(row) if batch.get("status") == "in_progress" else "",
            )
        )
    return told


def _rows(api: "Api", batches: list[dict[str, Any]], statuses: Collection[str]) -> dict[str, dict[str, Any]]:
    if not api.ours:
        return {}
    try:
        return api.overview_rows([str(batch.get("id")) for batch in batches], statuses=statuses)
    except CallFailed:
        # An older server does not have it.
        return {}


def _file_names(api: "Api", batches: list[dict[str, Any]]) -> dict[str, str]:
    """The names of their input files, out of the newest ones; a vendor's batch has the id alone."""
    wanted = {str(batch["input_file_id"]) for batch in batches if batch.get("input_file_id")}
    found: dict[str, str] = {}
    try:
        for file in itertools.islice(api.files(purpose="batch"), FILES_MAX) if wanted else ():
            if file.get("id") in wanted:
                found[str(file["id"])] = text_of(file.get("filename"))
                if len(found) == len(wanted):
                    break
    except CallFailed:
        # Whoever may not see the files sees their ids.
        pass
    return found


def with_room(rows: list[dict[str, str]], width: int) -> list[str]:
    """The columns that a terminal of so many characters has room for; an empty one is none."""

    def wide(name: str) -> int:
        whole = max(len(name), *(len(row[name]) for row in rows))
        return min(whole, BROKEN_AT.get(name, whole)) + 2

    columns = [name for name in rows[0] if any(row[name] for row in rows)] if rows else []
    for name in DISPENSABLE:
        if sum(map(wide, columns)) <= width + 2:
            break
        columns = [each for each in columns if each != name]
    return columns
