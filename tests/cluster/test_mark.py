"""The mark of a ledger and its files, where several servers raise it: it never looks like another ledger's."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from slackwater.adapters.disk.data_directory import DataDirectory, mark_in
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.files.belonging import Fit, Mark
from slackwater.core.members import Member
from slackwater.wiring.belonging import Marking, look, mark_behind, take_up
from tests.postgresql import Databases

pytestmark = pytest.mark.postgresql


@pytest.fixture
def address(postgresql: Databases) -> Iterator[str]:
    """A ledger with nothing in it."""
    taken = postgresql.take()
    yield taken
    postgresql.give_back(taken)


def member(name: str) -> Member:
    """A member."""
    return Member(id=name, host="", version="")


def test_several_who_raise_it_at_once(tmp_path: Path, address: str) -> None:
    """However often, and whoever looks meanwhile: the ledger fits its files in every moment."""

    async def story() -> None:
        ledgers = [SqlLedger.connect(address, member=member(name)) for name in ("a", "b", "c")]
        directories = [DataDirectory.open(tmp_path, shared=True) for _ in ledgers]
        (tmp_path / "blobs").mkdir()
        (tmp_path / "blobs" / "x").touch()
        raising = True

        async def raise_often(ledger: SqlLedger, data: DataDirectory) -> None:
            marking = Marking(ledger, data)
            for _ in range(40):
                await marking.step()

        async def look_often() -> int:
            looks = 0
            while raising:
                fit, _, _ = await asyncio.to_thread(look, tmp_path, address)
                assert fit is Fit.FITS
                looks += 1
            return looks

        looking = [asyncio.create_task(look_often()) for _ in range(3)]
        await asyncio.gather(*(raise_often(*each) for each in zip(ledgers, directories, strict=True)))
        raising = False
        assert all(await asyncio.gather(*looking))
        mark = await ledgers[0].mark()
        assert mark_in(tmp_path) == mark
        assert mark.generation > 10
        for each in (*ledgers, *directories):
            if isinstance(each, SqlLedger):
                await each.close()
            else:
                each.close()

    asyncio.run(story())


def test_a_start_beside_others_raises_nothing(tmp_path: Path, address: str) -> None:
    """The one that watches does it. A start alone does, as ever."""

    async def story() -> None:
        with DataDirectory.open(tmp_path, shared=True) as data:
            first = SqlLedger.connect(address, member=member("a"))
            await take_up(first, data)
            assert mark_in(tmp_path) == Mark((await first.mark()).identity, 1)
            second = SqlLedger.connect(address, member=member("b"))
            await take_up(second, data)
            assert (await second.mark()).generation == 1
            marking = Marking(second, data, mine=lambda: False)
            for _ in range(3):
                await marking.step()
            assert (await second.mark()).generation == 1
            await first.close()
            await second.close()

    asyncio.run(story())


def test_one_that_stopped_while_it_raised(tmp_path: Path, address: str) -> None:
    """Nobody else does meanwhile, and so what it writes when it wakes is not older than what is there."""

    async def story() -> None:
        with (
            DataDirectory.open(tmp_path, shared=True) as stopped,
            DataDirectory.open(tmp_path, shared=True) as data,
            stopped.marking() as mine,
        ):
            assert mine
            ledger = SqlLedger.connect(address, member=member("a"))
            marking = Marking(ledger, data)
            for _ in range(3):
                await marking.step()
            await take_up(ledger, data)
            assert (await ledger.mark()).generation == 0
            await ledger.close()

    asyncio.run(story())


def test_an_older_ledger_is_refused_all_the_same(tmp_path: Path, address: str) -> None:
    """That others may raise the mark is no way in for a ledger that was put back."""
    found = SqlLedger.found_at(address).mark
    assert found is not None
    with DataDirectory.open(tmp_path) as data:
        for generation, fit in ((1, Fit.OLDER), (0, Fit.FITS)):
            data.write_mark(Mark(found.identity, generation))
            assert look(tmp_path, address)[0] is fit
        data.write_mark(Mark("another", 0))
        assert look(tmp_path, address)[0] is Fit.OTHER


def test_a_ledger_that_has_lost_something(tmp_path: Path, address: str) -> None:
    """Whoever knows it raises the mark above the ledger's; others who run leave it as it is, and no start is let in."""

    async def story() -> None:
        with DataDirectory.open(tmp_path, shared=True) as data, DataDirectory.open(tmp_path, shared=True) as knows:
            ledger = SqlLedger.connect(address, member=member("a"))
            await take_up(ledger, data)
            with data.marking():
                marked = asyncio.create_task(asyncio.to_thread(mark_behind, knows))
                # One ahead, as where a server has died in between.
                await ledger.raise_generation()
            await marked
            marking = Marking(ledger, data)
            for _ in range(3):
                await marking.step()
            assert (await ledger.mark()).generation == 2
            assert mark_in(tmp_path) == Mark((await ledger.mark()).identity, 3)
            assert look(tmp_path, address)[0] is Fit.OLDER
            await ledger.close()

    asyncio.run(story())
