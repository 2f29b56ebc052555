"""The part of the SQL ledger by which the members of a cluster share engines: slots that are granted, and words.

A grant's moments are the database's own, asked for after the lock on the engine is there: clocks of members do not count, and one
that had to wait for its answer has less of the grant, never more.
"""

from collections.abc import Collection, Mapping, Sequence

from slackwater.adapters.sql.base import SqlPart
from slackwater.adapters.sql.db import Db
from slackwater.adapters.sql.rows import text_of
from slackwater.core.sending.shared_slots import CLOSED_SECONDS, LONGEST_MAX, Ask, Grant, Holding, granted, refused
from slackwater.ports import Heard, Said

# The number of whom nobody can follow.
BURIED = 1 << 62
# Rows of those who are gone are of no use any more after so long: no call is as long as that.
FORGOTTEN_AFTER_SECONDS = LONGEST_MAX + 100.0
# Who may still believe to live after so long?
GRAVE_SECONDS = 30 * 86_400.0
# Words of those are looked for in one second of so many: the table is small, and has no index that each word would change.
FORGET_SECONDS = 60


class SqlSharing(SqlPart):
    """The methods of the port that concern what members share."""

    def _now(self, db: Db, now: float) -> float:
        row = self._sql.one(db, "database_now", {"now": now})
        assert row is not None, "it is always some time"
        return float(row[0])

    async def share_engines(self, member: str, asks: Sequence[Ask], *, seconds: float, now: float) -> list[Grant]:
        # In one order for all members: two who lock the same engines do not wait for each other.
        ordered = sorted(asks, key=lambda ask: ask.engine)

        def work(db: Db) -> list[Grant]:
            # A process that is stopped between two statements would keep the lock, and the others from their slots.
            self._sql.one(db, "hurry", {})
            if self._sql.one(db, "is_buried", {"member": member}) is not None:
                return [refused(ask) for ask in ordered]
            return [self._share(db, member, ask, seconds=seconds, now=now) for ask in ordered]

        # Fenced by the lock on each engine.
        return await self._sql.write(work, fenced=True)

    def _share(self, db: Db, member: str, ask: Ask, *, seconds: float, now: float) -> Grant:
        self._sql.run(db, "lock_shared_engine", {"engine": ask.engine})
        now = self._now(db, now)
        holdings = [
            Holding(
                member=row["member"],
                wanted=row["wanted"],
                slots=row["slots"],
                limit=row["most"],
                until=row["until"],
                serial=row["serial"],
                longest=row["longest"],
                known=bool(row["known"]),
                alone=bool(row["alone"]),
                gone=bool(row["gone"]),
            )
            for row in self._sql.all(db, "engine_holdings", {"engine": ask.engine})
        ]
        grant = granted(ask, member=member, holdings=holdings, now=now)
        if not grant.heard:
            return grant
        values = {"engine": ask.engine, "member": member, "wanted": ask.wanted, "slots": grant.slots}
        values |= {
            "most": ask.limit,
            "serial": ask.serial,
            "until": now + seconds,
            "longest": ask.longest,
            "known": int(ask.known),
            "alone": int(ask.alone),
        }
        self._sql.run(db, "put_engine_slots", values)
        if any(each.until < now - FORGOTTEN_AFTER_SECONDS for each in holdings):
            before = now - FORGOTTEN_AFTER_SECONDS
            self._sql.run(db, "forget_engine_slots", {"engine": ask.engine, "before": before})
        return grant

    async def leave_engines(self, member: str, serials: Mapping[str, int]) -> None:
        def work(db: Db) -> None:
            for engine, serial in sorted(serials.items()):
                self._sql.run(db, "leave_engine", {"engine": engine, "member": member, "serial": serial})

        await self._sql.write(work, fenced=True)

    async def bury_shares(self, member: str, *, gone: bool = False, now: float = 0.0) -> None:
        await self._sql.write(lambda db: self.bury_in(db, member, gone=gone, now=now), fenced=True)

    def bury_in(self, db: Db, member: str, *, gone: bool = False, now: float = 0.0) -> None:
        """The same as a part of a transaction."""
        moment = self._now(db, now)
        values = {"member": member, "gone": int(gone), "buried": BURIED, "until": moment}
        closed = moment + CLOSED_SECONDS
        self._sql.run(db, "bury_engine_slots", values | {"closed": closed})
        self._sql.run(db, "bury_member", values)
        self._sql.run(db, "forget_engine_slots", {"engine": "", "before": moment - GRAVE_SECONDS})

    async def exchange_words(
        self, member: str, said: Mapping[str, Said], topics: Collection[str], *, now: float
    ) -> dict[str, list[Heard]]:
        def work(db: Db) -> dict[str, list[Heard]]:
            moment = self._now(db, now)
            for topic, each in sorted(said.items()):
                place = {"topic": topic, "member": member}
                if not each.text:
                    self._sql.run(db, "take_word_back", place)
                    continue
                # A thousandth of a second apart, no two words of one member are.
                values = place | {"text": each.text, "until": moment + each.seconds, "number": int(moment * 1000)}
                self._sql.run(db, "say_word", values)
            if said and not int(moment) % FORGET_SECONDS:
                self._sql.run(db, "forget_words", {"before": moment - FORGOTTEN_AFTER_SECONDS})
            heard: dict[str, list[Heard]] = {topic: [] for topic in topics}
            if topics:
                values = {"topics": text_of(list(topics)), "member": member, "now": moment}
                for row in self._sql.all(db, "words_of_others", values):
                    left = row["until"] - moment
                    heard[row["topic"]].append(Heard(row["member"], row["text"], left, row["number"]))
            return heard

        if not said:
            return await self._sql.database.look(work)
        # Each row is its member's alone, and what is lost in a power cut is said again a moment later.
        return await self._sql.write(work, durable=False, fenced=True)
