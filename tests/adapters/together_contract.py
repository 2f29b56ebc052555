"""What servers on one ledger tell each other, wherever it is: numbers, hints, and how each of them gets on. To be inherited."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec
import pytest

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.accounts.resource import Role, Slot, StoredKey
from slackwater.core.files.retention import Kept, Rule
from slackwater.core.sending.pace import SaidPace
from slackwater.core.sending.pause import Pause, Target
from slackwater.ports import Together
from tests.adapters.connection_contract import STORED as CONNECTION
from tests.adapters.deployment_contract import STORED
from tests.adapters.ledger_contract import batch, claimed, segment, started

KEY = StoredKey(resource="red", role=Role.USER, slot=Slot.KEY1, digest="d", hint="hint", created_at=1)
PAUSE = Pause(what=Target.ENGINE, target="e", resource="", who="w", reason="", since=1)


class Stage(Protocol):
    """Servers on one ledger."""

    def play(self, story: Callable[..., Awaitable[None]]) -> None:
        """Runs a story with the ledgers of two of them."""
        ...

    def stop_listening(self) -> None:
        """Every connection that listens is lost."""
        ...

    def execute(self, statement: str) -> list[Any]:
        """What somebody else asks of the database."""
        ...


def of(ledger: SqlLedger) -> Together:
    """What it hears of others."""
    assert ledger.together is not None
    return ledger.together


async def heard(ledger: SqlLedger) -> asyncio.Queue[str]:
    """Listens, and returns where the words come. The first one says that all there was before may have been missed."""
    words: asyncio.Queue[str] = asyncio.Queue()
    await of(ledger).listen(words.put_nowait)
    assert await words.get() == "everything"
    assert of(ledger).listening
    return words


CHANGES: dict[str, tuple[str, list[Callable[[SqlLedger], Awaitable[Any]]]]] = {
    "keys": (
        "keys",
        [
            lambda ledger: ledger.put_keys([KEY]),
            lambda ledger: ledger.put_keys([msgspec.structs.replace(KEY, digest="e")]),
            lambda ledger: ledger.delete_keys("red", Role.USER),
        ],
    ),
    "deployments": (
        "deployments",
        [
            lambda ledger: ledger.put_deployment(STORED),
            lambda ledger: ledger.put_deployment(msgspec.structs.replace(STORED, deleted_at=9)),
            lambda ledger: ledger.remove_deployment(STORED, key="red/a"),
        ],
    ),
    "connections": (
        "deployments",
        [
            lambda ledger: ledger.put_connection(CONNECTION),
            lambda ledger: ledger.reseal_connection(CONNECTION, sealed="1.b.c"),
            lambda ledger: ledger.remove_connection(CONNECTION),
        ],
    ),
    "pauses": (
        "pauses",
        [lambda ledger: ledger.pause(PAUSE), lambda ledger: ledger.resume(Target.ENGINE, "e")],
    ),
    "paces": (
        "pauses",
        [
            lambda ledger: ledger.set_pace(SaidPace(engine="e", pace="gentle", who="w", since=1)),
            lambda ledger: ledger.forget_pace("e"),
        ],
    ),
    "retention": (
        "retention",
        [
            lambda ledger: ledger.set_rule("red", Kept.BATCHES, Rule(Kept.BATCHES, 3, 1)),
            lambda ledger: ledger.set_rule("red", Kept.BATCHES, None),
        ],
    ),
}


class TogetherContract:
    """Inherit, and define the fixture `stage`."""

    @pytest.fixture
    def stage(self) -> Any:
        """A ledger with nothing in it, and two servers."""
        raise NotImplementedError

    @pytest.mark.parametrize("kind", CHANGES)
    def test_whatever_servers_keep_in_memory_has_a_number(self, stage: Stage, kind: str) -> None:
        """It is another one after each change, in the same transaction; what changes nothing of it leaves it, and no other kind's
        is raised."""
        what, changes = CHANGES[kind]

        async def story(one: SqlLedger, other: SqlLedger) -> None:
            seen = dict(await of(other).changes())
            for change in changes:
                await change(one)
                now = dict(await of(other).changes())
                assert now.get(what, 0) != seen.get(what, 0)
                assert {name: number for name, number in now.items() if name != what} == {
                    name: number for name, number in seen.items() if name != what
                }
                seen = now
            # The last of them once more: nothing is left that it could change.
            await changes[-1](one)
            await one.add_batch(batch(1))
            assert await of(other).changes() == seen

        stage.play(story)

    def test_hints_are_heard_by_others(self, stage: Stage) -> None:
        """Whatever makes something to do says so to every server but the one that did it: those who wait there know already."""

        async def story(one: SqlLedger, other: SqlLedger) -> None:
            words, own = await heard(other), await heard(one)
            await started(one, 1, shards=(1, 1))
            assert [await words.get() for _ in range(3)] == ["asked", "waiting", "unranked"]
            while (word := await words.get()) == "unranked":
                pass
            assert word == "claimable d"
            for _ in range(2):
                shard = await claimed(one)
                assert await one.commit_segments([segment(shard, 0)], now=1.0, lease_seconds=10.0) == []
                assert await one.finish_shard("batch-1", shard.index, epoch=shard.epoch)
            assert await words.get() == "ending"
            assert await one.begin_finalizing(now=2) is not None
            assert await one.publish_files("batch-1", output=None, error=None, now=3) is not None
            assert await words.get() == "ending"
            assert await words.get() == "ended"
            await one.put_keys([KEY])
            assert await words.get() == "changed"
            await other.add_batch(batch(2))
            assert await own.get() == "asked"
            assert own.empty()

        stage.play(story)

    def test_a_word_is_heard_by_the_others(self, stage: Stage) -> None:
        """As it was said."""

        async def story(one: SqlLedger, other: SqlLedger) -> None:
            words = await heard(other)
            await of(one).say("public is a word, too")
            assert await words.get() == "public is a word, too"

        stage.play(story)

    def test_a_listening_connection_that_is_lost(self, stage: Stage) -> None:
        """Is noticed, made anew when somebody asks for it, and says then that something may have been missed."""

        async def story(one: SqlLedger, other: SqlLedger) -> None:
            words = await heard(other)
            stage.stop_listening()
            while of(other).listening:
                await asyncio.sleep(0)
            await one.add_batch(batch(1))
            assert words.empty()
            await of(other).listen(words.put_nowait)
            assert await words.get() == "everything"
            await one.add_batch(batch(2))
            assert await words.get() == "asked"

        stage.play(story)

    def test_what_servers_say_of_themselves(self, stage: Stage) -> None:
        """Each hears all others that live, and none of what was taken back or of whoever has left."""

        async def story(one: SqlLedger, other: SqlLedger) -> None:
            await of(one).stand("one", {"": b"{}", "d": b'{"a":"\xc3\xa4"}', "e": b"[]"})
            await of(other).stand("other", {"": b"{}"})
            assert await of(one).standings(but="one", seconds=60) == await of(other).standings(but="one", seconds=60)
            said = await of(other).standings(but="other", seconds=60)
            assert [(each.member, each.deployment, each.facts) for each in said] == [
                ("one", "", b"{}"),
                ("one", "d", b'{"a":"\xc3\xa4"}'),
                ("one", "e", b"[]"),
            ]
            await of(one).stand("one", {"": b"{}", "e": b"", "d": b"1"})
            said = await of(other).standings(but="other", seconds=60)
            assert [(each.deployment, each.facts) for each in said] == [("", b"{}"), ("d", b"1")]
            # Of one that has not been heard of for a while nothing counts, and after a while it is forgotten.
            stage.execute("UPDATE standing SET at = at - 100 WHERE member = 'one' AND deployment = ''")
            assert await of(other).standings(but="other", seconds=60) == []
            stage.execute("UPDATE standing SET at = at - 1000 WHERE member = 'one' AND deployment = ''")
            await of(other).stand("other", {"": b"{}"})
            assert stage.execute("SELECT member FROM standing") == [("other",)]
            await of(other).leave("other")
            assert await of(one).standings(but="one", seconds=60) == []

        stage.play(story)
