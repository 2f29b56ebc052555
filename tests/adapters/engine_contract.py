"""What every ledger promises of the history of engines. Inherited together with LedgerContract."""

from typing import Any

import msgspec

from slackwater.core.watching.engine_minutes import merged
from slackwater.ports import Ledger
from tests.core.test_engine_minutes import minute


class EngineContract:
    """Inherit beside LedgerContract."""

    def test_minutes_come_back_as_they_went_in(self, run: Any) -> None:
        """By engine, in order, from a moment on and before another; of several processes, together."""

        async def story(ledger: Ledger) -> None:
            mine = [minute(60 * number, calls=number, call_counts=(number, 0, 0, 0)) for number in range(5)]
            await ledger.add_engine_minutes(mine)
            await ledger.add_engine_minutes([minute(0, engine="other"), minute(60, owner="v", call_counts=())])
            assert await ledger.engine_history("e", first=0, last=60, step=60) == [mine[0]]
            [second, third] = await ledger.engine_history("e", first=60, last=180, step=60)
            assert third == mine[2]
            assert second == merged([mine[1], minute(60, owner="v", call_counts=())], at=60)
            [whole] = await ledger.engine_history("e", first=0, last=300, step=300)
            assert whole.calls == 0 + 1 + 2 + 3 + 4 + 10
            assert await ledger.engine_history("nobody", first=0, last=600, step=60) == []

        run(story)

    def test_a_minute_that_is_there_is_added_to(self, run: Any) -> None:
        """Of one process: a clock may go back over the end of a minute."""

        async def story(ledger: Ledger) -> None:
            await ledger.add_engine_minutes([minute(), minute(state="down", seconds=70.0)])
            [found] = await ledger.engine_history("e", first=0, last=60, step=60)
            assert (found.calls, found.state, found.owner) == (20, "down", "w")
            assert found.call_counts == (10, 8, 2, 0)

        run(story)

    def test_old_minutes_go(self, run: Any) -> None:
        """In rounds, from the oldest on; an engine without minutes is forgotten, and comes back with the next."""

        async def story(ledger: Ledger) -> None:
            old = [minute(60 * number, engine=name) for name in ("e", "f") for number in range(7)]
            await ledger.add_engine_minutes([*old, minute(600)])
            assert await ledger.trim_engine_minutes(before=600, limit=5) == 10
            left = await ledger.engine_history("e", first=0, last=10_000, step=60)
            assert [each.at for each in left] == [300, 360, 600]
            assert await ledger.trim_engine_minutes(before=600, limit=5) == 4
            assert await ledger.trim_engine_minutes(before=600, limit=5) == 0
            assert await ledger.engine_history("e", first=0, last=10_000, step=60) == [minute(600)]
            assert await ledger.engine_history("f", first=0, last=10_000, step=60) == []
            again = msgspec.structs.replace(minute(660), engine="f")
            await ledger.add_engine_minutes([again])
            assert await ledger.engine_history("f", first=0, last=10_000, step=60) == [again]

        run(story)
