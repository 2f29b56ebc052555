"""The answers of a run that has not ended: shown as they come, and kept in files of their own when it stops before its end."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from slackwater.core.batch import Batch
from slackwater.core.sending.request import Outcome
from slackwater.pipeline.watching.result_reader import ResultReader
from slackwater.ports import BlobStore, Ledger

LOOK_SECONDS = 0.5
PIECE_BYTES = 1 << 18
NAMES = {Outcome.COMPLETED: "answers-so-far.jsonl", Outcome.FAILED: "errors-so-far.jsonl"}


class Follower:
    """Gives every answer of a batch to `write` once, from the first one on, and lets the batch end when all are given.

    `write` is called in a thread, because whoever reads there may be slow. If they have gone, nothing more is given.
    """

    def __init__(self, batch_id: str, write: Callable[[bytes], None]) -> None:
        self._batch_id = batch_id
        self._write = write
        self._seen: dict[str, int] = {}
        self._one_at_a_time = asyncio.Lock()
        self._reader: ResultReader | None = None
        self._ledger: Ledger | None = None
        self.left = False
        """Whether whoever read has gone, or takes no more."""
        self.fault = ""
        """Why."""
        self.ended = False
        """Whether all of them have been given."""

    def before(self, ledger: Ledger, blobs: BlobStore) -> Ledger:
        """The ledger for a service that is to be followed."""
        self._reader, self._ledger = ResultReader(ledger, blobs), ledger
        return cast(Ledger, _Followed(ledger, self))

    async def run(self) -> None:
        """Gives what comes, until there is no more or it is cancelled."""
        while not (self.left or self.ended):
            await self.catch_up()
            await asyncio.sleep(LOOK_SECONDS)

    async def catch_up(self) -> None:
        """Gives what is there."""
        assert self._reader is not None, "a follower stands before a ledger"
        assert self._ledger is not None, "a follower stands before a ledger"
        async with self._one_at_a_time:
            more = True
            while more and not (self.left or self.ended):
                batch = await self._ledger.batch(self._batch_id)
                more = batch is not None and await self._give(self._reader, batch)

    async def _give(self, reader: ResultReader, batch: Batch) -> bool:
        """Gives one round of what there is; whether there was anything."""
        piece, ends = bytearray(), dict(self._seen)
        given = False
        async for _, name, end, line in reader.lines(batch, seen=dict(self._seen), outcomes={Outcome.COMPLETED}):
            piece += line + b"\n"
            ends[name] = end
            if len(piece) >= PIECE_BYTES:
                given = await self._hand(piece, ends) or given
                piece = bytearray()
        return (await self._hand(piece, ends) if piece else False) or given

    async def _hand(self, piece: bytearray, ends: dict[str, int]) -> bool:
        try:
            await asyncio.to_thread(self._write, bytes(piece))
        except (OSError, ValueError) as error:
            self.left, self.fault = True, getattr(error, "strerror", None) or str(error)
            return False
        self._seen = dict(ends)
        return True


class _Followed:
    """A ledger in which a batch ends when its answers have been given: its logs, which they are read from, go with that."""

    def __init__(self, ledger: Ledger, follower: Follower) -> None:
        self._followed = ledger
        self._follower = follower

    def __getattr__(self, name: str) -> Any:
        return getattr(self._followed, name)

    async def publish_files(self, *arguments: Any, **named: Any) -> Any:
        """The end of a batch."""
        await self._follower.catch_up()
        self._follower.ended = True
        return await self._followed.publish_files(*arguments, **named)


async def keep_so_far(reader: ResultReader, batch: Batch, directory: Path) -> dict[Outcome, Path]:
    """Writes what a batch has until now into files for people; returns those in which there is anything. Raises OSError."""
    kept: dict[Outcome, Path] = {}
    for outcome, name in NAMES.items():
        part, path = directory / f"{name}.part", directory / name
        path.unlink(missing_ok=True)
        wrote = False
        with part.open("wb", buffering=PIECE_BYTES) as out:
            async for _, _, _, line in reader.lines(batch, seen={}, outcomes={outcome}):
                out.write(line + b"\n")
                wrote = True
        if wrote:
            kept[outcome] = part.rename(path)
        else:
            part.unlink()
    return kept
