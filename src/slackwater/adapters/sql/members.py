"""The part of the SQL ledger that knows who works with it, where those are several, and what becomes of what a dead one had."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from slackwater.adapters.sql.base import SqlBase, SqlPart
from slackwater.adapters.sql.db import Db, Row
from slackwater.adapters.sql.duties import Duties
from slackwater.adapters.sql.shards import SqlShards
from slackwater.adapters.sql.sharing import SqlSharing
from slackwater.core.members import Duty, Member, member_of
from slackwater.core.watching.cluster import ClusterReading, DutyHeld, ShardsHeld, SlotsHeld

# So many duties and slots are read at most: several times what a large cluster has.
HELD_MAX = 10_000


class SqlMembers(SqlPart):
    """The methods of the port that concern members."""

    def __init__(self, base: SqlBase, shards: SqlShards, duties: Duties, sharing: SqlSharing) -> None:
        super().__init__(base)
        self._shards = shards
        self._duties = duties
        self._sharing = sharing

    async def add_member(self, member: Member) -> None:
        """For ledgers without a presence, which says it itself."""
        await self._sql.write(lambda db: self._sql.run(db, "add_member", member_row(member)))

    async def members(self) -> list[Member]:
        return [member_record(row) for row in await self._sql.look_all("members", {})]

    async def send_for(self, member_id: str, deployments: Sequence[str]) -> None:
        row = {"id": member_id, "sends_for": encoded(deployments)}
        # It is said once.
        await self._sql.write(lambda db: self._sql.run(db, "send_for", row), fenced=True)

    async def cluster(self, *, now: float) -> ClusterReading:
        def work(db: Db) -> ClusterReading:
            return cluster_reading(lambda name, values: self._sql.all(db, name, values), now=now)

        found = await self._sql.database.read(work)
        if self._sql.member is not None:
            return found
        # All of it is its only server's.
        shards = [msgspec.structs.replace(each, member="") for each in found.shards]
        duties = [DutyHeld("", duty, thing) for duty, thing in self._duties.mine()]
        return msgspec.structs.replace(found, shards=shards, duties=duties)

    async def others(self) -> bool:
        if self._sql.member is None:
            return False
        return any(row["id"] != self._sql.member for row in await self._sql.look_all("members", {}))

    async def bury(self, member_id: str, *, gone: bool = False) -> int | None:
        def work(db: Db) -> int | None:
            if not self._sql.run(db, "forget_member", {"id": member_id}):
                return None
            self._sql.run(db, "end_duties", {"member": member_id})
            # Unless its process is gone, what it has out at engines counts to the end of its grants: it may only have lost its
            # connection.
            self._sharing.bury_in(db, member_id, gone=gone)
            freed = self._shards.free_those_of(db, member_id)
            self._sql.one(db, "tell_members", {"id": member_id})
            return freed

        return await self._sql.write(work, durable=False)

    async def end_duty(self, duty: Duty, thing: str) -> None:
        await self._duties.end(duty, thing)


def cluster_reading(all_: Callable[[str, dict[str, Any]], list[Row]], *, now: float = 0.0) -> ClusterReading:
    """What a ledger knows of its members; `all_` has the rows of a statement."""
    now = float(all_("database_now", {"now": now})[0][0])
    shards: Counter[tuple[str, str]] = Counter()
    for row in all_("shards_in_hand", {}):
        shards[member_of(row["owner"]), row["deployment"]] += row["shards"]
    duties = all_("duties_in_hand", {"limit": HELD_MAX})
    slots = all_("slots_in_hand", {"now": now, "limit": HELD_MAX})
    return ClusterReading(
        now=now,
        members=[member_record(row) for row in all_("members", {})],
        watching=next((row["id"] for row in all_("member_that_watches", {})), ""),
        shards=[ShardsHeld(*key, count) for key, count in shards.items()],
        duties=[DutyHeld(row["member"], Duty(row["kind"]), row["thing"]) for row in duties],
        slots=[SlotsHeld(row["member"], row["engine"], row["slots"], row["wanted"]) for row in slots],
    )


def member_row(member: Member) -> dict[str, object]:
    """The columns of a member."""
    return {
        "id": member.id,
        "host": member.host,
        "version": member.version,
        "kind": member.kind,
        "started_at": member.started_at,
        "until": member.until,
        "sends_for": None if member.sends_for is None else encoded(member.sends_for),
    }


def encoded(deployments: Sequence[str]) -> str:
    """Keys of deployments, as a column has them."""
    return msgspec.json.encode(sorted(deployments)).decode()


def member_record(row: Row) -> Member:
    """The member of a row."""
    return Member(
        id=row["id"],
        host=row["host"],
        version=row["version"],
        kind=row["kind"],
        started_at=row["started_at"],
        until=row["until"],
        dead=row["dead_at"] is not None,
        sends_for=None if row["sends_for"] is None else msgspec.json.decode(row["sends_for"], type=tuple[str, ...]),
    )
