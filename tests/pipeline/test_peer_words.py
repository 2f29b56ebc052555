"""Peers on other hosts: heard by way of the ledger, each once, and not any more when they are quiet or gone."""

import asyncio
from collections.abc import Mapping

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.sending.late_peers import FarPeer
from slackwater.core.sending.peers import Word
from slackwater.pipeline.sending.member_words import MemberWords
from slackwater.pipeline.sending.peer_words import FarBoard, FarSeat
from slackwater.ports import Said
from tests.pipeline.engines import played
from tests.simulation.virtual import VirtualClock, VirtualLoop

ENGINE = "http://engine:8000"


class Host:
    """A host's memory: who is on it hears the others at once."""

    def __init__(self) -> None:
        self.words: dict[str, Word] = {}

    def seat(self, engine: str) -> "Near":
        return Near(self, f"near{len(self.words)}-{id(self)}")


class Near:
    def __init__(self, host: Host, name: str) -> None:
        self.host, self.name = host, name
        host.words[name] = Word(0, 1.0)

    def say(self, word: Word) -> None:
        self.host.words[self.name] = word

    def hear(self) -> Mapping[str, Word]:
        return {name: word for name, word in self.host.words.items() if name != self.name}

    def far(self) -> Mapping[str, FarPeer]:
        return {}


class Members:
    """Some, on two hosts."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.clock = VirtualClock(loop)
        self.ledger = SqlLedger.open(":memory:", inline=True)
        self.hosts = Host(), Host()
        self.words: list[MemberWords] = []

    def seat(self, host: int) -> FarSeat:
        words = MemberWords(self.ledger, self.clock, member=f"m{len(self.words)}")
        self.words.append(words)
        words.start()
        return FarBoard(self.hosts[host], words, self.clock).seat(ENGINE)


def outs(seat: FarSeat) -> list[int]:
    return sorted(word.out for word in seat.hear().values())


def test_each_hears_all_others_once() -> None:
    """Those on its host at once and as they are, and those on other hosts a moment later."""

    async def story(loop: VirtualLoop) -> None:
        members = Members(loop)
        one, two, far = members.seat(0), members.seat(0), members.seat(1)
        for round_ in range(4):
            for number, seat in enumerate((one, two, far)):
                seat.say(Word(out=10 * round_ + number, window=4.0))
            await asyncio.sleep(1.0)
        await asyncio.sleep(1.0)
        assert outs(one) == [31, 32]
        one.say(Word(out=99, window=4.0))
        assert outs(two) == [32, 99]
        assert sorted(outs(far)) == [30, 31]
        assert len(far.hear()) == 2
        for words in members.words:
            await words.close()

    played(story)


def test_who_is_quiet_or_gone_is_not_heard() -> None:
    """Nothing is written for an engine that nobody looks at."""

    async def story(loop: VirtualLoop) -> None:
        members = Members(loop)
        one, far = members.seat(0), members.seat(1)
        for _ in range(3):
            one.say(Word(out=1, window=4.0))
            far.say(Word(out=2, window=4.0))
            await asyncio.sleep(1.0)
        assert outs(one) == [2]
        await members.words[1].close()
        for _ in range(2):
            one.say(Word(out=1, window=4.0))
            await asyncio.sleep(1.0)
        assert outs(one) == []
        await asyncio.sleep(10.0)
        heard = await members.ledger.exchange_words("m9", {}, [f"peers {ENGINE}"], now=members.clock.now())
        assert heard == {f"peers {ENGINE}": []}
        await members.words[0].close()

    played(story)


def test_words_of_another_version() -> None:
    """They are nobody's."""

    async def story(loop: VirtualLoop) -> None:
        members = Members(loop)
        one = members.seat(0)
        await members.ledger.exchange_words(
            "m9", {f"peers {ENGINE}": Said('{"hosts":[]}', 60.0)}, (), now=members.clock.now()
        )
        for _ in range(3):
            one.say(Word(out=1, window=4.0))
            await asyncio.sleep(1.0)
        assert outs(one) == []
        await members.words[0].close()

    played(story)
