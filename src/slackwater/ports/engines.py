"""What the ledger keeps of engines: what became of each, minute by minute."""

from collections.abc import Sequence
from typing import Protocol

from slackwater.core.watching.engine_minutes import EngineMinute


class EngineLedger(Protocol):
    """The part of the ledger that has the history of engines."""

    async def add_engine_minutes(self, minutes: Sequence[EngineMinute]) -> None:
        """Keeps them; one of an engine, a minute and a process that is there already is added to."""
        ...

    async def engine_history(self, engine: str, *, first: int, last: int, step: int) -> list[EngineMinute]:
        """What became of an engine from one moment on and before another, over all processes, in steps of so many seconds.

        Steps without a minute are left out. Raises InvalidRequest where too much would have to be looked at.
        """
        ...

    async def trim_engine_minutes(self, *, before: int, limit: int) -> int:
        """Forgets at most `limit` of each engine's oldest minutes, of before that moment; returns how many."""
        ...
