"""Who sends for which deployment, by what members say of themselves; and that nobody does, said once, where there is work."""

import asyncio
import logging
from pathlib import Path

import pytest

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.members import Member
from slackwater.pipeline.watching.senders import MOMENT_SECONDS, Senders
from tests.adapters.ledger_contract import started
from tests.pipeline.metered_engine import told
from tests.pipeline.test_progress import Clock


def member(name: str, *deployments: str) -> Member:
    """A worker that sends for these."""
    return Member(id=name, host="here", version="1", kind="worker", until=1e9, sends_for=deployments)


class Place:
    """A ledger with a batch on `d`, and one who looks, and knows of an idle deployment, too."""

    def __init__(self, folder: Path) -> None:
        self.ledger, self.clock = SqlLedger.open(folder / "ledger"), Clock()
        self.own: set[str] = set()
        self.speaks = True
        self.senders = Senders(
            self.ledger,
            self.clock,
            deployments=lambda: ["d", "idle"],
            serves=lambda key: key in self.own,
            speaks=lambda: self.speaks,
        )

    async def look(self, after: float = 1.0) -> dict[str, float]:
        """Looks again, and returns since when nobody sends for which."""
        self.clock.at += after
        await self.senders.step()
        found = {key: self.senders.nobody_since(key) for key in ("d", "idle")}
        return {key: since for key, since in found.items() if since is not None}


def test_nobody_sends(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A moment without anybody is not worth a word; then it is said, since when, and in the log of who has work, once."""
    caplog.set_level(logging.INFO)

    async def story() -> None:
        place = Place(tmp_path)
        await started(place.ledger, shards=(1,))
        await place.ledger.add_member(member("a", "d", "idle"))
        await place.ledger.add_member(member("b", "other"))
        assert await place.look() == {}
        await place.ledger.bury("a")
        assert await place.look() == {}
        since = place.clock.at
        assert await place.look(MOMENT_SECONDS - 0.1) == {}
        assert told(caplog, "nobody_sends") == 0
        for _ in range(3):
            assert await place.look() == {"d": since, "idle": since}
        assert told(caplog, "nobody_sends") == 1
        await place.ledger.send_for("b", ["d"])
        assert await place.look() == {"idle": since}
        assert told(caplog, "somebody_sends") == 1
        # A moment of its own begins when it goes again.
        await place.ledger.send_for("b", [])
        assert await place.look() == {"idle": since}
        await place.look(MOMENT_SECONDS)
        assert told(caplog, "nobody_sends") == 2

    asyncio.run(story())


def test_who_counts_as_a_sender(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """This process, whatever its row says; one that has not said for what it sends, as earlier versions do not; nobody dead."""

    async def story() -> None:
        place = Place(tmp_path)
        await place.look()
        assert set(await place.look(60.0)) == {"d", "idle"}
        place.own.add("d")
        assert set(place.senders.nobody_since(key) is None for key in ("d", "idle")) == {True, False}
        assert set(await place.look()) == {"idle"}
        place.own.clear()
        assert set(await place.look()) == {"idle"}
        assert set(await place.look(60.0)) == {"d", "idle"}
        await place.ledger.add_member(Member(id="old", host="here", version="0", until=1e9))
        assert await place.look() == {}

    asyncio.run(story())
    assert told(caplog, "nobody_sends") == 0


def test_one_member_writes_it_down(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """All of them see it; the log has it of the one that watches, and of the next one when that has gone."""

    async def story() -> None:
        place = Place(tmp_path)
        await started(place.ledger, shards=(1,))
        place.speaks = False
        await place.look()
        assert set(await place.look(60.0)) == {"d", "idle"}
        assert told(caplog, "nobody_sends") == 0
        place.speaks = True
        await place.look()
        assert told(caplog, "nobody_sends") == 1

    asyncio.run(story())
