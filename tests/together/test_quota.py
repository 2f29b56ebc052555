"""Quotas over several servers: whatever comes at once, and wherever, they hold; and who was let in is not refused later."""

import asyncio
import random
from pathlib import Path

import msgspec
import psycopg
import pytest

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.batch import TERMINAL, Status
from slackwater.core.errors import Conflict, NoRoom
from slackwater.core.files.file import Purpose
from slackwater.core.files.upload import Upload, UploadPart
from slackwater.ports import IdempotencyKey
from tests.adapters.ledger_contract import batch
from tests.together.servers import config_in, serving

pytestmark = pytest.mark.postgresql

LIMIT = 1_000
CONFIG = f"""
[[deployments]]
name = "d"
enqueued_token_limit = {LIMIT}
[[deployments.backends]]
echo = {{ latency_seconds = 0.3 }}
concurrency = 4
"""
# Every sum of what a deployment holds of those that were let in, as each transaction sees it.
WATCHED = b"""
CREATE TABLE held (tokens BIGINT);
CREATE FUNCTION watched() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO held SELECT COALESCE(SUM(tokens), 0) FROM batch_load WHERE stage IN ('running', 'ending');
    RETURN NULL;
END $$;
CREATE TRIGGER watched AFTER INSERT OR UPDATE ON batch_load FOR EACH STATEMENT EXECUTE FUNCTION watched();
"""
UNWATCHED = b"DROP TRIGGER watched ON batch_load; DROP FUNCTION watched(); DROP TABLE held"


def dense(number: int) -> bytes:
    """A file with more tokens than its characters would say: about 170, estimated at about 90."""
    text = f"{number} " + "a b c d e f g h " * 20
    return (
        b'{"custom_id":"a","method":"POST","url":"/chat/completions","body":{"model":"d","messages":'
        b'[{"role":"user","content":"%s"}]}}\n' % text.encode()
    )


def test_thirty_creates_at_once(tmp_path: Path, address: str) -> None:
    """Over two servers: as many are let in as the estimates have room for, the others hear 400. No moment has more tokens than
    the limit, and none of those that were let in fails for it."""

    async def main() -> None:
        config = config_in(tmp_path, CONFIG)
        async with (
            asyncio.timeout(120),
            serving(address, config, tmp_path / "data") as one,
            serving(address, config, tmp_path / "data") as other,
        ):
            files = [(await one.upload(dense(number))).json()["id"] for number in range(30)]
            chance = random.Random(7)
            answers = await asyncio.gather(*(chance.choice((one, other)).create(each) for each in files))
            let_in = [each.json()["id"] for each in answers if each.status_code == 200]
            refused = [each for each in answers if each.status_code == 400]
            assert len(let_in) + len(refused) == 30
            assert 5 < len(let_in) < 30
            assert all("token_limit_exceeded" in str(each.json()) for each in refused)
            statuses = []
            for batch_id in let_in:
                while (found := await other.ledger.batch(batch_id)) is None or found.status not in TERMINAL:
                    seen = other.service.hints.ended.count
                    await other.service.hints.ended.wait(other.service.clock, 0.05, seen=seen)
                statuses.append(found.status)
            assert statuses == [Status.COMPLETED] * len(let_in)

    with psycopg.connect(address, autocommit=True) as db:
        db.execute(WATCHED)
        try:
            asyncio.run(main())
            row = db.execute("SELECT max(tokens) FROM held").fetchone()
            assert row is not None
            assert LIMIT / 2 < row[0] <= LIMIT
        finally:
            db.execute(UNWATCHED)


def test_creates_over_four_servers_have_one_limit(address: str) -> None:
    """In the transaction that adds it, whoever comes."""

    async def story() -> None:
        ledgers = [SqlLedger.connect(address) for _ in range(4)]
        new = [batch(number, deployment="d", enqueued_tokens=10) for number in range(60)]
        ends = await asyncio.gather(
            *(ledgers[number % 4].add_batch(each, token_limit=80) for number, each in enumerate(new)),
            return_exceptions=True,
        )
        assert sum(isinstance(each, NoRoom) for each in ends) == 52
        assert await ledgers[0].enqueued_tokens("d") == 80
        await asyncio.gather(*(each.close() for each in ledgers))

    asyncio.run(story())


def test_a_key_makes_one_batch_over_all_servers(address: str) -> None:
    """The same order gets the batch that was made; another order under the same key is a conflict."""

    async def story() -> None:
        ledgers = [SqlLedger.connect(address) for _ in range(4)]
        key = IdempotencyKey(key="mine", digest="d1")
        ends = await asyncio.gather(
            *(
                ledgers[number % 4].add_batch(
                    batch(number), key=key if number % 3 else msgspec.structs.replace(key, digest="d2")
                )
                for number in range(30)
            ),
            return_exceptions=True,
        )
        made = {each.id for each in ends if not isinstance(each, BaseException)}
        assert len(made) == 1
        assert {type(each) for each in ends if isinstance(each, BaseException)} == {Conflict}
        assert len(await ledgers[0].batches(limit=50)) == 1
        await asyncio.gather(*(each.close() for each in ledgers))

    asyncio.run(story())


def test_parts_have_one_bound_over_all_servers(address: str) -> None:
    """An upload takes as many parts and bytes as it may, wherever they come, and none once it has ended."""

    async def story() -> None:
        ledgers = [SqlLedger.connect(address) for _ in range(4)]
        for name in ("parts", "bytes"):
            upload = Upload(
                id=name,
                filename="f",
                purpose=Purpose.BATCH,
                size=100,
                mime_type="text/plain",
                created_at=1,
                expires_at=1_000,
            )
            await ledgers[0].add_upload(upload)

        async def add(number: int, upload: str, *, parts_max: int, bytes_max: int) -> bool:
            part = UploadPart(
                id=f"{upload}-{number}",
                upload_id=upload,
                block_id=f"{upload}-{number}",
                size=10,
                created_at=1,
                blob=f"{upload}-{number}",
            )
            ledger = ledgers[number % 4]
            return await ledger.add_upload_part(part, now=2, parts_max=parts_max, bytes_max=bytes_max)

        taken = await asyncio.gather(*(add(number, "parts", parts_max=7, bytes_max=10**6) for number in range(40)))
        assert taken.count(True) == len(await ledgers[1].upload_parts("parts")) == 7
        taken = await asyncio.gather(*(add(number, "bytes", parts_max=99, bytes_max=100) for number in range(40)))
        assert taken.count(True) == len(await ledgers[1].upload_parts("bytes")) == 10
        await asyncio.gather(*(each.close() for each in ledgers))

    asyncio.run(story())
