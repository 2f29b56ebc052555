"""Posting a webhook: the status and nothing else, to allowed addresses only, whatever the other side does."""

import asyncio
from typing import Any

import pytest

from slackwater.adapters.outside.httpcore_sender import HttpcoreSender
from slackwater.core.errors import InvalidRequest, SendFailed
from slackwater.core.outside.destinations import Destinations
from tests.adapters.conftest import Run
from tests.adapters.scripted_server import Peer, Script, ScriptedServer

HOST = "receiver.test"
BODY = b'{"object":"event"}'
HEADERS = {"webhook-id": "wh_1", "Content-Type": "application/json", "User-Agent": "test"}


def sender(*addresses: str, **changes: Any) -> HttpcoreSender:
    """One whose name server always gives these addresses."""

    async def resolve(host: str, port: int) -> list[str]:
        return list(addresses or ("127.0.0.1",))

    total_seconds = changes.pop("total_seconds", 10.0)
    allowed = {"allow_http": True, "allow_private_addresses": True} | changes
    return HttpcoreSender(Destinations(**allowed), total_seconds=total_seconds, resolve=resolve)


def posted(run: Run[Any], script: Script, **changes: Any) -> int:
    """The status that a server which follows a script answers."""

    async def work() -> int:
        async with ScriptedServer(script) as server:
            url = f"http://{HOST}:{server.port}/hook?token=1"
            return await sender(**changes).post(url, headers=HEADERS, body=BODY)

    status: int = run(work())
    return status


def test_what_is_sent(run: Run[Any]) -> None:
    """One POST with the body as it is, the headers, the name of the host, and a length."""
    heads: list[tuple[bytes, bytes]] = []

    async def script(peer: Peer) -> None:
        heads.append(await peer.request())
        await peer.answer(b"ok")

    assert posted(run, script) == 200
    ((head, body),) = heads
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /hook?token=1 HTTP/1.1"
    assert body == BODY
    names = [line.partition(":")[0].lower() for line in lines[1:] if line]
    assert len(names) == len(set(names))
    assert {"webhook-id: wh_1", "User-Agent: test", f"Content-Length: {len(BODY)}"} <= set(lines)
    assert any(line.startswith(f"Host: {HOST}:") for line in lines)


@pytest.mark.parametrize("status", ["204 No Content", "302 Found", "410 Gone", "500 Internal Server Error"])
def test_the_status(run: Run[Any], status: str) -> None:
    """Whatever it is; a redirect is not followed."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"", status=status, headers="Location: http://127.0.0.1:1/\r\n")

    assert posted(run, script) == int(status[:3])


def test_an_endless_answer(run: Run[Any]) -> None:
    """Nobody waits for its body."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nx")
        await peer.stay_silent()

    assert posted(run, script) == 200


def test_silence(run: Run[Any]) -> None:
    """It has an end."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.stay_silent()

    with pytest.raises(SendFailed, match=r"did not answer within 0\.2 seconds"):
        posted(run, script, total_seconds=0.2)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200", b"nonsense\r\n\r\n"])
def test_half_an_answer(run: Run[Any], answer: bytes) -> None:
    """It is none."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer)
        peer.close()

    with pytest.raises(SendFailed, match="broke before it had answered"):
        posted(run, script)


def test_nobody_listens(run: Run[Any]) -> None:
    """The host is named, its address is not."""

    async def work() -> None:
        async with ScriptedServer(lambda peer: peer.stay_silent()) as server:
            server.stop_listening()
            with pytest.raises(SendFailed, match=f"No connection to '{HOST}'") as caught:
                await sender().post(f"http://{HOST}:{server.port}/", headers=HEADERS, body=BODY)
            assert "127.0.0.1" not in caught.value.message

    run(work())


@pytest.mark.parametrize(
    ("addresses", "kind"),
    [
        (["127.0.0.1"], "loopback"),
        (["93.184.216.34", "10.0.0.1"], "private"),
        (["169.254.169.254"], "metadata"),
        (["::ffff:127.0.0.1"], "loopback"),
    ],
)
def test_a_name_that_leads_into_the_house(run: Run[Any], addresses: list[str], kind: str) -> None:
    """Nobody is connected to where one of its addresses is not allowed."""

    async def work() -> None:
        async with ScriptedServer(lambda peer: peer.stay_silent()) as server:
            guarded = sender(*addresses, allow_private_addresses=False)
            with pytest.raises(SendFailed, match=kind):
                await guarded.post(f"http://{HOST}:{server.port}/", headers=HEADERS, body=BODY)
            assert server.peers == []

    run(work())


def test_a_url_is_checked_again(run: Run[Any]) -> None:
    """The operator may have changed what is allowed since the endpoint was made."""
    strict = sender(allow_http=False)
    with pytest.raises(InvalidRequest, match="https"):
        run(strict.post(f"http://{HOST}/", headers=HEADERS, body=BODY))
    assert strict.check(f"https://{HOST}/hook") == HOST


def test_cancelling(run: Run[Any]) -> None:
    """It ends the connection and is not taken for anything else."""

    async def work() -> None:
        heard = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            heard.set()
            await peer.reader.read()

        async with ScriptedServer(script) as server:
            url = f"http://{HOST}:{server.port}/"
            task = asyncio.ensure_future(sender().post(url, headers=HEADERS, body=BODY))
            await heard.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await server.peers[0].closed.wait()

    run(work())
