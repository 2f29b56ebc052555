"""A real server and an engine that speaks, edits and makes videos, well and badly: what is in the files in the end."""

import base64
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.media_engine import CHUNKED_BYTES, LARGE_BYTES, MediaEngine, sound
from tests.server import Server

CONFIG = """
[worker]
memory_bytes = 134217728
[[deployments]]
name = "media"
endpoints = ["/v1/audio/speech", "images/edits", "videos", "rerank"]
[[deployments.backends]]
url = "URL"
attempts = 2
concurrency = 16
paths = { rerank = "/elsewhere/rank" }
[[deployments]]
name = "hasty"
endpoints = ["videos"]
[[deployments.backends]]
url = "URL"
video_seconds = 4
[[deployments]]
name = "echo"
endpoints = ["images/generations", "rerank", "score", "messages", "videos"]
[[deployments.backends]]
echo = {}
"""
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
DATA_URL = "data:image/png;base64," + base64.b64encode(PICTURE).decode()


class Place:
    """An engine, the server before it, and what a user does."""

    def __init__(self, folder: Path, engine: MediaEngine) -> None:
        self.folder = folder
        self.engine = engine
        (folder / "slackwater.toml").write_text(CONFIG.replace("URL", engine.url))
        self.server = self.start()

    def start(self) -> Server:
        """On the same data."""
        return Server(self.folder / "slackwater.toml", self.folder / "data", self.folder / "server.log")

    @property
    def client(self) -> openai.OpenAI:
        """OpenAI's own."""
        return openai.OpenAI(base_url=f"http://{self.server.address}/v1", api_key="any", max_retries=0)

    def submit(self, endpoint: str, bodies: dict[str, dict[str, Any]], *, model: str = "media") -> str:
        """The id of a batch."""
        lines = [
            json.dumps({"custom_id": name, "method": "POST", "url": f"/v1{endpoint}", "body": {"model": model} | body})
            for name, body in bodies.items()
        ]
        file = self.client.files.create(file=("in.jsonl", "\n".join(lines).encode()), purpose="batch")
        wanted: Any = f"/v1{endpoint}"
        return self.client.batches.create(input_file_id=file.id, endpoint=wanted, completion_window="24h").id

    def results(self, batch_id: str) -> tuple[Any, dict[str, Any]]:
        """The batch in the end, and its lines by their ids."""
        until = time.monotonic() + 90
        while (batch := self.client.batches.retrieve(batch_id)).status not in ("completed", "failed", "expired"):
            assert time.monotonic() < until, batch
            time.sleep(0.1)
        assert batch.status == "completed", batch.errors
        found: dict[str, Any] = {}
        for file_id in (batch.output_file_id, batch.error_file_id):
            if file_id is not None:
                for text in self.client.files.content(file_id).iter_lines():
                    line = json.loads(text)
                    assert line["custom_id"] not in found
                    found[line["custom_id"]] = line | {"failed": file_id == batch.error_file_id}
        return batch, found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One server for all of these."""
    with MediaEngine() as engine:
        place = Place(tmp_path_factory.mktemp("media"), engine)
        yield place
        place.server.kill()


def test_speech_good_and_bad(place: Place) -> None:
    """Sound is kept byte by byte, whatever it is called; what is none is judged as for any other endpoint."""
    kinds = ["large", "chunked", "cut", "refused", "error inside", "called a text", "a page", "JSON", "nothing"]
    bodies = {name: {"input": name, "voice": "alloy"} for name in kinds}
    bodies |= {f"fine {number}": {"input": "fine", "voice": "alloy"} for number in range(40)}
    batch, lines = place.results(place.submit("/audio/speech", bodies))
    assert set(lines) == set(bodies)
    for name in ("fine 0", "called a text", "large", "chunked"):
        body = lines[name]["response"]["body"]
        size = {"large": LARGE_BYTES, "chunked": CHUNKED_BYTES}.get(name, 1000)
        assert (body["object"], body["content_type"], body["bytes"]) == ("binary", "audio/mpeg", size)
        assert base64.b64decode(body["base64"], validate=True) == sound(size)
    assert {name for name, line in lines.items() if line["failed"]} == {
        *("cut", "refused", "error inside", "a page", "JSON", "nothing")
    }
    for name in ("refused", "error inside"):
        assert lines[name]["response"]["status_code"] == 400
        assert lines[name]["response"]["body"]["error"]["message"] == "There is no such voice"
    assert lines["error inside"]["error"]["code"] == "error_inside"
    for name, said in (
        ("a page", "with HTML"),
        ("JSON", "no `audio`"),
        ("nothing", "an empty body"),
        ("cut", "closed"),
    ):
        assert lines[name]["response"] is None
        assert lines[name]["error"]["code"] == "backend_reply_broken"
        assert said in lines[name]["error"]["message"]
    assert batch.usage is None or batch.usage.total_tokens == 0
    status = Path(f"/proc/{place.server.process.pid}/status").read_text()
    # With 53 MB of base64 in it, of which there is no second copy.
    assert int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) < 220_000


def test_edits_are_sent_as_forms(place: Place) -> None:
    """Pictures arrive as files, whole; a picture that only the vendor knows is refused with a reason."""
    good = {"prompt": "more sea", "images": [{"image_url": DATA_URL}, {"image_url": DATA_URL}]}
    bad = {"prompt": "more sea", "images": [{"file_id": "file-1"}]}
    batch, lines = place.results(place.submit("/images/edits", {"good": good, "bad": bad}))
    data = lines["good"]["response"]["body"]["data"]
    assert [base64.b64decode(each["b64_json"]) for each in data] == [PICTURE] * 2
    assert lines["bad"]["response"]["status_code"] == 400
    assert "images[0] is a file_id" in lines["bad"]["response"]["body"]["error"]["message"]
    assert (batch.usage.input_tokens, batch.usage.output_tokens) == (7, 9)


def test_videos_end_one_way_or_another(place: Place) -> None:
    """Each line has its video's object in its last state; one that never ends is given up, one that was lost is made again."""
    bodies = {name: {"prompt": name, "seconds": "4"} for name in ("fine", "refused", "gone")}
    bodies |= {f"fine {number}": {"prompt": f"fine {number}"} for number in range(4)}
    hasty = place.submit("/videos", {"never": {"prompt": "never"}}, model="hasty")
    _, lines = place.results(place.submit("/videos", bodies))
    lines |= place.results(hasty)[1]
    for name in ("fine", "gone", "fine 3"):
        assert lines[name]["response"]["body"]["status"] == "completed"
    assert lines["never"]["error"]["code"] == "backend_timeout"
    assert "has not ended after 4 seconds" in lines["never"]["error"]["message"]
    assert lines["refused"]["response"]["status_code"] == 400
    assert lines["refused"]["response"]["body"]["error"]["code"] == "moderation_blocked"
    made = place.engine.made
    assert (made["fine"], made["never"], made["refused"], made["gone"]) == (1, 1, 1, 2)


def test_rerank_elsewhere(place: Place) -> None:
    """An engine may have it at another path, and answer with an array."""
    _, lines = place.results(place.submit("/rerank", {"one": {"query": "tide", "documents": ["ebb", "flood"]}}))
    assert lines["one"]["response"]["body"]["results"][0]["document"] == "ebb"


@pytest.mark.parametrize(
    ("endpoint", "body", "key"),
    [
        ("/images/generations", {"prompt": "a boat"}, "data"),
        ("/rerank", {"query": "tide", "documents": ["ebb", "flood"]}, "results"),
        ("/score", {"text_1": "tide", "text_2": ["ebb", "flood"]}, "data"),
        ("/messages", {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9}, "content"),
        ("/videos", {"prompt": "a wave"}, "id"),
    ],
)
def test_the_built_in_backend_answers_all_of_them(place: Place, endpoint: str, body: dict[str, Any], key: str) -> None:
    """With tokens that are counted, but for videos."""
    batch, lines = place.results(place.submit(endpoint, {"one": body}, model="echo"))
    assert lines["one"]["response"]["body"][key]
    assert (batch.usage.input_tokens > 0) is (endpoint != "/videos")


def test_kill_9_makes_no_second_video(place: Place) -> None:
    """The same video is asked after by whoever is there next."""
    batch_id = place.submit("/videos", {name: {"prompt": name} for name in ("slow", "another")})
    until = time.monotonic() + 30
    while len(list(place.folder.rglob("video-*"))) < 2:
        assert time.monotonic() < until
        time.sleep(0.02)
    place.server.kill()
    place.server = place.start()
    place.engine.released.set()
    _, lines = place.results(batch_id)
    assert lines["slow"]["response"]["body"]["status"] == "completed"
    assert place.engine.made["slow"] == 1
    assert not list((place.folder / "data").rglob("video-*"))
