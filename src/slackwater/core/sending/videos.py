"""A video is a job: made with one call, asked after with others, and its object in its last state is the answer of a line.

So it is in OpenAI's batches, too: "a completed batch result contains video objects that have already reached a terminal state"
(Batch guide, developers.openai.com/api/docs/guides/batch, as of 2026). What is in the video is fetched by its id.
"""

import re

import msgspec
from msgspec import Struct

# States of a job that goes on, of OpenAI's API, of Azure's former one, and of engines that have either.
GOING_ON = frozenset({"queued", "in_progress", "pending", "preprocessing", "processing", "running"})
# An id goes into a path.
_ID = re.compile(r"[A-Za-z0-9_.~:-]{1,200}")
# How soon a video is asked after, and at the longest: some engines take seconds, others half an hour.
FIRST_SECONDS, LONGEST_SECONDS, GROWTH = 1.0, 15.0, 1.5


class Job(Struct, gc=False):
    """What matters of an object of a video."""

    id: str
    status: str

    @property
    def goes_on(self) -> bool:
        """Whether it is worth asking after."""
        return self.status in GOING_ON and _ID.fullmatch(self.id) is not None and self.id.strip(".") != ""


class JobNote(Struct, frozen=True):
    """What is kept of a video that is being made, so that nobody makes a second one: `made_at` is in seconds since 1970."""

    id: str
    place: str
    """Who makes it."""
    made_at: float


_job = msgspec.json.Decoder(Job)
_note = msgspec.json.Decoder(JobNote)


def job_in(body: bytes) -> Job | None:
    """The job that a body speaks of; None where it speaks of none."""
    try:
        return _job.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def note_in(text: bytes) -> JobNote | None:
    """A note that was kept; None where it cannot be read any more."""
    try:
        return _note.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def text_of(note: JobNote) -> bytes:
    """A note, to be kept."""
    return msgspec.json.encode(note)
