"""Rate limits of a server that others use as well, under the whole sending side, in virtual time."""

import math
import random
from pathlib import Path

import pytest

from slackwater.core.sending.door import DoorState
from slackwater.core.sending.rate_limit_headers import Reading
from slackwater.core.sending.rate_limits import Quota, Told
from slackwater.core.sending.request import Reply
from tests.pipeline.engines import GOOD, PROBE, Answer, Call, ScriptedEngine, Service, served
from tests.simulation.virtual import VirtualLoop

LIMIT = 120


class Vendor(ScriptedEngine):
    """So many requests a minute, in windows that begin at `phase`, of which online traffic uses a share in bursts."""

    def __init__(
        self, loop: VirtualLoop, *, online: float = 0.0, says: bool = True, waits: bool = True, seconds: float = 1.0
    ) -> None:
        """`says`: whether it has headers; `waits`: whether a refusal says when to come again."""
        super().__init__(loop, seconds=seconds)
        self._says, self._waits = says, waits
        self._chance = random.Random(7)
        self._online_rate = online * LIMIT / 60
        self._online_at = self._chance.expovariate(self._online_rate) if online else math.inf
        self._window = -1
        self._used = 0
        self.online_offered = self.online_refused = self.refused = 0
        self.served_at: list[float] = []

    def _pass(self) -> None:
        """Online traffic until now."""
        while self._online_at <= self.now:
            self._roll(self._online_at)
            self.online_offered += 1
            if self._used < LIMIT:
                self._used += 1
            else:
                self.online_refused += 1
            self._online_at += self._chance.expovariate(self._online_rate)
        self._roll(self.now)

    def _roll(self, at: float) -> None:
        if (window := math.floor((at + 23.0) / 60)) != self._window:
            self._window, self._used = window, 0

    async def answer(self, call: Call) -> Answer:
        """It is counted when it arrives, and the headers say how things were then."""
        self._pass()
        reset = (self._window + 1) * 60 - 23.0 - self.now
        admitted = self._used < LIMIT
        if admitted:
            self._used += 1
            if call.text != PROBE:
                self.served_at.append(self.now)
        limits = (Reading(False, None, LIMIT, LIMIT - self._used, round(reset, 3)),) if self._says else ()
        if not admitted:
            self.refused += 1
            return Reply(429, b"{}", reset if self._waits else None, limits=limits)
        await super().answer(call)
        return Reply(200, GOOD.body, limits=limits)


@pytest.mark.parametrize("online", [0.0, 0.4, 0.7])
def test_others_find_their_room(tmp_path: Path, online: float) -> None:
    """A batch uses what online traffic leaves of the quota, and costs it next to nothing."""

    async def story(service: Service) -> None:
        vendor = Vendor(service.loop, online=online)
        batch = await service.batch([f"line {number}" for number in range(400)])
        service.serve(vendor, slots=16)
        took = await service.ended(batch)
        assert await service.counts(batch) == (400, 0)
        vendor._pass()
        assert vendor.online_refused <= 0.03 * vendor.online_offered
        # Two windows to learn in; after them it has most of what is left.
        assert took <= 120 + 400 / (0.7 * (1 - online) * LIMIT / 60)
        assert vendor.refused <= 4

    served(tmp_path, story)


def test_who_waits_for_others_says_so(tmp_path: Path) -> None:
    """A backend that leaves room to others is well, says what it leaves, and how long."""

    async def story(service: Service) -> None:
        vendor = Vendor(service.loop, online=0.4)
        batch = await service.batch([f"line {number}" for number in range(400)])
        worker = service.serve(vendor, slots=16)
        said = set()
        for _ in range(300):
            await service.clock.sleep(0.5)
            standing = worker.dispatchers[0].standing
            assert standing.state is DoorState.OK or vendor.refused
            if standing.reason:
                assert standing.until is not None
                said.add(" ".join(word for word in standing.reason.split() if not word.isdigit()))
        assert any("requests of this minute to others" in words for words in said), said
        await service.ended(batch)

    served(tmp_path, story)


def test_what_waits_for_a_window_goes_when_it_begins(tmp_path: Path) -> None:
    """Alone on a quota: every window is used up to the reserve, and the next requests go within moments of its beginning."""

    async def story(service: Service) -> None:
        vendor = Vendor(service.loop)
        batch = await service.batch([f"line {number}" for number in range(400)])
        service.serve(vendor, slots=16)
        took = await service.ended(batch)
        assert took < 180
        first = {math.floor((at + 23.0) / 60): (at + 23.0) % 60 for at in reversed(vendor.served_at)}
        assert max(after for window, after in first.items() if window > 0) < 1.5

    served(tmp_path, story)


def test_an_operators_limit_is_kept_without_a_word_from_the_server(tmp_path: Path) -> None:
    """No header at all: what the operator has told is never exceeded in a window of ours, and everything gets through."""

    async def story(service: Service) -> None:
        vendor = Vendor(service.loop, says=False)
        batch = await service.batch([f"line {number}" for number in range(300)])
        worker = service.serve(vendor, slots=16)
        service.door_of(vendor).quota = Quota(Told(requests_per_minute=60, shared=False))
        await service.ended(batch)
        assert await service.counts(batch) == (300, 0)
        times = vendor.served_at
        assert max(sum(at <= other < at + 60 for other in times) for at in times) <= 2 * 60
        assert vendor.refused == 0
        assert worker.dispatchers[0].door.quota is not None

    served(tmp_path, story)


@pytest.mark.parametrize("waits", [True, False])
def test_refusals_without_headers_starve_nobody(tmp_path: Path, waits: bool) -> None:
    """The operator's figure is too large, others use most of it, and answers say nothing: it gets through all the same."""

    async def story(service: Service) -> None:
        vendor = Vendor(service.loop, online=0.7, says=False, waits=waits)
        batch = await service.batch([f"line {number}" for number in range(200)])
        service.serve(vendor, slots=16)
        service.door_of(vendor).quota = Quota(Told(requests_per_minute=2 * LIMIT))
        took = await service.ended(batch)
        assert await service.counts(batch) == (200, 0)
        assert took < 3600

    served(tmp_path, story)


def test_two_deployments_share_a_quota(tmp_path: Path) -> None:
    """They go through one door, so neither takes the other for a stranger, and both get through."""

    async def story(service: Service) -> None:
        vendor = Vendor(service.loop, online=0.3)
        first = await service.batch([f"first {number}" for number in range(150)])
        second = await service.batch([f"second {number}" for number in range(150)], deployment="e")
        service.serve(vendor, slots=16)
        service.serve(vendor, slots=16, deployment="e")
        await service.ended(first)
        await service.ended(second)
        assert vendor.refused <= 4
        assert len(vendor.served_at) == 300

    served(tmp_path, story)
