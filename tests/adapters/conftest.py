"""What tests of adapters share: both event loops that the product may run on, an issuer of tokens, and a ledger on PostgreSQL."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest
import uvloop

from tests.issuer import Issuer
from tests.postgresql import Databases

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Run[Any]:
    """Runs a coroutine on either loop; whatever the loop complains about fails the test."""

    def runner(work: Coroutine[Any, Any, Any]) -> Any:
        complaints: list[object] = []

        async def main() -> Any:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
            return await asyncio.wait_for(work, 20)

        factory = uvloop.new_event_loop if request.param == "uvloop" else None
        with asyncio.Runner(loop_factory=factory) as loop:
            result = loop.run(main())
        assert complaints == []
        return result

    return runner


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """A running issuer."""
    with Issuer() as running:
        yield running


@pytest.fixture
def address(postgresql: Databases) -> Iterator[str]:
    """A ledger with nothing in it."""
    taken = postgresql.take()
    yield taken
    postgresql.give_back(taken)
