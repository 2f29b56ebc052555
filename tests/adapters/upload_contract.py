"""What every Ledger promises about files in parts. A test module inherits the class and says how to open a ledger."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from slackwater.core.errors import QuotaExceeded
from slackwater.core.files.file import FileLimits, Purpose
from slackwater.core.files.upload import Upload, UploadPart, UploadStatus
from slackwater.ports import Ledger
from tests.adapters.ledger_contract import file

Story = Callable[[Ledger], Awaitable[None]]


def upload(number: int = 0, **changes: Any) -> Upload:
    """A pending upload of 30 bytes that expires at 2,000; every field may be changed."""
    fields: dict[str, Any] = {"id": f"upload_{number}", "filename": "in.jsonl", "purpose": Purpose.BATCH, "size": 30}
    return Upload(**(fields | {"mime_type": "text/jsonl", "created_at": 1_000, "expires_at": 2_000} | changes))


def part(number: int, **changes: Any) -> UploadPart:
    """A part of ten bytes; every field may be changed."""
    fields: dict[str, Any] = {"id": f"part_{number}", "upload_id": "upload_0", "block_id": f"block{number}", "size": 10}
    return UploadPart(**(fields | {"created_at": 1_001, "blob": f"uploads/part_{number}"} | changes))


async def added(ledger: Ledger, part: UploadPart, *, now: int = 1_500, parts_max: int = 5, bytes_max: int = 99) -> bool:
    """Whether the ledger took the part."""
    return await ledger.add_upload_part(part, now=now, parts_max=parts_max, bytes_max=bytes_max)


async def completed(ledger: Ledger, upload_id: str = "upload_0", *, number: int = 7, **limits: int) -> bool:
    """Whether the upload was completed just now."""
    made = file(number)
    return await ledger.complete_upload(
        upload_id, file=made, limits=FileLimits(**limits), completed_with="digest", now=1_600
    )


class UploadContract:
    """Inherit, and define `open`."""

    def open(self, place: Any) -> Ledger:
        """A new, empty ledger below `place`."""
        raise NotImplementedError

    @pytest.fixture
    def run(self, tmp_path: Any) -> Callable[[Story], None]:
        """Runs a story over a new ledger that has one pending upload."""

        def runner(story: Story) -> None:
            async def main() -> None:
                ledger = self.open(tmp_path)
                try:
                    await ledger.add_upload(upload())
                    await story(ledger)
                finally:
                    await ledger.close()

            asyncio.run(main())

        return runner

    def test_uploads_and_parts_come_back_as_they_went_in(self, run: Any) -> None:
        """Every field is kept; what was never there is not found."""

        async def story(ledger: Ledger) -> None:
            kept = upload(1, filename='ä "x"\n', file_lifetime_seconds=7_200, purpose=Purpose.EVALS)
            await ledger.add_upload(kept)
            assert await ledger.upload("upload_1") == kept
            assert await ledger.upload("nobody") is None
            assert await added(ledger, part(1))
            assert await added(ledger, part(2, size=0))
            assert sorted(await ledger.upload_parts("upload_0"), key=lambda each: each.id) == [part(1), part(2, size=0)]
            assert await ledger.upload_parts("upload_1") == []
            assert await ledger.has_upload_part("part_1")
            assert not await ledger.has_upload_part("part_9")

        run(story)

    def test_an_upload_takes_parts_within_its_bounds(self, run: Any) -> None:
        """One part too many, or one byte, is refused and leaves no row."""

        async def story(ledger: Ledger) -> None:
            assert await added(ledger, part(1))
            assert not await added(ledger, part(2), bytes_max=19)
            assert await added(ledger, part(3), bytes_max=20, parts_max=2)
            assert not await added(ledger, part(4), parts_max=2)
            assert sorted(each.id for each in await ledger.upload_parts("upload_0")) == ["part_1", "part_3"]

        run(story)

    def test_an_upload_that_is_over_takes_no_part(self, run: Any) -> None:
        """Unknown, expired (even before somebody has noticed), cancelled and completed uploads refuse; no row stays."""

        async def story(ledger: Ledger) -> None:
            await ledger.add_upload(upload(1))
            await ledger.add_upload(upload(2))
            await ledger.cancel_upload("upload_1", now=1_500)
            assert await completed(ledger, "upload_2")
            assert await added(ledger, part(0), now=1_999)
            assert not await added(ledger, part(1), now=2_000)
            for number, where in enumerate(("upload_1", "upload_2", "nobody"), start=2):
                assert not await added(ledger, part(number, upload_id=where))
                assert not await ledger.has_upload_part(f"part_{number}")

        run(story)

    def test_completing_shows_the_file(self, run: Any) -> None:
        """File and status become true together; a second time changes nothing and shows no second file."""

        async def story(ledger: Ledger) -> None:
            assert await completed(ledger)
            now = await ledger.upload("upload_0")
            assert now == upload(
                status=UploadStatus.COMPLETED, file_id="file-7", completed_with="digest", ended_at=1_600
            )
            assert await ledger.file("file-7") == file(7)
            assert not await completed(ledger, number=8)
            assert await ledger.file("file-8") is None
            assert await ledger.upload("upload_0") == now
            assert not await completed(ledger, "nobody", number=9)
            assert await ledger.file("file-9") is None

        run(story)

    def test_a_full_quota_leaves_the_upload_pending(self, run: Any) -> None:
        """The file counts like any other; where there is no room for it nothing has happened."""

        async def story(ledger: Ledger) -> None:
            await ledger.add_file(file(1))
            with pytest.raises(QuotaExceeded):
                await completed(ledger, lasting=1)
            assert await ledger.upload("upload_0") == upload()
            assert await ledger.file("file-7") is None
            assert await completed(ledger, lasting=2)

        run(story)

    def test_cancelling_is_an_end(self, run: Any) -> None:
        """Only a pending upload is cancelled; any other is returned as it is."""

        async def story(ledger: Ledger) -> None:
            cancelled = await ledger.cancel_upload("upload_0", now=1_500)
            assert cancelled == upload(status=UploadStatus.CANCELLED, ended_at=1_500)
            assert await ledger.cancel_upload("upload_0", now=1_700) == cancelled
            assert not await completed(ledger)
            await ledger.add_upload(upload(1))
            assert await ledger.cancel_upload("upload_1", now=2_000) == upload(1)
            await ledger.add_upload(upload(2))
            assert await completed(ledger, "upload_2")
            now = await ledger.cancel_upload("upload_2", now=1_700)
            assert now is not None
            assert now.status is UploadStatus.COMPLETED
            assert await ledger.cancel_upload("nobody", now=1) is None

        run(story)

    def test_uploads_expire_when_their_time_is_over(self, run: Any) -> None:
        """Those whose moment has come, and that have not ended before; each once."""

        async def story(ledger: Ledger) -> None:
            await ledger.add_upload(upload(1, expires_at=2_001))
            await ledger.add_upload(upload(2))
            await ledger.cancel_upload("upload_2", now=1_500)
            assert await ledger.expire_uploads(now=1_999, limit=9) == []
            assert await ledger.expire_uploads(now=2_000, limit=9) == ["upload_0"]
            assert await ledger.expire_uploads(now=2_000, limit=9) == []
            assert await ledger.upload("upload_0") == upload(status=UploadStatus.EXPIRED, ended_at=2_000)
            assert await ledger.expire_uploads(now=9_999, limit=9) == ["upload_1"]

        run(story)

    def test_ended_uploads_are_emptied_and_then_forgotten(self, run: Any) -> None:
        """An upload is forgotten once its parts are, and not before its time; a pending one is left alone."""

        async def story(ledger: Ledger) -> None:
            await ledger.add_upload(upload(1))
            await added(ledger, part(1))
            await added(ledger, part(2, upload_id="upload_1"))
            assert await ledger.uploads_to_empty(limit=9) == []
            await ledger.cancel_upload("upload_0", now=1_500)
            assert await ledger.uploads_to_empty(limit=9) == ["upload_0"]
            assert await ledger.forget_uploads(ended_before=1_500, limit=9) == 0
            await ledger.forget_upload_parts("upload_0")
            assert await ledger.upload_parts("upload_0") == []
            assert await ledger.upload_parts("upload_1") == [part(2, upload_id="upload_1")]
            assert await ledger.uploads_to_empty(limit=9) == []
            assert await ledger.forget_uploads(ended_before=1_499, limit=9) == 0
            assert await ledger.forget_uploads(ended_before=1_500, limit=9) == 1
            assert await ledger.upload("upload_0") is None
            assert await ledger.upload("upload_1") == upload(1)

        run(story)
