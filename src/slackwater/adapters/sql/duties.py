"""What one member of the ledger at a time does: rows that are taken and given back.

One is taken in one transaction with another look at what is to be done, so that what somebody has just ended is not begun again.
What comes of it is fenced by the state of its thing besides. An embedded ledger has no members: everything is its only server's,
and nothing is asked or written for that.
"""

import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeVar

from slackwater.adapters.sql.base import SqlBase
from slackwater.adapters.sql.db import Db
from slackwater.core.errors import StorageTrouble
from slackwater.core.members import Duty
from slackwater.telemetry import event

T = TypeVar("T")


class Duties:
    """Takes and ends duties in the name of a member."""

    def __init__(self, sql: SqlBase) -> None:
        self._sql = sql
        # Those that are done, and whose rows could not be removed.
        self._left: set[tuple[Duty, str]] = set()
        # Those of a server that is alone.
        self._mine: set[tuple[Duty, str]] = set()

    def mine(self) -> list[tuple[Duty, str]]:
        """What is done here, where nobody else works with the ledger and no row says it."""
        return sorted(self._mine, key=lambda each: (each[0].value, each[1]))

    async def next(
        self,
        duty: Duty,
        find: Callable[[Collection[str]], Awaitable[T | None]],
        about: Callable[[T], dict[str, Any]],
        *,
        skip: Collection[str],
        stands: str,
    ) -> T | None:
        """What is to be done next: what `find` finds besides `skip` and what others do. It is this member's duty from now on.

        `about` has the `thing` of what was found, and the values of the statement `stands`, which finds it as long as it is to be
        done.
        """
        if self._sql.member is None:
            mine = await find(skip)
            if mine is not None:
                self._mine.add((duty, about(mine)["thing"]))
            return mine
        found = await find(skip)
        if found is None:
            # As mostly; and then nobody has to know what others do.
            return None
        passed = {*skip, *await self.of_others(duty)}
        if about(found)["thing"] in passed:
            found = await find(passed)
        while found is not None:
            values = about(found)
            if await self.take(duty, values["thing"], stands, values):
                return found
            passed.add(values["thing"])
            found = await find(passed)
        return None

    async def of_others(self, duty: Duty) -> frozenset[str]:
        """What others are doing."""
        if self._sql.member is None:
            return frozenset()
        values = {"kind": duty.value, "member": self._sql.member}
        return frozenset(row["thing"] for row in await self._sql.look_all("duties_of_others", values))

    async def take(self, duty: Duty, thing: str, stands: str, about: dict[str, Any]) -> bool:
        """Makes it this member's, unless it is somebody else's, or the statement `stands` finds that there is nothing to do."""
        if self._sql.member is None:
            return True
        values = {"kind": duty.value, "thing": thing, "member": self._sql.member}
        self._left.discard((duty, thing))

        def work(db: Db) -> bool:
            if not self._sql.run(db, "take_duty", values):
                return False
            # Whoever had it before has ended it: what is seen from here on is what came of that.
            if self._sql.one(db, stands, about) is None:
                self._sql.run(db, "end_duty", values)
                return False
            return True

        return await self._sql.write(work, durable=False, fenced=True)

    async def end(self, duty: Duty, thing: str) -> None:
        """Gives it back, and those that could not be given back before."""
        if self._sql.member is None:
            self._mine.discard((duty, thing))
            return
        self._left.add((duty, thing))
        left = sorted(self._left, key=lambda each: (each[0].value, each[1]))

        def work(db: Db) -> None:
            for kind, what in left:
                self._sql.run(db, "end_duty", {"kind": kind.value, "thing": what, "member": self._sql.member})

        try:
            await self._sql.write(work, durable=False, fenced=True)
        except StorageTrouble as error:
            event("duty_not_ended", level=logging.WARNING, duty=duty.value, thing=thing, reason=error)
        else:
            self._left.difference_update(left)
