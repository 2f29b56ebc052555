"""Videos on their way: each is made once, noted before anything else happens, and asked after until it has ended.

Before: the dispatcher, with a line. After: its reply, the object of the video in its last state. What must hold: a line whose
video is being made asks after that one, also after a crash and on another server; only what dies between the engine's answer and
the note is made twice.
"""

import logging

from msgspec import Struct

from slackwater.core.endpoints import VIDEOS
from slackwater.core.errors import BackendError, BackendReplyBroken, BackendTimeout, StorageTrouble
from slackwater.core.sending.answer_kinds import UNSUCCESSFUL
from slackwater.core.sending.request import Reply
from slackwater.core.sending.videos import (
    FIRST_SECONDS,
    GROWTH,
    LONGEST_SECONDS,
    JobNote,
    job_in,
    note_in,
    text_of,
)
from slackwater.pipeline.sending.lease import Item
from slackwater.ports import Backend, BlobRange, BlobStore, Clock, Polled
from slackwater.telemetry import event

# Whoever has been asked so often in a row and said nothing of use is in trouble, and that is judged like any other.
SILENT_MAX = 4
# Statuses of an engine that has no such thing to be asked for.
UNKNOWN = frozenset({404, 405, 501})
NOTE_BYTES_MAX = 4096


class Maker(Struct, frozen=True):
    """A backend that makes videos: what it is called in notes, and how long a video may take there, in seconds."""

    backend: Backend
    place: str
    seconds: float


class VideoJobs:
    """The videos of one deployment."""

    def __init__(self, blobs: BlobStore, clock: Clock) -> None:
        self._blobs = blobs
        self._clock = clock
        self._makers: dict[str, Maker] = {}

    def add(self, maker: Maker) -> None:
        """One more of the deployment's backends. What another one has begun is asked for there."""
        self._makers[maker.place] = maker

    async def send(self, backend: Backend, body: bytes, item: Item) -> Reply:
        """The reply of a line, once its video has ended. Raises BackendError. Cancelling leaves the video to be asked after."""
        key = _key(item)
        note = await self._found(key)
        begun: Reply | None = None
        if note is None or note.place not in self._makers:
            maker = next((each for each in self._makers.values() if each.backend is backend), None)
            begun = await backend.send(VIDEOS, body)
            job = job_in(begun.body) if 200 <= begun.status < 300 else None
            if maker is None or not isinstance(backend, Polled) or job is None or not job.goes_on:
                return begun
            note = JobNote(job.id, maker.place, self._clock.now())
            try:
                await self._keep(key, note)
            except (StorageTrouble, OSError) as error:
                # It is made all the same; only a crash would have it made twice.
                event("video_not_noted", level=logging.WARNING, video=note.id, error=repr(error))
        else:
            event("video_found", batch=item.lease.shard.batch_id, video=note.id)
        return await self._ended(self._makers[note.place], note, key, begun)

    async def _ended(self, maker: Maker, note: JobNote, key: str, begun: Reply | None) -> Reply:
        """`begun` is the answer to the call that made it, where that was just now."""
        wait, silent = FIRST_SECONDS, 0
        while True:
            await self._clock.sleep(wait)
            wait = min(wait * GROWTH, LONGEST_SECONDS)
            try:
                assert isinstance(maker.backend, Polled), "only what can be asked after is noted"
                reply = await maker.backend.get(f"{VIDEOS}/{note.id}")
            except BackendError:
                silent += 1
                if silent >= SILENT_MAX:
                    raise
            else:
                job = job_in(reply.body) if 200 <= reply.status < 300 else None
                if job is not None and not job.goes_on:
                    if job.status in UNSUCCESSFUL:
                        # Another try needs another one.
                        await self._blobs.delete(key)
                    return reply
                silent = 0 if job is not None else silent + 1
                if reply.status in UNKNOWN and silent >= 2:
                    if begun is not None and not await _lists(maker.backend):
                        # It has no such thing: what it said at first is all that it says.
                        return begun
                    await self._blobs.delete(key)
                    raise BackendReplyBroken(f"the engine knows nothing of the video '{note.id}' any more", lost=True)
                if job is not None:
                    # From here on, not to know it is to have lost it.
                    begun = None
                elif silent >= SILENT_MAX:
                    return reply
            if self._clock.now() - note.made_at >= maker.seconds:
                text = f"the video '{note.id}' has not ended after {maker.seconds:,.0f} seconds; the engine may still be at it"
                raise BackendTimeout(text, final=True)

    async def _found(self, key: str) -> JobNote | None:
        try:
            return note_in(await self._blobs.read(BlobRange(key=key, offset=0, length=NOTE_BYTES_MAX)))
        except FileNotFoundError:
            return None

    async def _keep(self, key: str, note: JobNote) -> None:
        """Returns when it would survive a power cut."""
        writer = await self._blobs.create(key)
        try:
            await writer.write(text_of(note))
            await writer.publish()
        finally:
            await writer.discard()


async def _lists(backend: Polled) -> bool:
    """Whether an engine that does not know a video has any to be asked for."""
    try:
        return 200 <= (await backend.get(VIDEOS)).status < 300
    except BackendError:
        # It is going, and what it had goes with it.
        return True


def _key(item: Item) -> str:
    """Beside the logs of its batch, and gone with them."""
    shard = item.lease.shard
    return f"logs/{shard.batch_id}/video-{shard.index}-{item.line}"
