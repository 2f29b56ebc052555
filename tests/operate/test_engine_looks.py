"""What a look at an engine says before it is added, and what an engine cannot do with it."""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from slackwater.ports import EngineLook
from slackwater.wiring.engine_looks import MODELS_MAX, EngineLooks
from slackwater.wiring.find_engine import find_engines
from tests.odd_engine import Answer, Asked, answered, models, odd_engine


def look(url: str, *, key: str | None = None, model: str | None = None, anywhere: bool = False) -> EngineLook:
    """A look with little patience."""
    return asyncio.run(
        EngineLooks(port=0, seconds=1.0).look(url, key=key, key_header=None, model=model, anywhere=anywhere)
    )


def said(found: EngineLook) -> list[tuple[str, str]]:
    """How each of its checks went."""
    return [(each.level, each.about) for each in found.checks]


def test_an_engine_that_is_well() -> None:
    """It is there, it takes the key, it has models, and the first of them answers one request of one token."""
    with odd_engine(answered("small", "large", key="sk-right")) as engine:
        found = look(engine.url, key="sk-right")
        assert said(found) == [("ok", "engine"), ("ok", "models"), ("ok", "request")]
        assert list(found.models) == ["small", "large"]
        assert json.loads(engine.asked[-1].body)["max_tokens"] == 1
        assert "large answers" in look(engine.url, key="sk-right", model="large").checks[-1].message


@pytest.mark.parametrize(
    ("answer", "key", "model", "level", "words"),
    [
        (answered("m", key="sk-right"), None, None, "fault", "it wants a key"),
        (answered("m", key="sk-right"), "sk-wrong", None, "fault", "correct the key"),
        (answered("m"), None, "other", "fault", "choose a model"),
        (lambda asked: (404, b"{}", {}), None, None, "note", "write the name of one"),
        (lambda asked: models(), None, None, "warning", "load one there"),
        (lambda asked: (500, b"", {}), None, None, "fault", "the log of that server"),
        (lambda asked: (200, b"<html>", {}), None, None, "note", "does not say which models"),
        (lambda asked: (200, b"[" * 100_000, {}), None, None, "note", "does not say which models"),
        (
            lambda asked: models("m") if asked.method == "GET" else (429, b"{}", {}),
            None,
            None,
            "note",
            "try again later",
        ),
        (lambda asked: models("m") if asked.method == "GET" else (503, b"{}", {}), None, None, "fault", "status 503"),
    ],
)
def test_what_is_wrong_is_said(
    answer: Callable[[Asked], Answer], key: str | None, model: str | None, level: str, words: str
) -> None:
    """In one line, with what to do."""
    with odd_engine(answer) as engine:
        last = look(engine.url, key=key, model=model).checks[-1]
    assert last.level == level
    assert words in f"{last.message} {last.fix}"


def test_a_url_without_its_v1_is_put_right() -> None:
    """Who lists models at the other address is named."""
    with odd_engine(answered("m")) as engine:
        last = look(engine.url.removesuffix("/v1")).checks[-1]
    assert last.level == "fault"
    assert engine.url in last.fix


def test_a_model_that_does_not_chat_may_do_something_else() -> None:
    """Embeddings are asked for where a chat is refused."""

    def answer(asked: Asked) -> Answer:
        if asked.method == "GET":
            return models("embedder")
        return (
            (200, b'{"data": []}', {})
            if asked.path == "/v1/embeddings"
            else (400, b'{"error": {"message": "no chat"}}', {})
        )

    with odd_engine(answer) as engine:
        assert "/embeddings" in look(engine.url).checks[-1].message


def test_a_redirect_is_not_followed() -> None:
    """Where it leads, nobody calls, and the key goes nowhere."""
    with (
        odd_engine(answered("m")) as other,
        odd_engine(lambda asked: (307, b"", {"Location": other.url + "/models"})) as engine,
    ):
        found = look(engine.url, key="sk-secret")
        assert found.checks[-1].level == "fault"
        assert "sends elsewhere" in found.checks[-1].message
        assert other.asked == []


def test_a_list_of_ten_megabytes_is_not_read() -> None:
    """It ends with a sentence; a long list that can be read is cut, and so are names of any length."""
    with odd_engine(lambda asked: models(*(f"m{number:09}" * 10 for number in range(100_000)))) as engine:
        found = look(engine.url)
        assert said(found) == [("fault", "engine")]
        assert not found.models
        engine.answer = lambda asked: models("n" * 5_000, *(f"m{number}" for number in range(5_000)))
        found = look(engine.url)
        assert len(found.models) == MODELS_MAX
        assert found.models_left_out == 5_001 - MODELS_MAX
        assert all(len(each.message) < 1_100 for each in found.checks)


@contextlib.contextmanager
def silent(*, drips: bytes = b"") -> Iterator[str]:
    """The URL of somebody who takes connections, and says nothing, or the same byte again and again."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        over = threading.Event()

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listening.accept()
                with connection:
                    while not over.wait(0.05):
                        connection.sendall(drips)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        over.set()
        listening.close()
        thread.join(5)


@pytest.mark.parametrize("drips", [b"", b"HTTP/1.1 200 OK\r\nX: y\r\n"[:8], b"x"])
def test_one_that_never_answers_is_left(drips: bytes) -> None:
    """A look ends, whatever comes."""
    with silent(drips=drips) as url:
        found = look(url)
    assert [each.level for each in found.checks] == ["fault"]


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "224.0.0.1", "0.0.0.0"])
def test_addresses_that_no_engine_has_are_not_asked(host: str) -> None:
    """Those of metadata above all; where the operator has listed the host, the request goes out, and fails for another reason."""
    refused = look(f"http://{host}:9/v1").checks[-1]
    assert refused.level == "fault"
    assert "nothing is sent there" in refused.message


def test_a_name_that_leads_to_such_an_address_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the address that counts, at the moment of the connection: a name may lead elsewhere the second time."""
    real = socket.getaddrinfo
    looked = []

    def resolve(host: object, *more: object, **named: object) -> object:
        looked.append(host)
        if host == "engine.example":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 9))]
        return real(host, *more, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    last = look("http://engine.example:9/v1").checks[-1]
    assert looked == ["engine.example"]
    assert "link-local" in last.message
    assert "169.254" not in last.message


def test_engines_on_this_machine_are_found_and_we_are_not() -> None:
    """Those on the usual ports that list a model; another Slackwater is none, and our own port is not asked."""
    batch_api = json.dumps({"data": [{"id": "demo", "lifecycle_status": "generally-available"}]}).encode()
    with (
        odd_engine(answered("llama")) as one,
        odd_engine(answered("other")) as own,
        odd_engine(lambda asked: (200, batch_api, {})) as slackwater,
        odd_engine(lambda asked: (200, b"hello", {})) as web,
    ):
        ports = {one.port: "A", own.port: "B", slackwater.port: "C", web.port: "D", 9: "E"}
        found = asyncio.run(find_engines(ports, but=own.port))
        assert [(each.url, each.models) for each in found] == [(one.url, ["llama"])]
        assert own.asked == []
