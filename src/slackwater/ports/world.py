"""Time, other processes, and whoever answers over a network."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar, runtime_checkable

from slackwater.core.accounts.resource import Principal
from slackwater.core.filtering.content_filter import Severities
from slackwater.core.sending.request import Reply

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

    async def send(self, path: str, body: bytes, *, heard: Callable[[int], None] | None = None) -> Reply:
        """One call. `path` has no version prefix (`/chat/completions`); `body` is JSON and is sent as it is.

        `heard` goes with a body that asks for a stream. It is told whenever a part of the answer has come, with the number
        of tokens so far; several parts that come at once are told once. The reply is the same as without a stream, whole. A
        stream that ends by itself and is no whole answer raises StreamBroken; one that breaks, what any answer does.
        Returns whatever HTTP answered, any status. Raises BackendError where there was no whole answer.
        Cancelling aborts the call and closes its connection.
        """
        ...

    async def close(self) -> None:
        """Ends idle connections."""
        ...


@runtime_checkable
class Metered(Protocol):
    """A backend that may have a metrics page."""

    async def metrics(self) -> Reply | None:
        """What the page answers, any status; None where there is none after all. Raises BackendError."""
        ...


@runtime_checkable
class Polled(Protocol):
    """A backend that can be asked how something gets on that it has begun."""

    async def get(self, path: str) -> Reply:
        """One GET, such as `/videos/video_1`: what was answered, any status. Raises BackendError, as `send` does."""
        ...


class Classifier(Protocol):
    """Says how bad a text is, for a content filter."""

    async def classify(self, prompt: str, completion: str | None = None) -> Severities:
        """The severities of the prompt, or, where there is a completion, of that as the answer to the prompt.

        Raises ClassifierFailed, whose message has nothing of the texts. Cancelling aborts the call.
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


class TokenVerifier(Protocol):
    """Says who the bearer of a token is, by the word of an issuer whom the operator trusts."""

    async def verify(self, token: str, *, asked: str | None = None) -> Principal:
        """Whom a token makes its bearer. `asked`: the resource whose host name was called. Never repeats or logs the token.

        Raises TokenRefused for one that is not good (broken, expired, not for us, not by a trusted issuer), PermissionDenied
        for a good one that leads to no resource or role, and IssuerUnavailable where that cannot be told at the moment.
        """
        ...

    async def close(self) -> None:
        """Ends what still goes on in the background."""
        ...
