"""Videos: made once, asked after until they have ended, found again after a crash, given up in time."""

import asyncio
import errno
import json
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from slackwater.adapters.disk.blobs import Disk, DiskBlobs
from slackwater.core.errors import BackendError, BackendReplyBroken, BackendTimeout, BackendUnreachable
from slackwater.core.sending.request import Reply
from slackwater.core.sending.videos import LONGEST_SECONDS
from slackwater.pipeline.sending.lease import Item, Lease
from slackwater.pipeline.sending.video_jobs import Maker, VideoJobs
from slackwater.ports import Shard
from tests.pipeline.engines import inline, played
from tests.simulation.virtual import VirtualClock, VirtualLoop

BODY = b'{"model":"m","prompt":"a wave"}'
SECONDS = 7200.0
Said = Reply | BackendError


def video(status: str, name: str = "video_1", **more: Any) -> Reply:
    """The object of a video."""
    return Reply(200, json.dumps({"id": name, "object": "video", "status": status} | more).encode())


class Studio:
    """A backend that makes videos: what it says to calls that make one, and to those that ask after one, the last for ever."""

    def __init__(self, *said: Said, made: Said | None = None, lists: Said | None = None) -> None:
        """`lists` is what it says to whoever wants to see all of them."""
        self.said = list(said)
        self.lists = lists or Reply(200, b'{"data":[]}')
        self.made = made or video("queued")
        self.calls: list[str] = []

    async def send(self, path: str, body: bytes, *, heard: Any = None) -> Reply:
        self.calls.append(f"POST {path}")
        if isinstance(self.made, BackendError):
            raise self.made
        return self.made

    async def get(self, path: str) -> Reply:
        self.calls.append(f"GET {path}")
        said = self.lists if path == "/videos" else self.said.pop(0) if len(self.said) > 1 else self.said[0]
        if isinstance(said, BackendError):
            raise said
        return said

    async def close(self) -> None:
        """Nothing to close."""


class Plain:
    """A backend that cannot be asked after anything."""

    def __init__(self) -> None:
        self.calls = 0

    async def send(self, path: str, body: bytes, *, heard: Any = None) -> Reply:
        self.calls += 1
        return video("queued")

    async def close(self) -> None:
        """Nothing to close."""


class Full(Disk):
    """A disk without room."""

    def write(self, fd: int, data: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def item(index: int = 0, line: int = 0) -> Item:
    """A line of a batch."""
    shard = Shard(batch_id="b", index=index, epoch=1, places=(), lines=9, done=b"", endpoint="/videos", deployment="d")
    return Item(Lease(shard, b""), line, 0, 0, 0, None)


class Life:
    """A process that makes videos over a folder."""

    def __init__(self, loop: VirtualLoop, folder: Path, *studios: Any, disk: Disk | None = None) -> None:
        self.clock = VirtualClock(loop)
        self.jobs = VideoJobs(DiskBlobs(folder, run=inline, disk=disk), self.clock)
        self.studios = studios
        for number, studio in enumerate(studios):
            self.jobs.add(Maker(studio, f"http://{number}", SECONDS))

    def made(self, line: int = 0, *, at: int = 0) -> Awaitable[Reply]:
        """The reply of a line, sent to one of them."""
        return self.jobs.send(self.studios[at], BODY, item(line=line))


def notes(folder: Path) -> list[str]:
    """What is noted."""
    return sorted(path.name for path in folder.rglob("video-*"))


def test_a_video_is_asked_after_until_it_has_ended(tmp_path: Path) -> None:
    """With longer and longer waits; its object in the end is the answer, with every byte of it."""

    async def story(loop: VirtualLoop) -> None:
        done = video("completed", progress=100)
        studio = Studio(video("queued"), video("in_progress"), Reply(503, b""), video("in_progress"), done)
        assert await Life(loop, tmp_path, studio).made() is done
        assert studio.calls == ["POST /videos"] + ["GET /videos/video_1"] * 5
        assert 8 < loop.time() < 5 * LONGEST_SECONDS

    played(story)


def test_a_crash_makes_no_second_video(tmp_path: Path) -> None:
    """Whoever has the line next asks after the first one; other lines have their own."""

    async def story(loop: VirtualLoop) -> None:
        studio = Studio(video("in_progress"))
        life = Life(loop, tmp_path, studio)
        dying = [asyncio.ensure_future(life.made(line)) for line in (0, 7)]
        await asyncio.sleep(100)
        for each in dying:
            each.cancel()
        assert notes(tmp_path) == ["video-0-0", "video-0-7"]
        studio.said = [video("completed")]
        assert json.loads((await Life(loop, tmp_path, studio).made(7)).body)["status"] == "completed"
        assert studio.calls.count("POST /videos") == 2
        # It is not asked for again while its result is not durable.
        await Life(loop, tmp_path, studio).made(7)
        assert studio.calls.count("POST /videos") == 2

    played(story)


def test_a_video_is_asked_for_where_it_is_made(tmp_path: Path) -> None:
    """Although its line comes to another backend; where that one is configured no more, it is made anew."""

    async def story(loop: VirtualLoop) -> None:
        first, second = Studio(BackendUnreachable("gone", sent=False)), Studio(video("completed", "video_2"))
        life = Life(loop, tmp_path, first, second)
        with pytest.raises(BackendUnreachable):
            await life.made()
        first.said = [video("completed")]
        assert json.loads((await life.made(at=1)).body)["id"] == "video_1"
        assert second.calls == []
        other = VideoJobs(DiskBlobs(tmp_path, run=inline), life.clock)
        other.add(Maker(second, "http://1", SECONDS))
        second.made = video("queued", "video_2")
        assert json.loads((await other.send(second, BODY, item())).body)["id"] == "video_2"

    played(story)


def test_a_video_that_never_ends_is_given_up(tmp_path: Path) -> None:
    """After its time, for good, with its name; a crash does not begin that anew."""

    async def story(loop: VirtualLoop) -> None:
        studio = Studio(video("in_progress"))
        dying = asyncio.ensure_future(Life(loop, tmp_path, studio).made())
        await asyncio.sleep(SECONDS - 100)
        dying.cancel()
        begun = loop.time()
        with pytest.raises(BackendTimeout, match="'video_1' has not ended after 7,200 seconds") as caught:
            await Life(loop, tmp_path, studio).made()
        assert caught.value.final
        assert loop.time() - begun < 100 + LONGEST_SECONDS
        assert studio.calls.count("POST /videos") == 1

    played(story)


@pytest.mark.parametrize("status", ["failed", "expired", "cancelled"])
def test_one_that_failed_is_made_anew_by_the_next_try(tmp_path: Path, status: str) -> None:
    """The judgement of the line decides whether there is one."""

    async def story(loop: VirtualLoop) -> None:
        studio = Studio(video(status), video("completed"))
        life = Life(loop, tmp_path, studio)
        assert json.loads((await life.made()).body)["status"] == status
        assert notes(tmp_path) == []
        assert json.loads((await life.made()).body)["status"] == "completed"
        assert studio.calls.count("POST /videos") == 2

    played(story)


@pytest.mark.parametrize("seen", [True, False])
@pytest.mark.parametrize("lists", [None, BackendUnreachable("gone", sent=False)])
def test_one_that_the_engine_has_lost_is_made_anew(tmp_path: Path, seen: bool, lists: Said | None) -> None:
    """It is not known any more: the engine has restarted. The line is told that its call was lost."""

    async def story(loop: VirtualLoop) -> None:
        gone = Reply(404, b'{"detail":"Not Found"}')
        studio = Studio(*([video("in_progress")] if seen else []), gone, lists=lists)
        life = Life(loop, tmp_path, studio)
        with pytest.raises(BackendReplyBroken, match="knows nothing of the video 'video_1' any more") as caught:
            await life.made()
        assert caught.value.lost
        assert notes(tmp_path) == []

    played(story)


@pytest.mark.parametrize(
    ("made", "calls"),
    [
        (video("completed"), 1),
        (video("failed"), 1),
        (Reply(400, b'{"error":{"message":"no"}}'), 1),
        (Reply(200, b"<html>"), 1),
        (Reply(200, b'{"data":[{"url":"https://a.example/b.mp4"}]}'), 1),
        (video("queued", "../files/x"), 1),
        (video("queued", ".."), 1),
        (video("queued", "a b"), 1),
        (video("queued", ""), 1),
    ],
)
def test_what_is_no_job_is_not_asked_after(tmp_path: Path, made: Reply, calls: int) -> None:
    """What came is the reply, and is judged like any other. An id that would lead elsewhere is none."""

    async def story(loop: VirtualLoop) -> None:
        studio = Studio(video("completed"), made=made)
        assert await Life(loop, tmp_path, studio).made() is made
        assert len(studio.calls) == calls
        assert notes(tmp_path) == []

    played(story)


@pytest.mark.parametrize("status", [404, 405, 501])
def test_an_engine_that_cannot_be_asked_says_what_it_said_at_first(tmp_path: Path, status: int) -> None:
    """Its answer is the object as it was when it was made."""

    async def story(loop: VirtualLoop) -> None:
        studio = Studio(Reply(status, b""), lists=Reply(405, b""))
        assert await Life(loop, tmp_path, studio).made() is studio.made
        plain = Plain()
        assert json.loads((await Life(loop, tmp_path / "other", plain).made()).body)["status"] == "queued"
        assert plain.calls == 1

    played(story)


@pytest.mark.parametrize(
    "said", [Reply(500, b"oops"), Reply(401, b"no"), Reply(429, b"", 5.0), Reply(200, b"<html>")], ids=str
)
def test_trouble_while_asking_is_judged_like_any_other(tmp_path: Path, said: Reply) -> None:
    """After some tries in a row the reply is what came, and the next try asks after the same video."""

    async def story(loop: VirtualLoop) -> None:
        studio = Studio(video("in_progress"), said)
        life = Life(loop, tmp_path, studio)
        assert await life.made() is said
        studio.said = [video("completed")]
        await life.made()
        assert studio.calls.count("POST /videos") == 1

    played(story)


def test_a_full_disk_keeps_no_video_from_being_made(tmp_path: Path) -> None:
    """Nothing is noted, and that is all."""

    async def story(loop: VirtualLoop) -> None:
        life = Life(loop, tmp_path, Studio(video("completed")), disk=Full())
        assert json.loads((await life.made()).body)["status"] == "completed"
        assert notes(tmp_path) == []

    played(story)
