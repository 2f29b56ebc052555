"""A member that sends to many engines asks for some at a time, so that others need not wait for all of them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.system_clock import SystemClock
from slackwater.core.errors import StorageTrouble
from slackwater.core.sending.shared_slots import Ask, Grant
from slackwater.pipeline.sending.sharing import ASKED_AT_ONCE, Sharing

ENGINES, SLOTS = 2 * ASKED_AT_ONCE + 1, 4


class _Engine:
    """One that could do with all it may have."""

    limit_of_all = appetite = SLOTS

    def __init__(self, number: int) -> None:
        self.shared_as = f"http://e:{number}"
        self.slots = 0

    def shared(self, slots: int, sends_until: float) -> None:
        self.slots = slots

    def look(self) -> None:
        raise AssertionError("nobody waits to be alone")

    def cut(self, lane: Any) -> None:
        raise AssertionError("nothing is out")


class _Watched:
    """A ledger that counts what is asked in one transaction, and is away from one of them on."""

    def __init__(self, ledger: SqlLedger, *, away_from: int | None = None) -> None:
        self._ledger = ledger
        self._away_from = away_from
        self.asked: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    async def share_engines(self, member: str, asks: Sequence[Ask], *, seconds: float, now: float) -> list[Grant]:
        self.asked.append(len(asks))
        if self._away_from is not None and len(self.asked) > self._away_from:
            raise StorageTrouble("it is away")
        return await self._ledger.share_engines(member, asks, seconds=seconds, now=now)


async def _asked(place: Path, *, away_from: int | None = None) -> tuple[list[int], list[int]]:
    """What was asked in each transaction of one step, and the slots of each engine."""
    ledger = SqlLedger.open(place, inline=True)
    watched: Any = _Watched(ledger, away_from=away_from)
    sharing = Sharing(watched, SystemClock(), member="a")
    engines = [_Engine(number) for number in range(ENGINES)]
    for engine in engines:
        sharing.share_of(engine).felt()
    # `felt` has asked for it at once.
    await sharing.step()
    await sharing.close()
    await ledger.close()
    return watched.asked, [engine.slots for engine in engines]


def test_some_at_a_time(tmp_path: Path) -> None:
    """All of them get what there is."""
    asked, slots = asyncio.run(_asked(tmp_path / "l"))
    assert asked == [ASKED_AT_ONCE, ASKED_AT_ONCE, 1]
    assert slots == [SLOTS] * ENGINES


def test_a_ledger_that_goes_away_in_between(tmp_path: Path) -> None:
    """What was granted before that is used; the rest is asked for again."""
    asked, slots = asyncio.run(_asked(tmp_path / "l", away_from=1))
    assert asked == [ASKED_AT_ONCE, ASKED_AT_ONCE]
    assert slots == [SLOTS] * ASKED_AT_ONCE + [0] * (ENGINES - ASKED_AT_ONCE)
