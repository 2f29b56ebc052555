"""Watches how batches and backends get on: looks at what is durable every second and keeps the last minute in memory.

Nothing else needs it: it writes nothing, and after a restart it begins anew. Before: the journal. After: whoever asks.
"""

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from slackwater.core.watching.progress import WINDOW_SECONDS, Rates, rates
from slackwater.core.window import Window
from slackwater.pipeline.loops import Pace
from slackwater.ports import Clock, Ledger

STEP_SECONDS = 1.0
# Batches that are watched at once, the oldest first: these are being worked on. Each takes some 8 KB.
BATCHES_MAX = 1_000
# Where they are many, they are looked at less often: all servers of a ledger look, those that do nothing else, too.
MANY, MANY_SECONDS = 100, 5.0


class Quiet(Struct, frozen=True):
    """Calls are out to a backend and none has come back since a monotonic moment, when so many had ended."""

    since: float
    ended: float


class Progress:
    """The last minute of every open batch and of every backend."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        *,
        backends: Callable[[], Mapping[tuple[str, str], Sequence[float]]],
        out: Callable[[], Mapping[tuple[str, str], int]] = dict,
    ) -> None:
        """`backends` has, by deployment and name, sums that only grow, calls that have ended first; `out`, how many are out."""
        self._ledger = ledger
        self._clock = clock
        self._backends = backends
        self._out = out
        self._batches: dict[str, Window] = {}
        self._look_at = float("-inf")
        self._lately: dict[tuple[str, str], Window] = {}
        self._quiet: dict[tuple[str, str], Quiet] = {}

    async def step(self) -> Pace:
        """Looks once."""
        now = self._clock.monotonic()
        if now >= self._look_at:
            await self._look_at_batches(now)
        sums = self._backends()
        self._lately = {key: self._lately.get(key) or Window(seconds=WINDOW_SECONDS) for key in sums}
        for key, values in sums.items():
            self._lately[key].look(*values, at=now)
        self._quiet = {
            key: self._quiet_of(key, sums[key][0], now) for key, calls in self._out().items() if calls and key in sums
        }
        return Pace.IDLE

    async def _look_at_batches(self, now: float) -> None:
        rows = await self._ledger.batches_at_work(limit=BATCHES_MAX)
        # Whatever has ended is forgotten with this.
        self._batches = {
            row.batch_id: self._batches.get(row.batch_id) or Window(seconds=WINDOW_SECONDS) for row in rows
        }
        for row in rows:
            self._batches[row.batch_id].look(row.finished, row.tokens, at=now)
        # With half a step to spare: the step before is not to be missed by a hair.
        self._look_at = now + (MANY_SECONDS - STEP_SECONDS / 2 if len(rows) > MANY else 0.0)

    def _quiet_of(self, key: tuple[str, str], ended: float, now: float) -> Quiet:
        known = self._quiet.get(key)
        return known if known is not None and known.ended == ended else Quiet(now, ended)

    def rates(self, batch_id: str) -> Rates | None:
        """How quickly a batch gets on; None while that cannot be told."""
        window = self._batches.get(batch_id)
        return None if window is None else rates(window, now=self._clock.monotonic())

    def backend(self, deployment: str, name: str) -> tuple[float, tuple[float, ...]] | None:
        """In how many seconds, and by how much the sums of a backend have grown; None while that cannot be told."""
        window = self._lately.get((deployment, name))
        return None if window is None else window.grown()

    def quiet_since(self, deployment: str, name: str) -> float | None:
        """The monotonic moment, to about a second, since which calls are out to a backend and none has come back.

        None where none is out, however long ago the last one was.
        """
        quiet = self._quiet.get((deployment, name))
        return None if quiet is None else quiet.since
