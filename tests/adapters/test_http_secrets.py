"""What lets us into an engine does not come back from it."""

import asyncio

import pytest

from slackwater.adapters.upstream.http_backend import HttpBackend
from tests.cli.scripted import Call, Reply, scripted


@pytest.mark.parametrize("how", ["send", "send_with", "get"])
@pytest.mark.parametrize("status", [200, 400, 503])
def test_what_let_us_in_is_not_said_back(how: str, status: int) -> None:
    """By whichever way a call goes, also with the header of a trace; what else an engine says stays as it is."""

    def echo(call: Call) -> Reply:
        return Reply.of({"error": {"message": f"{call.headers} at {call.path}"}}, status)

    async def story(url: str) -> bytes:
        backend = HttpBackend(f"{url}/v1?code=open-sesame", headers={"Authorization": "Bearer sk-0123456789"})
        try:
            if how == "send":
                return (await backend.send("/chat/completions", b"{}")).body
            if how == "send_with":
                return (await backend.send_with("/chat/completions", b"{}", b"traceparent: 00-1-2-01\r\n")).body
            return (await backend.get("/models")).body
        finally:
            await backend.close()

    with scripted(echo) as server:
        said = asyncio.run(story(server.url)).decode()
    assert "sesame" not in said
    assert "sk-0123456789" not in said
    assert "/v1/" in said
