"""What is kept in memory of facts that other servers change: how old it may be, and what becomes of faults and many askers."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence

import pytest

from slackwater.core.errors import LedgerUnavailable
from slackwater.pipeline.following import FRESH_SECONDS, Following
from slackwater.pipeline.loops import Hints
from slackwater.ports import Standing
from tests.pipeline.test_hints import play
from tests.simulation.virtual import VirtualClock


class Others:
    """Numbers that a test raises, and nobody who is heard."""

    def __init__(self) -> None:
        self.numbers: Counter[str] = Counter()
        self.looks = 0
        self.away = False
        self.listening = False
        self.said: list[str] = []
        self.between: Callable[[], None] = lambda: None

    async def changes(self) -> Mapping[str, int]:
        self.looks += 1
        if self.away:
            raise LedgerUnavailable("away")
        numbers = dict(self.numbers)
        await asyncio.sleep(0)
        self.between()
        return numbers

    async def change(self, what: str) -> None:
        self.numbers[what] += 1

    async def listen(self, heard: Callable[[str], None]) -> None: ...
    async def say(self, word: str) -> None:
        self.said.append(word)

    async def stand(self, member: str, facts: Mapping[str, bytes]) -> None: ...
    async def leave(self, member: str) -> None: ...
    async def standings(self, *, but: str, seconds: float) -> Sequence[Standing]:
        return []

    async def close(self) -> None: ...


class House:
    """A server that keeps a value of the ledger."""

    def __init__(self, clock: VirtualClock) -> None:
        self.others, self.clock = Others(), clock
        self.following = Following(self.others, clock, Hints())
        self.truth, self.kept, self.reads = 0, -1, 0
        self.following.follow("value", self.read)

    async def read(self) -> None:
        self.reads += 1
        self.kept = self.truth

    def change(self) -> None:
        """Another server changes it."""
        self.truth += 1
        self.others.numbers["value"] += 1


def told(story: Callable[[House], Awaitable[None]]) -> None:
    """Runs a story."""

    async def main(clock: VirtualClock) -> None:
        await story(House(clock))

    play(main)


def test_it_is_read_when_its_number_is_another() -> None:
    """At the first look, and then after each change; not otherwise."""

    async def story(house: House) -> None:
        await house.following.step()
        assert (house.kept, house.reads) == (0, 1)
        for _ in range(3):
            await house.following.step()
        assert house.reads == 1
        house.change()
        await house.following.step()
        assert (house.kept, house.reads) == (1, 2)

    told(story)


def test_a_change_between_the_number_and_the_read_is_not_missed() -> None:
    """It is read with the one before it, and once more."""

    async def story(house: House) -> None:
        await house.following.step()
        house.change()
        changes = [house.change]
        house.others.between = lambda: changes.pop()() if changes else None
        await house.following.step()
        assert house.kept == 2
        await house.following.step()
        assert (house.kept, house.reads) == (2, 3)

    told(story)


def test_whoever_decides_by_it_has_it_fresh() -> None:
    """What is older than it may be is looked at first, once for all who wait; what is not, costs nothing."""

    async def story(house: House) -> None:
        await house.following.step()
        house.change()
        await house.clock.sleep(FRESH_SECONDS)
        looks = house.others.looks
        await house.following.current("value")
        assert (house.kept, house.others.looks) == (0, looks)
        await house.clock.sleep(0.001)
        await asyncio.gather(*(house.following.current("value") for _ in range(100)))
        assert (house.kept, house.others.looks) == (1, looks + 1)

    told(story)


def test_now_is_not_before_it_was_asked() -> None:
    """A look that is under way may be too early; whoever asks meanwhile waits for the next one, all of them for the same."""

    async def story(house: House) -> None:
        await house.following.step()
        await house.clock.sleep(0.1)
        first = asyncio.create_task(house.following.now("value"))
        await asyncio.sleep(0)
        await house.clock.sleep(0)
        house.change()
        await house.clock.sleep(0.1)
        await asyncio.gather(first, *(house.following.now("value") for _ in range(50)))
        assert house.kept == 1
        assert house.others.looks <= 4

    told(story)


def test_what_cannot_be_read_makes_nothing_else_old() -> None:
    """It is tried at every look, and whoever decides by it hears why; others go on."""

    async def story(house: House) -> None:
        fault = [True]

        async def broken() -> None:
            if fault:
                raise LedgerUnavailable("broken")

        house.following.follow("another", broken)
        with pytest.raises(LedgerUnavailable, match="broken"):
            await house.following.step()
        assert house.kept == 0
        await house.following.current("value")
        with pytest.raises(LedgerUnavailable, match="broken"):
            await house.following.current("another")
        fault.clear()
        await house.following.current("another")
        house.others.away = True
        await house.clock.sleep(FRESH_SECONDS + 1)
        with pytest.raises(LedgerUnavailable, match="away"):
            await house.following.current("value")

    told(story)


def test_words() -> None:
    """Each wakes who may have something to do; one that a later version says wakes nobody."""

    async def story(house: House) -> None:
        hints = house.following._hints
        claims = hints.claims_of("a b")
        woken = {
            "asked": hints.validate,
            "waiting": hints.enqueue,
            "unranked": hints.schedule,
            "ending": hints.finalize,
            "ended": hints.ended,
            "upload": hints.uploads,
            "import": hints.imports,
            "delivery": hints.webhooks,
            "claimable a b": claims,
            "changed": house.following.hint,
        }
        for word, hint in woken.items():
            before = {each: each.count for each in woken.values()}
            house.following.heard(word)
            assert hint.count == before[hint] + 1, word
        for word in ("", "later", "claimable c", "claimable", " ", "changed what"):
            before = {each: each.count for each in woken.values()}
            house.following.heard(word)
            assert {each: each.count for each in before} == before, word
        # Who is deaf has lost nothing but time; a ledger to which somebody listens again may have lost something.
        await house.following.step()
        assert claims.doubts == 0
        before = {each: each.count for each in woken.values()}
        house.following.heard("everything")
        assert all(each.count > count for each, count in before.items())
        assert claims.doubts == 1
        tried: list[str] = []
        house.following.tried = tried.append
        house.following.heard("try engine e")
        assert tried == ["try engine e"]
        house.following.say("try engine f")
        await house.clock.sleep(0)
        assert house.others.said == ["try engine f"]

    told(story)
