"""Whether servers that have a data directory together see each other there: before they work with it, and when one joins."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from slackwater.adapters.disk.announcements import Announcements
from slackwater.adapters.disk.data_directory import DataDirectory
from slackwater.adapters.disk.promises import broken, mount_of
from slackwater.core.errors import DataDirectoryError
from slackwater.core.files.shared_directory import doubts_of
from slackwater.pipeline.loops import Pace
from slackwater.telemetry import event
from slackwater.wiring.belonging import APART_SECONDS

# A file server that is away keeps whoever asks it waiting, for as long as it likes: that is said.
SLOW_SECONDS = 10.0
MEETING_SECONDS = 1.0
ONE_FOLDER = "name one folder for all servers, on a file system that shows each what another one has written"


@contextmanager
def said_when_slow(path: object) -> Iterator[None]:
    """Says that a data directory keeps somebody waiting, as long as that may take."""
    timer = threading.Timer(
        SLOW_SECONDS, lambda: event("data_directory_slow", level=logging.WARNING, path=path, seconds=SLOW_SECONDS)
    )
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def refuse_unkept(data: DataDirectory) -> None:
    """Raises DataDirectoryError where a directory is on a file system that several servers cannot have together; says doubts."""
    for doubt in doubts_of(mount_of(data.path), shared=True):
        if doubt.refused:
            raise DataDirectoryError(f"data directory {data.path} {doubt.message}: {doubt.fix}")
        event("data_directory_doubtful", level=logging.WARNING, path=data.path, why=doubt.message, fix=doubt.fix)
    try:
        found = broken(data.announcements.folder)
    except OSError as error:
        raise DataDirectoryError(
            f"data directory {data.path} cannot be written to: {error.strerror}; correct its permissions, or make room"
        ) from error
    if found:
        raise DataDirectoryError(
            f"data directory {data.path} is on a file system that does not do what several servers need: {'; '.join(found)}; use "
            "NFS 4 or a cluster file system (see docs/shared-directory.md)"
        )


class Acquaintance:
    """Gives back the nonces of members that join, and looks for its own: each is to see what the others write.

    `others` are the other members by the last look. What is not seen in time is said once, for each of them.
    """

    def __init__(self, words: Announcements, me: str, others: Callable[[], frozenset[str]]) -> None:
        self._words, self._me, self._others = words, me, others
        self._met: set[str] = set()
        self._since: dict[str, float] = {}

    async def step(self) -> Pace:
        """Looks where somebody is new; costs nothing otherwise."""
        others = self._others()
        self._met &= others
        if others == self._met and not self._since:
            return Pace.IDLE
        now = time.monotonic()
        self._since = {each: self._since.get(each, now) for each in others - self._met}
        for member, since in list(self._since.items()):
            seen = await asyncio.to_thread(self._meet, member)
            late = now - since > APART_SECONDS
            if seen is None and late:
                event(
                    "member_apart", level=logging.ERROR, member=member, why="its word is not seen here", fix=ONE_FOLDER
                )
            elif seen is False and late:
                why = "it has not answered what this server has written there"
                event("member_unanswered", level=logging.WARNING, member=member, why=why, fix=ONE_FOLDER)
            if seen or late:
                self._met.add(member)
                del self._since[member]
        return Pace.IDLE

    def _meet(self, member: str) -> bool | None:
        """Whether each of both has seen the other; None: this one has not even seen that one's word."""
        try:
            asks = self._words.answer(self._me, member)
            return None if asks is None else not asks or self._words.answered(self._me, member)
        except OSError:
            # A full disk, or a folder that is gone: said elsewhere.
            return False
