"""How calls, connections and the client itself end: refused, hung up, timed out, closed. And TLS, where most of it is met."""

import asyncio
import gc
import ssl
import subprocess
import warnings
from pathlib import Path

import pytest

from slackwater.adapters.upstream.http_backend import HttpBackend
from slackwater.adapters.upstream.http_pool import Timeouts
from slackwater.core.errors import BackendReplyBroken, BackendTimeout, BackendUnreachable
from tests.adapters.conftest import Run
from tests.adapters.scripted_server import Peer, ScriptedServer, echo, turns, with_server

# Long enough for a loaded machine; only a failing test waits for it.
PATIENCE = 10.0


def test_a_server_that_hangs_up_while_we_write(run: Run[None]) -> None:
    """A server that stops reading and says that it will not answer is not waited for until our bytes are gone."""

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.writer.write_eof()
        await peer.stay_silent()

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        with pytest.raises(BackendReplyBroken, match="before an answer came"):
            await backend.send("/x", b"x" * 8_000_000)

    run(with_server(script, test))


def test_a_connection_that_is_never_made(run: Run[None]) -> None:
    """The time to connect includes TLS: whoever accepts and says nothing is given up, and nothing was sent."""

    async def script(peer: Peer) -> None:
        await peer.stay_silent()

    async def work() -> None:
        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.url.replace("http:", "https:"), timeouts=Timeouts(connect=0.1))
            with pytest.raises(BackendTimeout, match=r"no connection to 127\.0\.0\.1:\d+ within 0\.1 s") as caught:
                await backend.send("/x", b"{}")
            assert not caught.value.sent
            await backend.close()

    run(work())


@pytest.mark.parametrize("host", ["name.invalid", "a" * 70 + ".example"])
def test_names_that_do_not_exist(run: Run[None], host: str) -> None:
    """An unknown or impossible name is an unreachable backend."""

    async def work() -> None:
        backend = HttpBackend(f"http://{host}/v1")
        with pytest.raises(BackendUnreachable, match="no connection to") as caught:
            await backend.send("/x", b"{}")
        assert not caught.value.sent
        await backend.close()

    run(work())


def test_a_closed_client_refuses_but_finishes(run: Run[None]) -> None:
    """`close` ends idle connections and refuses new calls; the calls under way are answered, and then nothing is open."""
    gate = asyncio.Event()

    async def script(peer: Peer) -> None:
        while True:
            _, body = await peer.request()
            if body == b"slow":
                await gate.wait()
            await peer.answer(body)

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        slow = asyncio.create_task(backend.send("/x", b"slow"))
        await backend.send("/x", b"fast")
        await backend.close()
        await backend.close()
        with pytest.raises(BackendUnreachable, match="closed"):
            await backend.send("/x", b"late")
        gate.set()
        assert (await slow).body == b"slow"
        for peer in server.peers:
            await asyncio.wait_for(peer.closed.wait(), PATIENCE)

    run(with_server(script, test))


def test_nothing_is_left_behind(run: Run[None]) -> None:
    """Cancelled calls, cancelled turns and a cancelled close leave no warning about tasks, futures or sockets."""

    async def script(peer: Peer) -> None:
        while True:
            _, body = await peer.request()
            if body == b"hang":
                await peer.stay_silent()
            await peer.answer(body)

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        calls = [asyncio.create_task(backend.send("/x", b"hang")) for _ in range(6)]
        await turns()
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await backend.send("/x", b"{}")
        closing = asyncio.create_task(backend.close())
        await asyncio.sleep(0)
        assert closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)
        calls.clear()
        # What is not told when an object dies is not told at all.
        gc.collect()

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        run(with_server(script, test, connections_max=3))
        gc.collect()
    assert [str(warning.message) for warning in told] == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for 127.0.0.1 that nobody else vouches for, in one file."""
    folder = tmp_path_factory.mktemp("tls")
    file = folder / "both.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    options = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "certificate.pem"]
    try:
        subprocess.run([*command.split(), *options], cwd=folder, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    file.write_bytes((folder / "key.pem").read_bytes() + (folder / "certificate.pem").read_bytes())
    return file


def test_tls(run: Run[None], certificate: Path) -> None:
    """Certificates are verified unless the caller brings a context that trusts them; then all is as without TLS."""

    async def work() -> None:
        serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        serving.load_cert_chain(certificate)
        trusting = ssl.create_default_context(cafile=certificate)
        body = b"x" * 3_000_000
        async with ScriptedServer(echo, tls=serving) as server:
            strict, trusted = HttpBackend(server.url), HttpBackend(server.url, tls=trusting)
            with pytest.raises(BackendUnreachable, match="certificate is not accepted") as caught:
                await strict.send("/x", b"{}")
            assert not caught.value.sent
            for sent in (b"{}", body, b"{}"):
                assert (await trusted.send("/x", sent)).body == sent
            # The refused connection, and the one that served three calls.
            assert len([peer for peer in server.peers if not peer.closed.is_set()]) == 1
            await strict.close()
            await trusted.close()

    run(work())
