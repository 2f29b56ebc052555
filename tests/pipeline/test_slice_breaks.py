"""A slice breaks off, and the request itself is answered with an error: is that of an engine that died, or of the line?"""

import asyncio

import msgspec
import pytest

from slackwater.core.errors import BackendReplyBroken, BackendUnreachable
from slackwater.core.sending.request import Reply
from slackwater.pipeline.sending.slicing import SlicedCalls
from slackwater.telemetry import BackendMeter

BROKE = BackendReplyBroken("the connection was closed", lost=True)


class Breaking:
    """A backend at which every slice breaks off."""

    async def send(self, path: str, body: bytes) -> Reply:
        raise BROKE

    async def close(self) -> None:
        pass


class Prompt:
    """One of so many tokens, in slices."""

    tokens = 1600.0
    slice = 256

    def found(self, tokens: float, before: float) -> None:
        pass

    def rest(self, tokens: float, before: float) -> None:
        pass


class Hand:
    """A clock that stands."""

    def now(self) -> float:
        return 1000.0

    def monotonic(self) -> float:
        return 1000.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody waits here")


def sent(came: Reply | BackendUnreachable) -> Reply:
    """What is made of it where the whole request brings this."""
    words = " ".join(f"w{number}" for number in range(1600))
    body = msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": words}]})

    async def whole() -> Reply:
        if isinstance(came, BackendUnreachable):
            raise came
        return came

    calls = SlicedCalls("http://engine.local:8000/v1", Breaking(), Hand())  # type: ignore[arg-type]
    return asyncio.run(calls.send("/chat/completions", body, Prompt(), BackendMeter(), whole))


@pytest.mark.parametrize("status", [500, 501, 400, 429])
def test_a_line_that_has_an_answer_of_its_own(status: int) -> None:
    """The engine lives and says so of the whole request: it is judged by that, as without slices."""
    assert sent(Reply(status, b'{"error": {"message": "CUDA error"}}')).status == status


@pytest.mark.parametrize("status", [502, 503, 504, 522, 530])
def test_only_what_stands_before_the_engine_answers(status: int) -> None:
    """The engine has died of the slice, and a proxy speaks for it: that is a break, as the request would have been."""
    with pytest.raises(BackendReplyBroken) as raised:
        sent(Reply(status, b"<html>Bad Gateway</html>"))
    assert raised.value.lost


def test_nobody_is_there_any_more() -> None:
    """The same without a proxy."""
    with pytest.raises(BackendReplyBroken):
        sent(BackendUnreachable("connection refused", sent=False))
