"""How many requests one server has out at an engine, counted there, where deployments name different numbers for it or none."""

import json
import signal
import time
import urllib.request
from pathlib import Path

import pytest

from tests.cluster.sampled_engine import SampledEngine
from tests.crash.rounds import input_lines
from tests.server import Server

# What a backend may have where nobody names a number for its engine.
USUAL = 64


def config_of(folder: Path, engine: SampledEngine, *numbers: int | None, section: int | None = None) -> Path:
    """A deployment for each number, all at one engine; None names none."""
    text = ""
    if section is not None:
        text += f'[[engines]]\nurl = "{engine.url}"\nconcurrency = {section}\n'
    for place, number in enumerate(numbers):
        text += f'[[deployments]]\nname = "d{place}"\n[[deployments.backends]]\nurl = "{engine.url}"\n'
        text += "" if number is None else f"concurrency = {number}\n"
    path = folder / "slackwater.toml"
    path.write_text(text)
    return path


def create(server: Server, name: str, lines: int) -> str:
    """A batch for a deployment."""
    data = input_lines(f"{name} {time.monotonic()}", lines).replace(b'"crash"', b'"%b"' % name.encode())
    return server.create_batch(server.upload("in.jsonl", data))


def until_ended(server: Server, *batches: str) -> None:
    """Waits until they are completed; the limit only keeps a broken server from hanging the tests."""
    limit = time.monotonic() + 90
    while {server.batch(each)["status"] for each in batches} != {"completed"}:
        assert time.monotonic() < limit
        signal.sigtimedwait([], 0.05)


def most_out(
    folder: Path, engine: SampledEngine, *numbers: int | None, section: int | None = None, only: str = ""
) -> int:
    """How many were out at most while a server did a batch for each deployment, or for one of them."""
    server = Server(config_of(folder, engine, *numbers, section=section), folder / "data", folder / "server.log")
    try:
        engine.out_max = 0
        names = [only] if only else [f"d{place}" for place in range(len(numbers))]
        until_ended(server, *(create(server, name, 100) for name in names))
        assert server.terminate() == 0
    finally:
        if server.process.poll() is None:
            server.kill()
    return engine.out_max


@pytest.mark.parametrize(
    ("numbers", "section", "out"),
    [
        ((8, None), None, 8),
        ((None, 8), None, 8),
        # Whoever names more than another says that it may be more, and whoever knows better is believed.
        ((24, 8), None, 8),
        ((8, None, 24), 16, 16),
        ((None, None), None, USUAL),
    ],
)
def test_the_smallest_number_holds_for_all(
    tmp_path: Path, numbers: tuple[int | None, ...], section: int | None, out: int
) -> None:
    """Over all deployments, unless the engine has a section of its own; and all of it is used."""
    with SampledEngine(shortest=0.05, longest=0.1).serving() as engine:
        assert most_out(tmp_path, engine, *numbers, section=section) == out


@pytest.mark.long
def test_it_holds_while_who_names_it_has_nothing_to_send(tmp_path: Path) -> None:
    """Nobody sends for the one, and the other names nothing. With a section, it has all of the engine, and the first its own."""
    with SampledEngine(shortest=0.05, longest=0.1).serving() as engine:
        assert most_out(tmp_path, engine, 8, None, only="d1") == 8
        assert most_out(tmp_path, engine, 8, None, section=24, only="d1") == 24
        assert most_out(tmp_path, engine, 8, None, section=24, only="d0") == 8


@pytest.mark.long
def test_a_number_comes_and_goes_with_the_configuration(tmp_path: Path) -> None:
    """A batch is under way when the server is started with another one: from then on that one holds."""
    with SampledEngine(shortest=0.05, longest=0.1).serving() as engine:
        log, data = tmp_path / "server.log", tmp_path / "data"
        server = Server(config_of(tmp_path, engine, None, None), data, log)
        try:
            batches = [create(server, name, 1500) for name in ("d0", "d1")]
            for numbers, out in (
                ((None, None), USUAL),
                ((None, 8), 8),
                ((12, 8), 8),
                ((12, None), 12),
                ((None, None), USUAL),
            ):
                if numbers != (None, None) or out != engine.out_max:
                    assert server.terminate() == 0
                    engine.out_max = 0
                    server = Server(config_of(tmp_path, engine, *numbers), data, log)
                answered = engine.answered
                limit = time.monotonic() + 60
                while engine.answered < answered + 150:
                    assert time.monotonic() < limit
                    signal.sigtimedwait([], 0.02)
                assert engine.out_max == out
            until_ended(server, *batches)
        finally:
            server.kill()


def test_deployments_of_the_api(tmp_path: Path) -> None:
    """Where the configuration says nothing of an engine, the smallest number of those that are made over the API holds as long
    as they are there. Where it does, a number of theirs is for themselves alone: nobody takes an engine from others.
    """
    with SampledEngine(shortest=0.05, longest=0.1).serving() as engine:
        host = engine.url.removeprefix("http://").removesuffix("/v1")
        config = config_of(tmp_path, engine, 24)
        own = config.read_text()
        allowed = f'[control_plane]\nbackend_hosts = ["{host}"]\n'
        config.write_text(allowed + '[[deployments]]\nname = "d"\n[[deployments.backends]]\necho = {}\n')

        def asked(server: Server, method: str, name: str, body: object = None) -> None:
            request = urllib.request.Request(
                f"http://{server.address}/openai/v1/deployments/{name}",
                None if body is None else json.dumps(body).encode(),
                {"api-key": "any", "content-type": "application/json"},
                method=method,
            )
            with urllib.request.urlopen(request, timeout=30) as answer:
                assert answer.status < 300

        def put(server: Server, name: str, number: int | None) -> None:
            backend = {"url": engine.url} | ({} if number is None else {"concurrency": number})
            body = {"properties": {"model": {"name": "m"}, "backends": [backend]}, "sku": {"name": "GlobalBatch"}}
            asked(server, "PUT", name, body)

        def out(server: Server, *names: str, lines: int = 40) -> int:
            engine.out_max = 0
            until_ended(server, *(create(server, name, lines) for name in names))
            return engine.out_max

        server = Server(config, tmp_path / "data", tmp_path / "server.log")
        try:
            put(server, "one", 8)
            put(server, "other", None)
            assert out(server, "one", "other") == 8
            assert out(server, "other") == 8
            put(server, "one", 12)
            assert out(server, "other") == 12
            put(server, "one", None)
            assert out(server, "other", lines=150) == USUAL
            put(server, "one", 3)
            assert out(server, "other") == 3
            asked(server, "DELETE", "one")
            assert out(server, "other", lines=150) == USUAL
            put(server, "one", 2)
            assert server.terminate() == 0
            config.write_text(allowed + own)
            server = Server(config, tmp_path / "data", tmp_path / "server.log")
            assert out(server, "one") == 2
            assert out(server, "one", "d0", "other", lines=60) == 24
        finally:
            server.kill()


def test_calls_that_are_given_up_have_their_slots_until_the_engine_knows(tmp_path: Path) -> None:
    """A batch is cancelled while all slots are its own, and another one waits for them, again and again."""
    with SampledEngine(shortest=0.4, longest=0.8, notices=0.1).serving() as engine:
        config = config_of(tmp_path, engine, 8, 8)
        server = Server(config, tmp_path / "data", tmp_path / "server.log")
        try:
            for _ in range(3):
                gone = create(server, "d0", 200)
                limit = time.monotonic() + 60
                while engine.out < 8:
                    assert time.monotonic() < limit
                    signal.sigtimedwait([], 0.02)
                stays = create(server, "d1", 16)
                broken_off = engine.broken_off
                server.raw("POST", f"/batches/{gone}/cancel")
                until_ended(server, stays)
                assert engine.broken_off > broken_off
            assert engine.out_max == 8
        finally:
            server.kill()
