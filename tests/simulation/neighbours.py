"""Nobody is held up by another's trouble: in calm, healthy batches end in about the time that their own lines need."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from slackwater.core.batch import Batch
from tests.simulation.checks import must
from tests.simulation.content import SECONDS_SLOW, Content
from tests.simulation.engines import LATENCY_MEAN
from tests.simulation.plan import Mood

if TYPE_CHECKING:
    from tests.simulation.world import World

# A shut door is looked at within a minute, one whose account was blocked within an hour.
GAP_SECONDS = 60.0
BLOCKED_SECONDS = 3600.0
# Stages look once a second, windows and leases are looked after each five.
SPARE_SECONDS = 30.0
# Each healthy line may take so many times what it takes alone, on the fewest slots that a deployment has.
FACTOR = 3.0
SLOTS_MIN = 2
# Of the smallest quota, half is others', and half of the rest may go to what is tried again.
QUOTA_SECONDS, QUOTA_LINE_SECONDS = 300.0, 2.0


class Neighbours:
    """The healthy batches of a world that is calm from now on."""

    def __init__(self, world: "World") -> None:
        self._world = world
        lines = sum(text.partition("/")[0] in world.healthy for text in world.lines)
        # Lines that take their time do so on slots that others want, too: turns are taken by lines, not by seconds.
        slow = sum(content is Content.SLOW for content in world.lines.values())
        blocked = any(engine.was_blocked for engine in world.engines)
        self.seconds = (
            SPARE_SECONDS
            + (BLOCKED_SECONDS if blocked else GAP_SECONDS)
            + world.plan.lease_seconds
            + world.clock.back
            + FACTOR * lines * LATENCY_MEAN / SLOTS_MIN
            + slow * world.plan.attempts_max * SECONDS_SLOW / SLOTS_MIN
        )
        """What they may take."""
        if Mood.QUOTAS in world.plan.moods:
            # Whoever uses the same quota may have it first, and what is known of it was lost at the last death.
            self.seconds += QUOTA_SECONDS + len(world.lines) * QUOTA_LINE_SECONDS
        # One that waits for tokens waits for the batches that hold them, by the rules of its deployment.
        self._bound = all(deployment.token_limit is None for deployment in world.plan.deployments)
        self.all_ended = False

    def look(self, left: Sequence[Batch | None], seconds: float) -> None:
        """These have not ended after so many seconds of calm."""
        late = [batch.id for batch in left if batch is not None and batch.id in self._world.healthy]
        self.all_ended = not late
        if self._bound:
            must(seconds < self.seconds or not late, f"{late} should have ended within {self.seconds:.0f} s of calm")
