"""The part of the SQL ledger that keeps the history of engines: a row for each engine, minute and process."""

from collections.abc import Sequence

import msgspec

from slackwater.adapters.sql.base import SqlPart
from slackwater.adapters.sql.db import Db, Row, SearchTooLong
from slackwater.adapters.sql.rows import text_of
from slackwater.core.errors import InvalidRequest
from slackwater.core.watching.engine_minutes import EngineMinute, in_steps, merged

_counts = msgspec.json.Decoder(tuple[int, ...])


def _record(row: Row, engine: str) -> EngineMinute:
    return EngineMinute(
        engine=engine,
        at=row["minute"],
        owner=row["owner"],
        state=row["state"],
        seconds=row["seconds"],
        paused_seconds=row["paused_seconds"],
        slots=row["slots"],
        in_flight_seconds=row["in_flight_seconds"],
        in_flight_max=row["in_flight_max"],
        calls=row["calls"],
        failed=row["failed"],
        tokens=row["tokens"],
        call_seconds=row["call_seconds"],
        call_counts=() if row["call_counts"] is None else _counts.decode(row["call_counts"]),
        paced_seconds=row["paced_seconds"],
        window_seconds=row["window_seconds"],
        others_seconds=row["others_seconds"],
        waiting_seconds=row["waiting_seconds"],
        frozen_seconds=row["frozen_seconds"],
        cache_full_seconds=row["cache_full_seconds"],
        lost_seconds=row["lost_seconds"],
        shared_seconds=row["shared_seconds"],
        step_sum=row["step_sum"],
        alone_sum=row["alone_sum"],
        target_seconds=row["target_seconds"],
        target_sum=row["target_sum"],
    )


class SqlEngines(SqlPart):
    """The methods of the port that concern engines."""

    async def add_engine_minutes(self, minutes: Sequence[EngineMinute]) -> None:
        def work(db: Db) -> None:
            for minute in minutes:
                self._sql.run(db, "add_engine", {"name": minute.engine})
                engine = self._sql.number(db, "engine_number", {"name": minute.engine})
                place = {"engine": engine, "minute": minute.at, "owner": minute.owner}
                row = self._sql.one(db, "engine_minute", place)
                whole = minute if row is None else merged([_record(row, minute.engine), minute], at=minute.at)
                values = msgspec.structs.asdict(whole) | place
                values["call_counts"] = text_of(whole.call_counts) if whole.call_counts else None
                self._sql.run(db, "put_engine_minute", values)

        await self._sql.write(work)

    async def engine_history(self, engine: str, *, first: int, last: int, step: int) -> list[EngineMinute]:
        def work(db: Db) -> list[EngineMinute]:
            rows = db.execute(self._sql.text("engine_minutes"), {"name": engine, "first": first, "last": last})
            # Row by row: of many weeks, only the steps are kept.
            return in_steps((_record(row, engine) for row in rows), step=step)

        try:
            return await self._sql.database.search(work)
        except SearchTooLong as error:
            raise InvalidRequest("Too much would have to be looked at. Ask for fewer days.", param="from") from error

    async def trim_engine_minutes(self, *, before: int, limit: int) -> int:
        values = {"before": before, "limit": limit}
        # Looked at without a write transaction first: most rounds find nothing.
        if not await self._sql.database.read(lambda db: self._sql.all(db, "engines_to_trim", values)):
            return 0

        def work(db: Db) -> int:
            engines = self._sql.all(db, "engines_to_trim", values)
            gone = sum(self._sql.run(db, "trim_engine_minutes", values | {"engine": row[0]}) for row in engines)
            self._sql.run(db, "forget_engines", {})
            return gone

        return await self._sql.write(work)
