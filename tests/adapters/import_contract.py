"""What every Ledger promises about files that are still to be fetched. A test module inherits the class."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from slackwater.core.errors import QuotaExceeded
from slackwater.core.files.file import File, FileLimits, FileStatus
from slackwater.ports import Ledger, PendingImport
from tests.adapters.ledger_contract import file

Story = Callable[[Ledger], Awaitable[None]]
NOW = 1_000.0


def pending(number: int, **changes: Any) -> File:
    """A file without bytes; every field may be changed."""
    return file(number, **({"size": 0, "status": FileStatus.PENDING} | changes))


async def ordered(ledger: Ledger, number: int, *, check: bool = False, pending_max: int = 9, **limits: int) -> None:
    """A file and what is to be fetched for it."""
    await ledger.add_import(
        pending(number),
        url=f"https://h/{number}?secret",
        check_first_line=check,
        pending_max=pending_max,
        limits=FileLimits(**limits),
    )


async def next_id(ledger: Ledger, *, now: float = NOW, skip: tuple[str, ...] = ()) -> str | None:
    """The id of the file that is to be fetched next."""
    found = await ledger.next_import(now=now, skip=skip)
    return None if found is None else found.file.id


class ImportContract:
    """Inherit, and define `open`."""

    def open(self, place: Any) -> Ledger:
        """A new, empty ledger below `place`."""
        raise NotImplementedError

    @pytest.fixture
    def run(self, tmp_path: Any) -> Callable[[Story], None]:
        """Runs a story over a new ledger."""

        def runner(story: Story) -> None:
            async def main() -> None:
                ledger = self.open(tmp_path)
                try:
                    await story(ledger)
                finally:
                    await ledger.close()

            asyncio.run(main())

        return runner

    def test_an_import_comes_back_as_it_went_in(self, run: Any) -> None:
        """The file is visible, and everything that is to be done for it is kept."""

        async def story(ledger: Ledger) -> None:
            await ordered(ledger, 1, check=True)
            assert await ledger.file("file-1") == pending(1)
            assert await ledger.next_import(now=NOW) == PendingImport(
                file=pending(1), url="https://h/1?secret", tries=0, check_first_line=True
            )

        run(story)

    def test_the_oldest_first(self, run: Any) -> None:
        """Those that somebody has already are passed over; files that were uploaded are none."""

        async def story(ledger: Ledger) -> None:
            assert await next_id(ledger) is None
            await ledger.add_file(file(0))
            for number in (1, 2, 3):
                await ordered(ledger, number)
            assert await next_id(ledger) == "file-1"
            assert await next_id(ledger, skip=("file-1", "file-2")) == "file-3"
            assert await next_id(ledger, skip=("file-1", "file-2", "file-3")) is None

        run(story)

    def test_a_processed_import(self, run: Any) -> None:
        """The file has its size, nothing is to be done any more, and a second end does not count."""

        async def story(ledger: Ledger) -> None:
            await ordered(ledger, 1)
            assert await ledger.finish_import("file-1", status=FileStatus.PROCESSED, size=42)
            done = pending(1, size=42, status=FileStatus.PROCESSED)
            assert await ledger.file("file-1") == done
            assert await next_id(ledger) is None
            assert not await ledger.finish_import("file-1", status=FileStatus.ERROR, status_details="late")
            assert await ledger.file("file-1") == done

        run(story)

    def test_a_failed_import(self, run: Any) -> None:
        """The file says why."""

        async def story(ledger: Ledger) -> None:
            await ordered(ledger, 1)
            assert await ledger.finish_import("file-1", status=FileStatus.ERROR, status_details="Gone.")
            assert await ledger.file("file-1") == pending(1, status=FileStatus.ERROR, status_details="Gone.")
            assert await next_id(ledger) is None

        run(story)

    def test_a_postponed_import(self, run: Any) -> None:
        """It is not offered before its moment, keeps nobody waiting, and remembers how often it has failed."""

        async def story(ledger: Ledger) -> None:
            await ordered(ledger, 1)
            await ordered(ledger, 2)
            assert await ledger.postpone_import("file-1", tries=2, not_before=NOW + 5)
            assert await next_id(ledger) == "file-2"
            again = await ledger.next_import(now=NOW + 5)
            assert again is not None
            assert (again.file.id, again.tries) == ("file-1", 2)

        run(story)

    def test_a_deleted_file_takes_its_import_with_it(self, run: Any) -> None:
        """Nothing is fetched for it any more, and whoever is fetching learns of it."""

        async def story(ledger: Ledger) -> None:
            await ordered(ledger, 1)
            assert await ledger.delete_file("file-1") == pending(1)
            assert await next_id(ledger) is None
            assert not await ledger.postpone_import("file-1", tries=1, not_before=NOW)
            assert not await ledger.finish_import("file-1", status=FileStatus.PROCESSED, size=42)
            assert await ledger.file("file-1") is None

        run(story)

    def test_bounds(self, run: Any) -> None:
        """Neither more files than there may be, nor more waiting imports; what is refused leaves nothing."""

        async def story(ledger: Ledger) -> None:
            await ordered(ledger, 1)
            with pytest.raises(QuotaExceeded, match="imports are waiting already"):
                await ordered(ledger, 2, pending_max=1)
            with pytest.raises(QuotaExceeded, match="without expiry"):
                await ordered(ledger, 2, lasting=1)
            assert await ledger.file("file-2") is None
            assert await next_id(ledger, skip=("file-1",)) is None
            await ledger.finish_import("file-1", status=FileStatus.ERROR)
            await ordered(ledger, 2, pending_max=1)

        run(story)
