"""Fetching a file: whole or not at all, from allowed addresses only, whatever the other side does."""

import asyncio
import logging
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from slackwater.adapters.outside.httpcore_fetcher import HttpcoreFetcher
from slackwater.adapters.outside.judged_network import resolve
from slackwater.core.errors import FetchFailed, ImportRefused, InvalidRequest
from slackwater.core.outside.imports import Origins
from tests.adapters.conftest import Run
from tests.adapters.scripted_server import Peer, Script, ScriptedServer

HOST = "store.test"
BODY = b"0123456789" * 100_000


class Names:
    """Answers of a name server, in order; the last one stays. Remembers how often it was asked."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        return self.answers[min(len(self.asked), len(self.answers)) - 1]


def fetcher(server: ScriptedServer, names: Names | None = None, **changes: Any) -> HttpcoreFetcher:
    """One that may fetch from the server under its name; every option may be changed."""
    options: dict[str, Any] = {"bytes_max": 2_000_000, "connect_seconds": 5.0, "total_seconds": 10.0}
    origins = {"allow_http": True, "allow_private_addresses": True} | changes.pop("origins", {})
    return HttpcoreFetcher(
        Origins(hosts=(f"{HOST}:{server.port}",), **origins),
        resolve=(names or Names(["127.0.0.1"])).resolve,
        **(options | changes),
    )


async def fetched(client: HttpcoreFetcher, url: str) -> bytes:
    """The bytes, which must have come in small pieces."""
    pieces: list[bytes] = []

    async def write(data: bytes) -> None:
        assert len(data) <= 1 << 20
        pieces.append(data)

    await client.fetch(url, write)
    return b"".join(pieces)


def serving(run: Run[Any], script: Script, **changes: Any) -> bytes:
    """What comes from a server that follows a script, asked for `/in.jsonl?sig=secret`."""

    async def work() -> bytes:
        async with ScriptedServer(script) as server:
            return await fetched(fetcher(server, **changes), f"http://{HOST}:{server.port}/in.jsonl?sig=secret")

    data: bytes = run(work())
    return data


def test_the_file_comes_whole(run: Run[Any]) -> None:
    """Host and path are those of the URL, nothing is sent compressed, and no secret but the URL's own goes out."""
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        head, _ = await peer.request()
        heads.append(head)
        await peer.answer(BODY)

    assert serving(run, script) == BODY
    lines = heads[0].split(b"\r\n")
    assert lines[0] == b"GET /in.jsonl?sig=secret HTTP/1.1"
    assert lines[1].startswith(b"Host: store.test:")
    assert b"Accept-Encoding: identity" in lines
    assert not any(line.lower().startswith((b"cookie", b"authorization", b"referer")) for line in lines)


def test_a_chunked_file(run: Run[Any]) -> None:
    """A length that is told piece by piece is a length too."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")

    assert serving(run, script) == b"abcde"


@pytest.mark.parametrize(
    ("answer", "words", "again"),
    [
        (b"404 Not Found\r\nContent-Length: 0\r\n\r\n", "status 404 instead of the file: check the URL", False),
        (b"403 Forbidden\r\nContent-Length: 0\r\n\r\n", "has not expired", False),
        (b"401 No\r\nContent-Length: 0\r\n\r\n", "status 401", False),
        (b"204 No Content\r\n\r\n", "status 204", False),
        (b"206 Partial Content\r\nContent-Length: 1\r\n\r\nx", "status 206", False),
        (b"302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n", "redirects", False),
        (b"308 Moved\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n", "redirects", False),
        (b"429 Busy\r\nContent-Length: 0\r\n\r\n", "status 429", True),
        (b"500 Oops\r\nContent-Length: 0\r\n\r\n", "status 500", True),
        (b"503 Later\r\nContent-Length: 0\r\n\r\n", "status 503", True),
        (b"200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx", "compressed \\(gzip\\)", False),
        (b"200 OK\r\n\r\nno length", "how long the file is", False),
        (b"200 OK\r\nContent-Length: 2000001\r\n\r\n", "larger than the 2,000,000 bytes", False),
        (b"200 OK\r\nContent-Length: 10\r\n\r\nhalf", "broke", True),
        (b"200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "broke", True),
        (b"nonsense\r\n\r\n", "broke", True),
        (b"", "broke", True),
    ],
)
def test_what_is_not_the_file(run: Run[Any], answer: bytes, words: str, again: bool) -> None:
    """One sentence says why, never with the URL; what may pass is told from what is final."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 " + answer if answer[:1].isdigit() else answer)
        peer.close()

    with pytest.raises(FetchFailed, match=words) as caught:
        serving(run, script)
    assert caught.value.again is again
    assert "secret" not in caught.value.message
    assert "169.254" not in caught.value.message


def test_too_many_bytes_without_a_word(run: Run[Any]) -> None:
    """A file that turns out too large is given up as soon as it does, and the connection with it."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await peer.send(b"10000\r\n" + bytes(65_536) + b"\r\n")

    with pytest.raises(FetchFailed, match="larger than"):
        serving(run, script)


def test_without_a_limit(run: Run[Any]) -> None:
    """A `bytes_max` of 0 takes everything."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(BODY * 3)

    assert len(serving(run, script, bytes_max=0)) == 3_000_000


def test_a_slow_file(run: Run[Any]) -> None:
    """A host that sends a little now and then is given up when the whole time is over; that is final."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            await peer.send(b"x")
            await asyncio.sleep(0.02)

    with pytest.raises(FetchFailed, match=r"within 0\.3 seconds") as caught:
        serving(run, script, total_seconds=0.3)
    assert not caught.value.again


@pytest.mark.parametrize("begun", [False, True])
def test_a_silent_host(run: Run[Any], begun: bool) -> None:
    """Before the answer or inside it: silence is noticed long before the whole time is over, and may pass."""

    async def script(peer: Peer) -> None:
        await peer.request()
        if begun:
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx")
        await peer.stay_silent()

    with pytest.raises(FetchFailed, match=r"silent for 0\.2 seconds") as caught:
        serving(run, script, silence_seconds=0.2)
    assert caught.value.again


def test_nobody_listens(run: Run[Any]) -> None:
    """No connection is worth another try; the address is not told."""

    async def work() -> None:
        async with ScriptedServer(Peer.stay_silent) as server:
            client = fetcher(server)
            url = f"http://{HOST}:{server.port}/"
        with pytest.raises(FetchFailed, match=r"No connection to 'store\.test'") as caught:
            await fetched(client, url)
        assert caught.value.again
        assert "127.0.0.1" not in caught.value.message

    run(work())


def test_an_unknown_name(run: Run[Any]) -> None:
    """A name server's no is worth another try: a name may be new."""

    async def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def work() -> None:
        client = HttpcoreFetcher(
            Origins(hosts=(HOST,)), bytes_max=0, connect_seconds=5.0, total_seconds=5.0, resolve=unknown
        )
        with pytest.raises(FetchFailed, match=r"host 'store\.test' is not known") as caught:
            await fetched(client, f"https://{HOST}/x")
        assert caught.value.again

    run(work())


def test_the_system_resolves(run: Run[Any]) -> None:
    """By default; spellings of an address that only the system understands are judged by what they mean."""

    async def work() -> None:
        assert await resolve("127.0.0.1", 80) == ["127.0.0.1"]
        client = HttpcoreFetcher(Origins(hosts=("2130706433",)), bytes_max=0, connect_seconds=5.0, total_seconds=5.0)
        with pytest.raises(ImportRefused, match="loopback"):
            await fetched(client, "https://2130706433/x")

    run(work())


def test_resolution_has_a_deadline(run: Run[Any]) -> None:
    """A name server that does not answer is given up like a host that does not."""

    async def never(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    async def work() -> None:
        client = HttpcoreFetcher(
            Origins(hosts=(HOST,)), bytes_max=0, connect_seconds=0.2, total_seconds=15.0, resolve=never
        )
        with pytest.raises(FetchFailed, match=r"could not be reached within 0\.2 seconds") as caught:
            await fetched(client, f"https://{HOST}/x")
        assert caught.value.again

    run(work())


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["::ffff:127.0.0.1"], ["93.184.215.14", "127.0.0.1"], ["127.0.0.1", "93.184.215.14"], ["nonsense"]],
)
def test_a_name_that_leads_into_the_house(run: Run[Any], addresses: list[str]) -> None:
    """One address that is not allowed spoils the host, in whatever place it is; no connection is made."""

    async def work() -> None:
        async with ScriptedServer(Peer.stay_silent) as server:
            client = fetcher(server, Names(addresses), origins={"allow_private_addresses": False})
            with pytest.raises(ImportRefused, match=r"'store\.test' leads to"):
                await fetched(client, f"http://{HOST}:{server.port}/")
            assert server.peers == []

    run(work())


def test_a_name_is_asked_once(run: Run[Any]) -> None:
    """The judged address is the one that is connected to: a second, different answer gains nothing."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"x")

    async def work() -> None:
        async with ScriptedServer(script) as server:
            names = Names(["127.0.0.1"], ["169.254.169.254"])
            assert await fetched(fetcher(server, names), f"http://{HOST}:{server.port}/") == b"x"
            assert names.asked == [HOST]
            with pytest.raises(ImportRefused, match="metadata"):
                await fetched(fetcher(server, names), f"http://{HOST}:{server.port}/")
            assert len(server.peers) == 1

    run(work())


def test_the_next_address_is_tried(run: Run[Any]) -> None:
    """A host with several addresses is reached through one that takes connections."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"x")

    with socket.socket() as closed:
        closed.bind(("127.0.0.2", 0))

        async def work() -> None:
            async with ScriptedServer(script) as server:
                client = fetcher(server, Names(["127.0.0.2", "127.0.0.1"]))
                assert await fetched(client, f"http://{HOST}:{server.port}/") == b"x"

        run(work())


def test_urls_are_checked_again(run: Run[Any]) -> None:
    """What the order would have refused is refused by the fetch as well: the configuration may have changed meanwhile."""

    async def work() -> None:
        async with ScriptedServer(Peer.stay_silent) as server:
            client = fetcher(server)
            for url, error in ((f"http://other.test:{server.port}/", ImportRefused), ("nonsense", InvalidRequest)):
                with pytest.raises(error):
                    await fetched(client, url)
                with pytest.raises(error):
                    client.check(url)
            assert client.check(f"http://{HOST}:{server.port}/?sig=secret") == HOST
            assert server.peers == []

    run(work())


def test_what_the_writer_raises_passes_through(run: Run[Any]) -> None:
    """A full disk, or a file that was deleted: the fetch ends with that, and its connection is closed."""

    class Full(Exception):
        pass

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(BODY)
        await peer.reader.read()

    async def refuse(data: bytes) -> None:
        raise Full

    async def work() -> None:
        async with ScriptedServer(script) as server:
            with pytest.raises(Full):
                await fetcher(server).fetch(f"http://{HOST}:{server.port}/", refuse)
            await server.peers[0].closed.wait()

    run(work())


def test_a_cancelled_fetch(run: Run[Any]) -> None:
    """Cancelling ends the connection and is not taken for anything else."""
    waits = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx")
        waits.set()
        await peer.reader.read()

    async def work() -> None:
        async with ScriptedServer(script) as server:
            task = asyncio.ensure_future(fetched(fetcher(server), f"http://{HOST}:{server.port}/"))
            await waits.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await server.peers[0].closed.wait()

    run(work())


def test_no_url_reaches_the_log(run: Run[Any], caplog: pytest.LogCaptureFixture) -> None:
    """Neither here nor in the library, not even where everything is logged: a URL may be a key to a whole store."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"x")

    with caplog.at_level(logging.DEBUG):
        serving(run, script)
    assert caplog.records
    assert not any("secret" in record.getMessage() for record in caplog.records)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for the store's name that nobody else vouches for, in one file."""
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=store"
    options = ["-addext", f"subjectAltName=DNS:{HOST}", "-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run([*command.split(), *options], cwd=folder, check=True, capture_output=True)
    (folder / "both.pem").write_bytes((folder / "key.pem").read_bytes() + (folder / "certificate.pem").read_bytes())
    return folder / "both.pem"


def test_tls_has_the_name(run: Run[Any], certificate: Path) -> None:
    """The connection goes to an address, and the certificate must still be that of the name; others are refused."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(BODY)

    async def work() -> None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate)
        names: list[str | None] = []
        tls.sni_callback = lambda _, name, __: names.append(name)
        trusting = ssl.create_default_context(cafile=certificate)
        async with ScriptedServer(script, tls=tls) as server:
            url = f"https://{HOST}:{server.port}/x"
            assert await fetched(fetcher(server, tls=trusting), url) == BODY
            assert names == [HOST]
            with pytest.raises(FetchFailed, match=r"certificate of 'store\.test' is not trusted"):
                await fetched(fetcher(server), url)
            other = HttpcoreFetcher(
                Origins(hosts=(f"other.test:{server.port}",), allow_private_addresses=True),
                bytes_max=0,
                connect_seconds=5.0,
                total_seconds=10.0,
                resolve=Names(["127.0.0.1"]).resolve,
                tls=trusting,
            )
            with pytest.raises(FetchFailed, match=r"certificate of 'other\.test' is not trusted"):
                await fetched(other, url.replace(HOST, "other.test"))

    run(work())
