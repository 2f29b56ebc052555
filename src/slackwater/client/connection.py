"""Calls of one server: each with its dialect, tried again where that is safe, its errors in one line with the request's id."""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx2
import msgspec

from slackwater.client.certificates import trusted, why_distrusted
from slackwater.client.retrying import Outcome, seconds_before_next
from slackwater.client.target import Target
from slackwater.core.errors import CallFailed, ServerUnreachable

T = TypeVar("T")
# A publish waits for the server's disk, and a create of Azure's for whatever it waits for.
TIMEOUT = httpx2.Timeout(connect=10.0, read=120.0, write=60.0, pool=10.0)
MESSAGE_MAX = 500
# Who waits for less than this between attempts need not know of it.
SILENT_SECONDS = 1.0
# How Azure begins to say that it does not know a key.
AZURES = "Access denied due to invalid subscription key"
# Every batch API has these.
LISTS = ("/batches", "/files")
# Not sent: nobody has taken the call.
NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


class Connection:
    """A server that is called. Not for several threads at once."""

    def __init__(
        self, target: Target, *, agent: str = "slackwater", say: Callable[[str], None] = lambda words: None
    ) -> None:
        """`say` gets a sentence where somebody waits for another attempt for longer than they would without a word."""
        self.target = target
        self._say = say
        self.answered = False
        """Whether anything has come from it yet, an error included."""
        self._client = httpx2.Client(
            headers=target.headers() | {"User-Agent": agent, "Accept": "application/json"},
            timeout=TIMEOUT,
            verify=trusted(),
            # A proxy for the world outside is no way to a server on this machine.
            trust_env=not target.loopback,
        )

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
    ) -> Any:
        """One call with JSON in both directions; None where the answer has no body. Raises CallFailed.

        `repeatable`: see `again`; everything but a POST is.
        """
        content = None if body is None else msgspec.json.encode(body)
        kind = {} if content is None else {"Content-Type": "application/json"}

        def once() -> Any:
            with self.opened(method, path, query=query, content=content, headers={**kind, **(headers or {})}) as answer:
                data = answer.read()
            try:
                return msgspec.json.decode(data) if data.strip() else None
            except msgspec.DecodeError as error:
                where = f"{self.target.url} did not answer with JSON"
                raise CallFailed(f"{where}; is it the address of a batch API?", status=answer.status_code) from error

        return self.again(once, repeatable=method != "POST" if repeatable is None else repeatable)

    def again(self, once: Callable[[], T], *, repeatable: bool) -> T:
        """Does something until it has succeeded, or trying again is no use or not safe.

        `repeatable`: whether doing it twice is the same as doing it once.
        """
        attempt, waited, told = 1, 0.0, False
        while True:
            try:
                return once()
            except _Failed as failed:
                outcome, fault = failed.outcome, failed.fault
            if not outcome.sent and not self.answered:
                # Most likely the address is wrong, or the server is not running: better said now than after many seconds.
                raise fault
            seconds = seconds_before_next(outcome, attempt=attempt, repeatable=repeatable, chance=random.random())
            if seconds is None:
                raise fault
            attempt, waited = attempt + 1, waited + seconds
            if waited >= SILENT_SECONDS and not told:
                self._say(f"{fault.message} (trying again)")
                told = True
            time.sleep(seconds)

    @contextmanager
    def opened(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        content: bytes | None = None,
        files: Mapping[str, Any] | None = None,
        data: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        fine: tuple[int, ...] = (),
        sent: Callable[[], bool] = lambda: True,
    ) -> Iterator[httpx2.Response]:
        """One attempt; yields a successful answer with its body still to be read. For the inside of `again`.

        Other statuses that are `fine` are yielded, too. `sent` says whether a lost connection had taken the whole call.
        """
        target = self.target
        request = self._client.build_request(
            method,
            target.address(path),
            params={**target.query(), **(query or {})},
            content=content,
            files=files,
            data=data,
            headers=headers,
        )
        try:
            answer = self._client.send(request, stream=True)
            self.answered = True
            try:
                if not answer.is_success and answer.status_code not in fine:
                    answer.read()
                    raise _Failed(
                        Outcome(status=answer.status_code, headers=_lower(answer.headers)), refusal(answer, target)
                    )
                yield answer
            finally:
                answer.close()
        except httpx2.TransportError as error:
            begun = not isinstance(error, NOT_SENT) and sent()
            raise _Failed(Outcome(status=None, sent=begun), _unreachable(target, error)) from error


class _Failed(Exception):
    """One attempt came to nothing: what is known of it, and what to say if there is no other."""

    def __init__(self, outcome: Outcome, fault: CallFailed) -> None:
        super().__init__(fault.message)
        self.outcome = outcome
        self.fault = fault


def refusal(answer: httpx2.Response, target: Target) -> CallFailed:
    """What a server said, in one line: its words, its codes, and the id to ask its operator about."""
    status = answer.status_code
    message, code = _said(answer.content)
    if status == 401 and not target.vendors and message.startswith(AZURES):
        # Ours say it for the sake of Azure's clients; subscriptions and regions are nothing that they have.
        message = "the server does not know the key"
    if answer.is_redirect:
        message = f"the server wants to be called at {answer.headers.get('location', 'another address')}"
    if status in (401, 403) and target.key is None:
        message = f"{message} (no key was sent: set {target.key_env}, or name another variable with --api-key-env)"
    elif status in (401, 403) and target.key_from:
        message = f"{message or answer.reason_phrase} (the key is that of {target.key_from}, sent to {target.url})"
    facts = [f"HTTP {status}"]
    if code and code != str(status):
        facts.append(code)
    request_id = answer.headers.get("x-request-id") or answer.headers.get("apim-request-id")
    if request_id:
        facts.append(f"request {request_id}")
    said = f"{message or answer.reason_phrase} [{', '.join(facts)}]"
    if status in (404, 405, 501) and not target.vendors and _nothing_of_the_kind(answer):
        said += (
            f"; {target.url} does not look like a batch API: is it the address of an engine? "
            "Name the one that 'slackwater serve' listens on"
        )
    return CallFailed(said, status=status)


def _nothing_of_the_kind(answer: httpx2.Response) -> bool:
    """Whether a refusal is that of a server without batches: it has no list of them, or has other words than such APIs."""
    if answer.request.url.path.endswith(LISTS):
        return True
    try:
        said = msgspec.json.decode(answer.content)
    except (msgspec.DecodeError, RecursionError):
        return True
    return not (isinstance(said, dict) and "error" in said)


def _said(body: bytes) -> tuple[str, str]:
    """The message and the code of an error's body; whatever else it is, its beginning."""
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        said = None
    if not isinstance(said, dict):
        text = body[: 2 * MESSAGE_MAX].decode("utf-8", "replace")
        return "" if text.lstrip().startswith("<") else _line(text), ""
    error = said.get("error", said)
    if not isinstance(error, dict):
        return _line(str(error)), ""
    return _line(str(error.get("message") or "")), _line(str(error.get("code") or ""))


def _line(text: str) -> str:
    return " ".join(text.split())[:MESSAGE_MAX].rstrip()


def _lower(headers: httpx2.Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _unreachable(target: Target, error: httpx2.TransportError) -> ServerUnreachable:
    why = _line(str(error)) or type(error).__name__
    distrusted = why_distrusted(target.url, error)
    if distrusted is not None:
        return ServerUnreachable(distrusted)
    if isinstance(error, NOT_SENT):
        return ServerUnreachable(
            f"nothing answers at {target.url}: {why}. Is the server running, and is the address right?"
        )
    if isinstance(error, httpx2.TimeoutException):
        return ServerUnreachable(f"{target.url} has not answered in time: {why}")
    return ServerUnreachable(f"the connection to {target.url} was lost: {why}")
