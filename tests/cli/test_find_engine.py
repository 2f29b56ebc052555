"""`slackwater demo` looks for an engine where people usually have one."""

import asyncio
from urllib.parse import urlsplit

import pytest

from slackwater.wiring import find_engine
from tests.cli.scripted import Reply, scripted


def test_an_engine_at_one_of_two_ports_of_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is at the first one, and somebody at the second that lists no model is no engine."""
    with (
        scripted(lambda call: Reply.of({"data": []})) as empty,
        scripted(lambda call: Reply.of({"data": [{"id": "tiny"}]})) as engine,
    ):
        ports = [urlsplit(each.url).port for each in (empty, engine)]
        monkeypatch.setattr(find_engine, "WELL_KNOWN", dict.fromkeys((9, *ports), "llama.cpp"))
        found = asyncio.run(find_engine.find_engine())
    assert found is not None
    assert (found.usual, found.url, found.models) == (
        "what answers on the port of llama.cpp",
        f"{engine.url}/v1",
        ["tiny"],
    )
