"""Time, other processes, and whoever answers over a network."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from slackwater.core.request import Reply

T = TypeVar("T")


class Clock(Protocol):
    """The time, and the only way to wait for it. A simulation brings its own."""

    def now(self) -> float:
        """Seconds since 1970, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, from any origin."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Returns after `seconds` of this clock."""
        ...


class Offload(Protocol):
    """Runs heavy, picklable work where it cannot stall the event loop: another process in production."""

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Calls `function(*args)` elsewhere. Cancelling the caller ends the work."""
        ...


class Backend(Protocol):
    """Somebody who answers requests: an engine, a cloud endpoint, or the built-in echo."""

    async def send(self, path: str, body: bytes) -> Reply:
        """One call. `path` has no version prefix (`/chat/completions`); `body` is JSON and is sent as it is.

        Returns whatever HTTP answered, any status. Raises BackendError where there was no whole answer.
        Cancelling aborts the call and closes its connection.
        """
        ...

    async def close(self) -> None:
        """Ends idle connections."""
        ...


class Fetcher(Protocol):
    """Fetches what a URL of a user's choice leads to, within what the operator allows."""

    def check(self, url: str) -> str:
        """The host of a URL, for the log: the URL itself may carry a secret.

        Raises InvalidRequest for what is no URL, and ImportRefused for one that is not to be fetched from.
        """
        ...

    async def fetch(self, url: str, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Hands all bytes to `write`, in pieces of bounded size. Returns once everything has come.

        Raises what `check` raises, ImportRefused for an address, and FetchFailed. What `write` raises passes through.
        """
        ...
