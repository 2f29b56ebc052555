"""How engines are called, and what of a backend's address is for others."""

import pytest

from slackwater.core.sending.engine_names import backend_label, engine_id, engine_of, other_urls, where_else


@pytest.mark.parametrize(
    ("url", "name", "in_a_path"),
    [
        ("http://Engine.local:8000/v1", "http://engine.local:8000", "http:engine.local:8000"),
        ("https://api.openai.com/v1?x=y", "https://api.openai.com:443", "https:api.openai.com:443"),
        ("http://user:word@h/v1", "http://h:80", "http:h:80"),
        ("http://[::1]:9/v1", "http://[::1]:9", "http:[::1]:9"),
    ],
)
def test_an_engine_is_a_scheme_a_host_and_a_port(url: str, name: str, in_a_path: str) -> None:
    """Whatever is behind them; in a path it is one piece."""
    assert engine_of(url) == name
    assert engine_id(name) == in_a_path
    assert "/" not in engine_id("built-in 1 of red/steady")


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("https://key:secret@h.example/v1?api-key=secret", "https://h.example/v1"),
        ("http://[::1]:9/v1#secret", "http://[::1]:9/v1"),
        ("built-in", "built-in"),
    ],
)
def test_an_address_for_others_has_no_secret(name: str, label: str) -> None:
    """Neither a user name nor a query."""
    assert backend_label(name) == label


@pytest.mark.parametrize(
    ("url", "others"),
    [
        ("http://h:8000", ["http://h:8000/v1"]),
        ("http://h:8000/", ["http://h:8000/v1"]),
        ("http://h/api", ["http://h/api/v1"]),
        ("http://h/v1/v1", ["http://h/v1"]),
        ("http://h/v1/chat/completions", ["http://h/v1"]),
        ("http://h/chat/completions", ["http://h/v1", "http://h"]),
        ("http://h/v1", []),
        ("http://h/api/v3", []),
        ("http://h/v1beta/openai", []),
        ("https://h/openai/deployments/d", []),
        ("built-in", []),
    ],
)
def test_what_a_url_may_have_been_meant_to_be(url: str, others: list[str]) -> None:
    """/v1 left out or doubled, an endpoint added; nothing is made up where none of this is to be seen."""
    assert other_urls(url) == others


@pytest.mark.parametrize(
    ("url", "reason", "end"),
    [
        ("http://h:8000", "status 404: Not Found", "; is its url right? It may have to be http://h:8000/v1"),
        ("http://me:secret@h/?key=secret", "status 405", "; is its url right? It may have to be http://h/v1"),
        ("http://h:8000", "status 404 (model_not_found)", ""),
        ("http://h:8000", "status 401", ""),
        ("http://h:8000/v1", "status 404", ""),
    ],
)
def test_where_else_a_backend_may_be(url: str, reason: str, end: str) -> None:
    """Said only where nothing is found at that path, without what an address has of secrets."""
    assert where_else(url, reason) == end
