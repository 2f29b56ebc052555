"""The part of the SQL ledger that keeps how batches went: a row for each batch, of a bounded size."""

from collections.abc import Mapping

import msgspec

from slackwater.adapters.sql.base import SqlPart
from slackwater.adapters.sql.db import Db
from slackwater.adapters.sql.rows import text_of
from slackwater.core.watching.batch_history import BatchHistory

_history = msgspec.json.Decoder(BatchHistory)


class SqlBatchHistories(SqlPart):
    """The methods of the port that concern histories of batches."""

    async def add_batch_histories(self, news: Mapping[str, BatchHistory]) -> None:
        def work(db: Db) -> None:
            rows = []
            for row in self._sql.all(db, "batch_histories", {"ids": text_of(sorted(news))}):
                whole = BatchHistory() if row["history"] is None else _history.decode(row["history"])
                whole.take(news[row["id"]])
                rows.append((row["seq"], text_of(whole)))
            db.executemany(self._sql.text("put_batch_history"), rows)

        # It is a picture: whoever draws it waits for no disk.
        await self._sql.write(work, durable=False)

    async def batch_history(self, batch_id: str) -> BatchHistory | None:
        row = await self._sql.look_one("batch_history", {"id": batch_id})
        return None if row is None else _history.decode(row["history"])
