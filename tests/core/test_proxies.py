"""Which proxy a call goes through, as the environment says it."""

import pytest

from slackwater.core.outside.proxies import Proxy, ProxyRefused, goes_directly, proxy_for, tunnel_open, tunnel_request

PROXY = Proxy("proxy.test", 3128)


@pytest.mark.parametrize(
    ("host", "port", "no_proxy", "directly"),
    [
        ("engine.test", 443, "", False),
        ("engine.test", 443, "*", True),
        ("engine.test", 443, "engine.test", True),
        ("ENGINE.test.", 443, ".Engine.TEST", True),
        ("gpu.engine.test", 443, "engine.test", True),
        ("gpu.engine.test", 443, "*.engine.test", True),
        ("myengine.test", 443, "engine.test", False),
        ("engine.test", 8000, "engine.test:8000", True),
        ("engine.test", 8001, "engine.test:8000", False),
        ("10.1.2.3", 80, "other.test, 10.0.0.0/8", True),
        ("10.1.2.3", 80, "10.1.2.3:80", True),
        ("10.1.2.3", 80, "10.1.2.3:81", False),
        ("11.1.2.3", 80, "10.0.0.0/8", False),
        ("fd00::1", 80, "fd00::/8", True),
        ("fd00::1", 80, "[fd00::1]:80", True),
        # Never through a proxy, which would look for it on its own machine.
        ("localhost", 80, "", True),
        ("127.0.0.9", 80, "", True),
        ("::1", 80, "", True),
    ],
)
def test_who_is_asked_directly(host: str, port: int, no_proxy: str, directly: bool) -> None:
    """Names with what is below them, addresses, networks, ports."""
    assert goes_directly(host, port, no_proxy) is directly


def test_the_scheme_chooses_and_small_letters_come_first() -> None:
    """As curl has it."""
    environ = {"HTTPS_PROXY": "http://wrong:1", "https_proxy": "http://proxy.test:3128", "HTTP_PROXY": "plain.test"}
    assert proxy_for("https", "engine.test", 443, environ) == PROXY
    assert proxy_for("http", "engine.test", 80, environ) == Proxy("plain.test", 8080)
    assert proxy_for("https", "engine.test", 443, {**environ, "NO_PROXY": "test"}) is None
    assert proxy_for("https", "engine.test", 443, {}) is None


def test_a_user_of_the_proxy() -> None:
    """It goes into a header, and into nothing that is said."""
    proxy = proxy_for("https", "engine.test", 443, {"HTTPS_PROXY": "http://me:p%40ss@proxy.test:3128"})
    assert proxy is not None
    assert proxy.authorization == "Basic bWU6cEBzcw=="
    assert "bWU6" not in repr(proxy)
    assert tunnel_request("engine.test", 443, proxy) == (
        b"CONNECT engine.test:443 HTTP/1.1\r\nHost: engine.test:443\r\nProxy-Authorization: Basic bWU6cEBzcw==\r\n\r\n"
    )


@pytest.mark.parametrize("url", ["socks5://me:secret@proxy.test:1080", "https://me:secret@proxy.test", "http://:80"])
def test_a_proxy_that_cannot_be_used_is_refused(url: str) -> None:
    """And its URL is not repeated."""
    with pytest.raises(ValueError, match="HTTPS_PROXY must look like http://host:port") as refused:
        proxy_for("https", "engine.test", 443, {"HTTPS_PROXY": url})
    assert "secret" not in str(refused.value)


def test_the_answer_of_a_proxy() -> None:
    """A tunnel is open once its head is whole and says 2xx."""
    assert not tunnel_open(b"", PROXY)
    assert not tunnel_open(b"HTTP/1.1 200 OK\r\n", PROXY)
    assert tunnel_open(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n", PROXY)
    for answer, why in (
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "answers with status 403"),
        (b"HTTP/1.0 407 No\r\n\r\n", "wants a user and password"),
        (b"SSH-2.0\r\n\r\n", "does not speak HTTP"),
        (b"x" * 9000, "does not speak HTTP"),
    ):
        with pytest.raises(ProxyRefused, match=why):
            tunnel_open(answer, PROXY)
