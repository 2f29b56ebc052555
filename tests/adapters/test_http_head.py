"""What the HTTP client sends before the body, and the URLs, paths and headers that it refuses to send."""

import pytest

from slackwater import __version__
from slackwater.adapters.upstream.http_backend import HttpBackend
from tests.adapters.conftest import Run
from tests.adapters.scripted_server import Peer, ScriptedServer


async def heads(base: str, *calls: tuple[str, str], headers: dict[str, str]) -> list[list[str]]:
    """The lines of the heads that a server sees; each call is a method and a path, `base` follows the port."""
    seen: list[list[str]] = []

    async def script(peer: Peer) -> None:
        while True:
            head, _ = await peer.request()
            seen.append(head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n"))
            await peer.answer(b"{}")

    async with ScriptedServer(script) as server:
        backend = HttpBackend(f"http://127.0.0.1:{server.port}{base}", headers=headers)
        for method, path in calls:
            await (backend.send(path, b"[1]") if method == "POST" else backend.get(path))
        await backend.close()
        host = f"Host: 127.0.0.1:{server.port}"
    return [[line.replace(host, "Host: HOST") for line in lines] for lines in seen]


def test_the_whole_head(run: Run[list[list[str]]]) -> None:
    """A POST says exactly this, once each; a GET says the same without what describes a body."""
    common = [
        "Host: HOST",
        f"User-Agent: slackwater/{__version__}",
        "Accept: application/json",
        "Accept-Encoding: identity",
        "api-key: k",
    ]
    post, get = run(heads("/v1", ("POST", "/chat/completions"), ("GET", "/models"), headers={"api-key": "k"}))
    body = ["Content-Type: application/json", "Content-Length: 3"]
    assert post == ["POST /v1/chat/completions HTTP/1.1", *common, *body]
    assert get == ["GET /v1/models HTTP/1.1", *common]


@pytest.mark.parametrize(
    ("base", "path", "target"),
    [
        ("", "/models", "/models"),
        ("/v1/", "/models", "/v1/models"),
        ("/d/x?api-version=2024-10-21", "/embeddings", "/d/x/embeddings?api-version=2024-10-21"),
        ("/v1?a=b&c=d", "/models?limit=1", "/v1/models?limit=1&a=b&c=d"),
        ("/a%20b", "/models", "/a%20b/models"),
    ],
)
def test_targets(run: Run[list[list[str]]], base: str, path: str, target: str) -> None:
    """The path goes behind the path of the URL, and the query of the URL behind both."""
    [head] = run(heads(base, ("POST", path), headers={}))
    assert head[0] == f"POST {target} HTTP/1.1"


def test_headers_of_the_user_replace_ours(run: Run[list[list[str]]]) -> None:
    """A header that the user gives in any case of letters is sent instead of ours, not beside it."""
    [head] = run(heads("/v1", ("POST", "/x"), headers={"host": "gateway", "USER-AGENT": "me", "X-Umlaut": "\xfc"}))
    names = [line.partition(":")[0].lower() for line in head[1:]]
    assert len(names) == len(set(names))
    assert {"host: gateway", "USER-AGENT: me", "X-Umlaut: \xfc"} <= set(head)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x/v1",
        "127.0.0.1:8000",
        "http://",
        "http://:8000/v1",
        "http://a b/v1",
        "http://x/v1\r\nA: b",
        "http://x:0/v1",
        "http://x:99999/v1",
        "http://x:y/v1",
        "http://[::1/v1",
        "http://b\xfccher.example/v1",
        "http://x/v1#part",
    ],
)
def test_urls_that_cannot_be(url: str) -> None:
    """A URL that cannot be called is refused when it is given."""
    with pytest.raises(ValueError, match="the URL must"):
        HttpBackend(url)


def test_credentials_do_not_belong_into_urls() -> None:
    """A URL with a password is refused rather than sent without it, and the message does not repeat it."""
    with pytest.raises(ValueError, match="credentials as a header") as caught:
        HttpBackend("http://user:secret@x/v1")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("path", ["", "models", "/a b", "/a\r\nB: c", "/\xfc", "/a#b"])
def test_paths_that_cannot_be(run: Run[None], path: str) -> None:
    """A path that would break out of its line, or is none, is refused and nothing is sent."""

    async def work() -> None:
        backend = HttpBackend("http://127.0.0.1:9/v1")
        with pytest.raises(ValueError, match="the path"):
            await backend.send(path, b"{}")

    run(work())


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("A", "secret\r\nC: d", "line break"),
        ("A", "secret\nC: d", "line break"),
        ("A", "secret\0", "line break"),
        ("A", "secret \u20ac", "line break"),
        ("A: b\r\nC", "secret", "not the name"),
        ("", "secret", "not the name"),
        ("Content-Length", "5", "set by the client"),
        ("transfer-encoding", "chunked", "set by the client"),
    ],
)
def test_headers_cannot_be_smuggled(name: str, value: str, text: str) -> None:
    """A header that is more than one line, or frames the message, is refused; its value, often a key, is not repeated."""
    with pytest.raises(ValueError, match=text) as caught:
        HttpBackend("http://x/v1", headers={name: value})
    assert "secret" not in str(caught.value)
