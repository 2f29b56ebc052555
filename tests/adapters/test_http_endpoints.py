"""What the HTTP client does with endpoints that are elsewhere, with forms, and with answers that are no JSON."""

import base64
import json
from collections.abc import Callable
from typing import TypeVar

import pytest

from slackwater.adapters.upstream.http_backend import HttpBackend
from tests.adapters.scripted_server import Peer, ScriptedServer, with_server

T = TypeVar("T")
PICTURE = b"\x89PNG" + bytes(range(256)) * 2000
BODY = json.dumps(
    {"prompt": "a", "images": [{"image_url": "data:image/png;base64," + base64.b64encode(PICTURE).decode()}]}
).encode()


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/rerank", b"/v2/rerank?key=1"),
        ("/videos", b"/api/videos?key=1"),
        ("/videos/video_1", b"/api/videos/video_1?key=1"),
        ("/videosx", b"/v1/videosx?key=1"),
        ("/score", b"/v1/score?key=1"),
    ],
)
def test_endpoints_elsewhere(run: Callable[..., T], path: str, target: bytes) -> None:
    """From the server's root, with what is behind the path, and the query as everywhere."""

    async def work() -> None:
        heads: list[bytes] = []

        async def script(peer: Peer) -> None:
            while True:
                head, _ = await peer.request()
                heads.append(head)
                await peer.answer(b"{}")

        async with ScriptedServer(script) as server:
            paths = {"/rerank": "/v2/rerank", "/videos": "/api/videos/"}
            backend = HttpBackend(f"{server.url}?key=1", paths=paths)
            await backend.send(path, b"{}")
            await backend.get(path)
            await backend.close()
        assert [head.split()[1] for head in heads] == [target] * 2

    run(work())


def test_forms(run: Callable[..., T]) -> None:
    """Where they are wanted, for the endpoints that have them; a line that becomes none is refused, and not sent."""

    async def work() -> None:
        seen: list[tuple[bytes, bytes]] = []

        async def script(peer: Peer) -> None:
            while True:
                seen.append(await peer.request())
                await peer.answer(b"{}")

        async def test(server: ScriptedServer, backend: HttpBackend) -> None:
            await backend.send("/images/edits", BODY)
            await backend.send_with("/images/edits", BODY, b"traceparent: x\r\n")
            await backend.send("/images/generations", BODY)
            for head, body in seen[:2]:
                assert b"Content-Type: multipart/form-data; boundary=" in head
                assert PICTURE in body
            assert (b"traceparent: x" in seen[0][0], b"traceparent: x" in seen[1][0]) == (False, True)
            assert b"Content-Type: application/json" in seen[2][0]
            refused = await backend.send("/images/edits", b'{"images":[{"file_id":"file-1"}]}')
            assert refused.status == 400
            assert json.loads(refused.body)["error"]["code"] == "not_sent"
            assert len(seen) == 3

        await with_server(script, test, forms=True)
        seen.clear()

        async def plainly(server: ScriptedServer, backend: HttpBackend) -> None:
            await backend.send("/images/edits", BODY)
            assert seen[0][1] == BODY

        await with_server(script, plainly)

    run(work())


@pytest.mark.parametrize(
    ("header", "known"),
    [
        ("Content-Type: audio/pcm\r\n", "audio/pcm"),
        ("Content-Type: Audio/PCM; rate=8000\r\n", "Audio/PCM; rate=8000"),
        ("Content-Type: application/octet-stream\r\n", "application/octet-stream"),
        ("Content-Type: application/json\r\n", None),
        ("Content-Type: text/plain\r\n", None),
        ("", None),
    ],
)
def test_what_begins_like_json_and_is_sound(run: Callable[..., T], header: str, known: str | None) -> None:
    """One of 256 pieces of sound begins with a brace: its type is told."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.answer(b"{\x00\x01", headers=header)

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        assert (await backend.send("/audio/speech", b"{}")).content_type == known

    run(with_server(script, test))
