"""Two servers with one ledger and one directory: what comes at once, split between them at random, leaves the facts of one."""

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
import pytest

from slackwater.core.batch import TERMINAL
from slackwater.core.files.file import Purpose
from tests.adapters.test_postgresql_machines import COUNTS, LOAD, WRONG_COUNTS
from tests.together.servers import Answer, Served, config_in, serving
from tests.together.test_standings import lines

pytestmark = pytest.mark.postgresql

LIMIT = 400
CONFIG = f"""
[limits]
lasting_files = 60
[[deployments]]
name = "d"
enqueued_token_limit = {LIMIT}
[[deployments.backends]]
echo = {{ latency_seconds = 0.01 }}
concurrency = 8
[[deployments]]
name = "queue"
enqueued_token_limit = {LIMIT}
when_full = "queue"
[[deployments.backends]]
echo = {{}}
concurrency = 8
"""
WHOLE = b"SELECT deployment, SUM(enqueued_tokens) FROM batch WHERE stage IN ('running', 'ending') GROUP BY deployment"


class Play:
    """Many calls at once, and what they were told."""

    def __init__(self, servers: list[Served], seed: int) -> None:
        self._servers = servers
        self._chance = random.Random(seed)
        self.files: list[str] = []
        self.deleted: set[str] = set()
        self.created: dict[str, int] = {}
        self.cancelled: set[str] = set()
        self.told: Counter[tuple[str, int]] = Counter()

    def any(self) -> Served:
        return self._chance.choice(self._servers)

    def note(self, what: str, answer: Answer, *known: int) -> Any:
        """What was answered; nothing but what a server says."""
        self.told[what, answer.status_code] += 1
        assert answer.status_code in known, (what, answer.status_code, answer.content)
        return answer.json()

    async def upload(self) -> None:
        count = self._chance.randint(1, 6)
        file = self.note(
            "upload", await self.any().upload(lines(count, self._chance.choice(("d", "queue")))), 200, 201, 400
        )
        if "id" in file:
            self.files.append(file["id"])

    async def create(self) -> None:
        if not self.files:
            return
        file = self._chance.choice(self.files)
        key = str(self._chance.randint(1, 40))
        headers = {"idempotency_key": f"{file}-{key}"} if self._chance.random() < 0.5 else {}
        batch = self.note("create", await self.any().create(file, **headers), 200, 400)
        if "id" in batch:
            self.created[batch["id"]] = batch["created_at"]

    async def cancel(self) -> None:
        if not self.created:
            return
        batch_id = self._chance.choice(list(self.created))
        batch = self.note("cancel", await self.any().call("POST", f"/batches/{batch_id}/cancel"), 200, 409)
        if batch.get("status") in ("cancelling", "cancelled"):
            self.cancelled.add(batch_id)

    async def delete(self) -> None:
        if not self.files:
            return
        file = self._chance.choice(self.files)
        self.note("delete", await self.any().call("DELETE", f"/files/{file}"), 200)
        self.deleted.add(file)

    async def play(self, count: int) -> None:
        """So many at once, of all kinds."""
        doing = [self.upload] * 4 + [self.create] * 4 + [self.cancel, self.delete]
        await asyncio.gather(*(self._chance.choice(doing)() for _ in range(count)))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_two_hundred_at_once(tmp_path: Path, address: str, seed: int) -> None:
    """Uploads, creates, cancels and deletes: each call is answered as one server would, both servers know the same afterwards,
    every batch ends with every line in one of its files, no count is off, and nothing lies about."""

    async def main() -> None:
        config = config_in(tmp_path, CONFIG)
        async with (
            asyncio.timeout(180),
            serving(address, config, tmp_path / "data") as one,
            serving(address, config, tmp_path / "data") as other,
        ):
            play = Play([one, other], seed)
            await asyncio.gather(*(play.upload() for _ in range(20)))
            for _ in range(4):
                await play.play(50)
            for batch_id in play.created:
                while (batch := await one.ledger.batch(batch_id)) is None or batch.status not in TERMINAL:
                    await asyncio.sleep(0.01)
            await facts(play, one, other)

    asyncio.run(main())
    with psycopg.connect(address, autocommit=True) as db:
        assert db.execute(WRONG_COUNTS).fetchall() == []
        assert db.execute(LOAD).fetchall() == []
        assert db.execute(COUNTS).fetchall() == []
        assert db.execute(WHOLE).fetchall() == []
        named = {row[0] for row in db.execute("SELECT blob FROM file").fetchall()}
    root = tmp_path / "data"
    there = {str(each.relative_to(root)) for each in root.rglob("*") if each.is_file()}
    # The bytes of every file that there is, and of nothing else.
    assert there == named


async def facts(play: Play, one: Served, other: Served) -> None:
    """What both servers say of what has been done."""
    listed = [{each.id: each for each in await served.ledger.batches(limit=1000)} for served in (one, other)]
    assert listed[0] == listed[1]
    assert set(listed[0]) == set(play.created)
    keyed = [
        await each.ledger.files(purpose=None, after=None, limit=1000, descending=True, now=0) for each in (one, other)
    ]
    assert keyed[0] == keyed[1]
    inputs = {each.id for each in keyed[0] if each.purpose is Purpose.BATCH}
    assert inputs == set(play.files) - play.deleted
    assert len(inputs) <= 60
    for batch in listed[0].values():
        counts = batch.counts
        assert batch.status.value in ("completed", "cancelled", "failed")
        if batch.status.value == "cancelled":
            assert batch.id in play.cancelled
        if batch.status.value == "failed":
            # Only what was deleted before it could be validated: nobody fails for want of room.
            assert batch.errors
            assert "token" not in batch.errors[0].code, batch
            assert batch.input_file_id in play.deleted
            continue
        found = []
        for file_id in (batch.output_file_id, batch.error_file_id):
            if file_id is None:
                continue
            contents = [(await each.call("GET", f"/files/{file_id}/content")).content for each in (one, other)]
            assert contents[0] == contents[1]
            found += [part for part in contents[0].splitlines() if part]
        assert len(found) == counts.total
        if batch.status.value == "completed":
            assert counts.completed + counts.failed == counts.total
